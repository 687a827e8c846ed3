//! What belongs to the node and to no federation: access tokens and the audit, in a small journal of their own.
//!
//! Owns how long an audit record stays: each segment of the journal repeats the tokens, and the oldest segments are forgotten. Every
//! record also stands in the log when it is made, for those who have to keep it longer.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tracing::error;
use verbund_protocol::ids::MemberId;
use verbund_protocol::record::{Audit, Batch, Local, Record};
use verbund_protocol::view::rows::{Change, Rows, Table};
use verbund_protocol::view::state::{self, key};

use super::view::ProtocolFold;
use crate::admin::api::{AuditRecord, Moment};
use crate::http::TokenStore;
use crate::http::tokens::{TokenError, TokenId, TokenRecord};
use crate::store::{Fold, FoldError, FramePosition, OpenReport, Options, Status, Store, StoreError, ViewKind, Weight};

/// Names of token records start so.
const TOKEN: &str = "token/";
/// Bytes of one segment.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Segments that are kept: 28 MiB of audit records and more, some ten thousands.
const SEGMENTS_KEPT: u64 = 8;
/// Audit records that are kept in memory, the newest; about 1 KiB each at most.
const AUDITS_KEPT: u64 = 20_000;

/// The protocol's fold, with a bound to the audit.
#[derive(Default)]
struct LocalFold(ProtocolFold);

/// The number in the sequence of audit records, from the key of one.
fn number_of(row_key: &[u8]) -> Option<u64> {
    row_key.last_chunk::<8>().map(|number| u64::from_be_bytes(*number))
}

impl Fold for LocalFold {
    fn fold(&self, rows: &dyn Rows, at: FramePosition, frame: &[u8]) -> Result<Vec<Change>, FoldError> {
        let mut changes = self.0.fold(rows, at, frame)?;
        let newest = changes.iter().filter(|c| c.table == Table::Audit).filter_map(|c| number_of(&c.key)).max();
        if let Some(newest) = newest {
            // Two go for each that comes: also many are soon within the bound again.
            for (row_key, _) in rows.scan(Table::Audit, b"", b"", 2)? {
                if number_of(&row_key).is_some_and(|number| number.saturating_add(AUDITS_KEPT) <= newest) {
                    changes.push(Change { table: Table::Audit, key: row_key, value: None });
                }
            }
        }
        Ok(changes)
    }
    fn carry(&self, rows: &dyn Rows) -> Result<Vec<Vec<u8>>, FoldError> {
        self.0.carry(rows)
    }
    fn schema(&self) -> u32 {
        self.0.schema()
    }
}

/// The node's own journal.
#[derive(Clone)]
pub struct LocalStore {
    store: Store,
    /// What opening it found.
    report: Arc<OpenReport>,
}

impl LocalStore {
    /// Opens it in the data directory. Blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data_dir: &Path, member: MemberId) -> Result<Self, StoreError> {
        let mut options = Options::new(member.0);
        // A few hundred rows: not worth a database.
        options.view = ViewKind::Memory;
        options.segment_bytes = SEGMENT_BYTES;
        let (store, report) = Store::open(&data_dir.join("local"), Arc::new(LocalFold::default()), options)?;
        if report.damages > 0 {
            error!(
                damages = report.damages,
                "the node's own journal is damaged: look through `verbund token ls`, a token that was revoked may stand again"
            );
        }
        Ok(Self { store, report: Arc::new(report) })
    }

    /// What opening it found.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The journal at a glance.
    pub fn status(&self) -> Status {
        self.store.status()
    }

    /// Waits until the journal has failed, and says why: nothing can be audited then, so the node has to stop.
    pub async fn failure(&self) -> String {
        let mut committed = self.store.committed();
        while committed.changed().await.is_ok() {}
        match self.store.failure() {
            Some(reason) => reason,
            // Closed, because the node is stopping.
            None => std::future::pending().await,
        }
    }

    /// Ends it.
    pub async fn close(&self) {
        let store = self.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    async fn put(&self, record: Record) -> Result<(), StoreError> {
        let store = self.store.clone();
        let frame = Batch { records: vec![record] }.encode().unwrap_or_default();
        let append = tokio::task::spawn_blocking(move || {
            let seq = store.append(Weight::Essential, frame)?;
            // One more than is kept, so that it happens once for each segment.
            if store.segments() > SEGMENTS_KEPT {
                store.forget(usize::try_from(SEGMENTS_KEPT).unwrap_or(usize::MAX))?;
            }
            Ok(seq)
        });
        let seq = append.await.unwrap_or(Err(StoreError::Closed))?;
        self.store.durable(seq).await
    }

    /// Keeps an audit record.
    ///
    /// # Errors
    /// [`StoreError`] if it is not durable.
    pub async fn audit(&self, record: &AuditRecord) -> Result<(), StoreError> {
        let outcome = serde_json::to_string(record).unwrap_or_default();
        let audit = Audit {
            time_ms: record.at.unix_ms(),
            uid: record.uid,
            pid: record.pid.unwrap_or_default(),
            operation: record.operation.clone(),
            outcome,
        };
        self.put(Record::Audit(audit)).await
    }

    /// The newest `limit` audit records since a moment, oldest first.
    ///
    /// # Errors
    /// A text, if the view fails.
    pub fn audits(&self, since: Option<Moment>, limit: usize) -> Result<Vec<AuditRecord>, String> {
        let from = since.map_or(0, Moment::unix_ms).to_be_bytes();
        let rows = self.store.reader().scan(Table::Audit, b"", &from, usize::MAX).map_err(|e| e.to_string())?;
        let newest = rows.iter().rev().take(limit).rev();
        let read =
            |value: &[u8]| state::decode::<Audit>(value).ok().and_then(|a| serde_json::from_str(&a.outcome).ok());
        Ok(newest.filter_map(|(_, value)| read(value)).collect())
    }
}

