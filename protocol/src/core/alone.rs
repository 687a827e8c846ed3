//! Tests of one node by itself: what its parts do with what others send, where in a whole federation another rule would hide it.
//!
//! Owns a node without a core around its parts: a view, and the step that a part is given.

use std::collections::{BTreeMap, BTreeSet};

use super::api::{Effect, EventKind, Fault, Input, Now, Own, Settings};
use super::{Core, Cx, View, agree, info, lodge, logs, own, peers, start};
use crate::documents::{Document, NodeInfo};
use crate::ids::{PeerId, Sha256};
use crate::log::{Checkpoint, Frontier, Origin, sign_checkpoint, tree};
use crate::record::{Local, Record, Ticket};
use crate::view::catalogue::tests::build::Fed;
use crate::view::charters::Charters;
use crate::view::rows::{MemoryRows, Row, Rows, RowsError, Table};
use crate::view::state::{self, LeafAt, LogRow};
use crate::wire::join::{Lodge, Refused, Request as JoinRequest, Response};
use crate::wire::sync::{Entries, Mine, Promise};
use crate::wire::{self, Gossip, Holdings, SignedHoldings};

/// Whose log the tests are about; the node itself is that of the first member.
const OTHER: usize = 3;
const NOW: Now = Now { wall_ms: 1_767_400_000_000, mono_ms: 1_000 };

struct Seen<'a>(&'a MemoryRows);

impl Rows for Seen<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.0.get(table, key)
    }
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, RowsError> {
        self.0.scan(table, prefix, from, limit)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, RowsError> {
        self.0.last(table, prefix)
    }
}

impl View for Seen<'_> {
    fn leaf(&self, at: LeafAt) -> Result<Vec<u8>, RowsError> {
        Err(RowsError(format!("no leaf at {at:?}")))
    }
}

/// The node of the first of four members, and what it holds.
struct Node {
    fed: Fed,
    own: Own,
}

impl Node {
    fn new() -> Self {
        let mut fed = Fed::of(4);
        for n in 0..3 {
            fed.publish(OTHER, "hund", &format!("1.{n}.0"));
        }
        let party = &fed.parties[0];
        let own = Own {
            member: party.member,
            handle: "de-he".parse().unwrap(),
            identities: vec![party.identity()],
            writer: Vec::new(),
            node: party.node(),
            approvers: Vec::new(),
            publishers: Vec::new(),
            addresses: Vec::new(),
            software: "test".to_owned(),
        };
        Self { fed, own }
    }

