//! What the daemon's side of the program does for the command line.

use std::path::Path;
use std::pin::Pin;

use super::{founding, node};
use crate::cli::host::{Evidence, Founded, Founding, Launch, Scan, ScannedFile, Verdict};
use crate::cli::{Failure, Host};
use crate::publish;

/// The whole program.
pub struct Program;

impl Host for Program {
    fn found(&self, founding: &Founding<'_>) -> Result<Founded, Failure> {
        founding::found(founding)
    }
    fn run(&self, launch: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        Box::pin(node::run(launch))
    }
    fn scan(&self, path: &Path) -> Result<Scan, Failure> {
        let _ = (path, ScannedFile { path: String::new(), disk: path.into(), media_type: String::new() });
        Err(Failure::failed("wip"))
    }
    fn propose(&self, path: &Path) -> Result<String, Failure> {
        let scanned = publish::scan(path).map_err(|_| Failure::failed("wip"))?;
        Ok(publish::init_proposal(&scanned))
    }
    fn verify(&self, _: &Evidence<'_>) -> Result<Verdict, Vec<String>> {
        Err(vec!["wip".into()])
    }
}
