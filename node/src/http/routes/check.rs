//! `POST /{federation}/check`: how digests stand that a system has noted.

use verbund_protocol::ids::Sha256;

use super::call::Call;
use super::processes::item;
use super::table::Answer;
use crate::http::answers::{CheckAnswer, CheckItem, CheckRequest};
use crate::http::library::Checked;
use crate::http::problem::{Code, Problem};

/// Digests of one question: what fits a small body.
const DIGESTS_MAX: usize = 500;

/// `/{federation}/check`
pub(super) async fn check(call: Call) -> Answer {
    let federation = call.federation()?;
    let [] = call.query([])?;
    let invalid = |detail: String| Problem::new(Code::InvalidBody, detail);
    let asked: CheckRequest = serde_json::from_slice(&call.body)
        .map_err(|error| invalid(format!("The body is not {{\"digests\": [\"…\"]}}: {error}")))?;
    if asked.digests.len() > DIGESTS_MAX {
        return Err(invalid(format!("One question has at most {DIGESTS_MAX} digests.")));
    }
    let digest = |(at, text): (usize, &String)| {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        Sha256::from_hex(&hex).map_err(|_| invalid(format!("digests[{at}] is not a SHA-256 of 64 hex digits.")))
    };
    let digests = asked.digests.iter().enumerate().map(digest).collect::<Result<Vec<_>, _>>()?;
    let _making = call.making().await?;
    let found = call.app.library.check(&call.reader, &federation, digests.clone()).await?;
    let body = |(digest, checked): (Sha256, Checked)| CheckItem {
        digest,
        standing: checked.standing,
        kind: checked.kind,
        release: checked.release.map(|summary| item(&federation, summary)),
        path: checked.path,
        newer: checked.newer.map(|summary| item(&federation, summary)),
        reason: checked.reason,
        successor: checked.successor,
    };
    call.json(&CheckAnswer { items: digests.into_iter().zip(found).map(body).collect() })
}
