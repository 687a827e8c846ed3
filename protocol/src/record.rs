//! What the journal holds: records, and the batches of them that are committed together.
//!
//! Owns the durable vocabulary of a node and its byte form. A batch is a header of records followed by the raw leaves, so that
//! a leaf's place in the journal is known and it can be read without decoding its batch. Variants are appended, never changed.

use serde::{Deserialize, Serialize};

use crate::charter::certificate::CharterBundle;
use crate::codec::{self, CodecError, bounded};
use crate::ids::{FederationId, Handle, MemberId, PeerId, Sha256};
use crate::limits::{BATCH_MAX_BYTES, CERTIFICATE_PARTS_MAX, CHARTER_MAX_BYTES, LEAF_MAX_BYTES};
use crate::log::{Cosignature, ForkProof};
use crate::view::rows::Table;

/// One durable fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Leaves of a log, in order from index `first`. Their root was checked against a checkpoint that the log signed.
    Entries {
        /// The node that writes the log.
        log: PeerId,
        /// Index of the first.
        first: u64,
        /// Envelope bytes. Empty in the header; the bytes stand behind it.
        #[serde(skip)]
        leaves: Vec<Vec<u8>>,
        /// Length of each leaf, in bytes.
        lengths: Vec<u32>,
    },
    /// The newest verified checkpoint note of a log, with the log's signature.
    Checkpoint {
        /// The log.
        log: PeerId,
        /// The note.
        note: Vec<u8>,
    },
    /// A verified cosignature, of another node or (where `peer` is the own) the own promise: everything below `size` is held here.
    Cosigned {
        /// The log.
        log: PeerId,
        /// Size of the checkpoint.
        size: u64,
        /// Its root.
        root: Sha256,
        /// Who cosigned, when.
        cosignature: Cosignature,
    },
    /// A certified charter.
    Charter(CharterBundle),
    /// A checked document that stands in no log yet: an approval or a node_info.
    Document(Vec<u8>),
    /// A verified ordering message, with what its receivers need.
    Ordering(OrderingBundle),
    /// A proof that a log has forked.
    Fork {
        /// The log.
        log: PeerId,
        /// The proof.
        proof: ForkProof,
    },
    /// What is held of a log is dropped, to be fetched anew along the witnessed branch.
    Reset {
        /// The log.
        log: PeerId,
    },
    /// A matter of this node alone.
    Local(Local),
    /// Somebody changed something.
    Audit(Audit),
    /// A checkpoint with the cosignatures that witness it, as learnt from another node.
    Witnessed {
        /// The log.
        log: PeerId,
        /// The note.
        note: Vec<u8>,
    },
    /// A row of the view as it stands, repeated at the start of a segment so that damage to older segments cannot lose it.
    Row {
        /// Where.
        table: Table,
        /// Which.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
}

/// An ordering message and what travels with it. All parts are bytes as they were signed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderingBundle {
    /// The signed message.
    #[serde(deserialize_with = "bounded::blob::<_, LEAF_MAX_BYTES>")]
    pub message: Vec<u8>,
    /// Payload of the proposed charter, with a proposal.
    #[serde(deserialize_with = "bounded::blob_opt::<_, CHARTER_MAX_BYTES>")]
    pub payload: Option<Vec<u8>>,
    /// Approvals of its change, with a proposal.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub approvals: Vec<Vec<u8>>,
    /// Identities after those pinned, with a proposal.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub identities: Vec<Vec<u8>>,
    /// Writers after those pinned, with a proposal.
    #[serde(deserialize_with = "bounded::envelopes::<_, CERTIFICATE_PARTS_MAX>")]
    pub writers: Vec<Vec<u8>>,
}

/// A matter of this node alone. Repeated at each segment roll, because no peer could give it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Local {
    /// The node founded the federation, or asked to join it.
    Origin(Origin),
    /// A ticket was made.
    Ticket(Ticket),
    /// A ticket's secret was used by this member, to which it is bound from now on.
    TicketUsed {
        /// The ticket.
        id: [u8; 16],
        /// Who used it.
        member: MemberId,
    },
    /// What the operator says about a peer.
    Peer(PeerNote),
    /// The operator's words about a peer are dropped.
    PeerRemoved(PeerId),
    /// All files of the release at this place of a log are held and verified.
    Held {
        /// The log.
        log: PeerId,
        /// Index of the release.
        index: u64,
        /// BLAKE3 of its manifest and of each distinct file.
        artifacts: Vec<[u8; 32]>,
    },
    /// A file of the release is missing or damaged; it has to be fetched again.
    Lost {
        /// The log.
        log: PeerId,
        /// Index of the release.
        index: u64,
    },
    /// The operator refuses a request to join.
    Rejected {
        /// The request, by payload hash.
        request: Sha256,
        /// Why; the requester sees it.
        reason: String,
    },
    /// A named value of another part of the node, such as an access token's record. Empty removes it.
    Value {
        /// Its name.
        name: String,
        /// The bytes.
        value: Vec<u8>,
    },
}

/// How this node came to the federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It founded it.
    Founded,
    /// It asked to join.
    Joining(Joining),
}

