//! `verbund config`.

use std::path::PathBuf;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{Table, clean};
use crate::admin::api::{ConfigShow, Scope};
use crate::admin::client::ClientError;
use crate::admin::op;
use crate::config::{Layers, check_file, load};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What is in effect, with the origin of each value: of the running daemon, or of the files if none runs.
    Show {
        /// Do not ask the daemon.
        #[arg(long)]
        offline: bool,
        /// Configuration file instead of DATA_DIR/node.toml; implies --offline.
        #[arg(long, value_name = "FILE", env = "VERBUND_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Look for mistakes in file and environment; each is named with its place.
    Check {
        /// Configuration file instead of DATA_DIR/node.toml.
        #[arg(long, value_name = "FILE", env = "VERBUND_CONFIG")]
        config: Option<PathBuf>,
    },
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show { offline, config } => show(context, offline, config).await,
        Command::Check { config } => check(context, config),
    }
}

async fn show(context: &Context<'_>, offline: bool, config: Option<PathBuf>) -> Result<(), Failure> {
    let running = if offline || config.is_some() {
        None
    } else {
        match context.client()?.call::<op::ConfigShow>(&Scope::default()).await {
            Ok(answer) => Some(answer),
            Err(ClientError::Unreachable { .. }) => None,
            Err(error) => return Err(error.into()),
        }
    };
    let answer = match running {
        Some(answer) => answer,
        None => {
            context.out.note("as the next start would read it; no daemon was asked");
            ConfigShow { values: load(&Layers::of(&context.data_dir, config))?.values }
        }
    };
    context.out.show(&answer, |out, answer| {
        let mut table = Table::new(&["KEY", "VALUE", "ORIGIN"]);
        for value in &answer.values {
            let text = if value.value.is_null() { "–".to_owned() } else { value.value.to_string() };
            table.row(&[&value.key, &text, &value.origin]);
        }
        table.write(out)
    })
}

fn check(context: &Context<'_>, config: Option<PathBuf>) -> Result<(), Failure> {
    let layers = Layers::of(&context.data_dir, config);
    let file = layers.file.clone().unwrap_or_default();
    // The file by itself first: its mistakes matter even where a variable hides them.
    let mistakes = match check_file(&file) {
        Ok(mistakes) => mistakes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::io(format!("cannot read {}", file.display()), &error)
                .next("name the data directory with --data-dir, or a file with --config"));
        }
        Err(error) => return Err(Failure::io(format!("cannot read {}", file.display()), &error)),
    };
    if !mistakes.is_empty() {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        return Err(Failure::new(Exit::Usage, lines.join("\n")).next("correct what is named above and check again"));
    }
    let effective = load(&layers)?;
    for warning in &effective.warnings {
        context.out.note(format!("warning: {}", clean(warning)));
    }
    context.out.note(format!("{}: no mistakes", file.display()));
    Ok(())
}
