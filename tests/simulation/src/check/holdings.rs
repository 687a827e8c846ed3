//! I2, I8: nobody announces what it has not got: of each release that a node says it holds, all files are there.

use verbund_protocol::core::Effect;
use verbund_protocol::limits::{FRAME_MAX_BYTES, GOSSIP_MAX_BYTES};
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::key;
use verbund_protocol::wire::sync::Response;
use verbund_protocol::wire::{self, Gossip, SignedHoldings};

use super::Checks;
use crate::disks;
use crate::world::World;

pub fn emitted(checks: &mut Checks, w: &World, node: usize, effect: &Effect) {
    let said: Vec<SignedHoldings> = match effect {
        Effect::Gossip(bytes) => match wire::decode(w.federation, bytes, GOSSIP_MAX_BYTES) {
            Ok(Gossip::Holdings(signed)) => vec![signed],
            _ => return,
        },
        Effect::Respond { bytes, .. } => match wire::decode(w.federation, bytes, FRAME_MAX_BYTES) {
            Ok(Response::Holdings(all)) => all,
            _ => return,
        },
        _ => return,
    };
    let n = &w.nodes[node];
    for signed in said.iter().filter(|signed| signed.peer == n.peer()) {
        for row in w.releases(node).into_iter().filter(|row| signed.holdings.has(&row.log, row.index)) {
            let Some(made) = w.made.iter().find(|made| made.id == row.id) else { continue };
            // What was found to be gone since is announced anew.
            let marked = n.disk.get(Table::Local, &key::missing(&row.log, row.index)).unwrap().is_some();
            let gone =
                made.artifacts.keys().filter(|hash| !disks::has(w, node, hash) && !n.rotten.contains(*hash)).count();
            if gone > 0 && !marked {
                let text = format!("{} announces {} {} and lacks {gone} files", w.name(node), row.slug, row.version);
                checks.found("I2 what is announced is there", text);
            }
        }
    }
}
