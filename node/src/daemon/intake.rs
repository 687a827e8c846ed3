//! The disk floor at the door of a federation's loop: below it nothing is taken in that grows with what others send or what is
//! published, so that the journal keeps room for promises, judgements and the audit.
//!
//! Owns the choice of what waits. Everything that is turned away comes again by itself: gossip by catching up, entries at the next
//! poll, a request to join and a publication when they are tried again. Must never hold back votes, charters or cosignatures.

use std::time::{Duration, Instant};

use verbund_protocol::core::{Command, Problem};
use verbund_protocol::ids::{FederationId, PeerId};
use verbund_protocol::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use verbund_protocol::wire::join::{Refused, Response as JoinResponse};
use verbund_protocol::wire::sync::Response;
use verbund_protocol::wire::{self, Gossip};

/// Between two looks at the file system. In this time a federation takes in a few MiB at most, which the floor has room for.
const LOOK: Duration = Duration::from_millis(250);

/// Says whether the disk has room for intake. Costs a system call.
pub type Look = Box<dyn Fn() -> bool + Send>;

/// The door.
pub struct Intake {
    federation: FederationId,
    me: PeerId,
    look: Look,
    looked: Option<Instant>,
    open: bool,
}

impl Intake {
    /// The door of the node `me` in `federation`.
    pub fn new(federation: FederationId, me: PeerId, look: Look) -> Self {
        Self { federation, me, look, looked: None, open: true }
    }

    /// Whether intake goes on.
    fn is_open(&mut self) -> bool {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.open = (self.look)();
            self.looked = Some(Instant::now());
        }
        self.open
    }

    /// Whether a gossip message may be taken in.
    pub fn gossip(&mut self, bytes: &[u8]) -> bool {
        self.is_open() || !matches!(wire::decode(self.federation, bytes, GOSSIP_MAX_BYTES), Ok(Gossip::Log { .. }))
    }

    /// Whether the answer to a sync request may be taken in. Own entries may: before they are back the node signs nothing.
    pub fn answer(&mut self, bytes: &[u8]) -> bool {
        let me = self.me;
        let grows = |response: Response| matches!(response, Response::Entries(entries) if entries.log != me);
        self.is_open() || !wire::decode(self.federation, bytes, FRAME_MAX_BYTES).is_ok_and(grows)
    }

    /// The answer to a request to join that may not be taken in now.
    pub fn join(&mut self) -> Option<Vec<u8>> {
        if self.is_open() {
            return None;
        }
        let refused = Refused::NotNow("its disk is nearly full".to_owned());
        wire::encode(self.federation, JoinResponse::Refused(refused)).ok()
    }

    /// Refuses a command that would grow the journal.
    ///
    /// # Errors
    /// A [`Problem`] for whoever gave it.
    pub fn command(&mut self, command: &Command) -> Result<(), Problem> {
        if !matches!(command, Command::Append(_)) || self.is_open() {
            return Ok(());
        }
        Err(Problem::new(
            "disk_full",
            "the disk is nearly full, so nothing more is taken in. Free or add space and try again; `verbund store df` shows what takes it",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use verbund_protocol::ids::PublicKey;
    use verbund_protocol::wire::sync::{Entries, Refusal};

    use super::*;

    const FEDERATION: FederationId = FederationId([9; 32]);
    const ME: PeerId = PeerId(PublicKey([1; 32]));
    const OTHER: PeerId = PeerId(PublicKey([2; 32]));

    fn entries(log: PeerId) -> Vec<u8> {
        let entries = Entries { log, first: 0, leaves: vec![vec![7; 100]], note: vec![1], proof: None };
        wire::encode(FEDERATION, Response::Entries(entries)).unwrap()
    }

    fn log(log: PeerId) -> Vec<u8> {
        wire::encode(FEDERATION, Gossip::Log { log, note: vec![1], first: 0, leaves: vec![vec![7; 100]] }).unwrap()
    }

    #[test]
    fn below_the_floor_only_what_grows_is_turned_away_and_above_it_nothing() {
        let room = Arc::new(AtomicBool::new(true));
        let seen = room.clone();
        let mut door = Intake::new(FEDERATION, ME, Box::new(move || seen.load(Ordering::SeqCst)));
        let document = wire::encode(FEDERATION, Gossip::Document(vec![3; 10])).unwrap();
        let refusal = wire::encode(FEDERATION, Response::Refused(Refusal::NotHere)).unwrap();
        for open in [true, false, true] {
            room.store(open, Ordering::SeqCst);
            door.looked = None;
            assert_eq!(door.gossip(&log(OTHER)), open);
            assert_eq!(door.answer(&entries(OTHER)), open);
            assert!(door.answer(&entries(ME)), "the own log is needed to sign");
            assert!(door.gossip(&document) && door.answer(&refusal), "what does not grow passes");
            assert!(door.gossip(b"garbage") && door.answer(b"garbage"), "the core refuses it, and counts");
            assert_eq!(door.join().is_none(), open);
            assert_eq!(
                door.command(&Command::Append(vec![1])).map_err(|p| p.code),
                if open { Ok(()) } else { Err("disk_full") }
            );
            assert!(door.command(&Command::SyncNow).is_ok());
        }
    }

    #[test]
    fn the_file_system_is_not_asked_for_every_message() {
        let mut door = Intake::new(FEDERATION, ME, Box::new(|| false));
        assert!(!door.gossip(&log(OTHER)));
        door.look = Box::new(|| panic!("asked again at once"));
        assert!(!door.gossip(&log(OTHER)));
    }
}
