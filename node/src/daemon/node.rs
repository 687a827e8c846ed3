//! The node: all federations of one member in one process, with what they share.
//!
//! Owns starting and ending, and finding an instance by name. What each admin operation does stands in [`super::operations`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use verbund_protocol::core::Input;
use verbund_protocol::ids::{Blake3, FederationId, Sha256, Slug};
use verbund_protocol::record::Origin;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{self, key};
use verbund_protocol::wire::ticket::Ticket;

use super::changes::ChangeLists;
use super::clock::now;
use super::events::Events;
use super::founding::{Member, certificate_files};
use super::instance::{Begin, Instance, InstanceError, Shared};
use super::library::NodeLibrary;
use super::local::LocalStore;
use super::operations::Operations;
use super::operations::concerns::Register;
use super::scrub::Scrubber;
use super::shelf::Manifests;
use super::webhooks;
use crate::admin::api::{ConfigValue, Moment, Severity};
use crate::admin::{Code, Problem, roles, server};
use crate::blobs::{self, BlobEvent, BlobStore};
use crate::cli::host::Launch;
use crate::cli::{Exit, Failure};
use crate::config::ports::Ports;
use crate::config::{Config, Endpoint};
use crate::http::certs::LiveCertificate;
use crate::http::{HttpConfig, HttpLimits, Server as HttpServer, Tokens};
use crate::net::{HostPort, NetError};
use crate::store::StoreError;

/// Damage reports that wait to be told to the federations.
const BLOB_EVENTS: usize = 256;

/// Hashes of uploads that are remembered: a few releases of the largest kind.
const HASHED_MAX: usize = 65_536;

/// The node.
pub struct Node {
    /// Where everything lies.
    pub data_dir: PathBuf,
    /// What the instances share.
    pub shared: Shared,
    /// Effective configuration with origins.
    pub values: Vec<ConfigValue>,
    /// Access tokens.
    pub tokens: Arc<Tokens>,
    /// Node-wide journal.
    pub local: LocalStore,
    /// When it started.
    pub started: Moment,
    /// Where HTTPS is served.
    pub https: Mutex<Vec<String>>,
    /// The certificate that HTTPS shows; none if it is off.
    pub certificate: OnceLock<Arc<LiveCertificate>>,
    /// The running or last scrub.
    pub scrub: Scrubber,
    /// Since when something is wrong.
    pub register: Register,
    /// One change of what is noted about peers at a time: each reads before it writes.
    pub noting: tokio::sync::Mutex<()>,
    /// Where the admin socket lies.
    pub admin: PathBuf,
    /// Manifests that were read lately.
    pub manifests: Arc<Manifests>,
    /// What changed in each federation.
    pub changes: Arc<ChangeLists>,
    ports: Mutex<Ports>,
    /// SHA-256 of artifacts that were uploaded lately, so that they need not be read again.
    hashed: Mutex<BTreeMap<Blake3, Sha256>>,
    instances: RwLock<BTreeMap<FederationId, Arc<Instance>>>,
}

/// An instance with the name that it goes by here.
#[derive(Clone)]
pub struct Named {
    /// Short name.
    pub slug: String,
    /// Name for people.
    pub name: String,
    /// The instance.
    pub instance: Arc<Instance>,
}

fn failure(text: impl std::fmt::Display) -> Failure {
    Failure::failed(text.to_string())
}

