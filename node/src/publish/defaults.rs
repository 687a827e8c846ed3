//! Finding `publish-defaults.toml`.
//!
//! Owns which file counts: the nearest in a parent folder, if it belongs to the owner of the published folder, to the user that
//! publishes or to root. In a shared folder anybody could put one beside, and so decide contact and licence of others' releases.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use verbund_protocol::limits::PROCESS_TOML_MAX_BYTES;
use verbund_protocol::release::{Findings, Problem};

use super::{DEFAULTS_FILE, TextFile, too_long};

/// The nearest defaults above `root`, which must be free of links. Problems with it are added to `findings`.
pub(super) fn find(root: &Path, findings: &mut Findings) -> Option<TextFile> {
    let owners = [root.metadata().ok()?.uid(), rustix::process::geteuid().as_raw(), 0];
    for folder in root.ancestors().skip(1) {
        let path = folder.join(DEFAULTS_FILE);
        let name = path.display().to_string();
        // NONBLOCK: a pipe of that name must not be waited on.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        #[allow(clippy::cast_possible_wrap, reason = "flag bits, not a number")]
        let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                findings.warn(Problem::file(
                    "defaults_ignored",
                    name,
                    format!("ignored, because it cannot be read: {e}"),
                ));
                return None;
            }
        };
        match read(file, owners) {
            Ok(Ok(text)) => return Some(TextFile { name, text }),
            Ok(Err(why)) => findings.warn(Problem::file("defaults_ignored", name, format!("ignored, because {why}"))),
            Err(e) => findings.refuse(Problem::file("unreadable", name, format!("cannot be read: {e}"))),
        }
        return None;
    }
    None
}

/// The text, or why the file does not count.
fn read(mut file: File, owners: [u32; 3]) -> std::io::Result<Result<String, String>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Err("it is not a file".into()));
    }
    if !owners.contains(&metadata.uid()) {
        return Ok(Err("it belongs neither to you, nor to the owner of the folder, nor to root".into()));
    }
    if let Some(rule) = too_long(metadata.len()) {
        return Ok(Err(rule));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(PROCESS_TOML_MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into()))
}
