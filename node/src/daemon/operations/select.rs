//! What callers name: members, nodes and releases by the text that people type.
//!
//! Owns the reading of selectors and the words when nothing fits. Never changes anything.

use semver::{Version, VersionReq};
use verbund_protocol::charter::certificate::Certified;
use verbund_protocol::charter::rules::Member;
use verbund_protocol::ids::{Handle, MemberId, PeerId, Sha256, Slug};
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, ReleaseRow, key};

use super::super::instance::InstanceError;
use super::super::node::problem;
pub(super) use super::federation::charter;
use crate::admin::{Code, Problem};

/// A view's fault as a problem.
pub fn unreadable(error: RowsError) -> Problem {
    problem(InstanceError::Rows(error))
}

/// The member that `wanted` names: by handle, by member id, or by one of its nodes.
///
/// # Errors
/// [`Code::NotFound`] with the handles that there are.
pub fn member(charter: &Certified, wanted: &str) -> Result<Member, Problem> {
    let by_id = || wanted.parse::<MemberId>().ok().and_then(|id| charter.charter.member(&id));
    let by_handle = || wanted.parse::<Handle>().ok().and_then(|handle| charter.charter.by_handle(&handle));
    let by_node = || wanted.parse::<PeerId>().ok().and_then(|peer| charter.charter.member(&charter.member_of(&peer)?));
    by_handle().or_else(by_id).or_else(by_node).cloned().ok_or_else(|| {
        Problem::new(Code::NotFound, format!("no member {:?} in the newest charter", cut(wanted)))
            .next(format!("there are: {}", handles(charter)))
    })
}

/// The node that `wanted` names, and its member: by handle or member id (then the node that writes), or by peer id. A peer id
/// may be that of a stranger.
///
/// # Errors
/// [`Code::NotFound`] with the handles that there are.
pub fn peer(charter: &Certified, wanted: &str) -> Result<(PeerId, Option<Member>), Problem> {
    if let Ok(peer) = wanted.parse::<PeerId>() {
        let member = charter.member_of(&peer).and_then(|id| charter.charter.member(&id)).cloned();
        return Ok((peer, member));
    }
    let member = member(charter, wanted)?;
    let writer = charter.writer_of(&member.member);
    let writer = writer.ok_or_else(|| Problem::new(Code::NotFound, format!("no node writes for {}", member.handle)))?;
    Ok((writer, Some(member)))
}

/// Splits `[FEDERATION:]REST` of a reference. A colon within a digest is none of a federation.
pub fn split(reference: &str) -> (Option<&str>, &str) {
    match reference.split_once(':') {
        Some((federation, rest)) if rest.contains('/') && federation.parse::<Slug>().is_ok() => {
            (Some(federation), rest)
        }
        _ => (None, reference),
    }
}

/// The federation that a request with a reference is for: what it names itself, else what the reference says.
///
/// # Errors
/// [`Code::BadReference`] if they contradict each other.
pub fn federation<'a>(named: Option<&'a str>, reference: &'a str) -> Result<Option<&'a str>, Problem> {
    match (named, split(reference).0) {
        (Some(a), Some(b)) if a != b => {
            let text = format!("{:?} is of {b}, but {a} was named", cut(reference));
            Err(Problem::new(Code::BadReference, text).next("leave one of the two out"))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// What of a process is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    Newest,
    Exactly(Version),
    Within(VersionReq),
    Digest(Sha256),
}

/// The owner, slug and choice that a reference names.
fn parse(reference: &str) -> Result<(&str, Slug, Which), Problem> {
    let refused = || {
        Problem::new(Code::BadReference, format!("{:?} is not a reference to a release", cut(reference)))
            .next("write owner/process, owner/process@1.2.0, owner/process@^1.2 or owner/process@sha256:…")
    };
    let rest = split(reference).1;
    let (process, which) = match rest.split_once('@') {
        None => (rest, Which::Newest),
        Some((process, which)) if which.starts_with("sha256:") => {
            (process, Which::Digest(which.parse().map_err(|_| refused())?))
        }
        Some((process, which)) => match (Version::parse(which), VersionReq::parse(which)) {
            (Ok(version), _) => (process, Which::Exactly(version)),
            (Err(_), Ok(range)) => (process, Which::Within(range)),
            (Err(_), Err(_)) => return Err(refused()),
        },
    };
    let (owner, slug) = process.split_once('/').ok_or_else(refused)?;
    Ok((owner, slug.parse().map_err(|_| refused())?, which))
}

/// Whether a reference names one release whatever is published later: by version or digest.
///
/// # Errors
/// [`Code::BadReference`] if it is none.
pub fn is_exact(reference: &str) -> Result<bool, Problem> {
    Ok(reference.parse::<Sha256>().is_ok() || matches!(parse(reference)?.2, Which::Exactly(_) | Which::Digest(_)))
}

/// The release that a reference `[FEDERATION:]owner/slug[@version|@range|@sha256:…]` or a bare `sha256:…` names: without a
/// version, and in a range, the highest that is stable and not withdrawn. Blocks.
///
/// # Errors
/// [`Code::BadReference`], [`Code::NotFound`], or a fault of the view.
pub fn release(rows: &dyn Rows, charter: &Certified, reference: &str) -> Result<ReleaseRow, Problem> {
    if let Ok(digest) = reference.parse::<Sha256>() {
        return by_digest(rows, digest)
            .map_err(unreadable)?
            .ok_or_else(|| Problem::new(Code::NotFound, format!("no release {digest} in the catalogue")));
    }
    let (owner, slug, which) = parse(reference)?;
    let owner = member(charter, owner)?;
    let all = releases(rows, &owner.member, &slug).map_err(unreadable)?;
    let process = format!("{}/{slug}", owner.handle);
    if all.is_empty() {
        return Err(Problem::new(Code::NotFound, format!("there is no process {process}"))
            .next(format!("`verbund process search {slug}` looks for it")));
    }
    let listed = all.iter().map(|(version, _)| version.to_string()).collect::<Vec<_>>().join(", ");
    let fits = |found: &&(Version, ReleaseRow)| match &which {
        Which::Newest => found.0.pre.is_empty(),
        Which::Exactly(version) => found.0 == *version,
        Which::Within(range) => range.matches(&found.0),
        Which::Digest(digest) => found.1.id == *digest,
    };
    let open = matches!(which, Which::Newest | Which::Within(_));
    for (_, row) in all.iter().rev().filter(fits) {
        if !open || !withdrawn(rows, row).map_err(unreadable)? {
            return Ok(row.clone());
        }
    }
    let what = match which {
        Which::Newest => "has no stable version that is not withdrawn",
        Which::Within(_) => "has no such version that is not withdrawn",
        Which::Exactly(_) | Which::Digest(_) => "has no such version",
    };
    Err(Problem::new(Code::NotFound, format!("{process} {what}")).next(format!("its versions are: {listed}")))
}

/// All releases of a process that count, ascending by version. Blocks.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn releases(rows: &dyn Rows, member: &MemberId, slug: &Slug) -> Result<Vec<(Version, ReleaseRow)>, RowsError> {
    let all: Vec<ReleaseRow> = state::list(rows, Table::Releases, &key::process(member, slug), usize::MAX)?;
    let mut out = Vec::with_capacity(all.len());
    for row in all {
        let counts = state::log(rows, &row.log)?.is_some_and(|log| log.counts(row.index));
        if let (true, Ok(version)) = (counts, Version::parse(&row.version)) {
            out.push((version, row));
        }
    }
    out.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(out)
}

/// Whether its publisher withdrew a release.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn withdrawn(rows: &dyn Rows, row: &ReleaseRow) -> Result<bool, RowsError> {
    Ok(rows.get(Table::Statements, &key::withdrawal(&row.member, &row.id))?.is_some())
}

