//! Forgetting the oldest segments: what is in them is repeated in later ones, or not wanted any more. Which they are, the store's
//! user says.
//!
//! Owns the small file `journal/first` that tells a segment which was forgotten from one that was lost. It is durable before the
//! first segment goes: a crash at any point leaves either all of them, or some that the next opening removes.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use super::{segment_number, segment_path};
use crate::store::disk::Disk;

const NAME: &str = "first";

fn text(number: u32) -> String {
    let number = format!("{number:08x}");
    // A flipped bit must not make segments of lost ones, nor the other way round.
    format!("{number} {:08x}\n", crc32c::crc32c(number.as_bytes()))
}

/// Number of the first segment that is not forgotten. What cannot be read forgets nothing.
pub(super) fn first(dir: &Path) -> u32 {
    let Ok(said) = fs::read_to_string(dir.join(NAME)) else { return 0 };
    let number = said.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number.filter(|number| text(*number) == said).unwrap_or(0)
}

/// Removes segments below the first that is not forgotten: leftovers of a forgetting that was interrupted. Without a later segment
/// nothing is removed, whatever the file says.
pub(super) fn finish(dir: &Path, numbers: &mut Vec<u32>) -> io::Result<()> {
    let first = first(dir);
    if numbers.last().is_none_or(|last| *last < first) {
        return Ok(());
    }
    for number in numbers.iter().filter(|number| **number < first) {
        fs::remove_file(segment_path(dir, *number))?;
    }
    numbers.retain(|number| *number >= first);
    Ok(())
}

/// Forgets all segments but the newest `keep`. Returns how many are left, and their bytes.
pub(crate) fn forget(disk: &dyn Disk, dir: &Path, keep: usize) -> io::Result<(u64, u64)> {
    // Not as at an opening, which takes a segment that is being started for a leftover.
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        numbers.extend(entry?.file_name().to_str().and_then(segment_number));
    }
    numbers.sort_unstable();
    if let Some(first) = numbers.len().checked_sub(keep.max(1)).filter(|gone| *gone > 0).and_then(|at| numbers.get(at))
    {
        let (path, new) = (dir.join(NAME), dir.join("first.tmp"));
        let mut file = File::create(&new)?;
        file.write_all(text(*first).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        disk.sync_dir(dir)?;
        finish(dir, &mut numbers)?;
    }
    let mut bytes = 0;
    for number in &numbers {
        bytes += fs::metadata(segment_path(dir, *number))?.len();
    }
    Ok((numbers.len() as u64, bytes))
}
