//! Accepting connections and serving HTTP/1.1 on them.
//!
//! Owns who gets a connection and for how long. A failing or hostile connection never affects another one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::HttpLimits;
use super::counters::{Gauge, count};
use super::pace::Paced;
use crate::http::routes::{self, App};

/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Header fields of a request: browsers send some twenty.
const HEADERS_MAX: usize = 64;
/// Buffer of a connection, and with it the longest request head, in bytes.
const BUFFER_BYTES: usize = 32 << 10;

/// What all connections share.
pub(super) struct Shared {
    app: Arc<App>,
    tls: TlsAcceptor,
    limits: HttpLimits,
    slots: Arc<Semaphore>,
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(
        app: Arc<App>,
        tls: Arc<ServerConfig>,
        limits: HttpLimits,
        stop: CancellationToken,
        cut: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(limits.connections));
        Self { app, tls: tls.into(), limits, slots, by_address: Mutex::default(), stop, cut, tasks }
    }
}

/// One connection's share of its address; given back when dropped.
struct Share {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Share {
    fn take(shared: &Arc<Shared>, peer: SocketAddr) -> Option<Self> {
        let address = group(peer.ip());
        let mut counts = shared.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= shared.limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Self { shared: Arc::clone(shared), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shared.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Whose connection it is: an IPv4 address, or an IPv6 /64, of which one customer commonly has all addresses.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Accepts until told to stop. While there is no slot, one accepted client waits here and others in the system's queue.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => {
                failing = false;
                accepted
            }
            Err(error) => {
                // One line for a series: out of descriptors, each try fails.
                if !failing {
                    tracing::warn!(%error, "HTTPS connections cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counters = shared.app.counters();
        let Some(share) = Share::take(&shared, peer) else {
            count(&counters.connections_refused);
            tracing::debug!(%peer, "HTTPS connection refused: too many from this address");
            continue;
        };
        let slot = tokio::select! {
            () = shared.stop.cancelled() => return,
            slot = Arc::clone(&shared.slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return };
        count(&counters.connections);
        let open = Gauge::new(Arc::clone(counters), |c| &c.connections_open);
        let served = serve(Arc::clone(&shared), tcp, peer);
        let cut = shared.cut.clone();
        shared.tasks.spawn(async move {
            let _held = (slot, share, open);
            tokio::select! {
                () = served => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

/// Serves one connection to its end.
async fn serve(shared: Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    let counters = shared.app.counters();
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let handshake = shared.tls.accept(Paced::new(tcp, shared.limits.stall_timeout));
    let tls = tokio::select! {
        () = shared.stop.cancelled() => return,
        outcome = tokio::time::timeout(shared.limits.handshake_timeout, handshake) => match outcome {
            Ok(Ok(tls)) => tls,
            failed => {
                count(&counters.handshakes_failed);
                let reason = failed.map_or_else(|_| "too slow".to_owned(), |r| r.err().map_or_else(String::new, |e| e.to_string()));
                tracing::debug!(%peer, reason, "TLS handshake failed");
                return;
            }
        },
    };
    let app = Arc::clone(&shared.app);
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(routes::answer(app, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(tls), service);
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        count(&counters.connections_failed);
        tracing::debug!(%peer, %error, "HTTPS connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::group;

    #[test]
    fn addresses_are_grouped_by_who_has_them() {
        let same = |a: &str, b: &str| group(a.parse().unwrap()) == group(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
