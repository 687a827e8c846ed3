use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Log, cases, federation, key, origin, owner};
use crate::codec;
use crate::ids::{FederationId, PeerId, PublicKey, Sha256};
use crate::keys;
use crate::limits::{COSIGNATURE_TIME_MAX_S, LOG_SIZE_MAX, NOTE_MAX_BYTES, NOTE_SIGNATURES_MAX};
use crate::log::note::{KEY_COSIGNATURE_V1, KEY_ED25519, key_id, verifier_key};
use crate::log::*;

pub(super) fn everyone(_: &PeerId) -> bool {
    true
}

pub(super) fn cosigned(log: &Log, size: u64, by: impl IntoIterator<Item = u8>) -> SignedCheckpoint {
    let mut signed = log.signed(size);
    for number in by {
        signed.add(sign_cosignature(&key(number), 1000 + u64::from(number), signed.checkpoint()).unwrap()).unwrap();
    }
    signed
}

pub(super) fn open_all(note: &str) -> Result<Opened, NoteError> {
    open(note.as_bytes(), origin(), &everyone)
}

fn refused(opened: &Opened) -> Vec<LineFault> {
    opened.refused.iter().map(|line| line.fault).collect()
}

/// Replaces what stands between the last space and the end of the line that starts with the name of `number`'s cosigning key.
fn with_signature(note: &str, number: u8, change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let start = format!("\u{2014} {} ", cosigner_name(key(number).peer()));
    let lines = note.split_inclusive('\n').map(|line| match line.strip_prefix(&start) {
        Some(rest) => format!("{start}{}\n", STANDARD.encode(change(STANDARD.decode(rest.trim_end()).unwrap()))),
        None => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn key_ids_are_those_of_deployed_keys() {
    // A verifier key of Go's module database documentation (type 1), and of a public witness (type 4).
    for (vkey, kind) in [
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KEY_ED25519),
        (
            "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
            KEY_COSIGNATURE_V1,
        ),
    ] {
        let [name, id, bytes] = vkey.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
        let bytes = STANDARD.decode(bytes).unwrap();
        let public = PublicKey(bytes[1..].try_into().unwrap());
        assert_eq!(bytes[0], kind);
        assert_eq!(hex::encode(key_id(name, kind, &public)), id);
        assert_eq!(verifier_key(name, kind, &public), vkey);
    }
}

#[test]
fn signed_bytes_are_those_of_the_specifications() {
    let checkpoint = Log::new(5).checkpoint(5);
    let body = format!(
        "verbund.v1/{}/{}\n5\n{}\n",
        federation().to_hex(),
        owner().peer(),
        STANDARD.encode(checkpoint.root.as_bytes())
    );
    assert_eq!(checkpoint.to_body(), body);
    let cosignature = sign_cosignature(&key(2), 1_679_315_147, &checkpoint).unwrap();
    let message = format!("cosignature/v1\ntime 1679315147\n{body}");
    assert!(keys::verify(&key(2).public(), message.as_bytes(), &cosignature.sig));
    let line = cosignature.to_line();
    assert_eq!(line.name, format!("verbund.v1/node/{}", key(2).peer()));
    assert_eq!(line.key_id, key_id(&line.name, 4, &key(2).public()));
    assert_eq!(line.signature[..8], 1_679_315_147u64.to_be_bytes());
    assert_eq!(line.signature[8..], cosignature.sig);
    let note = Note::parse(sign_checkpoint(&owner(), federation(), &checkpoint).unwrap().to_text().as_bytes()).unwrap();
    assert_eq!(note.body, body);
    let own: [u8; 64] = note.signatures[0].signature.clone().try_into().unwrap();
    assert!(keys::verify(&owner().public(), body.as_bytes(), &own));
    assert_eq!(note.signatures[0].key_id, key_id(&note.signatures[0].name, 1, &owner().public()));
}

#[test]
fn a_note_opens_with_its_cosignatures() {
    let log = Log::new(7);
    let signed = cosigned(&log, 7, [2, 3, 1]);
    let text = signed.to_text();
    assert_eq!(verify_checkpoint(text.as_bytes(), federation(), owner().peer()), Ok(log.checkpoint(7)));
    let opened = open_all(&text).unwrap();
    assert_eq!(opened.signed, signed);
    assert_eq!((opened.refused.len(), opened.skipped), (0, 0));
    assert_eq!(opened.signed.witnesses().count(), 2);
    assert_eq!(opened.signed.fresh_at_s(), Some(1001));
    assert_eq!(opened.signed.without_cosignatures(), log.signed(7));
    assert_eq!(log.signed(7).fresh_at_s(), None);
    assert_eq!(Note::parse(text.as_bytes()).unwrap().to_text(), text);
}

#[test]
fn unknown_keys_are_skipped() {
    let log = Log::new(7);
    let text = cosigned(&log, 7, [2, 3]).to_text();
    let two = key(2).peer();
    let opened = open(text.as_bytes(), origin(), &|peer| *peer == two).unwrap();
    assert_eq!(opened.signed, cosigned(&log, 7, [2]));
    assert_eq!((opened.refused.len(), opened.skipped), (0, 1));
    // Foreign names, a known name with another key id, the log's name with a cosigning type: all unknown, none an error.
    let other_id = with_signature(&text, 3, |mut bytes| {
        bytes[0] ^= 1;
        bytes
    });
    let foreign = format!("{other_id}\u{2014} example.com/witness AAAAAAA=\n\u{2014} {} AAAAAAA=\n", origin());
    let opened = open_all(&foreign).unwrap();
    assert_eq!(opened.signed, cosigned(&log, 7, [2]));
    assert_eq!((opened.refused.len(), opened.skipped), (0, 3));
}

#[test]
fn a_bad_known_line_is_reported_and_fails_no_other() {
    let log = Log::new(7);
    let text = cosigned(&log, 7, [2, 3, 4]).to_text();
    let flipped = with_signature(&text, 3, |mut bytes| {
        bytes[20] ^= 1;
        bytes
    });
    let short = with_signature(&text, 3, |mut bytes| {
        bytes.pop();
        bytes
    });
    let late = with_signature(&text, 3, |mut bytes| {
        bytes[4] = 0xff;
        bytes
    });
    let cases = [(flipped, LineFault::Signature), (short, LineFault::Length), (late, LineFault::Time)];
    for (note, fault) in cases {
        let opened = open_all(&note).unwrap();
        assert_eq!(opened.signed, cosigned(&log, 7, [2, 4]));
        assert_eq!(opened.refused, [RefusedLine { name: cosigner_name(key(3).peer()), fault }]);
        // The same line again is reported once; the good one beside it counts.
        let line = note.lines().find(|l| l.contains(&cosigner_name(key(3).peer()))).unwrap();
        let good = cosigned(&log, 7, [3]).to_text().lines().last().unwrap().to_owned();
        let opened = open_all(&format!("{note}{line}\n{good}\n{good}\n")).unwrap();
        assert_eq!(opened.signed, cosigned(&log, 7, [2, 3, 4]));
        assert_eq!(refused(&opened), [fault]);
    }
}

#[test]
fn a_second_bad_line_of_the_log_is_reported() {
    let log = Log::new(7);
    let text = log.signed(7).to_text();
    let mut note = Note::parse(text.as_bytes()).unwrap();
    let mut bad = note.signatures[0].clone();
    bad.signature[0] ^= 1;
    note.signatures.insert(0, bad.clone());
    let opened = open_all(&note.to_text()).unwrap();
    assert_eq!(opened.signed, log.signed(7));
    assert_eq!(refused(&opened), [LineFault::Signature]);
    note.signatures = vec![bad];
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Signature));
}

