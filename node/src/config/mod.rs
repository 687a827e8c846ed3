//! The node's configuration.
//!
//! Owns the keys, their defaults and their bounds, and the order of layers: defaults, file, environment, flags. Every value is
//! checked when it is read; a mistake is named with file, line and what is expected. Never holds a secret and never changes
//! while the daemon runs. What the node chooses by itself, such as ports, is kept by [`ports`] and never written into the file.

mod check;
mod load;
pub mod ports;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use verbund_protocol::ids::{Handle, Slug};

pub use check::{Mistake, check_file, check_text};
pub use load::{ConfigError, Effective, Layers, load};
pub use text::{Endpoint, Filter, Interval, Size, TextError};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "node.toml";

/// Everything an operator can set. `config/node.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The member's handle.
    pub handle: Option<Handle>,
    /// The member's name.
    pub name: Option<String>,
    /// Where each federation's instance listens for peers.
    pub listen: Vec<Endpoint>,
    /// What peers are told instead of the listen addresses.
    pub announce: Vec<Endpoint>,
    /// HTTPS for IT systems.
    pub https: Https,
    /// The admin socket.
    pub admin: Admin,
    /// Deviating addresses, by the federation's slug.
    pub federation: BTreeMap<Slug, Federation>,
    /// Local bounds.
    pub limits: Limits,
    /// Catch-up.
    pub sync: Sync,
    /// The start rule's waits.
    pub start: Start,
    /// Gossip.
    pub gossip: Gossip,
    /// The daemon's log.
    pub log: Log,
    /// Journal and views.
    pub store: Store,
    /// Systems that are told of changes, by a name for each.
    pub webhook: BTreeMap<Slug, Webhook>,
}

/// `[https]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Https {
    /// Where it listens; empty: off.
    pub listen: Vec<Endpoint>,
    /// Certificate chain (PEM); absent: the one that `init` made.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// Whether catalogue and files can be read without a token.
    pub anonymous: bool,
}

/// `[admin]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Path of the socket; absent: `admin.sock` in the data directory.
    pub socket: Option<PathBuf>,
    /// Group that owns the socket; absent: the daemon's own.
    pub group: Option<String>,
    /// Groups that may read; empty: whoever may open the socket.
    pub read: Vec<String>,
    /// Groups that may operate.
    pub operate: Vec<String>,
    /// Groups that may publish.
    pub publish: Vec<String>,
    /// Groups that may approve.
    pub approve: Vec<String>,
}

/// `[federation.SLUG]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Federation {
    /// Instead of `listen`.
    pub listen: Option<Vec<Endpoint>>,
    /// Instead of `announce`.
    pub announce: Option<Vec<Endpoint>>,
}

/// `[webhook.NAME]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Where changes are delivered: https://…
    pub url: String,
    /// Only changes of this federation; absent: of all.
    pub federation: Option<Slug>,
    /// File with the secret that signs deliveries; relative paths start at the data directory.
    pub secret: PathBuf,
    /// Certificates that are trusted instead of the system's authorities (PEM).
    pub cacert: Option<PathBuf>,
    /// Whether it may lie in a private network, and be plain http.
    pub allow_private: bool,
    /// Pause before a delivery is tried again; it doubles each time, up to an hour.
    pub retry: Interval,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest artifact that is taken in.
    pub artifact_max: Size,
    /// Free space below which nothing is taken in.
    pub disk_floor: Size,
    /// Connections of peers and strangers per federation.
    pub connections: u32,
    /// Artifacts fetched at one time, per federation.
    pub fetches: u32,
    /// HTTPS connections.
    pub https_connections: u32,
}

/// `[sync]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Time between two questions to a peer when nothing is known to be missing.
    pub poll_interval: Interval,
    /// Time after which an own fresh timestamp is due.
    pub freshness: Interval,
}

/// `[start]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// Time that one member is given for an answer before it is asked again.
    pub wait: Interval,
    /// Time after which the answers of n−k+1 others are enough.
    pub quorum_wait: Interval,
    /// Time that the only member of a federation waits for a contradiction.
    pub alone_wait: Interval,
}

/// `[gossip]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gossip {
    /// Whether to gossip; without it everything arrives by catch-up, later.
    pub enabled: bool,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged.
    pub level: Filter,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Size at which the journal starts a new segment.
    pub segment_size: Size,
    /// Memory for cached rows of views.
    pub cache: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handle: None,
            name: None,
            listen: vec![Endpoint::new("0.0.0.0", 0), Endpoint::new("::", 0)],
            announce: Vec::new(),
            https: Https::default(),
            admin: Admin::default(),
            federation: BTreeMap::new(),
            limits: Limits::default(),
            sync: Sync::default(),
            start: Start::default(),
            gossip: Gossip::default(),
            log: Log::default(),
            store: Store::default(),
            webhook: BTreeMap::new(),
        }
    }
}
impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: String::new(),
            federation: None,
            secret: PathBuf::new(),
            cacert: None,
            allow_private: false,
            retry: Interval::from_secs(5),
        }
    }
}
impl Default for Https {
    fn default() -> Self {
        Self { listen: vec![Endpoint::new("127.0.0.1", 0)], certificate: None, key: None, anonymous: false }
    }
}
impl Default for Limits {
    fn default() -> Self {
        Self {
            artifact_max: Size(verbund_protocol::limits::ARTIFACT_MAX_BYTES),
            disk_floor: Size(1 << 30),
            connections: 256,
            fetches: 8,
            https_connections: 512,
        }
    }
}
impl Default for Sync {
    fn default() -> Self {
        Self { poll_interval: Interval::from_secs(30), freshness: Interval::from_secs(300) }
    }
}
impl Default for Start {
    fn default() -> Self {
        Self { wait: Interval::from_secs(5), quorum_wait: Interval::from_secs(60), alone_wait: Interval::from_secs(10) }
    }
}
impl Default for Gossip {
    fn default() -> Self {
        Self { enabled: true }
    }
}
impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: Filter::info() }
    }
}
impl Default for Store {
    fn default() -> Self {
        Self { segment_size: Size(64 << 20), cache: Size(64 << 20) }
    }
}

impl Config {
    /// The path of the admin socket of a node with this data directory.
    pub fn socket(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.admin.socket.as_deref().unwrap_or_else(|| Path::new("admin.sock")))
    }
    /// Certificate and key of HTTPS, if configured; relative paths start at the data directory.
    pub fn certificate(&self, data_dir: &Path) -> Option<(PathBuf, PathBuf)> {
        let (certificate, key) = (self.https.certificate.as_ref()?, self.https.key.as_ref()?);
        Some((data_dir.join(certificate), data_dir.join(key)))
    }
    /// Listen addresses of a federation.
    pub fn listen_of(&self, slug: &str) -> &[Endpoint] {
        self.of(slug).and_then(|own| own.listen.as_deref()).unwrap_or(&self.listen)
    }
    /// Announced addresses of a federation; empty: the listen addresses.
    pub fn announce_of(&self, slug: &str) -> &[Endpoint] {
        self.of(slug).and_then(|own| own.announce.as_deref()).unwrap_or(&self.announce)
    }
    fn of(&self, slug: &str) -> Option<&Federation> {
        self.federation.get(&slug.parse::<Slug>().ok()?)
    }
}

#[cfg(test)]
mod tests;
