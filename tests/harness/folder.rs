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

/// A seed of this run, printed so that a failed test can be repeated with `SEED=…`.
pub fn seed() -> u64 {
    let named = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let seed = named.unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(now_micros() % (1 << 20)));
    eprintln!("SEED={seed}");
    seed
}

fn now_micros() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_micros())
}

/// Numbers below `below`, different for each seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number below `below`, which is not 0.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
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
