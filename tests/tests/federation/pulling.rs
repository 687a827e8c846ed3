//! Handing over: the command line's pull, and HTTPS as IT systems use it, with curl.

use std::path::{Path, PathBuf};
use std::process::Command;

use verbund_tests::{Federation, Folder, Node, noise, until};

#[test]
fn pulling_twice_changes_nothing_and_a_damaged_file_is_replaced() {
    let federation = Federation::found(1);
    let folder = Folder::new(federation.world.path(), "fundsache").file("modell/a.bpmn", b"<definitions/>");
    federation.publish("de-he", &folder.path);
    let out = federation.world.join("out");
    let pull =
        || federation["de-he"].command(["--json", "process", "pull", "de-he/fundsache", out.to_str().unwrap()]).json();
    assert_eq!(pull()["written"].as_array().unwrap().len(), 3);
    assert!(out.join(".verbund/provenance.json").is_file());
    let again = pull();
    assert_eq!((again["written"].as_array().unwrap().len(), &again["unchanged"]), (0, &3.into()), "{again}");
    std::fs::write(out.join("modell/a.bpmn"), b"<definitions >").unwrap();
    assert_eq!(pull()["written"], serde_json::json!(["modell/a.bpmn"]));
    assert_eq!(std::fs::read(out.join("modell/a.bpmn")).unwrap(), b"<definitions/>");
    federation["de-he"].cli("process pull de-he/gibt-es-nicht /nonexistent/x").refused(3);
}

/// An HTTPS client: curl, as an IT system's administrator tries it first.
pub(super) struct Https<'a> {
    node: &'a Node,
    pub(super) token: String,
    scratch: PathBuf,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl<'a> Https<'a> {
    /// `None`, and said, where curl is missing.
    pub(super) fn new(node: &'a Node, scratch: &Path) -> Option<Self> {
        Self::with(node, scratch, &["--quiet", "token", "create", "test"])
    }

    /// The same with the token that this command makes.
    pub(super) fn with(node: &'a Node, scratch: &Path, create: &[&str]) -> Option<Self> {
        if Command::new("curl").arg("--version").output().is_err() {
            eprintln!("SKIPPED: curl is missing");
            return None;
        }
        let token = node.command(create).ok().trim().to_owned();
        Some(Self { node, token, scratch: scratch.to_path_buf() })
    }

    pub(super) fn get(&self, path: &str, extra: &[&str]) -> Reply {
        let authorization = format!("Authorization: Bearer {}", self.token);
        self.plain(path, &[&["--header", authorization.as_str()], extra].concat())
    }

    /// As somebody without a token asks.
    pub(super) fn without_token(&self, path: &str) -> Reply {
        self.plain(path, &[])
    }

    /// What a stream sends until `text` has come, or half a minute is over.
    pub(super) fn streamed(&self, path: &str, extra: &[&str], text: &str) -> String {
        use std::io::Read as _;
        let address = self.node.status()["addresses"]["https"][0].as_str().expect("an address").to_owned();
        let mut curl = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "30", "--cacert"])
            .arg(certificate(self.node))
            .args(["--header", &format!("Authorization: Bearer {}", self.token)])
            .args(extra)
            .arg(format!("https://{address}{path}"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("curl starts");
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        let mut stdout = curl.stdout.take().expect("a pipe");
        while !String::from_utf8_lossy(&seen).contains(text) || !seen.ends_with(b"\n\n") {
            match stdout.read(&mut buffer).expect("a stream") {
                0 => break,
                read => seen.extend_from_slice(&buffer[..read]),
            }
        }
        curl.kill().expect("the end of a child");
        curl.wait().expect("the end of a child");
        String::from_utf8_lossy(&seen).into_owned()
    }

    pub(super) fn plain(&self, path: &str, extra: &[&str]) -> Reply {
        let address = self.node.status()["addresses"]["https"][0].as_str().expect("an address").to_owned();
        let (headers, body) = (self.scratch.join("curl-headers"), self.scratch.join("curl-body"));
        std::fs::write(&body, b"").unwrap();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--write-out", "%{http_code}", "--cacert"])
            .arg(certificate(self.node))
            .arg("--dump-header")
            .arg(&headers)
            .arg("--output")
            .arg(&body)
            .args(extra)
            .arg(format!("https://{address}{path}"))
            .output()
            .expect("curl starts");
        assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        Reply {
            status: String::from_utf8_lossy(&output.stdout).parse().expect("a status"),
            headers: std::fs::read_to_string(headers).unwrap(),
            body: std::fs::read(body).unwrap(),
        }
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        let line = self.headers.lines().find(|line| of(line)).unwrap_or_else(|| panic!("no {name}: {}", self.headers));
        line.split_once(':').map(|(_, value)| value.trim()).unwrap_or_default()
    }
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Where `init` put the certificate, as it prints it; found again by its name here.
pub(super) fn certificate(node: &Node) -> PathBuf {
    let mut open = vec![node.dir.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = || std::fs::read_to_string(&path).unwrap_or_default();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "pem" || e == "crt") && text().contains("BEGIN CERTIFICATE")
            {
                return path;
            }
        }
    }
    panic!("no certificate below {}", node.dir.display())
}

