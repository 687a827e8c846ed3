//! What goes into the machine and what comes out of it.
//!
//! Owns the vocabulary between the machine and its caller; no behaviour.

use serde::{Deserialize, Serialize};

use super::message::{Message, Refusal};
use crate::ids::Sha256;

/// Where a member is within a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Nothing eligible, nothing heard.
    Idle,
    /// Waiting for the proposal.
    Propose,
    /// Has prevoted.
    Prevote,
    /// Has precommitted.
    Precommit,
    /// The height is decided.
    Decided,
}

/// What a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeoutKind {
    /// `timeoutPropose`: the proposal (line 21).
    Propose,
    /// `timeoutPrevote`: a quorum of equal prevotes (line 35).
    Prevote,
    /// `timeoutPrecommit`: a quorum of equal precommits (line 48).
    Precommit,
}

/// What happens to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The own candidate: a value that is valid here and that this member would propose. `None`: there is none any more.
    Eligible {
        /// Hash of the charter payload.
        value: Option<Sha256>,
    },
    /// The verdict on a value that [`Output::Check`] asked about; later ones are welcome too. Verdicts on other values are
    /// ignored. `true` is final.
    Valid {
        /// Hash of the charter payload.
        value: Sha256,
        /// Whether it is the payload of an eligible charter.
        valid: bool,
    },
    /// A verified message for this height, own ones included (from the journal, or from peers after a rollback).
    Received(Message),
    /// A certificate: verified precommits of one round for one value, by a quorum.
    Certified {
        /// The precommits.
        precommits: Vec<Message>,
    },
    /// A timer went off.
    Timeout {
        /// Which one.
        kind: TimeoutKind,
        /// The round it was set for.
        round: u32,
    },
    /// Whether this member may sign now. A new or restored machine may not.
    MaySign(bool),
    /// The machine was restored: timers are set, questions asked and own messages of the round handed out again.
    Restart,
}

/// What the caller has to do, in order, once the state or the own messages are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Sign and send to all; store it first. The machine has already counted it.
    Send(Message),
    /// Come back with [`Input::Timeout`]. Timers of rounds that are over may be dropped.
    Timer {
        /// Which one.
        kind: TimeoutKind,
        /// For which round.
        round: u32,
        /// After how long, in milliseconds.
        delay_ms: u64,
    },
    /// Answer with [`Input::Valid`] as soon as there is a verdict, and again when "not valid" becomes "valid".
    Check {
        /// Hash of the charter payload.
        value: Sha256,
    },
    /// A round begins.
    Entered {
        /// The round.
        round: u32,
    },
    /// This member is locked on a value now.
    Locked {
        /// The value.
        value: Sha256,
        /// The round of the quorum of prevotes.
        round: u32,
    },
    /// The height is decided; nothing more will be sent.
    Decide {
        /// Hash of the new charter's payload.
        value: Sha256,
        /// The round of the precommits.
        round: u32,
        /// At least k precommits by different members.
        precommits: Vec<Message>,
    },
    /// A member said two different things in one round and kind.
    Evidence {
        /// What was held first.
        first: Message,
        /// What contradicts it.
        second: Message,
    },
    /// The message was not taken and is not held.
    Refused {
        /// The message.
        message: Message,
        /// Why.
        reason: Refusal,
    },
}

/// A value and the round in which it had a quorum of prevotes (`lockedValue, lockedRound`; `validValue, validRound`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Hash of the charter payload.
    pub value: Sha256,
    /// The round.
    pub round: u32,
}

/// How a height ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Hash of the new charter's payload.
    pub value: Sha256,
    /// The round of the precommits.
    pub round: u32,
    /// At least k precommits by different members.
    pub precommits: Vec<Message>,
}
