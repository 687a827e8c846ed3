//! What a publisher probably did not mean to publish: private keys, filled password fields, people's mailboxes.
//!
//! Owns warnings only: nothing here refuses or changes a byte, and a silent scan proves nothing. Reads windows of bytes that the
//! caller feeds; memory is bounded, whatever the file.

mod fields;

use serde::Serialize;

/// Bytes searched at a time.
const CHUNK_BYTES: usize = 16 << 10;
/// Bytes searched again with the next chunk: longer than anything that is looked for.
const OVERLAP_BYTES: usize = 1 << 10;
/// Findings kept of one file.
const FINDINGS_MAX: usize = 20;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A PEM or PuTTY private key.
    PrivateKey,
    /// A password, secret or API key with a value.
    FilledPassword,
    /// A mailbox of the form `first.last@`.
    PersonalMailbox,
}

impl Kind {
    /// Stable name, as in [`super::Problem::code`].
    pub const fn code(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::FilledPassword => "filled_password",
            Self::PersonalMailbox => "personal_mailbox",
        }
    }

    /// What to do about it.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::PrivateKey => "contains a private key; remove it and consider it lost if it was ever published",
            Self::FilledPassword => "a password field is filled; empty it and make it a parameter",
            Self::PersonalMailbox => "looks like a person's mailbox; name a functional mailbox",
        }
    }
}

/// One finding. The value of a password is never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Line, from 1.
    pub line: u32,
    /// The key of the field, or the mailbox; cut to 80 characters.
    pub what: String,
}

/// Whether password fields are looked for in files of this media type: those that hold settings. Prose has sentences about
/// passwords, and forms have fields for them.
pub fn holds_settings(media_type: &str) -> bool {
    media_type.ends_with("+xml")
        || media_type.ends_with("+json")
        || matches!(
            media_type,
            "application/xml"
                | "text/xml"
                | "application/json"
                | "application/toml"
                | "application/yaml"
                | "text/x-java-properties"
                | "text/x-ini"
        )
}

/// Whether a file of this media type is worth searching at all.
pub fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || holds_settings(media_type)
        || matches!(media_type, "application/x-pem-file" | "application/octet-stream")
}

/// Searches one file, window by window.
#[derive(Debug)]
pub struct Lint {
    settings: bool,
    buffer: Vec<u8>,
    /// Offset of the buffer's first byte.
    base: u64,
    /// Line of the buffer's first byte, from 1.
    line: u32,
    /// First offset not searched yet, so that the overlap reports nothing twice.
    searched: u64,
    /// UTF-16, told by its byte order mark: every NUL byte is dropped, which leaves the ASCII that is looked for.
    wide: bool,
    started: bool,
    findings: Vec<Finding>,
}

impl Lint {
    /// A search in a file of `media_type`.
    pub fn new(media_type: &str) -> Self {
        Self {
            settings: holds_settings(media_type),
            buffer: Vec::new(),
            base: 0,
            line: 1,
            searched: 0,
            wide: false,
            started: false,
            findings: Vec::new(),
        }
    }

    /// The next bytes of the file, of any length.
    pub fn feed(&mut self, mut window: &[u8]) {
        if !self.started && window.len() >= 2 {
            self.started = true;
            self.wide = window.starts_with(&[0xff, 0xfe]) || window.starts_with(&[0xfe, 0xff]);
        }
        while !window.is_empty() && self.findings.len() < FINDINGS_MAX {
            let room = CHUNK_BYTES.saturating_sub(self.buffer.len()).max(1);
            let (now, later) = window.split_at(room.min(window.len()));
            if self.wide {
                self.buffer.extend(now.iter().filter(|b| **b != 0));
            } else {
                self.buffer.extend_from_slice(now);
            }
            window = later;
            if self.buffer.len() >= CHUNK_BYTES {
                self.search(self.buffer.len() - OVERLAP_BYTES);
            }
        }
    }

    /// What was found, in order of the file; at most 20.
    pub fn finish(mut self) -> Vec<Finding> {
        self.search(self.buffer.len());
        self.findings.truncate(FINDINGS_MAX);
        self.findings
    }

