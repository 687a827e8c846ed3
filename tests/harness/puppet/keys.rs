//! The keys of a member, out of its data directory, or of nobody.

use verbund::keys::{KeyFiles, KeyRole};
use verbund_protocol::keys::SecretKey;

use crate::{Node, noise};

/// One key for each role.
#[derive(Clone)]
pub struct Keys {
    /// Signs identities and writers.
    pub root: SecretKey,
    /// Signs requests and approvals.
    pub approver: SecretKey,
    /// Signs releases.
    pub publisher: SecretKey,
    /// The node's own.
    pub node: SecretKey,
}

impl Keys {
    /// Those that lie beside a node.
    #[track_caller]
    pub fn of(node: &Node) -> Self {
        let files = KeyFiles::at(&node.dir, None);
        let load = |role: KeyRole| files.load(role).expect("a readable key").expect("a key beside the node");
        Self {
            root: load(KeyRole::Root),
            approver: load(KeyRole::Approver),
            publisher: load(KeyRole::Publisher),
            node: load(KeyRole::Node),
        }
    }
}

/// A key that nobody lists; the same for the same number.
pub fn nobodys(number: u64) -> SecretKey {
    let mut seed = [0; 32];
    seed.copy_from_slice(&noise(number, 32));
    SecretKey::from_seed(&seed)
}