#[test]
fn the_log_must_have_signed() {
    let log = Log::new(7);
    let text = log.signed(7).to_text();
    let other = FederationId([1; 32]);
    let refused = |federation, peer| verify_checkpoint(text.as_bytes(), federation, peer).unwrap_err();
    assert!(matches!(refused(other, owner().peer()), NoteError::OtherLog(_)));
    assert!(matches!(refused(federation(), key(2).peer()), NoteError::OtherLog(_)));
    let mut note = Note::parse(text.as_bytes()).unwrap();
    // Somebody else signs the same body.
    note.signatures[0].signature = key(2).sign(note.body.as_bytes()).to_vec();
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Signature));
    note.signatures[0].key_id = [0; 4];
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Unsigned));
    // The owner's cosignature does not stand in for the log's signature.
    let own = sign_cosignature(&owner(), 5, &log.checkpoint(7)).unwrap();
    note.signatures = vec![own.to_line()];
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Unsigned));
    // Nor does its signature taken from there, nor the log's as a cosignature.
    let mut line = Note::parse(text.as_bytes()).unwrap().signatures.remove(0);
    let log_signature: [u8; 64] = line.signature.clone().try_into().unwrap();
    line.signature = own.sig.to_vec();
    note.signatures = vec![line];
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Signature));
    let moved = Cosignature { sig: log_signature, ..own };
    assert_eq!(verify_cosignature(&moved, &log.checkpoint(7)), Err(CosignError::Signature(owner().peer())));
}

