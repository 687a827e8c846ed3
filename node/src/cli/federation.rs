//! `verbund federation`.

use super::exit::Failure;
use super::output::{Out, Table, clean, list, since};
use super::{Context, member};
use crate::admin::api::{Agreement, CharterLog, FederationCreateRequest, FederationView, Moment, Scope};
use crate::admin::op;
use verbund_protocol::ids::Sha256;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Found a federation; this member is its first.
    Create(CreateArgs),
    /// All federations of this node.
    Ls,
    /// A federation by its newest charter.
    Show,
    /// The charters: who was admitted when, and by whom.
    Log,
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Name for people: "OZG-Verbund Mitte".
    name: String,
    /// Short name for commands and paths; derived from the name if absent.
    #[arg(long)]
    slug: Option<verbund_protocol::ids::Slug>,
    /// Title of the cooperation agreement.
    #[arg(long, value_name = "TITLE", requires_all = ["agreement_uri", "agreement_file"])]
    agreement: Option<String>,
    /// Where the agreement can be read.
    #[arg(long, value_name = "URI", requires = "agreement")]
    agreement_uri: Option<String>,
    /// The agreement itself; its hash is what members accept.
    #[arg(long, value_name = "FILE", requires = "agreement")]
    agreement_file: Option<std::path::PathBuf>,
    /// Licence of releases that name none (SPDX or LicenseRef-…).
    #[arg(long)]
    license: Option<String>,
    /// Terms of releases that name none.
    #[arg(long)]
    terms: Option<String>,
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    let scope = Scope { federation: context.federation() };
    match command {
        Command::Create(args) => create(context, args).await,
        Command::Ls => {
            let answer = context.call::<op::FederationList>(scope).await?;
            context.out.show(&answer, |out, answer| {
                let mut table = Table::new(&["SLUG", "NAME", "CHARTER", "MEMBERS", "QUORUM"]);
                for f in &answer.federations {
                    let (members, quorum) = (f.members.len().to_string(), format!("{} of {}", f.k, f.n));
                    table.row(&[&f.slug, &f.name, &f.version.to_string(), &members, &quorum]);
                }
                table.write(out)
            })
        }
        Command::Show => {
            let answer = context.call::<op::FederationShow>(scope).await?;
            context.out.show(&answer, show)
        }
        Command::Log => {
            let answer = context.call::<op::FederationLog>(scope).await?;
            context.out.show(&answer, log)
        }
    }
}

async fn create(context: &Context<'_>, args: CreateArgs) -> Result<(), Failure> {
    let agreement = match (args.agreement, args.agreement_uri, args.agreement_file) {
        (Some(title), Some(uri), Some(file)) => {
            let bytes =
                std::fs::read(&file).map_err(|error| Failure::io(format!("cannot read {}", file.display()), &error))?;
            Some(Agreement { title, uri, sha256: Sha256::of(&bytes) })
        }
        _ => None,
    };
    let request = FederationCreateRequest {
        federation: None,
        name: args.name,
        slug: args.slug.map(|slug| slug.to_string()),
        agreement,
        license: args.license,
        terms: args.terms,
    };
    let view = context.call::<op::FederationCreate>(request).await?;
    context.out.show(&view, show)?;
    context.out.note("next:  verbund invite --for HANDLE prints a ticket for another member");
    Ok(())
}

fn show(out: &Out, view: &FederationView) -> Result<(), Failure> {
    let mut table = Table::plain(2);
    table.row(&["name", &format!("{} ({})", view.name, view.slug)]);
    table.row(&["fingerprint", &view.fingerprint]);
    table.row(&["charter", &format!("version {}, {} of {} decide", view.version, view.k, view.n)]);
    table.row(&["trust", &format!("{}@{}", view.id, view.charter)]);
    table.row(&["licence", &view.license]);
    if let Some(terms) = &view.terms {
        table.row(&["terms", terms]);
    }
    if let Some(agreement) = &view.agreement {
        table.row(&["agreement", &format!("{} <{}> {}", agreement.title, agreement.uri, agreement.sha256)]);
    }
    table.write(out)?;
    out.line("")?;
    member::table(out, &view.members)
}

fn log(out: &Out, log: &CharterLog) -> Result<(), Failure> {
    let now = Moment::now();
    out.line(format!("{} {}", clean(&log.slug), log.id))?;
    let mut table = Table::new(&["VERSION", "CHANGE", "APPROVED BY", "QUORUM", "LEARNED", "HASH"]);
    for v in &log.versions {
        let quorum = format!("{} of {}", v.k, v.n);
        let learned = format!("{} ago", since(v.learned, now));
        table.row(&[&v.version.to_string(), &v.change, &list(&v.approvals), &quorum, &learned, &v.hash.to_string()]);
    }
    table.write(out)
}
