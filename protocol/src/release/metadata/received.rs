//! Reading metadata that somebody else signed.
//!
//! Owns the lenient reading: shapes of known keys and caps, nothing more. Unknown keys, names and values are kept, in the raw
//! JSON and where the type allows it. Uses no table that differs between versions, so that all nodes judge alike.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Metadata;
use crate::json;
use crate::limits::{
    DESCRIPTION_MAX_CHARS, KEYWORDS_MAX, METADATA_LIST_MAX, METADATA_TEXT_MAX_CHARS, SUMMARY_MAX_CHARS, TITLE_MAX_CHARS,
};
use crate::release::problem::shown;
use crate::words;

/// Why received metadata was refused: a key and the shape or cap that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata key {key:?}: {rule}")]
pub struct ShapeError {
    /// The key, at the top of the metadata.
    pub key: String,
    /// What is wrong.
    pub rule: String,
}

/// Metadata as received: typed as far as it is known, and raw as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    metadata: Metadata,
    raw: Value,
}

impl Received {
    /// Reads metadata. Unknown keys are ignored and kept in [`Received::raw`].
    ///
    /// # Errors
    /// [`ShapeError`] for a missing mandatory key, a known key of another shape, and texts or lists over their cap.
    pub fn parse(raw: Value) -> Result<Self, ShapeError> {
        let Value::Object(map) = &raw else {
            return Err(ShapeError { key: String::new(), rule: "metadata must be an object".into() });
        };
        for (key, value) in map {
            within_caps(key, value)?;
        }
        let metadata = read(map)?;
        if !metadata.version.build.is_empty() {
            return Err(ShapeError { key: "version".into(), rule: "must not have build metadata (+…)".into() });
        }
        Ok(Self { metadata, raw })
    }

    /// The typed form.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The JSON as it was signed, unknown keys included.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    /// The typed form, by value.
    pub fn into_metadata(self) -> Metadata {
        self.metadata
    }
}

/// Reads key by key, so that a refusal names the key.
fn read(map: &Map<String, Value>) -> Result<Metadata, ShapeError> {
    Ok(Metadata {
        id: required(map, "id")?,
        version: required(map, "version")?,
        title: required(map, "title")?,
        summary: required(map, "summary")?,
        description: optional(map, "description")?,
        leistungsschluessel: optional(map, "leistungsschluessel")?,
        no_key_reason: optional(map, "no_key_reason")?,
        ozg_id: optional(map, "ozg_id")?,
        themenfeld: optional(map, "themenfeld")?,
        keywords: optional(map, "keywords")?,
        legal_basis: optional(map, "legal_basis")?,
        level: required(map, "level")?,
        regions: optional(map, "regions")?,
        stage: optional(map, "stage")?,
        fim_status: optional(map, "fim_status")?,
        maturity: optional(map, "maturity")?,
        trust_level: optional(map, "trust_level")?,
        base_services: optional(map, "base_services")?,
        platform: required(map, "platform")?,
        depends: optional(map, "depends")?,
        parameters: optional(map, "parameters")?,
        license: required(map, "license")?,
        terms: optional(map, "terms")?,
        audience: optional(map, "audience")?,
        cost: optional(map, "cost")?,
        maintenance: required(map, "maintenance")?,
        change: required(map, "change")?,
        contact: required(map, "contact")?,
        responsible: optional(map, "responsible")?,
        partners: optional(map, "partners")?,
        based_on: optional(map, "based_on")?,
        succeeds: optional(map, "succeeds")?,
    })
}

fn required<T: DeserializeOwned>(map: &Map<String, Value>, key: &str) -> Result<T, ShapeError> {
    let value = map.get(key).ok_or_else(|| ShapeError { key: key.into(), rule: "missing".into() })?;
    shape(value, key)
}

pub(in crate::release) fn optional<T: DeserializeOwned + Default>(
    map: &Map<String, Value>,
    key: &str,
) -> Result<T, ShapeError> {
    map.get(key).map_or_else(|| Ok(T::default()), |value| shape(value, key))
}

fn shape<T: DeserializeOwned>(value: &Value, key: &str) -> Result<T, ShapeError> {
    json::from_value(value.clone()).map_err(|e| ShapeError { key: key.into(), rule: words::shown(e) })
}

/// Texts of known keys by their own cap, all other texts and lists by the common one, at any depth.
pub(in crate::release) fn within_caps(key: &str, value: &Value) -> Result<(), ShapeError> {
    let (text, list) = match key {
        "title" => (TITLE_MAX_CHARS, 0),
        "summary" => (SUMMARY_MAX_CHARS, 0),
        "description" => (DESCRIPTION_MAX_CHARS, 0),
        "keywords" => (METADATA_TEXT_MAX_CHARS, KEYWORDS_MAX),
        _ => (METADATA_TEXT_MAX_CHARS, METADATA_LIST_MAX),
    };
    bounded(value, text, list).map_err(|rule| ShapeError { key: key.chars().take(80).collect(), rule })
}

fn bounded(value: &Value, text: usize, list: usize) -> Result<(), String> {
    match value {
        Value::String(s) if s.chars().nth(text).is_some() => {
            Err(format!("{}: over the limit of {text} characters", shown(s)))
        }
        Value::Array(items) if items.len() > list => {
            Err(format!("{} entries are over the limit of {list}", items.len()))
        }
        Value::Array(items) => items.iter().try_for_each(|item| bounded(item, text, list)),
        Value::Object(map) if map.len() > METADATA_LIST_MAX => {
            Err(format!("{} keys are over the limit of {METADATA_LIST_MAX}", map.len()))
        }
        Value::Object(map) => map.values().try_for_each(|item| bounded(item, text, list)),
        _ => Ok(()),
    }
}
