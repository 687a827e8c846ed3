//! The catalogue (Prozessbibliothek): processes and releases as they stand, for one viewer.
//!
//! Owns every question that is answered from releases and what was said about them: lists, versions, references, who vouches. A
//! pure reading of rows; decides nothing and keeps nothing. What a viewer must not see does not exist for it.

mod list;
mod owners;
mod reference;
mod said;
#[cfg(test)]
pub(crate) mod tests;
mod voids;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use semver::Version;

use super::charters::Charters;
use super::moved;
use super::rows::{Rows, RowsError, Table};
use super::state::{self, CosignedRow, EntryRow, LeafAt, LogRow, ReleaseRow, key};
use crate::charter::certificate::Certified;
use crate::ids::{Handle, MemberId, PeerId, Sha256, Slug};
use crate::limits::MEMBERS_MAX;
use crate::release::metadata::Audience;

pub use list::{Filter, Page, Place, SCANNED_MAX};
pub use owners::{Name, Owner, Owners};
pub use reference::{Reference, ReferenceError, Selector, Target};
pub use said::{Effect, STATEMENTS_MAX, Said};
pub use voids::Void;

/// Versions of one process that are looked at. A process with more shows those that come first as text.
pub const VERSIONS_MAX: usize = 2_000;

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// The operator of a node: titles of all releases reach all members.
    Operator,
    /// A system of this member: what the member may have.
    Member {
        /// The member, which sees its own releases in any case.
        member: MemberId,
        /// Its handle; `None` if it is in the federation no more.
        handle: Option<Handle>,
    },
    /// Everybody: what is public.
    Public,
}

impl Viewer {
    /// Whether releases of `owner` with this audience exist for the viewer.
    pub fn sees(&self, owner: &MemberId, audience: &Audience) -> bool {
        match self {
            Self::Operator => true,
            Self::Member { member, .. } if member == owner => true,
            Self::Member { handle: Some(handle), .. } => audience.admits(handle),
            Self::Member { handle: None, .. } | Self::Public => *audience == Audience::Public,
        }
    }
}

/// A release with what holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As it was published.
    pub row: ReleaseRow,
    /// Its version.
    pub version: Version,
    /// Title, audience and state with all statements considered.
    pub effect: Effect,
    /// Complete and verified on this node.
    pub held: bool,
    /// Why it does not count, if it does not.
    pub void: Option<String>,
}

impl Listed {
    /// Where it stands.
    pub const fn place(&self) -> (PeerId, u64) {
        (self.row.log, self.row.index)
    }
    fn offered(&self) -> bool {
        self.effect.withdrawn.is_none()
    }
    fn stable(&self) -> bool {
        self.version.pre.is_empty()
    }
}

/// Who vouches that a release stands in its log: other members that cosigned a checkpoint which covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnesses {
    /// Members, ascending by id.
    pub by: Vec<MemberId>,
    /// Other members that could.
    pub of: usize,
    /// How many are needed.
    pub needed: usize,
    /// Whether it is witnessed.
    pub reached: bool,
    /// The charter by which they are counted: the last one in the log.
    pub charter: u64,
}

/// Why a reference leads to no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No such member.
    #[error("no member {0} in this federation, now or before")]
    Owner(Name),
    /// No such process.
    #[error("{0} has no process {1}")]
    Process(Name, Slug),
    /// No such version.
    #[error("{process} has no version {wanted}; there are: {there}")]
    Version {
        /// The process.
        process: String,
        /// What was asked for.
        wanted: String,
        /// What there is, highest first.
        there: String,
    },
    /// Everything that would fit is withdrawn or not stable.
    #[error("{process} has no stable version{wanted} that is not withdrawn; name one exactly: {there}")]
    NotOffered {
        /// The process.
        process: String,
        /// The range, if one was given.
        wanted: String,
        /// What there is, highest first.
        there: String,
    },
    /// No release has this hash.
    #[error("no release {0} in this federation")]
    Digest(Sha256),
}

/// The catalogue of one federation at the moment of its opening.
pub struct Catalogue<'a> {
    rows: &'a dyn Rows,
    charters: &'a Charters,
    charter: Arc<Certified>,
    owners: Owners,
    logs: BTreeMap<PeerId, LogRow>,
    cosigned: RefCell<BTreeMap<PeerId, Rc<Cosigners>>>,
}

/// How far which member cosigned a log.
struct Cosigners {
    sizes: BTreeMap<MemberId, u64>,
    of: usize,
    needed: usize,
    charter: u64,
}

