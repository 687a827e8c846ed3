//! Where the program under test lies.
//!
//! `CARGO_BIN_EXE_verbund` exists only for tests of the package that owns the program. So the program is looked for beside this
//! test program in the target folder; if it is missing, or older than a source that it was built from, it is built once with the
//! same profile. `CARGO_BIN` names another one, for example an installed release; it is then used as it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The program under test. Built at the first call in a process if it has to be.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(find)
}

fn find() -> PathBuf {
    if let Some(named) = std::env::var_os("CARGO_BIN") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "CARGO_BIN names {}, which is no file", named.display());
        return named;
    }
    let own = std::env::current_exe().expect("the path of this program");
    // target/PROFILE/deps/federation-0123
    let folder = own.parent().and_then(Path::parent).expect("tests run in a target folder").to_path_buf();
    let program = folder.join("verbund");
    if !is_fresh(&program) {
        build(&folder);
    }
    assert!(program.is_file(), "{} was built and is not there", program.display());
    program
}

/// Whether the program is newer than everything it was built from, by the list that cargo writes beside it.
fn is_fresh(program: &Path) -> bool {
    let age = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let Some(built) = age(program) else { return false };
    let Ok(list) = std::fs::read_to_string(program.with_extension("d")) else { return false };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    let newer = |path: &str| age(Path::new(path)).is_none_or(|changed: SystemTime| changed > built);
    // Cargo escapes spaces in paths by a backslash.
    !sources.replace("\\ ", "\u{0}").split_whitespace().any(|path| newer(&path.replace('\u{0}', " ")))
}

fn build(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    // Of the whole workspace: the features of a single package would build half of the dependencies once more.
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bin", "verbund", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the program under test does not build");
}
