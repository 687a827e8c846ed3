//! Who has confirmed an own release so far, and the steps to come.
//!
//! Owns the reading of cosignatures and holdings for one release. Changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use verbund_protocol::core::EventKind;
use verbund_protocol::ids::Handle;
use verbund_protocol::view::audience::admits;
use verbund_protocol::view::rows::{Rows, RowsError, Table};
use verbund_protocol::view::state::{self, CosignedRow, ReleaseRow, key};

use super::super::node::{Named, Node, problem};
use super::federation::{charter, count};
use super::releases::{others, own_release};
use crate::admin::api::*;
use crate::admin::{Lines, Problem};

/// Who has confirmed a release so far.
struct Confirmed {
    /// Other members that cosigned the log beyond it.
    cosigned: BTreeSet<Handle>,
    /// Members that hold it.
    held: BTreeSet<Handle>,
    /// Other members.
    others: BTreeSet<Handle>,
    /// Those of them that may have the files.
    audience: BTreeSet<Handle>,
    needed: usize,
}

/// Those of `others` that may have the files.
fn audience(rows: &dyn Rows, row: &ReleaseRow, others: &BTreeSet<Handle>) -> Result<BTreeSet<Handle>, RowsError> {
    let mut admitted = BTreeSet::new();
    for handle in others {
        if admits(rows, row, handle.as_str())? {
            admitted.insert(handle.clone());
        }
    }
    Ok(admitted)
}

async fn confirmed(named: &Named, row: &ReleaseRow) -> Result<Confirmed, Problem> {
    let charter = charter(named).await?;
    let index = row.index;
    let others = others(&charter, row.member);
    let (asked_of, asked_row) = (others.clone(), row.clone());
    let asked = named.instance.query(move |core, view, _| {
        let log = asked_row.log;
        let promises: Result<Vec<CosignedRow>, _> =
            state::list(view, Table::Promises, &key::cosigned_of(&log), usize::MAX);
        (promises, core.holders(&log, index), audience(view, &asked_row, &asked_of))
    });
    let (promises, holders, audience) = asked.await.map_err(problem)?;
    let promises = promises.map_err(|e| problem(e.into()))?;
    let audience = audience.map_err(|e| problem(e.into()))?;
    let handle = |peer| charter.member_of(&peer).and_then(|m| charter.charter.member(&m)).map(|m| m.handle.clone());
    let own = charter.charter.member(&row.member).map(|m| m.handle.clone());
    let cosigned = promises.iter().filter(|p| p.size > index).filter_map(|p| handle(p.cosignature.peer));
    Ok(Confirmed {
        cosigned: cosigned.filter(|h| Some(h) != own.as_ref()).collect(),
        held: holders.into_iter().filter_map(handle).collect(),
        others,
        audience,
        needed: charter.charter.witnesses_needed(),
    })
}

/// The steps of a release so far and to come.
pub async fn release_progress(node: &Arc<Node>, request: ProgressRequest) -> Result<Lines<Tick>, Problem> {
    let named = node.named(request.federation.as_deref()).await?;
    let (row, _) = own_release(node, &named, &request.release).await?;
    let (mut sender, lines) = futures::channel::mpsc::channel::<Result<Tick, Problem>>(64);
    let stop = node.stop().clone();
    tokio::spawn(async move {
        let mut events = named.instance.follow();
        let at = Moment::from_unix_ms(row.published_s * 1_000);
        let mut told = (BTreeSet::new(), BTreeSet::new(), false);
        let mut ticks = vec![Tick::Durable { at }];
        loop {
            match confirmed(&named, &row).await {
                Ok(now) => ticks.extend(news(&mut told, &now)),
                Err(problem) => return drop(sender.send(Err(problem)).await),
            }
            let ended = ticks.iter().any(|t| matches!(t, Tick::Complete { .. }));
            for tick in ticks.drain(..) {
                if sender.send(Ok(tick)).await.is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = relevant(&mut events) => {}
            }
        }
    });
    Ok(lines.boxed())
}

/// Waits for an event that may change who has confirmed something.
async fn relevant(events: &mut tokio::sync::broadcast::Receiver<super::super::events::Told>) {
    loop {
        match events.recv().await {
            Ok(told) => {
                let kind = told.kind.as_ref();
                if matches!(
                    kind,
                    Some(
                        EventKind::Cosigned { .. }
                            | EventKind::HoldingsChanged { .. }
                            | EventKind::CharterAdopted { .. }
                    )
                ) {
                    return;
                }
            }
            // Some were missed: look.
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn news(told: &mut (BTreeSet<Handle>, BTreeSet<Handle>, bool), now: &Confirmed) -> Vec<Tick> {
    let at = Moment::now();
    let mut ticks = Vec::new();
    for handle in now.cosigned.difference(&told.0.clone()) {
        told.0.insert(handle.clone());
        ticks.push(Tick::Cosigned { handle: handle.clone(), at });
    }
    if !told.2 && now.cosigned.len() >= now.needed {
        told.2 = true;
        ticks.push(Tick::Witnessed { witnesses: count(now.cosigned.len()), of: count(now.others.len()), at });
    }
    for handle in now.held.difference(&told.1.clone()) {
        told.1.insert(handle.clone());
        ticks.push(Tick::Held { handle: handle.clone(), at });
    }
    if told.2 && now.audience.is_subset(&now.held) {
        ticks.push(Tick::Complete { at });
    }
    ticks
}
