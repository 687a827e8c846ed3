//! One daemon as a child process, and the directory that all nodes of a test share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Outcome, PATIENCE, admin_get, program, until, within};

/// The command promises to stop within 5 s; the rest is for a busy machine.
const STOP: Duration = Duration::from_secs(15);
/// How often a command that may be given up is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Lines of a log that a failed test shows.
const TAIL: usize = 40;

/// Settings under which tests need not wait for what takes seconds or minutes in operation.
const QUICK: [(&str, &str); 6] = [
    ("VERBUND_SYNC__POLL_INTERVAL", "300ms"),
    ("VERBUND_SYNC__FRESHNESS", "2s"),
    ("VERBUND_START__WAIT", "200ms"),
    ("VERBUND_START__QUORUM_WAIT", "1s"),
    ("VERBUND_START__ALONE_WAIT", "300ms"),
    ("VERBUND_LOG__LEVEL", "info"),
];

/// A directory for a test: removed at its end, or kept if `KEEP` is set.
#[derive(Debug)]
pub struct World {
    dir: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A new one. Its path is short: that of a socket has at most 107 bytes.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("vb").tempdir().expect("a temporary directory");
        Self { path: dir.path().to_path_buf(), dir: Some(dir) }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A data directory for a member, listening on loopback; not yet running.
    pub fn init(&self, handle: &str, name: &str) -> Node {
        self.init_at(handle, handle, name, "127.0.0.1:0")
    }

    /// The same in the folder `folder`, listening at `listen`.
    pub fn init_at(&self, folder: &str, handle: &str, name: &str, listen: &str) -> Node {
        let mut node = Node::at(self.join(folder), handle);
        node.command(["init", "--handle", handle, "--name", name, "--listen", listen, "--https", "127.0.0.1:0"]).ok();
        node.name = name.to_owned();
        node
    }

    /// The same, running.
    pub fn start(&self, handle: &str, name: &str) -> Node {
        let mut node = self.init(handle, name);
        node.start();
        node
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("KEEP").is_some()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("kept: {}", dir.keep().display());
        }
    }
}

/// A node: its data directory, and its daemon while it runs.
#[derive(Debug)]
pub struct Node {
    /// The member's handle.
    pub handle: String,
    /// The member's name.
    pub name: String,
    /// The data directory.
    pub dir: PathBuf,
    /// What the daemon is started with beside its file; changes take effect at the next start.
    pub env: BTreeMap<String, String>,
    /// The network namespace that the daemon runs in, if not the test's own.
    pub inside: Option<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node in a directory that exists already, such as a copy of another one's.
    pub fn at(dir: PathBuf, handle: &str) -> Self {
        let env = QUICK.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let log = dir.with_extension("log");
        Self { handle: handle.to_owned(), name: handle.to_owned(), dir, env, inside: None, log, child: None }
    }

    /// Sets a key of the configuration for the next start: `set("gossip.enabled", "false")`.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.env.insert(format!("VERBUND_{}", key.to_uppercase().replace('.', "__")), value.to_owned());
        self
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Panics
    /// If it ends instead, or is not ready in time.
    #[track_caller]
    pub fn start(&mut self) -> &mut Self {
        let from = self.log_size();
        if let Some(status) = self.start_or_end() {
            let text = read_from(&self.log, from);
            panic!("{} ended with {status} instead of getting ready:\n{text}", self.handle);
        }
        self
    }

    /// Starts the daemon and waits until it is ready, or has ended: how.
    ///
    /// # Panics
    /// If neither happens in time.
    #[track_caller]
    pub fn start_or_end(&mut self) -> Option<ExitStatus> {
        let from = self.log_size();
        self.spawn();
        let log = self.log.clone();
        until("the daemon is ready", || {
            // In this order: what it says before its end is not missed.
            let ended = self.ended();
            if read_from(&log, from).contains("verbund: ready:") {
                return Ok(None);
            }
            ended.map(Some).ok_or_else(|| "no line `verbund: ready:` on stderr".to_owned())
        })
    }

