//! Changes as one reader may know them.
//!
//! Owns their texts, and that a change about a release exists only for those for whom the release does.

use verbund_protocol::charter::rules::Charter;
use verbund_protocol::documents::Change as CharterChange;
use verbund_protocol::ids::{MemberId, Sha256, Slug};
use verbund_protocol::view::catalogue::{Catalogue, Listed, Target, Viewer};
use verbund_protocol::view::charters;
use verbund_protocol::view::rows::RowsError;

use super::lists::summary;
use super::{NodeLibrary, internal};
use crate::daemon::changes::{EPOCH_BYTES, Noted, Part, What};
use crate::daemon::view::StoreView;
use crate::http::library::{ChangeKind, ChangeView, ChangedRelease, Changes, LibraryError, Position, Since};
use crate::http::tokens::Reader;

/// Changes that one answer looks at: of those that a reader may not know, many go by.
const SCANNED_MAX: usize = 2_000;

type Epoch = [u8; EPOCH_BYTES];

fn place(epoch: Epoch, number: u64) -> Position {
    [epoch.as_slice(), &number.to_be_bytes()].concat()
}

fn number(epoch: Epoch, position: &[u8]) -> Result<u64, LibraryError> {
    let (of, number) = position.split_first_chunk::<EPOCH_BYTES>().ok_or(LibraryError::BadPosition)?;
    let number = number.try_into().map_err(|_| LibraryError::BadPosition)?;
    if *of == epoch { Ok(u64::from_be_bytes(number)) } else { Err(LibraryError::PositionGone) }
}

impl NodeLibrary {
    pub(super) async fn change_list(
        &self,
        federation: &Slug,
    ) -> Result<std::sync::Arc<crate::daemon::changes::ChangeList>, LibraryError> {
        let named = self.federation(federation).await?;
        self.changes.get(&named.instance.federation).ok_or_else(|| internal("the federation has no list of changes"))
    }

    pub(super) async fn changes_for(
        &self,
        reader: &Reader,
        federation: &Slug,
        since: Since,
        limit: usize,
    ) -> Result<Changes, LibraryError> {
        let list = self.change_list(federation).await?;
        let epoch = list.epoch();
        let newest = *list.newest().borrow();
        let after = |number| list.after(number, SCANNED_MAX).ok_or(LibraryError::PositionGone);
        let (Part { changes, more }, mut last) = match since {
            Since::Start => (after(0)?, 0),
            Since::Now => (Part { changes: Vec::new(), more: false }, newest),
            Since::After(position) => {
                let number = number(epoch, &position)?;
                (after(number)?, number)
            }
            Since::Newest(before) => {
                let before = before.map(|position| number(epoch, &position)).transpose()?;
                (list.before(before, SCANNED_MAX), before.unwrap_or(newest + 1))
            }
        };
        let look = move |catalogue: &Catalogue<'_>, view: &StoreView, viewer: &Viewer| {
            let (mut items, mut more) = (Vec::new(), more);
            for noted in changes {
                if items.len() == limit {
                    more = true;
                    break;
                }
                last = noted.n;
                items.extend(shown(catalogue, view, viewer, epoch, &noted)?);
            }
            Ok(Ok(Changes { items, next: place(epoch, last), more }))
        };
        self.look(reader, federation, look).await.map(|(_, changes)| changes)
    }
}

