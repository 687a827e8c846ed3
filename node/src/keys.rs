//! Key files: where the member's and the node's secret keys lie.
//!
//! Owns their format (PKCS #8 PEM, RFC 8410, so that stock tools read them), their permissions and where they are looked for:
//! first the service manager's credentials, then `keys/` in the data directory. Never logs, prints or overwrites a key, and
//! never uses one that others could have read.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use verbund_protocol::keys::SecretKey;

/// A key file, in bytes: PEM of one Ed25519 key has about 120.
const FILE_MAX: u64 = 4096;
/// Folder of key files in the data directory.
const FOLDER: &str = "keys";

/// What a key is for (DESIGN: identity, keys by role).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRole {
    /// Signs identities and writers. Belongs off the node.
    Root,
    /// Signs requests, approvals, adoptions.
    Approver,
    /// Signs releases.
    Publisher,
    /// The node's own: connections, checkpoints, cosignatures.
    Node,
}

impl KeyRole {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Root, Self::Approver, Self::Publisher, Self::Node];
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Approver => "approver",
            Self::Publisher => "publisher",
            Self::Node => "node",
        }
    }
    /// Name of its file, in `keys/` as well as among credentials.
    pub fn file_name(self) -> String {
        format!("{}.pem", self.as_str())
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a key cannot be used or stored.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others can read it.
    #[error(
        "{} can be read by others (mode {mode:04o}); if nobody has, run: chmod 600 {}",
        path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it, and could replace it.
    #[error("{} belongs to uid {owner}, not to the user of the daemon; run: chown {user} {}", path.display(), path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        user: u32,
    },
    /// Not a key of the expected form.
    #[error("{} is no Ed25519 private key in PKCS #8 PEM form; restore it from a backup", .0.display())]
    Malformed(PathBuf),
    /// There is one already.
    #[error("{} exists already; a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The system gave no randomness.
    #[error("the system gives no randomness for a new key: {0}")]
    Randomness(String),
    /// The system refused.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A new key from the system's randomness.
///
/// # Errors
/// [`KeyError::Randomness`].
pub fn generate() -> Result<SecretKey, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyError::Randomness(error.to_string()))?;
    Ok(SecretKey::from_seed(&seed))
}

/// The places of a node's key files.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    folder: PathBuf,
    credentials: Option<PathBuf>,
}

impl KeyFiles {
    /// The places for a data directory; credentials as the service manager hands them over (`CREDENTIALS_DIRECTORY`, systemd.exec(5)).
    pub fn of(data_dir: &Path) -> Self {
        Self::at(data_dir, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
    }
    /// The places for a data directory with an explicit folder of credentials.
    pub fn at(data_dir: &Path, credentials: Option<PathBuf>) -> Self {
        Self { folder: data_dir.join(FOLDER), credentials }
    }
    /// Where a key lies in the data directory.
    pub fn path(&self, role: KeyRole) -> PathBuf {
        self.folder.join(role.file_name())
    }

    /// Loads a key; `None` if it is not on this node.
    ///
    /// # Errors
    /// [`KeyError`] if there is one that must not or cannot be used.
    pub fn load(&self, role: KeyRole) -> Result<Option<SecretKey>, KeyError> {
        if let Some(credentials) = &self.credentials {
            // The service manager answers for access to its credentials; their mode bits differ by version.
            if let Some(key) = read(&credentials.join(role.file_name()), false)? {
                return Ok(Some(key));
            }
        }
        read(&self.path(role), true)
    }

    /// Stores a new key with mode 0600; durable when it returns. Appears at once and in full, or not at all.
    ///
    /// # Errors
    /// [`KeyError::Exists`], or what the system said.
    pub fn store(&self, role: KeyRole, key: &SecretKey) -> Result<PathBuf, KeyError> {
        let path = self.path(role);
        let io = |what: &'static str| {
            let path = path.clone();
            move |source| KeyError::Io { what, path, source }
        };
        let pair = KeypairBytes { secret_key: key.seed(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Malformed(path.clone()))?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(io("cannot create the folder of"))?;
        let temporary = self.folder.join(format!(".{}.{}", role.file_name(), std::process::id()));
        // From a run that was killed here; process ids come again.
        let _ = std::fs::remove_file(&temporary);
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
                // The mode at creation is subject to the umask.
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(pem.as_bytes())?;
                file.sync_all()?;
                // Unlike a rename, a link never replaces what is there.
                std::fs::hard_link(&temporary, &path)
            });
        let removed = std::fs::remove_file(&temporary);
        match written {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(KeyError::Exists(path)),
            other => other.and(removed).map_err(io("cannot write"))?,
        }
        File::open(&self.folder).and_then(|dir| dir.sync_all()).map_err(io("cannot make durable"))?;
        Ok(path)
    }
}

