//! Invitations, joining and peers.

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{FederationId, Handle, PeerId, Sha256};

use super::{Connection, MemberRow, Moment, request};

request! {
    /// Invite a member.
    InviteRequest {
        /// For whom.
        handle: String,
        /// How long the ticket can be used, in milliseconds; absent: 7 days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_ms: Option<u64>,
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// The one line to hand over. It carries a secret: whoever uses it first can lodge a request.
    pub ticket: String,
    /// Federation slug.
    pub federation: String,
    /// For whom.
    pub handle: Handle,
    /// Until when a request can be lodged with it.
    pub valid_until: Moment,
    /// Addresses in the ticket, `host:port`.
    pub addresses: Vec<String>,
    /// What might keep the newcomer from reaching this node, such as only loopback addresses.
    #[serde(default)]
    pub warnings: Vec<String>,
}

request! {
    /// Use a ticket.
    PeerAddRequest {
        /// The line that `invite` printed.
        ticket: String,
    }
}

request! {
    /// How a join proceeds.
    JoinProgressRequest {}
}

/// A join from the newcomer's side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joining {
    /// Federation slug.
    pub slug: String,
    /// Federation id.
    pub federation: FederationId,
    /// Federation name.
    pub name: String,
    /// Fingerprint of the federation.
    pub federation_fingerprint: String,
    /// Fingerprint of this member.
    pub member_fingerprint: String,
    /// Charter hash that the ticket named and the served chain contains.
    pub charter: Sha256,
    /// The node that was reached, its key verified.
    pub peer: PeerId,
    /// How far it is.
    pub state: JoinState,
}

/// How far a join is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JoinState {
    /// Lodged; the members decide.
    Lodged {
        /// Approvals so far.
        approvals: u32,
        /// Approvals needed.
        needed: u32,
        /// Who approved.
        approved_by: Vec<Handle>,
    },
    /// Refused.
    Refused {
        /// Stable reason.
        code: String,
        /// In words.
        reason: String,
        /// By whom, if a member refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Handle>,
    },
    /// Admitted.
    Admitted {
        /// By this charter version.
        charter_version: u64,
        /// Members connected.
        connected: u32,
        /// Other members there are.
        of: u32,
    },
}

request! {
    /// A peer is named.
    PeerRequest {
        /// Handle or peer id.
        peer: String,
        /// Why, for the audit; blocking and pausing should say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
}

/// All peers of a federation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerList {
    /// By handle.
    pub peers: Vec<PeerRow>,
}

/// A peer in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Federation slug.
    pub federation: String,
    /// The member it belongs to, with everything `status` says about it.
    #[serde(flatten)]
    pub member: MemberRow,
}

/// A peer in detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// As in a list.
    #[serde(flatten)]
    pub row: PeerRow,
    /// Addresses known, `host:port`, with where each was learned and how the last try went.
    pub addresses: Vec<AddressView>,
    /// Software version it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Protocol version it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// Round trip of the last ping, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// Bytes received from it since the start.
    pub bytes_received: u64,
    /// Bytes sent to it since the start.
    pub bytes_sent: u64,
    /// Faults counted against it, by reason.
    pub faults: std::collections::BTreeMap<String, u64>,
    /// Entries of its log that are void, the newest ones: at most [`super::VOID_MAX`].
    #[serde(default)]
    pub void_entries: Vec<super::VoidEntry>,
    /// An operator's reason for a pause or block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An address of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddressView {
    /// `host:port`.
    pub address: String,
    /// `ticket`, `node_info`, `operator`, …
    pub source: String,
    /// The last error, if the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A ping's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// Whose.
    pub handle: Handle,
    /// Its key, as proved in the handshake.
    pub peer: PeerId,
    /// The connection that was used.
    pub connection: Connection,
    /// Round trip in microseconds.
    pub round_trip_us: u64,
}