fn shown(
    catalogue: &Catalogue<'_>,
    view: &StoreView,
    viewer: &Viewer,
    epoch: Epoch,
    noted: &Noted,
) -> Result<Option<ChangeView>, RowsError> {
    let of = |id: &Sha256| Ok::<_, RowsError>(catalogue.resolve(&Target::Release(*id), viewer)?.ok());
    let (kind, listed) = match &noted.what {
        What::Available(id) => (ChangeKind::Available, of(id)?),
        What::Withdrawn(id) => (ChangeKind::Withdrawn, of(id)?.filter(|listed| listed.effect.withdrawn.is_some())),
        What::Corrected(id) => (ChangeKind::Corrected, of(id)?.filter(|l| !l.effect.corrections.is_empty())),
        What::Deprecated { release: Some(id), .. } => (ChangeKind::Deprecated, of(id)?),
        What::Deprecated { member, slug, release: None } => {
            (ChangeKind::Deprecated, catalogue.versions(member, slug, viewer)?.into_iter().next())
        }
        What::Charter(version) => return charter(catalogue, view, epoch, noted, *version),
    };
    let Some(listed) = listed else { return Ok(None) };
    let Some(summary) = summary(catalogue, &listed)? else { return Ok(None) };
    let (digest, successor) = (listed.row.id, successor(kind, &listed));
    Ok(Some(ChangeView {
        number: noted.n,
        place: place(epoch, noted.n),
        at_ms: noted.at_ms,
        kind,
        text: text(kind, &listed, &summary.member.to_string()),
        release: Some(ChangedRelease { digest, summary, successor }),
        member: None,
        charter: None,
    }))
}

fn successor(kind: ChangeKind, listed: &Listed) -> Option<String> {
    match kind {
        ChangeKind::Withdrawn => listed.effect.withdrawn.as_ref()?.successor.clone(),
        ChangeKind::Deprecated => listed.effect.deprecated.as_ref()?.successor.clone(),
        _ => None,
    }
}

/// In German: feed readers show it to people in ministries.
fn text(kind: ChangeKind, listed: &Listed, owner: &str) -> String {
    let what = format!("{} {} ({owner})", listed.effect.title, listed.version);
    match (kind, &listed.effect.withdrawn, &listed.effect.deprecated) {
        (ChangeKind::Withdrawn, Some(said), _) => format!("Rückruf: {what}: {}", said.reason),
        (ChangeKind::Deprecated, _, Some(said)) => format!("Abgekündigt: {what}: {}", said.reason),
        (ChangeKind::Deprecated, ..) => format!("Abgekündigt: {what}"),
        (ChangeKind::Corrected, ..) => format!("Angaben berichtigt: {what}"),
        _ => format!("Neue Version: {what}"),
    }
}

fn charter(
    catalogue: &Catalogue<'_>,
    view: &StoreView,
    epoch: Epoch,
    noted: &Noted,
    version: u64,
) -> Result<Option<ChangeView>, RowsError> {
    let Some(bundle) = charters::bundles(view, version, 1)?.into_iter().next() else { return Ok(None) };
    let charter = Charter::parse(&bundle.payload).map_err(|e| RowsError(e.to_string()))?;
    let named =
        |member: &MemberId| catalogue.owners().get(member).map(|owner| (owner.handle.clone(), owner.name.clone()));
    let (kind, member, text) = match &charter.change {
        Some(CharterChange::Admit { member, handle, .. }) => {
            let name = named(member).map_or_else(String::new, |(_, name)| name);
            let text = format!("Neuer Partner: {name} ({handle})");
            (ChangeKind::Joined, Some((handle.clone(), name)), text)
        }
        Some(CharterChange::Expel { member }) => {
            let known = named(member);
            let text = known.as_ref().map_or_else(
                || "Partner ausgeschlossen".to_owned(),
                |(handle, name)| format!("Partner ausgeschlossen: {name} ({handle})"),
            );
            (ChangeKind::Expelled, known, text)
        }
        Some(CharterChange::Amend { .. }) => {
            (ChangeKind::Amended, None, format!("Mitgliederverzeichnis geändert: Version {version}"))
        }
        None => (ChangeKind::Amended, None, format!("Verbund gegründet: {}", charter.rules.name)),
    };
    let (number, place, at_ms) = (noted.n, place(epoch, noted.n), noted.at_ms);
    Ok(Some(ChangeView { number, place, at_ms, kind, text, release: None, member, charter: Some(version) }))
}
