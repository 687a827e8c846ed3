//! `verbund process`.

use std::path::PathBuf;

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{Out, Table, bytes, clean, list};
use super::remote::Remote;
use super::{Context, outdated, pull, verify};
use crate::admin::api::{
    Availability, ProcessList, ProcessListRequest, ProcessRequest, ProcessRow, ReleaseQuery, ReleaseView, VersionList,
    VoidRelease,
};
use crate::admin::op;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// All processes.
    Ls(Filter),
    /// Processes in whose texts something occurs.
    Search {
        /// What must occur.
        text: String,
        #[command(flatten)]
        filter: Filter,
    },
    /// A release: metadata, files, who vouches for it, who holds it.
    Show {
        /// [FEDERATION:]de-he/slug[@1.2.0|@^1.2|@sha256:…]
        release: String,
    },
    /// All versions of a process.
    Versions {
        /// de-he/slug
        process: String,
    },
    /// Write a release's files into a folder, with the proof; can be repeated at any time.
    Pull {
        /// [FEDERATION:]de-he/slug[@1.2.0|@^1.2|@sha256:…]
        release: String,
        /// The folder; it is made if missing.
        out: PathBuf,
        /// Replace files that differ and were not pulled before.
        #[arg(long)]
        force: bool,
    },
    Verify(verify::Args),
    Outdated(outdated::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only of this member.
    #[arg(long, value_name = "HANDLE")]
    member: Option<String>,
    /// Withdrawn ones too.
    #[arg(long)]
    withdrawn: bool,
    /// At most so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let federation = context.federation();
    if let Some(server) =
        context.server.as_ref().filter(|_| !matches!(command, Command::Verify(_) | Command::Outdated(_)))
    {
        return elsewhere(context, &Remote::open(context, server)?, command).await;
    }
    match command {
        Command::Ls(filter) => ls(context, None, filter).await?,
        Command::Search { text, filter } => ls(context, Some(text), filter).await?,
        Command::Show { release } => {
            let view = context.call::<op::ReleaseShow>(ReleaseQuery { federation, release }).await?;
            context.out.show(&view, show)?;
        }
        Command::Versions { process } => {
            let answer = context.call::<op::ProcessVersions>(ProcessRequest { federation, process }).await?;
            context.out.show(&answer, versions)?;
        }
        Command::Pull { release, out, force } => return pull::run(context, release, &out, force).await,
        Command::Verify(args) => return verify::run(context, &args),
        Command::Outdated(args) => return outdated::run(context, &args).await,
    }
    Ok(Exit::Ok)
}

/// The same over the HTTPS interface of another node.
async fn elsewhere(context: &Context<'_>, remote: &Remote<'_>, command: Command) -> Result<Exit, Failure> {
    let (text, filter) = match command {
        Command::Ls(filter) => (None, filter),
        Command::Search { text, filter } => (Some(text), filter),
        Command::Show { release } => {
            return context.out.show(&remote.show(&release).await?, show).map(|()| Exit::Ok);
        }
        Command::Pull { release, out, force } => return remote.pull(&release, &out, force).await,
        Command::Versions { .. } | Command::Verify(_) | Command::Outdated(_) => {
            let text = "with --server there are: process ls, search, show, pull, outdated";
            return Err(Failure::new(Exit::Usage, text).next("`curl` shows versions at /api/v1/…/versions"));
        }
    };
    let limit = filter.limit.unwrap_or(usize::MAX);
    let found = remote.list(text.as_deref(), filter.member.as_deref(), filter.withdrawn, limit).await?;
    context.out.show(&found, |out, found| table(out, &found.processes))?;
    if found.processes.is_empty() {
        context.out.note("nothing found");
    }
    Ok(Exit::Ok)
}

/// Rows of one page.
const PAGE: u32 = 500;

/// Lists page by page, so that neither side holds everything at once.
async fn ls(context: &Context<'_>, text: Option<String>, filter: Filter) -> Result<(), Failure> {
    let client = context.client()?;
    let mut request = ProcessListRequest {
        federation: context.federation(),
        text,
        member: filter.member,
        withdrawn: filter.withdrawn,
        limit: Some(PAGE),
        after: None,
    };
    let mut all = ProcessList { processes: Vec::new(), next: None };
    let limit = filter.limit.unwrap_or(usize::MAX);
    loop {
        let mut page = client.call::<op::ProcessList>(&request).await?;
        all.processes.append(&mut page.processes);
        // A daemon that repeated a page would keep us here for ever.
        let repeats = page.next == request.after;
        all.next.clone_from(&page.next);
        request.after = page.next;
        if request.after.is_none() || repeats || all.processes.len() >= limit {
            break;
        }
    }
    all.processes.truncate(limit);
    context.out.show(&all, |out, all| table(out, &all.processes))?;
    if all.processes.is_empty() {
        context.out.note("nothing found");
    }
    Ok(())
}

