//! Webhooks: a receiver that fails twice gets each change all the same, signed, once it is ready.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use verbund_tests::{Federation, Folder};

use super::withdraw;

/// A delivery as it arrived.
struct Delivery {
    head: Vec<String>,
    body: String,
}

impl Delivery {
    fn header(&self, name: &str) -> &str {
        let of = |line: &&String| line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        let line = self.head.iter().find(of).unwrap_or_else(|| panic!("no {name}: {:?}", self.head));
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

/// Answers the first `failures` deliveries with 503, the others with 204.
fn receiver(failures: usize) -> (String, mpsc::Receiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/haken", listener.local_addr().unwrap());
    let (sender, deliveries) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                match reader.read_line(&mut line) {
                    Ok(1..) if line.trim().is_empty() => break,
                    Ok(1..) => head.push(line.trim().to_owned()),
                    _ => break,
                }
            }
            let delivery = Delivery { head, body: String::new() };
            let length: usize = delivery.header("content-length").parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = if n < failures { "503 Service Unavailable" } else { "204 No Content" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            if sender.send(Delivery { body: String::from_utf8(body).unwrap(), ..delivery }).is_err() {
                return;
            }
        }
    });
    (address, deliveries)
}

/// Whether the signature is that of the secret, as Python computes it; true, and said, where there is no Python.
fn signed(delivery: &Delivery, secret: &str) -> bool {
    let script = "import base64, hashlib, hmac, sys; secret, message = (a.encode() for a in sys.argv[1:3]); \
                  print('v1,' + base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode())";
    let (id, time) = (delivery.header("webhook-id"), delivery.header("webhook-timestamp"));
    let message = format!("{id}.{time}.{}", delivery.body);
    let Ok(output) = Command::new("python3").args(["-c", script, secret, &message]).output() else {
        eprintln!("SKIPPED: python3 is missing, the signature is not looked at");
        return true;
    };
    String::from_utf8_lossy(&output.stdout).trim() == delivery.header("webhook-signature")
}

#[test]
fn a_receiver_that_fails_twice_gets_every_change_in_order() {
    const SECRET: &str = "ein-geheimnis-fuer-den-test";
    let (url, deliveries) = receiver(2);
    let (blocked, nothing) = receiver(0);
    let federation = Federation::found_with(1, |node| {
        std::fs::write(node.dir.join("haken.secret"), SECRET).unwrap();
        for (name, url, private) in
            [("erp", &url, "true"), ("intern", &blocked.replace("http://", "https://"), "false")]
        {
            node.set(&format!("webhook.{name}.url"), url);
            node.set(&format!("webhook.{name}.secret"), "haken.secret");
            node.set(&format!("webhook.{name}.allow_private"), private);
            node.set(&format!("webhook.{name}.retry"), "100ms");
        }
    });
    let world = federation.world.path();
    // A hook is told what happens from when it first looked; that is at the latest when it looks for new federations.
    let next = |kind: &str| loop {
        let delivery = deliveries.recv_timeout(Duration::from_secs(90)).expect("a delivery");
        let event: Value = serde_json::from_str(&delivery.body).expect("JSON");
        if event["type"] == kind {
            return (delivery, event);
        }
    };
    federation["de-he"].wait_log("HTTPS listening");
    verbund_tests::until("the hook has its place", || {
        if node_place(&federation["de-he"].dir) { Ok(()) } else { Err("no place yet".to_owned()) }
    });
    federation.publish("de-he", &Folder::new(world, "fundsache").path);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (delivery, event) = next("verbund.release.available");
        assert!(signed(&delivery, SECRET), "{:?}", delivery.head);
        assert!(delivery.header("content-type").starts_with("application/cloudevents+json"));
        assert_eq!((&event["specversion"], &event["subject"]), (&"1.0".into(), &"de-he/fundsache@1.0.0".into()));
        assert_eq!(event["id"], delivery.header("webhook-id"));
        ids.push(event["id"].clone());
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "the same change three times: {ids:?}");
    withdraw(&federation["de-he"], "de-he/fundsache@1.0.0");
    let (_, event) = next("verbund.release.withdrawn");
    assert_eq!(event["data"]["release"]["withdrawn"], true, "{event}");
    let codes: Vec<_> = federation["de-he"].events().iter().map(|event| event["code"].clone()).collect();
    assert!(codes.contains(&"webhook_failed".into()) && codes.contains(&"webhook_delivered".into()), "{codes:?}");
    // Into its own network nothing goes without leave.
    assert!(nothing.try_recv().is_err());
    let refused = |event: &Value| event["text"].as_str().is_some_and(|text| text.contains("not a public one"));
    assert!(federation["de-he"].events().iter().any(refused));
}

/// Whether the hook has noted where it is.
fn node_place(dir: &std::path::Path) -> bool {
    dir.join("webhooks/erp.mitte").exists()
}
