//! Who may connect, and how often: the table of connections and the rules over it.
//!
//! Owns the decision between member and stranger for every connection, and all limits of connections. Every connection of a
//! peer is of one kind; while any of the other kind is open the peer is refused, so that a second connection can never carry
//! more rights than the first. Never does IO and never reads a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::swarm::ConnectionId;

use super::limits;

/// What a connection may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything.
    Member,
    /// The join protocol only.
    Stranger,
}

/// Why a connection was refused. Travels through the library as the cause of its "denied" errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("the peer is blocked or paused here")]
    Blocked,
    #[error("connections from before a membership change are still closing")]
    OtherKind,
    #[error("strangers are not let in: the join protocol is switched off")]
    JoinOff,
    #[error("too many connections of this kind")]
    Full,
    /// Not a refusal: the dial was to prove the key at an address, and has.
    #[error("the address was checked")]
    Checked,
}

/// How many connections of each sort may be open; see [`limits`] for the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections that strangers opened.
    pub strangers_inbound: usize,
    /// Connections to strangers that this node opened.
    pub strangers_outbound: usize,
    /// Inbound connections that are still shaking hands; as many again for the networks of members.
    pub pending_inbound: usize,
    /// The same of one network (IPv4 /24, IPv6 /56).
    pub pending_inbound_per_network: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            strangers_inbound: limits::STRANGERS_INBOUND,
            strangers_outbound: limits::STRANGERS_OUTBOUND,
            pending_inbound: limits::PENDING_INBOUND,
            pending_inbound_per_network: limits::PENDING_INBOUND_PER_NETWORK,
        }
    }
}

/// The members, as the transport needs to know them: it chooses the stream limit of a connection right after the handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Arc<RwLock<BTreeSet<PeerId>>>);

impl Members {
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }
    fn set(&self, members: BTreeSet<PeerId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = members;
    }
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    peer: PeerId,
    kind: Kind,
    inbound: bool,
    network: IpAddr,
    since: Instant,
    closing: bool,
}

/// The table of connections.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ConnectionLimits,
    join_enabled: bool,
    members: Members,
    /// Blocked and paused peers.
    refused: BTreeSet<PeerId>,
    open: BTreeMap<ConnectionId, Connection>,
    /// Handshakes: their network, and whether it was a member's.
    pending: BTreeMap<ConnectionId, (IpAddr, bool)>,
    /// The network from which each member was last connected.
    seen: BTreeMap<PeerId, IpAddr>,
}

