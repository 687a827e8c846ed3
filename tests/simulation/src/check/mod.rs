//! What must hold in every run, whatever goes wrong. Slow and obvious on purpose: nothing here decides as the code does that it
//! looks at. Each file is one promise, or a few that belong together.

pub mod authority;
pub mod blame;
pub mod bounds;
pub mod chain;
pub mod charters;
pub mod holdings;
pub mod promises;
pub mod refusals;
pub mod same;
pub mod seal;

use std::collections::BTreeSet;

use verbund_protocol::core::Effect;
use verbund_protocol::ids::PeerId;
use verbund_protocol::wire::sync::Response;

use crate::world::World;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which promise is broken.
    pub check: &'static str,
    /// How.
    pub text: String,
}

/// All checkers, and what they found.
#[derive(Default)]
pub struct Checks {
    pub findings: Vec<Finding>,
    /// Logs whose owners break the rules: they may fork.
    pub suspects: BTreeSet<PeerId>,
    pub chain: chain::Chain,
    pub charters: charters::Charters,
    pub promises: promises::Promises,
    pub bounds: bounds::Bounds,
}

impl Checks {
    pub fn found(&mut self, check: &'static str, text: impl Into<String>) {
        if self.findings.len() < 8 {
            self.findings.push(Finding { check, text: text.into() });
        }
    }

    /// Something leaves a node: everything that it rests on is durable.
    pub fn emitted(&mut self, w: &World, node: usize, effect: &Effect) {
        if !w.nodes[node].hostile {
            chain::emitted(self, w, node, effect);
            promises::emitted(self, w, node, effect);
            bounds::emitted(self, w, node, effect);
            holdings::emitted(self, w, node, effect);
        }
    }

    /// A node answers a request for entries.
    pub fn served(&mut self, w: &World, node: usize, response: &Response) {
        if !w.nodes[node].hostile {
            chain::served(self, w, node, response);
        }
    }

    /// A node has crashed, and its disk is what the crash left.
    pub fn crashed(&mut self, w: &World, node: usize) {
        if !w.nodes[node].hostile && !w.nodes[node].restored {
            chain::crashed(self, w, node);
            promises::crashed(self, w, node);
        }
    }

    /// Looks at what all nodes hold now.
    pub fn observe(&mut self, w: &World) {
        for node in 0..w.nodes.len() {
            if w.nodes[node].hostile {
                continue;
            }
            for slip in &w.nodes[node].slips {
                self.found("I9 refusals are told", format!("{}: {slip}", w.name(node)));
            }
            // What is not durable may never have been.
            if w.nodes[node].disk.durable == w.nodes[node].disk.journal.len() {
                chain::observe(self, w, node);
                charters::observe(self, w, node);
                promises::observe(self, w, node);
            }
            bounds::observe(self, w, node);
            blame::observe(self, w, node);
        }
    }

    /// Looks once more when everything has healed; `members` are the honest ones.
    pub fn end(&mut self, w: &World, members: &[usize]) {
        self.observe(w);
        chain::end(self, w, members);
        same::end(self, w, members);
        authority::end(self, w, members);
        blame::end(self, w, members);
    }
}

impl World {
    /// What people call a node.
    pub fn name(&self, node: usize) -> String {
        format!("{} (node {node})", self.nodes[node].org.handle)
    }
}