/// A request to join that this node made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The federation.
    pub federation: FederationId,
    /// The charter that the ticket names.
    pub charter: Sha256,
    /// The ticket's line, whose secret is spent by the first use.
    pub ticket: String,
    /// Own writer, as signed.
    pub writer: Vec<u8>,
    /// Own request, as signed; empty until the charter was seen.
    pub request: Vec<u8>,
}

/// A ticket that this node made. The secret itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Names the ticket.
    pub id: [u8; 16],
    /// SHA-256 of the secret.
    pub secret_hash: Sha256,
    /// For whom.
    pub handle: Handle,
    /// Seconds since 1970 after which nothing is lodged with it.
    pub expires_s: u64,
    /// The member that used it.
    pub used_by: Option<MemberId>,
}

/// What the operator says about a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNote {
    /// The node.
    pub peer: PeerId,
    /// Addresses to try besides those that it announces.
    pub addresses: Vec<String>,
    /// Neither dialled nor let in.
    pub blocked: bool,
    /// Connected, but nothing is fetched from it.
    pub paused: bool,
}

/// An audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Who: uid on the admin socket.
    pub uid: u32,
    /// Which process.
    pub pid: i32,
    /// What.
    pub operation: String,
    /// How it went.
    pub outcome: String,
}

/// Records that become durable together, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// In order.
    pub records: Vec<Record>,
}

/// A record of a decoded batch, and for entries where the first leaf starts in the batch's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The record, with its leaves.
    pub record: Record,
    /// Offset of its first leaf in the batch, in bytes.
    pub leaves_at: u32,
}

/// Version byte of the batch format.
const BATCH_VERSION: u8 = 1;
/// Version byte and length of the header.
const PREFIX_BYTES: usize = 5;

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The bytes of the batch.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] over [`BATCH_MAX_BYTES`].
    pub fn encode(mut self) -> Result<Vec<u8>, CodecError> {
        for record in &mut self.records {
            if let Record::Entries { leaves, lengths, .. } = record {
                *lengths = leaves.iter().map(|leaf| u32::try_from(leaf.len()).unwrap_or(u32::MAX)).collect();
            }
        }
        let header = codec::encode(&self.records)?;
        let mut out = Vec::with_capacity(PREFIX_BYTES + header.len());
        out.push(BATCH_VERSION);
        out.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&header);
        for record in &self.records {
            if let Record::Entries { leaves, .. } = record {
                leaves.iter().for_each(|leaf| out.extend_from_slice(leaf));
            }
        }
        if out.len() > BATCH_MAX_BYTES {
            return Err(CodecError::TooLong { len: out.len(), max: BATCH_MAX_BYTES });
        }
        Ok(out)
    }

    /// Reads a batch, with the places of its leaves.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not a batch of this version.
    pub fn decode(bytes: &[u8]) -> Result<Vec<Placed>, CodecError> {
        let malformed = |why: &str| CodecError::Malformed(why.to_owned());
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX_BYTES>().ok_or_else(|| malformed("batch too short"))?;
        if prefix[0] != BATCH_VERSION {
            return Err(malformed("batch of another version"));
        }
        let header = u32::from_le_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let (header, mut leaf_bytes) = rest.split_at_checked(header).ok_or_else(|| malformed("header cut"))?;
        let records: Vec<Record> = codec::decode(header, BATCH_MAX_BYTES)?;
        let mut out = Vec::with_capacity(records.len());
        for mut record in records {
            let at = u32::try_from(bytes.len() - leaf_bytes.len()).map_err(|_| malformed("batch too long"))?;
            if let Record::Entries { leaves, lengths, .. } = &mut record {
                for length in lengths.iter() {
                    let (leaf, rest) =
                        leaf_bytes.split_at_checked(*length as usize).ok_or_else(|| malformed("leaf cut"))?;
                    leaves.push(leaf.to_vec());
                    leaf_bytes = rest;
                }
            }
            out.push(Placed { record, leaves_at: at });
        }
        if !leaf_bytes.is_empty() {
            return Err(CodecError::Trailing(leaf_bytes.len()));
        }
        Ok(out)
    }
}

impl Record {
    /// Leaves of `log` from index `first` on.
    pub fn entries(log: PeerId, first: u64, leaves: Vec<Vec<u8>>) -> Self {
        Self::Entries { log, first, leaves, lengths: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublicKey;

    #[test]
    fn leaves_stand_raw_where_the_batch_says() {
        let log = PeerId(PublicKey([7; 32]));
        let batch = Batch {
            records: vec![
                Record::Local(Local::Lost { log, index: 3 }),
                Record::entries(log, 5, vec![b"one".to_vec(), b"three".to_vec()]),
                Record::entries(log, 7, vec![b"x".to_vec()]),
            ],
        };
        let bytes = batch.encode().unwrap();
        let placed = Batch::decode(&bytes).unwrap();
        assert_eq!(placed.len(), 3);
        let at = placed[1].leaves_at as usize;
        assert_eq!(&bytes[at..at + 8], b"onethree");
        assert_eq!(bytes[placed[2].leaves_at as usize], b'x');
        for cut in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..cut]).is_err());
        }
    }
}
