//! `verbund process outdated`: which pulled folders should be replaced, by what and why.
//!
//! Owns finding the folders and the words. What a folder holds is taken from what its pull noted, or from its proof; whether its
//! files are still those is the matter of `process verify`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use verbund_protocol::envelope::Envelope;
use verbund_protocol::ids::Sha256;

use super::exit::{Exit, Failure};
use super::output::{Table, clean};
use super::remote::Remote;
use super::{Context, pull, tree};
use crate::admin::api::ReleaseQuery;
use crate::admin::op;

/// Folders that one command looks at.
const FOLDERS_MAX: usize = 10_000;

/// Which pulled folders are to be replaced, and why; exit code 8 if any is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders that `process pull` made, or folders of such.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
}

/// How a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// The newest stable version.
    Current,
    /// There is a newer one.
    Superseded,
    /// Its end was announced.
    Deprecated,
    /// It was recalled.
    Withdrawn,
    /// Not known there, or not to be seen.
    Unknown,
}

impl Standing {
    /// As the HTTPS interface writes it.
    pub(super) fn of(text: &str) -> Self {
        match text {
            "current" => Self::Current,
            "superseded" => Self::Superseded,
            "deprecated" => Self::Deprecated,
            "withdrawn" => Self::Withdrawn,
            _ => Self::Unknown,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Deprecated => "deprecated",
            Self::Withdrawn => "WITHDRAWN",
            Self::Unknown => "unknown",
        }
    }
}

/// What a node says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) standing: Standing,
    /// As it is called there.
    pub(super) release: Option<String>,
    /// What to use instead.
    pub(super) instead: Option<String>,
    pub(super) why: Option<String>,
}

/// One folder.
#[derive(Debug, Serialize)]
struct Row {
    folder: PathBuf,
    release: String,
    digest: Sha256,
    standing: Standing,
    /// What to pull instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What a pull left in a folder.
struct Pulled {
    folder: PathBuf,
    release: Option<String>,
    digest: Sha256,
}

pub(super) async fn run(context: &Context<'_>, args: &Args) -> Result<Exit, Failure> {
    let found = find(&args.folders)?;
    let digests: Vec<Sha256> = found.iter().map(|pulled| pulled.digest).collect();
    let answers = match &context.server {
        Some(server) => Remote::open(context, server)?.standing(&digests).await?,
        None => local(context, &digests).await?,
    };
    let row = |(pulled, answer): (Pulled, Answer)| Row {
        folder: pulled.folder,
        release: answer.release.or(pulled.release).unwrap_or_else(|| pulled.digest.to_string()),
        digest: pulled.digest,
        standing: answer.standing,
        instead: answer.instead,
        why: answer.why,
    };
    let rows: Vec<Row> = found.into_iter().zip(answers).map(row).collect();
    context.out.show(&rows, |out, rows| {
        let mut table = Table::new(&["FOLDER", "RELEASE", "STANDING", "USE INSTEAD", "WHY"]);
        for row in rows {
            let folder = row.folder.display().to_string();
            let (instead, why) = (row.instead.as_deref().unwrap_or("–"), row.why.as_deref().unwrap_or(""));
            table.row(&[&folder, &row.release, row.standing.words(), instead, why]);
        }
        table.write(out)
    })?;
    let open = rows.iter().filter(|row| row.standing != Standing::Current).count();
    if open == 0 {
        return Ok(Exit::Ok);
    }
    context.out.note(format!("{open} of {} to be looked at\nnext:  verbund process pull RELEASE FOLDER", rows.len()));
    Ok(Exit::Degraded)
}

/// Asks the daemon.
async fn local(context: &Context<'_>, digests: &[Sha256]) -> Result<Vec<Answer>, Failure> {
    let client = context.client()?;
    let show = async |release: String| {
        let query = ReleaseQuery { federation: context.federation(), release };
        match client.call::<op::ReleaseShow>(&query).await.map_err(Failure::from) {
            Ok(view) => Ok(Some(view)),
            Err(failure) if failure.exit == Exit::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    };
    let mut answers = Vec::with_capacity(digests.len());
    for digest in digests {
        let Some(view) = show(digest.to_string()).await? else {
            answers.push(Answer { standing: Standing::Unknown, release: None, instead: None, why: None });
            continue;
        };
        let process = view.release.split('@').next().unwrap_or_default().to_owned();
        let version = |text: &str| semver::Version::parse(text).ok();
        let newest = show(process).await?.filter(|newest| version(&newest.version) > version(&view.version));
        let (standing, why) = match (view.withdrawn, view.deprecated) {
            (Some(why), _) => (Standing::Withdrawn, Some(why)),
            (None, Some(why)) => (Standing::Deprecated, Some(why)),
            _ if newest.is_some() || view.moved_to.is_some() => (Standing::Superseded, None),
            _ => (Standing::Current, None),
        };
        let instead = view.moved_to.or(newest.map(|newest| newest.release));
        answers.push(Answer { standing, release: Some(view.release), instead, why });
    }
    Ok(answers)
}

/// The folders themselves, or those directly below.
fn find(folders: &[PathBuf]) -> Result<Vec<Pulled>, Failure> {
    let mut found = Vec::new();
    for folder in folders {
        let failed = |error: std::io::Error| {
            Failure::io(format!("cannot read {}", clean(&folder.display().to_string())), &error)
        };
        if let Some(pulled) = pulled(folder)? {
            found.push(pulled);
            continue;
        }
        let before = found.len();
        let mut below = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                below.push(entry.path());
            }
        }
        below.sort();
        for below in below {
            found.extend(pulled(&below)?);
        }
        if found.len() == before {
            let text = format!("{} is no folder that `process pull` made, nor one of such", folder.display());
            return Err(Failure::new(Exit::NotFound, text).next("name the folders that were pulled into"));
        }
        if found.len() > FOLDERS_MAX {
            return Err(Failure::new(Exit::Usage, format!("more than {FOLDERS_MAX} folders")).next("name fewer"));
        }
    }
    Ok(found)
}

