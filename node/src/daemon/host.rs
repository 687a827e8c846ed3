//! What the daemon's side of the program does for the command line.

use std::path::Path;
use std::pin::Pin;

use verbund_protocol::provenance;
use verbund_protocol::release::Problem;

use super::{founding, node};
use crate::admin::Refusal;
use crate::admin::api::Moment;
use crate::cli::host::{Evidence, Founded, Founding, Launch, Said, Scan, ScannedFile, Verdict};
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

    fn verify(&self, evidence: &Evidence<'_>) -> Result<Verdict, Vec<String>> {
        let files = evidence.files.iter().map(|(path, file)| (path.clone(), (file.sha256, file.size))).collect();
        let trust = evidence.trust.map(|t| provenance::Trust { federation: t.federation, charter: t.charter });
        let report = provenance::verify(evidence.provenance, &files, trust).map_err(|e| vec![e.to_string()])?;
        if let Some(step) = report.failed() {
            let next = step.next.iter().map(|next| format!("next: {next}"));
            return Err(std::iter::once(format!("{}: {}", step.name.as_str(), step.text)).chain(next).collect());
        }
        let Some(release) = report.release else { return Err(vec!["the proof names no release".to_owned()]) };
        let said =
            report.statements.iter().map(|said| format!("known when it was pulled: {}: {}", said.kind, said.reason));
        let witnessed = report.witnessed.as_ref();
        Ok(Verdict {
            anchored: report.anchored,
            release: format!("{}/{}@{}", release.handle, release.process, release.version),
            digest: release.release,
            title: release.title,
            federation: release.federation,
            charter: release.charter,
            witnesses: witnessed.map_or(0, |w| u32::try_from(w.count).unwrap_or(u32::MAX)),
            witnesses_of: witnessed.map_or(0, |w| u32::try_from(w.of).unwrap_or(u32::MAX)),
            checkpoint_time: report.checkpoint_time_s.map(|s| Moment::from_unix_ms(s.saturating_mul(1_000))),
            files: release.files,
            notes: report.warnings.into_iter().chain(said).collect(),
        })
    }
}