#[test]
fn only_the_owner_signs_its_log() {
    let checkpoint = Log::new(7).checkpoint(7);
    assert!(matches!(sign_checkpoint(&key(2), federation(), &checkpoint), Err(NoteError::OtherLog(_))));
    assert!(matches!(sign_checkpoint(&owner(), FederationId([1; 32]), &checkpoint), Err(NoteError::OtherLog(_))));
    for size in [0, LOG_SIZE_MAX + 1] {
        let bad = Checkpoint { size, ..checkpoint };
        let refused = NoteError::Checkpoint(CheckpointError::Size);
        assert_eq!(sign_checkpoint(&owner(), federation(), &bad), Err(refused));
        assert_eq!(sign_cosignature(&owner(), 1, &bad), Err(CosignError::Checkpoint(CheckpointError::Size)));
    }
    let late = COSIGNATURE_TIME_MAX_S + 1;
    assert_eq!(sign_cosignature(&owner(), late, &checkpoint), Err(CosignError::Time(late)));
}

#[test]
fn a_cosignature_is_for_one_checkpoint_time_and_node() {
    let log = Log::new(7);
    let good = sign_cosignature(&key(2), 9, &log.checkpoint(7)).unwrap();
    assert_eq!(verify_cosignature(&good, &log.checkpoint(7)), Ok(()));
    let bad = Err(CosignError::Signature(key(2).peer()));
    assert_eq!(verify_cosignature(&good, &log.checkpoint(6)), bad);
    assert_eq!(verify_cosignature(&Cosignature { time_s: 10, ..good }, &log.checkpoint(7)), bad);
    let other = Cosignature { peer: key(3).peer(), ..good };
    assert_eq!(verify_cosignature(&other, &log.checkpoint(7)), Err(CosignError::Signature(key(3).peer())));
}

#[test]
fn bodies_have_one_form() {
    let good = Log::new(7).checkpoint(7).to_body();
    assert!(Checkpoint::parse(&good).is_ok());
    let [origin, size, root] = good.lines().collect::<Vec<_>>().try_into().unwrap();
    use CheckpointError::{Lines, Origin, Root, Size};
    let cases = [
        (String::new(), Lines),
        ("\n".into(), Lines),
        (format!("{origin}\n{size}\n{root}"), Lines),
        (format!("{origin}\n{size}\n"), Lines),
        (format!("{origin}\n{size}\n{root}\nextension\n"), Lines),
        (format!("{origin}\n{size}\n{root}\n\n"), Lines),
        (format!("\n{size}\n{root}\n"), Origin),
        (format!("{origin} \n{size}\n{root}\n"), Origin),
        (format!("{origin}/\n{size}\n{root}\n"), Origin),
        (format!("{}\n{size}\n{root}\n", origin.to_uppercase()), Origin),
        (format!("{}\n{size}\n{root}\n", origin.replace("verbund.v1", "verbund.v2")), Origin),
        (format!("{}\n{size}\n{root}\n", origin.replace("fe", "FE")), Origin),
        (format!("verbund.v1/node/{}\n{size}\n{root}\n", owner().peer()), Origin),
        (format!("{origin}\n0\n{root}\n"), Size),
        (format!("{origin}\n07\n{root}\n"), Size),
        (format!("{origin}\n+7\n{root}\n"), Size),
        (format!("{origin}\n-7\n{root}\n"), Size),
        (format!("{origin}\n7 \n{root}\n"), Size),
        (format!("{origin}\n٧\n{root}\n"), Size),
        (format!("{origin}\n\n{root}\n"), Size),
        (format!("{origin}\n{}\n{root}\n", LOG_SIZE_MAX + 1), Size),
        (format!("{origin}\n99999999999999999999999\n{root}\n"), Size),
        (format!("{origin}\n7\n{}\n", root.trim_end_matches('=')), Root),
        (format!("{origin}\n7\n{root}=\n"), Root),
        (format!("{origin}\n7\n {root}\n"), Root),
        (format!("{origin}\n7\n{}\n", STANDARD.encode([0; 31])), Root),
        (format!("{origin}\n7\n{}\n", STANDARD.encode([0; 33])), Root),
        // The last character before the padding has bits that belong to no byte.
        (format!("{origin}\n7\n{}B=\n", "A".repeat(42)), Root),
        (format!("{origin}\n7\n{}\n", "-".repeat(44)), Root),
    ];
    for (body, error) in cases {
        assert_eq!(Checkpoint::parse(&body), Err(error), "{body:?}");
    }
}

