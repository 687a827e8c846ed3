//! `verbund process verify`: a proof is checked without network and daemon, and each step is told.
//!
//! Owns what is read and shown. What holds is decided by [`verbund_protocol::provenance`]; the Prüfprotokoll is [`record`]'s.

mod record;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use verbund_protocol::ids::Sha256;
use verbund_protocol::provenance::{PROVENANCE_MAX_BYTES, Report, Step, StepName, Trust, Verdict};

use super::exit::{Exit, Failure};
use super::host::Evidence;
use super::output::{Out, Table, clean, since};
use super::{Context, tree};
use crate::admin::api::Moment;

/// What to do with a folder that is not what it should be.
const DISCARD: &str = "do not use this folder; pull the release again into an empty one";
/// What a check of a folder cannot tell, for programs.
const NOT_CHECKED: &[&str] = &[
    "recalls, deprecations and transfers after the checkpoint",
    "whether the log was closed below the release after the charters in the file",
    "whether the log carries an earlier release of the same version, or a later identity or charter that the file leaves out",
    "whether what was published is right or lawful: signatures say by whom it is, not that it is good",
];

/// Check a pulled folder against its proof, offline; exit code 8 if nothing says what to trust.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that `process pull` made.
    dir: PathBuf,
    /// What you trust, from `federation show` or from a letter: FEDERATION@CHARTER_HASH.
    #[arg(long, value_name = "FEDERATION@HASH")]
    trust: Option<Trust>,
    /// Write a Prüfprotokoll for auditors (German, Markdown) to this file, whatever comes out.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Overwrite the file of `--report`.
    #[arg(long, requires = "report")]
    force: bool,
}

/// A check, with what was looked at.
struct Checked<'a> {
    dir: &'a Path,
    at: Moment,
    trust: Option<Trust>,
    /// Of the proof's bytes.
    proof: (Sha256, usize),
    /// Or why the proof cannot be read.
    report: Result<Report, String>,
}

/// What came out, for programs.
#[derive(Serialize)]
struct Told<'a> {
    verdict: Verdict,
    tool: &'static str,
    checked_at: Moment,
    trust: Option<String>,
    age_s: Option<u64>,
    provenance_sha256: Sha256,
    #[serde(flatten)]
    report: &'a Report,
    not_checked: &'static [&'static str],
}

/// This program, as it names itself.
const TOOL: &str = concat!("verbund ", env!("CARGO_PKG_VERSION"));

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<Exit, Failure> {
    if args.dir.metadata().is_ok_and(|meta| !meta.is_dir()) {
        return Err(Failure::new(Exit::Usage, format!("{} is no folder", args.dir.display()))
            .next("name the folder that `verbund process pull` made"));
    }
    if let Some(file) = args.report.as_ref().filter(|file| !args.force && file.symlink_metadata().is_ok()) {
        return Err(exists(file));
    }
    let checked = check(context, args)?;
    if let Some(file) = &args.report {
        write(file, args.force, &record::write(&checked))?;
        context.out.note(format!("Prüfprotokoll: {}", file.display()));
    }
    let report = match &checked.report {
        Ok(report) => report,
        Err(why) => return Err(refused(why).next(DISCARD)),
    };
    let told = Told {
        verdict: report.verdict(),
        tool: TOOL,
        checked_at: checked.at,
        trust: checked.trust.map(|trust| trusted(&trust)),
        age_s: report.age_s(checked.at.unix_ms() / 1_000),
        provenance_sha256: checked.proof.0,
        report,
        not_checked: NOT_CHECKED,
    };
    context.out.show(&told, show)?;
    end(&context.out, &checked, report)
}

fn check<'a>(context: &Context<'_>, args: &'a Args) -> Result<Checked<'a>, Failure> {
    let bytes = read(&args.dir.join(tree::OWN_FOLDER).join("provenance.json"))?;
    let unread = |error: std::io::Error| Failure::io(format!("cannot read {}", args.dir.display()), &error);
    let found = tree::walk(&args.dir).map_err(unread)?;
    let files = tree::digests(&args.dir, &found.files)
        .map_err(|(path, error)| Failure::io(format!("cannot read {}", clean(&path)), &error))?;
    let evidence = Evidence { provenance: &bytes, files: &files, trust: args.trust };
    let mut report = context.host.verify(&evidence);
    if let Ok(report) = &mut report
        && !found.odd.is_empty()
        && report.failed().is_none()
    {
        report.steps.retain(|step| step.name != StepName::Files);
        let text = format!("links or special files, which no release holds: {}", found.odd.join(", "));
        report.steps.push(Step { name: StepName::Files, ok: false, text, next: Some(DISCARD.to_owned()) });
    }
    let proof = (Sha256::of(&bytes), bytes.len());
    Ok(Checked { dir: &args.dir, at: Moment::now(), trust: args.trust, proof, report })
}