#[test]
fn an_it_system_lists_searches_and_pulls_over_https() {
    let federation = Federation::found(2);
    let big = noise(7, 3 << 20);
    let folder = Folder::new(federation.world.path(), "hundesteuer").file("modell/Straße & mehr.bpmn", &big);
    federation.publish("de-he", &folder.path);
    federation.publish("de-he", &Folder::new(federation.world.path(), "wohngeld").path);
    federation.hold(&["de-he", "de-rp"], 2);
    let Some(https) = Https::new(&federation["de-rp"], federation.world.path()) else { return };

    let list = https.get("/api/v1/mitte/processes", &[]).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    let found = https.get("/api/v1/mitte/processes?q=HUND", &[]).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    let release = https.get(found["items"][0]["release"].as_str().unwrap(), &[]).json();
    assert_eq!(release["available"], true, "{release}");
    let files = release["files"].as_array().unwrap();
    let file = files.iter().find(|f| f["path"] == "modell/Straße & mehr.bpmn").unwrap();
    let href = file["href"].as_str().unwrap();

    let whole = https.get(href, &[]);
    assert_eq!(whole.status, 200);
    assert!(whole.body == big, "byte for byte");
    let tag = whole.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    assert!(whole.header("repr-digest").starts_with("sha-256=:"));
    assert_eq!(https.get(href, &["--header", &format!("If-None-Match: {tag}")]).status, 304);
    // A broken download goes on where it was.
    let part = https.get(href, &["--header", "Range: bytes=1000000-1999999", "--header", &format!("If-Range: {tag}")]);
    assert_eq!(part.status, 206);
    assert!(part.body == big[1_000_000..2_000_000]);
    assert_eq!(https.get(href, &["--header", "Range: bytes=99999999-"]).status, 416);

    // Nothing without a token, nothing with a wrong or revoked one, nothing of what is not there.
    assert_eq!(https.plain(href, &[]).status, 401);
    assert_eq!(https.plain(href, &["--header", "Authorization: Bearer vbt_wrong"]).status, 401);
    assert_eq!(https.get("/api/v1/mitte/releases/de-he/hundesteuer/9.9.9", &[]).status, 404);
    assert_eq!(
        https.get("/api/v1/mitte/releases/de-he/hundesteuer/1.0.0/files/../../../etc/passwd", &["--path-as-is"]).status
            / 100,
        4
    );
    federation["de-rp"].cli("token revoke test").ok();
    until("the token is revoked", || match https.get(href, &[]).status {
        401 => Ok(()),
        status => Err(status.to_string()),
    });
}
