//! The library as an OCI registry, read by curl and by stock clients from a node that does not own the process.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use verbund_tests::{Federation, Folder, Node, noise, until};

use super::pulling::{Https, certificate};

/// A registry on one node, for the holder of a token.
struct Registry<'a> {
    https: Https<'a>,
    node: &'a Node,
}

impl<'a> Registry<'a> {
    fn of(node: &'a Node, scratch: &Path) -> Option<Self> {
        Https::new(node, scratch).map(|https| Self { https, node })
    }

    fn address(&self) -> String {
        self.node.status()["addresses"]["https"][0].as_str().expect("an address").to_owned()
    }

    fn manifest(&self, name: &str, reference: &str) -> (u16, Vec<u8>) {
        let reply = self.https.get(&format!("/v2/{name}/manifests/{reference}"), &[]);
        (reply.status, reply.body)
    }

    fn tags(&self, name: &str) -> Value {
        self.https.get(&format!("/v2/{name}/tags/list"), &[]).json()["tags"].clone()
    }
}

fn digest(bytes: &[u8]) -> String {
    verbund_protocol::ids::Sha256::of(bytes).to_string()
}

fn code(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).expect("an error in JSON");
    value["errors"][0]["code"].as_str().expect("a code").to_owned()
}

/// Every file of a folder but what a pull adds, by path.
fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_manifest_of_a_release_is_the_same_on_every_node_and_names_every_file() {
    let federation = Federation::found(2);
    let folder = Folder::new(federation.world.path(), "fundsache")
        .file("modell/ablauf.bpmn", b"<definitions/>")
        .file("leer.txt", b"")
        .file("anlage.bin", &noise(1, 3_000_000));
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let scratch = |name: &str| federation.world.join(name);
    for name in ["he", "rp"] {
        std::fs::create_dir_all(scratch(name)).unwrap();
    }
    let Some(he) = Registry::of(&federation["de-he"], &scratch("he")) else { return };
    let Some(rp) = Registry::of(&federation["de-rp"], &scratch("rp")) else { return };
    let name = "mitte/de-he/fundsache";
    assert_eq!(rp.https.get("/v2/", &[]).status, 200);
    assert_eq!(rp.tags(name), serde_json::json!(["1.0.0", "latest"]));

    let (status, bytes) = rp.manifest(name, "1.0.0");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(bytes, he.manifest(name, "1.0.0").1, "one form everywhere");
    assert_eq!(rp.manifest(name, "latest").1, bytes);
    assert_eq!(rp.manifest(name, &digest(&bytes)).1, bytes);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let head = rp.https.get(&format!("/v2/{name}/manifests/1.0.0"), &["--head"]);
    assert_eq!((head.status, head.header("docker-content-digest").to_owned()), (200, digest(&bytes)));
    assert_eq!(head.header("content-length"), bytes.len().to_string());

    // Every layer is a file, byte for byte, and resumes.
    let mut pulled = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let blob = format!("/v2/{name}/blobs/{}", layer["digest"].as_str().unwrap());
        let reply = rp.https.get(&blob, &[]);
        assert_eq!((reply.status, digest(&reply.body)), (200, layer["digest"].as_str().unwrap().to_owned()));
        if reply.body.len() > 100 {
            let part = rp.https.get(&blob, &["--header", "Range: bytes=50-"]);
            assert_eq!((part.status, &part.body[..]), (206, &reply.body[50..]));
        }
        pulled.push((layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap().to_owned(), reply.body));
    }
    assert_eq!(pulled, files(&folder.path));
    assert_eq!(rp.https.get(&format!("/v2/{name}/blobs/{}", digest(b"{}")), &[]).body, b"{}");

    // What refers to it: the proof, by exactly the bytes that were listed.
    let list = rp.https.get(&format!("/v2/{name}/referrers/{}", digest(&bytes)), &[]).json();
    let proof = list["manifests"].as_array().unwrap();
    assert_eq!(proof.len(), 1, "{list}");
    let (_, proof) = rp.manifest(name, proof[0]["digest"].as_str().unwrap());
    let proof: Value = serde_json::from_slice(&proof).unwrap();
    assert_eq!(proof["subject"]["digest"], digest(&bytes));
    let layer = proof["layers"][0]["digest"].as_str().unwrap();
    let proof = rp.https.get(&format!("/v2/{name}/blobs/{layer}"), &[]);
    std::fs::create_dir_all(folder.path.join(".verbund")).unwrap();
    std::fs::write(folder.path.join(".verbund/provenance.json"), &proof.body).unwrap();
    let trust = federation.trust("de-rp");
    federation["de-rp"].command(["process", "verify", folder.path.to_str().unwrap(), "--trust", &trust]).ok();
}

