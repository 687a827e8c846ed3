//! The layout of a tar archive (POSIX.1-2001 pax, ustar where it suffices).
//!
//! Pure. Owns which bytes stand where, for names and sizes in their order; the bytes of files are the caller's. No times, owners or
//! modes of this machine: the same files give the same archive everywhere.

use std::ops::Range;

use bytes::Bytes;

/// Everything in a tar comes in blocks of this many bytes.
const BLOCK: usize = 512;
/// Two blocks of zeros end an archive.
const END: usize = 2 * BLOCK;
/// The longest name in a header, and the longest folder before it, in bytes.
const NAME_MAX: usize = 100;
const PREFIX_MAX: usize = 155;
/// The largest size in a header: eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;
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
    pub(super) fn of(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut layout = Self { pieces: Vec::new(), size: 0 };
        for (path, size) in files {
            let head = head(&path, size);
            let length = head.len() as u64;
            layout.push(Piece::Head(Bytes::from(head)), length);
            layout.push(Piece::File(path), size);
            layout.push(Piece::Zeros, size.next_multiple_of(BLOCK as u64) - size);
        }
        layout.push(Piece::Zeros, END as u64);
        layout
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

/// The headers of a file.
fn head(path: &str, size: u64) -> Vec<u8> {
    let split = split(path);
    let mut records = String::new();
    if split.is_none() {
        records.push_str(&record("path", path));
    }
    if size > SIZE_MAX {
        records.push_str(&record("size", &size.to_string()));
    }
    let mut out = Vec::new();
    if !records.is_empty() {
        out.extend(header("", "pax", records.len() as u64, b'x'));
        out.extend_from_slice(records.as_bytes());
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    // Readers that know no pax get at least the end of the name.
    let (prefix, name) = split.unwrap_or_else(|| ("", tail(path)));
    out.extend(header(prefix, name, size.min(SIZE_MAX), b'0'));
    out
}

/// A path as folder and name of a header; `None` if it does not fit, or is not plain ASCII.
fn split(path: &str) -> Option<(&str, &str)> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME_MAX {
        return Some(("", path));
    }
    let mut cuts = path.match_indices('/').map(|(at, _)| (&path[..at], &path[at + 1..]));
    cuts.find(|(prefix, name)| prefix.len() <= PREFIX_MAX && name.len() <= NAME_MAX && !name.is_empty())
}

fn tail(path: &str) -> &str {
    let mut from = path.len().saturating_sub(NAME_MAX);
    while !path.is_char_boundary(from) {
        from += 1;
    }
    &path[from..]
}

/// SPEC: POSIX.1-2001 pax, "Extended Header": the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn header(prefix: &str, name: &str, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
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
        let layout = Layout::of(paths.iter().map(|path| (path.clone(), content(path).len() as u64)));
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

    proptest! {
        #[test]
        fn any_range_is_a_range_of_the_whole(sizes in prop::collection::vec(0_u64..2_000, 1..6), a in 0_u64..12_000, b in 0_u64..12_000) {
            let content = |path: &str| vec![path.as_bytes()[0]; sizes[path.parse::<usize>().unwrap()] as usize];
            let layout = Layout::of(sizes.iter().enumerate().map(|(n, size)| (n.to_string(), *size)));
            let all = whole(&layout, 0..layout.size(), content);
            let (from, to) = (a.min(b).min(layout.size()), a.max(b).min(layout.size()));
            prop_assume!(from < to);
            prop_assert_eq!(whole(&layout, from..to, content), &all[from as usize..to as usize]);
        }
    }
}