#[test]
fn a_signed_body_that_is_no_checkpoint_is_refused() {
    let mut note = Note::parse(Log::new(7).signed(7).to_text().as_bytes()).unwrap();
    note.body.push_str("extension\n");
    note.signatures[0].signature = owner().sign(note.body.as_bytes()).to_vec();
    assert_eq!(open_all(&note.to_text()), Err(NoteError::Checkpoint(CheckpointError::Lines)));
}

#[test]
fn notes_have_one_grammar() {
    let good = Log::new(7).signed(7).to_text();
    let (body, line) = good.split_once("\n\n").unwrap();
    let line = line.trim_end();
    let base64 = line.rsplit(' ').next().unwrap();
    let cases = [
        (String::new(), NoteError::NoSignatures),
        (body.to_owned(), NoteError::NoSignatures),
        (format!("{body}\n{line}\n"), NoteError::NoSignatures),
        (format!("{body}\n\n{line}"), NoteError::NoSignatures),
        (format!("{body}\n\n"), NoteError::NoSignatures),
        (format!("{body}\n\n{line}\n\n"), NoteError::NoSignatures),
        (format!("{body}\r\n\n{line}\n"), NoteError::NotText),
        (format!("{body}\n\n{line}\n\u{0}\n"), NoteError::NotText),
        (format!("{body}\n\n{line}\n\t\n"), NoteError::NotText),
        (format!("{body}\n\n{line}\n{line}x\n"), NoteError::Line(2)),
        (format!("{body}\n\n{line} \n"), NoteError::Line(1)),
        (format!("{body}\n\n-- {}\n", &line[4..]), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014}{}\n", &line[4..]), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014}  {base64}\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} a+b {base64}\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} a\u{a0}b {base64}\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name \n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name AAAAAA==\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name {}\n", base64.trim_end_matches('=')), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name AAAAAAB=\n"), NoteError::Line(1)),
        (format!("{body}\n\n\u{2014} name AAA AAAA=\n"), NoteError::Line(1)),
    ];
    for (note, error) in cases {
        assert_eq!(open_all(&note).map(drop), Err(error), "{note:?}");
    }
    assert_eq!(Note::parse(&[good.as_bytes(), &[0xff]].concat()), Err(NoteError::NotText));
}

#[test]
fn notes_are_bounded() {
    let text = Log::new(7).signed(7).to_text();
    let long = format!("{text}{}", "x".repeat(NOTE_MAX_BYTES));
    assert_eq!(open_all(&long), Err(NoteError::TooLong(long.len())));
    let many = |n: usize| format!("{text}{}", "\u{2014} n AAAAAAA=\n".repeat(n));
    assert!(open_all(&many(NOTE_SIGNATURES_MAX - 1)).is_ok());
    assert_eq!(open_all(&many(NOTE_SIGNATURES_MAX)), Err(NoteError::TooManySignatures(NOTE_SIGNATURES_MAX + 1)));
}

#[test]
fn a_full_note_fits_its_limit_and_takes_no_more_cosigners() {
    let mut signed = Log::new(7).signed(7);
    let sign = |number: usize, time_s| {
        let mut seed = [0xaa; 32];
        seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        sign_cosignature(&keys::SecretKey::from_seed(&seed), time_s, &Log::new(7).checkpoint(7)).unwrap()
    };
    for number in 1..NOTE_SIGNATURES_MAX {
        assert_eq!(signed.add(sign(number, COSIGNATURE_TIME_MAX_S - 1)), Ok(true));
    }
    assert_eq!(signed.add(sign(NOTE_SIGNATURES_MAX, 1)), Err(LineFault::Full));
    // One that is there already may still become newer.
    assert_eq!(signed.add(sign(1, COSIGNATURE_TIME_MAX_S)), Ok(true));
    let text = signed.to_text();
    assert!(text.len() <= NOTE_MAX_BYTES);
    assert_eq!(open_all(&text).unwrap().signed, signed);
}

