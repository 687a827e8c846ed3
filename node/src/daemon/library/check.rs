//! How digests stand that a system has noted: of releases, manifests or files.
//!
//! Owns an index from files to the manifests that list them. It is made when it is first asked for, grows with what is held, and
//! holds eight bytes of each hash: what it finds is compared with the manifest itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use verbund_protocol::ids::{Blake3, Sha256, Slug};
use verbund_protocol::view::catalogue::{Catalogue, Listed, Target, Viewer};
use verbund_protocol::view::rows::{Rows as _, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow};

use super::lists::summary;
use super::{NodeLibrary, internal};
use crate::daemon::shelf::{deprecated, withdrawn};
use crate::daemon::view::StoreView;
use crate::http::library::{Checked, LibraryError, Standing};
use crate::http::tokens::Reader;

/// Files that the index lists: 32 MiB of memory.
const FILES_MAX: usize = 2_000_000;
/// Reading manifests for one question takes no longer; the next question goes on.
const READING_MAX: Duration = Duration::from_secs(15);
/// Releases that one digest is looked up in: a file that all processes share is in many.
const RELEASES_MAX: usize = 64;

/// Which manifests list a file.
#[derive(Debug, Default)]
pub(super) struct FileIndex {
    manifests: Vec<Blake3>,
    done: BTreeSet<Blake3>,
    /// The first eight bytes of a file's SHA-256, and the number of a manifest; sorted.
    files: Vec<(u64, u32)>,
    full: bool,
}

fn short(hash: &Sha256) -> u64 {
    hash.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl FileIndex {
    fn add(&mut self, manifest: Blake3, files: impl Iterator<Item = Sha256>) {
        let Ok(number) = u32::try_from(self.manifests.len()) else { return };
        self.files.extend(files.map(|hash| (short(&hash), number)));
        self.manifests.push(manifest);
        self.done.insert(manifest);
        self.full = self.files.len() >= FILES_MAX;
    }

    fn listing(&self, hash: &Sha256) -> Vec<Blake3> {
        let from = self.files.partition_point(|(at, _)| *at < short(hash));
        let same = self.files.iter().skip(from).take_while(|(at, _)| *at == short(hash));
        same.take(RELEASES_MAX).filter_map(|(_, number)| self.manifests.get(*number as usize).copied()).collect()
    }
}

/// What is known of a digest before it is judged: what it is of, and the releases.
#[derive(Debug, Default, Clone)]
struct Hits {
    kind: Option<&'static str>,
    releases: Vec<(Sha256, Option<String>)>,
}

/// What the rows say.
#[derive(Default)]
struct Direct {
    hits: BTreeMap<Sha256, Hits>,
    /// Releases by manifest.
    manifests: BTreeMap<Blake3, Vec<Sha256>>,
}

impl NodeLibrary {
    pub(super) async fn checked(
        &self,
        reader: &Reader,
        federation: &Slug,
        digests: Vec<Sha256>,
    ) -> Result<Vec<Checked>, LibraryError> {
        let wanted: BTreeSet<Sha256> = digests.iter().copied().collect();
        let asked = wanted.clone();
        let (_, Direct { mut hits, manifests }) =
            self.look(reader, federation, move |_, view, viewer| direct(view, viewer, &asked).map(Ok)).await?;
        let open: Vec<Sha256> = wanted.into_iter().filter(|digest| !hits.contains_key(digest)).collect();
        if !open.is_empty() {
            self.find_files(&open, &manifests, &mut hits).await?;
        }
        let look = move |catalogue: &Catalogue<'_>, _: &StoreView, viewer: &Viewer| {
            let one = |digest: &Sha256| judge(catalogue, viewer, hits.get(digest).cloned().unwrap_or_default());
            digests.iter().map(one).collect::<Result<Vec<_>, _>>().map(Ok)
        };
        self.look(reader, federation, look).await.map(|(_, found)| found)
    }

    /// Finds the releases that have files with these hashes.
    async fn find_files(
        &self,
        open: &[Sha256],
        manifests: &BTreeMap<Blake3, Vec<Sha256>>,
        hits: &mut BTreeMap<Sha256, Hits>,
    ) -> Result<(), LibraryError> {
        let mut index = self.files.lock().await;
        let started = Instant::now();
        let missing: Vec<Blake3> = manifests.keys().filter(|hash| !index.done.contains(hash)).copied().collect();
        for manifest in missing {
            if index.full {
                break;
            }
            if started.elapsed() > READING_MAX {
                index.files.sort_unstable();
                return Err(LibraryError::NotAvailable("manifests are still being read; ask again".to_owned()));
            }
            // What is not held here has no files that could be asked for; it comes in when it is.
            if let Ok(read) = self.manifests.by_hash(&self.shared.blobs, &manifest).await {
                index.add(manifest, read.files().iter().map(|file| file.sha256));
            }
        }
        index.files.sort_unstable();
        for digest in open {
            let mut found = Hits { kind: Some("file"), releases: Vec::new() };
            for manifest in index.listing(digest) {
                let Some(releases) = manifests.get(&manifest) else { continue };
                let read = self.manifests.by_hash(&self.shared.blobs, &manifest).await.map_err(internal)?;
                let Some(file) = read.files().iter().find(|file| file.sha256 == *digest) else { continue };
                found.releases.extend(releases.iter().map(|id| (*id, Some(file.path.to_string()))));
            }
            if !found.releases.is_empty() {
                hits.insert(*digest, found);
            }
        }
        Ok(())
    }
}