/// What a disk lost that had taken it. The exit code is one of its own, so that no service manager starts the node over and over
/// on a broken disk.
fn disk_failure(text: String) -> Failure {
    Failure::new(Exit::Degraded, text).next("check the disk (smartctl, dmesg, free space), then start the node again")
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// A [`Failure`] if it cannot start or must not go on.
pub async fn run(launch: Launch) -> Result<(), Failure> {
    let Launch { data_dir, effective, stop, ready } = launch;
    let config = Arc::new(effective.config);
    let dir = data_dir.clone();
    let (member, local) = blocking(move || {
        let member = Member::load(&dir)?;
        let local = LocalStore::open(&dir, member.id).map_err(|error| match error {
            StoreError::Locked { holder, .. } => Failure::failed(format!(
                "a daemon runs on {} already: process {holder}",
                dir.display()
            ))
            .next(format!("`verbund --data-dir {} status` shows it; stop it before you start another", dir.display())),
            error if error.is_disk() => disk_failure(error.to_string()),
            error => failure(error),
        })?;
        Ok((Arc::new(member), local))
    })
    .await?;
    let (blobs, damage) = open_blobs(&data_dir, &config).await?;
    let (failed, mut failures) = mpsc::channel(4);
    let shared =
        Shared { member, blobs, events: Events::default(), config: config.clone(), stop: stop.clone(), failed };
    let node = Arc::new(Node {
        admin: config.socket(&data_dir),
        manifests: Arc::default(),
        changes: Arc::default(),
        ports: Mutex::new(Ports::load(&data_dir).map_err(failure)?),
        data_dir,
        shared,
        values: effective.values,
        tokens: Arc::new(Tokens::new(Arc::new(local.clone()))),
        local,
        started: Moment::now(),
        https: Mutex::default(),
        certificate: OnceLock::new(),
        scrub: Scrubber::default(),
        register: Register::default(),
        noting: tokio::sync::Mutex::default(),
        hashed: Mutex::default(),
        instances: RwLock::default(),
    });
    info!(
        version = env!("CARGO_PKG_VERSION"),
        member = %node.shared.member.identity.handle,
        peer = %node.shared.member.node.peer(),
        dir = %node.data_dir.display(),
        "starting"
    );
    let served = node.clone().serve(&config, damage, ready, &mut failures).await;
    stop.cancel();
    node.shutdown().await;
    served
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(failure(e)))
}

async fn open_blobs(
    data_dir: &std::path::Path,
    config: &Config,
) -> Result<(BlobStore, mpsc::Receiver<BlobEvent>), Failure> {
    let (sender, damage) = mpsc::channel(BLOB_EVENTS);
    let options = blobs::Options {
        max_artifact_bytes: config.limits.artifact_max.0,
        floor_bytes: config.limits.disk_floor.0,
        // A report that finds no room is made again by the next reader of the artifact.
        observer: Some(Arc::new(move |event| drop(sender.try_send(event)))),
        ..blobs::Options::default()
    };
    let dir = data_dir.join("artifacts");
    let opened = |error: blobs::StoreError| {
        if error.must_stop() { disk_failure(error.to_string()) } else { failure(error) }
    };
    let blobs = blocking(move || BlobStore::open(&dir, options).map_err(opened)).await?;
    Ok((blobs, damage))
}

