use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::super::{Log, error_name, federation, key, origin, owner};
use super::{cosigned, golden, outcome};
use crate::ids::{FederationId, PeerId, PublicKey};
use crate::limits::{COSIGNATURE_TIME_MAX_S, LOG_SIZE_MAX, NOTE_SIGNATURES_MAX};
use crate::log::note::{KEY_COSIGNATURE_V1, KEY_ED25519, key_id, verifier_key};
use crate::log::*;

#[derive(Serialize, Deserialize)]
struct Key {
    /// Of RFC 8032; hex.
    seed: String,
    peer: PeerId,
}

impl Key {
    fn of(number: u8) -> Self {
        Self { seed: hex::encode([number; 32]), peer: key(number).peer() }
    }
}

#[derive(Serialize, Deserialize)]
struct KeyName {
    name: String,
    kind: u8,
    key: PublicKey,
    key_id: String,
    verifier_key: String,
}

#[derive(Serialize, Deserialize)]
struct NoteCase {
    name: String,
    note: String,
    /// What it opens to, with all cosigners known.
    checkpoint: Option<Checkpoint>,
    cosignatures: Vec<Cosignature>,
    /// Faults of known lines that did not count.
    refused: Vec<String>,
    skipped: usize,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Notes {
    federation: FederationId,
    log: Key,
    cosigners: Vec<Key>,
    keys: Vec<KeyName>,
    notes: Vec<NoteCase>,
}

fn note_case(name: &str, note: String) -> NoteCase {
    let mut case = NoteCase {
        name: name.to_owned(),
        note,
        checkpoint: None,
        cosignatures: Vec::new(),
        refused: Vec::new(),
        skipped: 0,
        error: None,
    };
    match open(case.note.as_bytes(), origin(), &|_| true) {
        Ok(opened) => {
            case.checkpoint = Some(*opened.signed.checkpoint());
            case.cosignatures = opened.signed.cosignatures().copied().collect();
            case.refused = opened.refused.iter().map(|r| error_name(&r.fault)).collect();
            case.skipped = opened.skipped;
        }
        Err(e) => case.error = Some(error_name(&e)),
    }
    case
}

/// A note whose body is rightly signed by the owner, whatever it says.
fn signed_body(body: String) -> String {
    let name = origin().to_string();
    let key_id = key_id(&name, KEY_ED25519, &owner().public());
    let signature = owner().sign(body.as_bytes()).to_vec();
    Note { body, signatures: vec![SignatureLine { name, key_id, signature }] }.to_text()
}

fn good_notes(log: &Log) -> Vec<(&'static str, String, &'static [&'static str], usize)> {
    let checkpoint = log.checkpoint(7);
    let own = log.signed(7).to_text();
    let line = |number, time_s| cosigned(&checkpoint, number, time_s).to_line().to_text();
    let (two, three) = (line(2, 1_700_000_000), line(3, 1_700_000_001));
    let mut flipped = cosigned(&checkpoint, 3, 1_700_000_001);
    flipped.sig[63] ^= 1;
    let mut short = cosigned(&checkpoint, 3, 1_700_000_001).to_line();
    short.signature.pop();
    let late = Cosignature { time_s: COSIGNATURE_TIME_MAX_S + 1, ..cosigned(&checkpoint, 3, 1) };
    let mut other_id = cosigned(&checkpoint, 3, 1_700_000_001).to_line();
    other_id.key_id = [0; 4];
    vec![
        ("the log's signature alone", own.clone(), &[], 0),
        ("one leaf", log.signed(1).to_text(), &[], 0),
        ("two witnesses", format!("{own}{two}{three}"), &[], 0),
        ("the owner states freshness", format!("{own}{}", line(1, 1_700_000_600)), &[], 0),
        ("time zero", format!("{own}{}", line(2, 0)), &[], 0),
        ("the newest of one node counts", format!("{own}{}{two}{}", line(2, 1_700_000_009), line(2, 5)), &[], 0),
        (
            "the log's line may come last",
            {
                let (body, log_line) = own.split_once("\n\n").unwrap();
                format!("{body}\n\n{two}{log_line}")
            },
            &[],
            0,
        ),
        ("a bad cosignature fails no other", format!("{own}{two}{}", flipped.to_line().to_text()), &["Signature"], 0),
        ("a short cosignature fails no other", format!("{own}{two}{}", short.to_text()), &["Length"], 0),
        ("a time out of range fails no other", format!("{own}{two}{}", late.to_line().to_text()), &["Time"], 0),
        ("a repeated line counts once", format!("{own}{two}{two}"), &[], 0),
        ("another key id is another key", format!("{own}{two}{}", other_id.to_text()), &[], 1),
        ("a foreign witness", format!("{own}\u{2014} example.com/witness AAAAAAA=\n{two}"), &[], 1),
    ]
}

fn bad_notes(log: &Log) -> Vec<(&'static str, String, &'static str)> {
    let own = log.signed(7).to_text();
    let body = log.checkpoint(7).to_body();
    let (text, line) = own.split_once("\n\n").unwrap();
    let line = line.trim_end();
    let root = body.lines().nth(2).unwrap();
    let mut forged = Note::parse(own.as_bytes()).unwrap();
    forged.signatures[0].signature[0] ^= 1;
    let mut foreign = Note::parse(own.as_bytes()).unwrap();
    foreign.signatures[0].key_id[3] ^= 1;
    let many = "\u{2014} n AAAAAAA=\n".repeat(NOTE_SIGNATURES_MAX);
    let with_size = |size: &str| signed_body(body.replace("\n7\n", &format!("\n{size}\n")));
    let with_root = |new: &str| signed_body(body.replace(root, new));
    let cosignature = cosigned(&log.checkpoint(7), 1, 1_700_000_000).to_line().to_text();
    let mut out = vec![
        ("no signature lines", format!("{text}\n\n"), "NoSignatures"),
        ("no empty line", format!("{text}\n{line}\n"), "NoSignatures"),
        ("no newline at the end", format!("{text}\n\n{line}"), "NoSignatures"),
        ("a carriage return", own.replace("\n7\n", "\n7\r\n"), "NotText"),
        ("two hyphens for the dash", own.replace('\u{2014}', "--"), "Line"),
        ("no padding", own.replace(line, line.trim_end_matches('=')), "Line"),
        ("a plus sign in a key name", format!("{own}\u{2014} a+b AAAAAAA=\n"), "Line"),
        ("a signature without bytes", format!("{own}\u{2014} name AAAAAA==\n"), "Line"),
        ("stray bits in base64", format!("{own}\u{2014} name AAAAAAB=\n"), "Line"),
        ("too many lines", format!("{own}{many}"), "TooManySignatures"),
        ("a forged signature of the log", forged.to_text(), "Signature"),
        ("not signed by the log", foreign.to_text(), "Unsigned"),
        ("cosigned, but not signed, by the log", format!("{text}\n\n{cosignature}"), "Unsigned"),
        ("changed after signing", own.replace("\n7\n", "\n8\n"), "Signature"),
        ("another federation", own.replace(&federation().to_hex(), &"01".repeat(32)), "OtherLog"),
        ("another node", own.replace(&owner().peer().to_string(), &key(2).peer().to_string()), "OtherLog"),
        ("a fourth line", signed_body(format!("{body}extension\n")), "Checkpoint.Lines"),
        ("two lines", signed_body(body.replace(&format!("{root}\n"), "")), "Checkpoint.Lines"),
        ("no leaves", with_size("0"), "Checkpoint.Size"),
        ("a leading zero", with_size("07"), "Checkpoint.Size"),
        ("a sign", with_size("+7"), "Checkpoint.Size"),
        ("a size over the limit", with_size(&(LOG_SIZE_MAX + 1).to_string()), "Checkpoint.Size"),
        ("a root of 31 bytes", with_root(&STANDARD.encode([0; 31])), "Checkpoint.Root"),
        ("a root with stray bits", with_root(&format!("{}B=", "A".repeat(42))), "Checkpoint.Root"),
    ];
    out.push(("empty", String::new(), "NoSignatures"));
    out
}

#[test]
fn notes() {
    let log = Log::new(7);
    let names = [(origin().to_string(), KEY_ED25519, 1), (cosigner_name(key(2).peer()), KEY_COSIGNATURE_V1, 2)];
    let keys = names.map(|(name, kind, number)| {
        let key = key(number).public();
        let (id, verifier_key) = (hex::encode(key_id(&name, kind, &key)), verifier_key(&name, kind, &key));
        KeyName { name, kind, key, key_id: id, verifier_key }
    });
    let mut notes = Vec::new();
    for (name, note, refused, skipped) in good_notes(&log) {
        let case = note_case(name, note);
        assert_eq!(
            (case.error.as_deref(), &case.refused[..], case.skipped),
            (None, &refused.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>()[..], skipped),
            "{name}"
        );
        notes.push(case);
    }
    for (name, note, error) in bad_notes(&log) {
        let case = note_case(name, note);
        assert_eq!(case.error.as_deref(), Some(error), "{name}");
        notes.push(case);
    }
    let made = Notes {
        federation: federation(),
        log: Key::of(1),
        cosigners: vec![Key::of(2), Key::of(3)],
        keys: keys.into(),
        notes,
    };
    let found = golden("note.json", &made);

    let origin = Origin::new(found.federation, found.log.peer);
    for k in found.keys {
        assert_eq!(hex::encode(key_id(&k.name, k.kind, &k.key)), k.key_id);
        assert_eq!(verifier_key(&k.name, k.kind, &k.key), k.verifier_key);
    }
    for case in found.notes {
        let opened = open(case.note.as_bytes(), origin, &|_| true);
        assert_eq!(outcome(opened.as_ref()), case.error, "{}", case.name);
        let Ok(opened) = opened else { continue };
        assert_eq!(Some(*opened.signed.checkpoint()), case.checkpoint, "{}", case.name);
        assert!(opened.signed.cosignatures().eq(&case.cosignatures), "{}", case.name);
        let refused: Vec<_> = opened.refused.iter().map(|r| error_name(&r.fault)).collect();
        assert_eq!((refused, opened.skipped), (case.refused, case.skipped), "{}", case.name);
        // The one form of what counted opens to the same.
        let again = open(opened.signed.to_text().as_bytes(), origin, &|_| true).unwrap();
        assert_eq!(again.signed, opened.signed, "{}", case.name);
    }
}