impl Admission {
    pub(super) fn new(limits: ConnectionLimits, join_enabled: bool, members: Members) -> Self {
        Self {
            limits,
            join_enabled,
            members,
            refused: BTreeSet::new(),
            open: BTreeMap::new(),
            pending: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The kind that a connection of `peer` would have now.
    pub(super) fn kind_of(&self, peer: &PeerId) -> Kind {
        if self.members.contains(peer) || verbund_protocol::seeded::bug("gate_open") {
            Kind::Member
        } else {
            Kind::Stranger
        }
    }

    /// The kind of an open connection.
    pub(super) fn kind(&self, id: ConnectionId) -> Option<Kind> {
        self.open.get(&id).map(|c| c.kind)
    }

    /// Any connection of `peer` of this kind that is not being closed, the newest first.
    pub(super) fn newest(&self, peer: &PeerId, kind: Kind) -> Option<ConnectionId> {
        self.open.iter().rev().find(|(_, c)| c.peer == *peer && c.kind == kind && !c.closing).map(|(id, _)| *id)
    }

    /// Open connections of strangers.
    pub(super) fn strangers(&self) -> usize {
        self.open.values().filter(|c| c.kind == Kind::Stranger).count()
    }

    /// Replaces the membership. Returns the connections that must close: of the wrong kind, or of refused peers.
    pub(super) fn set(&mut self, members: BTreeSet<PeerId>, refused: BTreeSet<PeerId>) -> Vec<(PeerId, ConnectionId)> {
        self.seen.retain(|peer, _| members.contains(peer));
        self.members.set(members);
        self.refused = refused;
        let mut wrong = Vec::new();
        for (id, c) in &mut self.open {
            let kind = if self.members.contains(&c.peer) { Kind::Member } else { Kind::Stranger };
            if c.kind != kind || self.refused.contains(&c.peer) {
                c.closing = true;
                wrong.push((c.peer, *id));
            }
        }
        wrong
    }

    /// Counts an inbound connection that starts its handshake. Networks of members have places of their own, so that a flood of
    /// half-open connections from elsewhere leaves them free.
    pub(super) fn start(&mut self, id: ConnectionId, network: IpAddr) -> Result<(), Denied> {
        let known = self.seen.values().any(|n| *n == network);
        let all = self.pending.values().filter(|(_, k)| *k == known).count();
        let same = self.pending.values().filter(|(n, _)| *n == network).count();
        if all >= self.limits.pending_inbound || same >= self.limits.pending_inbound_per_network {
            return Err(Denied::Full);
        }
        self.pending.insert(id, (network, known));
        Ok(())
    }

    /// Forgets a handshake or a connection; returns the kind if it was open.
    pub(super) fn end(&mut self, id: ConnectionId) -> Option<Kind> {
        self.pending.remove(&id);
        self.open.remove(&id).map(|c| c.kind)
    }

    /// Decides over a connection whose handshake proved `peer`. Returns its kind and the strangers' connections to close for it.
    pub(super) fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        inbound: bool,
        network: IpAddr,
        now: Instant,
    ) -> Result<(Kind, Option<(PeerId, ConnectionId)>), Denied> {
        self.pending.remove(&id);
        if self.refused.contains(&peer) {
            return Err(Denied::Blocked);
        }
        let kind = self.kind_of(&peer);
        let own = self.open.values().filter(|c| c.peer == peer);
        if own.clone().any(|c| c.kind != kind) {
            return Err(Denied::OtherKind);
        }
        let per_peer = if kind == Kind::Member { limits::PER_MEMBER } else { limits::PER_STRANGER };
        if own.count() >= per_peer {
            return Err(Denied::Full);
        }
        let evicted = if kind == Kind::Member { None } else { self.make_room(inbound)? };
        if kind == Kind::Member {
            self.seen.insert(peer, network);
        }
        self.open.insert(id, Connection { peer, kind, inbound, network, since: now, closing: false });
        Ok((kind, evicted))
    }

    /// Room for one more stranger. Inbound, the oldest of the network with the most connections gives way: whoever floods
    /// from one network evicts itself first.
    fn make_room(&mut self, inbound: bool) -> Result<Option<(PeerId, ConnectionId)>, Denied> {
        let strangers = || self.open.iter().filter(|(_, c)| c.kind == Kind::Stranger && c.inbound == inbound);
        if !inbound {
            return if strangers().count() < self.limits.strangers_outbound { Ok(None) } else { Err(Denied::Full) };
        }
        if !self.join_enabled {
            return Err(Denied::JoinOff);
        }
        let alive = strangers().filter(|(_, c)| !c.closing).count();
        if alive < self.limits.strangers_inbound {
            return Ok(None);
        }
        // Closing takes a moment; whoever is faster than that is refused.
        if strangers().count() >= self.limits.strangers_inbound.saturating_mul(2) {
            return Err(Denied::Full);
        }
        let mut networks: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, c) in strangers().filter(|(_, c)| !c.closing) {
            *networks.entry(c.network).or_default() += 1;
        }
        let crowded = networks.values().copied().max().unwrap_or(0);
        let victim = strangers()
            .filter(|(_, c)| !c.closing && networks.get(&c.network) == Some(&crowded))
            .min_by_key(|(id, c)| (c.since, **id))
            .map(|(id, c)| (c.peer, *id));
        let Some((peer, id)) = victim else { return Err(Denied::Full) };
        if let Some(c) = self.open.get_mut(&id) {
            c.closing = true;
        }
        Ok(Some((peer, id)))
    }

