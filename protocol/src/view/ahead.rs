//! Entries that were read and whose signatures were checked before their turn came, on other threads.
//!
//! Owns a bounded memory of work that is done, and no judgement: an entry that is found here is judged as if it had just been read.
//! Whoever takes many entries in may spread [`Ahead::prepare`] over the machine's cores; nothing depends on whether it did.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::envelope::Envelope;
use crate::ids::Sha256;
use crate::limits::{ENTRIES_MAX, ENTRIES_MAX_BYTES};

/// Answers of which the entries may wait for their turn: one that is judged, one that is prepared, and as many that turned out to be
/// of no use.
const ANSWERS_MAX: usize = 4;

#[derive(Debug, Default)]
struct Done {
    by_leaf: BTreeMap<Sha256, Envelope>,
    bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ahead {
    done: Mutex<Done>,
}

impl Ahead {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the envelope in `leaf`, checks its signatures against the keys that they name, and keeps it. What is not an envelope is
    /// left to whoever judges it.
    pub fn prepare(&self, leaf: &[u8]) {
        let Ok(envelope) = Envelope::parse(leaf) else { return };
        let (name, envelope) = (Sha256::of(leaf), envelope.checked());
        let mut done = self.done();
        // What nobody took was of no use to anybody: all of it goes when there is too much.
        if done.by_leaf.len() >= ANSWERS_MAX * ENTRIES_MAX || done.bytes + leaf.len() > ANSWERS_MAX * ENTRIES_MAX_BYTES
        {
            *done = Done::default();
        }
        if done.by_leaf.insert(name, envelope).is_none() {
            done.bytes += leaf.len();
        }
    }

    /// The envelope in `leaf`, if it was prepared. It is forgotten here.
    pub(crate) fn take(&self, leaf: &[u8]) -> Option<Envelope> {
        let mut done = self.done();
        if done.by_leaf.is_empty() {
            return None;
        }
        let envelope = done.by_leaf.remove(&Sha256::of(leaf))?;
        done.bytes = done.bytes.saturating_sub(leaf.len());
        Some(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SecretKey;

    fn signed(n: u32) -> Envelope {
        Envelope::sign("t", n.to_string().into_bytes(), [&SecretKey::from_seed(&[1; 32])]).unwrap()
    }

    #[test]
    fn gives_back_what_was_prepared_once() {
        let (ahead, leaf) = (Ahead::default(), signed(1));
        assert!(ahead.take(leaf.bytes()).is_none());
        ahead.prepare(leaf.bytes());
        assert_eq!(ahead.take(leaf.bytes()), Some(leaf.clone()));
        assert!(ahead.take(leaf.bytes()).is_none());
        ahead.prepare(b"no envelope");
        assert!(ahead.take(b"no envelope").is_none());
    }

    #[test]
    fn a_signature_counts_only_for_its_key_and_only_if_it_is_one() {
        let (one, other) = (SecretKey::from_seed(&[1; 32]).public(), SecretKey::from_seed(&[2; 32]).public());
        let ahead = Ahead::default();
        let good = signed(1);
        // The same envelope as if the other key had signed it, and one with a signature over something else.
        let renamed = String::from_utf8(good.bytes().to_vec()).unwrap().replace(&one.to_string(), &other.to_string());
        let text = |e: &Envelope| String::from_utf8(e.bytes().to_vec()).unwrap();
        let signature =
            |e: &Envelope| text(e).split("\"sig\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let moved = text(&good).replace(&signature(&good), &signature(&signed(2)));
        for (leaf, by_one) in [(text(&good), true), (renamed, false), (moved, false)] {
            ahead.prepare(leaf.as_bytes());
            let prepared = ahead.take(leaf.as_bytes()).unwrap();
            let plain = Envelope::parse(leaf.as_bytes()).unwrap();
            assert_eq!((prepared.signed_by(&one), prepared.signed_by(&other)), (by_one, false), "{leaf}");
            assert_eq!((plain.signed_by(&one), plain.signed_by(&other)), (by_one, false), "{leaf}");
        }
    }

    #[test]
    fn forgets_rather_than_grows() {
        let ahead = Ahead::default();
        let leaf = |n: usize| signed(u32::try_from(n).unwrap());
        let all = ANSWERS_MAX * ENTRIES_MAX;
        // Signing is what takes long here: envelopes without signatures do as well.
        for n in 0..all {
            ahead.prepare(Envelope::sign("t", n.to_string().into_bytes(), []).unwrap().bytes());
        }
        assert_eq!(ahead.done().by_leaf.len(), all);
        ahead.prepare(leaf(0).bytes());
        assert_eq!(ahead.done().by_leaf.len(), 1);
        assert_eq!(ahead.done().bytes, leaf(0).bytes().len());
    }
}