#[test]
fn a_registry_refuses_writes_and_hides_what_the_reader_must_not_see() {
    let federation = Federation::found(2);
    let secret = b"nicht fuer alle";
    let hidden = Folder::new(federation.world.path(), "intern")
        .with("audience = { members = [\"de-he\"] }")
        .file("akte.txt", secret);
    let open = Folder::new(federation.world.path(), "offen");
    federation.publish("de-he", &hidden.path);
    federation.publish("de-he", &open.path);
    until("the open one is there", || {
        let held = federation["de-rp"].federation("mitte")["held"].clone();
        if held == 1 { Ok(()) } else { Err(held.to_string()) }
    });
    for name in ["he", "rp"] {
        std::fs::create_dir_all(federation.world.join(name)).unwrap();
    }
    let Some(he) = Registry::of(&federation["de-he"], &federation.world.join("he")) else { return };
    let Some(rp) = Registry::of(&federation["de-rp"], &federation.world.join("rp")) else { return };
    let name = "mitte/de-he/intern";
    let (status, manifest) = he.manifest(name, "1.0.0");
    assert_eq!(status, 200, "its owner sees it");
    let nothing = |path: String, expected: &str| {
        let reply = rp.https.get(&path, &[]);
        assert_eq!((reply.status, code(&reply.body)), (404, expected.to_owned()), "{path}");
    };
    nothing(format!("/v2/{name}/tags/list"), "NAME_UNKNOWN");
    for (owner, name) in [("intern", name), ("offen", "mitte/de-he/offen")] {
        nothing(format!("/v2/{name}/manifests/{}", digest(&manifest)), "MANIFEST_UNKNOWN");
        nothing(format!("/v2/{name}/blobs/{}", digest(secret)), "BLOB_UNKNOWN");
        if owner == "intern" {
            nothing(format!("/v2/{name}/manifests/1.0.0"), "MANIFEST_UNKNOWN");
            nothing(format!("/v2/{name}/blobs/{}", digest(b"{}")), "BLOB_UNKNOWN");
            nothing(format!("/v2/{name}/referrers/{}", digest(&manifest)), "NAME_UNKNOWN");
        }
    }

    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let reply = rp.https.get("/v2/mitte/de-he/offen/blobs/uploads/", &["--request", method]);
        assert_eq!((reply.status, code(&reply.body)), (405, "UNSUPPORTED".to_owned()), "{method}");
    }
    // Who has no token learns how to present one.
    let reply = rp.https.plain("/v2/", &[]);
    assert_eq!((reply.status, code(&reply.body)), (401, "UNAUTHORIZED".to_owned()));
    assert!(reply.header("www-authenticate").starts_with("Basic "), "{}", reply.header("www-authenticate"));
}

#[test]
fn many_files_are_one_archive_and_a_recall_is_among_the_referrers() {
    let federation = Federation::found(2);
    let mut folder = Folder::new(federation.world.path(), "formularsatz");
    for n in 0..80_u64 {
        folder = folder.file(&format!("formulare/formular-{n}.json"), &noise(n, 700));
    }
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    for name in ["he", "rp", "aus"] {
        std::fs::create_dir_all(federation.world.join(name)).unwrap();
    }
    let Some(he) = Registry::of(&federation["de-he"], &federation.world.join("he")) else { return };
    let Some(rp) = Registry::of(&federation["de-rp"], &federation.world.join("rp")) else { return };
    let name = "mitte/de-he/formularsatz";
    let (status, bytes) = rp.manifest(name, "1.0.0");
    assert_eq!((status, &bytes), (200, &he.manifest(name, "1.0.0").1));
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["mediaType"]), (1, &"application/x-tar".into()));
    let blob = format!("/v2/{name}/blobs/{}", layers[0]["digest"].as_str().unwrap());
    let archive = rp.https.get(&blob, &[]);
    assert_eq!(digest(&archive.body), layers[0]["digest"].as_str().unwrap());
    let part = rp.https.get(&blob, &["--header", "Range: bytes=1000-50000"]);
    assert_eq!((part.status, &part.body[..]), (206, &archive.body[1000..=50_000]));
    let out = federation.world.join("aus");
    std::fs::write(out.join("a.tar"), &archive.body).unwrap();
    assert!(Command::new("tar").args(["-xf", "a.tar"]).current_dir(&out).status().unwrap().success());
    std::fs::remove_file(out.join("a.tar")).unwrap();
    assert_eq!(files(&out), files(&folder.path));

    federation["de-he"].command(["withdraw", "de-he/formularsatz@1.0.0", "--reason", "Frist falsch"]).ok();
    until("the recall is known", || {
        let tags = rp.tags(name);
        if tags == serde_json::json!([]) { Ok(()) } else { Err(tags.to_string()) }
    });
    assert_eq!(rp.manifest(name, "latest").0, 404);
    assert_eq!(rp.manifest(name, "1.0.0").1, bytes, "who names it exactly gets it, unchanged");
    let kind = "application/vnd.verbund.withdrawal.v1%2Bjson";
    let list = rp.https.get(&format!("/v2/{name}/referrers/{}?artifactType={kind}", digest(&bytes)), &[]).json();
    let (_, recall) = rp.manifest(name, list["manifests"][0]["digest"].as_str().unwrap());
    let recall: Value = serde_json::from_slice(&recall).unwrap();
    let layer = recall["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(rp.https.get(&format!("/v2/{name}/blobs/{layer}"), &[]).json()["reason"], "Frist falsch");
}

