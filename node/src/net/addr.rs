//! Addresses as people write them (`host:port`) and peer ids as the network library writes them.
//!
//! Owns the only conversions between the protocol's names and libp2p's. Never resolves a name and never opens a socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};
use verbund_protocol::ids::PeerId;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: expected host:port, 192.0.2.1:4101, [2001:db8::1]:4101 or a DNS name with a port")]
pub struct AddrError {
    /// What was given, cut to a printable length.
    text: String,
}

/// The host part of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A DNS name, lower case.
    Name(String),
}

/// `host:port`: IPv4, `[IPv6]` or a DNS name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostPort {
    /// Address or name.
    pub host: Host,
    /// TCP port; 0 is "any free one" when listening and refused when dialling.
    pub port: u16,
}

/// Longest DNS name, in bytes (RFC 1035 §2.3.4).
const NAME_MAX_BYTES: usize = 253;

impl HostPort {
    /// The socket address, if the host is a literal one.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// The multiaddr `/ip4|ip6|dns/HOST/tcp/PORT/p2p/PEER`, as other libp2p software writes it.
    pub fn to_multiaddr(&self, peer: &PeerId) -> Result<Multiaddr, AddrError> {
        let refused = || AddrError { text: peer.to_string() };
        let host = match &self.host {
            Host::Ip(IpAddr::V4(ip)) => Protocol::Ip4(*ip),
            Host::Ip(IpAddr::V6(ip)) => Protocol::Ip6(*ip),
            Host::Name(name) => Protocol::Dns(name.as_str().into()),
        };
        let peer = to_libp2p(peer).ok_or_else(refused)?;
        Ok(Multiaddr::empty().with(host).with(Protocol::Tcp(self.port)).with(Protocol::P2p(peer)))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self { host: Host::Ip(addr.ip()), port: addr.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for HostPort {
    type Err = AddrError;
    fn from_str(text: &str) -> Result<Self, AddrError> {
        let refused = || AddrError { text: text.chars().take(80).collect() };
        if let Ok(addr) = text.parse::<SocketAddr>() {
            // A scope belongs to this host's interfaces; it means nothing to another node.
            let scoped = matches!(addr, SocketAddr::V6(v6) if v6.scope_id() != 0);
            return if scoped { Err(refused()) } else { Ok(addr.into()) };
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(refused)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || !is_name(name) {
            return Err(refused());
        }
        Ok(Self { host: Host::Name(name.to_ascii_lowercase()), port: port.parse().map_err(|_| refused())? })
    }
}

/// Labels of letters, digits, hyphens and underscores. A last label of digits only would be a mistyped IPv4 address.
fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= NAME_MAX_BYTES
        && name.split('.').all(label)
        && !name.rsplit('.').next().unwrap_or_default().bytes().all(|b| b.is_ascii_digit())
}

impl From<HostPort> for String {
    fn from(addr: HostPort) -> Self {
        addr.to_string()
    }
}

impl TryFrom<String> for HostPort {
    type Error = AddrError;
    fn try_from(text: String) -> Result<Self, AddrError> {
        text.parse()
    }
}

/// libp2p's form of a peer id; `None` only if libp2p refuses the multihash.
pub(super) fn to_libp2p(peer: &PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(&peer.to_multihash()).ok()
}

/// The protocol's form of a peer id; `None` for keys that are not Ed25519.
pub(super) fn from_libp2p(peer: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_multihash(&peer.to_bytes()).ok()
}

/// The multiaddr of a socket address, without a peer id.
pub(super) fn multiaddr(addr: SocketAddr) -> Multiaddr {
    let host = match addr.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty().with(host).with(Protocol::Tcp(addr.port()))
}

/// The socket address at the start of a multiaddr.
pub(super) fn socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The network that an address belongs to, as far as quotas tell: IPv4 /24, IPv6 /56 (what one customer usually gets).
pub(super) fn network(addr: &Multiaddr) -> IpAddr {
    match socket(addr).map(|s| s.ip()) {
        Some(IpAddr::V4(ip)) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00)),
        Some(IpAddr::V6(ip)) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 72))),
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verbund_protocol::keys::SecretKey;

    #[test]
    fn text_forms_round_trip() {
        for text in
            ["192.0.2.1:4101", "[2001:db8::1]:4101", "knoten.hessen.example:4101", "localhost:0", "a_b.example.:1"]
        {
            let addr: HostPort = text.parse().unwrap();
            assert_eq!(addr.to_string(), text);
            assert_eq!(serde_json::from_str::<HostPort>(&serde_json::to_string(&addr).unwrap()).unwrap(), addr);
        }
        assert_eq!("Knoten.Example:1".parse::<HostPort>().unwrap().to_string(), "knoten.example:1");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:65536",
            "host:+1",
            "2001:db8::1:4101",
            "[fe80::1%1]:1",
            "a b:1",
            "-a:1",
            "a..b:1",
            "192.0.2.256:1",
            "10.1:1",
            "/ip4/1.2.3.4:1",
            "[::1]",
            "häuser:1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        assert!(format!("{}:1", "a".repeat(64)).parse::<HostPort>().is_err());
        assert!(format!("{}a:1", "a.".repeat(127)).parse::<HostPort>().is_err());
    }

    #[test]
    fn multiaddr_and_peer_id_are_libp2ps() {
        let peer = SecretKey::from_seed(&[7; 32]).peer();
        let known = to_libp2p(&peer).unwrap();
        assert_eq!(known.to_string(), peer.to_string());
        assert_eq!(from_libp2p(&known), Some(peer));
        let cases = [
            ("192.0.2.1:1", "/ip4/192.0.2.1/tcp/1"),
            ("[::1]:2", "/ip6/::1/tcp/2"),
            ("a.example:3", "/dns/a.example/tcp/3"),
        ];
        for (text, expected) in cases {
            let addr = text.parse::<HostPort>().unwrap().to_multiaddr(&peer).unwrap();
            assert_eq!(addr.to_string(), format!("{expected}/p2p/{peer}"));
        }
    }

    #[test]
    fn networks_group_addresses() {
        let of = |text: &str| network(&multiaddr(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1:1"), of("192.0.2.254:9"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.3.1:1"));
        assert_eq!(of("[2001:db8:0:1::1]:1"), of("[2001:db8:0:ff::2]:1"));
        assert_ne!(of("[2001:db8:0:1::1]:1"), of("[2001:db8:0:100::1]:1"));
    }
}
