//! From a process in the catalogue to what is searched.
//!
//! Owns which release a process is shown by to whom, and the words of it. Mostly all releases of a process have one audience and there
//! is one document; where they differ, each viewer finds the one that exists for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use verbund_library::formats::{self, Format, Recognised};
use verbund_library::search::{Document, Facet, FileText};
use verbund_protocol::ids::{FederationId, MemberId, Slug};
use verbund_protocol::release::metadata::Audience;
use verbund_protocol::release::{FileEntry, Manifest};
use verbund_protocol::view::catalogue::{Catalogue, Listed, Viewer};
use verbund_protocol::view::rows::RowsError;

use super::{Found, class};
use crate::blobs::BlobStore;
use crate::daemon::shelf::{Detail, Manifests};
use crate::daemon::view::StoreView;

/// Files of a release that are read for their words; a release may have 10,000.
const FILES_MAX: usize = 50;
/// Bytes of all words of the files of one release.
const WORDS_MAX_BYTES: usize = 1 << 20;

/// The release by which a process is shown to those whom `sees` admits, and whether it is a withdrawn one: as the catalogue lists it.
fn shown<'a>(releases: &'a [Listed], sees: &dyn Fn(&Audience) -> bool) -> Option<(&'a Listed, bool)> {
    let counting = releases.iter().filter(|listed| listed.void.is_none() && sees(&listed.effect.audience));
    let all: Vec<&Listed> = counting.collect();
    let stable = |listed: &&&Listed| listed.version.pre.is_empty();
    let offered = |listed: &&&Listed| listed.effect.withdrawn.is_none();
    let found = all.iter().find(|l| stable(l) && offered(l)).or_else(|| all.iter().find(offered));
    let withdrawn = found.is_none();
    found.or_else(|| all.iter().find(stable)).or_else(|| all.first()).map(|listed| (*listed, withdrawn))
}

/// A document in the making, and the release whose files it takes words from.
pub(super) struct Draft {
    pub(super) document: Document,
    pub(super) listed: Listed,
}

/// Name of a process in the index.
pub(super) fn group(federation: FederationId, member: &MemberId, slug: &Slug) -> String {
    format!("{}/{member}/{slug}", federation.to_hex())
}

/// The documents of a process, without the words of its files.
pub(super) fn drafts(
    catalogue: &Catalogue<'_>,
    view: &StoreView,
    federation: FederationId,
    member: &MemberId,
    slug: &Slug,
) -> Result<Vec<Draft>, RowsError> {
    let releases = catalogue.versions(member, slug, &Viewer::Operator)?;
    let mut named = BTreeSet::new();
    for listed in &releases {
        if let Audience::Members(handles) = &listed.effect.audience {
            named.extend(handles.iter().cloned());
        }
    }
    let general = |audience: &Audience| matches!(audience, Audience::Federation | Audience::Public);
    let mut picks: Vec<(String, Option<(&Listed, bool)>)> = vec![
        ("operator".into(), shown(&releases, &|_| true)),
        (format!("id:{member}"), shown(&releases, &|_| true)),
        ("public".into(), shown(&releases, &|audience| *audience == Audience::Public)),
        ("federation".into(), shown(&releases, &general)),
    ];
    picks.extend(named.iter().map(|handle| (format!("h:{handle}"), shown(&releases, &|a| a.admits(handle)))));
    let mut out: Vec<Draft> = Vec::new();
    for listed in &releases {
        let here = |pick: &Option<(&Listed, bool)>| pick.is_some_and(|(pick, _)| pick.place() == listed.place());
        let withdrawn = picks.iter().find(|(_, pick)| here(pick)).and_then(|(_, pick)| *pick).map(|(_, w)| w);
        let Some(withdrawn) = withdrawn else { continue };
        let classes = picks.iter().filter(|(_, pick)| here(pick));
        let classes: Vec<_> = classes.map(|(who, _)| class(federation, who, withdrawn)).collect();
        // Who is shown another release must not find this one by the classes that it shares with others. The operator is none of them.
        let others = picks.iter().filter(|(who, pick)| who.contains(':') && !here(pick));
        let except = others.flat_map(|(who, _)| [class(federation, who, false), class(federation, who, true)]);
        let detail = Detail::read(catalogue, view, listed.clone())?;
        let document = Document { classes, except: except.collect(), ..document(catalogue, federation, &detail) };
        out.push(Draft { document, listed: detail.listed });
    }
    for draft in &mut out {
        // Everything that the words depend on.
        let Document { key, classes, except, facets, .. } = &draft.document;
        let Listed { row, held, effect, .. } = &draft.listed;
        let print = format!("{key}{classes:?}{except:?}{facets:?}{held}{effect:?}{}", row.id);
        let print = blake3::hash(print.as_bytes()).to_hex()[..16].to_owned();
        let Listed { row, version, .. } = &draft.listed;
        let found = Found { member: row.member, slug: row.slug.clone(), version: version.clone(), print };
        draft.document.data = serde_json::to_value(found).unwrap_or_default();
    }
    Ok(out)
}