    /// Starts the daemon and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.handle);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let child = self
            .prepare(self.inside.as_deref())
            .arg("run")
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        self.child = Some(child);
    }

    /// The command line for this node, without the surroundings' settings; in a network namespace if one is given.
    fn prepare(&self, inside: Option<&str>) -> Command {
        let mut command = match inside {
            // It becomes the program that it starts, with the same process id.
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program());
                command
            }
            None => Command::new(program()),
        };
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("VERBUND_") {
                command.env_remove(key);
            }
        }
        command.arg("--data-dir").arg(&self.dir);
        command
    }

    /// Process id of the daemon.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("{} does not run", self.handle)).id()
    }

    /// Whether the daemon runs.
    pub fn runs(&mut self) -> bool {
        self.child.is_some() && self.ended().is_none()
    }

    /// How the daemon ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("the state of a child"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("a signal to a child");
    }

    /// Ends the daemon without warning, as a power cut does to a process.
    pub fn kill(&mut self) -> &mut Self {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the end of a child");
            child.wait().expect("the end of a child");
        }
        self
    }

    /// The same while others still use this value; [`Self::revive`] or [`Self::kill`] sees to the rest.
    pub fn strike(&self) {
        self.signal(Signal::KILL);
    }

    /// Starts the daemon if it does not run any more.
    #[track_caller]
    pub fn revive(&mut self) -> &mut Self {
        // Whoever was struck may not have ended yet.
        let ended = within(STOP, "the end of a daemon that was killed, or its answer", || match self.ended() {
            Some(_) => Ok(true),
            None if self.try_get("/v1/status").is_ok() => Ok(false),
            None => Err("neither".to_owned()),
        });
        if ended {
            self.kill().start();
        }
        self
    }

    /// Halts the daemon: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a halted daemon go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the daemon as an operator does (SIGTERM) and waits for it.
    ///
    /// # Panics
    /// If it does not end in time, or not with success.
    #[track_caller]
    pub fn stop(&mut self) -> &mut Self {
        self.signal(Signal::TERM);
        let status = within(STOP, "the daemon stops at SIGTERM", || self.ended().ok_or_else(|| "it runs".to_owned()));
        self.child = None;
        assert!(status.success(), "{} ended with {status} at SIGTERM", self.handle);
        self
    }

    /// Stops and starts it.
    #[track_caller]
    pub fn restart(&mut self) -> &mut Self {
        self.stop().start()
    }

    /// Carries out a command for this node.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, arguments: I) -> Outcome {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_os_string()).collect();
        let output = self.prepare(None).args(&arguments).stdin(Stdio::null()).output().expect("the command starts");
        Outcome::of(&self.handle, &arguments, &output)
    }

    /// The same, but given up after `limit`: `None` if it still ran then.
    pub fn attempt<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        limit: Duration,
        arguments: I,
    ) -> Option<Outcome> {
        let arguments: Vec<_> = arguments.into_iter().map(|a| a.as_ref().to_os_string()).collect();
        let mut command = self.prepare(None);
        command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let start = Instant::now();
        while child.try_wait().expect("the state of a child").is_none() {
            if start.elapsed() > limit {
                child.kill().expect("the end of a child");
                child.wait().expect("the end of a child");
                return None;
            }
            std::thread::sleep(LOOK);
        }
        // What such a command says fits into a pipe.
        Some(Outcome::of(&self.handle, &arguments, &child.wait_with_output().expect("the end of a child")))
    }

    /// Carries out a command written with spaces; for paths and texts use [`Self::command`].
    pub fn cli(&self, line: &str) -> Outcome {
        self.command(line.split_whitespace())
    }

    /// A command with `--json`, which must succeed.
    #[track_caller]
    pub fn json(&self, line: &str) -> Value {
        self.cli(&format!("--json {line}")).json()
    }

    /// A state from the admin socket: `get("/v1/status")`.
    ///
    /// # Panics
    /// If the daemon does not answer with success.
    #[track_caller]
    pub fn get(&self, target: &str) -> Value {
        self.try_get(target).unwrap_or_else(|why| panic!("{}: {target}: {why}", self.handle))
    }

    /// The same; `Err` says what came instead.
    pub fn try_get(&self, target: &str) -> Result<Value, String> {
        let answer = admin_get(&self.dir.join("admin.sock"), target).map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(answer.json()),
            status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
        }
    }

    /// `status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.get("/v1/status")
    }

    /// The federation `slug` in `status`; `Null` if the node is not in it.
    #[track_caller]
    pub fn federation(&self, slug: &str) -> Value {
        let status = self.status();
        let mut all = status["federations"].as_array().expect("federations").iter();
        all.find(|federation| federation["slug"] == slug).cloned().unwrap_or_default()
    }

    /// Every event that the daemon still remembers, oldest first.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        self.get("/v1/events?limit=1000")["events"].as_array().expect("events").clone()
    }

    /// Publishes a folder, once the node may sign after a start; what `--json` says.
    #[track_caller]
    pub fn publish(&self, folder: &Path) -> Value {
        self.publish_in(None, folder)
    }

    /// The same in one of several federations.
    #[track_caller]
    pub fn publish_in(&self, slug: Option<&str>, folder: &Path) -> Value {
        let mut arguments: Vec<std::ffi::OsString> = vec!["--json".into(), "--quiet".into()];
        arguments.extend(slug.into_iter().flat_map(|slug| ["--federation".into(), slug.into()]));
        arguments.extend(["publish".into(), folder.into(), "--wait".into(), "durable".into()]);
        until(&format!("{} may sign", self.handle), || {
            let said = self.command(&arguments);
            if said.code == 8 && said.stderr.contains("\"recovering\"") { Err(said.to_string()) } else { Ok(said) }
        })
        .json()
    }

    /// Versions of `process` that it lists as valid and holds complete, and all that it lists as valid; none while it knows none.
    pub fn versions(&self, process: &str) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
        let said = self.command(["process", "versions", process, "--json"]);
        if said.code == 4 {
            return Ok(Default::default());
        }
        let view: Value = serde_json::from_str(&said.stdout).map_err(|_| said.to_string())?;
        let rows = view["versions"].as_array().cloned().unwrap_or_default();
        let named = |row: &Value| row["version"].as_str().unwrap_or_default().to_owned();
        let valid: Vec<_> = rows.iter().filter(|row| row["void"].is_null()).collect();
        let held = valid.iter().filter(|row| row["availability"]["state"] == "complete").map(|row| named(row));
        Ok((held.collect(), valid.iter().map(|row| named(row)).collect()))
    }

    /// Memory of the daemon now, in bytes (resident set).
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the daemon's state");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
    }

    /// The log since the first start.
    pub fn log(&self) -> String {
        read_from(&self.log, 0)
    }

    fn log_size(&self) -> u64 {
        self.log.metadata().map_or(0, |meta| meta.len())
    }

    /// The end of the log, for a failed test.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits until a line of the log contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        within(PATIENCE, &format!("{text:?} in the log of {}", self.handle), || {
            if self.log().contains(text) { Ok(()) } else { Err("no such line".to_owned()) }
        });
    }

    /// How long the daemon has run, roughly; for messages only.
    pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Duration) {
        let start = Instant::now();
        (work(), start.elapsed())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\n===== end of the log of {} ({})\n{}", self.handle, self.dir.display(), self.log_tail());
        }
        self.kill();
    }
}

fn read_from(path: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        use std::io::Seek as _;
        let _ = file.seek(std::io::SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