fn name(id: TokenId) -> String {
    format!("{TOKEN}{id}")
}

impl TokenStore for LocalStore {
    fn put(&self, record: TokenRecord) -> BoxFuture<'_, Result<(), TokenError>> {
        Box::pin(async move {
            let value = serde_json::to_vec(&record).map_err(|e| TokenError::Store(e.to_string()))?;
            let record = Record::Local(Local::Value { name: name(record.id), value });
            self.put(record).await.map_err(|e| TokenError::Store(e.to_string()))
        })
    }
    fn get(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, TokenError>> {
        let row = self.store.reader().get(Table::Local, &key::value(&name(id)));
        Box::pin(async move {
            let bytes = row.map_err(|e| TokenError::Store(e.to_string()))?;
            bytes.map(|b| serde_json::from_slice(&b).map_err(|e| TokenError::Store(e.to_string()))).transpose()
        })
    }
    fn all(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, TokenError>> {
        let prefix = key::value(TOKEN);
        let rows = self.store.reader().scan(Table::Local, &prefix, &prefix, usize::MAX);
        Box::pin(async move {
            let rows = rows.map_err(|e| TokenError::Store(e.to_string()))?;
            let read = |(_, value): &(Vec<u8>, Vec<u8>)| serde_json::from_slice(value);
            rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| TokenError::Store(e.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> AuditRecord {
        AuditRecord {
            at: Moment::from_unix_ms(1_700_000_000_000 + n),
            uid: 1000,
            user: Some("betrieb".into()),
            pid: Some(7),
            operation: "release.publish".into(),
            subject: "x".repeat(300),
            federation: None,
            outcome: "ok".into(),
        }
    }

    fn token(id: u64, revoked: bool) -> TokenRecord {
        TokenRecord {
            id: format!("{id:016x}").parse().unwrap(),
            name: "civento".into(),
            hash: verbund_protocol::ids::Blake3([1; 32]),
            scopes: Default::default(),
            federations: None,
            created_s: 0,
            expires_s: None,
            revoked_s: revoked.then_some(9),
        }
    }

    /// Years of audit: memory and disk stay within their bounds, the newest records are there, and a token that was revoked before
    /// all of them still is.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_audit_is_bounded_and_a_revocation_outlives_its_segment() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path(), MemberId([3; 32])).unwrap();
        TokenStore::put(&store, token(1, false)).await.unwrap();
        TokenStore::put(&store, token(1, true)).await.unwrap();
        // As many as fill ten segments; written through the store at once, for each by itself is a sync.
        let total = 12 * SEGMENT_BYTES / 900;
        for n in 0..total {
            let outcome = serde_json::to_string(&record(n)).unwrap();
            let at = record(n).at.unix_ms();
            let audit = Audit { time_ms: at, uid: 1, pid: 1, operation: "x".repeat(300), outcome };
            let frame = Batch { records: vec![Record::Audit(audit)] }.encode().unwrap();
            store.store.append(Weight::Essential, frame).unwrap();
        }
        store.audit(&record(total)).await.unwrap();
        store.audit(&record(total + 1)).await.unwrap();
        let check = |store: &LocalStore| {
            let status = store.status();
            assert!(status.segments <= SEGMENTS_KEPT + 1, "{} segments", status.segments);
            let newest = store.audits(None, usize::MAX).unwrap();
            assert!(newest.len() as u64 <= AUDITS_KEPT + 1, "{} records", newest.len());
            assert_eq!(newest.last().unwrap().at, record(total + 1).at);
        };
        check(&store);
        store.close().await;
        drop(store);
        let store = LocalStore::open(dir.path(), MemberId([3; 32])).unwrap();
        assert_eq!((store.report().damages, &store.report().cut_tail), (0, &None));
        check(&store);
        let held = TokenStore::get(&store, token(1, true).id).await.unwrap().unwrap();
        assert_eq!(held.revoked_s, Some(9));
    }
}
