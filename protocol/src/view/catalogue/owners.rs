//! Who owns processes: present members by the newest charter, former ones by what their logs tell.
//!
//! Owns the way from what people write to a member id, and back. A handle always means the member that has it now; a former
//! member whose handle went to somebody else is named by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::charter::certificate::Certified;
use crate::ids::{Handle, IdError, MemberId, PeerId};
use crate::view::charters::{self, Charters};
use crate::view::rows::{Rows, RowsError};
use crate::view::state::LogRow;

/// How an owner is named in a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `de-he`
    Handle(Handle),
    /// `member:…`
    Member(MemberId),
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self::Member).or_else(|_| text.parse().map(Self::Handle))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handle(handle) => handle.fmt(f),
            Self::Member(member) => member.fmt(f),
        }
    }
}

/// A member that is, or was, in the federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub member: MemberId,
    /// Its handle by the newest charter that lists it.
    pub handle: Handle,
    /// Its display name.
    pub name: String,
    /// Whether the newest charter lists it.
    pub present: bool,
    /// How references name it.
    pub named: Name,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Owners {
    by_order: BTreeMap<(Handle, MemberId), Owner>,
    by_member: BTreeMap<MemberId, Handle>,
    present: BTreeMap<Handle, MemberId>,
}

impl Owners {
    /// Reads them for the charter `newest`.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn load(
        rows: &dyn Rows,
        charters: &Charters,
        newest: &Certified,
        logs: &BTreeMap<PeerId, LogRow>,
    ) -> Result<Self, RowsError> {
        let mut owners = Self::default();
        for entry in &newest.charter.members {
            owners.present.insert(entry.handle.clone(), entry.member);
            let name = newest.identities.get(&entry.member).map_or_else(String::new, |i| i.identity.name().to_owned());
            owners.add(entry.member, entry.handle.clone(), name, true);
        }
        let former: BTreeSet<MemberId> =
            logs.values().filter_map(|log| log.owner).filter(|m| !owners.by_member.contains_key(m)).collect();
        for member in former {
            if let Some((handle, name)) = last(rows, charters, newest, logs, member)? {
                owners.add(member, handle, name, false);
            }
        }
        Ok(owners)
    }

    fn add(&mut self, member: MemberId, handle: Handle, name: String, present: bool) {
        let taken = self.present.get(&handle).is_some_and(|other| *other != member);
        let named = if taken { Name::Member(member) } else { Name::Handle(handle.clone()) };
        self.by_member.insert(member, handle.clone());
        self.by_order.insert((handle.clone(), member), Owner { member, handle, name, present, named });
    }

    /// The owner with this id.
    pub fn get(&self, member: &MemberId) -> Option<&Owner> {
        let handle = self.by_member.get(member)?;
        self.by_order.get(&(handle.clone(), *member))
    }

    /// The owner that a reference means.
    pub fn named(&self, name: &Name) -> Option<&Owner> {
        match name {
            Name::Member(member) => self.get(member),
            Name::Handle(handle) => match self.present.get(handle) {
                Some(member) => self.get(member),
                // Nobody has it now: a former member had it. Of several, the one that is listed first, everywhere.
                None => self.from(&(handle.clone(), MemberId([0; 32]))).next().filter(|o| o.handle == *handle),
            },
        }
    }

    /// In order of handle and id, from this place on.
    pub fn from(&self, place: &(Handle, MemberId)) -> impl Iterator<Item = &Owner> {
        self.by_order.range(place.clone()..).map(|(_, owner)| owner)
    }

    /// In order of handle and id.
    pub fn all(&self) -> impl Iterator<Item = &Owner> {
        self.by_order.values()
    }
}

/// Handle and name of a former member: as of the last charter that lists it.
///
/// Starts at the charter to which its logs lead, in which it stands or which put it out.
fn last(
    rows: &dyn Rows,
    charters: &Charters,
    newest: &Certified,
    logs: &BTreeMap<PeerId, LogRow>,
    member: MemberId,
) -> Result<Option<(Handle, String)>, RowsError> {
    let own = || logs.values().filter(|log| log.owner == Some(member));
    let mut version = own().map(|log| log.charter).max().unwrap_or(0);
    let mut found = None;
    while version > 0 && found.is_none() {
        found = listed(rows, charters, version, &member)?;
        version -= 1;
    }
    let Some(mut found) = found else { return Ok(None) };
    let mut version = version + 2;
    while version < newest.charter.version {
        let Some(later) = listed(rows, charters, version, &member)? else { break };
        found = later;
        version += 1;
    }
    let identity = own().filter_map(|log| log.identity).map(|hash| charters::identity(rows, &hash));
    let mut newest = None;
    for identity in identity {
        newest = newest.max(identity?.map(|i| (i.identity.version, i.identity.name().to_owned())));
    }
    Ok(Some((found, newest.map_or_else(String::new, |(_, name)| name))))
}

fn listed(rows: &dyn Rows, charters: &Charters, version: u64, member: &MemberId) -> Result<Option<Handle>, RowsError> {
    let charter = charters.get(rows, version)?;
    Ok(charter.and_then(|c| c.charter.member(member).map(|m| m.handle.clone())))
}
