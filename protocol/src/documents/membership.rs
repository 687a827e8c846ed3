//! Documents about who belongs to a federation: writer, node_info, request, approval, ordering message, leave.

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, plain, plain_opt};
pub use crate::charter::order::Kind as VoteKind;
use crate::ids::{FederationId, Handle, MemberId, PeerId, Sha256};
use crate::limits::{ADDRESS_MAX_BYTES, ADDRESSES_MAX};

/// Where a log ends: nothing from index `size` on counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogEnd {
    /// The node that wrote the log.
    pub log: PeerId,
    /// Entries that stay valid.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Sha256,
}

/// Which node writes a member's log in a federation. Signed by the member's root threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The federation; absent only in the founder's first writer, which exists before the federation has an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationId>,
    /// Whose log.
    pub member: MemberId,
    /// 1, then the one before plus one.
    pub seq: u64,
    /// SHA-256 of the writer before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Sha256>,
    /// The node that writes.
    pub peer: PeerId,
    /// Where the predecessor's log ends; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<LogEnd>,
}

impl Document for Writer {
    const TYPE: &'static str = "application/vnd.verbund.writer.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        let first = self.seq == 1;
        if self.seq == 0 || first == self.prev.is_some() || first == self.closes.is_some() {
            return Err(DocumentError::Rule { key: "seq", rule: "1 without prev and closes, later ones with both" });
        }
        if !first && self.federation.is_none() {
            return Err(DocumentError::Rule { key: "federation", rule: "only a founder's first writer has none" });
        }
        Ok(())
    }
}

/// How a node can be reached. Signed by its node key; the newest `time_s` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The federation; a node has other addresses in each.
    pub federation: FederationId,
    /// The node.
    pub peer: PeerId,
    /// Seconds since 1970, only to order the node's own statements.
    pub time_s: u64,
    /// `host:port`, IPv6 in brackets; what others should dial.
    pub addresses: Vec<String>,
    /// Name and version of the software.
    pub software: String,
    /// Highest wire protocol version spoken.
    pub protocol: u32,
}

impl Document for NodeInfo {
    const TYPE: &'static str = "application/vnd.verbund.node-info.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        check_addresses(&self.addresses)?;
        plain("software", &self.software)
    }
}

/// Checks addresses by their form: what can be dialled is found by dialling.
pub(crate) fn check_addresses(addresses: &[String]) -> Result<(), DocumentError> {
    let ok = |a: &String| (3..=ADDRESS_MAX_BYTES).contains(&a.len()) && a.bytes().all(|b| b.is_ascii_graphic());
    if addresses.len() > ADDRESSES_MAX || !addresses.iter().all(ok) {
        return Err(DocumentError::Rule { key: "addresses", rule: "at most 16 of host:port in ASCII" });
    }
    Ok(())
}

/// A member asks to join. Signed by its approver threshold; the identity chain and writer travel beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The federation.
    pub federation: FederationId,
    /// Who asks.
    pub member: MemberId,
    /// Under which handle.
    pub handle: Handle,
    /// The charter that it was shown.
    pub charter: Sha256,
    /// The agreement that it accepts, by hash; absent if the federation has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Sha256>,
    /// Its newest identity.
    pub identity: Sha256,
    /// Its writer for this federation.
    pub writer: Sha256,
    /// Seconds since 1970, as the requester's clock says; shown, and bounds how long the request is listed.
    pub time_s: u64,
}

impl Document for Request {
    const TYPE: &'static str = "application/vnd.verbund.request.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}

/// Whether a member has a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Votes, counts in n.
    Full,
    /// All rights but the vote; not in n.
    Associate,
}

/// One change of a charter: what is approved. Has neither proposer, time nor nonce, so that equal wishes are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// A member comes in.
    Admit {
        /// Who.
        member: MemberId,
        /// The handle bound to it from now on.
        handle: Handle,
        /// With or without vote.
        standing: Standing,
        /// Its identity.
        identity: Sha256,
        /// Its writer.
        writer: Sha256,
    },
    /// A member goes; the charter's `stops` say where its logs end.
    Expel {
        /// Who.
        member: MemberId,
    },
    /// A member's entry, or a rule, changes. Absent parts stay.
    Amend {
        /// Whose entry changes, if any does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<MemberId>,
        /// Its new handle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handle: Option<Handle>,
        /// Its new standing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        standing: Option<Standing>,
        /// Its newer identity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<Sha256>,
        /// Its newer writer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        writer: Option<Sha256>,
        /// The federation's new name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The new default licence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        license: Option<String>,
    },
}

/// A member approves a change of the charter `base_version`. Signed by its approver threshold; not exclusive; lapses with the
/// next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The federation.
    pub federation: FederationId,
    /// Who approves.
    pub member: MemberId,
    /// The charter version that is changed.
    pub base_version: u64,
    /// What is approved.
    pub change: Change,
}

impl Document for Approval {
    const TYPE: &'static str = "application/vnd.verbund.approval.v1+json";
    const CANONICAL: bool = true;
    fn check(&self) -> Result<(), DocumentError> {
        if let Change::Amend { member, handle, standing, identity, writer, name, license } = &self.change {
            let of_member = handle.is_some() || standing.is_some() || identity.is_some() || writer.is_some();
            if of_member != member.is_some() {
                return Err(DocumentError::Rule { key: "change", rule: "a member is named with what changes of it" });
            }
            if !of_member && name.is_none() && license.is_none() {
                return Err(DocumentError::Rule { key: "change", rule: "an amendment changes something" });
            }
            plain_opt("change.name", name.as_deref())?;
            plain_opt("change.license", license.as_deref())?;
        }
        Ok(())
    }
}

/// One message of the agreement on the next charter version. Signed by the node key of the writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordering {
    /// The federation; absent only for the genesis, whose payload's hash it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationId>,
    /// SHA-256 of the charter that is followed; absent for the genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Sha256>,
    /// The charter version that is agreed on.
    pub height: u64,
    /// Round, from 0.
    pub round: u32,
    /// Proposal, prevote or precommit.
    #[serde(rename = "type")]
    pub kind: VoteKind,
    /// SHA-256 of the charter payload; absent for a vote for nothing.
    pub value: Option<Sha256>,
    /// Round of the polka that a proposal rests on.
    pub pol_round: Option<u32>,
    /// Who votes.
    pub member: MemberId,
    /// By which node.
    pub writer: PeerId,
}

impl Document for Ordering {
    const TYPE: &'static str = "application/vnd.verbund.ordering.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        let proposal = self.kind == VoteKind::Proposal;
        if proposal && self.value.is_none() {
            return Err(DocumentError::Rule { key: "value", rule: "a proposal has one" });
        }
        if !proposal && self.pol_round.is_some() || self.pol_round.is_some_and(|p| p >= self.round) {
            return Err(DocumentError::Rule { key: "pol_round", rule: "of proposals only, and of an earlier round" });
        }
        let genesis = self.height == 1;
        if self.height == 0 || genesis != self.prev.is_none() || genesis != self.federation.is_none() {
            return Err(DocumentError::Rule {
                key: "prev",
                rule: "absent with federation at height 1, else both present",
            });
        }
        Ok(())
    }
}

/// The member leaves. Signed by its approver threshold; needs nobody's consent; the last entry of its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The federation.
    pub federation: FederationId,
    /// Who leaves.
    pub member: MemberId,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds since 1970.
    pub time_s: u64,
}

impl Document for Leave {
    const TYPE: &'static str = "application/vnd.verbund.leave.v1+json";
    fn check(&self) -> Result<(), DocumentError> {
        plain_opt("reason", self.reason.as_deref())
    }
}
