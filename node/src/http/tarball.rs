//! Tar archives of releases.
//!
//! Pure. Owns which bytes stand where, for names and sizes in their order; the bytes of files are the caller's. No times, owners or
//! modes of this machine: the same files give the same archive everywhere.

use std::io;
use std::ops::Range;

use bytes::Bytes;

/// Everything in a tar comes in blocks of this many bytes.
const BLOCK: usize = 512;
/// Two blocks of zeros end an archive.
const END: usize = 2 * BLOCK;
/// Mode of every file.
const MODE: u32 = 0o644;
const ZEROS: &[u8] = &[0; END];

/// Bytes that stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Headers of a file.
    Head(Bytes),
    /// The bytes of a file.
    File(String),
    /// Padding or the end.
    Zeros,
}

/// A part of an archive to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes.
    Bytes(Bytes),
    /// This range of this file; not empty.
    File(String, Range<u64>),
}

/// What stands where in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where each piece begins; all of them, without gap.
    pieces: Vec<(u64, Piece)>,
    size: u64,
}

impl Layout {
    /// The archive of these files: paths and sizes in bytes, in the order in which they are to stand.
    ///
    /// # Errors
    /// A name that no tar can hold.
    pub(super) fn of(files: impl IntoIterator<Item = (String, u64)>) -> io::Result<Self> {
        let mut layout = Self { pieces: Vec::new(), size: 0 };
        for (path, size) in files {
            let head = head(&path, size)?;
            let length = head.len() as u64;
            layout.push(Piece::Head(head), length);
            layout.push(Piece::File(path), size);
            layout.push(Piece::Zeros, padding(size).len() as u64);
        }
        layout.push(Piece::Zeros, END as u64);
        Ok(layout)
    }

    fn push(&mut self, piece: Piece, length: u64) {
        if length > 0 {
            self.pieces.push((self.size, piece));
            self.size += length;
        }
    }

    /// Of the whole archive, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What to send for a range within the size, in order.
    pub(super) fn parts(&self, range: Range<u64>) -> Vec<Part> {
        let first = self.pieces.partition_point(|(start, _)| *start <= range.start).saturating_sub(1);
        let mut parts = Vec::new();
        for (at, (start, piece)) in self.pieces.iter().enumerate().skip(first) {
            if *start >= range.end {
                break;
            }
            let end = self.pieces.get(at + 1).map_or(self.size, |(next, _)| *next);
            let (from, to) = (range.start.max(*start) - start, range.end.min(end) - start);
            // Heads and zeros are short: they fit an index.
            let within = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(usize::MAX);
            match piece {
                Piece::Head(bytes) => parts.push(Part::Bytes(bytes.slice(within))),
                Piece::Zeros => parts.push(Part::Bytes(Bytes::from_static(&ZEROS[within]))),
                Piece::File(path) => parts.push(Part::File(path.clone(), from..to)),
            }
        }
        parts
    }
}

/// The headers of a file: a name that is too long for one has a header of its own before it (GNU).
///
/// # Errors
/// A name that no tar can hold.
pub(super) fn head(path: &str, size: u64) -> io::Result<Bytes> {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Regular);
    header.set_mode(MODE);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    let mut builder = ::tar::Builder::new(Vec::new());
    // Without bytes: they follow, and their padding too.
    builder.append_data(&mut header, path, io::empty())?;
    Ok(std::mem::take(builder.get_mut()).into())
}

/// What fills the last block of a file.
pub(super) fn padding(size: u64) -> Bytes {
    let fill = size.next_multiple_of(BLOCK as u64).saturating_sub(size);
    Bytes::from_static(ZEROS).slice(..usize::try_from(fill).unwrap_or_default())
}

/// What ends an archive.
pub(super) fn end() -> Bytes {
    Bytes::from_static(ZEROS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(layout: &Layout, range: Range<u64>, content: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in layout.parts(range) {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(&bytes),
                Part::File(path, range) => {
                    out.extend_from_slice(&content(&path)[range.start as usize..range.end as usize]);
                }
            }
        }
        out
    }

    #[test]
    fn tar_unpacks_it_with_its_names() {
        let long = format!("{}/{}.bpmn", "ordner".repeat(40), "name".repeat(60));
        let paths =
            ["a.txt".to_owned(), "leer".to_owned(), "Prüfung/ä.xml".to_owned(), format!("{}/b", "x".repeat(120)), long];
        let content = |path: &str| if path == "leer" { Vec::new() } else { path.repeat(100).into_bytes() };
        let layout = Layout::of(paths.iter().map(|path| (path.clone(), content(path).len() as u64))).unwrap();
        let bytes = whole(&layout, 0..layout.size(), content);
        assert_eq!(bytes.len() as u64, layout.size());
        assert_eq!(bytes.len() % BLOCK, 0);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("t.tar"), &bytes).unwrap();
        let tar = std::process::Command::new("tar").args(["-xf", "t.tar"]).current_dir(dir.path()).output();
        let Ok(tar) = tar else { return println!("skipped: there is no tar") };
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        for path in &paths {
            assert_eq!(std::fs::read(dir.path().join(path)).unwrap(), content(path), "{path}");
        }
    }

    #[test]
    fn padding_fills_the_block() {
        for (size, fill) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)] {
            assert_eq!(padding(size).len(), fill, "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_range_is_a_range_of_the_whole(sizes in prop::collection::vec(0_u64..2_000, 1..6), a in 0_u64..12_000, b in 0_u64..12_000) {
            let content = |path: &str| vec![path.as_bytes()[0]; sizes[path.parse::<usize>().unwrap()] as usize];
            let layout = Layout::of(sizes.iter().enumerate().map(|(n, size)| (n.to_string(), *size))).unwrap();
            let all = whole(&layout, 0..layout.size(), content);
            let (from, to) = (a.min(b).min(layout.size()), a.max(b).min(layout.size()));
            prop_assume!(from < to);
            prop_assert_eq!(whole(&layout, from..to, content), &all[from as usize..to as usize]);
        }
    }
}
