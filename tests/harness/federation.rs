//! A federation of nodes: founding, joining, and waiting until all know the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::path::Path;

use serde_json::Value;

use super::{Node, World, until};

/// The members that tests use, in the order in which they join.
pub const STATES: [(&str, &str); 6] = [
    ("de-he", "Hessen"),
    ("de-rp", "Rheinland-Pfalz"),
    ("de-sl", "Saarland"),
    ("de-th", "Thüringen"),
    ("de-by", "Bayern"),
    ("de-ni", "Niedersachsen"),
];

/// Nodes of one federation, by handle.
#[derive(Debug)]
pub struct Federation {
    /// Where everything lies. Dropped last.
    pub nodes: Vec<Node>,
    /// Short name.
    pub slug: String,
    /// Where folders for publishing may be made.
    pub world: World,
}

impl Index<&str> for Federation {
    type Output = Node;
    fn index(&self, handle: &str) -> &Node {
        self.nodes.iter().find(|node| node.handle == handle).unwrap_or_else(|| panic!("no {handle}"))
    }
}

impl IndexMut<&str> for Federation {
    fn index_mut(&mut self, handle: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.handle == handle).unwrap_or_else(|| panic!("no {handle}"))
    }
}

impl Federation {
    /// Founds "OZG-Verbund Mitte" with the first `n` of [`STATES`]; returns when all are connected with all.
    #[track_caller]
    pub fn found(n: usize) -> Self {
        Self::found_with(n, |_| {})
    }

    /// The same; `prepare` may change settings of each node before its first start.
    #[track_caller]
    pub fn found_with(n: usize, mut prepare: impl FnMut(&mut Node)) -> Self {
        let world = World::new();
        let mut nodes = Vec::new();
        for (handle, name) in STATES.iter().take(n) {
            let mut node = world.init(handle, name);
            prepare(&mut node);
            node.start();
            nodes.push(node);
        }
        let mut joining = nodes.into_iter();
        let founder = joining.next().expect("at least one member");
        founder.command(["federation", "create", "OZG-Verbund Mitte", "--slug", "mitte"]).ok();
        let mut federation = Self { world, slug: "mitte".to_owned(), nodes: vec![founder] };
        for node in joining {
            federation.join(node);
        }
        federation
    }

    /// Lets a node join by a ticket of the first member, approved by as many as decide.
    #[track_caller]
    pub fn join(&mut self, node: Node) {
        let ticket = self.invite(&node.handle);
        node.command(["peer", "add", ticket.as_str()]).ok();
        self.admit(&node.handle);
        self.nodes.push(node);
        self.connected();
    }

    /// A ticket by the first member.
    #[track_caller]
    pub fn invite(&self, handle: &str) -> String {
        let text = self.nodes[0].cli(&format!("--federation {} invite --for {handle}", self.slug)).ok();
        text.trim().to_owned()
    }

    /// Approves the admission of `handle` on as many members as decide, and waits until it is decided there.
    #[track_caller]
    pub fn admit(&self, handle: &str) {
        let before = self.nodes[0].federation(&self.slug);
        let version = before["charter_version"].as_u64().expect("a version");
        let k = usize::try_from(before["k"].as_u64().expect("k")).expect("a small number");
        for node in self.nodes.iter().take(k) {
            self.requested(node, handle);
            node.cli(&format!("--federation {} member admit {handle}", self.slug)).ok();
        }
        for node in &self.nodes {
            until(&format!("{} knows that {handle} is admitted", node.handle), || {
                let now = node.federation(&self.slug)["charter_version"].clone();
                if now.as_u64() > Some(version) { Ok(()) } else { Err(format!("charter version {now}")) }
            });
        }
    }

    /// Waits until `node` shows the request of `handle`.
    #[track_caller]
    pub fn requested(&self, node: &Node, handle: &str) -> Value {
        until(&format!("{} sees the request of {handle}", node.handle), || {
            let open = node.get(&format!("/v1/members/requests?federation={}", self.slug));
            let found = open["requests"].as_array().into_iter().flatten().find(|r| r["handle"] == handle);
            found.cloned().ok_or_else(|| format!("it shows {open}"))
        })
    }

