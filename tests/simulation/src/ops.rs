//! What operators and publishers do, and what can be asked of a run.

use std::collections::BTreeMap;

use crate::disk::Disk;
use crate::node::Node;
use crate::org::{Made, Org, Wish};
use crate::world::World;
use verbund_protocol::charter::certificate::CharterBundle;
use verbund_protocol::core::{Command, EventKind, Input, Problem, Reply};
use verbund_protocol::ids::{PeerId, Sha256};
use verbund_protocol::record::{Batch, Joining, Local, Origin, Record};
use verbund_protocol::view::charters::Charters;
use verbund_protocol::view::rows::{Rows, Table};
use verbund_protocol::view::state::{self, EntryRow, LogRow, ReleaseRow, Verdict, key};
use verbund_protocol::wire::ticket::Ticket;

impl World {
    /// A federation with its founder alone.
    pub fn founded(seed: u64, handle: &str) -> Self {
        let org = Org::new(handle);
        let (bundle, federation) = org.found();
        let mut world = Self::empty(seed, federation);
        let mut node = Node::new(org.clone(), federation, org.writer(None).into_bytes(), 0);
        node.disk.append(founding(bundle));
        node.disk.durable = 1;
        node.founded = true;
        world.nodes.push(node);
        world.start(0);
        world
    }

    /// A federation of `n` members, each admitted by all before it.
    pub fn of(seed: u64, n: usize) -> Self {
        let mut world = Self::founded(seed, HANDLES[0]);
        for handle in &HANDLES[1..n] {
            let joined = world.join(handle);
            world.admit_by_all(handle);
            world.expect(60_000, "the newcomer is in", |w| w.settled_members(joined + 1));
        }
        world
    }

    pub fn command(&mut self, node: usize, command: Command) -> Result<Reply, Problem> {
        let id = self.id();
        self.step(node, Input::Command { id, command });
        self.expect(5_000, "a reply", |w| w.nodes[node].replies.contains_key(&id));
        self.nodes[node].replies.remove(&id).unwrap()
    }

