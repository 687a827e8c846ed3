//! The table of routes: one row for each, from which both the router and the OpenAPI document are made.
//!
//! Owns the shape of a row. What a row says of its answers is checked against real ones by a test.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Response};
use axum::routing::{MethodFilter, MethodRouter};
use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::call::Call;
use crate::http::problem::{Code, Problem};

/// What a route gives.
pub(super) type Answer = Result<Response<Body>, Problem>;
/// A route's function.
pub(super) type Handler = fn(Call) -> BoxFuture<'static, Answer>;
/// Makes the schema of a type.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Where the API lies.
pub(super) const BASE: &str = "/api/v1";

/// What may go wrong at every address.
const EVERYWHERE: [Code; 11] = [
    Code::BadRequest,
    Code::InvalidParameter,
    Code::TokenMissing,
    Code::TokenInvalid,
    Code::TokenExpired,
    Code::TokenRevoked,
    Code::MethodNotAllowed,
    Code::UriTooLong,
    Code::Busy,
    Code::TimedOut,
    Code::Internal,
];

/// One answer that is no problem.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: &'static str,
    /// Media type and schema; none if there is no body.
    pub(super) body: Option<(&'static str, Option<SchemaOf>)>,
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) schema: Value,
}

/// One route.
pub(super) struct Route {
    /// Below [`BASE`].
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) id: &'static str,
    pub(super) text: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Option<SchemaOf>,
    pub(super) replies: Vec<Reply>,
    pub(super) problems: Vec<Code>,
    /// Answered to anybody.
    pub(super) open: bool,
    handler: Handler,
}

impl Route {
    fn new(method: Method, path: &'static str, handler: Handler) -> Self {
        let mut problems = EVERYWHERE.to_vec();
        if method != Method::POST {
            problems.push(Code::BodyRefused);
        }
        if path.contains('{') {
            problems.extend([Code::NotFound, Code::ScopeDenied]);
        }
        let (parameters, headers, replies) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            path,
            method,
            id: "",
            text: "",
            parameters,
            headers,
            body: None,
            replies,
            problems,
            open: false,
            handler,
        }
    }

    /// A route that is read; HEAD comes with it.
    pub(super) fn get(path: &'static str, handler: Handler) -> Self {
        Self::new(Method::GET, path, handler)
    }

    /// A route that takes a JSON body of the type `T`. It changes nothing either.
    pub(super) fn post<T: JsonSchema>(path: &'static str, handler: Handler) -> Self {
        let body: SchemaOf = |generator| generator.subschema_for::<T>();
        Self { body: Some(body), ..Self::new(Method::POST, path, handler) }
            .fails(&[Code::InvalidBody, Code::BodyTooLarge])
    }

    /// Its name in generated clients, and what it is for.
    pub(super) fn named(self, id: &'static str, text: &'static str) -> Self {
        Self { id, text, ..self }
    }

    /// Answers with JSON of the type `T`, with an entity tag.
    pub(super) fn gives<T: JsonSchema>(self, text: &'static str) -> Self {
        let schema: SchemaOf = |generator| generator.subschema_for::<T>();
        self.reply(Reply { status: 200, text, body: Some(("application/json", Some(schema))) }).conditional()
    }

    /// The same without an entity tag.
    pub(super) fn answers<T: JsonSchema>(self, text: &'static str) -> Self {
        let schema: SchemaOf = |generator| generator.subschema_for::<T>();
        self.reply(Reply { status: 200, text, body: Some(("application/json", Some(schema))) })
    }

    /// Answers with something else than JSON that the document describes.
    pub(super) fn sends(self, media_type: &'static str, text: &'static str) -> Self {
        self.reply(Reply { status: 200, text, body: Some((media_type, None)) })
    }

    /// One more answer.
    pub(super) fn reply(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }

    /// Takes conditions: 304 and 412.
    pub(super) fn conditional(self) -> Self {
        self.header("If-None-Match", "Entity tags that the client has.")
            .reply(Reply { status: 304, text: "The client has it already.", body: None })
            .fails(&[Code::PreconditionFailed])
    }

    /// Leads from `latest` to the exact version.
    pub(super) fn redirects(self) -> Self {
        let text = "The version was `latest`: the address of the exact one stands in `Location`.";
        self.reply(Reply { status: 307, text, body: None })
    }

    /// A parameter of the query.
    pub(super) fn query(mut self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.parameters.push(Parameter { name, text, schema });
        self
    }

    /// A list page by page.
    pub(super) fn paged(self, most: usize) -> Self {
        self.query("limit", "Most items of the answer.", json!({ "type": "integer", "minimum": 1, "maximum": most }))
            .query("cursor", "`next` of the page before.", json!({ "type": "string" }))
            .fails(&[Code::InvalidCursor])
    }

    /// A header of the request.
    pub(super) fn header(mut self, name: &'static str, text: &'static str) -> Self {
        self.headers.push((name, text));
        self
    }

    /// What may go wrong here, beside what may everywhere.
    pub(super) fn fails(mut self, codes: &[Code]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// Answered to anybody, with or without token.
    pub(super) fn open(self) -> Self {
        Self { open: true, ..self }
    }
}

/// The router of a table. Addresses with other methods are refused with the ones that there are.
pub(super) fn router(table: &[Route]) -> Router {
    let mut paths: BTreeMap<&'static str, Vec<&Route>> = BTreeMap::new();
    for route in table {
        paths.entry(route.path).or_default().push(route);
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        let (mut methods, mut allowed) = (MethodRouter::new(), Vec::new());
        for route in routes {
            let reads = route.method == Method::GET;
            methods = methods.on(if reads { MethodFilter::GET } else { MethodFilter::POST }, route.handler);
            allowed.extend(if reads { vec![Method::GET, Method::HEAD] } else { vec![route.method.clone()] });
        }
        let refuse = move || std::future::ready(Problem::method_not_allowed(&allowed));
        router = router.route(&format!("{BASE}{path}"), methods.fallback(refuse));
    }
    router
}