impl<'a> Catalogue<'a> {
    /// Opens the catalogue; `None` while no charter is known.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn open(rows: &'a dyn Rows, charters: &'a Charters) -> Result<Option<Self>, RowsError> {
        let Some(charter) = charters.newest(rows)? else { return Ok(None) };
        let logs = state::logs(rows)?.into_iter().collect();
        let owners = Owners::load(rows, charters, &charter, &logs)?;
        Ok(Some(Self { rows, charters, charter, owners, logs, cosigned: RefCell::default() }))
    }

    /// The newest charter.
    pub const fn charter(&self) -> &Arc<Certified> {
        &self.charter
    }

    /// Owners of processes.
    pub const fn owners(&self) -> &Owners {
        &self.owners
    }

    /// A member's own systems as a viewer.
    pub fn viewer(&self, member: MemberId) -> Viewer {
        Viewer::Member { member, handle: self.charter.charter.member(&member).map(|m| m.handle.clone()) }
    }

    /// The name of a release's process in references.
    pub fn process_name(&self, row: &ReleaseRow) -> String {
        let named = self.owners.get(&row.member).map_or(Name::Member(row.member), |owner| owner.named.clone());
        format!("{named}/{}", row.slug)
    }

    /// Where a process went, as references name it, if it has moved.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn moved_to(&self, member: &MemberId, slug: &Slug) -> Result<Option<String>, RowsError> {
        let moved = moved::of(self.rows, member, slug)?;
        Ok(moved.map(|moved| {
            let named = self.owners.get(&moved.to).map_or(Name::Member(moved.to), |owner| owner.named.clone());
            format!("{named}/{}", moved.slug)
        }))
    }

    /// Handles of members, as far as they have one.
    pub fn handles(&self, members: &[MemberId]) -> Vec<Handle> {
        members.iter().filter_map(|member| self.owners.get(member)).map(|owner| owner.handle.clone()).collect()
    }

    /// The versions of a process that exist for the viewer, highest first. Those that do not count are shown to the operator only.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn versions(&self, member: &MemberId, slug: &Slug, viewer: &Viewer) -> Result<Vec<Listed>, RowsError> {
        let rows = state::list(self.rows, Table::Releases, &key::process(member, slug), VERSIONS_MAX)?;
        let said = Said::about(self.rows, member, slug)?;
        self.listed(rows, &said, viewer)
    }

    /// What was said about a process.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn said(&self, member: &MemberId, slug: &Slug) -> Result<Said, RowsError> {
        Said::about(self.rows, member, slug)
    }

    /// Releases of one process with what holds of them, highest first, as far as they exist for the viewer.
    fn listed(&self, rows: Vec<ReleaseRow>, said: &Said, viewer: &Viewer) -> Result<Vec<Listed>, RowsError> {
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(version) = Version::parse(&row.version) else { continue };
            let void = self.void(&row);
            if void.is_some() && *viewer != Viewer::Operator {
                continue;
            }
            let effect = said.of(self.rows, &row)?;
            if !viewer.sees(&row.member, &effect.audience) {
                continue;
            }
            let held = void.is_none() && self.rows.get(Table::Local, &key::missing(&row.log, row.index))?.is_none();
            out.push(Listed { row, version, effect, held, void });
        }
        out.sort_by(|a, b| b.version.cmp(&a.version));
        Ok(out)
    }

    fn void(&self, row: &ReleaseRow) -> Option<String> {
        let log = self.logs.get(&row.log);
        match log.and_then(LogRow::end) {
            _ if log.is_some_and(|log| log.counts(row.index)) => None,
            Some(end) => Some(format!("the log of its publisher ends at {end}, before entry {}", row.index)),
            None => Some("the log of its publisher does not count".to_owned()),
        }
    }

    /// The release that a reference leads to, for this viewer.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails; the inner error says why there is none.
    pub fn resolve(&self, target: &Target, viewer: &Viewer) -> Result<Result<Listed, Unresolved>, RowsError> {
        match target {
            Target::Release(digest) => {
                let process = self.rows.get(Table::Releases, &key::release_id(digest))?;
                let found = match process {
                    Some(process) => self.standing(&process, viewer)?.filter(|listed| listed.row.id == *digest),
                    None => None,
                };
                Ok(found.ok_or(Unresolved::Digest(*digest)))
            }
            Target::Process { owner, slug, selector } => {
                let Some(found) = self.owners.named(owner) else { return Ok(Err(Unresolved::Owner(owner.clone()))) };
                let versions = self.versions(&found.member, slug, viewer)?;
                Ok(choose(versions, owner, slug, selector))
            }
        }
    }

    /// The release at a place of a log, if it counts and exists for the viewer.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn at(&self, (log, index): (PeerId, u64), viewer: &Viewer) -> Result<Option<Listed>, RowsError> {
        let Some(process) = self.rows.get(Table::Releases, &key::release_at(&log, index))? else { return Ok(None) };
        // The row is that of the release that stands: of two with one version, not necessarily this one.
        Ok(self.standing(&process, viewer)?.filter(|listed| listed.place() == (log, index)))
    }

    /// The release in a row, if it counts and exists for the viewer.
    fn standing(&self, row: &[u8], viewer: &Viewer) -> Result<Option<Listed>, RowsError> {
        let Some(row) = state::get::<ReleaseRow>(self.rows, Table::Releases, row)? else { return Ok(None) };
        let said = Said::about(self.rows, &row.member, &row.slug)?;
        Ok(self.listed(vec![row], &said, viewer)?.pop().filter(|listed| listed.void.is_none()))
    }

    /// Where the statement of a release lies.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails or does not hold the entry.
    pub fn leaf(&self, row: &ReleaseRow) -> Result<LeafAt, RowsError> {
        let missing = || RowsError(format!("entry {} of {} is missing", row.index, row.log));
        let log = self.logs.get(&row.log).ok_or_else(missing)?;
        let entry: Option<EntryRow> = state::get(self.rows, Table::Entries, &key::numbered(log.number, row.index))?;
        Ok(entry.ok_or_else(missing)?.at)
    }

    /// Who vouches for a release.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn witnesses(&self, row: &ReleaseRow) -> Result<Witnesses, RowsError> {
        let cosigners = self.cosigners(&row.log)?;
        let by: Vec<_> =
            cosigners.sizes.iter().filter(|(_, size)| **size > row.index).map(|(member, _)| *member).collect();
        let proven = self.logs.get(&row.log).and_then(|log| log.witnessed).is_some_and(|(size, _)| size > row.index);
        let counted = !by.is_empty() && by.len() >= cosigners.needed;
        let Cosigners { of, needed, charter, .. } = *cosigners;
        Ok(Witnesses { by, of, needed, reached: proven || counted, charter })
    }

    /// Read once for each log: every release of it asks the same. Cosignatures were checked against the tree before they were kept.
    fn cosigners(&self, log: &PeerId) -> Result<Rc<Cosigners>, RowsError> {
        if let Some(known) = self.cosigned.borrow().get(log) {
            return Ok(known.clone());
        }
        let version = self.logs.get(log).map_or(0, |row| row.charter);
        let charter = self.charters.get(self.rows, version)?.unwrap_or_else(|| self.charter.clone());
        let owner = self.logs.get(log).and_then(|row| row.owner);
        let voting = charter.charter.voting();
        let mut sizes = BTreeMap::new();
        // A member has one node at a time that cosigns; former ones may have left rows behind.
        let rows: Vec<CosignedRow> = state::list(self.rows, Table::Promises, &key::cosigned_of(log), 8 * MEMBERS_MAX)?;
        for row in rows {
            let by = charter.member_of(&row.cosignature.peer);
            if let Some(member) = by.filter(|member| Some(*member) != owner && voting.contains(member)) {
                let size = sizes.entry(member).or_insert(0);
                *size = row.size.max(*size);
            }
        }
        let others = voting.iter().filter(|member| Some(**member) != owner).count();
        let needed = charter.charter.witnesses_needed();
        let cosigners = Rc::new(Cosigners { sizes, of: others, needed, charter: charter.charter.version });
        self.cosigned.borrow_mut().insert(*log, cosigners.clone());
        Ok(cosigners)
    }

    /// Members that write from these nodes, ascending, each once.
    pub fn members_of(&self, nodes: &[PeerId]) -> Vec<MemberId> {
        let members: BTreeSet<_> = nodes.iter().filter_map(|node| self.charter.member_of(node)).collect();
        members.into_iter().collect()
    }
}

