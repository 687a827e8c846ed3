//! What the daemon's side of the program does for the command line.

use std::path::Path;
use std::pin::Pin;

use verbund_protocol::release::Problem;

use super::{founding, node};
use crate::admin::Refusal;
use crate::cli::host::{Evidence, Founded, Founding, Launch, Scan, ScannedFile, Verdict};
use crate::cli::{Failure, Host};
use crate::publish;

/// The whole program.
pub struct Program;

/// Broken rules as the command line shows them.
fn refused(path: &Path, problems: Vec<Problem>) -> Failure {
    let refusal = |p: Problem| Refusal {
        file: p.line.map_or_else(|| p.file.clone(), |line| format!("{}:{line}", p.file)),
        key: p.key.unwrap_or_default(),
        value: p.value.unwrap_or_default(),
        rule: p.rule,
    };
    let mut failure = Failure::failed(format!("{} cannot be published", path.display()))
        .next("correct what is named above; nothing was published");
    failure.errors = problems.into_iter().map(refusal).collect();
    failure
}

impl Host for Program {
    fn found(&self, founding: &Founding<'_>) -> Result<Founded, Failure> {
        founding::found(founding)
    }

    fn run(&self, launch: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        Box::pin(node::run(launch))
    }

    fn scan(&self, path: &Path) -> Result<Scan, Failure> {
        let scanned = publish::scan(path).map_err(|problems| refused(path, problems))?;
        let submission = scanned.submission().map_err(|problems| refused(path, problems))?;
        let mut warnings: Vec<String> = scanned.warnings.iter().map(ToString::to_string).collect();
        let lint = publish::lint_files(&scanned).map_err(|problems| refused(path, problems))?;
        warnings.extend(lint.iter().map(ToString::to_string));
        let file = |f: &publish::ScannedFile| ScannedFile {
            path: f.path.to_string(),
            disk: scanned.root.join(f.path.as_str()),
            media_type: f.media_type.to_owned(),
        };
        Ok(Scan {
            metadata: serde_json::to_value(&submission).unwrap_or_default(),
            files: scanned.files.iter().map(file).collect(),
            warnings,
            skipped: scanned.skipped.iter().map(|s| format!("{}: {}", s.path, s.reason)).collect(),
        })
    }

    fn propose(&self, path: &Path) -> Result<String, Failure> {
        let scanned = publish::scan(path).map_err(|problems| refused(path, problems))?;
        Ok(publish::init_proposal(&scanned))
    }

    fn verify(&self, _: &Evidence<'_>) -> Result<Verdict, Vec<String>> {
        Err(vec!["wip".into()])
    }
}
