use verbund_protocol::codec;
use verbund_protocol::documents::Standing as Vote;
use verbund_protocol::ids::{PublicKey, Sha256};

use super::super::super::scrub::tests::{Catalogue, MEMBER, log};
use super::*;

fn peer(n: u8) -> PeerId {
    PeerId(PublicKey([n; 32]))
}

fn entry(n: u8, handle: &str) -> Member {
    Member {
        member: MemberId([n; 32]),
        handle: handle.parse().unwrap(),
        standing: Vote::Full,
        identity: Sha256([0; 32]),
        writer: Sha256([0; 32]),
    }
}

/// The catalogue as `me` sees it; de-he (member 7) owns all releases, de-rp is member 8.
fn seen(catalogue: &Catalogue, me: u8, theirs: Option<(u64, Vec<u64>)>, listed: usize) -> Stock {
    let holdings = theirs.map(|(below, missing)| Holdings { logs: vec![LogHoldings { log: log(), below, missing }] });
    let (he, rp) = (entry(7, "de-he"), entry(8, "de-rp"));
    let nodes = vec![Reader::new(&he, log(), holdings.as_ref()), Reader::new(&rp, peer(8), holdings.as_ref())];
    let handle = if me == 7 { he.handle.clone() } else { rp.handle.clone() };
    let me = Me { member: MemberId([me; 32]), handle, peer: peer(me), started: Moment::default() };
    let logs = state::logs(&catalogue.0).unwrap().into_iter().collect();
    stock(&catalogue.0, &logs, &me, nodes, listed).unwrap()
}

#[test]
fn held_known_and_behind() {
    assert_eq!(MEMBER, MemberId([7; 32]));
    let mut catalogue = Catalogue::new();
    for index in 3..6 {
        catalogue.release(index, &[]);
    }
    catalogue.put(Table::Local, key::missing(&log(), 4), Vec::new());
    let stock = seen(&catalogue, 8, Some((5, vec![3])), 10);
    assert_eq!((stock.known, stock.missing), (3, 1));
    assert_eq!(stock.listed.iter().map(|row| row.index).collect::<Vec<_>>(), [4]);
    // The owner says it has all below 5 but number 3.
    let lacks = &stock.lacks[&log()];
    assert_eq!((lacks.known, lacks.count), (3, 2));
    assert_eq!(lacks.listed.iter().map(|row| row.index).collect::<Vec<_>>(), [3, 5]);
    assert!(!stock.lacks.contains_key(&peer(8)), "the own node is no other");
}

#[test]
fn who_has_said_nothing_holds_nothing_and_lists_are_bounded() {
    let mut catalogue = Catalogue::new();
    for index in 3..9 {
        catalogue.release(index, &[]);
    }
    let stock = seen(&catalogue, 7, None, 2);
    let lacks = &stock.lacks[&peer(8)];
    assert_eq!((lacks.known, lacks.count, lacks.listed.len()), (6, 6, 2));
}

#[test]
fn what_one_is_not_meant_to_have_is_not_missing() {
    let mut catalogue = Catalogue::new();
    let mut row = catalogue.release(3, &[]);
    row.audience = Audience::Members(vec!["de-sl".into()]);
    catalogue.put(Table::Releases, key::release(&MEMBER, &row.slug, &row.version), codec::encode(&row).unwrap());
    let erased = catalogue.release(4, &[]);
    catalogue.erase(&erased);
    catalogue.release(5, &[]);
    for index in 3..6 {
        catalogue.put(Table::Local, key::missing(&log(), index), Vec::new());
    }
    let mine = seen(&catalogue, 8, Some((9, Vec::new())), 10);
    assert_eq!((mine.known, mine.missing), (1, 1));
    let owner = seen(&catalogue, 7, Some((9, Vec::new())), 10);
    assert_eq!((owner.known, owner.missing), (2, 2), "the owner is always in the audience");
    assert_eq!(owner.lacks[&peer(8)].known, 1);
}
