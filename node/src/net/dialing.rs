//! Dials in flight: from addresses over names and sockets to a proven key, or to the reason why not.
//!
//! Owns the attempts and their bookkeeping; when a member is dialled again is [`super::dial`]'s business.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use libp2p::core::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use tokio::sync::oneshot;
use verbund_protocol::ids::PeerId;

use super::addr::{self, HostPort};
use super::connections::millis;
use super::dial::{DialFailure, DialReason, Resolved, reason, resolve};
use super::task::Task;
use super::{Dialled, NetEvent};

type Reply = oneshot::Sender<Result<Dialled, DialFailure>>;

/// A dial and everything it has learnt so far.
#[derive(Debug)]
pub(super) struct Job {
    peer: PeerId,
    /// Still to be tried.
    addrs: Vec<HostPort>,
    failed: Vec<(HostPort, DialReason)>,
    /// Who waits for it; `None` for a dial of the schedule.
    reply: Option<Reply>,
    /// Whether the peer was connected when the dial began: then it only checks an address. (Not whether it is by the end: when
    /// two nodes dial each other at once, each would give up its own connection and none would be left.)
    check: bool,
    started: Instant,
}

/// A dial that the library carries out.
#[derive(Debug)]
pub(super) struct InFlight {
    job: Job,
    sockets: BTreeMap<SocketAddr, HostPort>,
}

impl InFlight {
    /// The configured address that a socket address stands for.
    pub(super) fn address_of(&self, seen: &HostPort) -> Option<HostPort> {
        seen.socket().and_then(|s| self.sockets.get(&s)).cloned()
    }
}

/// All dials. Bounded by the members and by those who wait for a dial of their own.
#[derive(Default)]
pub(super) struct Dials {
    pub(super) resolving: FuturesUnordered<BoxFuture<'static, (Job, Resolved)>>,
    in_flight: BTreeMap<ConnectionId, InFlight>,
}

impl Dials {
    /// Takes the dial that led to this connection.
    pub(super) fn take(&mut self, id: ConnectionId) -> Option<InFlight> {
        self.in_flight.remove(&id)
    }
}

/// Dials by hand that may be in work at a time.
const ONCE_MAX: usize = 32;

impl Task {
    /// Starts the dials of the schedule that are due.
    pub(super) fn dial_due(&mut self) {
        for (peer, addrs) in self.book.take_due(Instant::now()) {
            self.start_dial(Job {
                peer,
                addrs,
                failed: Vec::new(),
                reply: None,
                check: false,
                started: Instant::now(),
            });
        }
    }

    pub(super) fn dial_once(&mut self, peer: PeerId, addrs: Vec<HostPort>, reply: Reply) {
        let waiting =
            self.dials.in_flight.values().filter(|d| d.job.reply.is_some()).count() + self.dials.resolving.len();
        let refused = if peer == self.local {
            Some(DialReason::OwnAddress)
        } else if waiting >= ONCE_MAX.saturating_add(self.targets.members.len()) {
            Some(DialReason::RefusedHere { message: "too many dials at a time".to_owned() })
        } else {
            None
        };
        match refused {
            Some(reason) => {
                let _ = reply.send(Err(DialFailure::all(&addrs, &reason)));
            }
            None => {
                let check = addr::to_libp2p(&peer).is_some_and(|p| self.swarm.is_connected(&p));
                self.start_dial(Job {
                    peer,
                    addrs,
                    failed: Vec::new(),
                    reply: Some(reply),
                    check,
                    started: Instant::now(),
                });
            }
        }
    }

    fn start_dial(&mut self, job: Job) {
        self.counters.dials.one();
        let addrs = job.addrs.clone();
        self.dials.resolving.push(async move { (job, resolve(addrs).await) }.boxed());
    }