/// Reads a key file; `guarded`: only if nobody else could read or replace it.
fn read(path: &Path, guarded: bool) -> Result<Option<SecretKey>, KeyError> {
    let io = |source| KeyError::Io { what: "cannot read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    // Of the open file, so that nobody can exchange it in between.
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(KeyError::Malformed(path.to_owned()));
    }
    if guarded {
        let mode = meta.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let user = rustix::process::geteuid().as_raw();
        if meta.uid() != user && meta.uid() != 0 {
            return Err(KeyError::Foreign { path: path.to_owned(), owner: meta.uid(), user });
        }
    }
    let mut pem = String::new();
    file.take(FILE_MAX).read_to_string(&mut pem).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => KeyError::Malformed(path.to_owned()),
        _ => io(error),
    })?;
    let pair = KeypairBytes::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::Malformed(path.to_owned()))?;
    let key = SecretKey::from_seed(&pair.secret_key);
    // RFC 8410 §7 allows the public half beside it: it must be the right one.
    let stated = pair.public_key.as_ref().map(|public| public.to_bytes());
    if stated.is_some_and(|public| public != key.public().0) {
        return Err(KeyError::Malformed(path.to_owned()));
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, KeyFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::at(dir.path(), None);
        (dir, files)
    }
    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn stored_and_loaded_with_tight_permissions() {
        let (_dir, files) = files();
        let key = generate().unwrap();
        assert!(files.load(KeyRole::Root).unwrap().is_none());
        let path = files.store(KeyRole::Root, &key).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(files.load(KeyRole::Root).unwrap().unwrap().public(), key.public());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn never_overwritten() {
        let (_dir, files) = files();
        let first = generate().unwrap();
        files.store(KeyRole::Node, &first).unwrap();
        assert!(matches!(files.store(KeyRole::Node, &generate().unwrap()), Err(KeyError::Exists(_))));
        assert_eq!(files.load(KeyRole::Node).unwrap().unwrap().public(), first.public());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let (_dir, files) = files();
        let path = files.store(KeyRole::Node, &generate().unwrap()).unwrap();
        for exposed in [0o640, 0o604, 0o660, 0o644] {
            mode(&path, exposed);
            let error = files.load(KeyRole::Node).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        mode(&path, 0o400);
        assert!(files.load(KeyRole::Node).unwrap().is_some());
    }

    #[test]
    fn credentials_come_first_and_missing_ones_fall_back() {
        let (dir, files) = files();
        let (in_folder, in_credentials) = (generate().unwrap(), generate().unwrap());
        let path = files.store(KeyRole::Node, &in_credentials).unwrap();
        let credentials = dir.path().join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        std::fs::rename(path, credentials.join("node.pem")).unwrap();
        mode(&credentials.join("node.pem"), 0o440);
        let files = KeyFiles::at(dir.path(), Some(credentials));
        files.store(KeyRole::Node, &in_folder).unwrap();
        files.store(KeyRole::Root, &in_folder).unwrap();
        assert_eq!(files.load(KeyRole::Node).unwrap().unwrap().public(), in_credentials.public());
        assert_eq!(files.load(KeyRole::Root).unwrap().unwrap().public(), in_folder.public());
    }

    #[test]
    fn what_is_no_key_is_named() {
        let (_dir, files) = files();
        let path = files.store(KeyRole::Node, &generate().unwrap()).unwrap();
        for bytes in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &[0xff; 5000]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(files.load(KeyRole::Node), Err(KeyError::Malformed(_))));
        }
    }

    #[test]
    fn a_key_of_the_usual_tools_is_read() {
        let (_dir, files) = files();
        files.store(KeyRole::Node, &generate().unwrap()).unwrap();
        // RFC 8410 §10.3: the same key without and with its public half.
        let plain = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        std::fs::write(files.path(KeyRole::Node), plain).unwrap();
        let key = files.load(KeyRole::Node).unwrap().unwrap();
        assert_eq!(key.public().to_hex(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
    }
}