fn document(catalogue: &Catalogue<'_>, federation: FederationId, detail: &Detail) -> Document {
    let row = &detail.listed.row;
    let metadata = &detail.metadata;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |key: &str| strings(metadata.get(key));
    let names = |key: &str| -> Vec<String> {
        let items = metadata.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.get("name")?.as_str().map(str::to_owned)).collect()
    };
    let platform = metadata.get("platform");
    let of_platform = |key: &str| platform.and_then(|p| p.get(key)?.as_str().map(str::to_owned));
    let one = |text: String| if text.is_empty() { Vec::new() } else { vec![text] };
    let mut keywords = list("keywords");
    keywords.push(detail.process.replace(['-', '/'], " "));
    keywords.extend(one(text("responsible")));
    let facets = BTreeMap::from([
        (Facet::Federation, vec![catalogue.charter().charter.rules.slug.to_string()]),
        (Facet::Member, vec![detail.owner.to_string()]),
        (Facet::Topic, one(text("themenfeld"))),
        (Facet::Level, list("level")),
        (Facet::Stage, one(text("stage"))),
        (Facet::Platform, of_platform("name").into_iter().collect()),
        (Facet::Licence, one(text("license"))),
        (Facet::BaseService, names("base_services")),
    ]);
    let group = group(federation, &row.member, &row.slug);
    Document {
        // Handle first, so that a list without a question has the order of the catalogue.
        key: format!("{}/{}/{}/{}/{}", federation.to_hex(), detail.owner, row.member, row.slug, row.version),
        group,
        title: detail.listed.effect.title.clone(),
        summary: detail.listed.effect.summary.clone(),
        keywords,
        description: text("description"),
        legal_basis: names("legal_basis"),
        numbers: [list("leistungsschluessel"), list("ozg_id"), of_platform("key").into_iter().collect()].concat(),
        facets,
        ..Document::default()
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// What a file is and says, for lists of files.
#[derive(Debug, Clone)]
pub struct FileWords {
    /// Path in the release.
    pub path: String,
    /// What it is and says.
    pub found: Recognised,
}

/// Recognises the first files of a release that are here and small enough. A file that cannot be read is passed over: the blob store
/// has already said so to whom it concerns.
pub async fn file_words(blobs: &BlobStore, manifest: &Manifest) -> Vec<FileWords> {
    let small =
        |file: &&FileEntry| file.size <= formats::READ_MAX_BYTES as u64 && !file.path.as_str().ends_with(".toml");
    let mut out = Vec::new();
    for file in manifest.files().iter().filter(small).take(FILES_MAX) {
        let Ok(bytes) = blobs.read(&file.blake3, formats::READ_MAX_BYTES as u64).await else { continue };
        let path = file.path.to_string();
        let name = file.path.name().to_owned();
        let read = tokio::task::spawn_blocking(move || formats::recognise(&name, &bytes)).await;
        if let Ok(found) = read {
            out.push(FileWords { path, found });
        }
    }
    out
}

/// Completes a draft with the words of its files, if they are here.
pub(super) async fn complete(draft: Draft, blobs: &BlobStore, manifests: &Manifests) -> Document {
    let Draft { mut document, listed } = draft;
    if !listed.held {
        return document;
    }
    let Ok(manifest) = manifests.get(blobs, &listed.row).await else { return document };
    let mut left = WORDS_MAX_BYTES;
    for FileWords { path, found } in file_words(blobs, &manifest).await {
        if matches!(found.format, Format::Other) || left == 0 {
            continue;
        }
        document.numbers.extend(found.platform_key);
        let text = [found.names.join("\n"), found.keywords.join("\n"), found.text].join("\n");
        let text: String = text.chars().take(left).collect();
        left = left.saturating_sub(text.len());
        document.files.push(FileText { path, text });
    }
    document
}
