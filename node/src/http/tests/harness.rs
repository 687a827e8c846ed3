//! A running server with all its parts in reach.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use rustls::ClientConfig;

use super::client::{Client, trusting};
use super::fake::FakeLibrary;
use crate::http::certs;
use crate::http::tokens::tests::MemoryTokens;
use crate::http::tokens::{NewToken, Scope, Secret, TokenRecord, Tokens};
use crate::http::{HttpConfig, HttpLimits, Server};

/// The time at which every server starts.
pub(super) const NOW_S: u64 = 1_800_000_000;
/// The release that most tests ask for.
pub(super) const RELEASE: &str = "/api/v1/mitte/releases/de-he/hundesteuer/1.2.0";

pub(super) struct Running {
    pub(super) server: Server,
    pub(super) tokens: Arc<Tokens>,
    pub(super) store: Arc<MemoryTokens>,
    pub(super) library: Arc<FakeLibrary>,
    pub(super) now_s: Arc<AtomicU64>,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) dir: tempfile::TempDir,
}

/// Starts a server on 127.0.0.1 that anonymous clients may read, with changes to its configuration.
pub(super) async fn start(change: impl FnOnce(&mut HttpConfig)) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("https.crt"), dir.path().join("https.key"));
    let real_now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    certs::create(&cert, &key, "de-he", &[], real_now_s).unwrap();
    let mut config = HttpConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        certificate: cert.clone(),
        key: key.clone(),
        anonymous_read: true,
        limits: HttpLimits::default(),
    };
    change(&mut config);
    let library = Arc::new(FakeLibrary::new());
    let store = Arc::new(MemoryTokens::default());
    let tokens = Arc::new(Tokens::new(Arc::clone(&store) as _));
    let now_s = Arc::new(AtomicU64::new(NOW_S));
    let clock = Arc::clone(&now_s);
    let server =
        Server::start(config, Arc::clone(&library) as _, Arc::clone(&tokens), Arc::new(move || clock.load(SeqCst)));
    let server = server.await.unwrap();
    Running { server, tokens, store, library, now_s, cert, key, dir }
}

impl Running {
    pub(super) fn tls(&self) -> ClientConfig {
        trusting(&self.cert, &[&rustls::version::TLS13])
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.server.addresses()[0], self.tls()).await.unwrap()
    }

    pub(super) async fn token(
        &self,
        name: &str,
        federations: Option<&[&str]>,
        expires_s: Option<u64>,
    ) -> (Secret, TokenRecord) {
        let federations = federations.map(|f| f.iter().map(|slug| slug.parse().unwrap()).collect());
        let new = NewToken { name: name.into(), scopes: [Scope::Read].into(), federations, expires_s };
        self.tokens.create(new, NOW_S).await.unwrap()
    }
}

/// The header that carries a token.
pub(super) fn bearer(secret: &Secret) -> String {
    format!("Bearer {}", secret.reveal())
}

/// Waits until something becomes true that no event announces.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
