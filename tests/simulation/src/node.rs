//! One node: its disk, its core while it runs, its artifacts, and what it waits to do until a commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::check::refusals;
use crate::disk::Disk;
use crate::org::{EPOCH_S, Org};
use crate::trace::Trace;
use verbund_protocol::core::{Core, Effect, Event, Input, Now, Own, Problem, Reply, Settings};
use verbund_protocol::ids::{Blake3, FederationId, PeerId, Sha256};
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::wire;
use verbund_protocol::wire::sync::Response;

/// Steps that may follow from one input: more means that the core never settles.
const SETTLE_MAX: usize = 200;

pub struct Node {
    pub org: Org,
    pub own: Own,
    pub settings: Settings,
    pub federation: FederationId,
    pub disk: Disk,
    pub core: Option<Core>,
    /// Counts the starts, so that timers and answers of a former process go nowhere.
    pub life: u32,
    pub founded: bool,
    pub boot_ms: u64,
    /// Wall clock minus true time, in milliseconds.
    pub skew_ms: i64,
    pub artifacts: BTreeMap<Blake3, Vec<u8>>,
    pub gate: BTreeMap<PeerId, Vec<String>>,
    /// Whom the core was told to be connected, and in which of its lives.
    pub linked: BTreeSet<(usize, u32)>,
    /// Gossip messages that were seen already.
    pub seen: BTreeSet<Sha256>,
    pub judging: BTreeMap<u64, (usize, Vec<u8>)>,
    pub effects: VecDeque<(usize, Effect)>,
    pub tick_at_ms: u64,
    pub events: Vec<Event>,
    pub replies: BTreeMap<u64, Result<Reply, Problem>>,
    /// Fetches that it was told to do: whom it asked for what.
    pub fetches: Vec<(PeerId, Blake3)>,
    /// Fetches that have not ended.
    pub fetching: BTreeSet<u64>,
    /// Serves wrong bytes.
    pub liar: bool,
    /// How many manifests it will find damaged when it reads them.
    pub unreadable: u32,
    /// It belongs to a member that breaks the rules on purpose: nothing is expected of it.
    pub hostile: bool,
    /// It answers requests for entries with nothing.
    pub withholds: bool,
    /// It answers requests for entries with others.
    pub forges: bool,
    /// Its disk was put back, emptied or damaged once.
    pub restored: bool,
    /// It asked to join while the run went on.
    pub newcomer: bool,
    /// It runs beside the node whose key it has.
    pub twin: bool,
    /// It writes nothing, and mirrors beside the node that writes for its member.
    pub mirror: bool,
    /// It is not started any more.
    pub retired: bool,
    /// Its disk is full: whatever grows is turned away at the door.
    pub full: bool,
    /// Where it will crash.
    pub armed: Option<Armed>,
    /// Files that have rotted here, found or not, and have not come again.
    pub rotten: BTreeSet<Blake3>,
    /// What its steps did that they must not.
    pub slips: Vec<String>,
}

/// Where a crash is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// A batch was written, and was about to become durable.
    BeforeCommit,
    /// A batch is durable, and nothing that follows from it was done.
    AfterCommit,
}

impl Node {
    pub fn new(org: Org, federation: FederationId, writer: Vec<u8>, slot: usize) -> Self {
        let own = Own {
            member: org.member,
            handle: org.handle.parse().unwrap(),
            identities: vec![org.identity.bytes().to_vec()],
            writer,
            node: org.node.clone(),
            approvers: vec![org.approver.clone()],
            publishers: vec![org.publisher.clone()],
            addresses: vec![format!("host{slot}:4711")],
            software: "verbund/test".into(),
        };
        Self {
            org,
            own,
            settings: Settings::default(),
            federation,
            disk: Disk::default(),
            core: None,
            life: 0,
            founded: false,
            boot_ms: 0,
            skew_ms: 0,
            artifacts: BTreeMap::new(),
            gate: BTreeMap::new(),
            linked: BTreeSet::new(),
            seen: BTreeSet::new(),
            judging: BTreeMap::new(),
            effects: VecDeque::new(),
            tick_at_ms: u64::MAX,
            events: Vec::new(),
            replies: BTreeMap::new(),
            fetches: Vec::new(),
            fetching: BTreeSet::new(),
            liar: false,
            unreadable: 0,
            hostile: false,
            withholds: false,
            forges: false,
            restored: false,
            newcomer: false,
            twin: false,
            mirror: false,
            retired: false,
            full: false,
            armed: None,
            rotten: BTreeSet::new(),
            slips: Vec::new(),
        }
    }

    pub fn peer(&self) -> PeerId {
        self.own.node.peer()
    }

    pub fn up(&self) -> bool {
        self.core.is_some()
    }

    pub fn now(&self, now_ms: u64) -> Now {
        let wall_ms = (EPOCH_S * 1_000 + now_ms).saturating_add_signed(self.skew_ms);
        Now { wall_ms, mono_ms: now_ms - self.boot_ms }
    }

    pub fn start(&mut self, now_ms: u64) {
        self.boot_ms = now_ms;
        self.life += 1;
        let now = self.now(now_ms);
        let founded = std::mem::take(&mut self.founded);
        let core =
            Core::new(self.own.clone(), self.settings.clone(), self.federation, founded, now, &self.disk).unwrap();
        self.core = Some(core);
    }

    /// The process dies: what was not durable is gone, but for the first `survive` frames.
    pub fn crash(&mut self, survive: usize) {
        self.core = None;
        self.life += 1;
        self.effects.clear();
        self.gate.clear();
        self.linked.clear();
        self.seen.clear();
        self.judging.clear();
        self.fetching.clear();
        self.tick_at_ms = u64::MAX;
        self.armed = None;
        self.disk.crash(survive);
    }

    /// What a full disk turns away at the door: other members' entries. They are asked for again at the next poll.
    pub fn let_in(&self, input: Input) -> Input {
        let Input::Answer { tag, result: Ok(bytes) } = &input else { return input };
        let me = self.peer();
        let grows = |response: Response| matches!(response, Response::Entries(entries) if entries.log != me);
        if self.full && wire::decode(self.federation, bytes, FRAME_MAX_BYTES).is_ok_and(grows) {
            return Input::Answer { tag: *tag, result: Err("the disk is nearly full".to_owned()) };
        }
        input
    }

    /// One input, and the steps that follow from what it recorded.
    pub fn step(&mut self, now_ms: u64, input: Input, trace: &mut Trace) {
        let now = self.now(now_ms);
        let Some(core) = &mut self.core else { return };
        if let Input::Fetched { tag, .. } = &input {
            self.fetching.remove(tag);
        }
        let mut input = input;
        for turn in 0.. {
            assert!(turn < SETTLE_MAX, "{} never settles", self.org.handle);
            let before: u64 = core.counts().values().sum();
            let step = core.step(now, input, &self.disk).unwrap();
            trace.output(&step.effects);
            self.slips.extend(refusals::step(before, core.counts().values().sum(), &step.effects));
            let more = !step.batch.is_empty();
            if more {
                self.disk.append(step.batch);
                trace.batch(&self.disk.journal[self.disk.journal.len() - 1]);
            }
            let needs = self.disk.journal.len();
            let (questions, effects) = step.effects.into_iter().partition::<Vec<_>, _>(Effect::is_question);
            for question in questions.into_iter().rev() {
                self.effects.push_front((0, question));
            }
            self.effects.extend(effects.into_iter().map(|effect| (needs, effect)));
            if !more {
                break;
            }
            input = Input::Applied;
        }
    }
}
