//! The HTTPS server: listening, limits, certificate watch, stopping.
//!
//! Owns the life of the listener and its configuration. What is answered is decided in `routes`.

mod accept;
pub(super) mod counters;
mod pace;
pub(super) mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use counters::CountersView;

use super::certs::{CertError, LiveCertificate, Validity};
use super::library::Library;
use super::routes::App;
use super::tokens::Tokens;
use counters::Counters;

/// Connections that the system may queue while all slots are taken.
const BACKLOG: u32 = 256;
/// Seconds between two warnings that the certificate is about to expire.
const WARN_EVERY_S: u64 = 86_400;

/// Tells the time as Unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How the server is to run.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to listen; port 0 lets the system choose. `[::]` means IPv6 only: name `0.0.0.0` too for both.
    pub listen: Vec<SocketAddr>,
    /// PEM file with the certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// Whether requests without a token are answered.
    pub anonymous_read: bool,
    /// Bounds.
    pub limits: HttpLimits,
}

/// Local bounds of the server. Each has a reason and a default that suits a state data centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time; more wait in the system's queue. Each costs some 64 KiB.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or IPv6 /64; more are closed at once. So that one client cannot take all.
    pub connections_per_address: usize,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest wait for a complete request head, and for the next one on an idle connection (slow-loris).
    pub header_timeout: Duration,
    /// A client that takes less than 64 KiB of what waits for it in this time is cut off (slow reading).
    pub stall_timeout: Duration,
    /// Longest time from a request to the head of its answer, and between two chunks from the store.
    pub answer_timeout: Duration,
    /// Memory for answers above 64 KiB that wait to be sent, in KiB; beyond it clients are told to come back. Files are streamed
    /// and do not count.
    pub answers_kib: u32,
    /// How often the certificate's files are looked at.
    pub certificate_check: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 64,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            answers_kib: 64 << 10,
            certificate_check: Duration::from_secs(60),
        }
    }
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for HTTPS: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// No address is configured, or a bound is zero.
    #[error("HTTPS configuration: {0}")]
    Config(&'static str),
}

/// A running server. Dropping it stops accepting and cuts all connections; [`Server::shutdown`] is the gentle way.
pub struct Server {
    addresses: Vec<SocketAddr>,
    certificate: Arc<LiveCertificate>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Binds all addresses, loads the certificate and starts to answer.
    ///
    /// # Errors
    /// [`HttpError`]; nothing is left running then.
    pub async fn start(
        config: HttpConfig,
        library: Arc<dyn Library>,
        tokens: Arc<Tokens>,
        clock: Clock,
    ) -> Result<Self, HttpError> {
        check(&config)?;
        let provider = Arc::new(tls::provider());
        let (cert, key, with) = (config.certificate.clone(), config.key.clone(), Arc::clone(&provider));
        let certificate = tokio::task::spawn_blocking(move || LiveCertificate::open(&cert, &key, with))
            .await
            .map_err(|_| HttpError::Config("loading the certificate was interrupted"))??;
        let certificate = Arc::new(certificate);
        let tls = Arc::new(tls::server_config(provider, Arc::clone(&certificate))?);
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.push(listen(*address).map_err(|source| HttpError::Listen { address: *address, source })?);
        }
        let counters = Arc::new(Counters::default());
        let (stop, cut, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let app = App::new(library, tokens, Arc::clone(&clock), Arc::clone(&counters), &config, stop.clone());
        let app = Arc::new(app);
        let shared = Arc::new(accept::Shared::new(app, tls, config.limits, stop.clone(), cut.clone(), tasks.clone()));
        let mut addresses = Vec::new();
        for (listener, address) in listeners {
            tracing::info!(%address, anonymous_read = config.anonymous_read, "HTTPS listening");
            addresses.push(address);
            tasks.spawn(accept::run(Arc::clone(&shared), listener));
        }
        tasks.spawn(watch(Arc::clone(&certificate), config.limits.certificate_check, clock, stop.clone()));
        Ok(Self { addresses, certificate, counters, stop, cut, tasks })
    }

    /// Where it listens, with the ports that the system chose, in the configured order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Loads the certificate's files now, rather than at the next look. Returns whether it changed.
    ///
    /// # Errors
    /// [`CertError`]; the certificate in use stays.
    pub async fn reload_certificate(&self) -> Result<bool, CertError> {
        reload(&self.certificate).await
    }

    /// When the certificate in use holds, for `status`.
    pub fn certificate(&self) -> Validity {
        self.certificate.validity()
    }

    /// The certificate in use, also after it was loaded again.
    pub fn live_certificate(&self) -> Arc<LiveCertificate> {
        Arc::clone(&self.certificate)
    }

    /// What happened so far.
    pub fn counters(&self) -> CountersView {
        self.counters.view()
    }

    /// Stops: no new connections, idle ones are closed, running answers have `grace` to end, the rest is cut.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::info!(
                open = self.counters.view().connections_open,
                "HTTPS connections cut at the end of the grace time"
            );
            self.cut.cancel();
            self.tasks.wait().await;
        }
        tracing::info!("HTTPS stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

fn check(config: &HttpConfig) -> Result<(), HttpError> {
    if config.listen.is_empty() {
        return Err(HttpError::Config("no listen address"));
    }
    let HttpLimits { connections, connections_per_address, answers_kib, .. } = config.limits;
    if connections == 0 || connections_per_address == 0 || answers_kib == 0 {
        return Err(HttpError::Config("a limit is zero"));
    }
    if connections > tokio::sync::Semaphore::MAX_PERMITS {
        return Err(HttpError::Config("too many connections"));
    }
    let HttpLimits { handshake_timeout, header_timeout, stall_timeout, answer_timeout, certificate_check, .. } =
        config.limits;
    let times = [handshake_timeout, header_timeout, stall_timeout, answer_timeout, certificate_check];
    if times.iter().any(|time| time.is_zero() || *time > Duration::from_secs(86_400)) {
        return Err(HttpError::Config("a time limit is zero or longer than a day"));
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            // Otherwise it depends on the machine whether `[::]` takes IPv4 as well, and collides with `0.0.0.0`.
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let actual = listener.local_addr()?;
    Ok((listener, actual))
}

async fn reload(certificate: &Arc<LiveCertificate>) -> Result<bool, CertError> {
    let held = Arc::clone(certificate);
    let changed = tokio::task::spawn_blocking(move || held.reload())
        .await
        .map_err(|_| CertError::Make("loading was interrupted".to_owned()))??;
    if changed {
        let validity = certificate.validity();
        tracing::info!(not_after_s = validity.not_after_s, "HTTPS certificate replaced");
    }
    Ok(changed)
}

/// Looks at the certificate's files from time to time, so that whoever renews them need not tell the daemon.
async fn watch(certificate: Arc<LiveCertificate>, every: Duration, clock: Clock, stop: CancellationToken) {
    let (mut told, mut warned_s) = (None, None);
    loop {
        let now_s = clock();
        if let Some(warning) = certificate.validity().warning(now_s)
            && warned_s.is_none_or(|last: u64| now_s.saturating_sub(last) >= WARN_EVERY_S)
        {
            tracing::warn!("{warning}");
            warned_s = Some(now_s);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let failure = reload(&certificate).await.err().map(|e| e.to_string());
        if failure != told
            && let Some(reason) = &failure
        {
            tracing::warn!(reason, "HTTPS certificate not replaced, the loaded one stays in use");
        }
        told = failure;
    }
}
