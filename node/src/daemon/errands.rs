//! Work beside a federation's loop whose end the loop waits for.
//!
//! Owns the promise that each errand is answered exactly once: also if it panics, and if it takes longer than it may. A lost answer
//! would leave a job of the core, and its place among those under way, waiting for ever. Decides nothing.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::mpsc;
use tracing::{Instrument as _, error};
use verbund_protocol::core::Input;

use super::driver::Mail;

/// Why an errand has no result of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It panicked: a fault of this program, whatever the cause.
    #[error("this node failed at it unexpectedly; its log says where")]
    Panicked,
    /// It took longer than it may.
    #[error("it did not end in time")]
    Late,
}

/// Runs `work`, for at most `limit`, and tells the loop what `answer` makes of its end.
pub fn run<T: Send + 'static>(
    letters: mpsc::Sender<Mail>,
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
    answer: impl FnOnce(Result<T, Lost>) -> Input + Send + 'static,
) {
    let task = async move {
        let ended = tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await;
        let result = match ended {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => {
                error!("work beside the loop panicked; the loop is told that it failed");
                Err(Lost::Panicked)
            }
            Err(_) => Err(Lost::Late),
        };
        // A loop that has ended waits for nothing.
        let _ = letters.send(Mail::Input(answer(result))).await;
    };
    tokio::spawn(task.in_current_span());
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(limit: Duration, work: impl Future<Output = &'static str> + Send + 'static) -> String {
        let (letters, mut mailbox) = mpsc::channel(1);
        run(letters, limit, work, |result| Input::Answer {
            tag: 7,
            result: result.map(|text| text.as_bytes().to_vec()).map_err(|e| e.to_string()),
        });
        let Some(Mail::Input(Input::Answer { tag: 7, result })) = mailbox.recv().await else { panic!("no answer") };
        assert!(mailbox.recv().await.is_none(), "one answer, and no more");
        result.map_or_else(|e| e, |bytes| String::from_utf8(bytes).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn every_errand_is_answered_once() {
        let day = Duration::from_secs(86_400);
        assert_eq!(answered(day, async { "done" }).await, "done");
        assert_eq!(answered(day, async { panic!("as planned") }).await, Lost::Panicked.to_string());
        assert_eq!(answered(day, std::future::pending()).await, Lost::Late.to_string());
    }
}
