//! A network of its own for each node: namespaces joined by a bridge in one more, so that cables can be pulled.
//!
//! Needs root and `ip` (iproute2). Touches nothing outside the namespaces that it made.

use std::process::Command;

/// Namespaces, one for each node, deleted with this value.
#[derive(Debug)]
pub struct Network {
    name: String,
    nodes: usize,
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split_whitespace()).output().is_ok_and(|done| done.status.success())
}

impl Network {
    /// Namespaces for `nodes` nodes, all connected; `None` where this user may not make any.
    pub fn new(nodes: usize) -> Option<Self> {
        let made = Self { name: format!("vb{}", std::process::id()), nodes };
        let hub = made.hub();
        let mut good = ip(&format!("netns add {hub}"))
            && ip(&format!("-n {hub} link add br0 type bridge"))
            && ip(&format!("-n {hub} link set br0 up"));
        for node in 0..nodes {
            let (inside, address) = (made.namespace(node), made.address(node));
            good = good
                && ip(&format!("netns add {inside}"))
                && ip(&format!("-n {inside} link set lo up"))
                && ip(&format!("-n {inside} link add cable type veth peer name port{node} netns {hub}"))
                && ip(&format!("-n {inside} address add {address}/24 dev cable"))
                && ip(&format!("-n {inside} link set cable up"))
                && ip(&format!("-n {hub} link set port{node} master br0"))
                && ip(&format!("-n {hub} link set port{node} up"));
        }
        good.then_some(made)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// The namespace of a node.
    pub fn namespace(&self, node: usize) -> String {
        format!("{}-{node}", self.name)
    }

    /// The address of a node, without a port.
    pub fn address(&self, node: usize) -> String {
        format!("10.77.0.{}", node + 1)
    }

    /// Pulls the cable of a node: nothing comes in or goes out, and nobody is told.
    pub fn isolate(&self, node: usize) {
        assert!(ip(&format!("-n {} link set port{node} nomaster", self.hub())), "a cable is pulled");
    }

    /// Plugs it in again.
    pub fn reconnect(&self, node: usize) {
        assert!(ip(&format!("-n {} link set port{node} master br0", self.hub())), "a cable is plugged in");
    }

    /// What `from` sends to `to` is lost without a word; the other way is open.
    pub fn mute(&self, from: usize, to: usize) {
        let (inside, address) = (self.namespace(from), self.address(to));
        let wrong = format!("-n {inside} neigh replace {address} lladdr 02:00:00:00:00:01 nud permanent dev cable");
        assert!(ip(&wrong), "a neighbour's address is set");
    }

    /// Undoes [`Self::mute`].
    pub fn unmute(&self, from: usize, to: usize) {
        let (inside, address) = (self.namespace(from), self.address(to));
        assert!(ip(&format!("-n {inside} neigh del {address} dev cable")), "a neighbour's address is forgotten");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            ip(&format!("netns del {}", self.namespace(node)));
        }
        ip(&format!("netns del {}", self.hub()));
    }
}
