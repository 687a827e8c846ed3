//! What the log says, and what it must not say.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::harness::{RELEASE, bearer, eventually, start};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_names_requests_but_no_secrets() {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::DEBUG).with_writer(lines.clone());
    // With one dispatcher only, a test on another thread that meets a log line first would switch it off for all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    // All tasks of this test's runtime are on this thread.
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let running = start(|_| {}).await;
    let mut client = running.client().await;
    let (secret, record) = running.token("x", None, None).await;
    let hidden = secret.reveal().trim_start_matches("vbt_").to_owned();
    client
        .get(&format!("{RELEASE}/files/antrag.xml"), &[("authorization", &bearer(&secret)), ("range", "bytes=0-9")])
        .await;
    client.get(&format!("/api/v1/mitte/processes?q=diagnose-{hidden}"), &[]).await;
    client.get(&format!("/api/v1/mitte/processes/{}", secret.reveal()), &[]).await;
    client.get(&format!("{RELEASE}/files/midway.bin"), &[]).await;
    let mut client = running.client().await;
    client.get(RELEASE, &[("authorization", &format!("Bearer {}x", secret.reveal()))]).await;
    let wanted = || lines.text().lines().filter(|line| line.contains("HTTPS request")).count();
    eventually("every request is logged", || wanted() == 5).await;
    let text = lines.text();
    assert!(!text.contains(&hidden) && !text.contains("diagnose"), "{text}");
    assert!(!text.contains("PRIVATE KEY"));
    let line = |part: &str| text.lines().find(|l| l.contains("HTTPS request") && l.contains(part)).unwrap().to_owned();
    let file = line("antrag.xml");
    assert!(
        file.contains("INFO")
            && file.contains("status=206")
            && file.contains("bytes=10")
            && file.contains("complete=true"),
        "{file}"
    );
    assert!(file.contains(&format!("reader={}", record.id)), "{file}");
    assert!(line("midway.bin").contains("complete=false"));
    assert!(line("midway.bin").contains("reader=anonymous"));
    assert!(line("vbt_…").contains("status=404"), "{text}");
    assert!(line("status=401").contains("reader=-"));
}