impl Node {
    async fn serve(
        self: Arc<Self>,
        config: &Config,
        mut damage: mpsc::Receiver<BlobEvent>,
        ready: crate::cli::Ready,
        failures: &mut mpsc::Receiver<(FederationId, super::driver::DriverError)>,
    ) -> Result<(), Failure> {
        let stop = self.shared.stop.clone();
        let admin = self.bind_admin(config).await?;
        self.clone().open_all().await?;
        let http = self.clone().start_https(config).await?;
        self.start_webhooks(config);
        let serving = tokio::spawn(admin.serve(Arc::new(Operations(self.clone())), stop.clone()));
        let at = self.https.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
        ready.announce(&format!("admin {}, https {}", self.admin.display(), if at.is_empty() { "off" } else { &at }));
        let mut result = Ok(());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = damage.recv() => self.damaged(event).await,
                Some((federation, error)) = failures.recv() => {
                    let text = format!("federation {}: {error}", &federation.to_hex()[..8]);
                    result = Err(if error.is_disk() { disk_failure(text) } else { failure(text) });
                    break;
                }
                reason = self.local.failure() => {
                    error!(reason, "the node's own journal has failed");
                    let text = "the node's own journal (tokens, audit) has failed";
                    result = Err(disk_failure(format!("{text}: {reason}")));
                    break;
                }
                reason = self.shared.blobs.failure() => {
                    error!(reason, "an artifact could not be made durable");
                    let text = "an artifact could not be made durable, so the node does not go on";
                    result = Err(disk_failure(format!("{text}: {reason}")));
                    break;
                }
            }
        }
        stop.cancel();
        if let Some(http) = http {
            http.shutdown(Duration::from_secs(2)).await;
        }
        let _ = serving.await;
        result
    }

    async fn bind_admin(&self, config: &Config) -> Result<server::Server, Failure> {
        let own = rustix::process::geteuid().as_raw();
        let groups = [
            (roles::Role::Read, config.admin.read.as_slice()),
            (roles::Role::Operate, config.admin.operate.as_slice()),
            (roles::Role::Publish, config.admin.publish.as_slice()),
            (roles::Role::Approve, config.admin.approve.as_slice()),
        ];
        let policy = roles::Policy::new(own, groups).map_err(failure)?;
        let max = config.limits.artifact_max.0;
        let options = server::Options::new(self.admin.clone(), config.admin.group.clone(), policy, max);
        server::Server::bind(options).await.map_err(failure)
    }

    async fn start_https(self: Arc<Self>, config: &Config) -> Result<Option<HttpServer>, Failure> {
        if config.https.listen.is_empty() {
            return Ok(None);
        }
        let filled = self.ports.lock().unwrap_or_else(PoisonError::into_inner).fill("https", &config.https.listen);
        let mut listen = Vec::new();
        for endpoint in &filled {
            listen.extend(endpoint.resolve().await.map_err(|e| failure(format!("https.listen {endpoint}: {e}")))?);
        }
        let (certificate, key) =
            config.certificate(&self.data_dir).unwrap_or_else(|| certificate_files(&self.data_dir));
        let limits = HttpLimits { connections: config.limits.https_connections as usize, ..HttpLimits::default() };
        let http = HttpConfig { listen, certificate, key, anonymous_read: config.https.anonymous, limits };
        let library = Arc::new(NodeLibrary::new(self.clone()));
        let clock = Arc::new(|| now().wall_s());
        let server = HttpServer::start(http, library, self.tokens.clone(), clock).await.map_err(failure)?;
        let at: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        for (configured, chosen) in config.https.listen.iter().zip(server.addresses()) {
            self.keep_port("https", configured, chosen.port());
        }
        *self.https.lock().unwrap_or_else(PoisonError::into_inner) = at;
        let _ = self.certificate.set(server.live_certificate());
        Ok(Some(server))
    }

    fn start_webhooks(self: &Arc<Self>, config: &Config) {
        let courier = webhooks::Courier {
            library: Arc::new(NodeLibrary::new(self.clone())),
            events: self.shared.events.clone(),
            data_dir: self.data_dir.clone(),
            stop: self.shared.stop.clone(),
        };
        webhooks::start(&courier, config.webhook.iter());
    }

    fn keep_port(&self, purpose: &str, configured: &Endpoint, chosen: u16) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(e) = ports.keep(purpose, configured, chosen) {
            warn!(error = %e, "the chosen port could not be kept; another may be chosen at the next start");
        }
    }

    /// Opens all federations that lie in the data directory.
    async fn open_all(self: Arc<Self>) -> Result<(), Failure> {
        let folder = self.data_dir.join("federations");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::io(format!("cannot read {}", folder.display()), &e)),
        };
        for entry in entries.filter_map(Result::ok) {
            let Some(id) = entry.file_name().to_str().and_then(|name| FederationId::from_hex(name).ok()) else {
                continue;
            };
            let kept = self.ports.lock().unwrap_or_else(PoisonError::into_inner).name(&id.to_hex()).map(str::to_owned);
            let slug = kept.unwrap_or_default();
            match self.start(id, Begin::Open, &slug).await {
                Ok(_) => {}
                // Nobody was told that it exists, and nothing in it could ever go on: the command is given again.
                Err(InstanceError::Unbegun) => {
                    warn!(federation = %&id.to_hex()[..8], "a founding or joining was interrupted before it began; its empty folder is removed");
                    std::fs::remove_dir_all(entry.path())
                        .map_err(|e| Failure::io(format!("cannot remove {}", entry.path().display()), &e))?;
                }
                Err(error) => {
                    let name = if slug.is_empty() { id.to_string() } else { slug };
                    if matches!(&error, InstanceError::Store(error) if error.is_disk()) {
                        return Err(disk_failure(format!("federation {name}: {error}")));
                    }
                    let problem = problem(error);
                    return Err(failure(format!("federation {name}: {}", problem.detail)).next(problem.next_step));
                }
            }
        }
        Ok(())
    }

    /// Starts an instance and keeps it.
    ///
    /// # Errors
    /// [`InstanceError`]; nothing is left running then.
    pub async fn start(&self, id: FederationId, begin: Begin, slug: &str) -> Result<Arc<Instance>, InstanceError> {
        let config = self.shared.config.clone();
        let purpose = id.to_hex();
        let configured = config.listen_of(slug).to_vec();
        let filled = self.ports.lock().unwrap_or_else(PoisonError::into_inner).fill(&purpose, &configured);
        let mut listen = Vec::new();
        for endpoint in &filled {
            let resolved = endpoint.resolve().await;
            let resolved = resolved.map_err(|e| InstanceError::Record(format!("listen {endpoint}: {e}")))?;
            listen.extend(resolved.iter().filter_map(|a| a.to_string().parse::<HostPort>().ok()));
        }
        let announce = config.announce_of(slug).iter().map(ToString::to_string).collect();
        let (dir, shared) = (self.data_dir.clone(), self.shared.clone());
        let lists = self.changes.clone();
        let open = move || {
            let instance = Instance::start(&dir, id, begin, &shared, listen, announce)?;
            // Without its list a federation works all the same: changes are not told, and the log says why.
            if let Err(error) = lists.follow(&dir, &instance) {
                error!(%error, federation = %&id.to_hex()[..8], "the list of changes cannot be kept");
            }
            Ok::<_, InstanceError>(instance)
        };
        let instance = tokio::task::spawn_blocking(open).await.map_err(|_| InstanceError::Ended)??;
        self.keep_listening(&instance, &purpose, &configured).await;
        self.instances.write().await.insert(id, instance.clone());
        self.called(&instance).await;
        info!(federation = %&purpose[..8], "federation started");
        Ok(instance)
    }

    /// Keeps the name of a federation as its charter has it: under it its addresses are configured at the next start.
    async fn called(&self, instance: &Instance) {
        let Ok(Some(charter)) = instance.charter().await else { return };
        let (id, slug) = (instance.federation.to_hex(), charter.charter.rules.slug.as_str());
        if let Err(e) = self.ports.lock().unwrap_or_else(PoisonError::into_inner).call(&id, slug) {
            warn!(error = %e, "the name of a federation could not be kept");
        }
    }

    /// Waits until the instance listens, and keeps the ports that were chosen.
    async fn keep_listening(&self, instance: &Instance, purpose: &str, configured: &[Endpoint]) {
        let mut addresses = instance.addresses.clone();
        let wanted = configured.len();
        let wait = addresses.wait_for(|all| all.len() >= wanted);
        let listening = match tokio::time::timeout(Duration::from_secs(3), wait).await {
            Ok(Ok(all)) => all.clone(),
            _ => instance.addresses.borrow().clone(),
        };
        for endpoint in configured.iter().filter(|e| e.port() == 0) {
            let v6 = endpoint.ip().is_some_and(|ip| ip.is_ipv6());
            let of_family = |a: &&HostPort| a.socket().is_some_and(|s| s.is_ipv6() == v6);
            if let Some(socket) = listening.iter().find(of_family).and_then(HostPort::socket) {
                self.keep_port(purpose, endpoint, socket.port());
            }
        }
    }

    /// Ends an instance and forgets it; its folder stays.
    pub async fn end(&self, id: FederationId) {
        if let Some(instance) = self.instances.write().await.remove(&id) {
            instance.shutdown().await;
            self.changes.forget(&id);
        }
    }

    async fn shutdown(&self) {
        let instances: Vec<_> = std::mem::take(&mut *self.instances.write().await).into_values().collect();
        for instance in &instances {
            // One that was joined got its charter, and with it its name, only after it had started.
            let _ = tokio::time::timeout(Duration::from_millis(500), self.called(instance)).await;
        }
        futures::future::join_all(instances.iter().map(|instance| instance.shutdown())).await;
        self.local.close().await;
    }

    /// Tells every federation that an artifact is gone.
    async fn damaged(&self, event: BlobEvent) {
        let (hash, text) = match &event {
            BlobEvent::Quarantined { hash, offset, path, .. } => (
                *hash,
                format!(
                    "{hash} was damaged on disk at byte {offset}; it was moved to {} and is fetched again",
                    path.display()
                ),
            ),
            BlobEvent::Vanished { hash } => {
                (*hash, format!("the file of {hash} was removed by somebody; it is fetched again"))
            }
            BlobEvent::Rebuilt { hash } => {
                info!(artifact = %hash, "hashes of an artifact were made again from its bytes, which are in order");
                return;
            }
        };
        let mut details = serde_json::Map::new();
        details.insert("artifact".into(), serde_json::json!(hash));
        self.shared.events.tell("artifact_damaged", Severity::Error, text, details);
        for instance in self.instances.read().await.values() {
            if !instance.try_tell(Input::Lost(hash)) {
                // Its mailbox is full: it is told when there is room, and nothing else waits for that.
                let instance = instance.clone();
                tokio::spawn(async move {
                    if instance.tell(Input::Lost(hash)).await.is_err() {
                        error!(artifact = %hash, "a federation could not be told of a damaged artifact; it looks for itself at its next start");
                    }
                });
            }
        }
    }

    /// All instances with their names, by slug.
    ///
    /// # Errors
    /// A [`Problem`] if a view fails.
    pub async fn all(&self) -> Result<Vec<Named>, Problem> {
        let instances: Vec<_> = self.instances.read().await.values().cloned().collect();
        let mut out = Vec::new();
        for instance in instances {
            let (slug, name) = name_of(&instance).await?;
            out.push(Named { slug, name, instance });
        }
        // Two federations may have chosen one short name: the later one gets its id's first digits with it.
        out.sort_by(|a, b| (&a.slug, a.instance.federation).cmp(&(&b.slug, b.instance.federation)));
        for at in 1..out.len() {
            if out[at].slug == out[at - 1].slug {
                let id = out[at].instance.federation.to_hex();
                out[at].slug = format!("{}-{}", out[at].slug, &id[..6]);
            }
        }
        Ok(out)
    }

    /// The federation that a request means: by slug or id; the only one if it names none.
    ///
    /// # Errors
    /// A [`Problem`] that lists what there is.
    pub async fn named(&self, wanted: Option<&str>) -> Result<Named, Problem> {
        let all = self.all().await?;
        let list = all.iter().map(|n| n.slug.as_str()).collect::<Vec<_>>().join(", ");
        let Some(wanted) = wanted else {
            return match all.as_slice() {
                [only] => Ok(only.clone()),
                [] => Err(Problem::new(Code::NotFound, "this node is in no federation yet")
                    .next("`verbund federation create NAME` founds one, `verbund peer add TICKET` joins one")),
                _ => {
                    Err(Problem::new(Code::FederationRequired, format!("this node is in several federations: {list}"))
                        .next("name one with --federation"))
                }
            };
        };
        let fits = |n: &&Named| {
            n.slug == wanted || n.instance.federation.to_string() == wanted || n.instance.federation.to_hex() == wanted
        };
        all.iter().find(fits).cloned().ok_or_else(|| {
            Problem::new(Code::NotFound, format!("no federation {wanted:?} on this node")).next(if list.is_empty() {
                "it is in none yet".to_owned()
            } else {
                format!("there are: {list}")
            })
        })
    }

    /// Remembers the SHA-256 of an artifact that was just hashed.
    pub fn remember(&self, blake3: Blake3, sha256: Sha256) {
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if hashed.len() >= HASHED_MAX {
            hashed.clear();
        }
        hashed.insert(blake3, sha256);
    }

    /// The SHA-256 of a held artifact.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub async fn sha256(&self, blake3: &Blake3) -> Result<Sha256, String> {
        let known = self.hashed.lock().unwrap_or_else(PoisonError::into_inner).get(blake3).copied();
        match known {
            Some(sha256) => Ok(sha256),
            None => self.shared.blobs.sha256(blake3).await.map_err(|e| e.to_string()),
        }
    }

    /// The instance of a federation, if it runs.
    pub async fn instance(&self, id: &FederationId) -> Option<Arc<Instance>> {
        self.instances.read().await.get(id).cloned()
    }

    /// Ends when the node stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.shared.stop
    }
}

