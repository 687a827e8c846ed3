//! Over a real unix socket, with a daemon that answers as told.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::*;
use crate::admin::api::*;
use crate::admin::client::{Client, ClientError};
use crate::admin::fake::Fake;
use crate::admin::op;
use crate::admin::problem::{Code, Problem};
use crate::admin::roles::Roles;

struct Running {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    fake: Arc<Fake>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(fake: Fake, roles: Roles) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let identify: Identify = Arc::new(move |who| Caller {
            uid: 4242,
            user: Some("petra".into()),
            pid: who.pid,
            roles,
            owner: roles == Roles::ALL,
        });
        let options = Options { socket: socket.clone(), group: None, identify, artifact_max: 1000 };
        let server = Server::bind(options).await.unwrap();
        let stop = CancellationToken::new();
        let fake = Arc::new(fake);
        let task = tokio::spawn(server.serve(fake.clone(), stop.clone()));
        Self { _dir: dir, socket, fake, stop, task }
    }
    fn client(&self) -> Client {
        Client::new(&self.socket)
    }
    /// Sends raw bytes and reads the answer: status and JSON body.
    async fn raw(&self, request: String) -> (u16, Value) {
        let socket = self.socket.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            (status, serde_json::from_str(body).unwrap_or(Value::String(answer)))
        })
        .await
        .unwrap()
    }
    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let len = body.len();
        self.raw(format!("POST {path} HTTP/1.1\r\nhost: v\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}"))
            .await
    }
    async fn get(&self, path: &str) -> (u16, Value) {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: v\r\nconnection: close\r\n\r\n")).await
    }
}