fn by_digest(rows: &dyn Rows, digest: Sha256) -> Result<Option<ReleaseRow>, RowsError> {
    let Some(process) = rows.get(Table::Releases, &key::release_id(&digest))? else { return Ok(None) };
    let row: Option<ReleaseRow> = state::get(rows, Table::Releases, &process)?;
    let Some(row) = row.filter(|row| row.id == digest) else { return Ok(None) };
    Ok(state::log(rows, &row.log)?.is_some_and(|log| log.counts(row.index)).then_some(row))
}

fn handles(charter: &Certified) -> String {
    let mut all: Vec<_> = charter.charter.members.iter().map(|m| m.handle.as_str()).collect();
    all.sort_unstable();
    all.join(", ")
}

/// Cut to what fits a line.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_federation_only() {
        assert_eq!(split("mitte:de-he/hund@1.0.0"), (Some("mitte"), "de-he/hund@1.0.0"));
        assert_eq!(split("de-he/hund@sha256:ab"), (None, "de-he/hund@sha256:ab"));
        assert_eq!(split("sha256:ab"), (None, "sha256:ab"));
        assert_eq!(split("mitte:member:aa/hund"), (Some("mitte"), "member:aa/hund"));
        assert_eq!(federation(None, "mitte:de-he/hund").unwrap(), Some("mitte"));
        assert_eq!(federation(Some("mitte"), "de-he/hund").unwrap(), Some("mitte"));
        assert_eq!(federation(Some("süd"), "mitte:de-he/hund").unwrap_err().code, Code::BadReference);
    }

    #[test]
    fn choices_of_a_version() {
        let which = |text: &str| parse(text).map(|(_, _, which)| which).map_err(|p| p.code);
        assert_eq!(which("de-he/hund"), Ok(Which::Newest));
        assert_eq!(which("de-he/hund@1.2.0"), Ok(Which::Exactly(Version::new(1, 2, 0))));
        assert_eq!(which("de-he/hund@^1.2"), Ok(Which::Within(VersionReq::parse("^1.2").unwrap())));
        let digest = Sha256::of(b"x");
        assert_eq!(which(&format!("de-he/hund@{digest}")), Ok(Which::Digest(digest)));
        for bad in ["hund", "de-he/hund@", "de-he/hund@sha256:00", "de-he/HUND", "de-he/hund@one"] {
            assert_eq!(which(bad), Err(Code::BadReference), "{bad}");
        }
        let exact = |text: &str| is_exact(text).map_err(|p| p.code);
        assert_eq!(exact("de-he/hund@1.2.0"), Ok(true));
        assert_eq!(exact(&digest.to_string()), Ok(true));
        assert_eq!((exact("de-he/hund"), exact("de-he/hund@^1")), (Ok(false), Ok(false)));
    }
}
