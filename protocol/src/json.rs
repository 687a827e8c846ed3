//! Strict reading and canonical writing of JSON documents.
//!
//! Owns the rules that make a JSON payload mean the same to every implementation: duplicate keys, fractions and integers beyond
//! 2^53-1 are refused, nesting is bounded, and the canonical form is RFC 8785. Never used on artifacts, which are opaque.

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::limits::{JSON_DEPTH_MAX, JSON_INTEGER_MAX};
use crate::words::shown;

mod shaped;
pub(crate) use shaped::Object;
#[cfg(test)]
mod tests;

/// Why a JSON text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or JSON that the document rules refuse.
    #[error("not a permitted JSON document: {0}")]
    Malformed(String),
    /// Permitted JSON that does not have the members that this document requires.
    #[error("unexpected content: {0}")]
    Shape(String),
    /// The text is not in the canonical form of RFC 8785, or says more than this document has members for.
    #[error("not in canonical form (RFC 8785), or with members that this document does not have")]
    NotCanonical,
}

/// Reads a document: duplicate keys, fractions, large integers and deep nesting are refused.
///
/// # Errors
/// [`JsonError::Malformed`] with the place.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0, keep: true }.deserialize(&mut reader).map_err(|e| JsonError::Malformed(shown(e)))?;
    reader.end().map_err(|e| JsonError::Malformed(shown(e)))?;
    Ok(value)
}

/// Reads a document into `T`; keys that `T` does not know are ignored (lenient on receipt).
///
/// # Errors
/// [`JsonError`] as [`parse`], and [`JsonError::Shape`] where a member is missing or of another type.
pub fn parse_as<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    from_value(parse(text)?)
}

/// Reads `T` from a parsed document. What is an object in `T` must be an object: the array of its members, which serde would
/// take too, is refused.
///
/// # Errors
/// [`JsonError::Shape`] where a member is missing or of another type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, JsonError> {
    T::deserialize(shaped::Shaped(value)).map_err(|e| JsonError::Shape(shown(e)))
}

/// Reads a document that others rebuild and compare: it must be exactly what [`to_canonical`] writes for it. That excludes keys
/// that `T` does not have, `null` for an absent member, and any second way to write one content.
///
/// # Errors
/// As [`parse_as`], and [`JsonError::NotCanonical`].
pub fn parse_canonical<T: Serialize + DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    let value = parse(text)?;
    if canonical(&value) != text {
        return Err(JsonError::NotCanonical);
    }
    let document: T = from_value(value)?;
    if to_canonical(&document)? != text {
        return Err(JsonError::NotCanonical);
    }
    Ok(document)
}

/// Writes `value` in canonical form (RFC 8785, of which integers are the only numbers used here).
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// Serialises `value` and writes it in canonical form.
///
/// # Errors
/// [`JsonError::Shape`] for values that are not JSON: map keys that are no strings, fractions, integers over 2^53-1.
pub fn to_canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    let value = serde_json::to_value(value).map_err(|e| JsonError::Shape(shown(e)))?;
    let text = canonical(&value);
    // Writing must never produce what reading refuses.
    parse(&text)?;
    Ok(text)
}

/// Checks a text by the rules of [`parse`] and keeps nothing of it: for long texts that are then read straight into their type.
///
/// # Errors
/// [`JsonError::Malformed`].
pub fn check(text: &[u8]) -> Result<(), JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Strict { depth: 0, keep: false }.deserialize(&mut reader).map_err(|e| JsonError::Malformed(shown(e)))?;
    reader.end().map_err(|e| JsonError::Malformed(shown(e)))
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut Vec<u8>) {
    // SPEC: RFC 8785 §3.2.3: keys are ordered by UTF-16 code units, which differs from byte order beyond the BMP.
    let mut keys: Vec<_> = map.iter().collect();
    keys.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push(b'{');
    for (i, (key, value)) in keys.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// SPEC: RFC 8785 §3.2.2.2: only what must be escaped is, with the short forms where they exist.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            c if c < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Builds a [`Value`] while refusing what serde_json would accept.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    /// Whether the value is wanted. If not, texts and lists are dropped as they are read.
    keep: bool,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without fractions or duplicate keys")
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        if v > JSON_INTEGER_MAX {
            return Err(E::custom(format_args!("integer {v} is over 2^53-1")));
        }
        Ok(Value::from(v))
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Value, E> {
        if v.unsigned_abs() > JSON_INTEGER_MAX {
            return Err(E::custom(format_args!("integer {v} is under -(2^53-1)")));
        }
        Ok(Value::from(v))
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        Err(E::custom(format_args!("{v} is not an integer within 2^53-1")))
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Value, E> {
        Ok(if self.keep { Value::String(v.to_owned()) } else { Value::Null })
    }
    fn visit_string<E: serde::de::Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self { depth, ..self })? {
            if self.keep {
                items.push(item);
            }
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Self { depth, ..self })?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX}")));
        }
        Ok(self.depth + 1)
    }
}
