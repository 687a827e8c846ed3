//! The admin server: connections, bounds and shutdown.
//!
//! Owns accepting and ending connections. One connection is one task; all are bounded in number, in the time that their headers
//! may take, and in what they may send. Requests of other users can never use up the places of the daemon's own user.

mod body;
mod handle;
mod socket;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::handle::read;
use super::calls::Daemon;
use super::roles::{Caller, Credentials, Policy, Role, UnknownGroup, identify};
use crate::config::Config;

/// Connections at one time. A command uses one; each costs at most some 100 KiB.
const CONNECTIONS_MAX: usize = 128;
/// Of which users other than the daemon's own and root may hold so many.
const OTHERS_MAX: usize = 64;
/// Streams (events, progress) at one time: they last as long as somebody looks.
const STREAMS_MAX: usize = 48;
/// Time for the headers of a request, and the longest that a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Time that running requests get when the daemon stops; the whole stop has 5 s.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Read buffer and headers of a request, in bytes.
const BUFFER_MAX: usize = 64 << 10;
/// Pause after a failed accept, such as too many open files: the loop must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The path does not fit the kernel's address.
    #[error(
        "the admin socket's path has {len} bytes, the system allows {max}: {}\nset admin.socket in node.toml (or --socket) to a shorter one, such as /run/verbund/admin.sock",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
        /// The longest that is possible.
        max: usize,
    },
    /// A daemon answers there.
    #[error("another daemon answers on {}; stop it first, or use another data directory or admin.socket", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("{} exists and is no socket; it is left alone: move it away or set admin.socket", .0.display())]
    NotASocket(PathBuf),
    /// A group that should own the socket or give a role does not exist.
    #[error(transparent)]
    Group(#[from] UnknownGroup),
    /// The system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Finds out who is at the other end. Runs on a thread that may block.
pub type Identify = Arc<dyn Fn(Credentials) -> Caller + Send + Sync>;

/// How to serve.
pub struct Options {
    /// Path of the socket.
    pub socket: PathBuf,
    /// Group that shall own the socket; absent: the daemon's own.
    pub group: Option<String>,
    /// Who may do what.
    pub identify: Identify,
    /// Largest artifact that may be uploaded, in bytes.
    pub artifact_max: u64,
}

impl Options {
    /// Options with roles by `policy`.
    pub fn new(socket: PathBuf, group: Option<String>, policy: Policy, artifact_max: u64) -> Self {
        Self { socket, group, identify: Arc::new(move |who| identify(&policy, who)), artifact_max }
    }

    /// Options as configured for the node with this data directory, run by this user.
    ///
    /// # Errors
    /// [`ServerError::Group`] if a group is named that the system does not know.
    pub fn configured(config: &Config, data_dir: &Path) -> Result<Self, ServerError> {
        let admin = &config.admin;
        let groups = [
            (Role::Read, &admin.read[..]),
            (Role::Operate, &admin.operate),
            (Role::Publish, &admin.publish),
            (Role::Approve, &admin.approve),
        ];
        let policy = Policy::new(rustix::process::geteuid().as_raw(), groups)?;
        Ok(Self::new(config.socket(data_dir), admin.group.clone(), policy, config.limits.artifact_max.0))
    }
}

/// A bound admin socket.
pub struct Server {
    listener: UnixListener,
    mark: socket::Mark,
    options: Options,
}

/// What all handlers share.
struct App {
    daemon: Arc<dyn Daemon>,
    artifact_max: u64,
    streams: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    /// Binds the socket with mode 0660, replacing one that no daemon answers on.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left behind then.
    pub async fn bind(options: Options) -> Result<Self, ServerError> {
        let (listener, mark) = socket::bind(&options.socket, options.group.as_deref()).await?;
        info!(socket = %options.socket.display(), "admin socket ready");
        Ok(Self { listener, mark, options })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.options.socket
    }

    /// Serves until `stop`; then gives running requests a moment, and removes the socket.
    pub async fn serve(self, daemon: Arc<dyn Daemon>, stop: CancellationToken) {
        let app = Arc::new(App {
            daemon,
            artifact_max: self.options.artifact_max,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop: stop.clone(),
        });
        let gate = Gate {
            router: handle::router(app),
            identify: self.options.identify,
            others: Arc::new(Semaphore::new(OTHERS_MAX)),
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(gate.clone().connection(stream, place, graceful.watcher()));
                }
                Err(error) => {
                    warn!(%error, "admin socket: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if tokio::time::timeout(STOP_GRACE, graceful.shutdown()).await.is_err() {
            warn!("admin socket: requests were still running at the stop");
        }
        self.mark.remove();
    }
}

/// Lets a connection in.
#[derive(Clone)]
struct Gate {
    router: Router,
    identify: Identify,
    others: Arc<Semaphore>,
}

impl Gate {
    async fn connection(
        self,
        stream: UnixStream,
        place: OwnedSemaphorePermit,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let Ok(cred) = stream.peer_cred() else { return };
        let credentials = Credentials { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() };
        let identify = self.identify.clone();
        let Ok(caller) = tokio::task::spawn_blocking(move || identify(credentials)).await else { return };
        // Kept until the connection ends.
        let other = if caller.owner { None } else { self.others.try_acquire_owned().ok() };
        if !caller.owner && other.is_none() {
            debug!(uid = caller.uid, "admin socket: too many connections of other users");
            return;
        }
        let caller = Arc::new(caller);
        let service = TowerToHyperService::new(self.router);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(caller.clone());
            hyper::service::Service::call(&service, request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_MAX)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            debug!(%error, "admin connection ended");
        }
        drop((place, other));
    }
}

#[cfg(test)]
mod tests;