    pub(super) fn on_resolved(&mut self, (mut job, resolved): (Job, Resolved)) {
        job.failed.extend(resolved.failed);
        // A peer that was taken off the list, or connected by itself, while its name was being resolved.
        if job.reply.is_none() && self.book.get(&job.peer).is_none() {
            return;
        }
        let connected = addr::to_libp2p(&job.peer).is_some_and(|p| self.links.contains_key(&p));
        if job.reply.is_none() && connected {
            self.book.dialled(&job.peer);
            return;
        }
        let Some(peer) = addr::to_libp2p(&job.peer).filter(|_| !resolved.sockets.is_empty()) else {
            self.dial_failed(job);
            return;
        };
        let opts = DialOpts::peer_id(peer)
            .addresses(resolved.sockets.keys().copied().map(addr::multiaddr).collect())
            .condition(PeerCondition::Always)
            // The listening port as source would make simultaneous dials collide in TCP.
            .allocate_new_port()
            .build();
        let id = opts.connection_id();
        let in_flight = InFlight { job, sockets: resolved.sockets };
        if in_flight.job.check {
            self.swarm.behaviour_mut().members.check(id);
        }
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.in_flight.insert(id, in_flight);
            }
            Err(error) => self.dial_error(id, in_flight, &error),
        }
    }

    pub(super) fn on_dial_error(&mut self, id: ConnectionId, error: &DialError) {
        if let Some(in_flight) = self.dials.take(id) {
            self.dial_error(id, in_flight, error);
        }
    }

    fn dial_error(&mut self, id: ConnectionId, in_flight: InFlight, error: &DialError) {
        if let Some(proven) =
            self.swarm.behaviour_mut().members.checked(id).and_then(|a| addr::socket(&a)).map(HostPort::from)
        {
            let address = in_flight.address_of(&proven).unwrap_or(proven);
            let took = in_flight.job.started.elapsed();
            self.dialled(in_flight, address, took);
            return;
        }
        let InFlight { mut job, sockets } = in_flight;
        let named = |addr: &Multiaddr| addr::socket(addr).and_then(|s| sockets.get(&s)).cloned();
        let everywhere =
            |reason: &DialReason| sockets.values().map(|a| (a.clone(), reason.clone())).collect::<Vec<_>>();
        match error {
            DialError::WrongPeerId { obtained, address } => {
                self.counters.wrong_keys.one();
                let reason = DialReason::WrongKey { expected: job.peer.to_string(), found: obtained.to_string() };
                if let Some(addr) = named(address) {
                    job.addrs.retain(|a| *a != addr);
                    job.failed.push((addr, reason));
                } else {
                    job.failed.extend(everywhere(&reason));
                    job.addrs.clear();
                }
                // The first to answer was somebody else; the other addresses have not been heard. (The schedule tries them
                // by itself.)
                job.addrs.retain(|a| !job.failed.iter().any(|(f, _)| f == a));
                if job.reply.is_some() && !job.addrs.is_empty() {
                    self.start_dial(job);
                    return;
                }
            }
            DialError::Transport(errors) => {
                for (addr, error) in errors {
                    let reason = match error {
                        TransportError::Other(e) => reason(e),
                        TransportError::MultiaddrNotSupported(_) => {
                            DialReason::Unreachable { message: "not an address that can be dialled".to_owned() }
                        }
                    };
                    if let Some(addr) = named(addr) {
                        job.failed.push((addr, reason));
                    }
                }
            }
            // The library leaves out the addresses that this node listens on.
            DialError::NoAddresses | DialError::LocalPeerId { .. } => {
                job.failed.extend(everywhere(&DialReason::OwnAddress))
            }
            DialError::Denied { cause } => {
                let message = std::error::Error::source(cause).map_or_else(|| cause.to_string(), ToString::to_string);
                job.failed.extend(everywhere(&DialReason::RefusedHere { message }));
            }
            DialError::Aborted | DialError::DialPeerConditionFalse(_) => {
                job.failed.extend(everywhere(&DialReason::Cancelled));
            }
        }
        self.dial_failed(job);
    }

    fn dial_failed(&mut self, job: Job) {
        self.counters.dials_failed.one();
        let failure = DialFailure { attempts: job.failed };
        match job.reply {
            Some(reply) => {
                let _ = reply.send(Err(failure));
            }
            None => {
                let now = Instant::now();
                let Some(due) = self.book.failed(&job.peer, &failure, now, jitter()) else { return };
                tracing::debug!(peer = %job.peer, error = %failure, "dial failed");
                let next_try_ms = millis(due.saturating_duration_since(now));
                self.emit(NetEvent::DialFailed { peer: job.peer, error: failure, next_try_ms });
            }
        }
    }

    /// A dial ended with a connection.
    pub(super) fn dialled(&mut self, in_flight: InFlight, address: HostPort, handshake: Duration) {
        match in_flight.job.reply {
            Some(reply) => {
                let _ = reply.send(Ok(Dialled { address, handshake }));
            }
            None => self.book.dialled(&in_flight.job.peer),
        }
    }
}

/// A random number between 0 and 1; without randomness the middle.
pub(super) fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}
