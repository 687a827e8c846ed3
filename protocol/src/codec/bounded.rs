//! Bounds of lists and byte strings, kept while they are decoded: nothing is held that would be refused afterwards.
//!
//! Owns the readers for `#[serde(deserialize_with)]`. They change no encoding: a byte string is its length and its bytes, as
//! the list of bytes is. For [`super`] alone, never for JSON.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::limits::{ENVELOPE_MIN_BYTES, LEAF_MAX_BYTES};

/// Reads at most `MAX` elements.
///
/// # Errors
/// The decoder's, and its "invalid length" at the first element too many.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(d: D) -> Result<Vec<T>, D::Error> {
    d.deserialize_seq(List { max: MAX, element: PhantomData::<T> })
}

/// Reads at most `MAX` bytes.
///
/// # Errors
/// As [`list`].
pub fn blob<'de, D: Deserializer<'de>, const MAX: usize>(d: D) -> Result<Vec<u8>, D::Error> {
    Bytes { min: 0, max: MAX }.deserialize(d)
}

/// Reads at most `MAX` bytes, or none at all.
///
/// # Errors
/// As [`list`].
pub fn blob_opt<'de, D: Deserializer<'de>, const MAX: usize>(d: D) -> Result<Option<Vec<u8>>, D::Error> {
    d.deserialize_option(Perhaps(Bytes { min: 0, max: MAX }))
}

struct Perhaps(Bytes);

impl<'de> Visitor<'de> for Perhaps {
    type Value = Option<Vec<u8>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(d).map(Some)
    }
}

/// Reads at most `MAX` leaves of at most [`LEAF_MAX_BYTES`] each. A leaf may be anything, even empty.
///
/// # Errors
/// As [`list`].
pub fn leaves<'de, D: Deserializer<'de>, const MAX: usize>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
    d.deserialize_seq(List { max: MAX, element: Bytes { min: 0, max: LEAF_MAX_BYTES } })
}

/// Reads at most `MAX` envelopes of [`ENVELOPE_MIN_BYTES`] to [`LEAF_MAX_BYTES`] each: a frame of empty ones would take 24
/// times its size in memory.
///
/// # Errors
/// As [`list`].
pub fn envelopes<'de, D: Deserializer<'de>, const MAX: usize>(d: D) -> Result<Vec<Vec<u8>>, D::Error> {
    d.deserialize_seq(List { max: MAX, element: Bytes { min: ENVELOPE_MIN_BYTES, max: LEAF_MAX_BYTES } })
}

struct List<S> {
    max: usize,
    element: S,
}

impl<'de, S: DeserializeSeed<'de> + Clone> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let announced = seq.size_hint().unwrap_or(0);
        if announced > self.max {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut out = Vec::new();
        while let Some(element) = seq.next_element_seed(self.element.clone())? {
            if out.len() == self.max {
                return Err(A::Error::invalid_length(self.max + 1, &self));
            }
            out.push(element);
        }
        Ok(out)
    }
}

#[derive(Clone, Copy)]
struct Bytes {
    min: usize,
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Bytes {
    type Value = Vec<u8>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Vec<u8>, D::Error> {
        d.deserialize_byte_buf(self)
    }
}

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} bytes", self.min, self.max)
    }
    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        if (self.min..=self.max).contains(&bytes.len()) {
            Ok(bytes)
        } else {
            Err(E::invalid_length(bytes.len(), &self))
        }
    }
}
