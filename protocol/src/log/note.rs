//! Signed notes: a checkpoint's text with the signature of its log and the cosignatures of other nodes. C2SP `signed-note`.
//!
//! Owns the grammar of a note, key ids, and which lines count. Lines are judged one by one: unknown keys are skipped, a bad line
//! of a known key is reported and fails no other, the log's own signature is required. What [`SignedCheckpoint`] holds has been
//! verified; nothing of a body is parsed before its signature has been. Never decides who is known, nor how old is too old.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, Origin};
use super::cosign::{CosignError, Cosignature, cosigner_name, cosigner_of, verify_cosignature};
use crate::ids::{FederationId, PeerId, PublicKey, Sha256};
use crate::keys::{self, SecretKey};
use crate::limits::{NOTE_MAX_BYTES, NOTE_SIGNATURES_MAX};

/// Signature type of a log's own signature (SPEC: signed-note, signature types).
pub const KEY_ED25519: u8 = 0x01;
/// Signature type of a timestamped cosignature (SPEC: signed-note, signature types).
pub const KEY_COSIGNATURE_V1: u8 = 0x04;
/// Em dash and space: the beginning of a signature line.
const LINE_PREFIX: &str = "\u{2014} ";

/// Why a note was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX_BYTES`].
    #[error("note of {0} bytes is over the limit of {NOTE_MAX_BYTES}")]
    TooLong(usize),
    /// More signature lines than [`NOTE_SIGNATURES_MAX`].
    #[error("{0} signature lines are over the limit of {NOTE_SIGNATURES_MAX}")]
    TooManySignatures(usize),
    /// Not UTF-8, or with a control character other than the newline.
    #[error("the note is not plain UTF-8 text")]
    NotText,
    /// No empty line with at least one signature line after it, or no newline at the end.
    #[error("the note has no signature lines")]
    NoSignatures,
    /// This signature line, counted from 1, is not dash, name and base64.
    #[error("signature line {0} is malformed")]
    Line(usize),
    /// The note is about another log than expected, or was to be signed with the key of another log.
    #[error("the note belongs to another log than {0}")]
    OtherLog(String),
    /// No line carries the log's key name and key id.
    #[error("the note is not signed by its log")]
    Unsigned,
    /// Lines carry the log's key name and key id, but no signature matches.
    #[error("the signature of the log does not match")]
    Signature,
    /// Rightly signed, but not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why one line of a known key, or one cosignature, does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The signature does not match.
    #[error("the signature does not match")]
    Signature,
    /// The signature has another length than its type requires.
    #[error("the signature has a wrong length")]
    Length,
    /// The time is over [`crate::limits::COSIGNATURE_TIME_MAX_S`].
    #[error("the time is out of range")]
    Time,
    /// The note already holds as many cosigners as it may.
    #[error("the note is full")]
    Full,
}

/// A line that should have counted and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Key name of the line.
    pub name: String,
    /// Why it does not count.
    pub fault: LineFault,
}

/// The short identifier of a key. SPEC: signed-note: SHA-256 of name, newline, type and public key, first four bytes.
pub fn key_id(name: &str, kind: u8, key: &PublicKey) -> [u8; 4] {
    let bytes = [name.as_bytes(), b"\n", &[kind], key.as_bytes()].concat();
    let [a, b, c, d, ..] = Sha256::of(&bytes).0;
    [a, b, c, d]
}

/// The form in which monitors and witnesses are told a key: `<name>+<key id hex>+<base64 of type and key>`.
pub fn verifier_key(name: &str, kind: u8, key: &PublicKey) -> String {
    let bytes = [&[kind], key.as_bytes().as_slice()].concat();
    format!("{name}+{}+{}", hex::encode(key_id(name, kind, key)), STANDARD.encode(bytes))
}

