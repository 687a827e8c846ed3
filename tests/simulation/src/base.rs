//! Federations to begin with: founding one and admitting its members takes longer than most runs, so each size is made once and
//! every run starts from a copy of its disks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use verbund_protocol::core::Own;
use verbund_protocol::ids::FederationId;

use crate::disk::Disk;
use crate::node::Node;
use crate::org::Org;
use crate::world::World;

/// The seed of all beginnings: what is random about a run comes afterwards.
const SEED: u64 = 1;

struct Base {
    federation: FederationId,
    now_ms: u64,
    nodes: Vec<(Org, Own, Disk)>,
}

thread_local! {
    static MADE: RefCell<BTreeMap<usize, Rc<Base>>> = const { RefCell::new(BTreeMap::new()) };
}

fn base(members: usize) -> Rc<Base> {
    if let Some(made) = MADE.with_borrow(|made| made.get(&members).cloned()) {
        return made;
    }
    let mut w = World::of(SEED, members);
    w.run(20_000);
    let nodes = w.nodes.iter().map(|n| (n.org.clone(), n.own.clone(), n.disk.copied())).collect();
    let base = Rc::new(Base { federation: w.federation, now_ms: w.now_ms, nodes });
    MADE.with_borrow_mut(|made| made.insert(members, base.clone()));
    base
}

impl World {
    /// A federation of `members` that has run for a while, its nodes just started again; `seed` chooses what happens from here on.
    pub fn begun(seed: u64, members: usize) -> Self {
        let base = base(members);
        let mut w = Self::empty(seed, base.federation);
        w.now_ms = base.now_ms;
        for (slot, (org, own, disk)) in base.nodes.iter().enumerate() {
            let mut node = Node::new(org.clone(), base.federation, own.writer.clone(), slot);
            node.own = own.clone();
            node.disk = disk.copied();
            node.disk.durable = node.disk.journal.len();
            w.nodes.push(node);
        }
        for node in 0..members {
            w.start(node);
        }
        w
    }

    /// The other node of a member, which mirrors. It knows the genesis; whatever else there is, the members tell it.
    pub fn mirror(&mut self, of: usize) {
        let slot = self.nodes.len();
        let original = &self.nodes[of];
        let mut node = Node::new(original.org.clone(), self.federation, original.own.writer.clone(), slot);
        node.own.node = original.org.spare();
        node.mirror = true;
        node.disk = Disk::open(self.nodes[0].disk.journal[..1].to_vec());
        self.nodes.push(node);
        self.start(slot);
    }
}
