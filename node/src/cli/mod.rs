//! The command line: one binary, also the daemon.
//!
//! Owns the command tree, what people see, and exit codes. Data go to stdout, messages to stderr. Every command but `init`, `run`,
//! `config`, `process verify` and the generators speaks to the daemon over its admin socket, and does nothing else; with `--server`
//! `process` speaks to the HTTPS interface of another node. Nothing here
//! opens the daemon's files while it runs.

mod events;
pub mod exit;
mod federation;
pub mod host;
mod init;
mod member;
mod node;
mod outdated;
pub mod output;
mod peer;
mod process;
mod publish;
mod pull;
mod remote;
mod run;
mod settings;
mod status;
mod token;
mod tree;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use crate::admin::api::Done;
use crate::admin::calls::Call;
use crate::admin::client::Client;
use crate::config::{ConfigError, Layers, load};
pub use exit::{Exit, Failure};
pub use host::Host;
use output::Out;
pub(crate) use remote::roots;
pub use run::Ready;

/// Where a node lies when nothing else is said.
const DATA_DIR: &str = "/var/lib/verbund";

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 daemon unreachable, \
     6 verification failed, 7 timed out, 8 degraded or unanchored";

/// Verbund: states exchange administrative processes without a central server.
#[derive(Debug, Parser)]
#[command(name = "verbund", version, propagate_version = true, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The node's data directory [default: /var/lib/verbund].
    #[arg(long, global = true, value_name = "DIR", env = "VERBUND_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// The admin socket, if it is not where the configuration says.
    #[arg(long, global = true, value_name = "PATH", env = "VERBUND_SOCKET", hide_env_values = true)]
    socket: Option<PathBuf>,
    /// The federation, by slug or id; needed only on a node with several.
    #[arg(long, global = true, value_name = "SLUG", env = "VERBUND_FEDERATION", hide_env_values = true)]
    federation: Option<String>,
    /// Ask the HTTPS interface of this node instead of a daemon here: https://HOST:PORT (only `process`).
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// The file that holds the token for --server.
    #[arg(long, global = true, value_name = "FILE", env = "VERBUND_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// The certificate that --server shows, or of its authority (PEM); absent: what this system trusts.
    #[arg(long, global = true, value_name = "FILE", env = "VERBUND_CACERT", hide_env_values = true)]
    cacert: Option<PathBuf>,
    /// Data as JSON on stdout, failures as JSON on stderr.
    #[arg(long, global = true)]
    json: bool,
    /// No messages but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// More messages; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    /// The whole node on one screen; exit code 8 if something is wrong with it.
    Status,
    /// Federations: found, show, history.
    #[command(subcommand)]
    Federation(federation::Command),
    Invite(peer::InviteArgs),
    /// Peers: join a federation, look at connections, pause, block.
    #[command(subcommand)]
    Peer(peer::Command),
    /// Members: requests, admission, expulsion.
    #[command(subcommand)]
    Member(member::Command),
    Publish(publish::Args),
    Withdraw(publish::WithdrawArgs),
    /// The catalogue: find, look at, pull, verify.
    #[command(subcommand)]
    Process(process::Command),
    /// Replication: what is missing, why, from whom.
    #[command(subcommand)]
    Sync(status::SyncCommand),
    Events(events::EventsArgs),
    Audit(events::AuditArgs),
    /// Tokens for IT systems.
    #[command(subcommand)]
    Token(token::Command),
    /// Configuration: what is in effect, what is wrong.
    #[command(subcommand)]
    Config(settings::Command),
    Recover(node::RecoverArgs),
    /// Artifacts on disk.
    #[command(subcommand)]
    Store(node::StoreCommand),
    /// Completions for a shell, on stdout.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, on stdout.
    Man,
}

/// What every command works with.
pub(crate) struct Context<'h> {
    pub(crate) out: Out,
    pub(crate) host: &'h dyn Host,
    pub(crate) data_dir: PathBuf,
    /// The socket, if the caller named it.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) federation: Option<String>,
    /// The server, if another node's is to be asked.
    pub(crate) server: Option<remote::Server>,
}

impl Context<'_> {
    /// A client for the daemon. The socket is, in this order: the one named, the one configured, the one in the data directory.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let socket = self.where_to()?;
        if self.out.verbose > 0 {
            self.out.note(format!("asking the daemon at {}", socket.display()));
        }
        Ok(Client::new(socket))
    }

    fn where_to(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        match load(&Layers::of(&self.data_dir, None)) {
            Ok(effective) => Ok(effective.config.socket(&self.data_dir)),
            // The directory may be closed to this user while the socket is not.
            Err(ConfigError::Unreadable { .. }) => Ok(self.data_dir.join("admin.sock")),
            Err(mistakes) => Err(mistakes.into()),
        }
    }

    /// Does one plain operation.
    pub(crate) async fn call<C: Call>(&self, request: C::Request) -> Result<C::Answer, Failure> {
        Ok(self.client()?.call::<C>(&request).await?)
    }

    /// Does one plain operation of which there is nothing to show but that it was done.
    pub(crate) async fn done<C: Call<Answer = Done>>(&self, request: C::Request, text: &str) -> Result<(), Failure> {
        let done = self.call::<C>(request).await?;
        if self.out.json {
            return self.out.json(&done);
        }
        self.out.note(output::clean(if done.text.is_empty() { text } else { &done.text }));
        Ok(())
    }

    /// The federation for a request.
    pub(crate) fn federation(&self) -> Option<String> {
        self.federation.clone()
    }
}