    /// Waits until every running node is connected with every other member that runs, and signs.
    #[track_caller]
    pub fn connected(&mut self) {
        let running: Vec<String> =
            self.nodes.iter_mut().filter_map(|node| node.runs().then(|| node.handle.clone())).collect();
        for node in self.nodes.iter().filter(|node| running.contains(&node.handle)) {
            until(&format!("{} is connected with all and signs", node.handle), || {
                let now = node.federation(&self.slug);
                let members = now["members"].as_array().cloned().unwrap_or_default();
                let state = |handle: &String| {
                    members.iter().find(|m| m["handle"] == **handle).map(|m| m["connection"]["state"].clone())
                };
                let missing: Vec<String> = running
                    .iter()
                    .filter(|other| **other != node.handle && state(other) != Some("connected".into()))
                    .map(|other| format!("{other}: {:?}", members.iter().find(|m| m["handle"] == **other)))
                    .collect();
                match (missing.is_empty(), now["may_sign"] == true) {
                    (true, true) => Ok(()),
                    (false, _) => Err(format!("not connected: {missing:?}")),
                    (true, false) => Err(format!("it does not sign: {}", now["recovering"])),
                }
            });
        }
    }

    /// Waits until the nodes named hold `releases` releases, complete and verified.
    #[track_caller]
    pub fn hold(&self, handles: &[&str], releases: u64) {
        for handle in handles {
            let node = &self[handle];
            until(&format!("{handle} holds {releases} releases"), || {
                let now = node.federation(&self.slug);
                if (now["held"].as_u64(), now["known"].as_u64()) == (Some(releases), Some(releases)) {
                    return Ok(());
                }
                Err(format!("it holds {} of {}; on their way: {}", now["held"], now["known"], now["pending"]))
            });
        }
    }

    /// Waits until all nodes have the same versions of `process`, complete, with all of `acknowledged`; no log may be closed.
    #[track_caller]
    pub fn settled(&self, process: &str, acknowledged: &BTreeSet<String>, context: &str) {
        until(&format!("{context}: all have all of {process}"), || {
            let mut all = Vec::new();
            for node in &self.nodes {
                let (held, known) = node.versions(process)?;
                if let Some(lost) = acknowledged.iter().find(|version| !held.contains(*version)) {
                    let state = node.federation(&self.slug);
                    return Err(format!("{} lacks {lost} (known: {}): {state}", node.handle, known.contains(lost)));
                }
                all.push((held, known));
            }
            let same = all.windows(2).all(|pair| pair[0] == pair[1]) && all.iter().all(|(held, known)| held == known);
            if same { Ok(()) } else { Err(format!("{all:?}")) }
        });
        for node in &self.nodes {
            let now = node.federation(&self.slug);
            for member in now["members"].as_array().expect("members") {
                assert_eq!(member["log"], "open", "{context}: {} of {now}", node.handle);
            }
        }
    }

    /// Has every node read all its artifacts; returns the bytes that were verified, and damaged files by node.
    #[track_caller]
    pub fn scrubbed(&self) -> (u64, BTreeMap<String, u64>) {
        let (mut bytes, mut damaged) = (0, BTreeMap::new());
        for node in &self.nodes {
            let said = node.cli("--json store scrub");
            // 6: it found some.
            assert!(matches!(said.code, 0 | 6), "{said}");
            let done: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
            assert_eq!(done["finished"], true, "{}: {done}", node.handle);
            bytes += done["bytes"].as_u64().expect("a number");
            damaged.insert(node.handle.clone(), done["damaged"].as_u64().expect("a number"));
        }
        (bytes, damaged)
    }

    /// Handles of all nodes.
    pub fn handles(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.handle.as_str()).collect()
    }

    /// Publishes `folder` on `handle`.
    #[track_caller]
    pub fn publish(&self, handle: &str, folder: &Path) -> Value {
        self[handle].publish_in(Some(&self.slug), folder)
    }

    /// What is trusted: `FEDERATION@CHARTER_HASH` as `federation show` prints it.
    #[track_caller]
    pub fn trust(&self, handle: &str) -> String {
        let view = self[handle].json(&format!("--federation {} federation show", self.slug));
        format!("{}@{}", view["id"].as_str().expect("an id"), view["charter"].as_str().expect("a hash"))
    }
}
