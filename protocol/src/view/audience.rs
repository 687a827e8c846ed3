//! Who may have the files of a release: its own audience, and what corrections have added.
//!
//! Owns the reading only. A correction may widen the audience, never narrow it, so that the order of corrections is of no
//! account: whoever any of them admits is admitted.

use super::rows::{Rows, RowsError};
use super::state::{Audience, ReleaseRow};
use super::statements;
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
    let mut admitted = false;
    statements::about(rows, &release.member, &release.slug, STATEMENTS_MAX, |bytes| {
        admitted = match widened(bytes, release) {
            Some(metadata::Audience::Federation | metadata::Audience::Public) => true,
            Some(metadata::Audience::Members(handles)) => handles.iter().any(|h| h.as_str() == handle),
            Some(metadata::Audience::Other(_)) | None => false,
        };
        !admitted
    })?;
    Ok(admitted)
}

/// The audience that a statement gives to `release`.
fn widened(statement: &[u8], release: &ReleaseRow) -> Option<metadata::Audience> {
    let envelope = Envelope::parse(statement).ok().filter(|envelope| Kind::of(envelope) == Kind::Correction)?;
    let correction = Correction::open(&envelope).ok().filter(|c| c.release == release.id)?;
    Changes::from_fields(&correction.fields).ok()?.audience
}

fn of_release(audience: &Audience, handle: &str) -> bool {
    match audience {
        Audience::Federation | Audience::Public => true,
        Audience::Members(handles) => handles.iter().any(|h| h == handle),
    }
}
