//! Keys of rows.
//!
//! Owns their layout: fixed parts first, big-endian numbers, so that rows lie in the order in which they are read.

use super::Place;
use crate::ids::{MemberId, PeerId, PublicKey, Sha256, Slug};

/// The counters, in `Meta`.
pub const META: &[u8] = b"meta";

/// A log's row, in `Logs`.
pub fn log(log: &PeerId) -> Vec<u8> {
    [b"l", log.key().as_bytes().as_slice()].concat()
}
/// A cosigner's newest promise about a log, in `Promises`.
pub fn cosigned(log: &PeerId, by: &PeerId) -> Vec<u8> {
    [b"c", log.key().as_bytes().as_slice(), by.key().as_bytes()].concat()
}
/// Prefix of all promises about a log.
pub fn cosigned_of(log: &PeerId) -> Vec<u8> {
    [b"c", log.key().as_bytes().as_slice()].concat()
}
/// A log's largest witnessed note, in `Promises`.
pub fn witnessed(log: &PeerId) -> Vec<u8> {
    [b"w", log.key().as_bytes().as_slice()].concat()
}
/// A proof of a log's fork, in `Promises`.
pub fn fork(log: &PeerId) -> Vec<u8> {
    [b"f", log.key().as_bytes().as_slice()].concat()
}
/// An ordering message, in `Promises`.
pub fn ordering(height: u64, message: &Sha256) -> Vec<u8> {
    [b"o", height.to_be_bytes().as_slice(), message.as_bytes()].concat()
}
/// Prefix of the ordering messages of a height.
pub fn ordering_at(height: u64) -> Vec<u8> {
    [b"o", height.to_be_bytes().as_slice()].concat()
}
/// Log number and index: in `Entries`, and in `Hashes` with a hash index.
pub fn numbered(number: u32, index: u64) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), index.to_be_bytes().as_slice()].concat()
}
/// A charter, in `Charters`.
pub fn charter(version: u64) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}
/// An identity that was checked, in `Documents`.
pub fn identity(hash: &Sha256) -> Vec<u8> {
    [b"i", hash.as_bytes().as_slice()].concat()
}
/// A writer that was checked, in `Documents`.
pub fn writer(hash: &Sha256) -> Vec<u8> {
    [b"w", hash.as_bytes().as_slice()].concat()
}
/// A request to join, in `Documents`.
pub fn request(hash: &Sha256) -> Vec<u8> {
    [b"q", hash.as_bytes().as_slice()].concat()
}
/// An approval, in `Documents`.
pub fn approval(base: u64, hash: &Sha256) -> Vec<u8> {
    [b"a", base.to_be_bytes().as_slice(), hash.as_bytes()].concat()
}
/// Prefix of the approvals of changes to a version.
pub fn approvals(base: u64) -> Vec<u8> {
    [b"a", base.to_be_bytes().as_slice()].concat()
}
/// A node_info, in `Documents`.
pub fn node_info(peer: &PeerId) -> Vec<u8> {
    [b"n", peer.key().as_bytes().as_slice()].concat()
}
/// All releases of a process, in `Releases`.
pub fn process(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"p", member.as_bytes().as_slice(), slug.as_str().as_bytes(), b"\0"].concat()
}
/// The key of a release by the hash of its payload, in `Releases`.
pub fn release_id(id: &Sha256) -> Vec<u8> {
    [b"i", id.as_bytes().as_slice()].concat()
}
/// A release by its version, in `Releases`.
pub fn release(member: &MemberId, slug: &Slug, version: &str) -> Vec<u8> {
    [process(member, slug).as_slice(), version.as_bytes()].concat()
}
/// The key of a release by its place, in `Releases`.
pub fn release_at(log: &PeerId, index: u64) -> Vec<u8> {
    [b"l", log.key().as_bytes().as_slice(), index.to_be_bytes().as_slice()].concat()
}
/// The key of the row that the entry at this place claims, in `Releases` (as [`release_at`]) and in `Statements`.
pub fn claim_at(log: &PeerId, index: u64) -> Vec<u8> {
    release_at(log, index)
}
/// Prefix of what a log claims, by place.
pub fn claims_of(log: &PeerId) -> Vec<u8> {
    [b"l", log.key().as_bytes().as_slice()].concat()
}
/// Mark of an identity that stands in a log, in `Documents`.
pub fn stands(log: &PeerId, identity: &Sha256) -> Vec<u8> {
    [b"y", log.key().as_bytes().as_slice(), identity.as_bytes()].concat()
}
/// Prefix of the identities that stand in a log.
pub fn stand_in(log: &PeerId) -> Vec<u8> {
    [b"y", log.key().as_bytes().as_slice()].concat()
}
/// Hash of a member's newest identity that stands in a log, in `Documents`.
pub fn newest_of(log: &PeerId, member: &MemberId) -> Vec<u8> {
    [newest_in(log).as_slice(), member.as_bytes()].concat()
}
/// Prefix of the newest identities that stand in a log.
pub fn newest_in(log: &PeerId) -> Vec<u8> {
    [b"Y", log.key().as_bytes().as_slice()].concat()
}
/// Version of the charter that holds in a log from an index on, in `Logs`.
pub fn charter_from(log: &PeerId, index: u64) -> Vec<u8> {
    [b"c", log.key().as_bytes().as_slice(), index.to_be_bytes().as_slice()].concat()
}
/// Prefix of the charters of a log.
pub fn charters_in(log: &PeerId) -> Vec<u8> {
    [b"c", log.key().as_bytes().as_slice()].concat()
}
/// A note of a log above its largest witnessed one and below its newest, in `Promises`.
pub fn note(log: &PeerId, size: u64, root: &Sha256) -> Vec<u8> {
    [notes_of(log).as_slice(), &size.to_be_bytes(), root.as_bytes()].concat()
}
/// Prefix of the older notes of a log.
pub fn notes_of(log: &PeerId) -> Vec<u8> {
    [b"k", log.key().as_bytes().as_slice()].concat()
}
/// An earlier cosignature that is above the largest witnessed note, in `Promises`.
pub fn vouched(log: &PeerId, by: &PeerId, size: u64, root: &Sha256) -> Vec<u8> {
    [vouched_by(log, by).as_slice(), &size.to_be_bytes(), root.as_bytes()].concat()
}
/// Prefix of one node's earlier cosignatures of a log.
pub fn vouched_by(log: &PeerId, by: &PeerId) -> Vec<u8> {
    [vouched_of(log).as_slice(), by.key().as_bytes()].concat()
}
/// Prefix of all earlier cosignatures of a log.
pub fn vouched_of(log: &PeerId) -> Vec<u8> {
    [b"d", log.key().as_bytes().as_slice()].concat()
}
/// Size and root at the end of a [`note`] or [`vouched`] key.
pub fn head_of(key: &[u8]) -> Option<(u64, Sha256)> {
    let (size, root) = key.last_chunk::<40>()?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*size), Sha256(root.try_into().ok()?)))
}
/// Mark of an identity that follows another one, in `Documents`.
pub fn follower(prev: &Sha256, identity: &Sha256) -> Vec<u8> {
    [followers(prev).as_slice(), identity.as_bytes()].concat()
}
/// Prefix of the identities that follow one.
pub fn followers(prev: &Sha256) -> Vec<u8> {
    [b"x", prev.as_bytes().as_slice()].concat()
}
/// A void entry of a log, in `Logs`.
pub fn void(log: &PeerId, index: u64) -> Vec<u8> {
    [voids_of(log).as_slice(), &index.to_be_bytes()].concat()
}
/// Prefix of the void entries of a log.
pub fn voids_of(log: &PeerId) -> Vec<u8> {
    [b"v", log.key().as_bytes().as_slice()].concat()
}
/// Owner, process and version of a [`release`] key.
pub fn release_parts(key: &[u8]) -> Option<(MemberId, Slug, String)> {
    let (member, rest) = key.strip_prefix(b"p")?.split_first_chunk::<32>()?;
    let (slug, version) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((MemberId(*member), slug.parse().ok()?, version.to_owned()))
}
/// Mark of a release that is not held, in `Local`.
pub fn missing(log: &PeerId, index: u64) -> Vec<u8> {
    [b"m", log.key().as_bytes().as_slice(), index.to_be_bytes().as_slice()].concat()
}
/// Prefix of all missing releases of a log.
pub fn missing_of(log: &PeerId) -> Vec<u8> {
    [b"m", log.key().as_bytes().as_slice()].concat()
}
/// A held release that refers to an artifact, in `Artifacts`.
pub fn artifact(hash: &[u8; 32], log: &PeerId, index: u64) -> Vec<u8> {
    [hash.as_slice(), log.key().as_bytes(), index.to_be_bytes().as_slice()].concat()
}
/// A withdrawal, in `Statements`.
pub fn withdrawal(member: &MemberId, release: &Sha256) -> Vec<u8> {
    [b"w", member.as_bytes().as_slice(), release.as_bytes()].concat()
}
/// Another statement about a process of `member`, wherever it stands.
pub fn statement(member: &MemberId, slug: &Slug, id: &Sha256) -> Vec<u8> {
    [statements(member, slug).as_slice(), id.as_bytes()].concat()
}
/// Prefix of the statements about a process other than withdrawals.
pub fn statements(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"s", member.as_bytes().as_slice(), slug.as_str().as_bytes(), b"\0"].concat()
}
/// A ticket, in `Local`.
pub fn ticket(id: &[u8; 16]) -> Vec<u8> {
    [b"t", id.as_slice()].concat()
}
/// A refusal of a request, in `Local`.
pub fn rejected(request: &Sha256) -> Vec<u8> {
    [b"r", request.as_bytes().as_slice()].concat()
}
/// A named value, in `Local`.
pub fn value(name: &str) -> Vec<u8> {
    [b"v", name.as_bytes()].concat()
}
/// How the node came to the federation, in `Local`.
pub const ORIGIN: &[u8] = b"o";
/// The operator's words about a peer, in `Peers`.
pub fn peer(peer: &PeerId) -> Vec<u8> {
    peer.key().as_bytes().to_vec()
}

