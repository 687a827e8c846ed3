//! Handlers: check the role, read the request, let the daemon do it, record it, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{get, post, put};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};

use super::{App, body};
use crate::admin::api::{AuditRecord, Moment};
use crate::admin::calls::{Answer, Call, Daemon, Lines, Method, op, paths, with_operations};
use crate::admin::problem::{Code, Problem};
use crate::admin::roles::{Caller, Role};

/// Time for an operation that reads.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for one that changes something; it goes on to its end even after that.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// Length of an audit record's subject, in characters.
const SUBJECT_MAX: usize = 400;
/// Request fields that never reach a record: secrets, and what is too long to be a name.
const UNRECORDED: [&str; 4] = ["federation", "ticket", "files", "metadata"];

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route(paths::ARTIFACTS, put(artifact_put))
        .route(paths::FILES, get(file_get))
        .route(paths::PROVENANCE, get(provenance_get))
        .route(paths::PROGRESS, get(|s, c, u| stream(s, c, u, |daemon, r| daemon.release_progress(r))))
        .route(paths::JOIN, get(|s, c, u| stream(s, c, u, |daemon, r| daemon.join_progress(r))))
        .route(paths::EVENTS, get(|s, c, u| stream(s, c, u, |daemon, r| daemon.events_follow(r))));
    macro_rules! mount {
        ($($(#[$meta:meta])* $method:ident $name:ident $verb:ident $path:literal $role:ident [$($change:literal)?] $request:ty => $answer:ty;)*) => {
            $(router = router.route($path, match Method::$verb {
                Method::Get => get(plain::<op::$name>),
                Method::Post => post(plain::<op::$name>),
            });)*
        };
    }
    with_operations!(mount);
    router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(app)
}

async fn unknown(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    body::problem(
        &Problem::new(Code::UnknownRoute, format!("there is no {path}"))
            .next("the paths start with /v1/; see the manual"),
    )
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    body::problem(&Problem::new(Code::MethodNotAllowed, format!("{path} does not take {method}")))
}

/// One plain operation.
async fn plain<C: Call>(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Response {
    match run::<C>(app, caller, request).await {
        Ok(value) => body::answer(&value),
        Err(problem) => body::problem(&problem),
    }
}

async fn run<C: Call>(app: Arc<App>, caller: Arc<Caller>, request: Request) -> Result<C::Answer, Problem> {
    if let Err(problem) = allow(&caller, C::ROLE) {
        if let Some(operation) = C::CHANGE {
            record(&*app.daemon, &caller, operation, &serde_json::Value::Null, problem.code.as_str()).await.ok();
        }
        return Err(problem);
    }
    let typed: C::Request = match C::METHOD {
        Method::Get => body::query(request.uri())?,
        Method::Post => body::json(request.into_body(), body_max::<C>()).await?,
    };
    let Some(operation) = C::CHANGE else {
        let task = tokio::spawn(async move { C::run(&*app.daemon, typed).await });
        return finish(READ_TIMEOUT, AbortOnDropHandle::new(task)).await;
    };
    // A task of its own: neither a caller that hangs up nor the time-out may leave a change half done or unrecorded.
    let task = tokio::spawn(async move {
        let mut subject = serde_json::to_value(&typed).unwrap_or_default();
        let result = C::run(&*app.daemon, typed).await;
        // What a publication is called is known only when it is done.
        if let (Some(fields), Ok(answer)) = (subject.as_object_mut(), &result)
            && !fields.contains_key("release")
            && let Some(release) =
                serde_json::to_value(answer).ok().and_then(|mut a| Some(a.get_mut("release")?.take()))
        {
            fields.insert("release".to_owned(), release);
        }
        let outcome = result.as_ref().map_or_else(|problem| problem.code.as_str(), |_| "ok");
        let recorded = record(&*app.daemon, &caller, operation, &subject, outcome).await;
        match (result, recorded) {
            (Ok(_), Err(problem)) => Err(Problem::new(
                Code::AuditFailed,
                format!("{operation} was done, but the audit record could not be written: {problem}"),
            )
            .next("look at `verbund status`; the disk may be full or failing")),
            (result, _) => result,
        }
    });
    finish(CHANGE_TIMEOUT, task).await
}

/// Reads what is sent to the operation `operation` (its name in [`Daemon`]) as the server would, and does nothing: the query of one
/// that reads, the body of one that changes something. What it asks for, as JSON; `None` if there is no such operation.
pub fn read(operation: &str, sent: &[u8]) -> Option<Result<serde_json::Value, Problem>> {
    macro_rules! reading {
        ($($(#[$meta:meta])* $method:ident $name:ident $verb:ident $path:literal $role:ident [$($change:literal)?] $request:ty => $answer:ty;)*) => {
            match operation {
                $(stringify!($method) => Some(read_as::<op::$name>(sent)),)*
                _ => None,
            }
        };
    }
    with_operations!(reading)
}

fn read_as<C: Call>(sent: &[u8]) -> Result<serde_json::Value, Problem> {
    let request: C::Request = match C::METHOD {
        Method::Get => {
            let uri = [C::PATH.as_bytes(), b"?", sent].concat();
            let uri = Uri::try_from(uri).map_err(|e| Problem::new(Code::BadRequest, e.to_string()))?;
            body::query(&uri)?
        }
        Method::Post => body::whole(sent, body_max::<C>())?,
    };
    serde_json::to_value(&request).map_err(|e| Problem::new(Code::Internal, e.to_string()))
}

fn body_max<C: Call>() -> usize {
    if C::PATH.starts_with("/v1/releases") { body::RELEASE_BODY_MAX } else { body::BODY_MAX }
}

/// Waits for a task; one that panicked is a fault of this node.
async fn finish<T, J>(limit: Duration, task: J) -> Result<T, Problem>
where
    J: Future<Output = Result<Result<T, Problem>, tokio::task::JoinError>>,
{
    match tokio::time::timeout(limit, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            error!(%error, "an admin operation failed unexpectedly");
            Err(Problem::new(Code::Internal, "the operation failed unexpectedly")
                .next("the daemon's log says more; please report it"))
        }
        Err(_) => Err(Problem::new(Code::Timeout, format!("no result within {} s", limit.as_secs()))
            .next("a change goes on to its end: look at `verbund audit` before repeating it")),
    }
}

fn allow(caller: &Caller, role: Role) -> Result<(), Problem> {
    if caller.roles.has(role) {
        return Ok(());
    }
    let who = caller.user.as_ref().map_or_else(|| format!("uid {}", caller.uid), Clone::clone);
    let role = role.as_str();
    Err(Problem::new(Code::Denied, format!("{who} does not have the role {role}"))
        .next(format!("use a member of one of the groups in admin.{role} of node.toml, or the daemon's own user")))
}

/// Makes the record of a change durable.
async fn record(
    daemon: &dyn Daemon,
    caller: &Caller,
    operation: &str,
    request: &serde_json::Value,
    outcome: &str,
) -> Result<(), Problem> {
    let record = AuditRecord {
        at: Moment::now(),
        uid: caller.uid,
        user: caller.user.clone(),
        pid: caller.pid,
        operation: operation.to_owned(),
        subject: subject(request),
        federation: request.get("federation").and_then(serde_json::Value::as_str).map(str::to_owned),
        outcome: outcome.to_owned(),
    };
    info!(uid = record.uid, operation, subject = record.subject, outcome, "admin change");
    let result = daemon.audit(record).await;
    if let Err(problem) = &result {
        error!(operation, %problem, "an audit record could not be written");
    }
    result
}

/// The parameters that name what a change is about. Of a release it is the process and version.
fn subject(request: &serde_json::Value) -> String {
    let Some(fields) = request.as_object() else { return String::new() };
    let metadata = request.get("metadata").and_then(serde_json::Value::as_object);
    let of_release = metadata.into_iter().flatten().filter(|(key, _)| ["id", "version"].contains(&key.as_str()));
    let named = fields.iter().filter(|(key, _)| !UNRECORDED.contains(&key.as_str()));
    let text: Vec<String> =
        named.chain(of_release).filter(|(_, v)| !v.is_null()).map(|(key, value)| format!("{key}={value}")).collect();
    // Whoever pasted a secret where a name belongs must not find it in the log and the audit afterwards.
    crate::http::tokens::redact(&text.join(" ")).chars().take(SUBJECT_MAX).collect()
}

async fn artifact_put(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
    request: Request,
) -> Response {
    if let Err(problem) = allow(&caller, Role::Publish) {
        return body::problem(&problem);
    }
    let max = app.artifact_max;
    let (bytes, tripped) = body::upload(request.into_body(), max);
    // A task of its own: if the caller hangs up, the daemon sees a broken stream and cleans up.
    let task = tokio::spawn(async move { app.daemon.artifact_put(bytes).await });
    match task.await {
        Ok(Ok(artifact)) => body::answer(&artifact),
        Ok(Err(_)) if tripped.is() => body::problem(&body::too_large(max)),
        Ok(Err(problem)) => body::problem(&problem),
        Err(error) => {
            error!(%error, "an upload failed unexpectedly");
            body::problem(&Problem::new(Code::Internal, "the upload failed unexpectedly"))
        }
    }
}

async fn file_get(State(app): State<Arc<App>>, Extension(caller): Extension<Arc<Caller>>, uri: Uri) -> Response {
    let download = match prepare(&caller, &uri) {
        Ok(request) => app.daemon.file_get(request).await,
        Err(problem) => Err(problem),
    };
    match download {
        Ok(file) => {
            let octets = HeaderValue::from_static("application/octet-stream");
            let media_type = HeaderValue::from_str(&file.media_type).unwrap_or(octets);
            let mut response = body::respond(StatusCode::OK, media_type, Body::from_stream(file.bytes));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(file.size));
            response
        }
        Err(problem) => body::problem(&problem),
    }
}

async fn provenance_get(State(app): State<Arc<App>>, Extension(caller): Extension<Arc<Caller>>, uri: Uri) -> Response {
    let bytes = match prepare(&caller, &uri) {
        Ok(request) => app.daemon.provenance_get(request).await,
        Err(problem) => Err(problem),
    };
    match bytes {
        Ok(bytes) => body::respond(StatusCode::OK, HeaderValue::from_static("application/json"), Body::from(bytes)),
        Err(problem) => body::problem(&problem),
    }
}

fn prepare<R: DeserializeOwned>(caller: &Caller, uri: &Uri) -> Result<R, Problem> {
    allow(caller, Role::Read)?;
    body::query(uri)
}

/// One operation that streams lines.
async fn stream<R, T>(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
    uri: Uri,
    open: for<'a> fn(&'a dyn Daemon, R) -> Answer<'a, Lines<T>>,
) -> Response
where
    R: DeserializeOwned + Send,
    T: Serialize + 'static,
{
    let opened = async {
        let request = prepare(&caller, &uri)?;
        let place = app.streams.clone().try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, "too many streams are open").next("end other `--follow` commands and try again")
        })?;
        Ok((open(&*app.daemon, request).await?, place))
    };
    match opened.await {
        Ok((lines, place)) => body::lines(lines, place, app.stop.clone()),
        Err(problem) => body::problem(&problem),
    }
}
