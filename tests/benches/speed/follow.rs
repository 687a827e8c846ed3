//! Events of a daemon, stamped when they arrive here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An event and when it came.
pub type Stamped = (Instant, Value);

/// Follows the events of one daemon on a thread of its own, from now on.
pub struct Follower {
    events: Receiver<Stamped>,
}

impl Follower {
    /// Follows events of this code at the admin socket below `dir`.
    pub fn start(dir: &Path, code: &str) -> Self {
        let mut stream = UnixStream::connect(dir.join("admin.sock")).expect("the admin socket");
        write!(stream, "GET /v1/events/follow?code={code} HTTP/1.1\r\nHost: verbund\r\n\r\n").expect("a request");
        let mut lines = BufReader::new(stream);
        // The head has come: the daemon follows from here on.
        let mut head = String::new();
        while head != "\r\n" {
            head.clear();
            assert!(lines.read_line(&mut head).expect("an answer") > 0, "the daemon hung up");
        }
        let (tell, events) = sync_channel(1 << 20);
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                let now = Instant::now();
                // Lines of chunk lengths stand between those of events.
                if let Some(event) = line.strip_suffix('\n').and_then(|l| serde_json::from_str::<Value>(l).ok())
                    && event.is_object()
                    && tell.send((now, event)).is_err()
                {
                    break;
                }
                line.clear();
            }
        });
        Self { events }
    }

    /// The first event that fits; those before it are dropped.
    pub fn wait(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Stamped {
        self.until(Instant::now() + Duration::from_secs(600), fits).unwrap_or_else(|| panic!("in vain: {what}"))
    }

    /// The same with a bound.
    pub fn until(&self, end: Instant, fits: impl Fn(&Value) -> bool) -> Option<Stamped> {
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((at, event)) if fits(&event) => return Some((at, event)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}
