//! Logs over HTTPS, as C2SP tlog-tiles has them, so that existing monitors can audit: a prefix for each log, below it a
//! checkpoint, tiles of hashes and bundles of entries. Any node serves the logs of all members.
//!
//! Owns paths, caching and who may read. Entries show titles, also of releases whose files are for others, so they need a token;
//! so does the list of logs, which names members. Checkpoints and hashes need one unless the operator allows anonymous reading: a
//! hash of a signed entry tells nothing about it. Nothing is answered that is not durable.
//!
//! | path below `/logs/v1` | answer |
//! |---|---|
//! | `/{federation}` | the logs, as JSON |
//! | `/{federation}/{log}/checkpoint` | the newest signed checkpoint that is held in full, with its cosignatures |
//! | `/{federation}/{log}/tile/{L}/{N}[.p/{W}]` | hashes |
//! | `/{federation}/{log}/tile/entries/{N}[.p/{W}]` | entries |

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};
use verbund_protocol::ids::PeerId;
use verbund_protocol::view::checkpoints::{TILE_LEVEL_MAX, TILE_WIDTH, Tile};

use super::problem::{Code, Problem};
use super::routes::Call;
use super::routes::mount::Mount;
use super::tokens::Reader;

/// What gets as far as the routes.
const METHODS: &[Method] = &[Method::GET, Method::HEAD];
/// A full tile never changes.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";
/// Others are asked for again.
const FRESH: &str = "private, no-cache";
/// Groups of three digits in a place: the largest log has 2^53 entries.
const GROUPS_MAX: usize = 6;

type Answer = Result<Response<Body>, Problem>;

/// The surface.
pub(super) fn mount() -> Mount {
    let router = Router::new()
        .route("/logs/v1/{federation}", get(list))
        .route("/logs/v1/{federation}/{log}/checkpoint", get(checkpoint))
        .route("/logs/v1/{federation}/{log}/tile/{*tile}", get(tile));
    Mount::new("/logs", router).accept(METHODS, 0)
}

fn log(call: &Call) -> Result<PeerId, Problem> {
    call.parameter("log").parse().map_err(|_| Problem::not_found())
}

/// What only systems of this member may see.
fn token(call: &Call) -> Result<(), Problem> {
    match call.reader {
        Reader::Token(_) => Ok(()),
        Reader::Anonymous => Err(Problem::new(Code::TokenMissing, "Send a token: Authorization: Bearer vbt_…")),
    }
}

async fn list(call: Call) -> Answer {
    let federation = call.federation()?;
    token(&call)?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let logs = call.library().logs(&federation).await?;
    let items: Vec<Value> = logs
        .iter()
        .map(|l| {
            let prefix = format!("/logs/v1/{federation}/{}", l.log);
            json!({ "log": l.log, "member": l.member, "origin": l.origin, "size": l.size, "prefix": prefix })
        })
        .collect();
    call.json(&json!({ "items": items }))
}

async fn checkpoint(call: Call) -> Answer {
    let federation = call.federation()?;
    let [] = call.query([])?;
    let _making = call.making().await?;
    let note = call.library().checkpoint(&federation, log(&call)?).await?;
    call.bytes(Bytes::from(note), "text/plain; charset=utf-8", FRESH)
}

async fn tile(call: Call) -> Answer {
    let federation = call.federation()?;
    let [] = call.query([])?;
    let tile = parse(call.parameter("tile")).ok_or_else(Problem::not_found)?;
    if tile.level.is_none() {
        token(&call)?;
    }
    let _making = call.making().await?;
    let bytes = call.library().tile(&federation, log(&call)?, tile).await?;
    call.bytes(bytes, "application/octet-stream", if tile.width == TILE_WIDTH { IMMUTABLE } else { FRESH })
}

/// `{L}/{N}`, `entries/{N}`, and either with `.p/{W}`. SPEC: C2SP tlog-tiles, Merkle tree and log entries.
fn parse(path: &str) -> Option<Tile> {
    let (level, place) = path.split_once('/')?;
    let level = match level {
        "entries" => None,
        level => Some(number(level).and_then(|l| u8::try_from(l).ok()).filter(|l| *l <= TILE_LEVEL_MAX)?),
    };
    let (place, width) = match place.split_once(".p/") {
        Some((place, width)) => (place, number(width).filter(|w| (1..TILE_WIDTH).contains(w))?),
        None => (place, TILE_WIDTH),
    };
    Some(Tile { level, index: index(place)?, width })
}

/// A number in decimal, without leading zeros.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// Groups of three digits, all but the last after an `x`; the first of several is not zero.
fn index(place: &str) -> Option<u64> {
    let groups: Vec<&str> = place.split('/').collect();
    if groups.len() > GROUPS_MAX || (groups.len() > 1 && groups.first() == Some(&"x000")) {
        return None;
    }
    let last = groups.len() - 1;
    groups.iter().enumerate().try_fold(0_u64, |sum, (at, group)| {
        let digits = if at < last { group.strip_prefix('x')? } else { group };
        let three = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
        sum.checked_mul(1_000)?.checked_add(three.then(|| digits.parse::<u64>().ok())??)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_has_one_path() {
        let tile = |level, index, width| Some(Tile { level, index, width });
        for (path, expected) in [
            ("0/000", tile(Some(0), 0, 256)),
            ("0/x001/x234/067", tile(Some(0), 1_234_067, 256)),
            ("1/x001/234.p/5", tile(Some(1), 1_234, 5)),
            ("6/000.p/1", tile(Some(6), 0, 1)),
            ("entries/999.p/255", tile(None, 999, 255)),
            ("entries/x001/000", tile(None, 1_000, 256)),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
        for path in [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "0/0000",
            "00/000",
            "7/000",
            "64/000",
            "-1/000",
            "+1/000",
            "entry/000",
            "0/x000/001",
            "0/001/002",
            "0/x001",
            "0/x001/x002",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/05",
            "0/000.p/",
            "0/000.p",
            "0/000/",
            "0/+01",
            "0/0 1",
            "0/٠٠٠",
            "0/x001/x001/x001/x001/x001/x001/001",
            "entries/000.p/1.p/1",
            "0/X001/001",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
