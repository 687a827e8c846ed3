//! Requests in work, in both directions.
//!
//! Owns their number per peer and in total, and the rate of strangers' join requests. Whoever comes too much is told "busy".
//! Never looks into a request.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use libp2p::request_response::{self as rr, InboundFailure, InboundRequestId, OutboundRequestId};
use tokio::sync::oneshot;
use verbund_protocol::ids::PeerId as Peer;

use super::admission::Kind;
use super::connections::Links;
use super::rate::Bucket;
use super::rpc::{self, Answer, Channel, Frame, Protocol, RequestError, Responder};
use super::task::Task;
use super::{NetEvent, addr, limits};

type Reply = oneshot::Sender<Result<Vec<u8>, RequestError>>;

/// An answer on its way back; without bytes nobody gave one.
pub(super) struct Answered {
    protocol: Protocol,
    channel: Channel,
    bytes: Option<Vec<u8>>,
}

/// All requests in work.
pub(super) struct Requests {
    outbound: BTreeMap<(Protocol, OutboundRequestId), (PeerId, Reply)>,
    /// Until the answer is sent, not only given: its bytes are held that long.
    inbound: BTreeMap<(Protocol, InboundRequestId), PeerId>,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Of all strangers.
    total: Bucket,
    /// Of strangers with a request in the recent past.
    strangers: BTreeMap<PeerId, Bucket>,
}

/// Strangers whose rate is remembered; more than can be connected at a time.
const RATES_MAX: usize = 256;

impl Requests {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            total: Bucket::new(limits::JOIN_TOTAL_BURST, limits::JOIN_TOTAL_PER_S, now),
            strangers: BTreeMap::new(),
        }
    }

    fn may_ask(&self, peer: &PeerId) -> bool {
        self.outbound.len() < limits::OUTBOUND_TOTAL
            && self.outbound.values().filter(|(p, _)| p == peer).count() < limits::OUTBOUND_PER_PEER
    }

    fn may_be_asked(&self, protocol: Protocol, peer: &PeerId) -> bool {
        let total = match protocol {
            Protocol::Sync => limits::INBOUND_SYNC_TOTAL,
            Protocol::Join => limits::INBOUND_JOIN_TOTAL,
        };
        let of_protocol = self.inbound.iter().filter(|((p, _), _)| *p == protocol);
        let per_peer = of_protocol.clone().filter(|(_, p)| *p == peer).count();
        per_peer < limits::INBOUND_PER_PEER && of_protocol.count() < total
    }

    /// Whether a stranger's request is within its rate and that of all strangers.
    fn within_rate(&mut self, peer: &PeerId, now: Instant) -> bool {
        if self.strangers.len() >= RATES_MAX && !self.strangers.contains_key(peer) {
            // Keys cost nothing, so remembering all of them would help nobody: the common bucket holds on.
            self.strangers.clear();
        }
        let fresh = || Bucket::new(limits::JOIN_PEER_BURST, limits::JOIN_PEER_PER_S, now);
        self.strangers.entry(*peer).or_insert_with(fresh).take(now) && self.total.take(now)
    }
}

impl Task {
    fn rpc(&mut self, protocol: Protocol) -> &mut rpc::Behaviour {
        let node = self.swarm.behaviour_mut();
        match protocol {
            Protocol::Sync => &mut node.members.inner_mut().sync,
            Protocol::Join => &mut node.join,
        }
    }

    pub(super) fn send_request(&mut self, peer: &Peer, protocol: Protocol, bytes: Vec<u8>, reply: Reply) {
        // The library would dial a peer that is not connected.
        let connected = addr::to_libp2p(peer).filter(|p| self.rpc(protocol).is_connected(p));
        let refused = match &connected {
            None => Some(RequestError::NotConnected),
            // Asking again and again would only exhaust the few streams that a stranger has there.
            Some(peer) if protocol == Protocol::Sync && self.refuses_us(peer) => Some(RequestError::Unsupported),
            Some(peer) if !self.requests.may_ask(peer) => Some(RequestError::Busy),
            Some(_) => None,
        };
        match (connected, refused) {
            (Some(peer), None) => {
                let id = self.rpc(protocol).send_request(&peer, Frame { bytes, budget: None });
                self.requests.outbound.insert((protocol, id), (peer, reply));
            }
            (_, refused) => {
                let _ = reply.send(Err(refused.unwrap_or(RequestError::NotConnected)));
            }
        }
    }

