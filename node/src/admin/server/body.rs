//! Reading requests and writing answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use verbund_protocol::words::shown;

use crate::admin::calls::{Lines, Upload};
use crate::admin::problem::{Code, MEDIA_TYPE, Place, Problem};

/// Body of an ordinary request, in bytes: far above the longest ticket or text.
pub(super) const BODY_MAX: usize = 256 << 10;
/// Body of a release: 10,000 files with paths of 512 bytes, and metadata.
pub(super) const RELEASE_BODY_MAX: usize = 16 << 20;
/// Time for a whole JSON body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two pieces of an upload.
const UPLOAD_IDLE: Duration = Duration::from_secs(60);
/// After a refusal the rest of a body is read and dropped for so long, so that the sender reads the answer and not a reset.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a request from the query.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    Query::try_from_uri(uri).map(|Query(value)| value).map_err(|error| {
        let text = shown(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string));
        Problem::new(Code::BadRequest, format!("the query cannot be read: {text}"))
            .next("correct the parameter; names and values are case-sensitive")
    })
}

/// Reads a request from a JSON body of at most `max` bytes; an empty body is an empty object.
pub(super) async fn json<T: DeserializeOwned>(body: Body, max: usize) -> Result<T, Problem> {
    let mut body = body;
    let read = tokio::time::timeout(BODY_TIMEOUT, async {
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| early(&error))?.into_data() else { continue };
            if all.len() + data.len() > max {
                return Err(over(max));
            }
            all.extend_from_slice(&data);
        }
        Ok(all)
    });
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(problem)) => {
            drain(body).await;
            return Err(problem);
        }
        Err(_) => return Err(Problem::new(Code::Timeout, format!("the body took longer than {BODY_TIMEOUT:?}"))),
    };
    whole(&bytes, max)
}

/// Reads a request from a whole JSON body.
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, Problem> {
    match bytes.len() {
        0 => parse(b"{}"),
        n if n > max => Err(over(max)),
        _ => parse(bytes),
    }
}

fn over(max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the body is over the limit of {max} bytes"))
}

fn early(error: &axum::Error) -> Problem {
    Problem::new(Code::BadRequest, format!("the body ended early: {error}"))
}

async fn drain(mut body: Body) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}

/// Parses JSON and names the place of a mistake.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let refuse = |field: String, error: &serde_json::Error| {
        // `?` is how the reader names a place that it never got to.
        let field = shown(field.replace('?', ""));
        let at = if field.is_empty() || field == "." { String::new() } else { format!(" in {field}") };
        Problem::new(Code::BadJson, shown(format_args!("the body cannot be read{at}: {error}")))
            .next("correct the body; unknown fields are refused")
            .at(Place { line: error.line(), column: error.column(), field: field.trim_start_matches('.').to_owned() })
    };
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refuse(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| refuse(String::new(), &error))?;
    Ok(value)
}

/// Whether an upload went over its bound: the reason that counts, whatever the daemon makes of the broken stream.
#[derive(Clone, Default)]
pub(super) struct Tripped(Arc<AtomicBool>);

impl Tripped {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The problem of an upload that is over `max` bytes.
pub(super) fn too_large(max: u64) -> Problem {
    Problem::new(Code::TooLarge, format!("the artifact is over the limit of {max} bytes"))
        .next("raise limits.artifact_max in node.toml, or publish smaller files")
}

/// The bytes of an upload of at most `max` bytes. Yields the problem once it is over, and then nothing.
pub(super) fn upload(body: Body, max: u64) -> (Upload, Tripped) {
    let tripped = Tripped::default();
    let state = Some((body.into_data_stream(), 0u64, tripped.clone()));
    let bytes = stream::unfold(state, move |state| async move {
        let (mut body, before, tripped) = state?;
        match tokio::time::timeout(UPLOAD_IDLE, body.next()).await {
            Err(_) => {
                let text = format!("the upload stood still for {UPLOAD_IDLE:?}");
                Some((Err(Problem::new(Code::Timeout, text)), None))
            }
            Ok(None) => None,
            Ok(Some(Err(error))) => Some((Err(early(&error)), None)),
            Ok(Some(Ok(piece))) => {
                let size = before.saturating_add(piece.len() as u64);
                if size > max {
                    tripped.0.store(true, Ordering::Release);
                    drain(Body::from_stream(body)).await;
                    return Some((Err(too_large(max)), None));
                }
                Some((Ok(piece), Some((body, size, tripped))))
            }
        }
    });
    (Box::pin(bytes), tripped)
}

/// A JSON answer.
pub(super) fn answer<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => respond(StatusCode::OK, HeaderValue::from_static("application/json"), Body::from(bytes)),
        Err(error) => problem(&Problem::new(Code::Internal, format!("the answer cannot be written: {error}"))),
    }
}

/// A problem as an answer.
pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = serde_json::to_vec(problem).unwrap_or_default();
    respond(status, HeaderValue::from_static(MEDIA_TYPE), Body::from(bytes))
}

/// An answer with a body of any kind.
pub(super) fn respond(status: StatusCode, media_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream of lines: one JSON value each; a problem ends it as `{"problem": …}`. Ends when the daemon stops.
pub(super) fn lines<T: Serialize + 'static>(
    lines: Lines<T>,
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
) -> Response {
    let stopping = async move { stop.cancelled_owned().await };
    let body = lines
        .map_ok(|item| serde_json::to_vec(&item))
        .map(|item| match item {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => problem_line(&Problem::new(Code::Internal, error.to_string())),
            Err(problem) => problem_line(&problem),
        })
        .take_until(stopping)
        .map(move |mut line| {
            // The place is taken as long as the stream lives.
            let _ = &place;
            line.push(b'\n');
            Ok::<_, std::convert::Infallible>(Bytes::from(line))
        });
    respond(StatusCode::OK, HeaderValue::from_static("application/x-ndjson"), Body::from_stream(body))
}

fn problem_line(problem: &Problem) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({ "problem": problem })).unwrap_or_default()
}
