//! Signed documents, read and checked by hand: DSSE envelopes over JSON.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use verbund_protocol::ids::{PublicKey, Sha256};
use verbund_protocol::keys;

/// An envelope, taken apart.
pub struct Sealed {
    pub kind: String,
    /// SHA-256 of the payload, as documents name it: `sha256:…`.
    pub id: String,
    /// The payload; null if it is not JSON.
    pub value: Value,
    /// Keys that validly signed, as `ed25519:…`, each once.
    pub signers: BTreeSet<String>,
}

pub fn open(bytes: &[u8]) -> Option<Sealed> {
    let envelope: Value = serde_json::from_slice(bytes).ok()?;
    let kind = envelope["payloadType"].as_str()?.to_owned();
    let payload = STANDARD.decode(envelope["payload"].as_str()?).ok()?;
    // SPEC: DSSE, pre-authentication encoding.
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    let mut signers = BTreeSet::new();
    for signature in envelope["signatures"].as_array()? {
        let keyid = signature["keyid"].as_str()?;
        let bytes = STANDARD.decode(signature["sig"].as_str()?).ok()?;
        if let (Some(key), Ok(bytes)) = (key_of(keyid), <[u8; 64]>::try_from(bytes))
            && keys::verify(&key, &message, &bytes)
        {
            signers.insert(keyid.to_owned());
        }
    }
    let id = format!("sha256:{}", Sha256::of(&payload).to_hex());
    Some(Sealed { kind, id, value: serde_json::from_slice(&payload).unwrap_or(Value::Null), signers })
}

fn key_of(text: &str) -> Option<PublicKey> {
    let bytes = hex::decode(text.strip_prefix("ed25519:")?).ok()?;
    Some(PublicKey(bytes.try_into().ok()?))
}

impl Sealed {
    /// Whether at least the threshold of a role's distinct keys signed.
    pub fn by(&self, role: &Value) -> bool {
        let listed: BTreeSet<&str> = role["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let signed = listed.iter().filter(|key| self.signers.contains(**key)).count() as u64;
        role["threshold"].as_u64().is_some_and(|needed| needed > 0 && signed >= needed)
    }

    /// The last part of the payload's type: `release` is the in-toto statement.
    pub fn name(&self) -> &str {
        let named = self.kind.strip_prefix("application/vnd.verbund.").and_then(|rest| rest.split(".v1").next());
        if self.kind == "application/vnd.in-toto+json" { "release" } else { named.unwrap_or("") }
    }
}