#[test]
fn origins_and_names_have_one_form() {
    let text = origin().to_string();
    assert_eq!(text.parse(), Ok(origin()));
    assert_eq!(serde_json::to_string(&origin()).unwrap(), format!("{text:?}"));
    assert_eq!(serde_json::from_str::<Origin>(&format!("{text:?}")).unwrap(), origin());
    assert!(serde_json::from_str::<Origin>(&format!("{:?}", text.to_uppercase())).is_err());
    let bytes = codec::encode(&origin()).unwrap();
    assert_eq!(bytes.len(), 64);
    assert_eq!(codec::decode::<Origin>(&bytes, 64).unwrap(), origin());
    use crate::log::cosign::cosigner_of;
    assert_eq!(cosigner_of(&cosigner_name(key(2).peer())), Some(key(2).peer()));
    assert_eq!(cosigner_of(&text), None);
    assert_eq!(cosigner_of("verbund.v1/node/"), None);
    // A PeerId in base58 with a leading zero digit too many is another byte string.
    assert_eq!(cosigner_of(&cosigner_name(key(2).peer()).replace("/12D", "/112D")), None);
}

#[test]
fn checkpoints_and_cosignatures_survive_both_codecs() {
    let checkpoint = Log::new(7).checkpoint(7);
    let cosignature = sign_cosignature(&key(2), 9, &checkpoint).unwrap();
    let json = serde_json::to_string(&cosignature).unwrap();
    assert_eq!(serde_json::from_str::<Cosignature>(&json).unwrap(), cosignature);
    let bytes = codec::encode(&cosignature).unwrap();
    assert_eq!(bytes.len(), 32 + 1 + 64);
    assert_eq!(codec::decode::<Cosignature>(&bytes, 256).unwrap(), cosignature);
    let json = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
    assert!(serde_json::from_str::<Checkpoint>(&json.replace(":7,", ":0,")).is_err());
    let bytes = codec::encode(&checkpoint).unwrap();
    assert_eq!(codec::decode::<Checkpoint>(&bytes, 256).unwrap(), checkpoint);
    let zero = codec::encode(&(checkpoint.origin, 0u64, checkpoint.root)).unwrap();
    assert!(codec::decode::<Checkpoint>(&zero, 256).is_err());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_damaged_note_says_the_same_or_nothing(size in 1u64..20, at: Index, bit in 0u8..8, cut: Index, insert: u8) {
        let log = Log::new(size);
        let signed = cosigned(&log, size, [1, 2, 3]);
        let text = signed.to_text().into_bytes();
        let mut flipped = text.clone();
        flipped[at.index(text.len())] ^= 1 << bit;
        let mut inserted = text.clone();
        inserted.insert(at.index(text.len()), insert);
        let mut removed = text.clone();
        removed.remove(at.index(text.len()));
        for damaged in [flipped, inserted, removed, text[..cut.index(text.len())].to_vec()] {
            if let Ok(opened) = open(&damaged, origin(), &everyone) {
                prop_assert_eq!(opened.signed.checkpoint(), signed.checkpoint());
                for cosignature in opened.signed.cosignatures() {
                    prop_assert!(signed.cosignatures().any(|c| c == cosignature));
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600), text in "\\PC{0,80}\n\n(\u{2014} \\PC{0,80}\n){0,4}") {
        prop_assert!(open(&bytes, origin(), &everyone).is_err());
        prop_assert!(open_all(&text).is_err());
        let _ = (Checkpoint::parse(&text), text.parse::<Origin>());
        let _ = codec::decode::<Cosignature>(&bytes, 1024);
        let _ = codec::decode::<Checkpoint>(&bytes, 1024);
    }

    #[test]
    fn what_parses_formats_to_the_same_text(size in 1u64..=LOG_SIZE_MAX, root: [u8; 32], peer: [u8; 32], federation: [u8; 32]) {
        let origin = Origin::new(FederationId(federation), PeerId(PublicKey(peer)));
        let checkpoint = Checkpoint::new(origin, size, Sha256(root)).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_body()), Ok(checkpoint));
    }
}
