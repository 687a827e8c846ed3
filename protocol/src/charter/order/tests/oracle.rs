//! The second implementation: `arc-malachitebft-core-driver`, wrapped so that it takes our inputs and gives our outputs.
//!
//! Written only against its public interface. The wrapper does what an application of the driver does: it names proposers,
//! starts rounds, answers with values and validity, and feeds the node's own messages back.

use super::*;
use arc_malachitebft_core_driver::{Driver, Input as In, Output as Out, ThresholdParams};
use arc_malachitebft_core_types as types;
use std::collections::VecDeque;
use std::fmt;
use types::{NilOrVal, Round, SignedMessage, TimeoutKind as Kinds, Validity, VoteType};

macro_rules! shown {
    ($name:ty) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(MemberId);
shown!(Address);
impl types::Address for Address {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Height(u64);
shown!(Height);
impl types::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0 + n)
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Value(Sha256);
impl types::Value for Value {
    type Id = Sha256;
    fn id(&self) -> Sha256 {
        self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validator(Address);
impl types::Validator<Ctx> for Validator {
    fn address(&self) -> &Address {
        &self.0
    }
    fn public_key(&self) -> &() {
        &()
    }
    fn voting_power(&self) -> u64 {
        1
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators(Vec<Validator>);
impl types::ValidatorSet<Ctx> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> u64 {
        self.0.len() as u64
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.iter().find(|v| v.0 == *address)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proposed {
    round: Round,
    value: Value,
    pol_round: Round,
    address: Address,
}
impl types::Proposal<Ctx> for Proposed {
    fn height(&self) -> Height {
        Height(HEIGHT)
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &Value {
        &self.value
    }
    fn take_value(self) -> Value {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.pol_round
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part;
impl types::ProposalPart<Ctx> for Part {
    fn is_first(&self) -> bool {
        true
    }
    fn is_last(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vote {
    kind: VoteType,
    round: Round,
    value: NilOrVal<Sha256>,
    address: Address,
}
impl types::Vote<Ctx> for Vote {
    fn height(&self) -> Height {
        Height(HEIGHT)
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<Sha256> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<Sha256> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
    fn extension(&self) -> Option<&SignedMessage<Ctx, ()>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedMessage<Ctx, ()>> {
        None
    }
    fn extend(self, _: SignedMessage<Ctx, ()>) -> Self {
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsigned;
impl types::SigningScheme for Unsigned {
    type DecodingError = String;
    type Signature = ();
    type PublicKey = ();
    type PrivateKey = ();
    fn decode_signature(_: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn encode_signature((): &()) -> Vec<u8> {
        Vec::new()
    }
    fn decode_public_key(_: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ctx;
impl types::Context for Ctx {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposed;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = types::LinearTimeouts;
    type Value = Value;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Unsigned;

    fn select_proposer<'a>(&self, set: &'a Validators, height: Height, round: Round) -> &'a Validator {
        let turn = height.0 + u64::from(round.as_u32().unwrap_or(0));
        &set.0[(turn % set.0.len() as u64) as usize]
    }
    fn new_proposal(&self, _: Height, round: Round, value: Value, pol_round: Round, address: Address) -> Proposed {
        Proposed { round, value, pol_round, address }
    }
    fn new_prevote(&self, _: Height, round: Round, value: NilOrVal<Sha256>, address: Address) -> Vote {
        Vote { kind: VoteType::Prevote, round, value, address }
    }
    fn new_precommit(&self, _: Height, round: Round, value: NilOrVal<Sha256>, address: Address) -> Vote {
        Vote { kind: VoteType::Precommit, round, value, address }
    }
}

/// A member driven by the other implementation. Validity is a fixed rule here: values below 9 are valid.
pub(super) struct Oracle {
    driver: Driver<Ctx>,
    me: MemberId,
    set: Validators,
    eligible: Option<Sha256>,
    /// The driver asked for a value for this round.
    wanted: Option<Round>,
    started: bool,
    pub(super) decided: Option<Lock>,
}

/// The rule of validity in the differential runs.
pub(super) fn is_valid(value: Sha256) -> bool {
    value.0[0] < 9
}

impl Oracle {
    pub(super) fn new(n: usize, me: usize) -> Self {
        let set = Validators(members(n).into_iter().map(|m| Validator(Address(m))).collect());
        let address = Address(member(me));
        let driver = Driver::new(Ctx, Height(HEIGHT), set.clone(), address, ThresholdParams::default());
        Self { driver, me: member(me), set, eligible: None, wanted: None, started: false, decided: None }
    }

    pub(super) fn round(&self) -> u32 {
        self.driver.round().as_u32().unwrap_or(0)
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Output> {
        let mut todo = VecDeque::new();
        match input {
            Input::Eligible { value } => {
                self.eligible = value;
                if value.is_some() {
                    self.start(&mut todo);
                }
                self.answer(&mut todo);
            }
            Input::Received(message) => {
                self.start(&mut todo);
                todo.push_back(Self::lift(&message));
            }
            Input::Timeout { kind, round } => {
                let kind = match kind {
                    TimeoutKind::Propose => Kinds::Propose,
                    TimeoutKind::Prevote => Kinds::Prevote,
                    TimeoutKind::Precommit => Kinds::Precommit,
                };
                todo.push_back(In::TimeoutElapsed(types::Timeout::new(Round::new(round), kind)));
            }
            _ => {}
        }
        let mut out = Vec::new();
        while let Some(next) = todo.pop_front() {
            // Once decided, the driver refuses everything; so do we.
            if self.decided.is_some() {
                break;
            }
            for output in self.driver.process(next).unwrap() {
                self.effect(output, &mut todo, &mut out);
            }
        }
        out
    }

    fn start(&mut self, todo: &mut VecDeque<In<Ctx>>) {
        if !self.started {
            self.started = true;
            self.enter(Round::new(0), todo);
        }
    }

    fn enter(&mut self, round: Round, todo: &mut VecDeque<In<Ctx>>) {
        let proposer = types::Context::select_proposer(&Ctx, &self.set, Height(HEIGHT), round).0;
        self.wanted = None;
        todo.push_front(In::NewRound(Height(HEIGHT), round, proposer));
    }

    /// Gives the driver the value it asked for, if there is one by now.
    fn answer(&mut self, todo: &mut VecDeque<In<Ctx>>) {
        if let (Some(round), Some(value)) = (self.wanted, self.eligible) {
            self.wanted = None;
            todo.push_back(In::ProposeValue(round, Value(value)));
        }
    }

    fn lift(message: &Message) -> In<Ctx> {
        let (round, address) = (Round::new(message.round), Address(message.member));
        let kind = match message.kind {
            Kind::Proposal => {
                let value = message.value.unwrap();
                let proposed = Proposed { round, value: Value(value), pol_round: message.pol_round.into(), address };
                return In::Proposal(SignedMessage::new(proposed, ()), Validity::from_bool(is_valid(value)));
            }
            Kind::Prevote => VoteType::Prevote,
            Kind::Precommit => VoteType::Precommit,
        };
        let value = message.value.map_or(NilOrVal::Nil, NilOrVal::Val);
        In::Vote(SignedMessage::new(Vote { kind, round, value, address }, ()))
    }

    fn effect(&mut self, output: Out<Ctx>, todo: &mut VecDeque<In<Ctx>>, out: &mut Vec<Output>) {
        match output {
            Out::NewRound(_, round) => self.enter(round, todo),
            Out::Propose(p) => {
                let round = p.round.as_u32().unwrap();
                self.say(round, Kind::Proposal, Some(p.value.0), p.pol_round.as_u32(), todo, out);
            }
            Out::Vote(v) => {
                let kind = if v.kind == VoteType::Prevote { Kind::Prevote } else { Kind::Precommit };
                let value = if let NilOrVal::Val(value) = v.value { Some(value) } else { None };
                self.say(v.round.as_u32().unwrap(), kind, value, None, todo, out);
            }
            Out::GetValue(_, round, _) => {
                self.wanted = Some(round);
                self.answer(todo);
            }
            Out::ScheduleTimeout(timeout) => {
                let kind = match timeout.kind {
                    Kinds::Propose => TimeoutKind::Propose,
                    Kinds::Prevote => TimeoutKind::Prevote,
                    _ => TimeoutKind::Precommit,
                };
                let round = timeout.round.as_u32().unwrap();
                out.push(Output::Timer { kind, round, delay_ms: delay_ms(kind, round) });
            }
            Out::Decide(_, proposal) => {
                let (value, round) = (proposal.value.0, proposal.round.as_u32().unwrap());
                self.decided = Some(Lock { value, round });
                out.push(Output::Decide { value, round, precommits: Vec::new() });
            }
        }
    }

    fn say(
        &self,
        round: u32,
        kind: Kind,
        value: Option<Sha256>,
        pol_round: Option<u32>,
        todo: &mut VecDeque<In<Ctx>>,
        out: &mut Vec<Output>,
    ) {
        let message = Message { height: HEIGHT, round, kind, value, pol_round, member: self.me };
        todo.push_back(Self::lift(&message));
        out.push(Output::Send(message));
    }
}
