//! Entity tags and the conditions built on them.
//!
//! Owns the reading of `If-Match`, `If-None-Match` and `If-Range` (RFC 9110 §8.8.3 and §13). Every tag this server makes is
//! strong: it is the SHA-256 of exactly the bytes sent. Nothing here knows of dates, because no `Last-Modified` is ever sent.

use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use verbund_protocol::ids::Sha256;

use super::range::trim;

/// A strong entity tag: `"sha256:<hex>"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of the bytes with this hash.
    pub fn of(hash: Sha256) -> Self {
        Self(format!("\"{hash}\""))
    }

    /// As it stands in the header, with quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the conditions of a GET or HEAD request lead to, for a resource that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no condition.
    Proceed,
    /// 304: the client has these bytes.
    NotModified,
    /// 412: the client wanted other bytes.
    PreconditionFailed,
}

/// Judges `If-Match`, then `If-None-Match`, in the order of RFC 9110 §13.2.2.
pub fn judge(headers: &HeaderMap, tag: &ETag) -> Verdict {
    // SPEC: RFC 9110 §13.1.1: strong comparison.
    if headers.contains_key(header::IF_MATCH) && !listed(headers, &header::IF_MATCH, tag, Compare::Strong) {
        return Verdict::PreconditionFailed;
    }
    // SPEC: RFC 9110 §13.1.2: weak comparison.
    if listed(headers, &header::IF_NONE_MATCH, tag, Compare::Weak) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a `Range` header may be honoured: there is no `If-Range`, or it names this very tag (RFC 9110 §13.1.5, strong).
pub fn range_allowed(headers: &HeaderMap, tag: &ETag) -> bool {
    let mut values = headers.get_all(header::IF_RANGE).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => trim(value.as_bytes()) == tag.0.as_bytes(),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Strong,
    Weak,
}

/// Whether any line of the header lists the tag, or is `*`. A malformed line lists nothing from the malformed place on.
fn listed(headers: &HeaderMap, name: &HeaderName, tag: &ETag, compare: Compare) -> bool {
    headers.get_all(name).iter().any(|value| {
        let value = trim(value.as_bytes());
        value == b"*"
            || Tags(value).any(|(weak, opaque)| opaque == tag.0.as_bytes() && (compare == Compare::Weak || !weak))
    })
}

/// Walks a comma-separated list of entity tags; commas inside quotes belong to the tag.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    /// Whether the tag is weak, and the tag with its quotes.
    type Item = (bool, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = trim(self.0);
        while let [b',', after @ ..] = rest {
            rest = trim(after);
        }
        let (weak, quoted) = match rest {
            [b'W', b'/', after @ ..] => (true, after),
            _ => (false, rest),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = inner.iter().position(|b| *b == b'"')?;
        let after = trim(inner.get(length + 1..)?);
        if !(after.is_empty() || after.starts_with(b",")) {
            self.0 = &[];
            return None;
        }
        self.0 = after;
        Some((weak, quoted.get(..length + 2)?))
    }
}

#[cfg(test)]
mod tests;