/// Digests of releases and manifests, and all manifests that there are.
fn direct(view: &StoreView, viewer: &Viewer, wanted: &BTreeSet<Sha256>) -> Result<Direct, RowsError> {
    let mut direct = Direct::default();
    let mut from = b"p".to_vec();
    loop {
        let page = view.scan(Table::Releases, b"p", &from, 512)?;
        for (_, value) in &page {
            let row: ReleaseRow = state::decode(value)?;
            // As published: a correction may widen the audience, so that the last word is that of the catalogue.
            let maybe = matches!(viewer, Viewer::Member { .. } | Viewer::Operator)
                || row.audience == state::Audience::Public
                || wanted.contains(&row.id);
            if maybe {
                direct.manifests.entry(row.manifest).or_default().push(row.id);
            }
            for (digest, kind) in [(row.id, "release"), (row.manifest_sha256, "manifest")] {
                if wanted.contains(&digest) {
                    let hits = direct.hits.entry(digest).or_default();
                    hits.kind = Some(kind);
                    hits.releases.push((row.id, None));
                }
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == 512 => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(direct),
        }
    }
}

/// The release that stands best, of those that exist for the viewer.
fn judge(catalogue: &Catalogue<'_>, viewer: &Viewer, hits: Hits) -> Result<Checked, RowsError> {
    let mut best: Option<(u8, Checked)> = None;
    for (id, path) in hits.releases.iter().take(RELEASES_MAX) {
        let Ok(listed) = catalogue.resolve(&Target::Release(*id), viewer)? else { continue };
        let Some(line) = summary(catalogue, &listed)? else { continue };
        let versions = catalogue.versions(&listed.row.member, &listed.row.slug, viewer)?;
        let offered = |other: &&Listed| other.effect.withdrawn.is_none() && other.version.pre.is_empty();
        let newest = versions.iter().find(offered).filter(|newest| newest.version > listed.version);
        let moved = catalogue.moved_to(&listed.row.member, &listed.row.slug)?;
        let effect = &listed.effect;
        let said = effect.withdrawn.as_ref().and_then(|said| said.successor.clone());
        let said = said.or_else(|| effect.deprecated.as_ref().and_then(|said| said.successor.clone()));
        let (rank, standing, reason) =
            match (&effect.withdrawn, &effect.deprecated, newest.is_some() || moved.is_some()) {
                (Some(_), ..) => (3, Standing::Withdrawn, withdrawn(&listed)),
                (None, Some(_), _) => (2, Standing::Deprecated, deprecated(&listed)),
                (None, None, true) => (1, Standing::Superseded, None),
                (None, None, false) => (0, Standing::Current, None),
            };
        // Of a recalled version also an older one is better.
        let newer = newest.or_else(|| versions.iter().find(offered).filter(|_| rank == 3));
        let checked = Checked {
            standing,
            kind: hits.kind,
            release: Some(line),
            path: path.clone(),
            newer: newer.map_or(Ok(None), |newer| summary(catalogue, newer))?,
            reason,
            successor: said.or(moved),
        };
        if best.as_ref().is_none_or(|(other, _)| rank < *other) {
            best = Some((rank, checked));
        }
    }
    let unknown = Checked {
        standing: Standing::Unknown,
        kind: None,
        release: None,
        path: None,
        newer: None,
        reason: None,
        successor: None,
    };
    Ok(best.map_or(unknown, |(_, checked)| checked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_every_manifest_that_lists_it() {
        let mut index = FileIndex::default();
        let hash = |n: u8| Sha256([n; 32]);
        index.add(Blake3([1; 32]), [hash(1), hash(2)].into_iter());
        index.add(Blake3([2; 32]), [hash(2), hash(3)].into_iter());
        index.files.sort_unstable();
        assert_eq!(index.listing(&hash(2)), [Blake3([1; 32]), Blake3([2; 32])]);
        assert_eq!(index.listing(&hash(3)), [Blake3([2; 32])]);
        assert!(index.listing(&hash(9)).is_empty());
    }
}
