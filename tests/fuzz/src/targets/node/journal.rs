//! The journal as a damaged disk gives it back.
//!
//! The journal that is damaged is written here byte by byte, after the format's description, and not by the code under test.

use std::sync::Arc;

use verbund::store::{Fold, FoldError, FramePosition, Options, Seq, Store, ViewKind, Weight};
use verbund_protocol::view::rows::{Change, Row, Rows, RowsError, Table};

use crate::check::{refused, words};

const INSTANCE: [u8; 32] = [5; 32];
const SALT: &[u8; 12] = b"salt of fuzz";
/// Bytes of one edit: place, and what is put there.
const EDIT_BYTES: usize = 3;
/// Edits of one run: four bytes may not happen to be a checksum that fits.
const EDITS_MAX: usize = 4;

/// Keeps every frame under its place.
struct Keep;

impl Fold for Keep {
    fn fold(&self, _: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError> {
        let key = at.offset.to_be_bytes().to_vec();
        Ok(vec![Change { table: Table::Documents, key, value: Some(frame.to_vec()) }])
    }
    fn carry(&self, _: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        Ok(Vec::new())
    }
    fn schema(&self) -> u32 {
        1
    }
}

/// A segment of six frames, and each frame's place and payload.
fn segment() -> (Vec<u8>, Vec<(u64, Vec<u8>)>) {
    let mut copy = [&b"VERBUNDJ\x01\0\0\0\0\0\0\0"[..], &INSTANCE, SALT].concat();
    copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
    let mut bytes = copy.repeat(2);
    let mut frames = Vec::new();
    for seq in 1..=6_u64 {
        let payload = vec![u8::try_from(seq).unwrap(); 7 * usize::try_from(seq).unwrap()];
        let (at, len) = (bytes.len() as u64, u32::try_from(payload.len()).unwrap());
        let (len, number) = (len.to_le_bytes(), seq.to_le_bytes());
        let head = crc32c::crc32c(&[&SALT[..], &[0; 4], &at.to_le_bytes(), &len, &number].concat());
        let body = crc32c::crc32c_append(head, &payload);
        bytes.extend([&len[..], &number, &head.to_le_bytes(), &body.to_le_bytes(), &payload].concat());
        frames.push((at, payload));
    }
    (bytes, frames)
}

/// The first byte says what the rest is: edits of single bytes and a new length; bytes between two halves; a whole segment.
///
/// Whatever was edited, a frame that is read is one that was written, at its place. Opening again finds the same and changes nothing
/// more, and the journal goes on.
pub fn journal(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (mut bytes, frames) = segment();
    let number = |pair: &[u8]| usize::from(u16::from_le_bytes([pair[0], pair[1]]));
    let edited = match how % 4 {
        0 | 1 => {
            for edit in rest.chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
                let at = number(edit) % bytes.len();
                bytes[at] ^= edit[2];
            }
            if how % 4 == 1 && rest.len() >= 2 {
                bytes.resize(number(rest) % (2 * bytes.len()), 0);
            }
            true
        }
        2 if rest.len() >= 2 => {
            let at = number(rest) % bytes.len();
            bytes.splice(at..at, rest[2..].iter().copied());
            false
        }
        _ => {
            bytes = rest.to_vec();
            false
        }
    };
    let dir = super::folder();
    let folder = dir.path().join("journal");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("00000000.seg"), &bytes).unwrap();
    let Some(first) = open(dir.path()) else { return };
    let written = |(at, payload): &(u64, Vec<u8>)| frames.contains(&(*at, payload.clone()));
    assert!(!edited || first.rows.iter().all(written), "a frame that nobody wrote");
    assert_eq!(first.rows.len() as u64, first.frames);
    let again = open(dir.path()).expect("what opened opens again");
    assert_eq!(again.rows[..first.rows.len()], first.rows[..]);
    assert_eq!((again.frames, again.damages, again.cut), (first.frames + 1, first.damages, false));
    assert_eq!(again.rows.last().map(|(_, payload)| payload.as_slice()), Some(&b"goes on"[..]));
}

struct Opened {
    rows: Vec<(u64, Vec<u8>)>,
    frames: u64,
    damages: u64,
    cut: bool,
}

/// Opens, reads all, appends one frame, closes.
fn open(dir: &std::path::Path) -> Option<Opened> {
    let options = Options { floor_bytes: 0, view: ViewKind::Memory, ..Options::new(INSTANCE) };
    let (store, report) = match Store::open(dir, Arc::new(Keep), options) {
        Ok(opened) => opened,
        Err(error) => {
            refused(&error);
            return None;
        }
    };
    let rows: Result<Vec<Row>, RowsError> = store.reader().scan(Table::Documents, b"", b"", usize::MAX);
    let place = |key: Vec<u8>| u64::from_be_bytes(key.try_into().unwrap());
    let rows = rows.unwrap().into_iter().map(|(key, frame)| (place(key), frame)).collect();
    report.unfolded.iter().for_each(|unfolded| words(&unfolded.reason));
    let seq: Seq = store.append(Weight::Intake, b"goes on".to_vec()).unwrap();
    assert_eq!(seq, report.last + 1);
    store.close().unwrap();
    Some(Opened { rows, frames: report.frames, damages: report.damages, cut: report.cut_tail.is_some() })
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (bytes, frames) = segment();
    let edit = |at: u64, mask: u8| [&u16::try_from(at).unwrap().to_le_bytes()[..], &[mask]].concat();
    let mut out: Vec<Vec<u8>> =
        frames.iter().map(|(at, _)| [vec![0], edit(*at, 1), edit(at + 22, 255)].concat()).collect();
    out.extend(frames.iter().map(|(at, _)| [vec![1], edit(at + 9, 0)].concat()));
    out.push([vec![2], edit(300, 1)[..2].to_vec(), bytes[128..170].to_vec()].concat());
    out.extend([[vec![3], bytes.clone()].concat(), [vec![3], bytes[..64].to_vec()].concat(), vec![3], vec![0]]);
    out.push([vec![3], bytes, vec![0; 512]].concat());
    out
}
