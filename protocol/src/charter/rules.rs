//! What a charter says, and what the next one must say after a change.
//!
//! Owns the content: given a charter and a change, the next charter is determined to the byte (but for the `stops` of an
//! expulsion). Signatures are counted in [`super::certificate`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::documents::{Change, LogEnd, Standing, plain, plain_opt};
use crate::ids::{FederationId, Handle, MemberId, Sha256, Slug};
use crate::json::{self, JsonError};
use crate::limits::{CHARTER_MAX_BYTES, MEMBERS_MAX, STOPS_MAX};

/// Why a charter, or a change of one, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Malformed or not canonical.
    #[error("charter: {0}")]
    Json(#[from] JsonError),
    /// Does not fit a leaf.
    #[error("charter of {0} bytes is over the limit of {CHARTER_MAX_BYTES}")]
    TooLong(usize),
    /// A value breaks a rule.
    #[error("charter: {0}")]
    Content(String),
    /// The change cannot be applied to the charter that it names.
    #[error("change: {0}")]
    Change(&'static str),
}

/// The agreement that members accept by joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Title, as printed on it.
    pub title: String,
    /// Where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// SHA-256 of the file, which is what is accepted.
    pub sha256: Sha256,
}

/// Rules that hold in the whole federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Display name.
    pub name: String,
    /// Short name in addresses.
    pub slug: Slug,
    /// The agreement, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Licence of releases that name none (SPDX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Terms of releases that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
}

/// One member as the charter lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub member: MemberId,
    /// What people call it; unique in the charter.
    pub handle: Handle,
    /// With or without vote.
    pub standing: Standing,
    /// Hash of its identity at this version.
    pub identity: Sha256,
    /// Hash of its writer at this version.
    pub writer: Sha256,
}

/// The payload of a charter. Its canonical bytes are what is hashed, agreed on and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// 1 for the genesis, then the one before plus one.
    pub version: u64,
    /// The federation; absent in the genesis, whose payload's hash it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<FederationId>,
    /// SHA-256 of the charter before; absent in the genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Sha256>,
    /// What changed; absent in the genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Seconds since 1970 of the founding, as the founder's clock said. Makes two foundings different.
    pub founded_s: u64,
    /// The rules.
    pub rules: Rules,
    /// Members, ascending by id.
    pub members: Vec<Member>,
    /// After an expulsion: where the member's logs end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<LogEnd>,
    /// The federation that this one was founded to replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<FederationId>,
}

/// How many of `voting` members must agree: ⌊2n/3⌋ + 1.
pub const fn quorum(voting: usize) -> usize {
    2 * voting / 3 + 1
}

impl Charter {
    /// The first charter of a federation, with its founder as the only member.
    pub fn genesis(rules: Rules, founder: Member, founded_s: u64, predecessor: Option<FederationId>) -> Self {
        Self {
            version: 1,
            federation: None,
            prev: None,
            change: None,
            founded_s,
            rules,
            members: vec![founder],
            stops: Vec::new(),
            predecessor,
        }
    }

    /// Reads a charter and checks its content by itself.
    ///
    /// # Errors
    /// [`RuleError`] naming the rule.
    pub fn parse(payload: &[u8]) -> Result<Self, RuleError> {
        if payload.len() > CHARTER_MAX_BYTES {
            return Err(RuleError::TooLong(payload.len()));
        }
        let charter: Self = json::parse_canonical(payload)?;
        charter.check()?;
        Ok(charter)
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`RuleError`] if the content breaks a rule or is too long.
    pub fn payload(&self) -> Result<Vec<u8>, RuleError> {
        self.check()?;
        let payload = json::to_canonical(self)?;
        if payload.len() > CHARTER_MAX_BYTES {
            return Err(RuleError::TooLong(payload.len()));
        }
        Ok(payload)
    }

    /// The entry of `member`.
    pub fn member(&self, member: &MemberId) -> Option<&Member> {
        self.members.iter().find(|m| m.member == *member)
    }
    /// The entry that has `handle`.
    pub fn by_handle(&self, handle: &Handle) -> Option<&Member> {
        self.members.iter().find(|m| m.handle == *handle)
    }
    /// Ids of the members that vote, ascending.
    pub fn voting(&self) -> Vec<MemberId> {
        let votes = |m: &&Member| m.standing == Standing::Full || crate::seeded::bug("associate_votes");
        self.members.iter().filter(votes).map(|m| m.member).collect()
    }
    /// How many voting members must agree on the next version.
    pub fn quorum(&self) -> usize {
        quorum(self.voting().len())
    }
    /// Cosignatures by *other* members that make a checkpoint witnessed: k − 1.
    pub fn witnesses_needed(&self) -> usize {
        self.quorum() - 1
    }

