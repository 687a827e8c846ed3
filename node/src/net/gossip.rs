//! The gossip protocol's configuration: content-addressed messages, explicit validation, no scores.
//!
//! Messages are anonymous on this layer: documents carry their own signatures, and without the library's envelope there is one
//! parser and one signature check less for hostile bytes; the peer that passed a message on is known from its connection. Peer
//! scoring is off, so that a fault of this node (a full disk, a missing charter) never costs a peer its place. Owns no state;
//! never decides whether a message is valid.

use std::collections::HashSet;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, ValidationMode,
    WhitelistSubscriptionFilter,
};
use verbund_protocol::limits::GOSSIP_MAX_BYTES;

use super::limits;

/// The behaviour: one topic, nobody can announce another.
pub(super) type Behaviour =
    gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// A received message: what [`super::NetHandle::report`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipId {
    pub(super) id: MessageId,
    pub(super) from: PeerId,
}

/// What becomes of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: it is passed on.
    Accept,
    /// Invalid by something its sender answers for.
    Reject,
    /// Not judged (a local error, nothing new): it is not passed on.
    Ignore,
}

/// The library checks its limit against its whole read buffer, not against one message: a message of full size followed by the
/// first bytes of the next would be refused. Twice the size of a message leaves room for that.
const TRANSMIT_MAX_BYTES: usize = 2 * GOSSIP_MAX_BYTES;
/// Message ids per control message. The library refuses control messages over 16 KiB on receipt and would send far longer
/// ones; five refusals end gossip on a connection.
const CONTROL_IDS: usize = 350;
/// Cap of control messages on receipt, in bytes: several of [`CONTROL_IDS`] ids at 34 bytes.
const CONTROL_MAX_BYTES: usize = 48 << 10;

/// Why gossip could not be set up; only a mistake in the constants above can cause it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("gossip: {0}")]
pub(super) struct GossipError(String);

/// The behaviour for `topic`; with `silent` it joins no topic, so that nothing is sent or received.
pub(super) fn behaviour(topic: &IdentTopic, silent: bool) -> Result<Behaviour, GossipError> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(blake3::hash(&message.data).as_bytes()))
        .max_transmit_size(TRANSMIT_MAX_BYTES)
        .max_publish_messages(64)
        .max_control_messages_sent(CONTROL_IDS)
        .max_control_message_size(CONTROL_MAX_BYTES)
        .duplicate_cache_time(limits::GOSSIP_REMEMBERED)
        // Up to nine members everyone is everyone's neighbour: one hop. At 150 members it is two or three.
        .mesh_n(8)
        .mesh_n_low(5)
        .mesh_n_high(14)
        .mesh_outbound_min(2)
        .gossip_lazy(8)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(Duration::from_secs(1))
        // Members that reconnect are taken back at once; the default would leave them out for a minute.
        .prune_backoff(Duration::from_secs(10))
        // Own messages go to the mesh only: at 150 members a publisher would otherwise send 7 MiB per message.
        .flood_publish(false)
        .connection_handler_queue_len(limits::GOSSIP_QUEUE)
        .build()
        .map_err(|e| GossipError(e.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(HashSet::from([topic.hash()])),
        max_subscribed_topics: 1,
        max_subscriptions_per_request: 4,
    };
    let mut behaviour = Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|e| GossipError(e.to_owned()))?;
    if !silent {
        behaviour.subscribe(topic).map_err(|e| GossipError(format!("{e:?}")))?;
    }
    Ok(behaviour)
}
