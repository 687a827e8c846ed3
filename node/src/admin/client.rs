//! The client side of the admin socket.
//!
//! Owns one connection per request; there is nothing to keep between them. Never retries by itself: the caller decides whether
//! a repeated change is wanted.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use super::api::Artifact;
use super::calls::{Call, Lines, Method, paths};
use super::problem::{Code, Problem};

/// A JSON answer, in bytes: a release of 10,000 files fits several times.
const ANSWER_MAX: usize = 64 << 20;
/// A line of a stream, in bytes.
const LINE_MAX: usize = 1 << 20;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or it is not allowed to connect.
    #[error("the daemon cannot be reached at {}: {source}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon said what is wrong.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The connection broke, or the answer is not HTTP as agreed.
    #[error("the daemon's answer broke off: {0}")]
    Broken(String),
    /// Reading what should be sent failed.
    #[error("reading failed: {0}")]
    Input(io::Error),
}

/// Speaks to a daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// The bytes of an answer, as they come.
pub type Bytestream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

impl Client {
    /// A client for the daemon at `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Does one plain operation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn call<C: Call>(&self, request: &C::Request) -> Result<C::Answer, ClientError> {
        let http = match C::METHOD {
            Method::Get => get(&with_query(C::PATH, request)?)?,
            Method::Post => {
                let body = serde_json::to_vec(request).map_err(broken)?;
                build("POST", C::PATH, Some("application/json"), full(body))?
            }
        };
        let bytes = self.collect(http).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::Broken(format!(
                "{} cannot be read: {error}; do the versions of daemon and command differ?",
                C::PATH
            ))
        })
    }

    /// Uploads `size` bytes.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Input`] if `bytes` yields an error.
    pub async fn upload(&self, size: u64, bytes: Bytestream) -> Result<Artifact, ClientError> {
        let failed = std::sync::Arc::new(std::sync::Mutex::new(None));
        let seen = failed.clone();
        let frames = bytes.map(move |item| {
            item.map(Frame::data).map_err(|error| {
                let kept = io::Error::new(error.kind(), error.to_string());
                if let Ok(mut slot) = seen.lock() {
                    *slot = Some(error);
                }
                kept
            })
        });
        let body = BodyExt::boxed_unsync(StreamBody::new(frames));
        let mut http = build("PUT", paths::ARTIFACTS, Some("application/octet-stream"), body)?;
        http.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(size));
        let result = self.collect(http).await;
        let input = failed.lock().ok().and_then(|mut slot| slot.take());
        match (result, input) {
            (Err(_), Some(error)) => Err(ClientError::Input(error)),
            (result, _) => serde_json::from_slice(&result?).map_err(broken),
        }
    }

    /// Opens a stream of lines.
    ///
    /// # Errors
    /// [`ClientError`]; what goes wrong later is the stream's last item.
    pub async fn lines<R: Serialize, T: DeserializeOwned + 'static>(
        &self,
        path: &str,
        request: &R,
    ) -> Result<Lines<T>, ClientError> {
        let response = self.send(get(&with_query(path, request)?)?).await?;
        let reader = LineReader { body: response.into_body(), buffer: BytesMut::new(), ended: false };
        Ok(Box::pin(stream::unfold(reader, |mut reader| async move {
            let item = reader.next::<T>().await?;
            Some((item, reader))
        })))
    }

    /// Opens a download. The size, if the daemon names it, and the bytes; a download that ends early yields an error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn download<R: Serialize>(
        &self,
        path: &str,
        request: &R,
    ) -> Result<(Option<u64>, Bytestream), ClientError> {
        let response = self.send(get(&with_query(path, request)?)?).await?;
        let length = response.headers().get(header::CONTENT_LENGTH);
        let size = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.into_body().into_data_stream().map_err(io::Error::other);
        Ok((size, Box::pin(bytes)))
    }

    async fn collect(&self, http: Request<RequestBody>) -> Result<Bytes, ClientError> {
        let body = Limited::new(self.send(http).await?.into_body(), ANSWER_MAX);
        Ok(body.collect().await.map_err(broken)?.to_bytes())
    }

    /// Sends a request; an answer that is no success becomes its problem.
    async fn send(&self, http: Request<RequestBody>) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the connection: when the answer's body is read or dropped.
        tokio::spawn(connection);
        let response = sender.send_request(http).await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), LINE_MAX).collect().await.map_err(broken)?.to_bytes();
        Err(Problem::from_body(status.as_u16(), &body).into())
    }
}

struct LineReader {
    body: Incoming,
    buffer: BytesMut,
    ended: bool,
}

impl LineReader {
    async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, Problem>> {
        while !self.ended {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let item = parse_line(&line);
                self.ended = item.is_err();
                return Some(item);
            }
            if self.buffer.len() > LINE_MAX {
                self.ended = true;
                return Some(Err(Problem::new(Code::Internal, "a line of the stream is too long")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(Problem::new(Code::Stopping, format!("the stream broke off: {error}"))));
                }
                None => self.ended = true,
            }
        }
        None
    }
}

/// A line is an item, or `{"problem": …}`.
fn parse_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, Problem> {
    #[derive(serde::Deserialize)]
    struct Last {
        problem: Problem,
    }
    serde_json::from_slice(line).map_err(|error| match serde_json::from_slice::<Last>(line) {
        Ok(last) => last.problem,
        Err(_) => Problem::new(Code::Internal, format!("a line of the stream cannot be read: {error}")),
    })
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

fn full(bytes: Vec<u8>) -> RequestBody {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync()
}

fn get(uri: &str) -> Result<Request<RequestBody>, ClientError> {
    build("GET", uri, None, full(Vec::new()))
}

fn build(
    method: &str,
    uri: &str,
    media_type: Option<&str>,
    body: RequestBody,
) -> Result<Request<RequestBody>, ClientError> {
    let mut http = Request::builder().method(method).uri(uri).header(header::HOST, "verbund");
    if let Some(media_type) = media_type {
        http = http.header(header::CONTENT_TYPE, media_type);
    }
    http.body(body).map_err(broken)
}

/// `path` with the fields of `request` as its query; absent ones are left out.
fn with_query<R: Serialize>(path: &str, request: &R) -> Result<String, ClientError> {
    let value = serde_json::to_value(request).map_err(broken)?;
    let mut uri = path.to_owned();
    let mut separator = '?';
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        uri.push(separator);
        uri.push_str(key);
        uri.push('=');
        escape(&text, &mut uri);
        separator = '&';
    }
    Ok(uri)
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
fn escape(text: &str, into: &mut String) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}
