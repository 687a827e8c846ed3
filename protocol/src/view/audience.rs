//! Who may have the files of a release: its own audience, and what corrections have added.
//!
//! Owns the reading only. A correction may widen the audience, never narrow it, so that the order of corrections is of no
//! account: whoever any of them admits is admitted.

use super::rows::{Rows, RowsError, Table};
use super::state::{Audience, ReleaseRow, key};
use crate::documents::{Correction, Document, Kind};
use crate::envelope::Envelope;
use crate::release::Changes;
use crate::release::metadata;

/// Statements about one process that are looked through; more than a process gathers in its life.
const STATEMENTS_MAX: usize = 65_536;

/// Whether the member called `handle` may have the files of `release`. Its owner may in any case.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn admits(rows: &dyn Rows, release: &ReleaseRow, handle: &str) -> Result<bool, RowsError> {
    if of_release(&release.audience, handle) {
        return Ok(true);
    }
    let prefix = key::statements(&release.member, &release.slug);
    for (_, bytes) in rows.scan(Table::Statements, &prefix, &[], STATEMENTS_MAX)? {
        let Ok(envelope) = Envelope::parse(&bytes) else { continue };
        if Kind::of(&envelope) != Kind::Correction {
            continue;
        }
        let correction = Correction::open(&envelope).ok().filter(|c| c.release == release.id);
        let audience = correction.and_then(|c| Changes::from_fields(&c.fields).ok()).and_then(|c| c.audience);
        let admitted = match audience {
            Some(metadata::Audience::Federation | metadata::Audience::Public) => true,
            Some(metadata::Audience::Members(handles)) => handles.iter().any(|h| h.as_str() == handle),
            Some(metadata::Audience::Other(_)) | None => false,
        };
        if admitted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn of_release(audience: &Audience, handle: &str) -> bool {
    match audience {
        Audience::Federation | Audience::Public => true,
        Audience::Members(handles) => handles.iter().any(|h| h == handle),
    }
}
