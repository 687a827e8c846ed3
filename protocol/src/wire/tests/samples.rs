//! One message of every variant.

use crate::charter::certificate::CharterBundle;
use crate::envelope::Envelope;
use crate::ids::{FederationId, Handle, MemberId, PeerId, Sha256};
use crate::keys::SecretKey;
use crate::log::{Checkpoint, ConsistencyProof, Cosignature, ForkProof, Origin, sign_checkpoint, sign_cosignature};
use crate::record::{Audit, Joining, Local, OrderingBundle, PeerNote, Record, Ticket};
use crate::view::rows::Table;
use crate::wire::join::{Lodge, Progress, Refused};
use crate::wire::sync::{Entries, LogStatus, Mine, Notes, Promise, Refusal, Status};
use crate::wire::{Gossip, Holdings, LogHoldings, SignedHoldings, join, sync};

pub(super) fn federation() -> FederationId {
    FederationId([0xfe; 32])
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn log() -> PeerId {
    key(1).peer()
}

fn hash(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(Origin::new(federation(), log()), 300, hash("root")).unwrap()
}

fn note() -> Vec<u8> {
    sign_checkpoint(&key(1), federation(), &checkpoint()).unwrap().to_text().into_bytes()
}

fn cosignature() -> Cosignature {
    sign_cosignature(&key(2), 1_700_000_000, &checkpoint()).unwrap()
}

fn promise() -> Promise {
    Promise { log: log(), size: 300, root: hash("root"), cosignature: cosignature() }
}

fn consistency() -> ConsistencyProof {
    ConsistencyProof { from: 6, to: 300, hashes: vec![hash("a"), hash("b")] }
}

fn fork() -> ForkProof {
    let text = String::from_utf8(note()).unwrap();
    ForkProof { a: text.clone(), b: text, consistency: None }
}

/// The envelope of a document, here of next to nothing.
pub(super) fn envelope(payload: &str) -> Vec<u8> {
    Envelope::sign("t", payload.as_bytes().to_vec(), []).unwrap().into_bytes()
}

fn charter() -> CharterBundle {
    CharterBundle {
        payload: b"{\"version\":1}".to_vec(),
        identities: vec![envelope("identity")],
        writers: vec![envelope("writer")],
        approvals: vec![envelope("approval 1"), envelope("approval 2")],
        precommits: vec![],
    }
}

fn ordering() -> Vec<OrderingBundle> {
    let vote = OrderingBundle { message: envelope("vote"), ..OrderingBundle::default() };
    let proposal = OrderingBundle {
        message: envelope("proposal"),
        payload: Some(b"{\"version\":2}".to_vec()),
        approvals: vec![envelope("approval")],
        identities: vec![envelope("identity")],
        writers: vec![envelope("writer")],
    };
    vec![proposal, vote]
}

fn holdings() -> SignedHoldings {
    let held = LogHoldings { log: log(), below: 300, missing: vec![256, 299] };
    SignedHoldings::sign(&key(2), federation(), 1_700_000_000_123, Holdings { logs: vec![held] }).unwrap()
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

pub(super) fn gossip() -> Vec<(&'static str, Gossip)> {
    let (size, root) = (300, hash("root"));
    vec![
        (
            "Log",
            Gossip::Log {
                log: log(),
                note: note(),
                first: 298,
                leaves: vec![b"leaf 298".to_vec(), b"leaf 299".to_vec()],
            },
        ),
        ("Cosigned", Gossip::Cosigned { log: log(), size, root, cosignature: cosignature() }),
        ("Document", Gossip::Document(envelope("node_info"))),
        ("Ordering", Gossip::Ordering(ordering())),
        ("Holdings", Gossip::Holdings(holdings())),
        ("Charter", Gossip::Charter { version: 7, hash: hash("charter") }),
        ("Fork", Gossip::Fork(fork())),
    ]
}

pub(super) fn sync_requests() -> Vec<(&'static str, sync::Request)> {
    use sync::Request;
    vec![
        ("Status", Request::Status),
        ("Entries", Request::Entries { log: log(), from: 70_000 }),
        ("Consistency", Request::Consistency { log: log(), from: 6, to: 5_000_000_000 }),
        ("Charters", Request::Charters { from: 2 }),
        ("Approvals", Request::Approvals),
        ("Ordering", Request::Ordering),
        ("Nodes", Request::Nodes),
        ("Notes", Request::Notes { log: log() }),
        ("Proofs", Request::Proofs),
        ("Holdings", Request::Holdings),
        ("Mine", Request::Mine),
    ]
}

fn status() -> Status {
    let digest = |n: u8| [n, 0xff, n, 0xff, n, 0xff, n, 0xff];
    let log = LogStatus { log: log(), size: 300, note_size: 301, witnessed: 250, cosigned: 299, promises: digest(1) };
    Status {
        protocol: 1,
        time_ms: 1_700_000_000_123,
        charter: 4,
        charter_hash: Some(hash("charter")),
        logs: vec![log],
        approvals: digest(2),
        ordering: digest(3),
        nodes: digest(4),
        proofs: digest(5),
        holdings: digest(6),
        recovering: true,
    }
}

pub(super) fn sync_responses() -> Vec<(&'static str, sync::Response)> {
    use sync::Response;
    let leaves = vec![b"leaf 298".to_vec(), b"leaf 299".to_vec()];
    let entries = Entries { log: log(), first: 298, leaves, note: note(), proof: Some(consistency()) };
    let notes = Notes { log: log(), newest: note(), witnessed: vec![], promises: vec![promise()] };
    let mine = Mine { charter: 4, note: note(), size: 300, promises: vec![promise()], ordering: ordering() };
    vec![
        ("Status", Response::Status(status())),
        ("Entries", Response::Entries(entries)),
        ("Consistency", Response::Consistency(consistency(), note())),
        ("Charters", Response::Charters(vec![charter()])),
        ("Documents", Response::Documents(vec![envelope("approval"), envelope("node_info")])),
        ("Ordering", Response::Ordering(ordering())),
        ("Notes", Response::Notes(notes)),
        ("Proofs", Response::Proofs(vec![fork()])),
        ("Holdings", Response::Holdings(vec![holdings()])),
        ("Mine", Response::Mine(mine)),
        ("Refused", Response::Refused(Refusal::NotHere)),
    ]
}

/// Further values of variants that hold variants.
pub(super) fn sync_refusals() -> Vec<(&'static str, sync::Response)> {
    [
        ("NotHere", Refusal::NotHere),
        ("Unsupported", Refusal::Unsupported),
        ("NotMember", Refusal::NotMember),
        ("Internal", Refusal::Internal),
    ]
    .map(|(name, refusal)| (name, sync::Response::Refused(refusal)))
    .into()
}

pub(super) fn join_requests() -> Vec<(&'static str, join::Request)> {
    use join::Request;
    let lodge = Lodge {
        ticket: [1; 16],
        secret: [2; 32],
        identities: vec![envelope("identity 1"), envelope("identity 2")],
        writer: envelope("writer"),
        request: envelope("request"),
        node_info: envelope("node_info"),
    };
    vec![
        ("Charters", Request::Charters { from: 1 }),
        ("Lodge", Request::Lodge(Box::new(lodge))),
        ("Progress", Request::Progress { request: hash("request") }),
        ("Newer", Request::Newer(vec![charter()])),
    ]
}

pub(super) fn join_responses() -> Vec<(&'static str, join::Response)> {
    use join::Response;
    vec![
        ("Charters", Response::Charters(vec![charter()])),
        ("Lodged", Response::Lodged),
        ("Progress", Response::Progress(Progress::Unknown)),
        ("Refused", Response::Refused(Refused::UnknownTicket)),
        ("Thanks", Response::Thanks),
    ]
}

pub(super) fn progresses() -> Vec<(&'static str, join::Response)> {
    let approvals = vec![(handle("de-he"), true), (handle("de-rp"), false)];
    let all = [
        ("Waiting", Progress::Waiting { approvals, needed: 2 }),
        ("Rejected", Progress::Rejected { reason: "unbekannt".into() }),
        ("Member", Progress::Member { version: 4, nodes: vec![envelope("node_info")] }),
        ("Unknown", Progress::Unknown),
    ];
    all.map(|(name, progress)| (name, join::Response::Progress(progress))).into()
}

pub(super) fn refusals() -> Vec<(&'static str, join::Response)> {
    let all = [
        ("UnknownTicket", Refused::UnknownTicket),
        ("Expired", Refused::Expired),
        ("Used", Refused::Used),
        ("OtherHandle", Refused::OtherHandle(handle("de-th"))),
        ("Invalid", Refused::Invalid("not signed".into())),
        ("AlreadyMember", Refused::AlreadyMember),
        ("HandleTaken", Refused::HandleTaken(handle("de-th"))),
        ("NotNow", Refused::NotNow("recovering".into())),
    ];
    all.map(|(name, refused)| (name, join::Response::Refused(refused))).into()
}

pub(super) fn records() -> Vec<(&'static str, Record)> {
    let (size, root) = (300, hash("root"));
    let audit = Audit { time_ms: 1, uid: 1000, pid: -1, operation: "member admit".into(), outcome: "ok".into() };
    vec![
        ("Entries", Record::Entries { log: log(), first: 7, leaves: vec![], lengths: vec![4, 0, 70_000] }),
        ("Checkpoint", Record::Checkpoint { log: log(), note: note() }),
        ("Cosigned", Record::Cosigned { log: log(), size, root, cosignature: cosignature() }),
        ("Charter", Record::Charter(charter())),
        ("Document", Record::Document(envelope("approval"))),
        ("Ordering", Record::Ordering(ordering().remove(0))),
        ("Fork", Record::Fork { log: log(), proof: fork() }),
        ("Reset", Record::Reset { log: log() }),
        ("Local", Record::Local(Local::Origin(crate::record::Origin::Founded))),
        ("Audit", Record::Audit(audit)),
        ("Witnessed", Record::Witnessed { log: log(), note: note() }),
        ("Row", Record::Row { table: Table::Search, key: b"key".to_vec(), value: b"value".to_vec() }),
    ]
}

pub(super) fn locals() -> Vec<(&'static str, Record)> {
    let ticket = Ticket {
        id: [1; 16],
        secret_hash: hash("secret"),
        handle: handle("de-th"),
        expires_s: 1_800_000_000,
        used_by: Some(MemberId([3; 32])),
    };
    let note = PeerNote { peer: log(), addresses: vec!["[::1]:4711".into()], blocked: true, paused: false };
    let all = [
        ("Origin", Local::Origin(crate::record::Origin::Founded)),
        ("Ticket", Local::Ticket(ticket)),
        ("TicketUsed", Local::TicketUsed { id: [1; 16], member: MemberId([3; 32]) }),
        ("Peer", Local::Peer(note)),
        ("PeerRemoved", Local::PeerRemoved(log())),
        ("Held", Local::Held { log: log(), index: 3, artifacts: vec![[1; 32], [2; 32]] }),
        ("Lost", Local::Lost { log: log(), index: 3 }),
        ("Rejected", Local::Rejected { request: hash("request"), reason: "unbekannt".into() }),
        ("Value", Local::Value { name: "token/1".into(), value: b"\xff\x00".to_vec() }),
    ];
    all.map(|(name, local)| (name, Record::Local(local))).into()
}

pub(super) fn origins() -> Vec<(&'static str, Record)> {
    let joining = Joining {
        federation: federation(),
        charter: hash("charter"),
        ticket: "verbund1_x".into(),
        writer: envelope("writer"),
        request: vec![],
    };
    let all = [("Founded", crate::record::Origin::Founded), ("Joining", crate::record::Origin::Joining(joining))];
    all.map(|(name, origin)| (name, Record::Local(Local::Origin(origin)))).into()
}
