//! Ports that the node chose where the configuration says 0.
//!
//! Owns one small file in the data directory. A port is chosen once and kept, so that announced addresses and firewalls stay
//! right over restarts. Never overrides a port that the configuration names.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Name of the file in the data directory.
const FILE_NAME: &str = "ports.json";

/// The ports chosen so far.
#[derive(Debug)]
pub struct Ports {
    path: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// By purpose (`https` or the id of a federation) and host.
    ports: BTreeMap<String, BTreeMap<String, u16>>,
    /// Short names of federations by id: a federation's addresses are configured by its name, and needed before its store, which
    /// knows the name, is open.
    #[serde(default)]
    names: BTreeMap<String, String>,
}

impl Ports {
    /// Reads what was kept in `data_dir`; nothing, if there is no such file.
    ///
    /// # Errors
    /// What the system says, or `InvalidData` if the file is damaged; deleting it loses nothing but the ports.
    pub fn load(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let text = format!("{} is damaged ({error}); delete it, and new ports are chosen", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept })
    }

    /// `configured` with kept ports in place of 0, as far as any were kept for `purpose`.
    pub fn fill(&self, purpose: &str, configured: &[Endpoint]) -> Vec<Endpoint> {
        let kept = self.kept.ports.get(purpose);
        let fill = |endpoint: &Endpoint| match kept.and_then(|ports| ports.get(endpoint.host())) {
            Some(port) if endpoint.port() == 0 => endpoint.with_port(*port),
            _ => endpoint.clone(),
        };
        configured.iter().map(fill).collect()
    }

    /// The short name under which the federation `id` is configured, if it was told.
    pub fn name(&self, id: &str) -> Option<&str> {
        self.kept.names.get(id).map(String::as_str)
    }

    /// Keeps the short name of a federation. Durable when it returns.
    ///
    /// # Errors
    /// What the system says; its deviating addresses then count from the next time on that it is told.
    pub fn call(&mut self, id: &str, name: &str) -> io::Result<()> {
        if self.kept.names.insert(id.to_owned(), name.to_owned()).as_deref() == Some(name) {
            return Ok(());
        }
        self.save()
    }

    /// Keeps the port that was `chosen` for a `configured` address with port 0. Durable when it returns.
    ///
    /// # Errors
    /// What the system says; the choice then holds for this run only.
    pub fn keep(&mut self, purpose: &str, configured: &Endpoint, chosen: u16) -> io::Result<()> {
        let of_purpose = self.kept.ports.entry(purpose.to_owned()).or_default();
        if configured.port() != 0 || of_purpose.insert(configured.host().to_owned(), chosen) == Some(chosen) {
            return Ok(());
        }
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let temporary = self.path.with_extension("json.new");
        let mut file = std::fs::File::create(&temporary)?;
        serde_json::to_writer_pretty(&mut file, &self.kept)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        match self.path.parent() {
            Some(dir) => std::fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_port_is_kept_and_a_configured_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (any, fixed) = (Endpoint::new("::1", 0), Endpoint::new("127.0.0.1", 80));
        let mut ports = Ports::load(dir.path()).unwrap();
        assert_eq!(ports.fill("https", std::slice::from_ref(&any))[0], any);
        ports.keep("https", &any, 4711).unwrap();
        ports.keep("https", &fixed, 80).unwrap();
        let ports = Ports::load(dir.path()).unwrap();
        let filled = ports.fill("https", &[any.clone(), fixed.clone(), any.with_port(9)]);
        assert_eq!(filled, [any.with_port(4711), fixed, any.with_port(9)]);
        assert_eq!(ports.fill("other", std::slice::from_ref(&any))[0], any);
        let mut ports = ports;
        ports.call("00ff", "mitte").unwrap();
        let ports = Ports::load(dir.path()).unwrap();
        assert_eq!((ports.name("00ff"), ports.name("ff00")), (Some("mitte"), None));
        assert_eq!(ports.fill("https", std::slice::from_ref(&any))[0], any.with_port(4711), "and nothing else is lost");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "{").unwrap();
        assert!(Ports::load(dir.path()).unwrap_err().to_string().contains(FILE_NAME));
    }
}
