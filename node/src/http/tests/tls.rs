//! TLS versions, certificates and addresses.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, dial, trusting};
use super::harness::{RELEASE, Running, eventually, start};
use crate::http::certs;
use crate::http::{HttpConfig, HttpError, HttpLimits, Server};

#[tokio::test]
async fn older_tls_and_other_protocols_are_refused() {
    let running = start(|_| {}).await;
    let address = running.server.addresses()[0];
    let old = trusting(&running.cert, &[&rustls::version::TLS12]);
    assert!(dial(address, old).await.is_err());
    let mut h2 = running.tls();
    h2.alpn_protocols = vec![b"h2".to_vec()];
    assert!(dial(address, h2).await.is_err());
    let mut both = running.tls();
    both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = dial(address, both).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_ref()));
    assert_eq!(tls.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

/// Puts a new certificate in the place of the old one and returns a copy of the old.
fn renew(running: &Running) -> std::path::PathBuf {
    let old = running.dir.path().join("old.crt");
    fs::rename(&running.cert, &old).unwrap();
    fs::remove_file(&running.key).unwrap();
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    certs::create(&running.cert, &running.key, "renewed", &[], now_s + 1_000).unwrap();
    old
}

#[tokio::test]
async fn a_new_certificate_is_used_without_restart() {
    let running = start(|_| {}).await;
    let address = running.server.addresses()[0];
    let mut before = running.client().await;
    let validity = running.server.certificate();
    assert!(!running.server.reload_certificate().await.unwrap());
    let old = renew(&running);
    assert!(running.server.reload_certificate().await.unwrap());
    assert_eq!(running.client().await.get(RELEASE, &[]).await.status.as_u16(), 200);
    let distrusted = trusting(&old, &[&rustls::version::TLS13]);
    assert!(Client::connect(address, distrusted).await.is_err());
    assert_eq!(before.get(RELEASE, &[]).await.status.as_u16(), 200, "open connections go on");
    assert!(running.server.certificate().not_after_s > validity.not_after_s);
}

#[tokio::test]
async fn a_broken_certificate_changes_nothing() {
    let running = start(|_| {}).await;
    fs::write(&running.key, "not a key").unwrap();
    let error = running.server.reload_certificate().await.unwrap_err().to_string();
    assert!(error.contains("https.key") && !error.contains("not a key"), "{error}");
    assert_eq!(running.client().await.get(RELEASE, &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn changed_files_are_noticed() {
    let running = start(|config| config.limits.certificate_check = Duration::from_millis(10)).await;
    let before = running.server.certificate();
    renew(&running);
    eventually("the new certificate is in use", || running.server.certificate() != before).await;
    assert_eq!(running.client().await.get(RELEASE, &[]).await.status.as_u16(), 200);
}

#[tokio::test]
async fn ipv6_works_where_ipv4_does() {
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        eprintln!("SKIPPED: this machine has no IPv6 loopback");
        return;
    }
    let running = start(|config| config.listen.push("[::1]:0".parse().unwrap())).await;
    let addresses = running.server.addresses().to_vec();
    assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6());
    for address in addresses {
        assert_ne!(address.port(), 0);
        let mut client = Client::connect(address, running.tls()).await.unwrap();
        assert_eq!(client.get(RELEASE, &[]).await.status.as_u16(), 200, "{address}");
    }
}

/// Why a server with this configuration does not start.
async fn refusal(change: impl FnOnce(&mut HttpConfig)) -> HttpError {
    let running = start(|_| {}).await;
    let mut config = HttpConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        certificate: running.cert.clone(),
        key: running.key.clone(),
        anonymous_read: false,
        limits: HttpLimits::default(),
    };
    change(&mut config);
    Server::start(config, running.library, running.tokens, Arc::new(|| 0)).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_server_that_cannot_run_says_why() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = refusal(|config| config.listen = vec![address]).await;
    assert!(
        matches!(&error, HttpError::Listen { address: named, source }
        if *named == address && source.kind() == io::ErrorKind::AddrInUse),
        "{error}"
    );
    assert!(matches!(refusal(|config| config.certificate = "/nowhere/x.crt".into()).await, HttpError::Certificate(_)));
    assert!(matches!(refusal(|config| config.listen.clear()).await, HttpError::Config(_)));
    assert!(matches!(refusal(|config| config.limits.connections = 0).await, HttpError::Config(_)));
    assert!(matches!(refusal(|config| config.limits.stall_timeout = Duration::MAX).await, HttpError::Config(_)));
}
