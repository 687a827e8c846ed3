//! The ticket: one line of text with which a newcomer finds a federation and may lodge its request.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::documents::membership::check_addresses;
use crate::documents::plain;
use crate::ids::{FederationId, Handle, PeerId, Sha256};
use crate::json;
use crate::limits::TICKET_MAX_BYTES;

/// What a ticket line starts with.
pub const PREFIX: &str = "verbund1_";
/// Bytes of SHA-256 that close the line, against typing mistakes.
const CHECK_BYTES: usize = 4;

/// Why a ticket line was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Does not start as a ticket.
    #[error("not a ticket: it starts with {PREFIX}")]
    Prefix,
    /// Longer than any ticket.
    #[error("longer than a ticket can be ({TICKET_MAX_BYTES} bytes)")]
    TooLong,
    /// Mistyped or cut.
    #[error("the ticket is damaged: copy the whole line again")]
    Damaged,
    /// The content is not that of a ticket of this version.
    #[error("the ticket is not of a form that this version reads; update one of the nodes")]
    Content,
}

/// A ticket. `Debug` and the text of errors never show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The federation.
    pub federation: FederationId,
    /// Its name, for people.
    pub name: String,
    /// A charter that the served chain must contain.
    pub charter: Sha256,
    /// The node that made the ticket.
    pub peer: PeerId,
    /// Its addresses, `host:port`.
    pub addresses: Vec<String>,
    /// For whom.
    pub handle: Handle,
    /// Names the ticket: 32 hex digits.
    pub id: String,
    /// The secret, spent by its first use: 64 hex digits.
    pub secret: String,
    /// Seconds since 1970 after which nothing can be lodged.
    pub expires_s: u64,
}

impl Ticket {
    /// The ticket's name in bytes.
    pub fn id_bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        // Checked on parsing; a ticket made here has been given bytes.
        let _ = hex::decode_to_slice(&self.id, &mut out);
        out
    }
    /// The secret in bytes.
    pub fn secret_bytes(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let _ = hex::decode_to_slice(&self.secret, &mut out);
        out
    }
    /// The line to hand over.
    pub fn to_line(&self) -> String {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        let check = Sha256::of(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK_BYTES]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({} for {} at {:?})", self.id, self.handle, self.addresses)
    }
}

impl FromStr for Ticket {
    type Err = TicketError;
    fn from_str(line: &str) -> Result<Self, TicketError> {
        let text = line.trim().strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        if text.len() > TICKET_MAX_BYTES {
            return Err(TicketError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Damaged)?;
        let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TicketError::Damaged)?;
        if Sha256::of(body).as_bytes()[..CHECK_BYTES] != *check {
            return Err(TicketError::Damaged);
        }
        let ticket: Self = json::parse_as(body).map_err(|_| TicketError::Content)?;
        let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        // The name is shown on a terminal before anything is verified.
        let shown = plain("name", &ticket.name).and_then(|()| check_addresses(&ticket.addresses));
        if !hex(&ticket.id, 32) || !hex(&ticket.secret, 64) || shown.is_err() {
            return Err(TicketError::Content);
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublicKey;

    fn ticket() -> Ticket {
        Ticket {
            federation: FederationId([1; 32]),
            name: "OZG-Verbund Mitte".into(),
            charter: Sha256([2; 32]),
            peer: PeerId(PublicKey([3; 32])),
            addresses: vec!["[::1]:4711".into()],
            handle: "de-th".parse().unwrap(),
            id: "00".repeat(16),
            secret: "ab".repeat(32),
            expires_s: 1_800_000_000,
        }
    }

    #[test]
    fn survives_copying_and_notices_damage() {
        let line = ticket().to_line();
        assert_eq!(line.parse::<Ticket>().unwrap(), ticket());
        assert_eq!(format!("  {line}\n").parse::<Ticket>().unwrap(), ticket());
        for at in PREFIX.len()..line.len() {
            let mut damaged = line.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert!(String::from_utf8(damaged).unwrap().parse::<Ticket>().is_err(), "byte {at}");
        }
        assert_eq!("x".parse::<Ticket>(), Err(TicketError::Prefix));
        assert!(!format!("{:?}", ticket()).contains("abab"));
    }
}
