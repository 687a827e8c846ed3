//! A real process is killed while it appends: what it reported as durable is there, and of each frame all or nothing.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use verbund_protocol::view::rows::{Rows, Table};

use super::{
    super::{Options, Store, ViewKind},
    INSTANCE, Op, append_all, dump, durable, toy,
};

const DIR: &str = "VERBUND_TEST_STORE_DIR";
const SAID: &str = "durable ";

fn options() -> Options {
    Options { segment_bytes: 20_000, floor_bytes: 0, ..Options::new(INSTANCE) }
}

/// One row in two tables, a counter, and a hash: never one without the others.
fn ops(n: u64) -> Vec<Op> {
    let key = n.to_be_bytes().to_vec();
    vec![
        Op::Set(5, key.clone(), vec![n as u8; 50]),
        Op::Set(6, key, vec![n as u8; 5]),
        Op::Count(b"frames".to_vec()),
        Op::Hash(0, n as u8),
        Op::Keep(b"newest".to_vec(), n.to_be_bytes().to_vec()),
    ]
}

fn count(store: &Store) -> u64 {
    let count = store.reader().get(Table::Meta, b"frames").unwrap();
    count.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()))
}

/// The process that gets killed. Does nothing when it is not asked to.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let (store, _) = Store::open(Path::new(&dir), toy(), options()).unwrap();
    for n in count(&store).. {
        // Several at a time, so that the kill falls into groups.
        append_all(&store, &(0..5).map(|i| ops(n * 5 + i)).collect::<Vec<_>>());
        durable(&store, store.status().appended).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{SAID}{}", n).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn killed_processes_lose_nothing_they_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = 0;
    for rounds in [1, 7, 40, 3] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::tests::kill::child", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.contains(SAID))
            .take(rounds)
            .count() as u64;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said, rounds as u64, "the process ended by itself");
        let (store, report) = Store::open(dir.path(), toy(), options()).unwrap();
        assert_eq!(report.damages, 0);
        let frames = count(&store);
        assert!(frames >= base + 5 * said, "{frames} frames, {base} + 5 × {said} were acknowledged");
        let rows = |table| store.reader().scan(table, b"", b"", usize::MAX).unwrap().len() as u64;
        assert_eq!(rows(Table::Hashes), frames);
        assert_eq!(rows(Table::Documents), rows(Table::Releases));
        // What is caught up from sled is what the journal alone gives.
        let caught = dump(&store.reader());
        store.close().unwrap();
        let memory = Options { view: ViewKind::Memory, ..options() };
        let (store, _) = Store::open(dir.path(), toy(), memory).unwrap();
        assert_eq!(dump(&store.reader()), caught);
        store.close().unwrap();
        base = frames;
    }
}
