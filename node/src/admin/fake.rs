//! A daemon for tests: answers what it was told to, remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use verbund_protocol::ids::{Blake3, Sha256};

use super::api::*;
use super::calls::{Answer, Daemon, Download, Lines, Upload, with_operations};
use super::problem::{Code, Problem};

/// See the module.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) answers: Mutex<BTreeMap<&'static str, Result<Value, Problem>>>,
    pub(crate) calls: Mutex<Vec<(&'static str, Value)>>,
    pub(crate) audits: Mutex<Vec<AuditRecord>>,
    /// Audit records cannot be written.
    pub(crate) audit_broken: bool,
    /// Files by path, as `file_get` gives them.
    pub(crate) files: Mutex<BTreeMap<String, Bytes>>,
    /// Lines of every stream; without them the stream stays open and silent.
    pub(crate) lines: Mutex<Vec<Result<Value, Problem>>>,
    /// Plain operations wait for it before they answer.
    pub(crate) gate: Option<tokio::sync::Semaphore>,
}

impl Fake {
    pub(crate) fn answers(self, method: &'static str, value: impl Serialize) -> Self {
        self.answers.lock().unwrap().insert(method, Ok(serde_json::to_value(value).unwrap()));
        self
    }
    pub(crate) fn refuses(self, method: &'static str, problem: Problem) -> Self {
        self.answers.lock().unwrap().insert(method, Err(problem));
        self
    }
    pub(crate) fn asked(&self, method: &str) -> Vec<Value> {
        self.calls.lock().unwrap().iter().filter(|(m, _)| *m == method).map(|(_, v)| v.clone()).collect()
    }

    fn preset(&self, method: &'static str, request: impl Serialize) -> Result<Value, Problem> {
        self.calls.lock().unwrap().push((method, serde_json::to_value(request).unwrap()));
        let preset = self.answers.lock().unwrap().get(method).cloned();
        preset.unwrap_or_else(|| Err(Problem::new(Code::Unsupported, format!("{method} was not expected"))))
    }
    fn answer<T: DeserializeOwned + Send>(&self, method: &'static str, request: impl Serialize) -> Answer<'_, T> {
        let preset = self.preset(method, request);
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(serde_json::from_value(preset?).unwrap())
        })
    }
    fn stream<T: DeserializeOwned + Send + 'static>(&self) -> Answer<'_, Lines<T>> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let open = lines.is_empty();
        let first = stream::iter(lines.into_iter().map(|l| l.map(|v| serde_json::from_value(v).unwrap())));
        let lines: Lines<T> = if open { Box::pin(first.chain(stream::pending())) } else { Box::pin(first) };
        Box::pin(async { Ok(lines) })
    }
}

macro_rules! fake {
    ($($(#[$meta:meta])* $method:ident $name:ident $verb:ident $path:literal $role:ident [$($change:literal)?] $request:ty => $answer:ty;)*) => {
        impl Daemon for Fake {
            $(fn $method(&self, request: $request) -> Answer<'_, $answer> {
                self.answer(stringify!($method), request)
            })*
            fn artifact_put(&self, mut bytes: Upload) -> Answer<'_, Artifact> {
                Box::pin(async move {
                    let mut all = Vec::new();
                    while let Some(piece) = bytes.next().await {
                        // As a store would: the reason gets lost on the way.
                        all.extend_from_slice(&piece.map_err(|_| Problem::new(Code::Internal, "broken stream"))?);
                    }
                    let made = Artifact { blake3: Blake3::of(&all), sha256: Sha256::of(&all), size: all.len() as u64 };
                    self.calls.lock().unwrap().push(("artifact_put", serde_json::to_value(&made).unwrap()));
                    Ok(made)
                })
            }
            fn file_get(&self, request: FileQuery) -> Answer<'_, Download> {
                self.calls.lock().unwrap().push(("file_get", request.path.clone().into()));
                Box::pin(async move {
                    let bytes = self.files.lock().unwrap().get(&request.path).cloned();
                    let bytes = bytes.ok_or_else(|| Problem::new(Code::NotFound, "no such file"))?;
                    let pieces: Vec<_> = bytes.chunks(7).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
                    Ok(Download {
                        size: bytes.len() as u64,
                        media_type: "text/plain".into(),
                        bytes: Box::pin(stream::iter(pieces)),
                    })
                })
            }
            fn provenance_get(&self, request: ReleaseQuery) -> Answer<'_, Bytes> {
                let preset = self.preset("provenance_get", request);
                Box::pin(async move { Ok(Bytes::from(serde_json::to_vec(&preset?).unwrap())) })
            }
            fn release_progress(&self, _: ProgressRequest) -> Answer<'_, Lines<Tick>> {
                self.stream()
            }
            fn join_progress(&self, _: JoinProgressRequest) -> Answer<'_, Lines<Joining>> {
                self.stream()
            }
            fn events_follow(&self, _: EventsRequest) -> Answer<'_, Lines<Event>> {
                self.stream()
            }
            fn audit(&self, record: AuditRecord) -> Answer<'_, ()> {
                Box::pin(async move {
                    if self.audit_broken {
                        return Err(Problem::new(Code::Internal, "journal closed"));
                    }
                    self.audits.lock().unwrap().push(record);
                    Ok(())
                })
            }
        }
    };
}
with_operations!(fake);
