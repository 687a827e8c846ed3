//! `verbund recover` and `verbund store`.

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{Out, Table, bytes};
use crate::admin::api::{GcRequest, RecoverRequest, Scope, Scrub, ScrubRequest};
use crate::admin::op;

/// End recovery by decision, when the members that could vouch for this node stay away.
#[derive(Debug, clap::Args)]
pub(super) struct RecoverArgs {
    /// Sign although it is not certain that this is the newest state. If this data directory is an old copy, the log forks and is
    /// closed for ever. It is recorded who decided.
    #[arg(long, required = true)]
    sign_anyway: bool,
}

pub(super) async fn recover(context: &Context<'_>, args: RecoverArgs) -> Result<(), Failure> {
    let request = RecoverRequest { federation: context.federation(), sign_anyway: args.sign_anyway };
    context.done::<op::Recover>(request, "the node signs").await
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum StoreCommand {
    /// Where the space goes.
    Df,
    /// Compare artifacts with their hashes; exit code 6 if any differs.
    Scrub {
        /// Only the files of this release.
        release: Option<String>,
        /// Start, and do not wait for the end.
        #[arg(long)]
        detach: bool,
    },
    /// Delete artifacts that nothing refers to.
    Gc {
        /// Say only what would be deleted.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Time between two looks at a running scrub.
const SCRUB_POLL: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) async fn store(context: &Context<'_>, command: StoreCommand) -> Result<Exit, Failure> {
    let federation = context.federation();
    match command {
        StoreCommand::Df => {
            let answer = context.call::<op::StoreDf>(Scope { federation }).await?;
            context.out.show(&answer, |out, df| {
                let mut table = Table::plain(2);
                table.row(&["artifacts", &format!("{} in {}", bytes(df.artifact_bytes), df.artifacts)]);
                table.row(&["unfinished", &bytes(df.partial_bytes)]);
                table.row(&["quarantine", &bytes(df.quarantine_bytes)]);
                table.row(&["reclaimable", &bytes(df.reclaimable_bytes)]);
                table.row(&["journal", &bytes(df.journal_bytes)]);
                table.row(&["views", &bytes(df.view_bytes)]);
                table.row(&["free", &format!("{} (floor {})", bytes(df.free_bytes), bytes(df.floor_bytes))]);
                table.write(out)
            })?;
            Ok(Exit::Ok)
        }
        StoreCommand::Scrub { release, detach } => {
            let mut answer =
                context.call::<op::StoreScrub>(ScrubRequest { federation: federation.clone(), release }).await?;
            while !detach && !answer.finished {
                context.out.progress(&scrubbed(&answer));
                tokio::time::sleep(SCRUB_POLL).await;
                answer = context.call::<op::StoreScrubShow>(Scope { federation: federation.clone() }).await?;
            }
            context.out.progress("");
            context.out.show(&answer, |out: &Out, answer| out.line(scrubbed(answer)))?;
            if answer.damaged > 0 {
                context.out.note("what differs is quarantined and fetched again; `verbund events` names it");
            }
            Ok(if answer.damaged > 0 { Exit::Verification } else { Exit::Ok })
        }
        StoreCommand::Gc { dry_run } => {
            let answer = context.call::<op::StoreGc>(GcRequest { federation, dry_run }).await?;
            context.out.show(&answer, |out, gc| {
                let verb = if gc.dry_run { "would delete" } else { "deleted" };
                out.line(format!("{verb} {} artifacts ({}), kept {} for now", gc.artifacts, bytes(gc.bytes), gc.kept))
            })?;
            Ok(Exit::Ok)
        }
    }
}

fn scrubbed(scrub: &Scrub) -> String {
    let end = if scrub.finished { "" } else { " so far" };
    format!("{} of {} artifacts checked{end}, {} damaged", scrub.checked, scrub.artifacts, scrub.damaged)
}