fn table(out: &Out, processes: &[ProcessRow]) -> Result<(), Failure> {
    if processes.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["PROCESS", "VERSION", "TITLE", "HERE", "WITNESSED", "HELD BY"]);
    for p in processes {
        let mark = match (p.withdrawn, p.deprecated) {
            (true, _) => " (withdrawn)",
            (_, true) => " (deprecated)",
            _ => "",
        };
        let witnessed = format!("{} of {}", p.witnesses, p.witnesses_of);
        let (title, version) = (format!("{}{mark}", p.title), &p.version);
        table.row(&[&p.process, version, &title, available(&p.availability), &witnessed, &list(&p.held_by)]);
    }
    table.write(out)
}

const fn available(availability: &Availability) -> &'static str {
    match availability {
        Availability::Complete => "yes",
        Availability::Pending { .. } => "on its way",
        Availability::Absent { .. } => "no",
    }
}

fn why(availability: &Availability) -> String {
    match availability {
        Availability::Complete => "complete and verified".to_owned(),
        Availability::Pending { missing_bytes, why } => format!("{} missing: {why}", bytes(*missing_bytes)),
        Availability::Absent { why } => format!("not here: {why}"),
    }
}

fn versions(out: &Out, answer: &VersionList) -> Result<(), Failure> {
    out.line(clean(&format!("{} – {}", answer.process, answer.title)))?;
    let mut table = Table::new(&["VERSION", "PUBLISHED", "KIND", "CHANGE", "HERE", "DIGEST"]);
    for v in &answer.versions {
        let change = match (&v.withdrawn, &v.void) {
            (Some(reason), _) => format!("WITHDRAWN: {reason}"),
            (_, Some(reason)) => format!("VOID: {reason}"),
            _ => v.change.clone(),
        };
        let (published, here, digest) = (v.published.to_string(), available(&v.availability), v.digest.to_string());
        table.row(&[&v.version, &published, &v.change_kind, &change, here, &digest]);
    }
    table.write(out)?;
    for void in &answer.void {
        let VoidRelease { version, index, reason } = void;
        out.line(clean(&format!("without effect: {version}, entry {index} of its owner's log: {reason}")))?;
    }
    Ok(())
}

/// A value of the metadata for people: words in a row, everything with parts on a line of its own.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().any(|item| item.is_object()) => {
            items.iter().map(words).collect::<Vec<_>>().join("\n")
        }
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}: {}", words(value))).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

fn show(out: &Out, view: &ReleaseView) -> Result<(), Failure> {
    let mut table = Table::plain(2);
    table.row(&["release", &view.release]);
    table.row(&["title", &view.title]);
    table.row(&["digest", &view.digest.to_string()]);
    table.row(&["published", &view.published.to_string()]);
    if let Some(reason) = &view.withdrawn {
        table.row(&["WITHDRAWN", reason]);
    }
    if let Some(end) = &view.deprecated {
        table.row(&["deprecated", end]);
    }
    if let Some(process) = &view.moved_to {
        table.row(&["moved to", process]);
    }
    table.row(&["here", &why(&view.availability)]);
    let witnessed = format!("{} of {}: {}", view.witnesses, view.witnesses_of, list(&view.witnessed_by));
    table.row(&["witnessed", &witnessed]);
    table.row(&["held by", &list(&view.held_by)]);
    for (key, value) in view.metadata.as_object().into_iter().flatten() {
        if key == "title" || value.is_null() {
            continue;
        }
        // What is written over several lines, and what is a list of more than words, is shown so.
        let text = words(value);
        let mut lines = text.lines();
        table.row(&[key.as_str(), lines.next().unwrap_or_default()]);
        lines.for_each(|line| table.row(&["", line]));
    }
    table.write(out)?;
    out.line(format!("\n{} files, {}", view.files.len(), bytes(view.bytes)))?;
    let mut files = Table::new(&["  PATH", "SIZE", "TYPE", "SHA-256"]);
    for file in &view.files {
        let (path, size) = (format!("  {}", file.path), bytes(file.size));
        files.row(&[&path, &size, &file.media_type, &file.sha256.to_hex()]);
    }
    files.write(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_are_shown_in_words() {
        assert_eq!(words(&json!(["Hund", "Steuer"])), "Hund, Steuer");
        assert_eq!(words(&json!("zwei\nZeilen")), "zwei\nZeilen");
        assert_eq!(words(&json!({ "kind": "none", "n": 3 })), "kind: none; n: 3");
        assert_eq!(
            words(&json!([{ "name": "a" }, { "name": "b", "tags": ["x", "y"] }])),
            "name: a\nname: b; tags: x, y"
        );
        assert_eq!(words(&json!([])), "");
    }
}
