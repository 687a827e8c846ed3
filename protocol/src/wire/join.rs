//! `/verbund/1/join`: all that a stranger may say, and is told.

use serde::{Deserialize, Serialize};

use crate::charter::certificate::CharterBundle;
use crate::codec::bounded;
use crate::ids::{Handle, Sha256};
use crate::limits::{ANSWER_CHARTERS_MAX, ANSWER_PARTS_MAX, IDENTITY_CHAIN_MAX, LEAF_MAX_BYTES, MEMBERS_MAX};

/// What a stranger may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Certified charters from this version on. Served to all: whoever knows the federation's id may check who is in it.
    Charters {
        /// First version.
        from: u64,
    },
    /// A request to join, with a ticket.
    Lodge(Box<Lodge>),
    /// How far is my request?
    Progress {
        /// The request, by payload hash.
        request: Sha256,
    },
    /// Charters that the answerer may lack: a member's way to tell a node that was rolled back.
    Newer(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_CHARTERS_MAX>")] Vec<CharterBundle>),
}

/// A request to join and what it rests on. All parts are envelope bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lodge {
    /// The ticket.
    pub ticket: [u8; 16],
    /// Its secret.
    pub secret: [u8; 32],
    /// The identity chain, from version 1 on.
    #[serde(deserialize_with = "bounded::envelopes::<_, IDENTITY_CHAIN_MAX>")]
    pub identities: Vec<Vec<u8>>,
    /// The writer for this federation.
    #[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")]
    pub writer: Vec<u8>,
    /// The request.
    #[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")]
    pub request: Vec<u8>,
    /// How the node can be reached.
    #[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")]
    pub node_info: Vec<u8>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Charters`.
    Charters(#[serde(deserialize_with = "bounded::list::<_, _, ANSWER_CHARTERS_MAX>")] Vec<CharterBundle>),
    /// The request is logged; members decide.
    Lodged,
    /// To `Progress`.
    Progress(Progress),
    /// The request was refused.
    Refused(Refused),
    /// To `Newer`.
    Thanks,
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Members decide.
    Waiting {
        /// Handles of the voting members, and whether each approved.
        #[serde(deserialize_with = "bounded::list::<_, _, MEMBERS_MAX>")]
        approvals: Vec<(Handle, bool)>,
        /// How many are needed.
        needed: u32,
    },
    /// The issuer's operator refused.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The requester stands in this charter version.
    Member {
        /// The version.
        version: u64,
        /// How the members' nodes can be reached: node_info envelopes.
        #[serde(deserialize_with = "bounded::envelopes::<_, ANSWER_PARTS_MAX>")]
        nodes: Vec<Vec<u8>>,
    },
    /// Nothing is known of it.
    Unknown,
}

/// Why a request to join was refused. The newcomer shows it to its operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// No such ticket, or another secret.
    #[error("the ticket is not known to this node; ask for a new one")]
    UnknownTicket,
    /// Too late.
    #[error("the ticket has expired; ask for a new one")]
    Expired,
    /// Another member used it.
    #[error("the ticket was already used by another member; ask for a new one")]
    Used,
    /// The ticket is for another handle.
    #[error("the ticket is for {0}")]
    OtherHandle(Handle),
    /// A document in the request is wrong.
    #[error("the request was refused: {0}")]
    Invalid(String),
    /// The member is already in.
    #[error("this member is already in the federation")]
    AlreadyMember,
    /// The handle belongs to another member.
    #[error("the handle {0} belongs to another member")]
    HandleTaken(Handle),
    /// The node cannot take requests now.
    #[error("the node cannot take requests now: {0}; try again later")]
    NotNow(String),
}
