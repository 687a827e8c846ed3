//! What belongs to the node and to no federation: access tokens and the audit, in a small journal of their own.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use verbund_protocol::ids::MemberId;
use verbund_protocol::record::{Audit, Batch, Local, Record};
use verbund_protocol::view::rows::{Rows as _, Table};
use verbund_protocol::view::state::{self, key};

use super::view::ProtocolFold;
use crate::admin::api::{AuditRecord, Moment};
use crate::http::TokenStore;
use crate::http::tokens::{TokenError, TokenId, TokenRecord};
use crate::store::{Options, Store, StoreError, ViewKind, Weight};

/// Names of token records start so.
const TOKEN: &str = "token/";

/// The node's own journal.
#[derive(Clone)]
pub struct LocalStore(Store);

impl LocalStore {
    /// Opens it in the data directory. Blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data_dir: &Path, member: MemberId) -> Result<Self, StoreError> {
        let mut options = Options::new(member.0);
        // A few hundred rows: not worth a database.
        options.view = ViewKind::Memory;
        options.segment_bytes = 4 << 20;
        let (store, _) = Store::open(&data_dir.join("local"), Arc::new(ProtocolFold::default()), options)?;
        Ok(Self(store))
    }

    /// Ends it.
    pub async fn close(&self) {
        let store = self.0.clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }

    async fn put(&self, record: Record) -> Result<(), StoreError> {
        let store = self.0.clone();
        let frame = Batch { records: vec![record] }.encode().unwrap_or_default();
        let append = tokio::task::spawn_blocking(move || store.append(Weight::Essential, frame)).await;
        let seq = append.unwrap_or(Err(StoreError::Closed))?;
        self.0.durable(seq).await
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
        let rows = self.0.reader().scan(Table::Audit, b"", &from, usize::MAX).map_err(|e| e.to_string())?;
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
        let row = self.0.reader().get(Table::Local, &key::value(&name(id)));
        Box::pin(async move {
            let bytes = row.map_err(|e| TokenError::Store(e.to_string()))?;
            bytes.map(|b| serde_json::from_slice(&b).map_err(|e| TokenError::Store(e.to_string()))).transpose()
        })
    }
    fn all(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, TokenError>> {
        let prefix = key::value(TOKEN);
        let rows = self.0.reader().scan(Table::Local, &prefix, &prefix, usize::MAX);
        Box::pin(async move {
            let rows = rows.map_err(|e| TokenError::Store(e.to_string()))?;
            let read = |(_, value): &(Vec<u8>, Vec<u8>)| serde_json::from_slice(value);
            rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| TokenError::Store(e.to_string()))
        })
    }
}
