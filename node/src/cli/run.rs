//! `verbund run`: the daemon's process around the daemon.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::exit::Failure;
use super::host::Launch;
use super::{Context, Host};
use crate::config::{Effective, Endpoint, Layers, LogFormat, load};

/// A stop takes at most so long; then the process ends anyway. Everything acknowledged is durable by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Run the daemon in the foreground until Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file instead of DATA_DIR/node.toml.
    #[arg(long, value_name = "FILE", env = "VERBUND_CONFIG")]
    config: Option<PathBuf>,
    /// Where to listen for peers, instead of `listen`; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<Endpoint>,
    /// What peers are told, instead of `announce`; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    announce: Vec<Endpoint>,
    /// Where to serve HTTPS, instead of `https.listen`; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    https: Vec<Endpoint>,
    /// What to log, instead of `log.level`.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<crate::config::Filter>,
    /// How lines of the log look, instead of `log.format`.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Args {
    /// The flags as the topmost layer of the configuration.
    fn flags(&self, context: &Context<'_>) -> Vec<(String, Vec<String>, String)> {
        let texts = |endpoints: &[Endpoint]| endpoints.iter().map(ToString::to_string).collect::<Vec<_>>();
        let level = match (&self.log_level, context.out.verbose) {
            (Some(filter), _) => vec![filter.to_string()],
            (None, 0) => Vec::new(),
            (None, 1) => vec!["debug".to_owned()],
            (None, _) => vec!["trace".to_owned()],
        };
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let socket = context.socket.iter().map(|path| path.display().to_string()).collect();
        let all = [
            ("listen", texts(&self.listen), "--listen"),
            ("announce", texts(&self.announce), "--announce"),
            ("https.listen", texts(&self.https), "--https"),
            ("log.level", level, "--log-level"),
            ("log.format", format.into_iter().collect(), "--log-format"),
            ("admin.socket", socket, "--socket"),
        ];
        all.into_iter()
            .filter(|(_, values, _)| !values.is_empty())
            .map(|(key, values, flag)| (key.to_owned(), values, flag.to_owned()))
            .collect()
    }
}

/// Runs the daemon until it is told to stop.
pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    without_session_secrets()?;
    // Whatever the daemon creates is its own, unless it says otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let effective = effective(context, args)?;
    crate::telemetry::init(&effective.config.log).map_err(|error| Failure::failed(error.to_string()))?;
    for warning in &effective.warnings {
        warn!("{warning}");
    }
    // One provider for the whole process; with none installed rustls would choose, or panic if it cannot.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))?;
    let stop = CancellationToken::new();
    let launch =
        Launch { data_dir: context.data_dir.clone(), effective, stop: stop.clone(), ready: Ready { _private: () } };
    let result = runtime.block_on(supervise(context.host, launch, stop));
    // Blocking calls that hang, such as a name look-up, do not delay the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// The configuration with all layers; it must name the member.
fn effective(context: &Context<'_>, args: &Args) -> Result<Effective, Failure> {
    let mut layers = Layers::of(&context.data_dir, args.config.clone());
    layers.flags = args.flags(context);
    let file = layers.file.clone().unwrap_or_default();
    let effective = load(&layers)?;
    if effective.config.handle.is_some() {
        return Ok(effective);
    }
    let dir = context.data_dir.display();
    let text = if file.exists() {
        format!("{} names no handle", file.display())
    } else if context.data_dir.exists() {
        format!("{dir} is no data directory of a node: it holds no {}", crate::config::FILE_NAME)
    } else {
        format!("there is no data directory {dir}")
    };
    let exit = if file.exists() { super::Exit::Failed } else { super::Exit::NotFound };
    Err(Failure::new(exit, text).next(format!(
        "make a data directory with `verbund init --data-dir {} --handle de-… --name …`",
        context.data_dir.display()
    )))
}

/// Runs the daemon and turns signals into a stop.
async fn supervise(host: &dyn Host, launch: Launch, stop: CancellationToken) -> Result<(), Failure> {
    let unheard = |error: std::io::Error| Failure::io("cannot listen for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let daemon = host.run(launch);
    tokio::pin!(daemon);
    let name = tokio::select! {
        result = &mut daemon => return result,
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    stop.cancel();
    tokio::select! {
        result = tokio::time::timeout(STOP_TIMEOUT, &mut daemon) => match result {
            Ok(result) => {
                info!("stopped");
                result
            }
            Err(_) => Err(Failure::failed("the daemon did not stop within 5 s and was ended")
                .next("nothing acknowledged is lost; its log says what it was waiting for")),
        },
        _ = interrupt.recv() => Err(Failure::failed("ended at the second Ctrl-C")),
    }
}

/// The TLS library would write session secrets to the file in `SSLKEYLOGFILE`. A variable cannot safely be removed from a running
/// process, so the process starts itself again without it.
fn without_session_secrets() -> Result<(), Failure> {
    const VARIABLE: &str = "SSLKEYLOGFILE";
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| Failure::io("cannot find this program", &error))?;
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).env_remove(VARIABLE).exec();
    Err(Failure::io(format!("cannot start again without {VARIABLE}"), &error).next(format!("unset {VARIABLE}")))
}

/// Tells the world that the daemon is ready.
#[derive(Debug)]
pub struct Ready {
    _private: (),
}

impl Ready {
    /// Announces it: a line on stderr whatever the log level, and `READY=1` for a service manager that waits (sd_notify(3)).
    /// `text` names the addresses.
    pub fn announce(self, text: &str) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "verbund: ready: {text}");
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&socket),
        };
        let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(b"READY=1\n", &to));
        if let Err(error) = sent {
            warn!(%error, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod tests;
