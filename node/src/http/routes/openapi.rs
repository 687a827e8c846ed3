//! The OpenAPI 3.1 document, made from the table of routes.
//!
//! Owns nothing that is not in the table, in the list of problem codes or in the types of the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::api;
use super::call::Call;
use super::table::{Answer, BASE, Route};

const ABOUT: &str = "Die Prozessbibliothek eines Verbund-Knotens: suchen, prüfen, holen, Änderungen verfolgen. Everything here is \
    read-only. What a reader must not see is answered like what does not exist. Fields may be added within this version: \
    ignore those that you do not know.";

/// An error (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
#[allow(dead_code, reason = "a shape, for its schema")]
pub(super) struct ProblemBody {
    /// `urn:verbund:problem:` and the code.
    r#type: String,
    /// What the code means.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable, for programs.
    code: String,
    /// One sentence about this case.
    detail: String,
}

/// `/openapi.json`
pub(super) async fn document(call: Call) -> Answer {
    static MADE: OnceLock<Bytes> = OnceLock::new();
    let [] = call.query([])?;
    call.json_bytes(MADE.get_or_init(|| make(&api::table()).to_string().into()).clone())
}

/// The document of a table.
pub(super) fn make(table: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.for_serialize().into_generator();
    let problem = generator.subschema_for::<ProblemBody>();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in table {
        let path = format!("{BASE}{}", route.path.replace("{*", "{"));
        let method = route.method.as_str().to_ascii_lowercase();
        paths.entry(path).or_default().insert(method, operation(route, &problem, &mut generator));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Verbund",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "EUPL-1.2", "identifier": "EUPL-1.2" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`verbund token create NAME` makes one." },
            },
        },
    })
}

fn operation(route: &Route, problem: &schemars::Schema, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = names(route.path).map(in_path).collect();
    parameters.extend(route.parameters.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "description": parameter.text, "schema": parameter.schema })
    }));
    parameters.extend(route.headers.iter().map(
        |(name, text)| json!({ "name": name, "in": "header", "description": text, "schema": { "type": "string" } }),
    ));
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for reply in &route.replies {
        let answer = responses.entry(reply.status.to_string()).or_insert_with(|| json!({ "description": reply.text }));
        if let Some((media_type, schema)) = &reply.body {
            let schema = schema.map_or_else(|| json!({}), |of| of(generator).to_value());
            answer["content"][media_type] = if schema == json!({}) { json!({}) } else { json!({ "schema": schema }) };
        }
    }
    let statuses: BTreeSet<u16> = route.problems.iter().map(|code| code.status().as_u16()).collect();
    for status in statuses {
        let codes: BTreeSet<&str> =
            route.problems.iter().filter(|c| c.status().as_u16() == status).map(|c| c.as_str()).collect();
        let codes: Vec<&str> = codes.into_iter().collect();
        let only = json!({ "properties": { "code": { "enum": codes } } });
        responses.insert(
            status.to_string(),
            json!({
                "description": format!("Codes: {}.", codes.join(", ")),
                "content": { "application/problem+json": { "schema": { "allOf": [problem, only] } } },
            }),
        );
    }
    let mut operation = json!({
        "operationId": route.id, "summary": route.text, "parameters": parameters, "responses": responses,
    });
    if let Some(body) = route.body {
        let schema = body(generator);
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if route.open {
        operation["security"] = json!([]);
    }
    operation
}

/// Names of the parameters of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

fn in_path(name: &str) -> Value {
    let text = match name {
        "federation" => "Short name of the federation, as `/federations` lists it.",
        "member" => "Handle of the member that owns the process: `de-he`.",
        "slug" => "The process in its owner's namespace.",
        "version" => "A version, or `latest` for the highest stable one that is not withdrawn.",
        "path" => "Path of the file in the release; slashes stay as they are.",
        _ => "",
    };
    json!({ "name": name, "in": "path", "required": true, "description": text, "schema": { "type": "string" } })
}

/// All codes, for the test that every one of them is documented somewhere.
#[cfg(test)]
pub(super) fn codes(table: &[Route]) -> BTreeSet<&'static str> {
    table.iter().flat_map(|route| route.problems.iter().map(|code| code.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem;

    #[test]
    fn every_code_stands_in_the_document() {
        let table = api::table();
        let documented = codes(&table);
        let all: BTreeSet<_> = problem::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(documented, all);
    }

    #[test]
    fn names_are_unique_and_references_lead_somewhere() {
        let table = api::table();
        let ids: BTreeSet<_> = table.iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), table.len(), "an id is missing or used twice");
        let document = make(&table);
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(table.iter().all(|route| !route.text.is_empty() && route.replies.iter().any(|r| r.status == 200)));
    }
}