/// Runs the command line with the process's arguments.
pub fn main(host: &dyn Host) -> ExitCode {
    let (out, result) = start(host, std::env::args_os());
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            out.failure(&failure);
            failure.exit.into()
        }
    }
}

/// Parses and carries out; the way of writing comes back so that a failure can be told in it.
fn start(host: &dyn Host, arguments: impl Iterator<Item = OsString>) -> (Out, Result<Exit, Failure>) {
    let arguments: Vec<OsString> = arguments.collect();
    let json = asks_for_json(&arguments);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Help and version are no errors; a reader that left is none either.
        Err(error) if error.exit_code() == 0 || !json => {
            let _ = error.print();
            let exit = if error.exit_code() == 0 { Exit::Ok } else { Exit::Usage };
            return (Out::process(false, false, 0), Ok(exit));
        }
        Err(error) => return (Out::process(true, false, 0), Err(misunderstood(&error))),
    };
    let Global { data_dir, socket, federation, server, token_file, cacert, json, quiet, verbose } = cli.global;
    let server = server.map(|url| remote::Server { url, token_file, cacert });
    let out = Out::process(json, quiet, verbose);
    let data_dir = data_dir.unwrap_or_else(|| DATA_DIR.into());
    let context = Context { out: out.clone(), host, data_dir, socket, federation, server };
    if context.server.is_some() && !matches!(cli.command, Command::Process(_)) {
        let text = "--server goes with `process` only: everything else is the matter of a node's own operator";
        return (out, Err(Failure::new(Exit::Usage, text)));
    }
    (out, carry_out(&context, cli.command))
}

/// Whether a command line that may not be understood asks for JSON.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

/// What was not understood, for programs.
fn misunderstood(error: &clap::Error) -> Failure {
    let text = error.to_string();
    // The first line says what; usage and tips are for people.
    let said = text.trim_start_matches("error: ").split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more").next().unwrap_or_default().trim();
    Failure::new(Exit::Usage, said).next("`verbund help`, or --help after the command, shows what there is")
}

/// Carries out a command.
fn carry_out(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let ok = |()| Exit::Ok;
    match command {
        Command::Init(args) => init::run(context, &args).map(ok),
        Command::Run(args) => run::run(context, &args).map(ok),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "verbund", &mut text);
            context.out.raw(&text).map(ok)
        }
        Command::Man => manual(&context.out).map(ok),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::io("cannot start the runtime", &error))?;
            runtime.block_on(speak(context, command))
        }
    }
}

/// Carries out a command that may speak to the daemon.
async fn speak(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let ok = |()| Exit::Ok;
    match command {
        Command::Status => status::status(context).await,
        Command::Federation(command) => federation::run(context, command).await.map(ok),
        Command::Invite(args) => peer::invite(context, args).await.map(ok),
        Command::Peer(command) => peer::run(context, command).await.map(ok),
        Command::Member(command) => member::run(context, command).await.map(ok),
        Command::Publish(args) => publish::run(context, args).await,
        Command::Withdraw(args) => publish::withdraw(context, args).await.map(ok),
        Command::Process(command) => process::run(context, command).await,
        Command::Sync(command) => status::sync(context, command).await,
        Command::Events(args) => events::events(context, args).await.map(ok),
        Command::Audit(args) => events::audit(context, args).await.map(ok),
        Command::Token(command) => token::run(context, command).await.map(ok),
        Command::Config(command) => settings::run(context, command).await.map(ok),
        Command::Recover(args) => node::recover(context, args).await.map(ok),
        Command::Store(command) => node::store(context, command).await,
        Command::Init(_) | Command::Run(_) | Command::Completions { .. } | Command::Man => Ok(Exit::Ok),
    }
}

/// The manual: a page for the program and one for each command, one after the other.
fn manual(out: &Out) -> Result<(), Failure> {
    fn pages(command: &clap::Command, text: &mut Vec<u8>) -> std::io::Result<()> {
        let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        clap_mangen::Man::new(command.clone()).title(title).render(text)?;
        command.get_subcommands().filter(|sub| sub.get_name() != "help").try_for_each(|sub| pages(sub, text))
    }
    let mut root = Cli::command();
    root.build();
    let mut text = Vec::new();
    pages(&root, &mut text).map_err(|error| Failure::io("cannot make the manual", &error))?;
    out.raw(&text)
}

#[cfg(test)]
mod tests;
