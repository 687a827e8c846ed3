use std::path::Path;
use std::pin::Pin;

use clap::Parser as _;

use super::*;
use crate::cli::host::{Evidence, Founded, Founding, Scan};
use crate::cli::output::tests::Captured;

/// A daemon that runs until it is stopped.
struct Patient {
    started: tokio::sync::Notify,
}
impl Host for Patient {
    fn run(&self, launch: Launch) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        Box::pin(async move {
            self.started.notify_one();
            launch.stop.cancelled().await;
            Ok(())
        })
    }
    fn found(&self, _: &Founding<'_>) -> Result<Founded, Failure> {
        unreachable!()
    }
    fn scan(&self, _: &Path, _: &crate::publish::Said) -> Result<Scan, Failure> {
        unreachable!()
    }
    fn propose(&self, _: &Path) -> Result<String, Failure> {
        unreachable!()
    }
    fn verify(&self, _: &Evidence<'_>) -> Result<verbund_protocol::provenance::Report, String> {
        unreachable!()
    }
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn with_flags(text: &str, flags: &[&str], socket: Option<&str>, verbose: u8) -> Result<Effective, Failure> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("node.toml"), text).unwrap();
    let host = Patient { started: tokio::sync::Notify::new() };
    let mut out = Captured::default().out(false);
    out.verbose = verbose;
    let context = Context {
        out,
        host: &host,
        data_dir: dir.path().to_owned(),
        socket: socket.map(PathBuf::from),
        federation: None,
        server: None,
    };
    effective(&context, &Line::parse_from(std::iter::once(&"run").chain(flags)).args)
}

#[test]
fn flags_win_over_the_file() {
    let text = "handle = \"de-he\"\nlisten = [\"127.0.0.1:1\"]";
    let flags = ["--listen", "[::1]:0", "--listen", "127.0.0.1:0", "--https", "127.0.0.1:2", "--log-format", "json"];
    let config = with_flags(text, &flags, Some("/run/x.sock"), 1).unwrap().config;
    assert_eq!(config.listen, [Endpoint::new("::1", 0), Endpoint::new("127.0.0.1", 0)]);
    assert_eq!(config.https.listen, [Endpoint::new("127.0.0.1", 2)]);
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Json, "debug"));
    assert_eq!(config.socket(Path::new("/d")), Path::new("/run/x.sock"));
    let config = with_flags(text, &["--log-level", "warn"], None, 2).unwrap().config;
    assert_eq!((config.log.level.as_str(), config.listen.len()), ("warn", 1));
}

#[test]
fn a_directory_without_member_is_refused_with_the_remedy() {
    let failure = with_flags("", &[], None, 0).unwrap_err();
    assert!(failure.next_step.contains("verbund init"), "{failure:?}");
}

#[tokio::test]
async fn a_signal_stops_the_daemon() {
    let host = Patient { started: tokio::sync::Notify::new() };
    let stop = CancellationToken::new();
    let effective = with_flags("handle = \"de-he\"", &[], None, 0).unwrap();
    let launch = Launch { data_dir: PathBuf::new(), effective, stop: stop.clone(), ready: Ready { _private: () } };
    let kill = async {
        // The handlers are in place before the daemon starts.
        host.started.notified().await;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
    };
    let (result, ()) = tokio::join!(supervise(&host, launch, stop.clone()), kill);
    assert_eq!(result, Ok(()));
    assert!(stop.is_cancelled());
}