    /// One step of a part, and what it recorded.
    fn step<T>(&self, part: impl FnOnce(&mut Cx<'_>) -> T) -> (T, Vec<Record>) {
        let (view, set, charters) = (Seen(&self.fed.rows), Settings::default(), Charters::default());
        let (mut counts, mut faults) = (BTreeMap::new(), BTreeMap::new());
        let mut cx = Cx {
            now: NOW,
            view: &view,
            own: &self.own,
            set: &set,
            charters: &charters,
            federation: self.fed.federation,
            charter: charters.newest(&view).unwrap(),
            records: Vec::new(),
            effects: Vec::new(),
            counts: &mut counts,
            faults: &mut faults,
        };
        let out = part(&mut cx);
        let records = cx.records;
        (out, records)
    }

    fn log(&self) -> PeerId {
        self.fed.parties[OTHER].log()
    }

    fn row(&self) -> LogRow {
        state::log(&self.fed.rows, &self.log()).unwrap().unwrap()
    }

    /// The checkpoint of the other log once `leaves` follow what is held, and its note.
    fn grown(&self, leaves: &[&[u8]]) -> (Checkpoint, Vec<u8>) {
        let mut tree: Frontier = self.row().frontier.clone();
        leaves.iter().for_each(|leaf| tree.append(tree::leaf_hash(leaf)).unwrap());
        let origin = Origin::new(self.fed.federation, self.log());
        let checkpoint = Checkpoint::new(origin, tree.size(), tree.root()).unwrap();
        let signed = sign_checkpoint(&self.fed.parties[OTHER].node(), self.fed.federation, &checkpoint).unwrap();
        (checkpoint, signed.to_text().into_bytes())
    }

    /// What the node cosigns of the other log as it stands.
    fn cosigned(&self) -> Vec<Record> {
        let row = self.row();
        let (done, records) = self.step(|cx| logs::cosign(cx, self.log(), &row, &BTreeSet::new()));
        done.unwrap();
        records
    }

    fn note(&mut self, note: Vec<u8>) {
        let log = self.log();
        self.fed.commit(vec![Record::Checkpoint { log, note }]);
    }
}

#[test]
fn leaves_that_do_not_lead_to_their_checkpoint_are_not_taken() {
    let node = Node::new();
    let (log, first) = (node.log(), node.row().size());
    let (_, note) = node.grown(&[b"one"]);
    let take = |leaf: &[u8], note: &[u8]| {
        let entries = Entries { log, first, leaves: vec![leaf.to_vec()], note: note.to_vec(), proof: None };
        node.step(|cx| logs::take(cx, false, entries))
    };
    let (taken, records) = take(b"one", &note);
    assert_eq!((taken.unwrap(), records.len()), (logs::Taken::Grew(first + 1), 2), "entries and checkpoint");
    let (taken, records) = take(b"two", &note);
    assert!(matches!(taken, Ok(logs::Taken::Diverged(_))) && records.is_empty(), "another leaf");
    let (_, longer) = node.grown(&[b"one", b"two"]);
    let (taken, records) = take(b"one", &longer);
    assert!(matches!(taken, Ok(logs::Taken::Diverged(_))) && records.is_empty(), "no proof that they are below it");
}

#[test]
fn nothing_but_a_larger_checkpoint_that_extends_the_last_is_cosigned() {
    let mut node = Node::new();
    let (newest, note) = node.grown(&[]);
    node.note(note);
    let records = node.cosigned();
    assert!(matches!(&records[..], [Record::Cosigned { size, .. }] if *size == newest.size), "{records:?}");
    let mut other = Node::new();
    other.note(other.grown(&[]).1);
    node.fed.commit(records);
    assert_eq!(node.cosigned(), [], "it is cosigned already");
    // What the node cosigned before was of another branch.
    let (branch, _) = other.fed.note(OTHER, usize::try_from(newest.size).unwrap() - 1, Some(3));
    let before = other.fed.cosignature(&branch, 0, 1_767_300_000);
    other.fed.commit(vec![before]);
    assert_eq!(other.cosigned(), [], "it does not extend what was cosigned");
}

#[test]
fn a_checkpoint_is_cosigned_when_all_below_it_is_held() {
    let mut node = Node::new();
    let (checkpoint, note) = node.grown(&[b"one"]);
    node.note(note);
    assert_eq!((node.row().note_size, node.cosigned()), (checkpoint.size, vec![]), "its last entry is not here");
    node.fed.append(OTHER, b"one".to_vec());
    let records = node.cosigned();
    assert!(matches!(&records[..], [Record::Cosigned { size, .. }] if *size == checkpoint.size), "{records:?}");
}

#[test]
fn a_cosignature_that_does_not_match_is_counted_and_not_kept() {
    let node = Node::new();
    let (checkpoint, _) = node.grown(&[]);
    let Record::Cosigned { log, size, root, cosignature } = node.fed.cosignature(&checkpoint, 2, 1_767_300_000) else {
        panic!("no cosignature");
    };
    let take = |cosignature| {
        let promise = Promise { log, size, root, cosignature };
        node.step(|cx| logs::take_cosignature(cx, &mut peers::Peers::default(), promise))
    };
    let (taken, records) = take(cosignature);
    assert_eq!((taken, records.len()), (Ok(true), 1));
    let (taken, records) = take(crate::log::Cosignature { time_s: cosignature.time_s + 1, ..cosignature });
    assert!(matches!(taken, Err(Ok(Fault { reason: "bad_cosignature", .. }))) && records.is_empty(), "{taken:?}");
}

#[test]
fn an_own_cosignature_that_a_member_gives_back_is_kept() {
    let node = Node::new();
    let (checkpoint, _) = node.grown(&[]);
    let given = node.fed.cosignature(&checkpoint, 0, 1_767_300_000);
    let Record::Cosigned { log, size, root, cosignature } = given.clone() else { panic!("no cosignature") };
    let promises = vec![Promise { log, size, root, cosignature }];
    let mine = Mine { charter: 4, note: Vec::new(), size: 0, promises, ordering: Vec::new() };
    let (mut start, mut peers) = (start::Start::new(NOW, false), peers::Peers::default());
    let (done, records) = node.step(|cx| start.answer(cx, &mut peers, &mut agree::Agree::default(), node.log(), mine));
    assert_eq!((done, records), (Ok(()), vec![given]));
}

#[test]
fn a_statement_of_holdings_is_taken_once_and_from_its_node_only() {
    let node = Node::new();
    let view = Seen(&node.fed.rows);
    let (federation, other) = (node.fed.federation, node.fed.parties[OTHER].node());
    let mut core = Core::new(node.own.clone(), Settings::default(), federation, true, NOW, &view).unwrap();
    let mut take = |time_ms, forged: bool| {
        let mut signed = SignedHoldings::sign(&other, federation, time_ms, Holdings::default()).unwrap();
        if forged {
            signed.time_ms += 1;
        }
        let bytes = wire::encode(federation, Gossip::Holdings(signed)).unwrap();
        let step = core.step(NOW, Input::Gossip { id: 1, from: other.peer(), bytes }, &view).unwrap();
        let changed =
            |effect: &Effect| matches!(effect, Effect::Event(e) if matches!(e.kind, EventKind::HoldingsChanged { .. }));
        let verdict = step.effects.iter().find_map(|effect| match effect {
            Effect::Judge { accept, .. } => Some(*accept),
            _ => None,
        });
        (verdict.unwrap(), step.effects.iter().any(changed))
    };
    assert_eq!(take(2_000, false), (Some(true), true));
    assert_eq!(take(1_000, false), (None, false), "an older one, replayed");
    assert_eq!(take(2_000, false), (None, false), "the same again");
    assert_eq!(take(3_000, true), (Some(false), false), "not what its node signed");
    assert_eq!(take(3_000, false), (Some(true), true));
}

#[test]
fn an_older_node_info_never_replaces_a_newer_one() {
    let mut node = Node::new();
    let other = node.fed.parties[OTHER].node();
    let federation = node.fed.federation;
    let info = |time_s| {
        let (addresses, software) = (vec![format!("10.0.0.1:{}", time_s % 60_000)], "test".to_owned());
        let info = NodeInfo { federation, peer: other.peer(), time_s, addresses, software, protocol: 1 };
        info.seal(&[&other]).unwrap().into_bytes()
    };
    let (taken, records) = node.step(|cx| info::take_info(cx, &info(2_000)));
    assert!(taken);
    node.fed.commit(records);
    for time_s in [1_000, 2_000] {
        let (taken, records) = node.step(|cx| info::take_info(cx, &info(time_s)));
        assert!(!taken && records.is_empty(), "{time_s}");
        // Nor does the view take it, whatever stands in the journal.
        node.fed.commit(vec![Record::Document(info(time_s))]);
        let (held, _) = node.step(|cx| info::info_of(cx, &other.peer()).unwrap().unwrap());
        assert_eq!(held.time_s, 2_000);
    }
    assert!(node.step(|cx| info::take_info(cx, &info(3_000))).0);
}

#[test]
fn a_ticket_without_its_secret_lodges_nothing() {
    let mut node = Node::new();
    let (id, secret) = ([7; 16], [8; 32]);
    let ticket = Ticket {
        id,
        secret_hash: Sha256::of(&secret),
        handle: "de-ni".parse().unwrap(),
        expires_s: NOW.wall_s() + 60,
        used_by: None,
    };
    node.fed.commit(vec![Record::Local(Local::Ticket(ticket))]);
    let lodge = |secret| {
        let (identities, writer, request, node_info) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let lodge = Lodge { ticket: id, secret, identities, writer, request, node_info };
        let request = JoinRequest::Lodge(Box::new(lodge));
        let from = node.fed.parties[OTHER].log();
        node.step(|cx| lodge::serve(cx, &mut own::OwnLog::default(), true, from, request).unwrap())
    };
    let (answer, records) = lodge([9; 32]);
    assert_eq!((answer, records), (Response::Refused(Refused::UnknownTicket), vec![]));
    let (answer, _) = lodge(secret);
    assert!(
        matches!(answer, Response::Refused(Refused::Invalid(_))),
        "the ticket is good, what is lodged is not: {answer:?}"
    );
}
