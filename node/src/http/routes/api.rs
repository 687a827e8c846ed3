//! The surface `/api/v1`: its table of routes.

use axum::http::Method;
use serde_json::json;

use super::mount::Mount;
use super::openapi::document;
use super::table::{self, BASE, Reply, Route};
use super::{bundle, changes, check, dcat, federations, feed, files, processes, releases};
use crate::http::answers::{
    ChangeList, CheckAnswer, CheckRequest, FederationBody, FederationList, MemberList, ProcessBody, ReleaseBody,
    ReleaseList,
};
use crate::http::problem::Code;

/// What gets as far as the routes.
const METHODS: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
/// Largest request body, in bytes: 500 digests fit twice.
const BODY_MAX_BYTES: usize = 64 << 10;
/// Items of a page.
const PAGE_MAX: usize = 200;

/// The API.
pub(super) fn mount() -> Mount {
    Mount::new("/api", table::router(&table())).accept(METHODS, BODY_MAX_BYTES).open(is_open)
}

fn is_open(path: &str) -> bool {
    path.strip_prefix(BASE) == Some("/openapi.json")
}

/// What can go wrong with the files of a release.
const OF_FILES: &[Code] = &[Code::NotAvailable, Code::Erased, Code::Damaged];

/// All routes.
pub(super) fn table() -> Vec<Route> {
    let mut table = vec![
        Route::get("/openapi.json", |call| Box::pin(document(call)))
            .named("getOpenApi", "This document")
            .sends("application/json", "An OpenAPI 3.1 document.")
            .conditional()
            .open(),
        Route::get("/federations", |call| Box::pin(federations::list(call)))
            .named("listFederations", "Federations that the reader may see")
            .gives::<FederationList>("By slug."),
        Route::get("/{federation}", |call| Box::pin(federations::one(call)))
            .named("getFederation", "A federation by its newest charter")
            .gives::<FederationBody>("The federation."),
        Route::get("/{federation}/members", |call| Box::pin(federations::members(call)))
            .named("listMembers", "Members (Partner), their logs and who is connected")
            .gives::<MemberList>("By handle."),
    ];
    table.extend(catalogue());
    table.extend(of_release());
    table.extend(news());
    table
}

fn catalogue() -> Vec<Route> {
    vec![
        Route::get("/{federation}/processes", |call| Box::pin(processes::list(call)))
            .named("listProcesses", "Processes, by their newest stable version; searched if q is given")
            .query("q", "Text that must occur.", json!({ "type": "string", "maxLength": 200 }))
            .paged(PAGE_MAX)
            .gives::<ReleaseList>("A page of processes."),
        Route::get("/{federation}/processes/{member}/{slug}", |call| Box::pin(processes::one(call)))
            .named("getProcess", "One process")
            .gives::<ProcessBody>("The process."),
        Route::get("/{federation}/processes/{member}/{slug}/versions", |call| Box::pin(processes::versions(call)))
            .named("listVersions", "Versions of a process, highest first")
            .paged(PAGE_MAX)
            .gives::<ReleaseList>("A page of versions."),
        Route::post::<CheckRequest>("/{federation}/check", |call| Box::pin(check::check(call)))
            .named(
                "checkDigests",
                "How releases, manifests or files stand that a system has: current, superseded, recalled",
            )
            .answers::<CheckAnswer>("In the order of the question."),
        Route::get("/{federation}/catalog.jsonld", |call| Box::pin(dcat::catalog(call)))
            .named("getCatalog", "The library as DCAT-AP.de")
            .paged(PAGE_MAX)
            .sends(dcat::JSON_LD, "A page of the catalogue; the next one stands in `Link`.")
            .conditional(),
    ]
}

fn of_release() -> Vec<Route> {
    vec![
        Route::get("/{federation}/releases/{member}/{slug}/{version}", |call| Box::pin(releases::one(call)))
            .named("getRelease", "A release: metadata, files, signatures, log position, witnesses, holders")
            .gives::<ReleaseBody>("The release.")
            .redirects()
            .fails(&[Code::Erased]),
        Route::get("/{federation}/releases/{member}/{slug}/{version}/provenance", |call| {
            Box::pin(releases::provenance(call))
        })
        .named("getProvenance", "The offline proof, for `process verify`")
        .sends("application/json", "The proof.")
        .conditional()
        .redirects()
        .fails(OF_FILES),
        Route::get("/{federation}/releases/{member}/{slug}/{version}/bundle.tar.zst", |call| {
            Box::pin(bundle::bundle(call))
        })
        .named("getBundle", "All files in one archive, and the proof as .verbund/provenance.json")
        .query(
            "proof",
            "false leaves the proof out: then the archive is the same on every node, and never changes.",
            json!({ "type": "string", "enum": ["true", "false"] }),
        )
        .sends("application/zstd", "The archive. It has no length beforehand; one that breaks off is not whole.")
        .conditional()
        .redirects()
        .fails(OF_FILES),
        Route::get("/{federation}/releases/{member}/{slug}/{version}/files/{*path}", |call| {
            Box::pin(files::file(call))
        })
        .named("getFile", "One file, whole or in part, with its SHA-256 in `ETag` and `Repr-Digest`")
        .header("Range", "One range of bytes; of several the whole file is sent.")
        .header("If-Range", "The entity tag of which a part is there already.")
        .reply(Reply { status: 200, text: "The file.", body: Some(("*/*", None)) })
        .reply(Reply { status: 206, text: "The part that was asked for.", body: Some(("*/*", None)) })
        .conditional()
        .redirects()
        .fails(&[Code::InvalidPath, Code::RangeNotSatisfiable])
        .fails(OF_FILES),
    ]
}

fn news() -> Vec<Route> {
    const SINCE: &str = "Cursor of the last change that is known, or `now`; without it, all that are kept.";
    let cursor = || json!({ "type": "string" });
    let gone = &[Code::InvalidCursor, Code::CursorGone];
    vec![
        Route::get("/{federation}/changes", |call| Box::pin(changes::changes(call)))
            .named("listChanges", "What changed: new releases, recalls, corrections, members")
            .query("since", SINCE, cursor())
            .query(
                "limit",
                "Most items of the answer.",
                json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX }),
            )
            .header("Accept", "`text/event-stream` asks for the stream instead.")
            .gives::<ChangeList>("Changes, oldest first.")
            .reply(Reply { status: 200, text: "", body: Some(("text/event-stream", None)) })
            .fails(gone),
        Route::get("/{federation}/changes/stream", |call| Box::pin(changes::stream(call)))
            .named(
                "streamChanges",
                "The same as it happens, as server-sent events whose data are the items of listChanges",
            )
            .query("since", "As for listChanges; without it, from now on.", cursor())
            .header("Last-Event-ID", "The last event that is known; goes before `since`.")
            .sends("text/event-stream", "Events; a comment every 15 seconds while nothing happens.")
            .fails(gone),
        Route::get("/{federation}/feed.atom", |call| Box::pin(feed::feed(call)))
            .named("getFeed", "The same as an Atom feed, newest first")
            .query("before", "Older entries: the address stands in `link rel=next`.", cursor())
            .sends("application/atom+xml", "A page of the feed.")
            .conditional()
            .fails(gone),
    ]
}