/// Slug and name: of the newest charter, or of the ticket while there is none.
async fn name_of(instance: &Instance) -> Result<(String, String), Problem> {
    let read = instance.read(|view, charters| {
        if let Some(charter) = charters.newest(view)? {
            let rules = &charter.charter.rules;
            return Ok((rules.slug.to_string(), rules.name.clone()));
        }
        let ticket = match state::get(view, Table::Local, key::ORIGIN)? {
            Some(Origin::Joining(joining)) => joining.ticket.parse::<Ticket>().ok(),
            _ => None,
        };
        let name = ticket.map_or_else(|| "?".to_owned(), |t| t.name);
        Ok((slugify(&name), name))
    });
    read.await.map_err(problem)
}

/// A short name made of a name.
pub fn slugify(name: &str) -> String {
    let text = verbund_protocol::release::text::slugify(name);
    if text.parse::<Slug>().is_ok() { text } else { "verbund".to_owned() }
}

/// An instance's fault as a problem.
pub fn problem(error: InstanceError) -> Problem {
    if let InstanceError::Net(NetError::Listen { source, .. }) = &error
        && source.kind() == std::io::ErrorKind::AddrInUse
    {
        return Problem::new(Code::Conflict, error.to_string()).next(
            "another program or another federation listens there: name a free port in node.toml, for one federation under \
             [federation.SLUG] as listen = [\"HOST:PORT\"], start the node again, and repeat the command",
        );
    }
    if matches!(error, InstanceError::Store(StoreError::Full)) {
        return Problem::new(Code::DiskFull, error.to_string()).next("`verbund store df` shows what takes the space");
    }
    Problem::new(Code::Internal, error.to_string()).next("see the daemon's log")
}