    /// The charter that follows from this one (whose payload has `hash`) by `change`.
    ///
    /// `stops` is empty but for an expulsion.
    ///
    /// # Errors
    /// [`RuleError::Change`] if the change cannot be applied.
    pub fn next(&self, hash: Sha256, change: &Change, stops: &[LogEnd]) -> Result<Self, RuleError> {
        let mut next = self.clone();
        next.federation = Some(self.federation.unwrap_or(FederationId(hash.0)));
        next.version = self.version + 1;
        next.prev = Some(hash);
        next.change = Some(change.clone());
        next.stops = stops.to_vec();
        next.apply(change)?;
        if !stops.is_empty() && !matches!(change, Change::Expel { .. }) {
            return Err(RuleError::Change("only an expulsion has stops"));
        }
        next.check()?;
        Ok(next)
    }

    fn apply(&mut self, change: &Change) -> Result<(), RuleError> {
        match change {
            Change::Admit { member, handle, standing, identity, writer } => {
                if self.member(member).is_some() {
                    return Err(RuleError::Change("the member is already in"));
                }
                if self.by_handle(handle).is_some() {
                    return Err(RuleError::Change("the handle belongs to another member"));
                }
                let (member, handle, standing) = (*member, handle.clone(), *standing);
                self.members.push(Member { member, handle, standing, identity: *identity, writer: *writer });
                self.members.sort_by_key(|m| m.member);
            }
            Change::Expel { member } => {
                let before = self.members.len();
                self.members.retain(|m| m.member != *member);
                if self.members.len() == before {
                    return Err(RuleError::Change("the member is not in"));
                }
            }
            Change::Amend { member, handle, standing, identity, writer, name, license } => {
                if let Some(handle) = handle
                    && self.by_handle(handle).is_some_and(|m| Some(m.member) != *member)
                {
                    return Err(RuleError::Change("the handle belongs to another member"));
                }
                if let Some(id) = member {
                    let entry = self.members.iter_mut().find(|m| m.member == *id);
                    let entry = entry.ok_or(RuleError::Change("the member is not in"))?;
                    handle.iter().for_each(|v| entry.handle = v.clone());
                    standing.iter().for_each(|v| entry.standing = *v);
                    identity.iter().for_each(|v| entry.identity = *v);
                    writer.iter().for_each(|v| entry.writer = *v);
                }
                name.iter().for_each(|v| self.rules.name = v.clone());
                license.iter().for_each(|v| self.rules.license = Some(v.clone()));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), RuleError> {
        let refuse = |why: &str| Err(RuleError::Content(why.to_owned()));
        let genesis = self.version == 1;
        if self.version == 0
            || genesis == self.federation.is_some()
            || genesis == self.prev.is_some()
            || genesis == self.change.is_some()
        {
            return refuse("version 1 has no federation, prev and change; later versions have all three");
        }
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return refuse("1 to 150 members");
        }
        if genesis && (self.members.len() != 1 || !self.stops.is_empty()) {
            return refuse("the genesis has its founder alone");
        }
        if !self.members.windows(2).all(|pair| pair[0].member < pair[1].member) {
            return refuse("members ascend by id, each once");
        }
        let handles: BTreeSet<_> = self.members.iter().map(|m| &m.handle).collect();
        if handles.len() != self.members.len() {
            return refuse("a handle belongs to one member");
        }
        if self.voting().is_empty() {
            return refuse("at least one member votes");
        }
        if self.stops.len() > STOPS_MAX || !self.stops.windows(2).all(|pair| pair[0].log < pair[1].log) {
            return refuse("stops ascend by log, each once");
        }
        let texts = [
            plain("name", &self.rules.name),
            plain_opt("license", self.rules.license.as_deref()),
            plain_opt("terms", self.rules.terms.as_deref()),
            self.rules.agreement.as_ref().map_or(Ok(()), |a| plain("agreement.title", &a.title)),
            plain_opt("agreement.uri", self.rules.agreement.as_ref().and_then(|a| a.uri.as_deref())),
        ];
        texts.into_iter().collect::<Result<(), _>>().map_err(|e| RuleError::Content(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::CHARTER_TYPE;
    use crate::envelope::Envelope;

    #[test]
    fn the_longest_charter_fits_a_leaf() {
        Envelope::sign(CHARTER_TYPE, vec![b' '; CHARTER_MAX_BYTES], []).unwrap();
    }
}
