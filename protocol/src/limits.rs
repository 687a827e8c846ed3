//! Every bound of the protocol, named once, with its unit and its reason.
//!
//! A bound that two nodes must agree on is part of the protocol (`SPEC.md` §Limits); one that only protects the local node is
//! marked *local* and may be set lower or higher by an operator where `config` offers it.

/// Leaf of a log: one envelope. C2SP entry bundles carry a 16-bit length.
pub const LEAF_MAX_BYTES: usize = 65_535;
/// A member's handle, in bytes: short enough for every table and origin line.
pub const HANDLE_MAX_BYTES: usize = 32;
/// A process slug, in bytes (DESIGN §5).
pub const SLUG_MAX_BYTES: usize = 64;
/// Members of a federation: so that a charter fits a leaf.
pub const MEMBERS_MAX: usize = 150;
/// Integers in documents: the largest that every JSON implementation keeps exactly (2^53 - 1).
pub const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;
/// Nesting depth of a document: far above what any document here uses.
pub const JSON_DEPTH_MAX: usize = 32;
/// Signatures on one envelope: thresholds count keys, and no role lists more.
pub const SIGNATURES_MAX: usize = 16;
/// Keys of one role of an identity.
pub const ROLE_KEYS_MAX: usize = 16;
/// Files of one release; the manifest stays below [`MANIFEST_MAX_BYTES`].
pub const RELEASE_FILES_MAX: usize = 10_000;
/// `manifest.json` of a release: 10,000 files at about 400 bytes each.
pub const MANIFEST_MAX_BYTES: u64 = 8 << 20;
/// A path inside a release, in bytes.
pub const PATH_MAX_BYTES: usize = 512;
/// One artifact, *local* default: larger ones are named as over the limit and skipped.
pub const ARTIFACT_MAX_BYTES: u64 = 8 << 30;
/// A gossip message: entries are pushed along only while the whole stays below.
pub const GOSSIP_MAX_BYTES: usize = 48 << 10;
/// A control frame (sync, join): one request or answer, encoded.
pub const FRAME_MAX_BYTES: usize = 2 << 20;
/// Decoded memory of a control frame: bincode's limit counts decoded, not encoded bytes.
pub const FRAME_DECODED_MAX_BYTES: usize = 32 << 20;
/// Leaves in one `Entries` answer, in bytes of leaves.
pub const ENTRIES_MAX_BYTES: usize = 1 << 20;
/// Leaves in one `Entries` answer.
pub const ENTRIES_MAX: usize = 2_048;
/// BLAKE3 chunk group of artifact transfers: 16 KiB (log2 of 1 KiB chunks).
pub const BLOB_GROUP_LOG2_CHUNKS: u8 = 4;
/// A cosigned checkpoint note: body plus one signature line per member.
pub const NOTE_MAX_BYTES: usize = 64 << 10;
/// Languages in which an identity names its member: the official ones of a border region, with room.
pub const NAMES_MAX: usize = 8;
/// Versions of one identity: a member that rotates monthly needs 20 years to get there.
pub const IDENTITY_CHAIN_MAX: usize = 256;
/// Short texts of documents (names, reasons, contacts), in characters.
pub const TEXT_MAX_CHARS: usize = 300;
/// Words about what somebody else sent, in characters, *local*: a line of a log or a terminal, with room for a list of keys, and for a path
/// that is a little too long.
pub const WORDS_MAX_CHARS: usize = 640;
/// Addresses of one node.
pub const ADDRESSES_MAX: usize = 16;
/// One `host:port`, in bytes: a DNS name has at most 253.
pub const ADDRESS_MAX_BYTES: usize = 262;
/// Bodies named in one adoption; more are given as a number (2,500 × 15 bytes fit a leaf).
pub const BODIES_MAX: usize = 2_500;
/// Keys in one correction.
pub const CORRECTION_FIELDS_MAX: usize = 64;
/// Payload of a charter: its unsigned envelope fits a leaf. 48 KiB alone would fill it in base64; the rest of the envelope takes
/// at most 128 bytes.
pub const CHARTER_MAX_BYTES: usize = (48 << 10) - 128;
/// Logs that one expulsion stops.
pub const STOPS_MAX: usize = 16;
/// Documents in one certificate: 150 approvals, 150 precommits, and two full rotations of everyone's identity and writer.
pub const CERTIFICATE_PARTS_MAX: usize = 1_024;
/// One batch of records, *local*: an `Entries` answer and what comes with it, with room to spare.
pub const BATCH_MAX_BYTES: usize = 4 << 20;
/// Leaves of one log: sizes stand in documents, so they stay exact in every JSON implementation.
pub const LOG_SIZE_MAX: u64 = JSON_INTEGER_MAX;
/// Hashes of one inclusion or consistency path: a tree of [`LOG_SIZE_MAX`] leaves needs at most 54.
pub const PROOF_HASHES_MAX: usize = 64;
/// Signature lines of one note: two nodes per member, and room for foreign witnesses. At 178 bytes each they fit [`NOTE_MAX_BYTES`].
pub const NOTE_SIGNATURES_MAX: usize = 2 * MEMBERS_MAX + 16;
/// A note inside a fork proof, in bytes: the body and the log's own signature line take at most 419.
pub const FORK_NOTE_MAX_BYTES: usize = 512;
/// Timestamps of cosignatures, in seconds: far below the 2^63 - 1 of the specification, exact in JSON.
pub const COSIGNATURE_TIME_MAX_S: u64 = JSON_INTEGER_MAX;
/// A ticket line, in bytes.
pub const TICKET_MAX_BYTES: usize = 8 << 10;
/// Logs in one statement of holdings: each member's present one and former ones.
pub const HOLDINGS_LOGS_MAX: usize = 2 * MEMBERS_MAX;
/// Releases that a node says it lacks, per log; a node that lacks more says so by a lower `below`.
pub const HOLDINGS_MISSING_MAX: usize = 256;
/// A segment of a path inside a release, in bytes: what common file systems store.
pub const PATH_SEGMENT_MAX_BYTES: usize = 255;
/// Segments of a path inside a release: bounds the memory that checking a hostile manifest takes.
pub const PATH_DEPTH_MAX: usize = 32;
/// Payload of a release statement: with base64 (4/3) and [`SIGNATURES_MAX`] signatures of 176 bytes it stays within a leaf.
pub const RELEASE_PAYLOAD_MAX_BYTES: usize = 46_000;
/// `process.toml` and `publish-defaults.toml`, in bytes: several times what every key at its longest needs.
pub const PROCESS_TOML_MAX_BYTES: usize = 256 << 10;
/// Title of a release, in characters (FIM).
pub const TITLE_MAX_CHARS: usize = 300;
/// Summary of a release, in characters (publiccode.yml `shortDescription`).
pub const SUMMARY_MAX_CHARS: usize = 150;
/// Description of a release, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 10_000;
/// Keywords of a release.
pub const KEYWORDS_MAX: usize = 50;
/// Any list of a release's metadata that has no bound of its own: above every real case, and a payload holds few such lists.
pub const METADATA_LIST_MAX: usize = 500;
/// Any text of a release's metadata that has no bound of its own, in characters.
pub const METADATA_TEXT_MAX_CHARS: usize = 2_000;
/// The shortest envelope: empty payload, empty type, no signature. Shorter parts of a message are no envelopes.
pub const ENVELOPE_MIN_BYTES: usize = 47;
/// Documents, messages, promises or proofs in one answer: more than a frame holds of real ones of half a KiB.
pub const ANSWER_PARTS_MAX: usize = 4_096;
/// Charters in one answer.
pub const ANSWER_CHARTERS_MAX: usize = 256;
/// Promises in one answer: one for each log, or for each node of each member.
pub const ANSWER_PROMISES_MAX: usize = MEMBERS_MAX * ROLE_KEYS_MAX;
/// Approvals of one member kept for one base version, so that no member can keep those of others out: every state could be
/// admitted at once, and all that are kept fit [`ANSWER_PARTS_MAX`].
pub const APPROVALS_PER_MEMBER_MAX: usize = 16;
/// Approvals kept for one base version.
pub const APPROVALS_MAX: usize = MEMBERS_MAX * APPROVALS_PER_MEMBER_MAX;
/// Proposed charters kept at a height, *local*: what the machine keeps per round, over a few rounds.
pub const PROPOSALS_MAX: usize = 64;
/// Identities looked at that follow a pinned one, *local*: a member that signs more than that contradicts itself.
pub const FOLLOWERS_MAX: usize = 64;
/// Entries of a log that may wait for a charter that is not known, *local*. More are not fetched, so that a log which names a
/// charter that will never be cannot fill the disk.
pub const WAITING_MAX: u64 = 4_096;
/// How often a log is fetched anew because what came did not lead to its known end, *local*.
pub const RESETS_MAX: u32 = 8;
/// Earlier cosignatures of one node that are kept of one log above its largest witnessed note: a log that others witness at all is
/// witnessed long before, and of more the largest are kept.
pub const VOUCHED_MAX: usize = 64;
/// Notes of one log that are kept above its largest witnessed one, likewise.
pub const NOTES_KEPT_MAX: usize = 256;
/// Void entries of one log that are looked through for those of one process, *local*.
pub const VOIDS_SCANNED_MAX: usize = 4_096;
/// Transfers of one process, and releases that take one of them up, that are looked at to settle where the process is: those at
/// the first places of their logs. Few, because each is a question to the view, and a member can repeat both for every entry of its log.
pub const TRANSFERS_MAX: usize = 16;
