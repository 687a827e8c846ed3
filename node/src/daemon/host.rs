//! What the daemon's side of the program does for the command line.

use std::path::Path;
use std::pin::Pin;

use verbund_protocol::provenance;
use verbund_protocol::release::Problem;

use super::{founding, node};
use crate::admin::Refusal;
use crate::cli::host::{Evidence, Founded, Founding, Launch, Said, Scan, ScannedFile};
use crate::cli::{Exit, Failure, Host};
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
    let absent = problems.iter().any(|p| p.code == "not_found");
    let exit = if absent { Exit::NotFound } else { Exit::Failed };
    let mut failure = Failure::new(exit, format!("{} cannot be published", path.display()))
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

    fn scan(&self, path: &Path, said: &Said) -> Result<Scan, Failure> {
        let scanned = publish::scan(path).map_err(|problems| refused(path, problems))?;
        if said.any() && !scanned.single {
            let text = format!("{} is a folder: its process.toml says title, summary and change", path.display());
            return Err(Failure::new(Exit::Usage, text)
                .next("leave out --title, --summary, --change and --kind, or name a single file"));
        }
        let submission = scanned.submission(said).map_err(|problems| refused(path, problems))?;
        let mut warnings: Vec<String> = scanned.warnings.iter().map(ToString::to_string).collect();
        let lint = publish::lint_files(&scanned).map_err(|problems| refused(path, problems))?;
        warnings.extend(lint.iter().map(ToString::to_string));
        let file = |f: &publish::ScannedFile| ScannedFile {
            path: f.path.to_string(),
            media_type: f.media_type.to_owned(),
            source: f.source.clone(),
        };
        Ok(Scan {
            metadata: serde_json::to_value(&submission).unwrap_or_default(),
            files: scanned.files.iter().map(file).collect(),
            warnings,
            skipped: scanned.skipped.iter().map(|s| format!("{}: {}", s.path, s.reason)).collect(),
            single: scanned.single,
        })
    }

    fn propose(&self, path: &Path) -> Result<String, Failure> {
        let scanned = publish::scan(path).map_err(|problems| refused(path, problems))?;
        if scanned.single {
            let text = format!("{} is a single file, which needs no process.toml", path.display());
            return Err(Failure::new(Exit::Usage, text).next(
                "publish it as it is; to say more about it put it into a folder of its own, and use --init on that",
            ));
        }
        Ok(publish::init_proposal(&scanned))
    }

    fn verify(&self, evidence: &Evidence<'_>) -> Result<provenance::Report, String> {
        let files = evidence.files.iter().map(|(path, file)| (path.clone(), (file.sha256, file.size))).collect();
        provenance::verify(evidence.provenance, &files, evidence.trust).map_err(|error| error.to_string())
    }
}