/// The release that a selector means, of the versions of one process, highest first.
fn choose(versions: Vec<Listed>, name: &Name, slug: &Slug, selector: &Selector) -> Result<Listed, Unresolved> {
    if versions.is_empty() {
        return Err(Unresolved::Process(name.clone(), slug.clone()));
    }
    let process = format!("{name}/{slug}");
    let there = there(&versions);
    let counting = versions.into_iter().filter(|listed| listed.void.is_none());
    let wanted = |text: String| text.trim_start_matches('@').to_owned();
    match selector {
        Selector::Exact(version) => {
            let found = counting.into_iter().find(|listed| listed.version == *version);
            found.ok_or_else(|| Unresolved::Version { process, wanted: version.to_string(), there })
        }
        Selector::Digest(digest) => {
            let found = counting.into_iter().find(|listed| listed.row.id == *digest);
            found.ok_or_else(|| Unresolved::Version { process, wanted: wanted(selector.to_string()), there })
        }
        Selector::Newest => {
            let found = counting.into_iter().find(|listed| listed.stable() && listed.offered());
            found.ok_or(Unresolved::NotOffered { process, wanted: String::new(), there })
        }
        Selector::Range(range) => {
            // A range that names a pre-release admits it; a stable version that fits is preferred all the same.
            let fitting = counting.into_iter().filter(|listed| range.matches(&listed.version) && listed.offered());
            let found = fitting.min_by_key(|listed| (!listed.stable(), Reverse(listed.version.clone())));
            found.ok_or_else(|| Unresolved::NotOffered { process, wanted: format!(" {range}"), there })
        }
    }
}

/// Versions in words, highest first.
fn there(versions: &[Listed]) -> String {
    const SHOWN: usize = 8;
    let name = |listed: &Listed| match (&listed.void, listed.offered()) {
        (Some(_), _) => format!("{} (void)", listed.version),
        (None, false) => format!("{} (withdrawn)", listed.version),
        (None, true) => listed.version.to_string(),
    };
    let mut shown: Vec<_> = versions.iter().take(SHOWN).map(name).collect();
    if versions.len() > SHOWN {
        shown.push(format!("and {} more", versions.len() - SHOWN));
    }
    shown.join(", ")
}