    /// Strangers' connections that are older than their age limit; they are marked as closing.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(PeerId, ConnectionId)> {
        let mut old = Vec::new();
        for (id, c) in &mut self.open {
            let age = now.saturating_duration_since(c.since);
            if c.kind == Kind::Stranger && !c.closing && age >= limits::STRANGER_AGE {
                c.closing = true;
                old.push((c.peer, *id));
            }
        }
        old
    }

    /// Marks a connection as closing, so that nothing new is sent over it.
    pub(super) fn mark_closing(&mut self, id: ConnectionId) {
        if let Some(c) = self.open.get_mut(&id) {
            c.closing = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }
    fn net(n: u8) -> IpAddr {
        IpAddr::from([192, 0, n, 0])
    }
    fn table(limits: ConnectionLimits) -> Admission {
        Admission::new(limits, true, Members::default())
    }
    fn small() -> ConnectionLimits {
        ConnectionLimits {
            strangers_inbound: 4,
            strangers_outbound: 1,
            pending_inbound: 4,
            pending_inbound_per_network: 2,
        }
    }

    #[test]
    fn all_connections_of_a_peer_are_of_one_kind() {
        let mut t = table(small());
        let (peer, now) = (PeerId::random(), Instant::now());
        assert_eq!(t.admit(id(1), peer, true, net(1), now), Ok((Kind::Stranger, None)));
        assert_eq!(t.set([peer].into(), BTreeSet::new()), vec![(peer, id(1))]);
        assert_eq!(t.admit(id(2), peer, true, net(1), now), Err(Denied::OtherKind));
        assert_eq!(t.newest(&peer, Kind::Member), None);
        assert_eq!(t.end(id(1)), Some(Kind::Stranger));
        assert_eq!(t.admit(id(3), peer, true, net(1), now), Ok((Kind::Member, None)));
        // Expelled: the other way round.
        assert_eq!(t.set(BTreeSet::new(), BTreeSet::new()), vec![(peer, id(3))]);
        assert_eq!(t.admit(id(4), peer, false, net(1), now), Err(Denied::OtherKind));
        assert_eq!(t.end(id(3)), Some(Kind::Member));
        assert_eq!(t.admit(id(5), peer, false, net(1), now), Ok((Kind::Stranger, None)));
    }

    #[test]
    fn blocked_peers_are_refused_even_as_members() {
        let mut t = table(small());
        let (peer, now) = (PeerId::random(), Instant::now());
        t.set([peer].into(), BTreeSet::new());
        assert!(t.admit(id(1), peer, true, net(1), now).is_ok());
        assert_eq!(t.set([peer].into(), [peer].into()), vec![(peer, id(1))]);
        t.end(id(1));
        assert_eq!(t.admit(id(2), peer, true, net(1), now), Err(Denied::Blocked));
    }

    #[test]
    fn a_flood_evicts_itself_and_never_members() {
        let mut t = table(small());
        let (member, now) = (PeerId::random(), Instant::now());
        t.set([member].into(), BTreeSet::new());
        t.admit(id(1), member, true, net(9), now).unwrap();
        let guest = PeerId::random();
        t.admit(id(2), guest, true, net(1), now).unwrap();
        let mut open = 0;
        for n in 10..200 {
            let later = now + std::time::Duration::from_millis(n as u64);
            let (kind, evicted) = t.admit(id(n), PeerId::random(), true, net(2), later).unwrap();
            assert_eq!(kind, Kind::Stranger);
            open += 1;
            if let Some((peer, victim)) = evicted {
                assert!(peer != member && peer != guest, "the flooding network gives way");
                assert_eq!(t.end(victim), Some(Kind::Stranger));
                open -= 1;
            }
            assert!(open < 4);
        }
        assert_eq!(t.newest(&member, Kind::Member), Some(id(1)));
        assert_eq!(t.newest(&guest, Kind::Stranger), Some(id(2)));
        assert!(t.admit(id(300), member, true, net(2), now).is_ok(), "members still get in");
    }

    #[test]
    fn closing_connections_bound_the_flood() {
        let mut t = table(small());
        let now = Instant::now();
        let admitted = (0..100).filter(|n| t.admit(id(*n), PeerId::random(), true, net(1), now).is_ok()).count();
        assert_eq!(admitted, 8, "at most twice the quota, even if nothing closes");
    }

    #[test]
    fn quotas_and_switches() {
        let now = Instant::now();
        let mut t = table(ConnectionLimits { strangers_inbound: 9, ..small() });
        let peer = PeerId::random();
        assert!(t.admit(id(1), peer, false, net(1), now).is_ok());
        assert_eq!(t.admit(id(2), PeerId::random(), false, net(1), now), Err(Denied::Full), "outbound strangers");
        for n in 1..limits::PER_STRANGER {
            assert!(t.admit(id(20 + n), peer, true, net(1), now).is_ok());
        }
        assert_eq!(t.admit(id(4), peer, true, net(1), now), Err(Denied::Full), "connections of one stranger");
        assert_eq!((t.start(id(5), net(1)), t.start(id(6), net(1))), (Ok(()), Ok(())));
        assert_eq!(t.start(id(7), net(1)), Err(Denied::Full), "handshakes of one network");
        assert_eq!((t.start(id(8), net(2)), t.start(id(9), net(2))), (Ok(()), Ok(())));
        assert_eq!(t.start(id(10), net(3)), Err(Denied::Full), "handshakes of all");
        t.end(id(5));
        assert_eq!(t.start(id(11), net(3)), Ok(()));
        let mut off = Admission::new(small(), false, Members::default());
        assert_eq!(off.admit(id(1), peer, true, net(1), now), Err(Denied::JoinOff));
        assert!(off.admit(id(2), peer, false, net(1), now).is_ok(), "own dials are not affected");
    }

    #[test]
    fn networks_of_members_have_handshakes_of_their_own() {
        let (mut t, now, member) = (table(small()), Instant::now(), PeerId::random());
        t.set([member].into(), BTreeSet::new());
        t.admit(id(1), member, true, net(9), now).unwrap();
        t.end(id(1));
        for n in 0..4 {
            t.start(id(10 + n), net(n as u8 / 2)).unwrap();
        }
        assert_eq!(t.start(id(20), net(5)), Err(Denied::Full));
        assert_eq!(t.start(id(21), net(9)), Ok(()), "the member comes back");
        t.set(BTreeSet::new(), BTreeSet::new());
        assert_eq!(t.start(id(22), net(9)), Err(Denied::Full), "no longer a member's");
    }

    #[test]
    fn strangers_grow_old_and_members_do_not() {
        let mut t = table(small());
        let (member, guest, now) = (PeerId::random(), PeerId::random(), Instant::now());
        t.set([member].into(), BTreeSet::new());
        t.admit(id(1), member, true, net(1), now).unwrap();
        t.admit(id(2), guest, true, net(1), now).unwrap();
        assert_eq!(t.expire(now), vec![]);
        let later = now + limits::STRANGER_AGE;
        assert_eq!(t.expire(later), vec![(guest, id(2))]);
        assert_eq!(t.expire(later), vec![], "once");
        assert_eq!(t.strangers(), 1);
    }
}
