//! The socket file: binding, mode, owner, and removal of a stale one.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tracing::info;

use super::ServerError;
use crate::admin::roles::{UnknownGroup, group_id};

/// `sun_path` has 108 bytes on Linux (unix(7)), the last of them a NUL.
pub(super) const PATH_MAX: usize = 107;

/// Knows which file was made, so that another daemon's socket is never removed.
pub(super) struct Mark {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Mark {
    fn of(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }
    /// Removes the socket if it is still this one. What cannot be removed is found stale at the next start.
    pub(super) fn remove(&self) {
        if Self::of(&self.path).is_ok_and(|now| (now.device, now.inode) == (self.device, self.inode)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds `path`; see [`super::Server::bind`].
pub(super) async fn bind(path: &Path, group: Option<&str>) -> Result<(UnixListener, Mark), ServerError> {
    let len = path.as_os_str().as_bytes().len();
    if len > PATH_MAX {
        return Err(ServerError::PathTooLong { path: path.to_owned(), len, max: PATH_MAX });
    }
    let gid = match group {
        Some(name) => Some(group_id(name).ok_or_else(|| UnknownGroup { role: "group", group: name.to_owned() })?),
        None => None,
    };
    clear(path).await?;
    let io = |what: &'static str| {
        let path = path.to_owned();
        move |source| ServerError::Io { what, path, source }
    };
    let listener = UnixListener::bind(path).map_err(io("cannot bind the admin socket"))?;
    let mark = Mark::of(path).map_err(io("cannot look at the admin socket"))?;
    let adjusted = std::os::unix::fs::chown(path, None, gid)
        .map_err(io("cannot give the admin socket to its group"))
        .and_then(|()| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
                .map_err(io("cannot set the mode of the admin socket"))
        });
    match adjusted {
        Ok(()) => Ok((listener, mark)),
        Err(error) => {
            mark.remove();
            Err(error)
        }
    }
}

/// Removes a socket that nobody answers on.
async fn clear(path: &Path) -> Result<(), ServerError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(ServerError::Io { what: "cannot look at", path: path.to_owned(), source }),
        Ok(meta) if !meta.file_type().is_socket() => return Err(ServerError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ServerError::InUse(path.to_owned())),
        // Only a refusal proves that no process holds it; anything else, such as a full backlog, does not.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            info!(socket = %path.display(), "removing the socket of a daemon that is gone");
            std::fs::remove_file(path).map_err(|source| ServerError::Io {
                what: "cannot remove the stale socket",
                path: path.to_owned(),
                source,
            })
        }
        Err(_) => Err(ServerError::InUse(path.to_owned())),
    }
}
