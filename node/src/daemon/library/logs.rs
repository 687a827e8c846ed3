//! Logs as monitors read them: checkpoints and tiles, of own and foreign logs alike. Nothing is handed out that is not durable.

use bytes::Bytes;
use verbund_protocol::ids::{PeerId, Slug};
use verbund_protocol::log::Origin;
use verbund_protocol::view::checkpoints::{self, Tile};
use verbund_protocol::view::state;

use super::{NodeLibrary, instance_error};
use crate::http::library::{LibraryError, HeldLog};

impl NodeLibrary {
    pub(super) async fn all_logs(&self, federation: &Slug) -> Result<Vec<HeldLog>, LibraryError> {
        let instance = self.federation(federation).await?.instance;
        let charter = instance.charter().await.map_err(instance_error)?;
        let id = instance.federation;
        let logs = instance.settled(|view, _| state::logs(view)).await.map_err(instance_error)?;
        let member = |owner| charter.as_ref().and_then(|c| c.charter.member(&owner)).map(|m| m.handle.clone());
        let shown = logs.into_iter().filter(|(_, row)| row.size() > 0);
        Ok(shown
            .map(|(log, row)| HeldLog {
                log,
                member: row.owner.and_then(member),
                origin: Origin::new(id, log).to_string(),
                size: row.size(),
            })
            .collect())
    }

    pub(super) async fn newest_checkpoint(&self, federation: &Slug, log: PeerId) -> Result<String, LibraryError> {
        let instance = self.federation(federation).await?.instance;
        let id = instance.federation;
        let newest = instance.settled(move |view, _| checkpoints::newest(view, id, &log)).await;
        let newest = newest.map_err(instance_error)?.ok_or(LibraryError::NotFound)?;
        Ok(newest.to_text())
    }

    pub(super) async fn log_tile(&self, federation: &Slug, log: PeerId, tile: Tile) -> Result<Bytes, LibraryError> {
        let instance = self.federation(federation).await?.instance;
        let read = instance.settled(move |view, _| tile.read(view, &log)).await.map_err(instance_error)?;
        read.map(Bytes::from).ok_or(LibraryError::NotFound)
    }
}
