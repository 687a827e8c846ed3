//! curl, as the README shows it.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::fake::content;
use super::harness::{RELEASE, Running, start};

async fn curl(arguments: Vec<String>) -> Option<Output> {
    let ran =
        tokio::task::spawn_blocking(move || Command::new("curl").arg("-q").args(arguments).output()).await.unwrap();
    match ran {
        Ok(output) => Some(output),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: curl is not installed");
            None
        }
        Err(e) => panic!("curl: {e}"),
    }
}

/// The arguments that every call has: the token comes from a file, so that it stands in no process list.
async fn arguments(running: &Running, more: &[&str]) -> (Vec<String>, PathBuf) {
    let (secret, _) = running.token("curl", Some(&["mitte"]), None).await;
    let (header, out) = (running.dir.path().join("header"), running.dir.path().join("out"));
    std::fs::write(&header, format!("Authorization: Bearer {}\n", secret.reveal())).unwrap();
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let mut all: Vec<String> =
        ["-sS", "--fail", "--location", "--max-time", "60", "--cacert"].map(str::to_owned).into();
    all.extend([text(&running.cert), "--header".into(), format!("@{}", text(&header)), "--output".into(), text(&out)]);
    all.extend(more.iter().map(|m| (*m).to_owned()));
    (all, out)
}

#[tokio::test]
async fn curl_trusts_fetches_resumes_and_notices_damage() {
    let running = start(|config| config.anonymous_read = false).await;
    let host = format!("https://localhost:{}", running.server.addresses()[0].port());
    let latest = format!("{host}/api/v1/mitte/releases/de-he/hundesteuer/latest/files/big.bin");
    let (args, out) = arguments(&running, &[&latest]).await;
    let Some(output) = curl(args).await else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read(&out).unwrap() == content("big.bin"));

    std::fs::write(&out, &content("big.bin")[..1_000_003]).unwrap();
    let exact = format!("{host}{RELEASE}/files/big.bin");
    let (args, out) = arguments(&running, &["--continue-at", "-", &exact]).await;
    let output = curl(args).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(std::fs::read(&out).unwrap() == content("big.bin"));

    let (args, _) = arguments(&running, &[&format!("{host}{RELEASE}/files/midway.bin")]).await;
    let output = curl(args).await.unwrap();
    assert!(!output.status.success(), "half a file must not look like success");

    let by_address = format!("https://127.0.0.1:{}{RELEASE}", running.server.addresses()[0].port());
    let (args, out) = arguments(&running, &[&by_address]).await;
    assert!(curl(args).await.unwrap().status.success());
    assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(out).unwrap()).is_ok());

    let (mut args, _) = arguments(&running, &[&by_address]).await;
    args.retain(|a| !a.contains("cacert") && !a.ends_with("https.crt"));
    assert_eq!(curl(args).await.unwrap().status.code(), Some(60), "nobody trusts the certificate unasked");
}
