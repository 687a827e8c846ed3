//! The `Range` request header for one byte range.
//!
//! Owns the reading of RFC 9110 §14.1–14.2 for the unit `bytes`. Never panics and never allocates in proportion to the header:
//! what it does not understand it ignores, as the specification asks, and the whole file is sent.

use std::ops::Range;

/// What a request asks for, given the size of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The whole file: no range, one that is not understood, or several (a multipart answer saves no client that we know of
    /// anything, and overlapping sets are a known way to amplify traffic; RFC 9110 §14.2 leaves it to the server).
    Whole,
    /// These bytes: never empty, `end` exclusive and at most the size.
    One(Range<u64>),
    /// A well-formed single range of which the file has no byte: 416.
    Unsatisfiable,
}

/// Reads one `Range` header value for a file of `size` bytes.
pub fn parse(value: &[u8], size: u64) -> Asked {
    let Some((unit, set)) = split_once(value, b'=') else { return Asked::Whole };
    // SPEC: RFC 9110 §14.1: unit names are case-insensitive, an unknown unit must be ignored.
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Asked::Whole;
    }
    // SPEC: RFC 9110 §5.6.1.2: empty list elements are ignored.
    let mut specs = set.split(|b| *b == b',').map(trim).filter(|spec| !spec.is_empty());
    match (specs.next(), specs.next()) {
        (Some(spec), None) => one(spec, size),
        _ => Asked::Whole,
    }
}

/// Reads `first-last`, `first-` or `-suffix`.
fn one(spec: &[u8], size: u64) -> Asked {
    let Some((first, last)) = split_once(spec, b'-') else { return Asked::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Asked::Whole,
        (Some(first), Some(last)) => satisfiable(first, last.saturating_add(1).min(size), size),
        (Some(first), None) if last.is_empty() => satisfiable(first, size, size),
        (None, Some(0)) if first.is_empty() => Asked::Unsatisfiable,
        // SPEC: RFC 9110 §14.1.2: a non-zero suffix is satisfiable even of an empty file, but Content-Range cannot say so.
        (None, Some(_)) if first.is_empty() && size == 0 => Asked::Whole,
        (None, Some(suffix)) if first.is_empty() => Asked::One(size.saturating_sub(suffix)..size),
        _ => Asked::Whole,
    }
}

fn satisfiable(first: u64, end: u64, size: u64) -> Asked {
    if first < size { Asked::One(first..end) } else { Asked::Unsatisfiable }
}

/// 1*DIGIT; more than fits is the largest number, which every size is below.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = bytes.iter().position(|b| *b == at)?;
    Some((bytes.get(..index)?, bytes.get(index + 1..)?))
}

/// Removes optional white space (RFC 9110 §5.6.3) from both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests;
