//! Process folders: the samples of this project, and ones made up for a test.

use std::path::{Path, PathBuf};

/// The sample processes of this project, by name.
pub fn samples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/processes");
    let entries = std::fs::read_dir(&root).expect("the sample processes");
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(found.len() >= 12, "{} sample processes", found.len());
    found
}

/// Real files that are not part of this project; `None`, and said, where they are missing.
pub fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("CORPUS").map(PathBuf::from);
    let root = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"));
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is missing; name the folder of real files by CORPUS", root.display());
    None
}

/// Bytes that do not compress and are the same for the same seed (xorshift64*).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A process folder made for a test: complete metadata, and the files that the test adds.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it lies.
    pub path: PathBuf,
    id: String,
    version: String,
    extra: String,
}

impl Folder {
    /// A folder below `root` for the process `id` in version 1.0.0, with one small file.
    pub fn new(root: &Path, id: &str) -> Self {
        let path = root.join(id);
        std::fs::create_dir_all(&path).expect("a folder");
        let folder = Self { path, id: id.to_owned(), version: "1.0.0".to_owned(), extra: String::new() };
        folder.save();
        folder.file("hinweise.txt", format!("Hinweise zu {id}\n").as_bytes())
    }

    /// The same folder with another version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self.save();
        self
    }

    /// The same folder with more lines at the start of its `process.toml`.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.extra = format!("{lines}\n");
        self.save();
        self
    }

    /// The same folder with this file.
    #[must_use]
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        let file = self.path.join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, bytes).expect("a file");
        self
    }

    fn save(&self) {
        let Self { id, version, extra, .. } = self;
        let text = format!(
            r#"id = "{id}"
version = "{version}"
title = "Prozess {id}"
summary = "Ein Prozess für Tests"
leistungsschluessel = ["99108001001000"]
level = ["kommunal"]
license = "EUPL-1.2"
maintenance = "internal"
contact = "prozesse@example.org"
{extra}
[platform]
name = "civento"

[change]
kind = "fachlich"
text = "Fassung {version}"
"#
        );
        std::fs::write(self.path.join("process.toml"), text).expect("process.toml");
    }
}
