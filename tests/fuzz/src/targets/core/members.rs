//! What the other members say with their own keys: whatever they like.

use verbund_protocol::core::Input;
use verbund_protocol::documents::{
    Adoption, Advisory, Approval, Correction, Deprecation, Document as _, Leave, NodeInfo, Ordering, RELEASE_TYPE,
    Request, Transfer, VoteKind, Withdrawal, Writer,
};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::IDENTITY_TYPE;
use verbund_protocol::ids::Sha256;
use verbund_protocol::limits::LOG_SIZE_MAX;
use verbund_protocol::log::{Checkpoint, Origin, sign_checkpoint, sign_cosignature, tree};
use verbund_protocol::record::OrderingBundle;
use verbund_protocol::view::charters::Charters;
use verbund_protocol::wire::{self, Gossip, sync};

use super::Run;
use super::world::{EPOCH_S, Org};

/// Payload types that a leaf may claim.
pub const TYPES: [&str; 15] = [
    RELEASE_TYPE,
    IDENTITY_TYPE,
    Writer::TYPE,
    Request::TYPE,
    Approval::TYPE,
    NodeInfo::TYPE,
    Ordering::TYPE,
    Correction::TYPE,
    Withdrawal::TYPE,
    Deprecation::TYPE,
    Adoption::TYPE,
    Transfer::TYPE,
    Leave::TYPE,
    Advisory::TYPE,
    "application/vnd.verbund.charter.v1+json",
];

impl Run<'_> {
    /// Of the other two members.
    fn other(&mut self) -> &'static Org {
        &self.world.orgs[1 + usize::from(self.tape.byte() % 2)]
    }

    /// A leaf that a member may log: any bytes, any payload signed by any of its keys, or a real one with a changed payload.
    pub fn leaf(&mut self, org: &Org) -> Vec<u8> {
        let kind = self.tape.byte();
        let (payload_type, mut payload) = match kind % 4 {
            0 => return self.tape.bytes().to_vec(),
            1 => {
                let payload_type = *self.tape.pick(&TYPES).unwrap();
                (payload_type.to_owned(), self.tape.bytes().to_vec())
            }
            2 => return self.tape.pick(&self.world.leaves).unwrap().clone(),
            _ => {
                let real = Envelope::parse(self.tape.pick(&self.world.leaves).unwrap()).unwrap();
                (real.payload_type().to_owned(), real.payload().to_vec())
            }
        };
        if kind % 4 == 3 {
            let (place, over, new) =
                (usize::from(self.tape.number()), usize::from(self.tape.byte() % 32), self.tape.bytes());
            let place = place % payload.len().max(1);
            let end = (place + over).min(payload.len());
            payload.splice(place..end, new.iter().copied());
        }
        let keys = [&org.publisher, &org.approver, &org.root, &org.node];
        let key = keys[usize::from(self.tape.byte() % 4)];
        Envelope::sign(&payload_type, payload, [key]).map(Envelope::into_bytes).unwrap_or_default()
    }

    /// A member's log grows by any leaves, rightly signed; sometimes it forks.
    pub fn grown(&mut self, id: u64) -> Option<Input> {
        let org = self.other();
        let log = org.node.peer();
        let count = self.tape.byte();
        let leaves: Vec<_> = (0..1 + count % 3).map(|_| self.leaf(org)).collect();
        let before = self.logs.get(&log).cloned().unwrap_or_default();
        let mut frontier = before.clone();
        for leaf in &leaves {
            frontier.append(tree::leaf_hash(leaf)).ok()?;
        }
        let forks = count >= 0xf0;
        let root = if forks { Sha256::of(&[count]) } else { frontier.root() };
        let origin = Origin::new(self.world.federation, log);
        let checkpoint = Checkpoint::new(origin, frontier.size(), root).ok()?;
        let note = sign_checkpoint(&org.node, self.world.federation, &checkpoint).ok()?.to_text().into_bytes();
        if !forks && count < 0xe0 {
            self.logs.insert(log, frontier);
        }
        let body = Gossip::Log { log, note, first: before.size(), leaves };
        Some(Input::Gossip { id, from: log, bytes: wire::encode(self.world.federation, body).ok()? })
    }

    /// A member cosigns any size of any log under any root.
    pub fn cosigned(&mut self, id: u64) -> Option<Input> {
        let (org, log) = (self.other(), self.peer());
        let held = self.logs.get(&log).cloned().unwrap_or_default();
        let (size, root) = match self.tape.byte() % 3 {
            0 => (u64::from(self.tape.number()), Sha256::of(&[self.tape.byte()])),
            1 => (LOG_SIZE_MAX, held.root()),
            _ => (held.size(), held.root()),
        };
        let checkpoint = Checkpoint::new(Origin::new(self.world.federation, log), size, root).ok()?;
        let time_s = EPOCH_S + u64::from(self.tape.number());
        let cosignature = sign_cosignature(&org.node, time_s, &checkpoint).ok()?;
        let promise = sync::Promise { log, size, root, cosignature };
        let bytes = match self.tape.byte() % 2 {
            0 => wire::encode(self.world.federation, Gossip::Cosigned { log, size, root, cosignature }).ok()?,
            _ => {
                let notes = sync::Notes { log, newest: Vec::new(), witnessed: Vec::new(), promises: vec![promise] };
                let bytes = wire::encode(self.world.federation, sync::Response::Notes(notes)).ok()?;
                return Some(Input::Answer { tag: self.tag(), result: Ok(bytes) });
            }
        };
        Some(Input::Gossip { id, from: org.node.peer(), bytes })
    }

    /// A member votes for anything at the next height, or proposes it.
    pub fn vote(&mut self, id: u64) -> Option<Input> {
        let org = self.other();
        let newest = Charters::default().newest(&self.node.disk).ok()??;
        let (kind, far, value) = (self.tape.byte(), self.tape.byte(), self.tape.byte());
        let kind = [VoteKind::Proposal, VoteKind::Prevote, VoteKind::Precommit][usize::from(kind % 3)];
        let payload = (kind == VoteKind::Proposal).then(|| self.tape.bytes().to_vec());
        let named = payload.as_ref().map_or(Sha256([value; 32]), |payload| Sha256::of(payload));
        let round = u32::from(far % 40);
        let vote = Ordering {
            federation: Some(self.world.federation),
            prev: Some(newest.hash),
            height: newest.charter.version + 1,
            round,
            kind,
            value: (value > 64).then_some(named),
            pol_round: (payload.is_some() && far > 128).then(|| round.saturating_sub(1)),
            member: org.member,
            writer: org.node.peer(),
        };
        let message = vote.seal(&[&org.node]).ok()?.into_bytes();
        let bundle = OrderingBundle { message, payload, ..OrderingBundle::default() };
        let bytes = wire::encode(self.world.federation, Gossip::Ordering(vec![bundle])).ok()?;
        Some(Input::Gossip { id, from: org.node.peer(), bytes })
    }
}
