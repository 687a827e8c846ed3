//! Documents of another federation, rightly signed by this member: what a member of two federations could carry over.

use verbund::net::Protocol;
use verbund_protocol::charter::certificate::CharterBundle;
use verbund_protocol::documents::{Approval, Change, Document as _};
use verbund_protocol::ids::FederationId;
use verbund_protocol::json;
use verbund_protocol::limits::FRAME_MAX_BYTES;
use verbund_protocol::log::{Checkpoint, Frontier, Origin, sign_checkpoint, tree};
use verbund_protocol::wire::{self, Gossip, Holdings, SignedHoldings, join};

use super::{Forged, Puppet, address_of, now_ms, peer_of, release};
use crate::Node;

impl Puppet {
    /// A release for `federation`, by the own publisher.
    pub fn forge_in(&self, federation: FederationId, id: &str) -> Forged {
        release::forge(&self.keys.publisher, self.member, federation, id, "x")
    }

    /// An approval for `federation`, by the own approver.
    pub fn approval_in(&self, federation: FederationId) -> Vec<u8> {
        let change = Change::Expel { member: self.member };
        let approval = Approval { federation, member: self.member, base_version: self.status().charter, change };
        approval.seal(&[&self.keys.approver]).expect("an approval").into_bytes()
    }

    /// A statement of holdings for `federation`, by the own node.
    pub fn holdings_in(&self, federation: FederationId) -> SignedHoldings {
        let none = Holdings { logs: Vec::new() };
        SignedHoldings::sign(&self.keys.node, federation, now_ms(), none).expect("a statement")
    }

    /// Growth of the own log under a checkpoint for `federation`.
    pub fn log_in(&self, federation: FederationId) -> Gossip {
        let leaf = self.forge_in(federation, "anderswo").leaf;
        let (first, mut frontier) = (self.size(), Frontier::new());
        let mut hashes: Vec<_> = self.lock().leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        hashes.push(tree::leaf_hash(&leaf));
        frontier.extend(&hashes).expect("a tree");
        let origin = Origin::new(federation, self.peer());
        let checkpoint = Checkpoint::new(origin, frontier.size(), frontier.root()).expect("a checkpoint");
        let signed = sign_checkpoint(&self.keys.node, federation, &checkpoint).expect("a signature");
        Gossip::Log { log: self.peer(), note: signed.to_text().into_bytes(), first, leaves: vec![leaf] }
    }

    /// The newest charter of the federation `slug` of `node`, which may be any, with its certificate.
    #[track_caller]
    pub fn charter_of(&self, node: &Node, slug: &str) -> CharterBundle {
        let federation: FederationId = node.federation(slug)["id"].as_str().expect("an id").parse().expect("an id");
        let (peer, address) = (peer_of(node), address_of(node, slug));
        let request = wire::encode(federation, join::Request::Charters { from: 1 }).expect("a request");
        let answer = self.runtime.block_on(async {
            self.net.dial_once(peer, vec![address]).await.expect("a connection");
            self.net.request(peer, Protocol::Join, request).await.expect("an answer")
        });
        match wire::decode(federation, &answer, FRAME_MAX_BYTES).expect("an answer") {
            join::Response::Charters(mut bundles) => bundles.pop().expect("a charter"),
            other => panic!("{other:?}"),
        }
    }
}

/// The same charter with another version number: its certificate cannot be right any more.
pub fn renumbered(bundle: &CharterBundle, version: u64) -> CharterBundle {
    let mut payload: serde_json::Value = serde_json::from_slice(&bundle.payload).expect("a charter");
    payload["version"] = version.into();
    CharterBundle { payload: json::canonical(&payload), ..bundle.clone() }
}