/// Runs a client; `None`, and said, where it is missing.
fn client(program: &str, probe: &[&str], arguments: &[&str], certificates: &Path) -> Option<Output> {
    let found = Command::new(program).args(probe).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} {probe:?} does not work here");
        return None;
    }
    let output = Command::new(program).args(arguments).env("REQUESTS_CA_BUNDLE", certificates).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

/// oras in Python, as a nightly job would use it.
const ORAS: &str = "
import sys
from oras.client import OrasClient
host, name, token, out = sys.argv[1:]
client = OrasClient(hostname=host, auth_backend='basic')
client.auth.set_basic_auth('verbund', token)
print(client.get_tags(f'{host}/{name}'))
client.pull(target=f'{host}/{name}:latest', outdir=out)
";

#[test]
fn stock_clients_copy_a_process_from_a_node_that_does_not_own_it() {
    let federation = Federation::found(2);
    let folder = Folder::new(federation.world.path(), "fundsache")
        .file("modell/ablauf.bpmn", b"<definitions/>")
        .file("Anträge/antrag.json", b"{}\n");
    federation.publish("de-he", &folder.path);
    federation.hold(&["de-he", "de-rp"], 1);
    let node = &federation["de-rp"];
    let Some(registry) = Registry::of(node, federation.world.path()) else { return };
    let (host, token) = (registry.address(), registry.https.token.clone());
    let ca = certificate(node);
    let trusted = federation.world.join("certs");
    std::fs::create_dir_all(&trusted).unwrap();
    std::fs::copy(&ca, trusted.join("ca.crt")).unwrap();
    let target = format!("docker://{host}/mitte/de-he/fundsache");
    let (certs, credentials) = (trusted.to_str().unwrap(), format!("verbund:{token}"));
    let (status, bytes) = registry.manifest("mitte/de-he/fundsache", "1.0.0");
    assert_eq!(status, 200);

    let skopeo = |arguments: &[&str]| client("skopeo", &["--version"], arguments, &ca);
    if let Some(tags) = skopeo(&["list-tags", "--cert-dir", certs, "--creds", &credentials, &target]) {
        assert!(String::from_utf8_lossy(&tags.stdout).contains("\"1.0.0\""));
        let tagged = format!("{target}:1.0.0");
        let raw = skopeo(&["inspect", "--raw", "--cert-dir", certs, "--creds", &credentials, &tagged]).unwrap();
        assert_eq!(raw.stdout, bytes);
        for transport in ["dir", "oci"] {
            let out = federation.world.join(transport);
            let to = format!("{transport}:{}{}", out.display(), if transport == "oci" { ":1.0.0" } else { "" });
            skopeo(&["copy", "--src-cert-dir", certs, "--src-creds", &credentials, &tagged, &to]).unwrap();
            let stored: Vec<Vec<u8>> = files(&out).into_iter().map(|(_, bytes)| bytes).collect();
            assert!(stored.contains(&bytes), "{transport}: the manifest is copied unchanged");
            for (path, content) in files(&folder.path) {
                assert!(stored.contains(&content), "{transport}: {path}");
            }
        }
    }

    let out = federation.world.join("oras");
    let script = ["-c", ORAS, &host, "mitte/de-he/fundsache", &token, out.to_str().unwrap()];
    if client("python3", &["-c", "import oras"], &script, &ca).is_some() {
        assert_eq!(files(&out), files(&folder.path));
    }
}
