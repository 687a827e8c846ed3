//! `verbund process verify`: a proof is checked without network and daemon.

use std::path::PathBuf;
use std::str::FromStr;

use verbund_protocol::ids::{FederationId, Sha256};

use super::exit::{Exit, Failure};
use super::host::{Evidence, Trust, Verdict};
use super::output::{Out, Table, clean, since};
use super::{Context, tree};
use crate::admin::api::Moment;

/// How a reason starts that is a next step.
const NEXT: &str = "next: ";
/// A proof, in bytes: charters of 150 members, identities and the release stay far below.
const PROVENANCE_MAX: u64 = 64 << 20;

/// Check a pulled folder against its proof, offline; exit code 8 if nothing says what to trust.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that `process pull` made.
    dir: PathBuf,
    /// What you trust, from `federation show` or from a letter: FEDERATION@CHARTER_HASH.
    #[arg(long, value_name = "FEDERATION@HASH")]
    trust: Option<TrustText>,
}

/// A [`Trust`] as people type it; the prefixes `federation:` and `sha256:` may be left out.
#[derive(Debug, Clone, Copy)]
struct TrustText(Trust);

impl FromStr for TrustText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (federation, charter) =
            text.split_once('@').ok_or("expected FEDERATION@CHARTER_HASH, as `verbund federation show` prints it")?;
        let federation = federation.strip_prefix("federation:").unwrap_or(federation);
        let charter = charter.strip_prefix("sha256:").unwrap_or(charter);
        Ok(Self(Trust {
            federation: FederationId::from_hex(federation).map_err(|error| error.to_string())?,
            charter: Sha256::from_hex(charter).map_err(|error| error.to_string())?,
        }))
    }
}

pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<Exit, Failure> {
    if args.dir.metadata().is_ok_and(|meta| !meta.is_dir()) {
        return Err(Failure::new(Exit::Usage, format!("{} is no folder", args.dir.display()))
            .next("name the folder that `verbund process pull` made"));
    }
    let provenance = args.dir.join(tree::OWN_FOLDER).join("provenance.json");
    let bytes = read(&provenance)?;
    let unread = |error: std::io::Error| Failure::io(format!("cannot read {}", args.dir.display()), &error);
    let found = tree::walk(&args.dir).map_err(unread)?;
    if !found.odd.is_empty() {
        return Err(refused(
            found.odd.iter().map(|path| format!("{path}: a link or special file, which no release holds")),
        ));
    }
    let files = tree::digests(&args.dir, &found.files)
        .map_err(|(path, error)| Failure::io(format!("cannot read {}", clean(&path)), &error))?;
    let trust = args.trust.map(|trust| trust.0);
    let evidence = Evidence { provenance: &bytes, files: &files, trust, now: Moment::now() };
    let verdict = context.host.verify(&evidence).map_err(refused)?;
    context.out.show(&verdict, show)?;
    if verdict.anchored {
        return Ok(Exit::Ok);
    }
    context.out.note(match trust {
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

fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let bytes = tree::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, PROVENANCE_MAX + 1), &mut bytes)?;
        Ok(bytes)
    });
    let bytes = bytes.map_err(|error| {
        Failure::io(format!("cannot read {}", path.display()), &error)
            .next("name a folder that `verbund process pull` made; a pull that was interrupted has no proof: repeat it")
    })?;
    if bytes.len() as u64 > PROVENANCE_MAX {
        return Err(Failure::new(Exit::Verification, format!("{} is too large to be a proof", path.display())));
    }
    Ok(bytes)
}

/// What does not hold. A reason that starts with `next: ` says what to do about the one before.
fn refused(reasons: impl IntoIterator<Item = String>) -> Failure {
    let (steps, reasons): (Vec<String>, Vec<String>) = reasons.into_iter().partition(|reason| reason.starts_with(NEXT));
    let step = steps.first().and_then(|step| step.strip_prefix(NEXT));
    Failure::new(Exit::Verification, format!("not verified:\n{}", reasons.join("\n")))
        .next(step.unwrap_or("do not use this folder; pull the release again into an empty one"))
}

fn show(out: &Out, verdict: &Verdict) -> Result<(), Failure> {
    let mut table = Table::plain(2);
    table.row(&["release", &format!("{} – {}", verdict.release, verdict.title)]);
    table.row(&["digest", &verdict.digest.to_string()]);
    table.row(&["files", &format!("{} compared byte for byte", verdict.files)]);
    table.row(&["witnessed", &format!("by {} of {} other members", verdict.witnesses, verdict.witnesses_of)]);
    let age = verdict
        .checkpoint_time
        .map_or_else(|| "unknown".to_owned(), |at| format!("{at}, {} ago", since(at, Moment::now())));
    table.row(&["as of", &age]);
    table.row(&["trust", &format!("{}@{}", verdict.federation, verdict.charter)]);
    for note in &verdict.notes {
        table.row(&["note", note]);
    }
    table.row(&["result", if verdict.anchored { "verified" } else { "consistent, unanchored" }]);
    table.write(out)
}
