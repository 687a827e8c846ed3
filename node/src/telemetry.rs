//! The daemon's log: one line per thing that matters, on stderr.
//!
//! Owns the set-up of `tracing`. Never decides what is logged at which place, and nothing that passes here may hold a secret:
//! keys show their public half only, tickets and tokens are never fields.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter was refused.
    #[error("log.level: {0}")]
    Filter(String),
    /// Something else in this process has set one up already.
    #[error("the log is set up already")]
    Already,
}

/// Sends everything that `config` asks for to stderr, from now on and for the whole process.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(config: &Log) -> Result<(), TelemetryError> {
    let subscriber = subscriber(config, std::io::stderr, std::io::stderr().is_terminal())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Already)
}

/// A subscriber that writes to `writer`.
fn subscriber<W>(
    config: &Log,
    writer: W,
    colour: bool,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // What hostile peers can make the libraries say comes first: whoever wants to see it names the target in `log.level`.
    let filter = format!("{},{}", crate::net::LOG_FILTER, config.level.as_str());
    let filter = EnvFilter::try_new(filter).map_err(|e| TelemetryError::Filter(e.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match config.format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).with_target(false).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_current_span(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = Log { format, level: level.parse().unwrap() };
        let subscriber = subscriber(&config, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("fetch", peer = "de-rp");
            let _in = span.enter();
            tracing::info!(release = "de-he/a@1.0.0", "held");
            tracing::debug!("detail");
            tracing::warn!(target: "libp2p_gossipsub::handler", "rubbish came in");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_spans() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((line["message"].as_str(), line["release"].as_str()), (Some("held"), Some("de-he/a@1.0.0")));
        assert_eq!(line["span"]["peer"], "de-rp");
    }

    #[test]
    fn levels_are_kept() {
        assert_eq!(logged(LogFormat::Text, "info").lines().count(), 1);
        assert_eq!(logged(LogFormat::Text, "debug").lines().count(), 2);
        assert_eq!(logged(LogFormat::Text, "off"), "");
    }

    #[test]
    fn what_peers_make_the_libraries_say_is_shown_to_whoever_asks_for_it() {
        assert!(!logged(LogFormat::Text, "trace").contains("rubbish"));
        assert!(logged(LogFormat::Text, "info,libp2p_gossipsub=warn").contains("rubbish"));
    }
}