    pub fn invite(&mut self, node: usize, handle: &str, valid_s: u64) -> Result<Ticket, Problem> {
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        id[..8].copy_from_slice(&self.rng.draw().to_le_bytes());
        secret[..8].copy_from_slice(&self.rng.draw().to_le_bytes());
        let handle = handle.parse().unwrap();
        match self.command(node, Command::Invite { handle, id, secret, valid_s })? {
            Reply::Ticket(line) => Ok(line.parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// A node that has been given a ticket.
    pub fn newcomer(&mut self, org: Org, ticket: &Ticket) -> usize {
        let slot = self.nodes.len();
        let writer = org.writer(Some(ticket.federation)).into_bytes();
        let mut node = Node::new(org, ticket.federation, writer.clone(), slot);
        let joining = Joining {
            federation: ticket.federation,
            charter: ticket.charter,
            ticket: ticket.to_line(),
            writer,
            request: Vec::new(),
        };
        node.disk.append(Batch { records: vec![Record::Local(Local::Origin(Origin::Joining(joining)))] });
        node.disk.durable = 1;
        self.nodes.push(node);
        self.start(slot);
        slot
    }

    /// Invited by the founder, and lodged.
    pub fn join(&mut self, handle: &str) -> usize {
        self.expect(30_000, "the founder may sign", |w| w.may_sign(0));
        let ticket = self.invite(0, handle, 3_600).unwrap();
        let node = self.newcomer(Org::new(handle), &ticket);
        self.expect(30_000, "the request is lodged", |w| w.progress(node).contains("approvals are needed"));
        node
    }

    pub fn admit(&mut self, node: usize, handle: &str) -> Result<Reply, Problem> {
        self.command(node, Command::Admit { handle: handle.parse().unwrap(), fingerprint: None })
    }

    /// Every member's operator approves, as soon as its node knows of the request.
    pub fn admit_by_all(&mut self, handle: &str) {
        let wanted = handle.parse().unwrap();
        for node in 0..self.nodes.len() {
            let member =
                self.charter(node).members.iter().any(|m| m.handle == self.nodes[node].org.handle.parse().unwrap());
            if !member || !self.nodes[node].up() || self.charter(node).by_handle(&wanted).is_some() {
                continue;
            }
            self.expect(60_000, "the request is listed", |w| {
                w.charter(node).by_handle(&wanted).is_some() || w.requests(node).iter().any(|h| h == handle)
            });
            if self.charter(node).by_handle(&wanted).is_none() {
                self.admit(node, handle).unwrap();
            }
        }
    }

    pub fn requests(&self, node: usize) -> Vec<String> {
        let n = &self.nodes[node];
        let Some(core) = &n.core else { return Vec::new() };
        core.requests(n.now(self.now_ms), &n.disk).unwrap().into_iter().map(|r| r.handle.to_string()).collect()
    }

    pub fn progress(&self, node: usize) -> String {
        self.nodes[node].core.as_ref().map_or_else(String::new, |core| core.join_progress().text)
    }

    pub fn may_sign(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        n.core.as_ref().is_some_and(|core| core.may_sign(n.now(self.now_ms), &n.disk).unwrap().is_ok())
    }

    /// Puts the artifacts where the publisher has them, and logs the release.
    pub fn publish(&mut self, node: usize, wish: &Wish<'_>) -> Result<Made, Problem> {
        let made = self.nodes[node].org.release(self.federation, wish);
        self.nodes[node].artifacts.extend(made.artifacts.clone());
        self.command(node, Command::Append(made.leaf.clone())).map(|_| made)
    }

    pub fn charter(&self, node: usize) -> verbund_protocol::charter::rules::Charter {
        let charters = Charters::default();
        let newest = charters.newest(&self.nodes[node].disk).unwrap();
        newest.map_or_else(
            || verbund_protocol::charter::rules::Charter::parse(&self.nodes[0].org.found().0.payload).unwrap(),
            |c| c.charter.clone(),
        )
    }

    /// The newest charter that any node which keeps the rules has.
    pub fn newest_charter(&self) -> verbund_protocol::charter::rules::Charter {
        let honest = (0..self.nodes.len()).filter(|i| !self.nodes[*i].hostile);
        let newest = honest.max_by_key(|i| (state::meta(&self.nodes[*i].disk).unwrap().charter, std::cmp::Reverse(*i)));
        self.charter(newest.unwrap_or(0))
    }

    /// Whether the node's member stands in the newest charter.
    pub fn is_member(&self, node: usize) -> bool {
        self.newest_charter().members.iter().any(|m| m.member == self.nodes[node].org.member)
    }

    pub fn log(&self, node: usize, log: PeerId) -> LogRow {
        state::log(&self.nodes[node].disk, &log).unwrap().unwrap_or_else(|| LogRow::new(u32::MAX))
    }

    pub fn up(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].up()).collect()
    }

    /// The first `n` nodes all have the charter of `n` members, may sign, and have all logs.
    pub fn settled_members(&self, n: usize) -> bool {
        (0..n).all(|i| self.charter(i).members.len() == n && self.may_sign(i)) && self.level()
    }

    /// All running nodes have the same charter and the same entries.
    pub fn level(&self) -> bool {
        let up = self.up();
        let charter = self.charter(up[0]);
        up.iter().all(|i| self.charter(*i) == charter) && {
            let sizes = |node: usize| -> BTreeMap<PeerId, (u64, u64)> {
                let mut all = BTreeMap::new();
                for (log, row) in state::logs(&self.nodes[node].disk).unwrap() {
                    all.insert(log, (row.end().map_or(row.size(), |end| end.min(row.size())), row.judged));
                }
                all
            };
            let first = sizes(up[0]);
            first.len() >= charter.members.len() && up.iter().all(|i| sizes(*i) == first)
        }
    }

    pub fn releases(&self, node: usize) -> Vec<ReleaseRow> {
        let disk = &self.nodes[node].disk;
        let rows: Vec<ReleaseRow> = state::list(disk, Table::Releases, b"p", usize::MAX).unwrap();
        rows.into_iter().filter(|r| self.log(node, r.log).counts(r.index)).collect()
    }

    /// Whether all files of the release are here, as the catalogue knows it.
    pub fn holds(&self, node: usize, release: &Made) -> bool {
        let disk = &self.nodes[node].disk;
        let row = self.releases(node).into_iter().find(|r| r.id == release.id);
        row.is_some_and(|r| disk.get(Table::Local, &key::missing(&r.log, r.index)).unwrap().is_none())
            && release.artifacts.keys().all(|hash| self.nodes[node].artifacts.contains_key(hash))
    }

    pub fn verdict(&self, node: usize, log: PeerId, index: u64) -> Option<Verdict> {
        let disk = &self.nodes[node].disk;
        let number = self.log(node, log).number;
        state::get::<EntryRow>(disk, Table::Entries, &key::numbered(number, index)).unwrap().map(|e| e.verdict)
    }

    /// Sizes that `by` has cosigned, as `node` knows it.
    pub fn cosigned(&self, node: usize, log: PeerId, by: PeerId) -> u64 {
        let row = state::get::<state::CosignedRow>(&self.nodes[node].disk, Table::Promises, &key::cosigned(&log, &by));
        row.unwrap().map_or(0, |r| r.size)
    }

    pub fn count(&self, node: usize, reason: &str) -> u64 {
        self.nodes[node].core.as_ref().and_then(|core| core.counts().get(reason).copied()).unwrap_or(0)
    }

    pub fn happened(&self, node: usize, what: impl Fn(&EventKind) -> bool) -> usize {
        self.nodes[node].events.iter().filter(|e| what(&e.kind)).count()
    }

    /// What people call the member of a node.
    pub fn called(&self, peer: &PeerId) -> String {
        self.nodes.iter().find(|n| n.peer() == *peer).map_or_else(|| "?".to_owned(), |n| n.org.handle.clone())
    }

    /// Where everybody stands, for a failed test.
    pub fn describe(&self) -> String {
        let mut out = format!("at {} ms\n", self.now_ms);
        for (i, n) in self.nodes.iter().enumerate() {
            out += &format!(
                "{i} {} {} charter {} sign {} linked {:?} join {:?}\n",
                n.org.handle,
                if n.up() { "up" } else { "down" },
                state::meta(&n.disk).unwrap().charter,
                self.may_sign(i),
                n.linked,
                self.progress(i)
            );
            for (log, row) in state::logs(&n.disk).unwrap() {
                let whose = self.called(&log);
                out += &format!(
                    "    {whose}: size {} judged {} charter {} note {} end {:?} witnessed {:?} orphan {}\n",
                    row.size(),
                    row.judged,
                    row.charter,
                    row.note_size,
                    row.end(),
                    row.witnessed.map(|w| w.0),
                    row.orphan
                );
            }
            if let Some(core) = &n.core {
                if let Some(agreement) = core.agreement() {
                    out += &format!(
                        "    height {} round {} {:?} eligible {:?} proposal {:?}\n",
                        agreement.height,
                        agreement.round,
                        agreement.step,
                        agreement.eligible.map(short),
                        agreement.proposal.map(short)
                    );
                }
                for missing in core.missing(n.now(self.now_ms)) {
                    let who: Vec<usize> = (0..self.nodes.len())
                        .filter(|i| self.nodes[*i].artifacts.contains_key(&missing.release.manifest))
                        .collect();
                    let said: Vec<String> = core
                        .holders(&missing.release.log, missing.release.index)
                        .iter()
                        .map(|p| self.called(p))
                        .collect();
                    out += &format!(
                        "    lacks {} {}: {} {}, {} failures, next try in {:?} ms, {} left; manifest at {who:?}, said by {said:?}\n",
                        missing.release.slug,
                        missing.release.version,
                        missing.code,
                        missing.why,
                        missing.failures,
                        missing.next_try_ms,
                        missing.left.len(),
                    );
                }
                for (at, refused) in n
                    .events
                    .iter()
                    .filter_map(|e| match &e.kind {
                        EventKind::Refused { reason, text, .. } => Some((e.time_ms, format!("{reason}: {text}"))),
                        _ => None,
                    })
                    .rev()
                    .take(5)
                {
                    out += &format!("    {at} {refused}\n");
                }
            }
        }
        out
    }
}

fn short(hash: Sha256) -> String {
    hash.to_hex()[..6].to_owned()
}

pub const HANDLES: [&str; 16] = [
    "de-he", "de-rp", "de-sl", "de-th", "de-bw", "de-ni", "de-by", "de-be", "de-bb", "de-hb", "de-hh", "de-mv",
    "de-nw", "de-sn", "de-st", "de-sh",
];

/// What a founding leaves in the journal.
pub fn founding(bundle: CharterBundle) -> Batch {
    Batch { records: vec![Record::Charter(bundle), Record::Local(Local::Origin(Origin::Founded))] }
}

/// The parts of the view that two nodes with the same logs must agree on, with logs named by their nodes.
pub fn catalogue(disk: &Disk) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let logs = state::logs(disk).unwrap();
    for (log, row) in &logs {
        let end = row.end().map_or(row.size(), |end| end.min(row.size()));
        out.insert(
            format!("log {log}"),
            format!("{:?} {end} judged {} {:?} {}", row.owner, row.judged.min(end), row.end(), row.orphan),
        );
        for index in 0..end {
            let entry: EntryRow = state::get(disk, Table::Entries, &key::numbered(row.number, index)).unwrap().unwrap();
            out.insert(format!("entry {log} {index:08}"), format!("{:?}", entry.verdict));
        }
    }
    for (place, bytes) in disk.scan(Table::Releases, b"p", b"p", usize::MAX).unwrap() {
        let row: ReleaseRow = state::decode(&bytes).unwrap();
        out.insert(format!("release {}", hex::encode(place)), format!("{row:?}"));
    }
    let said = |key: &[u8]| {
        // What lies beyond the end of a log is kept by those that had judged it before, and not read.
        let place = key::place_of(key).unwrap();
        state::log(disk, &place.log).unwrap().is_some_and(|row| row.counts(place.index))
    };
    let tables: [(Table, &[u8]); 4] =
        [(Table::Statements, b"w"), (Table::Statements, b"s"), (Table::Charters, b""), (Table::Search, b"")];
    for (table, prefix) in tables {
        for (key, value) in disk.scan(table, prefix, prefix, usize::MAX).unwrap() {
            if prefix == b"s" && !said(&key) {
                continue;
            }
            let content = if table == Table::Charters {
                state::decode::<state::CharterRow>(&value).unwrap().bundle.hash()
            } else {
                Sha256::of(&value)
            };
            out.insert(format!("{table:?} {}", hex::encode(key)), content.to_hex());
        }
    }
    out
}
