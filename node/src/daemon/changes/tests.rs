//! The list survives what happens to its file, and stays within its bound.

use super::*;

fn release(n: u8) -> Sha256 {
    Sha256([n; 32])
}

fn numbers(part: &Part) -> Vec<u64> {
    part.changes.iter().map(|noted| noted.n).collect()
}

#[test]
fn numbers_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("changes/x.log");
    let list = ChangeList::open(&path, 100).unwrap();
    list.keep(vec![What::Charter(1), What::Available(release(1))], BTreeMap::new()).unwrap();
    let epoch = list.epoch();
    drop(list);
    let list = ChangeList::open(&path, 100).unwrap();
    assert_eq!(list.epoch(), epoch);
    list.keep(vec![What::Withdrawn(release(1))], BTreeMap::new()).unwrap();
    assert_eq!(numbers(&list.after(0, 10).unwrap()), [1, 2, 3]);
    assert_eq!(numbers(&list.after(2, 10).unwrap()), [3]);
    assert_eq!(numbers(&list.after(3, 10).unwrap()), [] as [u64; 0]);
    assert_eq!(list.after(4, 10), None, "a number that was never given out");
    let part = list.before(None, 2);
    assert_eq!((numbers(&part), part.more), (vec![3, 2], true));
    assert_eq!(numbers(&list.before(Some(2), 2)), [1]);
    let (_, told, charter) = list.progress();
    assert_eq!((told, charter), (BTreeSet::from([release(1)]), 1));
}

#[test]
fn a_torn_end_is_cut_and_damage_begins_another_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let list = ChangeList::open(&path, 100).unwrap();
    list.keep((0..50).map(What::Charter).collect(), BTreeMap::new()).unwrap();
    let epoch = list.epoch();
    drop(list);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let list = ChangeList::open(&path, 100).unwrap();
    assert_eq!((list.epoch(), list.before(None, 1).changes[0].n), (epoch, 49));
    list.keep(vec![What::Charter(77)], BTreeMap::new()).unwrap();
    drop(list);
    assert_eq!(ChangeList::open(&path, 100).unwrap().before(None, 1).changes[0].what, What::Charter(77));
    let mut damaged = whole.clone();
    damaged[whole.len() / 8] ^= 1;
    damaged.extend(whole.repeat(4));
    std::fs::write(&path, damaged).unwrap();
    let list = ChangeList::open(&path, 100).unwrap();
    assert_ne!(list.epoch(), epoch);
    assert_eq!(numbers(&list.after(0, 10).unwrap()), [] as [u64; 0]);
    assert!(path.with_extension("damaged").exists());
}

#[test]
fn the_oldest_are_forgotten_and_never_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let list = ChangeList::open(&path, 10).unwrap();
    for n in 1..=25 {
        list.keep(vec![What::Available(release(n))], BTreeMap::new()).unwrap();
    }
    drop(list);
    let list = ChangeList::open(&path, 10).unwrap();
    assert_eq!(list.after(1, 100), None, "what followed is gone");
    let part = list.after(0, 100).unwrap();
    assert!(part.changes.len() <= 20 && part.changes.last().unwrap().n == 25, "{part:?}");
    assert_eq!(list.progress().1.len(), 25);
}
