//! What reaches a node besides the protocol: HTTP headers, admin requests, configuration, addresses, disks and streams of artifacts.

mod blob;
mod journal;
mod surface;

pub use blob::{blob_request, blob_stream};
pub use journal::journal;
pub use surface::{addresses, admin, conditions, config, range};

/// A folder of its own, in memory where the system has such a place: nothing here asks whether a disk keeps its promises.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "journal" => journal::seeds(),
        "blob_request" | "blob_stream" => blob::seeds(target),
        _ => surface::seeds(target),
    }
}
