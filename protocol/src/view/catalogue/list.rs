//! Lists of processes, page by page.
//!
//! Owns the order (handle, member id, process) and the place at which a list goes on: the last process looked at, so that a page
//! neither repeats nor skips one when others come and go in between.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use super::{Catalogue, Listed, Said, VERSIONS_MAX, Viewer};
use crate::ids::{Handle, MemberId, Slug};
use crate::view::rows::{Rows, RowsError, Table};
use crate::view::state::{self, ReleaseRow, key};

/// Releases that one page looks at. A page that finds little among many ends here, and says where it goes on.
pub const SCANNED_MAX: usize = 20_000;
/// Rows read at once.
const CHUNK: usize = 256;

/// Which processes.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Text that must occur in the release shown, or in its reference; case does not matter.
    pub text: Option<String>,
    /// Only of this member.
    pub owner: Option<MemberId>,
    /// Those too of which every version is withdrawn.
    pub withdrawn: bool,
}

/// The process after which a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Handle of its owner.
    pub handle: Handle,
    /// Its owner.
    pub member: MemberId,
    /// The process.
    pub slug: Slug,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.handle, self.member, self.slug)
    }
}

impl FromStr for Place {
    type Err = crate::ids::IdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        Ok(Self { handle: part().parse()?, member: part().parse()?, slug: part().parse()? })
    }
}

/// A part of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// One release for each process.
    pub items: Vec<Listed>,
    /// Where the list goes on, if it does. A page may be empty and go on all the same.
    pub next: Option<Place>,
}

impl Catalogue<'_> {
    /// Processes that exist for the viewer, each by one release: the highest stable one that is not withdrawn, else the highest
    /// pre-release, else (if asked for) the highest withdrawn one.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn processes(
        &self,
        filter: &Filter,
        viewer: &Viewer,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page, RowsError> {
        let text = filter.text.as_ref().map(|text| text.to_lowercase());
        let mut page = Page::default();
        let mut scanned = 0;
        let start = after.map(|place| (place.handle.clone(), place.member));
        let owners: Vec<_> = match &start {
            Some(start) => self.owners().from(start).collect(),
            None => self.owners().all().collect(),
        };
        for owner in owners.into_iter().filter(|o| filter.owner.is_none_or(|m| m == o.member)) {
            let skip = after.filter(|place| place.member == owner.member && place.handle == owner.handle);
            let mut groups = Groups::new(self.rows, &owner.member, skip.map(|place| &place.slug));
            while let Some(releases) = groups.next()? {
                scanned += releases.len();
                let Some(slug) = releases.first().map(|row| row.slug.clone()) else { continue };
                if page.items.len() == limit {
                    // There is at least one more; the page ended with the process before.
                    return Ok(page);
                }
                let said = Said::about(self.rows, &owner.member, &slug)?;
                let shown = pick(self.listed(releases, &said, viewer)?, filter.withdrawn);
                if let Some(listed) = shown
                    && self.matches(&listed, text.as_deref())?
                {
                    page.items.push(listed);
                }
                page.next = Some(Place { handle: owner.handle.clone(), member: owner.member, slug });
                if scanned >= SCANNED_MAX {
                    return Ok(page);
                }
            }
        }
        page.next = None;
        Ok(page)
    }

    fn matches(&self, listed: &Listed, text: Option<&str>) -> Result<bool, RowsError> {
        let Some(text) = text else { return Ok(true) };
        if self.process_name(&listed.row).contains(text) || listed.effect.search().contains(text) {
            return Ok(true);
        }
        let ReleaseRow { member, slug, version, .. } = &listed.row;
        let searched = self.rows.get(Table::Search, &key::release(member, slug, version))?;
        Ok(searched.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)))
    }
}

/// The release by which a process is shown, of all of them, highest first.
fn pick(releases: Vec<Listed>, withdrawn: bool) -> Option<Listed> {
    let counting: Vec<_> = releases.into_iter().filter(|listed| listed.void.is_none()).collect();
    let at = |fits: fn(&Listed) -> bool| counting.iter().position(fits);
    let found = at(|l| l.stable() && l.offered()).or_else(|| at(Listed::offered));
    let found = found.or_else(|| if withdrawn { at(Listed::stable).or_else(|| at(|_| true)) } else { None });
    counting.into_iter().nth(found?)
}

/// The releases under a prefix, in order of their keys, read chunk by chunk.
struct Releases<'a> {
    rows: &'a dyn Rows,
    prefix: Vec<u8>,
    /// Where the next chunk starts; `None` at the end.
    from: Option<Vec<u8>>,
    read: VecDeque<ReleaseRow>,
}

impl<'a> Releases<'a> {
    const fn new(rows: &'a dyn Rows, prefix: Vec<u8>, from: Vec<u8>) -> Self {
        Self { rows, prefix, from: Some(from), read: VecDeque::new() }
    }

    fn fill(&mut self) -> Result<(), RowsError> {
        let Some(from) = self.from.take() else { return Ok(()) };
        let rows = self.rows.scan(Table::Releases, &self.prefix, &from, CHUNK)?;
        for (_, value) in &rows {
            self.read.push_back(state::decode(value)?);
        }
        if rows.len() == CHUNK {
            self.from = rows.last().map(|(key, _)| [key.as_slice(), &[0]].concat());
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<&ReleaseRow>, RowsError> {
        if self.read.is_empty() {
            self.fill()?;
        }
        Ok(self.read.front())
    }

    fn next(&mut self) -> Result<Option<ReleaseRow>, RowsError> {
        self.peek()?;
        Ok(self.read.pop_front())
    }
}

/// The processes of one member, each with its releases.
struct Groups<'a>(Releases<'a>);

impl<'a> Groups<'a> {
    fn new(rows: &'a dyn Rows, member: &MemberId, after: Option<&Slug>) -> Self {
        let prefix = [b"p", member.as_bytes().as_slice()].concat();
        let from = after.map_or_else(
            || prefix.clone(),
            |slug| {
                let mut from = key::process(member, slug);
                // A process's keys go on with a zero byte, and no slug has one.
                if let Some(last) = from.last_mut() {
                    *last = 1;
                }
                from
            },
        );
        Self(Releases::new(rows, prefix, from))
    }

    /// At most [`VERSIONS_MAX`] releases of the next process.
    fn next(&mut self) -> Result<Option<Vec<ReleaseRow>>, RowsError> {
        let Some(first) = self.0.next()? else { return Ok(None) };
        let mut group = vec![first];
        while let Some(row) = self.0.peek()?
            && row.slug == group[0].slug
        {
            let row = self.0.next()?;
            if group.len() < VERSIONS_MAX {
                group.extend(row);
            }
        }
        Ok(Some(group))
    }
}
