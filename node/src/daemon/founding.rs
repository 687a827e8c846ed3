//! Who this member is: the identity that `init` makes, and reading it back with the keys that lie beside the node.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, PublisherRole, Role, Roles, VerifiedIdentity, fingerprint};
use verbund_protocol::ids::{Handle, MemberId};
use verbund_protocol::keys::SecretKey;

use crate::cli::Failure;
use crate::cli::host::{Founded, Founding};
use crate::http::certs;
use crate::keys::{KeyFiles, KeyRole};

/// Folder of the identity's versions in the data directory.
const FOLDER: &str = "identity";

/// The member as this node knows it: its identity chain, and the keys that lie here.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Newest identity.
    pub identity: Identity,
    /// All versions, as envelope bytes.
    pub chain: Vec<Vec<u8>>,
    /// The node's key.
    pub node: SecretKey,
    /// The root key, if it lies here.
    pub root: Option<SecretKey>,
    /// The approver key, if it lies here.
    pub approver: Option<SecretKey>,
    /// The publisher key, if it lies here.
    pub publisher: Option<SecretKey>,
}

impl Member {
    /// Its fingerprint, as it is read out over the phone.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.id.as_bytes())
    }

    /// Reads identity and keys from a data directory.
    ///
    /// # Errors
    /// A [`Failure`] that names the file and what to do.
    pub fn load(data_dir: &Path) -> Result<Self, Failure> {
        let folder = data_dir.join(FOLDER);
        let mut chain = Vec::new();
        for version in 1_u64.. {
            let path = folder.join(format!("{version}.json"));
            match std::fs::read(&path) {
                Ok(bytes) => chain.push(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
                Err(e) => return Err(Failure::io(format!("cannot read {}", path.display()), &e)),
            }
        }
        let malformed = |why: String| {
            Failure::failed(format!("{}: {why}", folder.display())).next("restore the folder from a backup")
        };
        if chain.is_empty() {
            return Err(malformed("there is no identity".into()));
        }
        let envelopes: Result<Vec<_>, _> = chain.iter().map(|bytes| Envelope::parse(bytes)).collect();
        let envelopes = envelopes.map_err(|e| malformed(e.to_string()))?;
        let newest = VerifiedIdentity::chain(&envelopes).map_err(|e| malformed(e.to_string()))?;
        let keys = KeyFiles::of(data_dir);
        let node = keys.load(KeyRole::Node)?.ok_or_else(|| {
            Failure::failed(format!("{} is missing", keys.path(KeyRole::Node).display()))
                .next("restore it from a backup; without it this node cannot be who it was")
        })?;
        if !newest.identity.has_node(&node.peer()) {
            return Err(malformed("the node key is not among the identity's nodes".into()));
        }
        Ok(Self {
            id: newest.member,
            identity: newest.identity,
            chain,
            node,
            root: keys.load(KeyRole::Root)?,
            approver: keys.load(KeyRole::Approver)?,
            publisher: keys.load(KeyRole::Publisher)?,
        })
    }
}

/// Makes identity and certificate of a new member. Repeating it after an interruption leads to the same result.
///
/// # Errors
/// A [`Failure`] that names the file and what to do.
pub fn found(founding: &Founding<'_>) -> Result<Founded, Failure> {
    let path = founding.data_dir.join(FOLDER).join("1.json");
    let id = if path.exists() { Member::load(founding.data_dir)?.id } else { write_identity(founding, &path)? };
    let certificate = certificate(founding)?;
    Ok(Founded { fingerprint: fingerprint(id.as_bytes()), certificate: Some(certificate) })
}

fn write_identity(founding: &Founding<'_>, path: &Path) -> Result<MemberId, Failure> {
    let keys = founding.keys;
    let role = |key: &SecretKey| Role { keys: vec![key.public()], threshold: 1 };
    let identity = Identity {
        version: 1,
        member: None,
        prev: None,
        handle: founding.handle.clone(),
        names: BTreeMap::from([("de".to_owned(), founding.name.to_owned())]),
        ags: ags(founding.handle),
        contact: None,
        valid_until: None,
        roles: Roles {
            root: role(&keys.root),
            approver: role(&keys.approver),
            publisher: PublisherRole { keys: vec![keys.publisher.public()], threshold: 1, slugs: BTreeMap::new() },
            nodes: vec![keys.node.public()],
        },
    };
    let envelope = identity
        .seal(&[&keys.root])
        .map_err(|e| Failure::failed(format!("the identity cannot be made: {e}")).next("check --name and --handle"))?;
    let io = |e: std::io::Error| Failure::io(format!("cannot write {}", path.display()), &e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    write_durably(path, envelope.bytes()).map_err(io)?;
    Ok(MemberId(envelope.id().0))
}

/// Appears at once and in full, or not at all.
///
/// # Errors
/// What the system says.
pub fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

/// The state's two digits of the Amtlicher Gemeindeschlüssel, for the handles of German states (ISO 3166-2).
fn ags(handle: &Handle) -> Option<String> {
    let states = [
        ("sh", "01"),
        ("hh", "02"),
        ("ni", "03"),
        ("hb", "04"),
        ("nw", "05"),
        ("he", "06"),
        ("rp", "07"),
        ("bw", "08"),
        ("by", "09"),
        ("sl", "10"),
        ("be", "11"),
        ("bb", "12"),
        ("mv", "13"),
        ("sn", "14"),
        ("st", "15"),
        ("th", "16"),
    ];
    let state = handle.as_str().strip_prefix("de-")?;
    states.iter().find(|(name, _)| *name == state).map(|(_, key)| (*key).to_owned())
}

/// Where the certificate and key lie that `init` makes.
pub fn certificate_files(data_dir: &Path) -> (PathBuf, PathBuf) {
    (data_dir.join("https.crt"), data_dir.join("keys").join("https.key"))
}

fn certificate(founding: &Founding<'_>) -> Result<PathBuf, Failure> {
    let (certificate, key) = certificate_files(founding.data_dir);
    if !certificate.exists() {
        let now_s = super::clock::now().wall_s();
        certs::create(&certificate, &key, founding.handle.as_str(), founding.hosts, now_s)
            .map_err(|e| Failure::failed(format!("the HTTPS certificate cannot be made: {e}")))?;
    }
    Ok(certificate)
}
