//! What went wrong, as RFC 9457 problem details with a stable code.
//!
//! Owns the codes, their HTTP status and their JSON form. Never carries a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Media type of a problem (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// Stable names of problems. Codes are added, never changed.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$meta])* #[serde(rename = $text)] $name,)*
            /// One that this version does not know, from a newer daemon.
            #[serde(untagged)]
            Other(String),
        }
        impl Code {
            /// Every code that this version knows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// The stable text.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$name => $text,)* Self::Other(text) => text }
            }
            /// The HTTP status that goes with it.
            pub const fn status(&self) -> u16 {
                match self { $(Self::$name => $status,)* Self::Other(_) => 500 }
            }
            /// A title in words, the same for every occurrence (RFC 9457 §3.1.3).
            pub const fn title(&self) -> &'static str {
                match self { $(Self::$name => $title,)* Self::Other(_) => "Problem" }
            }
        }
    };
}

codes! {
    /// A parameter is missing or malformed.
    BadRequest = "bad_request", 400, "Bad request";
    /// The body is not JSON of the required form.
    BadJson = "bad_json", 400, "Malformed body";
    /// A reference cannot be read.
    BadReference = "bad_reference", 400, "Malformed reference";
    /// A ticket cannot be read or is not for this node.
    BadTicket = "bad_ticket", 400, "Unusable ticket";
    /// The node is in several federations and the request names none.
    FederationRequired = "federation_required", 400, "Which federation?";
    /// Two claim one handle.
    FingerprintRequired = "fingerprint_required", 409, "Fingerprint required";
    /// The fingerprint given is another one.
    FingerprintMismatch = "fingerprint_mismatch", 409, "Fingerprint differs";
    /// The caller has no role that allows it.
    Denied = "denied", 403, "Not allowed";
    /// No such path.
    UnknownRoute = "unknown_route", 404, "No such path";
    /// No such federation, member, process, release, file, token.
    NotFound = "not_found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// It contradicts what is already there.
    Conflict = "conflict", 409, "Conflict";
    /// The version is already published with other content.
    VersionTaken = "version_taken", 409, "Version already published";
    /// The body is over its bound.
    TooLarge = "too_large", 413, "Too large";
    /// A release breaks rules, each named in `errors`.
    Refused = "refused", 422, "Refused";
    /// Bytes do not match their hash or signature.
    VerificationFailed = "verification_failed", 422, "Verification failed";
    /// A peer refused, with its reason.
    PeerRefused = "peer_refused", 422, "Refused by the other side";
    /// A peer cannot be reached.
    PeerUnreachable = "peer_unreachable", 502, "Peer unreachable";
    /// A peer proved another key than expected.
    WrongKey = "wrong_key", 502, "Wrong key";
    /// A fault of this node.
    Internal = "internal", 500, "Internal error";
    /// It was done but could not be recorded.
    AuditFailed = "audit_failed", 500, "Done, but not recorded";
    /// This node does not offer it.
    Unsupported = "unsupported", 501, "Not offered";
    /// Too many requests at once.
    Busy = "busy", 503, "Busy";
    /// The node signs nothing yet.
    Recovering = "recovering", 503, "Recovering";
    /// The node is stopping.
    Stopping = "stopping", 503, "Stopping";
    /// The file is not complete here yet.
    Incomplete = "incomplete", 503, "Not complete yet";
    /// A key that the operation needs is not on this node.
    KeyMissing = "key_missing", 409, "Key not here";
    /// Free space is below the floor.
    DiskFull = "disk_full", 507, "Disk full";
    /// It took too long.
    Timeout = "timeout", 504, "Timed out";
}

/// Where in the request's body the mistake is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Line, from 1; 0 if not known.
    pub line: usize,
    /// Column, from 1; 0 if not known.
    pub column: usize,
    /// Path of the field, such as `files[3].sha256`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// One broken rule of a release: file, key, value, rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The file it stands in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// The value, cut to a printable length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// The rule it breaks.
    pub rule: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.file, &self.key].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        if !self.value.is_empty() {
            // Texts come with their quotes already.
            write!(f, "{}: ", self.value)?;
        }
        f.write_str(&self.rule)
    }
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code; it fixes status and title.
    pub code: Code,
    /// What happened this time, in words.
    pub detail: String,
    /// What the caller can do about it; empty if nothing.
    pub next_step: String,
    /// Where in the body.
    pub place: Option<Box<Place>>,
    /// Broken rules.
    pub errors: Vec<Refusal>,
}

impl Problem {
    /// A problem with `code`, told by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), next_step: String::new(), place: None, errors: Vec::new() }
    }
    /// The same, with what the caller can do about it.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = step.into();
        self
    }
    /// The same, with the rules that were broken.
    #[must_use]
    pub fn errors(mut self, errors: Vec<Refusal>) -> Self {
        self.errors = errors;
        self
    }
    /// The same, with the place in the body.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }
    /// Reads a problem from the body of an answer with `status`; anything else becomes a problem by its status.
    pub fn from_body(status: u16, body: &[u8]) -> Self {
        if let Ok(problem) = serde_json::from_slice::<Self>(body) {
            return problem;
        }
        let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
        Self::new(Code::from_status(status), format!("HTTP status {status}: {text}"))
    }
}

impl Code {
    /// The closest code for a bare HTTP status.
    pub const fn from_status(status: u16) -> Self {
        match status {
            403 => Self::Denied,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            422 => Self::Refused,
            503 => Self::Busy,
            504 => Self::Timeout,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

/// The JSON form: type, title and status follow from the code.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    status: u16,
    code: Code,
    #[serde(default)]
    detail: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    next_step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Box<Place>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Refusal>,
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Wire {
            r#type: format!("urn:verbund:problem:{}", self.code),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            code: self.code.clone(),
            detail: self.detail.clone(),
            next_step: self.next_step.clone(),
            place: self.place.clone(),
            errors: self.errors.clone(),
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Wire { code, detail, next_step, place, errors, .. } = Wire::deserialize(d)?;
        Ok(Self { code, detail, next_step, place, errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_back() {
        let problem = Problem::new(Code::Refused, "2 rules broken").next("correct them").errors(vec![Refusal {
            file: "process.toml".into(),
            key: "title".into(),
            value: String::new(),
            rule: "missing".into(),
        }]);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:verbund:problem:refused");
        assert_eq!(json["status"], 422);
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn every_code_reads_back_and_unknown_ones_survive() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(&serde_json::from_str::<Code>(&json).unwrap(), code);
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert!((400..600).contains(&code.status()));
        }
        let newer: Code = serde_json::from_str("\"moon_phase\"").unwrap();
        assert_eq!(newer, Code::Other("moon_phase".into()));
    }

    #[test]
    fn bodies_that_are_no_problems() {
        assert_eq!(Problem::from_body(404, b"<html>").code, Code::NotFound);
        assert_eq!(Problem::from_body(599, &[0xff; 1000]).code, Code::Internal);
    }
}