fn block() -> PeerRequest {
    PeerRequest { peer: "de-rp".into(), ..Default::default() }
}
fn code(result: Result<impl std::fmt::Debug, ClientError>) -> Code {
    match result.unwrap_err() {
        ClientError::Problem(problem) => problem.code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn typed_calls_go_through_query_and_body() {
    let fake = Fake::default()
        .answers("process_list", json!({ "processes": [] }))
        .answers("peer_block", json!({ "text": "blocked" }));
    let running = Running::start(fake, Roles::ALL).await;
    let request = ProcessListRequest {
        federation: Some("mitte".into()),
        text: Some("Straße & Müll=?".into()),
        limit: Some(7),
        withdrawn: true,
        ..Default::default()
    };
    running.client().call::<op::ProcessList>(&request).await.unwrap();
    assert_eq!(running.fake.asked("process_list"), [serde_json::to_value(&request).unwrap()]);
    let done = running.client().call::<op::PeerBlock>(&block()).await.unwrap();
    assert_eq!(done.text, "blocked");
}

#[tokio::test]
async fn changes_are_audited_with_their_outcome_and_reads_are_not() {
    let fake = Fake::default()
        .answers("store_df", Value::Null)
        .answers("peer_block", Done::default())
        .refuses("peer_add", Problem::new(Code::BadTicket, "no"));
    let running = Running::start(fake, Roles::ALL).await;
    let client = running.client();
    client.call::<op::PeerBlock>(&PeerRequest { federation: Some("mitte".into()), ..block() }).await.unwrap();
    let ticket = PeerAddRequest { ticket: "very-secret".into(), ..Default::default() };
    assert_eq!(code(client.call::<op::PeerAdd>(&ticket).await), Code::BadTicket);
    let audits = running.fake.audits.lock().unwrap();
    let seen: Vec<_> = audits.iter().map(|a| (a.operation.as_str(), a.outcome.as_str(), a.subject.as_str())).collect();
    assert_eq!(seen, [("peer.block", "ok", "peer=\"de-rp\""), ("peer.add", "bad_ticket", "")]);
    assert_eq!((audits[0].uid, audits[0].federation.as_deref()), (4242, Some("mitte")));
    assert_eq!(audits[0].pid, Some(i32::try_from(std::process::id()).unwrap()));
}

#[tokio::test]
async fn a_change_without_record_is_an_error() {
    let fake = Fake { audit_broken: true, ..Fake::default() }.answers("peer_block", Done::default());
    let running = Running::start(fake, Roles::ALL).await;
    assert_eq!(code(running.client().call::<op::PeerBlock>(&block()).await), Code::AuditFailed);
}

#[tokio::test]
async fn a_change_ends_and_is_recorded_although_the_caller_hung_up() {
    let fake = Fake { gate: Some(Semaphore::new(0)), ..Fake::default() };
    let running = Running::start(fake.answers("peer_block", Done::default()), Roles::ALL).await;
    let client = running.client();
    let call = tokio::spawn(async move { client.call::<op::PeerBlock>(&block()).await.is_ok() });
    while running.fake.asked("peer_block").is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    let _ = call.await;
    running.fake.gate.as_ref().unwrap().add_permits(1);
    while running.fake.audits.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.fake.audits.lock().unwrap()[0].outcome, "ok");
}

#[tokio::test]
async fn roles_decide_and_refusals_of_changes_are_recorded() {
    let fake = Fake::default().answers("process_list", json!({ "processes": [] }));
    let running = Running::start(fake, Roles::NONE.with(Role::Read)).await;
    let client = running.client();
    client.call::<op::ProcessList>(&ProcessListRequest::default()).await.unwrap();
    assert_eq!(code(client.call::<op::AuditList>(&AuditRequest::default()).await), Code::Denied);
    assert!(running.fake.audits.lock().unwrap().is_empty(), "reading is not recorded");
    assert_eq!(code(client.call::<op::PeerBlock>(&block()).await), Code::Denied);
    assert!(running.fake.asked("peer_block").is_empty());
    let bytes = Box::pin(stream::iter([Ok(Bytes::from_static(b"x"))]));
    assert_eq!(code(client.upload(1, bytes).await), Code::Denied);
    let audits = running.fake.audits.lock().unwrap();
    assert_eq!((audits[0].operation.as_str(), audits[0].outcome.as_str()), ("peer.block", "denied"));
}

#[tokio::test]
async fn nobody_without_a_role_reads() {
    let running = Running::start(Fake::default(), Roles::NONE).await;
    for path in ["/v1/status", "/v1/events/follow", "/v1/releases/file?release=a&path=b"] {
        assert_eq!(running.get(path).await.1["code"], "denied", "{path}");
    }
}

#[tokio::test]
async fn problems_name_the_place() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    let (status, body) = running.post("/v1/peers/block", "{\n  \"peer\": 7\n}").await;
    assert_eq!((status, &body["code"]), (400, &json!("bad_json")));
    assert_eq!(body["place"], json!({ "line": 2, "column": 11, "field": "peer" }));
    let (_, body) = running.post("/v1/releases", r#"{"metadata":{},"files":[{"path":"a","size":-1}]}"#).await;
    assert_eq!(body["place"]["field"], "files[0].size");
    let (_, body) = running.post("/v1/peers/block", r#"{"peer":"de-rp","raeson":"x"}"#).await;
    assert!(body["detail"].as_str().unwrap().contains("raeson"), "{body}");
    let (_, body) = running.post("/v1/peers/block", r#"{"peer":"de-rp"} x"#).await;
    assert_eq!(body["code"], "bad_json");
    let (_, body) = running.get("/v1/processes?limit=many").await;
    assert_eq!(body["code"], "bad_request");
    let (_, body) = running.get("/v1/processes?lmit=1").await;
    assert!(body["detail"].as_str().unwrap().contains("lmit"), "{body}");
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    assert_eq!(running.get("/v2/status").await.0, 404);
    assert_eq!(running.get("/nothing").await.1["code"], "unknown_route");
    let (status, body) = running.post("/v1/status", "").await;
    assert_eq!((status, &body["code"]), (405, &json!("method_not_allowed")));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    let long = format!(r#"{{"peer":"{}"}}"#, "x".repeat(body::BODY_MAX));
    assert_eq!(running.post("/v1/peers/block", &long).await.1["code"], "too_large");
    assert!(running.fake.asked("peer_block").is_empty());

    let client = running.client();
    let bytes = |n: usize| Box::pin(stream::iter((0..n).map(|_| Ok(Bytes::from_static(&[7; 100])))));
    let stored = client.upload(1000, bytes(10)).await.unwrap();
    assert_eq!(stored.size, 1000);
    assert_eq!(code(client.upload(1100, bytes(11)).await), Code::TooLarge);
}

#[tokio::test]
async fn a_source_that_fails_says_so() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    let bytes = Box::pin(stream::iter([Ok(Bytes::from_static(b"abc")), Err(std::io::Error::other("disk gone"))]));
    let error = running.client().upload(10, bytes).await.unwrap_err();
    assert!(matches!(&error, ClientError::Input(e) if e.to_string() == "disk gone"), "{error}");
}

#[tokio::test]
async fn lines_carry_items_and_end_with_a_problem() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    let tick = json!({ "tick": "durable", "at": "2026-01-01T00:00:00Z" });
    *running.fake.lines.lock().unwrap() = vec![Ok(tick.clone()), Err(Problem::new(Code::Recovering, "not now"))];
    let request = ProgressRequest { release: "de-he/a@1.0.0".into(), ..Default::default() };
    let lines = running.client().lines::<_, Tick>(crate::admin::calls::paths::PROGRESS, &request).await.unwrap();
    let items: Vec<_> = lines.collect().await;
    assert_eq!(serde_json::to_value(items[0].as_ref().unwrap()).unwrap(), tick);
    assert_eq!(items[1].as_ref().unwrap_err().code, Code::Recovering);
    assert_eq!(items.len(), 2);
}

#[tokio::test]
async fn a_stop_ends_open_streams_and_removes_the_socket() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    let path = crate::admin::calls::paths::EVENTS;
    let mut lines = running.client().lines::<_, Event>(path, &EventsRequest::default()).await.unwrap();
    running.stop.cancel();
    assert!(lines.next().await.is_none());
    running.task.await.unwrap();
    assert!(!running.socket.exists());
    let error = running.fake.calls.lock().unwrap().len();
    assert_eq!(error, 0);
}

#[tokio::test]
async fn downloads_carry_their_size() {
    let running = Running::start(Fake::default(), Roles::ALL).await;
    running.fake.files.lock().unwrap().insert("a b/ä.bpmn".into(), Bytes::from_static(b"0123456789"));
    let request = FileQuery { release: "r".into(), path: "a b/ä.bpmn".into(), ..Default::default() };
    let (size, bytes) = running.client().download(crate::admin::calls::paths::FILES, &request).await.unwrap();
    let all: Vec<_> = bytes.map(|piece| piece.unwrap()).collect().await;
    assert_eq!((size, all.concat().as_slice()), (Some(10), &b"0123456789"[..]));
}

fn options(socket: PathBuf) -> Options {
    let identify: Identify = Arc::new(|_| unreachable!("nobody connects"));
    Options { socket, group: None, identify, artifact_max: 1 }
}

#[tokio::test]
async fn only_stale_sockets_are_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let first = Server::bind(options(path.clone())).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(matches!(Server::bind(options(path.clone())).await, Err(ServerError::InUse(_))));
    drop(first);
    assert!(path.exists(), "as after a kill");
    drop(Server::bind(options(path.clone())).await.unwrap());

    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(Server::bind(options(file.clone())).await, Err(ServerError::NotASocket(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_named_with_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let room = socket::PATH_MAX - dir.path().as_os_str().len() - 1;
    Server::bind(options(dir.path().join("s".repeat(room)))).await.unwrap();
    let error = Server::bind(options(dir.path().join("s".repeat(room + 1)))).await.err().unwrap();
    assert!(error.to_string().contains("107"), "{error}");
}

#[tokio::test]
async fn idle_connections_of_others_leave_room_for_the_owner() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let owner = Arc::new(AtomicBool::new(false));
    let flag = owner.clone();
    let identify: Identify = Arc::new(move |who| Caller {
        uid: 1,
        user: None,
        pid: who.pid,
        roles: Roles::ALL,
        owner: flag.load(Ordering::SeqCst),
    });
    let server =
        Server::bind(Options { socket: socket.clone(), group: None, identify, artifact_max: 1 }).await.unwrap();
    let fake = Arc::new(Fake::default().answers("peer_block", Done::default()));
    let task = tokio::spawn(server.serve(fake, CancellationToken::new()));
    let client = Client::new(&socket);
    let path = crate::admin::calls::paths::EVENTS;
    let mut idle = Vec::new();
    // Over the bound, connections are closed at once, which the reader sees.
    for _ in 0..OTHERS_MAX + 10 {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET ").await.ok();
        idle.push(stream);
    }
    let mut last = idle.pop().unwrap();
    let mut buffer = [0; 1];
    let end = tokio::io::AsyncReadExt::read(&mut last, &mut buffer).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(client.lines::<_, Event>(path, &EventsRequest::default()).await.is_err());
    owner.store(true, Ordering::SeqCst);
    client.call::<op::PeerBlock>(&block()).await.unwrap();
    task.abort();
}

#[tokio::test]
async fn as_configured_the_own_user_does_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::bind(Options::configured(&Config::default(), dir.path()).unwrap()).await.unwrap();
    let client = Client::new(server.path());
    let fake = Arc::new(Fake::default().answers("peer_block", Done::default()));
    let task = tokio::spawn(server.serve(fake.clone(), CancellationToken::new()));
    client.call::<op::PeerBlock>(&block()).await.unwrap();
    let uid = fake.audits.lock().unwrap()[0].uid;
    assert_eq!(uid, rustix::process::geteuid().as_raw());
    task.abort();
    let admin = crate::config::Admin { publish: vec!["no-such-group-here".into()], ..Default::default() };
    let error = Options::configured(&Config { admin, ..Config::default() }, dir.path()).err().unwrap();
    assert!(error.to_string().contains("admin.publish"), "{error}");
}
