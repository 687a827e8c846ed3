//! Whatever is changed in a file: it fails, or proves the same release.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

use super::build::{Fed, Release};
use super::{Files, Report, Trust, Verdict, standard, verify};
use crate::provenance::Facts;

struct Base {
    /// Made by the code, and others of the same log, federation, or of another.
    proofs: Vec<(Vec<u8>, Files, Facts)>,
    trust: Trust,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let (mut fed, release) = standard();
        let later = fed.publish(0, "hundesteuer", "2.0.0", &[("process.toml", "id = 3")]);
        let other = fed.publish(1, "gewerbe", "1.0.0", &[("process.toml", "id = 4")]);
        fed.cosign(0, &[1, 2]);
        let mut foreign = Fed::with(2, 40);
        let elsewhere = foreign.publish(0, "hundesteuer", "1.2.0", &[("process.toml", "id = 1"), ("b", "c")]);
        let proof = |fed: &Fed, release: &Release| {
            let bytes = fed.make(release).unwrap();
            let report = verify(&bytes, &release.files, Some(fed.trust())).unwrap();
            assert_eq!(report.verdict(), Verdict::Verified);
            (bytes, release.files.clone(), report.release.unwrap())
        };
        let proofs = vec![proof(&fed, &release), proof(&fed, &later), proof(&fed, &other), proof(&foreign, &elsewhere)];
        Base { proofs, trust: fed.trust() }
    })
}

/// What must not change: all but what the file only says of itself, and how much of the chain and log it shows.
fn proven(facts: &Facts) -> impl PartialEq + std::fmt::Debug + use<> {
    let f = facts.clone();
    let id = (f.federation, f.member, f.handle, f.process, f.version, f.release, f.log, f.index);
    (id, f.title, f.license, f.published_s, f.manifest, f.files, f.total_size, f.identity_version)
}

/// The outcome of a changed file beside the folder of the first proof.
fn holds(bytes: &[u8], trust: Option<Trust>) -> Option<Report> {
    let (_, files, facts) = &base().proofs[0];
    let report = verify(bytes, files, trust).ok()?;
    if report.verdict() == Verdict::Failed {
        return None;
    }
    assert_eq!(proven(report.release.as_ref().unwrap()), proven(facts));
    assert!(report.files.as_ref().unwrap().is_empty());
    Some(report)
}

/// All scalars below `value`, in order.
fn scalars<'a>(value: &'a mut Value, out: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| scalars(v, out)),
        Value::Object(map) => map.values_mut().for_each(|v| scalars(v, out)),
        scalar => out.push(scalar),
    }
}

/// JSON pointers of all lists below `value` that are not empty.
fn lists(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            if !items.is_empty() {
                out.push(at.to_owned());
            }
            items.iter().enumerate().for_each(|(n, v)| lists(v, &format!("{at}/{n}"), out));
        }
        Value::Object(map) => map.iter().for_each(|(key, v)| lists(v, &format!("{at}/{key}"), out)),
        _ => {}
    }
}

fn pick<T>(mut items: Vec<T>, at: prop::sample::Index) -> T {
    let at = at.index(items.len());
    items.swap_remove(at)
}

proptest! {
    #![proptest_config(crate::testing::cases(192))]

    #[test]
    fn bytes(at in any::<prop::sample::Index>(), new in any::<u8>(), how in 0..4_u8, len in 1..64_usize) {
        let mut bytes = base().proofs[0].0.clone();
        let at = at.index(bytes.len());
        let end = (at + len).min(bytes.len());
        match how {
            0 => bytes[at] = new,
            1 => bytes[at] ^= 1 << (new % 8),
            2 => drop(bytes.drain(at..end)),
            _ => bytes.truncate(at),
        }
        holds(&bytes, Some(base().trust));
    }

    #[test]
    fn fields(at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), new in any::<u64>(), how in 0..4_u8) {
        let mut value: Value = serde_json::from_slice(&base().proofs[0].0).unwrap();
        let mut all = Vec::new();
        scalars(&mut value, &mut all);
        let scalar = pick(all, at);
        match scalar {
            Value::Number(n) => *scalar = match how {
                0 => Value::from(n.as_u64().unwrap() + 1),
                1 => Value::from(n.as_u64().unwrap().saturating_sub(1)),
                _ => Value::from(new >> (new % 64)),
            },
            Value::String(text) => match STANDARD.decode(&*text) {
                Ok(mut bytes) if !bytes.is_empty() => {
                    let at = byte.index(bytes.len());
                    match how {
                        0 => bytes[at] ^= 1 << (new % 8),
                        1 => bytes.truncate(at),
                        2 => bytes.insert(at, b' '),
                        _ => drop(bytes.remove(at)),
                    }
                    *text = STANDARD.encode(bytes);
                }
                _ => {
                    let mut bytes = text.clone().into_bytes();
                    let at = byte.index(bytes.len());
                    bytes[at] ^= 1 << (new % 6);
                    *text = String::from_utf8_lossy(&bytes).into_owned();
                }
            },
            other => *other = Value::from(new),
        }
        holds(&serde_json::to_vec(&value).unwrap(), Some(base().trust));
    }

    #[test]
    fn elements(list in any::<prop::sample::Index>(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), how in 0..4_u8) {
        let mut value: Value = serde_json::from_slice(&base().proofs[0].0).unwrap();
        let mut all = Vec::new();
        lists(&value, "", &mut all);
        let list = value.pointer_mut(&pick(all, list)).and_then(Value::as_array_mut).unwrap();
        let (a, b) = (a.index(list.len()), b.index(list.len()));
        match how {
            0 => drop(list.remove(a)),
            1 => list.swap(a, b),
            2 => list.insert(a, list[b].clone()),
            _ => list[a] = list[b].clone(),
        }
        holds(&serde_json::to_vec(&value).unwrap(), Some(base().trust));
    }

    /// Parts of one proof in another, each of them true by itself.
    #[test]
    fn grafts(from in 1..4_usize, parts in any::<u16>(), trust in any::<bool>()) {
        let read = |n: usize| serde_json::from_slice::<Value>(&base().proofs[n].0).unwrap();
        let (mut value, other) = (read(0), read(from));
        let keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| parts >> n & 1 == 1) {
            prop_assert!(n < 16);
            value[key] = other[key].clone();
        }
        holds(&serde_json::to_vec(&value).unwrap(), trust.then_some(base().trust));
    }

    #[test]
    fn arbitrary(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(verify(&bytes, &Files::new(), None).is_err());
    }
}

#[test]
fn what_is_not_proven_may_change() {
    let bytes = super::edit(&base().proofs[0].0, |v| {
        v["pulled_at_s"] = 5.into();
        v["served_by"] = v["log"].clone();
        v["statements"] = Vec::<Value>::new().into();
    });
    assert_eq!(holds(&bytes, Some(base().trust)).unwrap().verdict(), Verdict::Verified);
}
