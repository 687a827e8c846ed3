//! The client for a node's HTTPS interface.
//!
//! Owns one connection, its certificate check and the reading of problems. The token goes into the header of requests to the named
//! server and nowhere else: redirects are never followed by it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::clean;

/// Longest time to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest wait for the head of an answer: the server's own bound is 30 s.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest JSON answer: a release of 10,000 files stays far below.
const JSON_MAX: usize = 64 << 20;
/// Largest problem.
const PROBLEM_MAX: usize = 64 << 10;
/// Largest token file.
const TOKEN_MAX: u64 = 4 << 10;
/// Where systems keep the authorities that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// How to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// `https://HOST[:PORT]`
    pub(crate) url: String,
    /// The file with the token.
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of what is trusted instead of the system's authorities.
    pub(crate) cacert: Option<PathBuf>,
}

/// A server, and the connection to it while there is one.
pub(super) struct Https {
    authority: String,
    host: String,
    port: u16,
    tls: TlsConnector,
    token: Option<String>,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, text).next("--server https://HOST:PORT --token-file FILE [--cacert FILE]")
}

impl Https {
    pub(super) fn open(server: &Server) -> Result<Self, Failure> {
        let uri: Uri = server.url.parse().map_err(|_| usage(format!("{:?} is no address", clean(&server.url))))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or_else(|| usage("--server takes an address that starts with https://"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(usage("--server takes an address without path, query and user"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let token = server.token_file.as_deref().map(token).transpose()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| Failure::failed(format!("TLS: {error}")))?;
        let mut tls = tls.with_root_certificates(roots(server.cacert.as_deref())?).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            port: authority.port_u16().unwrap_or(443),
            authority: authority.as_str().to_owned(),
            host,
            tls: Arc::new(tls).into(),
            token,
            sender: Mutex::new(None),
        })
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::Unreachable, format!("https://{} cannot be reached: {error}", self.authority))
            .next("check address and certificate (--cacert names the file of one that your system does not know)")
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(error))?;
        let connect = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
            tcp.set_nodelay(true)?;
            self.tls.connect(name, tcp).await
        };
        let tls = match tokio::time::timeout(CONNECT, connect).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(error))?,
            Err(_) => return Err(self.unreachable("it does not answer")),
        };
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await;
        let (sender, connection) = shaken.map_err(|error| self.unreachable(error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Sends a request, over the connection that is open or a new one. What is no success becomes a failure.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        extra: &[(header::HeaderName, String)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let mut held = self.sender.lock().await;
        let mut again = held.is_some();
        loop {
            let mut sender = match held.take() {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let request = self.request(method, path, extra, body.clone())?;
            let sent = async {
                sender.ready().await?;
                sender.send_request(request).await
            };
            match tokio::time::timeout(ANSWER, sent).await {
                Ok(Ok(response)) => {
                    *held = Some(sender);
                    drop(held);
                    return self.judge(response).await;
                }
                // A kept connection that the server closed meanwhile: once with a new one.
                Ok(Err(_)) if again => again = false,
                Ok(Err(error)) => return Err(self.unreachable(error)),
                Err(_) => {
                    return Err(Failure::new(Exit::TimedOut, format!("https://{} does not answer", self.authority)));
                }
            }
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        extra: &[(header::HeaderName, String)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        request = request.header(header::USER_AGENT, concat!("verbund/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in extra {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|error| Failure::failed(format!("the request cannot be made: {error}")))
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        let status = response.status();
        if status.is_success() || status == StatusCode::TEMPORARY_REDIRECT {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), PROBLEM_MAX).collect().await;
        Err(problem(status, &body.map(|body| body.to_bytes()).unwrap_or_default()))
    }

    /// A JSON answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.send("GET", path, &[], Bytes::new()).await?;
        self.read(response).await
    }

    /// A JSON answer to a JSON question.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(question).map_err(|error| Failure::failed(error.to_string()))?;
        let kind = [(header::CONTENT_TYPE, "application/json".to_owned())];
        let response = self.send("POST", path, &kind, body.into()).await?;
        self.read(response).await
    }

    async fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Failure> {
        let bytes = self.bytes(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::failed(format!("https://{} says what is not understood: {error}", self.authority))
        })
    }

    /// An answer of a bounded size, in full.
    pub(super) async fn bytes(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let read = Limited::new(response.into_body(), JSON_MAX).collect().await;
        read.map(|body| body.to_bytes()).map_err(|error| self.unreachable(error))
    }
}

/// The server's refusal, with the exit code that a daemon's would have.
fn problem(status: StatusCode, body: &[u8]) -> Failure {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
    }
    let said: Problem = serde_json::from_slice(body).unwrap_or_default();
    let exit = match (status.as_u16(), said.code.as_str()) {
        (401 | 403, _) => Exit::Denied,
        (404 | 410, _) => Exit::NotFound,
        (_, "damaged") => Exit::Verification,
        (_, "not_available") => Exit::Degraded,
        (_, "timed_out" | "busy") => Exit::TimedOut,
        _ => Exit::Failed,
    };
    let step = match exit {
        Exit::Denied => "--token-file names the file with a token that `verbund token create` made on that node",
        Exit::NotFound => "`verbund --server … process search TEXT` finds what there is for this token",
        Exit::Degraded | Exit::TimedOut => "repeat the command in a moment",
        _ => "",
    };
    let text = if said.detail.is_empty() { format!("the server answers {status}") } else { clean(&said.detail) };
    let mut failure = Failure::new(exit, text).next(step);
    if !said.code.is_empty() {
        failure.code = clean(&said.code);
    }
    failure
}

fn token(path: &Path) -> Result<String, Failure> {
    let what = || format!("cannot read the token file {}", path.display());
    let size = path.metadata().map_err(|error| Failure::io(what(), &error))?.len();
    if size > TOKEN_MAX {
        return Err(usage(format!("{} is too large to hold a token", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(what(), &error))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(usage(format!("{} does not hold a token and nothing else", path.display())));
    }
    Ok(token.to_owned())
}

/// What is trusted: the certificates in a file, or else the system's authorities.
pub(crate) fn roots(cacert: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let system = || {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        named.into_iter().chain(SYSTEM_ROOTS.iter().map(PathBuf::from)).find(|path| path.exists())
    };
    let path = cacert.map(Path::to_owned).or_else(system).ok_or_else(|| {
        Failure::new(Exit::NotFound, "this system has no list of authorities").next("name one with --cacert FILE")
    })?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::io(format!("cannot use the certificates in {}", path.display()), &io::Error::other(error.to_string()))
    };
    let all = CertificateDer::pem_file_iter(&path).map_err(|error| failed(&error))?;
    for certificate in all {
        let certificate = certificate.map_err(|error| failed(&error))?;
        match roots.add(certificate) {
            Ok(()) => {}
            // Systems keep certificates of forms that nobody uses any more; one that was named must be good.
            Err(_) if cacert.is_none() => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    if roots.is_empty() {
        return Err(failed(&"there is none in it"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<Https, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        crate::http::certs::create(&cert, &key, "de-he", &[], now_s).unwrap();
        Https::open(&Server { url: url.to_owned(), token_file: None, cacert: Some(cert) })
    }

    #[test]
    fn addresses_are_checked() {
        for bad in ["http://x", "x:1", "https://", "https://x/api", "https://u:p@x", "https://x?y", "nonsense\n"] {
            assert_eq!(open(bad).err().map(|failure| failure.exit), Some(Exit::Usage), "{bad:?}");
        }
        let six = open("https://[::1]:8443/").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.authority.as_str()), ("::1", 8443, "[::1]:8443"));
        assert_eq!(open("https://knoten.example").unwrap().port, 443);
    }

    #[test]
    fn refusals_have_the_exit_codes_of_the_local_ones() {
        let of = |status: u16, code: &str| {
            let body = serde_json::json!({ "code": code, "detail": "d" }).to_string();
            problem(StatusCode::from_u16(status).unwrap(), body.as_bytes()).exit
        };
        assert_eq!(of(401, "token_expired"), Exit::Denied);
        assert_eq!(of(404, "not_found"), Exit::NotFound);
        assert_eq!(of(503, "not_available"), Exit::Degraded);
        assert_eq!(of(503, "damaged"), Exit::Verification);
        assert_eq!(problem(StatusCode::BAD_GATEWAY, b"<html>").exit, Exit::Failed);
    }
}