    /// Reports what starts before `end` of the buffer and was not reported, and drops what no later match can need.
    fn search(&mut self, end: usize) {
        let from = usize::try_from(self.searched.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for at in from..end {
            matches_at(&self.buffer, at, self.settings, &mut found);
        }
        found.sort_by_key(|(at, kind, _)| (*at, *kind));
        for (at, kind, what) in found {
            let lines = count_lines(&self.buffer[..at]);
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(Finding { kind, line: self.line.saturating_add(lines), what });
            }
        }
        self.searched = self.base + end as u64;
        // What lies before a match belongs to it too (the tag of a field), so some is kept on both sides.
        let drop = end.saturating_sub(OVERLAP_BYTES);
        self.line = self.line.saturating_add(count_lines(&self.buffer[..drop]));
        self.buffer.drain(..drop);
        self.base += drop as u64;
    }
}

fn count_lines(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|b| **b == b'\n').count()).unwrap_or(u32::MAX)
}

/// Offset, kind and words of a match.
type Match = (usize, Kind, String);

/// Whether `bytes` goes on with `needle` at `at`, in any case.
fn is_at(bytes: &[u8], at: usize, needle: &[u8]) -> bool {
    bytes.get(at..at + needle.len()).is_some_and(|found| found.eq_ignore_ascii_case(needle))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|at| is_at(bytes, *at, needle))
}

/// Adds what is recognised at `at` by its first, or for mailboxes and keys its decisive, byte. One pass over the bytes serves all,
/// because a folder may hold many megabytes of models.
fn matches_at(bytes: &[u8], at: usize, settings: bool, found: &mut Vec<Match>) {
    match bytes[at] {
        b'-' if is_at(bytes, at, b"-----BEGIN ") => {
            let line = &bytes[at..bytes.len().min(at + 80)];
            if find(line, b"PRIVATE KEY-----").is_some() {
                found.push((at, Kind::PrivateKey, "PEM".into()));
            }
        }
        b'@' => mailbox(bytes, at, found),
        b'p' | b'P' if is_at(bytes, at, b"PuTTY-User-Key-File-") => found.push((at, Kind::PrivateKey, "PuTTY".into())),
        b'p' | b'P' | b'k' | b'K' | b'a' | b'A' | b'c' | b'C' if settings => fields::password(bytes, at, found),
        _ => {}
    }
}

fn mailbox(bytes: &[u8], at: usize, found: &mut Vec<Match>) {
    let start = at - bytes[..at].iter().rev().take(64).take_while(|b| is_local(**b)).count();
    let after = &bytes[at + 1..];
    let end = after.iter().take(100).take_while(|b| b.is_ascii_alphanumeric() || b".-".contains(b)).count();
    let (local, domain) = (text(&bytes[start..at]), text(&after[..end]));
    let domain = domain.trim_end_matches(['.', '-']);
    if domain.contains('.') && is_personal(&local) {
        found.push((at, Kind::PersonalMailbox, format!("{local}@{domain}").chars().take(80).collect()));
    }
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._%+-".contains(&b)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words that tell a functional mailbox; the short ones only count as a whole part.
const FUNCTIONS: [&str; 44] = [
    "info",
    "post",
    "service",
    "amt",
    "stelle",
    "buero",
    "kontakt",
    "contact",
    "office",
    "team",
    "support",
    "ordnung",
    "gewerbe",
    "steuer",
    "referat",
    "abteilung",
    "sachgebiet",
    "verbund",
    "prozess",
    "digital",
    "egov",
    "hilfe",
    "zentral",
    "verwaltung",
    "stadt",
    "kreis",
    "gemeinde",
    "land",
    "reply",
    "admin",
    "buerger",
    "datenschutz",
    "presse",
    "wahl",
    "portal",
    "online",
    "redaktion",
    "bibliothek",
    "antrag",
    "anmeldung",
    "projekt",
    "funktion",
    "betrieb",
    "register",
];
const SHORT_FUNCTIONS: [&str; 10] = ["it", "ozg", "kfz", "bau", "mail", "web", "fim", "efa", "help", "api"];

/// Whether the part before the `@` looks like a person: two or more names with a dot or underscore between, none of them a function.
pub fn is_personal(local: &str) -> bool {
    let local = local.to_ascii_lowercase();
    let parts: Vec<_> = local.split(['.', '_']).collect();
    let name = |p: &str| {
        !p.is_empty()
            && p.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && p.bytes().any(|b| b.is_ascii_lowercase())
    };
    let function = |p: &str| {
        SHORT_FUNCTIONS.contains(&p)
            || p.split('-').any(|w| SHORT_FUNCTIONS.contains(&w))
            || FUNCTIONS.iter().any(|f| p.contains(f))
    };
    (2..=4).contains(&parts.len())
        && parts.iter().all(|p| name(p))
        && parts.last().is_some_and(|p| p.len() > 1)
        && !parts.iter().any(|p| function(p))
}

#[cfg(test)]
mod tests;
