//! Texts: strict JSON, names and references, the ticket, and the canary.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use verbund_protocol::ids::{Blake3, FederationId, Handle, MemberId, PeerId, PublicKey, Sha256, Slug};
use verbund_protocol::json as strict;
use verbund_protocol::limits::{HANDLE_MAX_BYTES, SLUG_MAX_BYTES, TICKET_MAX_BYTES};
use verbund_protocol::provenance::Trust;
use verbund_protocol::release::{ProcessRef, ReleaseRef};
use verbund_protocol::wire::ticket::{PREFIX, Ticket};

use crate::check::{refused, twice, words};
use crate::corpus;

/// What the canary crashes on: too long to be met by chance, and a word of its dictionary.
const DOOM: &[u8] = b"canary!\0";

/// Crashes on inputs that begin with a word of its dictionary, and on nothing else.
pub fn canary(data: &[u8]) {
    assert!(!data.starts_with(DOOM), "the canary is dead, as it should be");
}

pub fn canary_seeds() -> Vec<Vec<u8>> {
    vec![b"alive".to_vec()]
}

/// JSON that is permitted is JSON, and has one canonical form, which is read as itself.
pub fn json(data: &[u8]) {
    let Some(value) = twice(|| strict::parse(data)) else { return };
    assert_eq!(serde_json::from_slice::<serde_json::Value>(data).unwrap(), value, "a stock reader reads the same");
    let canonical = strict::canonical(&value);
    assert_eq!(strict::parse(&canonical).as_ref(), Ok(&value));
    assert_eq!(strict::canonical(&strict::parse(&canonical).unwrap()), canonical);
    let is_canonical = strict::parse_canonical::<serde_json::Value>(data).is_ok();
    assert_eq!(is_canonical, canonical == data);
}

/// A name has one text, which is read as itself.
pub fn names(data: &[u8]) {
    fn one<T: FromStr<Err: Display + PartialEq + Debug> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
        let name = twice(|| text.parse::<T>())?;
        assert_eq!(name.to_string(), text);
        Some(name)
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(slug) = one::<Slug>(text) {
        assert!(slug.as_str().len() <= SLUG_MAX_BYTES);
    }
    if let Some(handle) = one::<Handle>(text) {
        assert!(handle.as_str().len() <= HANDLE_MAX_BYTES && text.parse::<Slug>().is_ok());
    }
    one::<Sha256>(text);
    one::<Blake3>(text);
    one::<MemberId>(text);
    one::<FederationId>(text);
    one::<PublicKey>(text);
    one::<ProcessRef>(text);
    one::<ReleaseRef>(text);
    if let Some(peer) = twice(|| text.parse::<PeerId>()) {
        assert_eq!(peer.to_string().parse(), Ok(peer));
        assert_eq!(PeerId::from_multihash(&peer.to_multihash()), Ok(peer));
    }
    if let Err(error) = PeerId::from_multihash(data) {
        refused(&error);
    }
    if let Err(text) = text.parse::<Trust>() {
        words(&text);
    }
}

/// A ticket is what its line says, and its secret shows nowhere. Anything but a line is taken for the content of one.
pub fn ticket(data: &[u8]) {
    let line = match std::str::from_utf8(data) {
        Ok(text) if text.trim_start().starts_with(PREFIX) => text.to_owned(),
        _ => line_of(data),
    };
    let Some(ticket) = twice(|| line.parse::<Ticket>()) else { return };
    assert!(line.trim().len() <= PREFIX.len() + TICKET_MAX_BYTES);
    // Written with all that this version knows, and no spaces, it may still be longer than what was read; never by much.
    let again = ticket.to_line();
    if again.len() <= PREFIX.len() + TICKET_MAX_BYTES {
        assert_eq!(again.parse::<Ticket>().as_ref(), Ok(&ticket));
    }
    assert_eq!(
        (hex::encode(ticket.id_bytes()), hex::encode(ticket.secret_bytes())),
        (ticket.id.to_ascii_lowercase(), ticket.secret.to_ascii_lowercase())
    );
    let shown = format!("{ticket:?}");
    words(&shown[..shown.len().min(500)].chars().take(100).collect::<String>());
    assert!(!shown.contains(&ticket.secret));
}

/// A line with this content, rightly closed.
fn line_of(content: &[u8]) -> String {
    let closed = [content, &Sha256::of(content).0[..4]].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(closed))
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    match target {
        "json" => bytes(corpus::texts(&corpus::json("documents/json.json"), "text")),
        "ticket" => {
            let lines = corpus::texts(&corpus::json("ticket.json"), "line");
            let content = |line: &String| {
                let bytes = URL_SAFE_NO_PAD.decode(line.trim().strip_prefix(PREFIX)?).ok()?;
                Some(bytes.get(..bytes.len().checked_sub(4)?)?.to_vec())
            };
            let contents = lines.iter().filter_map(content).collect();
            [bytes(lines), contents].concat()
        }
        _ => {
            let id = "ab".repeat(32);
            let peer = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
            let prefixed = ["sha256:", "blake3:", "member:", "federation:", "ed25519:"].map(|p| format!("{p}{id}"));
            let plain = ["de-he", "hundesteuer-anmeldung", "mitte:de-he/hund", "de-he/hund@1.2.0-rc.1", peer, "-", ""];
            let trust = format!("{id}@{id}");
            bytes(prefixed.into_iter().chain(plain.map(ToOwned::to_owned)).chain([trust]).collect())
        }
    }
}