/// Bytes of a place at the end of a key.
const PLACE_BYTES: usize = 8 + 8 + 32;

fn placed(prefix: &[u8], place: Place) -> Vec<u8> {
    let Place { seq, index, log } = place;
    [prefix, &seq.to_be_bytes(), &index.to_be_bytes(), log.key().as_bytes()].concat()
}
/// The place at the end of a key that has one.
pub fn place_of(key: &[u8]) -> Option<Place> {
    let place = key.get(key.len().checked_sub(PLACE_BYTES)?..)?;
    let (seq, rest) = place.split_first_chunk::<8>()?;
    let (index, log) = rest.split_first_chunk::<8>()?;
    let log = PeerId(PublicKey(log.try_into().ok()?));
    Some(Place { seq: u64::from_be_bytes(*seq), index: u64::from_be_bytes(*index), log })
}
/// An entry that could stand in the row `main`, in the table of that row.
pub fn candidate(main: &[u8], place: Place) -> Vec<u8> {
    placed(&candidates(main), place)
}
/// Prefix of all that could stand in the row `main`. No row's key goes on where another one ends: a version has no NUL, and other
/// rows that are claimed are as long as their kind says.
pub fn candidates(main: &[u8]) -> Vec<u8> {
    [b"c", main, b"\0"].concat()
}
/// Prefix of all that could stand in the rows of a process, in `Releases`.
pub fn candidates_of(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"c", process(member, slug).as_slice()].concat()
}
/// The row that a [`candidate`] could stand in.
pub fn candidate_main(key: &[u8]) -> Option<&[u8]> {
    key.get(1..key.len().checked_sub(PLACE_BYTES + 1)?)
}
/// A [`statement`] by its place, in `Statements`.
pub fn stated(statement: &[u8], place: Place) -> Vec<u8> {
    placed(statement, place)
}
/// The statement of a [`stated`] key.
pub fn stated_main(key: &[u8]) -> Option<&[u8]> {
    key.get(..key.len().checked_sub(PLACE_BYTES)?)
}
/// Owner and process of a [`statement`] key.
pub fn statement_process(key: &[u8]) -> Option<(MemberId, Slug)> {
    let (member, rest) = key.strip_prefix(b"s")?.split_first_chunk::<32>()?;
    let slug = rest.get(..rest.len().checked_sub(33)?)?;
    Some((MemberId(*member), std::str::from_utf8(slug).ok()?.parse().ok()?))
}
/// A transfer of a process, in `Statements`.
pub fn transfer(member: &MemberId, slug: &Slug, place: Place) -> Vec<u8> {
    placed(&transfers(member, slug), place)
}
/// Prefix of the transfers of a process.
pub fn transfers(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"t", member.as_bytes().as_slice(), slug.as_str().as_bytes(), b"\0"].concat()
}
/// Where a process has moved, in `Releases`.
pub fn moved(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"m", member.as_bytes().as_slice(), slug.as_str().as_bytes()].concat()
}
/// A release, by its row and place, that names `member/slug` in `succeeds`; in `Releases`.
pub fn successor(member: &MemberId, slug: &Slug, main: &[u8], place: Place) -> Vec<u8> {
    placed(&[successors_of(member, slug).as_slice(), main, b"\0"].concat(), place)
}
fn successors_of(member: &MemberId, slug: &Slug) -> Vec<u8> {
    [b"n", member.as_bytes().as_slice(), slug.as_str().as_bytes(), b"\0"].concat()
}
/// Prefix of the releases of `to/new` that name `member/slug`.
pub fn successors(member: &MemberId, slug: &Slug, to: &MemberId, new: &Slug) -> Vec<u8> {
    [successors_of(member, slug), process(to, new)].concat()
}
/// The row of the release that a [`successor`] key of `member/slug` is about.
pub fn successor_main<'a>(key: &'a [u8], member: &MemberId, slug: &Slug) -> Option<&'a [u8]> {
    key.get(successors_of(member, slug).len()..key.len().checked_sub(PLACE_BYTES + 1)?)
}
/// The process that the release at a place names in `succeeds`, by the row of the release; in `Releases`.
pub fn predecessor(main: &[u8], place: Place) -> Vec<u8> {
    placed(&predecessors(main), place)
}
/// Prefix of what the releases that could stand in a row name.
pub fn predecessors(main: &[u8]) -> Vec<u8> {
    [b"s", main, b"\0"].concat()
}