/// What was pulled into a folder: by the pull's own note, or by the proof of one that came otherwise.
fn pulled(folder: &Path) -> Result<Option<Pulled>, Failure> {
    if let Some((release, digest)) = pull::noted(folder) {
        return Ok(Some(Pulled { folder: folder.to_owned(), release: Some(release), digest }));
    }
    let path = folder.join(tree::OWN_FOLDER).join("provenance.json");
    if !path.exists() {
        return Ok(None);
    }
    let digest = proven(&path).ok_or_else(|| {
        Failure::new(Exit::Verification, format!("{} is no proof", path.display()))
            .next("`verbund process verify` says why")
    })?;
    Ok(Some(Pulled { folder: folder.to_owned(), release: None, digest }))
}

fn proven(path: &Path) -> Option<Sha256> {
    use base64::Engine as _;
    #[derive(serde::Deserialize)]
    struct Proof {
        release: String,
    }
    let file = tree::open(path).ok()?;
    let proof: Proof = serde_json::from_reader(std::io::Read::take(file, pull::PROVENANCE_MAX as u64)).ok()?;
    let leaf = base64::engine::general_purpose::STANDARD.decode(proof.release).ok()?;
    Envelope::parse(&leaf).ok().map(|envelope| envelope.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_what_their_pull_noted() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "other"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let digest = Sha256::of(b"release");
        for name in ["a", "b"] {
            let own = dir.path().join(name).join(".verbund");
            std::fs::create_dir(&own).unwrap();
            let note = serde_json::json!({ "release": "de-he/x@1.0.0", "digest": digest, "files": {} });
            std::fs::write(own.join("pulled.json"), note.to_string()).unwrap();
        }
        let found = find(&[dir.path().to_owned()]).unwrap();
        let folders: Vec<_> = found.iter().map(|pulled| pulled.folder.file_name().unwrap().to_owned()).collect();
        assert_eq!(folders, ["a", "b"]);
        assert!(found.iter().all(|pulled| pulled.digest == digest));
        let none = find(&[dir.path().join("other")]);
        assert_eq!(none.err().map(|failure| failure.exit), Some(Exit::NotFound));
        let own = dir.path().join("other/.verbund");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("provenance.json"), "{}").unwrap();
        let bad = find(&[dir.path().join("other")]);
        assert_eq!(bad.err().map(|failure| failure.exit), Some(Exit::Verification));
    }
}
