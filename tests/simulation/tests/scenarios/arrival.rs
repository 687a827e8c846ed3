//! The catalogue does not depend on what arrived when.

use verbund_protocol::core::{Command, View as _};
use verbund_protocol::ids::PeerId;
use verbund_protocol::record::{Batch, Record};
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, EntryRow, key};
use verbund_simulation::disk::Disk;
use verbund_simulation::ops::catalogue;
use verbund_simulation::org::Wish;
use verbund_simulation::rng::Rng;
use verbund_simulation::world::World;

/// What a node received, record by record: charters, and each log's entries in pieces of one or two.
fn received(w: &World, node: usize) -> (Vec<Record>, Vec<(PeerId, Vec<Record>)>) {
    let disk = &w.nodes[node].disk;
    let charters = verbund_protocol::view::charters::bundles(disk, 1, usize::MAX)
        .unwrap()
        .into_iter()
        .map(Record::Charter)
        .collect();
    let mut logs = Vec::new();
    for (log, row) in state::logs(disk).unwrap() {
        let mut records = Vec::new();
        for index in 0..row.size() {
            let entry: EntryRow = state::get(disk, Table::Entries, &key::numbered(row.number, index)).unwrap().unwrap();
            records.push(Record::entries(log, index, vec![disk.leaf(entry.at).unwrap()]));
        }
        logs.push((log, records));
    }
    (charters, logs)
}

#[test]
fn the_catalogue_is_the_same_for_every_order_of_arrival() {
    let mut w = World::of(80, 4);
    for node in 0..4 {
        let made = w.publish(node, &Wish { slug: "hund", version: "1.0.0", ..Wish::default() }).unwrap();
        let withdrawal = w.nodes[node].org.withdrawal(w.federation, "hund", made.id);
        w.command(node, Command::Append(withdrawal)).unwrap();
    }
    w.join("de-bw");
    for node in 0..3 {
        w.expect(30_000, "listed", |w| !w.requests(node).is_empty());
        w.command(node, Command::Expel { handle: "de-th".parse().unwrap() }).unwrap();
    }
    w.expect(60_000, "expelled", |w| w.charter(0).members.len() == 3);
    w.run(60_000);
    let expected = catalogue(&w.nodes[0].disk);
    let (charters, logs) = received(&w, 0);
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut queues: Vec<std::collections::VecDeque<Record>> =
            logs.iter().map(|(_, records)| records.iter().cloned().collect()).collect();
        queues.push(charters.iter().cloned().collect());
        let mut disk = Disk::default();
        // The first charter is what a node starts from.
        disk.append(Batch { records: queues.last_mut().unwrap().pop_front().into_iter().collect() });
        while queues.iter().any(|q| !q.is_empty()) {
            let queue = rng.index(queues.len());
            let take = rng.between(1, 3) as usize;
            let records: Vec<Record> = (0..take).filter_map(|_| queues[queue].pop_front()).collect();
            if !records.is_empty() {
                disk.append(Batch { records });
            }
        }
        assert_eq!(catalogue(&disk), expected, "seed {seed}");
    }
}