/// One signature line, well formed and unverified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignatureLine {
    /// Key name: not empty, without spaces and plus signs.
    pub name: String,
    /// Key id.
    pub key_id: [u8; 4],
    /// What follows the key id; at least one byte.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// The line with its newline.
    pub fn to_text(&self) -> String {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        format!("{LINE_PREFIX}{} {}\n", self.name, STANDARD.encode(bytes))
    }

    /// SPEC: signed-note, format: em dash, space, key name, space, base64 of key id and signature.
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(LINE_PREFIX)?.split_once(' ')?;
        if name.is_empty() || name.contains('+') || name.contains(char::is_whitespace) {
            return None;
        }
        let bytes = STANDARD.decode(signature).ok()?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        (!signature.is_empty()).then(|| Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

/// A note that is well formed; nothing in it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The text that is signed, with its last newline.
    pub body: String,
    /// Signature lines in the order of the note.
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`] if it is over a limit or not of the form that signed-note requires. A malformed line fails the note: whoever
    /// sent it answers for its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::NotText);
        }
        // SPEC: signed-note, format: the last empty line ends the text, which keeps its own newline.
        let at = text.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (body, signatures) = text.split_at(at + 1);
        let lines = signatures.strip_prefix('\n').and_then(|s| s.strip_suffix('\n')).ok_or(NoteError::NoSignatures)?;
        let count = lines.split('\n').count();
        if count > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures(count));
        }
        let parsed = |(at, line)| SignatureLine::parse(line).ok_or(NoteError::Line(at + 1));
        let signatures = lines.split('\n').enumerate().map(parsed).collect::<Result<_, _>>()?;
        Ok(Self { body: body.to_owned(), signatures })
    }

    /// The text of the note.
    pub fn to_text(&self) -> String {
        let lines: String = self.signatures.iter().map(SignatureLine::to_text).collect();
        format!("{}\n{lines}", self.body)
    }
}

/// A checkpoint with its log's signature and any number of cosignatures, all verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signature: [u8; 64],
    cosignatures: BTreeMap<PeerId, Cosignature>,
}

impl SignedCheckpoint {
    /// The checkpoint.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Cosignatures, one per node, by the bytes of its key; the log's own node, if it is among them, states freshness.
    pub fn cosignatures(&self) -> impl Iterator<Item = &Cosignature> {
        self.cosignatures.values()
    }

    /// Cosignatures of other nodes than the log's own: its witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = &Cosignature> {
        self.cosignatures.values().filter(|c| c.peer != self.checkpoint.origin.peer)
    }

    /// When the log's own node last stated that this is its newest checkpoint, in seconds since 1970.
    pub fn fresh_at_s(&self) -> Option<u64> {
        self.cosignatures.get(&self.checkpoint.origin.peer).map(|c| c.time_s)
    }

    /// Adds a cosignature after verifying it; says whether it changed anything. Of several by one node the newest is kept,
    /// whatever the order they come in.
    ///
    /// # Errors
    /// [`LineFault`] if it does not verify, or if the note would have more than [`NOTE_SIGNATURES_MAX`] lines.
    pub fn add(&mut self, cosignature: Cosignature) -> Result<bool, LineFault> {
        let held = self.cosignatures.get(&cosignature.peer);
        if held.is_some_and(|held| *held == cosignature) {
            return Ok(false);
        }
        verify_cosignature(&cosignature, &self.checkpoint).map_err(|e| match e {
            CosignError::Time(_) => LineFault::Time,
            CosignError::Signature(_) | CosignError::Checkpoint(_) => LineFault::Signature,
        })?;
        match held {
            Some(held) if !cosignature.supersedes(held) => return Ok(false),
            // One line is the log's own.
            None if self.cosignatures.len() + 1 >= NOTE_SIGNATURES_MAX => return Err(LineFault::Full),
            _ => {}
        }
        self.cosignatures.insert(cosignature.peer, cosignature);
        Ok(true)
    }

    /// The same checkpoint with the log's signature alone: the form that fork proofs hold.
    pub fn without_cosignatures(&self) -> Self {
        Self { checkpoint: self.checkpoint, signature: self.signature, cosignatures: BTreeMap::new() }
    }

    /// The note: the log's line first, then the cosigners' by the bytes of their keys. Equal values give equal text.
    pub fn to_text(&self) -> String {
        let name = self.checkpoint.origin.to_string();
        let key_id = key_id(&name, KEY_ED25519, &self.checkpoint.origin.peer.key());
        let mut signatures = vec![SignatureLine { name, key_id, signature: self.signature.to_vec() }];
        signatures.extend(self.cosignatures.values().map(Cosignature::to_line));
        Note { body: self.checkpoint.to_body(), signatures }.to_text()
    }
}

/// A note that was opened, and what of it did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What verified.
    pub signed: SignedCheckpoint,
    /// Lines and cosignatures of known keys that did not: first the log's, then as given.
    pub refused: Vec<RefusedLine>,
    /// How many lines were skipped because their key is not known.
    pub skipped: usize,
}

/// Signs a checkpoint with its log's key.
///
/// # Errors
/// [`NoteError::OtherLog`] unless the checkpoint is of this key's log in `federation`; [`NoteError::Checkpoint`] for sizes out of
/// range.
pub fn sign_checkpoint(
    key: &SecretKey,
    federation: FederationId,
    checkpoint: &Checkpoint,
) -> Result<SignedCheckpoint, NoteError> {
    let own = Origin::new(federation, key.peer());
    if checkpoint.origin != own {
        return Err(NoteError::OtherLog(own.to_string()));
    }
    let checkpoint = Checkpoint::new(checkpoint.origin, checkpoint.size, checkpoint.root)?;
    let signature = key.sign(checkpoint.to_body().as_bytes());
    Ok(SignedCheckpoint { checkpoint, signature, cosignatures: BTreeMap::new() })
}

/// Opens a note of the log of `peer` in `federation` and verifies the log's signature only.
///
/// # Errors
/// [`NoteError`] if it is malformed, of another log, or not signed by it.
pub fn verify_checkpoint(note: &[u8], federation: FederationId, peer: PeerId) -> Result<Checkpoint, NoteError> {
    open(note, Origin::new(federation, peer), &|_| false).map(|opened| opened.signed.checkpoint)
}

/// Opens a note of the log `origin`, with the cosignatures of the nodes that `known` names. It costs one signature check per
/// distinct line of a known key, at most [`NOTE_SIGNATURES_MAX`].
///
/// # Errors
/// [`NoteError`] if it is malformed, of another log, or not signed by it. Bad lines beside a good signature of the log are no
/// error: they stand in [`Opened::refused`].
pub fn open(note: &[u8], origin: Origin, known: &dyn Fn(&PeerId) -> bool) -> Result<Opened, NoteError> {
    let Note { body, signatures } = Note::parse(note)?;
    let name = origin.to_string();
    if body.split('\n').next() != Some(name.as_str()) {
        return Err(NoteError::OtherLog(name));
    }
    let total = signatures.len();
    let log_key_id = key_id(&name, KEY_ED25519, &origin.peer.key());
    let (of_log, others): (Vec<_>, Vec<_>) =
        signatures.into_iter().partition(|line| line.name == name && line.key_id == log_key_id);
    let mut counted = of_log.len();
    let mut refused = Vec::new();
    let signature = log_signature(&of_log, &body, origin, &mut refused)?;
    let checkpoint = Checkpoint::parse(&body)?;
    let mut signed = SignedCheckpoint { checkpoint, signature, cosignatures: BTreeMap::new() };
    let mut seen = BTreeSet::new();
    for line in others {
        let Some(peer) =
            cosigner_of(&line.name).filter(|peer| known(peer) && line.key_id == Cosignature::key_id(*peer))
        else {
            continue;
        };
        counted += 1;
        // A repeated line is checked and reported once.
        if seen.contains(&line) {
            continue;
        }
        let added = match Cosignature::from_bytes(peer, &line.signature) {
            Some(cosignature) => signed.add(cosignature).map(drop),
            None => Err(LineFault::Length),
        };
        if let Err(fault) = added {
            refused.push(RefusedLine { name: line.name.clone(), fault });
        }
        seen.insert(line);
    }
    Ok(Opened { signed, refused, skipped: total - counted })
}

/// The log's signature: of several good ones that with the smallest bytes, so that the order of lines does not matter.
fn log_signature(
    lines: &[SignatureLine],
    body: &str,
    origin: Origin,
    refused: &mut Vec<RefusedLine>,
) -> Result<[u8; 64], NoteError> {
    if lines.is_empty() {
        return Err(NoteError::Unsigned);
    }
    let mut found: Option<[u8; 64]> = None;
    for line in lines.iter().collect::<BTreeSet<_>>() {
        let fault = match <[u8; 64]>::try_from(line.signature.as_slice()) {
            Ok(signature)
                if keys::verify(&origin.peer.key(), body.as_bytes(), &signature)
                    || crate::seeded::bug("note_unsigned") =>
            {
                found = found.or(Some(signature));
                continue;
            }
            Ok(_) => LineFault::Signature,
            Err(_) => LineFault::Length,
        };
        refused.push(RefusedLine { name: line.name.clone(), fault });
    }
    found.ok_or(NoteError::Signature)
}

/// Opens `note` and adds `cosignatures`, each verified; the newest of each node stays. Lines of nodes that are not `known` are
/// dropped, cosignatures of them skipped. As long as all fit the note, what verified depends on
/// the set of lines and cosignatures, not on their order.
///
/// # Errors
/// As [`open`].
pub fn merge(
    note: &[u8],
    origin: Origin,
    known: &dyn Fn(&PeerId) -> bool,
    cosignatures: &[Cosignature],
) -> Result<Opened, NoteError> {
    let mut opened = open(note, origin, known)?;
    for &cosignature in cosignatures {
        if !known(&cosignature.peer) {
            opened.skipped += 1;
        } else if let Err(fault) = opened.signed.add(cosignature) {
            opened.refused.push(RefusedLine { name: cosigner_name(cosignature.peer), fault });
        }
    }
    Ok(opened)
}