    /// Whether a peer that is a member here treats this node as a stranger.
    pub(super) fn refuses_us(&self, peer: &PeerId) -> bool {
        self.links.get(peer).is_some_and(Links::refuses_us)
    }

    pub(super) fn on_rpc(&mut self, protocol: Protocol, event: rpc::Event) {
        match event {
            rr::Event::Message { peer, message: rr::Message::Request { request_id, request, channel }, .. } => {
                self.on_request(protocol, peer, request_id, request, channel);
            }
            rr::Event::Message { message: rr::Message::Response { request_id, response }, .. } => {
                let result = match response {
                    Answer::Bytes(frame) => Ok(frame.bytes),
                    Answer::Busy => Err(RequestError::Busy),
                    Answer::NotAnswered => Err(RequestError::NotAnswered),
                };
                self.on_result(protocol, request_id, result);
            }
            rr::Event::OutboundFailure { request_id, error, .. } => {
                let error = rpc::failure(&error);
                if error == RequestError::Unsupported {
                    self.counters.protocol_refused.one();
                }
                self.on_result(protocol, request_id, Err(error));
            }
            rr::Event::InboundFailure { request_id, error, .. } => {
                if matches!(error, InboundFailure::Timeout) {
                    self.counters.unanswered.one();
                }
                self.requests.inbound.remove(&(protocol, request_id));
            }
            rr::Event::ResponseSent { request_id, .. } => {
                self.requests.inbound.remove(&(protocol, request_id));
            }
        }
    }

    fn on_result(&mut self, protocol: Protocol, id: OutboundRequestId, result: Result<Vec<u8>, RequestError>) {
        if let Some((_, reply)) = self.requests.outbound.remove(&(protocol, id)) {
            let _ = reply.send(result);
        }
    }

    fn on_request(&mut self, protocol: Protocol, peer: PeerId, id: InboundRequestId, request: Frame, channel: Channel) {
        let Some(name) = addr::from_libp2p(&peer) else { return };
        let member = self.swarm.behaviour().members.admission().kind_of(&peer) == Kind::Member;
        let accepted = if !member && !self.requests.within_rate(&peer, Instant::now()) {
            self.counters.rate_limited.one();
            false
        } else if self.is_behind() || !self.requests.may_be_asked(protocol, &peer) {
            self.counters.busy.one();
            false
        } else {
            true
        };
        // Also a refusal is an answer in work, until the library says that it is sent.
        self.requests.inbound.insert((protocol, id), peer);
        if !accepted {
            let _ = self.rpc(protocol).send_response(channel, Answer::Busy);
            return;
        }
        let (respond, answer) = Responder::new(protocol, request.budget);
        let timeout = self.request_timeout;
        let answered = async move {
            let bytes = tokio::time::timeout(timeout, answer).await.ok().and_then(Result::ok);
            Answered { protocol, channel, bytes }
        };
        self.requests.answers.push(answered.boxed());
        self.emit(NetEvent::Request { peer: name, member, protocol, bytes: request.bytes, respond });
    }

    pub(super) fn on_answer(&mut self, answered: Answered) {
        let answer = match answered.bytes {
            Some(bytes) => Answer::of(bytes),
            None => {
                self.counters.unanswered.one();
                Answer::NotAnswered
            }
        };
        // Fails if the connection is gone; the library has said so.
        let _ = self.rpc(answered.protocol).send_response(answered.channel, answer);
    }
}