/// How the command ends, with what to do next.
fn end(out: &Out, checked: &Checked<'_>, report: &Report) -> Result<Exit, Failure> {
    if let Some(step) = report.failed() {
        return Err(refused(&format!("{}: {}", step.name, step.text)).next(step.next.as_deref().unwrap_or(DISCARD)));
    }
    match report.verdict() {
        Verdict::Verified => return Ok(Exit::Ok),
        Verdict::Failed => return Err(refused("the proof names no release").next(DISCARD)),
        Verdict::Unanchored => {}
    }
    out.note(match checked.trust {
        None => {
            "consistent, unanchored: nothing outside of this folder says that this federation is the right one\n\
             next:  repeat with --trust FEDERATION@CHARTER_HASH, from a source that you trust"
        }
        Some(_) => {
            "consistent, unanchored: the charter that you trust is none of those that the proof leads through\n\
             next:  check the hash. If it is of a charter from after this pull, pull again, or name an earlier one that you \
             trust: `verbund federation log` lists them"
        }
    });
    Ok(Exit::Degraded)
}

fn refused(why: &str) -> Failure {
    Failure::new(Exit::Verification, format!("not verified:\n{why}"))
}

fn trusted(trust: &Trust) -> String {
    format!("{}@{}", trust.federation, trust.charter)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let max = PROVENANCE_MAX_BYTES as u64;
    let bytes = tree::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, max + 1), &mut bytes)?;
        Ok(bytes)
    });
    let bytes = bytes.map_err(|error| {
        Failure::io(format!("cannot read {}", path.display()), &error)
            .next("name a folder that `verbund process pull` made; a pull that was interrupted has no proof: repeat it")
    })?;
    if bytes.len() as u64 > max {
        return Err(Failure::new(Exit::Verification, format!("{} is too large to be a proof", path.display())));
    }
    Ok(bytes)
}

fn exists(file: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} is there already", file.display()))
        .next("name another file, or overwrite it with --force")
}

fn write(file: &Path, force: bool, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::File::options();
    options.write(true);
    let opened = if force { options.create(true).truncate(true) } else { options.create_new(true) }.open(file);
    opened.and_then(|mut to| to.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(file),
        _ => Failure::io(format!("cannot write {}", file.display()), &error),
    })
}

fn show(out: &Out, told: &Told<'_>) -> Result<(), Failure> {
    let report = told.report;
    let mut table = Table::plain(2);
    for step in &report.steps {
        let sign = match (step.ok, step.name) {
            (true, _) => "ok",
            (false, StepName::Anchor) => "open",
            (false, _) => "FAILED",
        };
        table.row(&[sign, &format!("{}: {}", step.name, step.text)]);
    }
    if let Some(release) = &report.release {
        let name = format!("{}/{}@{}", release.handle, release.process, release.version);
        table.row(&["release", &format!("{name} – {}", release.title)]);
        table.row(&["digest", &release.release.to_string()]);
        let keys: Vec<_> = release.signed_by.iter().map(ToString::to_string).collect();
        let member = format!("{} ({})", release.handle, release.member_name);
        table.row(&["signed", &format!("by {member} with {}", keys.join(", "))]);
        if report.files.is_some() {
            table.row(&["files", &format!("{} compared byte for byte", release.files)]);
        }
    }
    if let Some(witnessed) = &report.witnessed {
        table.row(&["witnessed", &format!("by {} of {} other members", witnessed.count, witnessed.of)]);
        let at = report.checkpoint_time_s.map(|s| Moment::from_unix_ms(s.saturating_mul(1_000)));
        let age = at.map_or_else(|| "unknown".to_owned(), |at| format!("{at}, {} ago", since(at, told.checked_at)));
        table.row(&["as of", &age]);
    }
    if let Some(release) = &report.release {
        table.row(&["trust", &format!("{}@{}", release.federation, release.charter)]);
    }
    for note in &report.warnings {
        table.row(&["note", note]);
    }
    let result = match told.verdict {
        Verdict::Verified => "verified",
        Verdict::Unanchored => "consistent, unanchored",
        Verdict::Failed => "NOT verified",
    };
    table.row(&["result", result]);
    table.write(out)
}
