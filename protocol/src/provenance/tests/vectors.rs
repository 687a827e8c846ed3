//! Golden vectors in `protocol/vectors/provenance`: what another implementation must accept and refuse, and at which step.
//!
//! They are made from fixed seeds. A difference between what is made and what lies there is a change of the format; with
//! `VERBUND_WRITE_VECTORS=1` the files are written anew, deliberately. What is checked is always what was read from the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::build::{Fed, Release, key};
use super::{Files, StepName, Trust, Verdict, standard, verify};
use crate::documents::Document;
use crate::ids::Sha256;

#[derive(Clone, Serialize, Deserialize)]
struct Hashed {
    sha256: Sha256,
    size: u64,
}

type Folder = BTreeMap<String, Hashed>;

/// One JSON value of a proof is replaced, or removed.
#[derive(Clone, Serialize, Deserialize)]
struct Edit {
    /// RFC 6901.
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    /// File beside this one.
    proof: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edits: Vec<Edit>,
    /// The files of the folder.
    folder: Folder,
    /// `FEDERATION@CHARTER_HASH`.
    trust: Option<String>,
    /// `verified`, `unanchored`, `failed`, or `unreadable` if there is no report.
    verdict: String,
    /// The step that fails.
    step: Option<String>,
    /// Witnesses that count, of how many, needed.
    witnessed: Option<(usize, usize, usize)>,
    /// The release that is proven.
    release: Option<Sha256>,
}

fn folder(files: &Files) -> Folder {
    files.iter().map(|(path, &(sha256, size))| (path.clone(), Hashed { sha256, size })).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/provenance").join(name)
}

/// Compares `text` with the file, or writes the file, and returns what the file holds.
fn golden(name: &str, text: String) -> String {
    if std::env::var_os("VERBUND_WRITE_VECTORS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::write(path(name), &text).unwrap();
    }
    let found = std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(found == text, "{name} differs from what this code makes: a change of the format?");
    found
}

fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn edited(mut value: Value, edits: &[Edit]) -> Value {
    for Edit { at, set } in edits {
        match set {
            Some(new) => match value.pointer_mut(at) {
                Some(old) => *old = new.clone(),
                None => drop(value.as_object_mut().unwrap().insert(at[1..].to_owned(), new.clone())),
            },
            None => {
                let (parent, last) = at.rsplit_once('/').unwrap();
                match value.pointer_mut(parent).unwrap() {
                    Value::Object(map) => drop(map.remove(last).unwrap()),
                    Value::Array(items) => drop(items.remove(last.parse().unwrap())),
                    other => panic!("{at}: {other}"),
                }
            }
        }
    }
    value
}

/// Verdict, failing step, witnesses and release, as a case holds them.
type Outcome = (String, Option<String>, Option<(usize, usize, usize)>, Option<Sha256>);

impl Case {
    fn run(&self, proof: &str) -> Outcome {
        let value = edited(serde_json::from_str(proof).unwrap(), &self.edits);
        let files = self.folder.iter().map(|(path, h)| (path.clone(), (h.sha256, h.size))).collect();
        let trust: Option<Trust> = self.trust.as_ref().map(|t| t.parse().unwrap());
        let Ok(report) = verify(&serde_json::to_vec(&value).unwrap(), &files, trust) else {
            return ("unreadable".into(), None, None, None);
        };
        let verdict = serde_json::to_value(report.verdict()).unwrap().as_str().unwrap().to_owned();
        let witnessed = report.witnessed.as_ref().map(|w| (w.count, w.of, w.needed));
        let proven = report.release.as_ref().filter(|_| report.verdict() != Verdict::Failed).map(|f| f.release);
        (verdict, report.failed().map(|s| s.name.to_string()), witnessed, proven)
    }
}

/// Files by name, and cases that refer to them.
#[derive(Default)]
struct Made {
    proofs: BTreeMap<String, String>,
    cases: Vec<Case>,
}

/// What is expected of a case.
enum Want {
    Verified,
    Unanchored,
    Fails(StepName),
    Unreadable,
}

impl Made {
    fn proof(&mut self, name: &str, bytes: &[u8]) {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        self.proofs.insert(format!("{name}.json"), pretty(&value));
    }

    fn case(&mut self, name: &str, proof: &str, edits: Vec<Edit>, files: &Files, trust: Option<Trust>, want: &Want) {
        let trust = trust.map(|t| format!("{}@{}", t.federation, t.charter));
        let (proof, folder) = (format!("{proof}.json"), folder(files));
        let (verdict, step) = (String::new(), None);
        let mut case =
            Case { name: name.into(), proof, edits, folder, trust, verdict, step, witnessed: None, release: None };
        (case.verdict, case.step, case.witnessed, case.release) = case.run(&self.proofs[&case.proof]);
        let expected = match want {
            Want::Verified => ("verified", None),
            Want::Unanchored => ("unanchored", None),
            Want::Fails(step) => ("failed", Some(step.as_str())),
            Want::Unreadable => ("unreadable", None),
        };
        assert_eq!((case.verdict.as_str(), case.step.as_deref()), expected, "{name}");
        self.cases.push(case);
    }

    /// A file and the case that it is taken as it is.
    fn whole(&mut self, name: &str, text: &str, bytes: &[u8], release: &Release, trust: Trust, want: &Want) {
        self.proof(name, bytes);
        self.case(text, name, Vec::new(), &release.files, Some(trust), want);
    }
}

fn set(at: &str, value: impl Into<Value>) -> Vec<Edit> {
    vec![Edit { at: at.into(), set: Some(value.into()) }]
}

fn remove(at: &str) -> Vec<Edit> {
    vec![Edit { at: at.into(), set: None }]
}

fn good(made: &mut Made) {
    let (mut fed, release) = standard();
    let publisher = fed.parties[0].publisher();
    let withdrawal = fed.withdrawal(0, "hundesteuer", release.id).seal(&[&publisher]).unwrap();
    fed.append(0, vec![withdrawal.into_bytes()]);
    let trust = fed.trust();
    made.whole("witnessed", "witnessed by both others", &fed.make(&release).unwrap(), &release, trust, &Want::Verified);
    let genesis = Trust { charter: fed.bundles[0].hash(), ..trust };
    made.case("the genesis is trusted", "witnessed", vec![], &release.files, Some(genesis), &Want::Verified);
    made.case("nothing is trusted", "witnessed", vec![], &release.files, None, &Want::Unanchored);
    let unknown = Trust { charter: Sha256([1; 32]), ..trust };
    made.case(
        "a charter that is not in the chain is trusted",
        "witnessed",
        vec![],
        &release.files,
        Some(unknown),
        &Want::Unanchored,
    );
    made.case(
        "statements may be left out",
        "witnessed",
        set("/statements", Vec::<Value>::new()),
        &release.files,
        Some(trust),
        &Want::Verified,
    );
    let newest = fed.publish(0, "hundesteuer", "1.4.0", &[("a", "b")]);
    made.whole("alone", "cosigned by nobody", &fed.make(&newest).unwrap(), &newest, trust, &Want::Verified);

    let mut fed = Fed::of(2);
    let new = key(200, 0);
    fed.rotate(0, |identity| {
        identity.roles.publisher.keys = vec![new.public()];
        identity.roles.publisher.slugs.insert(new.public(), ["hundesteuer".parse().unwrap()].into());
    });
    let release = fed.publish_as(0, 0, "hundesteuer", "1.0.0", &[&new]);
    fed.cosign(0, &[1]);
    let trust = fed.trust();
    made.whole(
        "rotated",
        "signed with the keys of the second identity",
        &fed.make(&release).unwrap(),
        &release,
        trust,
        &Want::Verified,
    );

    let mut fed = Fed::of(3);
    let release = fed.publish(2, "hundesteuer", "1.0.0", &[("a", "b")]);
    fed.publish(2, "hundesteuer", "1.1.0", &[("a", "c")]);
    fed.cosign(2, &[0, 1]);
    fed.expel(2, 4);
    made.whole(
        "expelled",
        "of an expelled member, below its stop",
        &fed.make(&release).unwrap(),
        &release,
        fed.trust(),
        &Want::Verified,
    );
    made.case(
        "without the proof that the stop is of one history",
        "expelled",
        remove("/end"),
        &release.files,
        None,
        &Want::Fails(StepName::End),
    );
}

/// Files that are well signed, by the wrong people.
fn wrong(made: &mut Made) {
    let mut fed = Fed::of(2);
    let trust = fed.trust();
    let unlisted = fed.publish_as(0, 0, "hundesteuer", "1.0.0", &[&key(201, 0)]);
    let entries = [0, 1, 2, 3];
    let raw = fed.raw(0, &unlisted, &entries).write().unwrap();
    made.whole(
        "unlisted",
        "signed by a key that the member did not list",
        &raw,
        &unlisted,
        trust,
        &Want::Fails(StepName::Release),
    );
    let he = fed.parties[0].publisher();
    let foreign = fed.publish_as(1, 0, "hundesteuer", "1.0.0", &[&he]);
    let raw = fed.raw(1, &foreign, &[0, 1, 2]).write().unwrap();
    made.whole(
        "namespace",
        "in the namespace of another member",
        &raw,
        &foreign,
        trust,
        &Want::Fails(StepName::Release),
    );
    let release = fed.publish(0, "hundesteuer", "1.1.0", &[("a", "b")]);
    fed.parties[1].leaves = fed.parties[0].leaves.clone();
    let raw = fed.raw(1, &release, &entries).write().unwrap();
    made.whole(
        "copied",
        "the log is copied by a node that does not write it",
        &raw,
        &release,
        trust,
        &Want::Fails(StepName::Authority),
    );

    let mut fed = Fed::of(3);
    fed.expel(2, 3);
    let publisher = fed.parties[2].publisher();
    let release = fed.publish_as(2, 2, "hundesteuer", "1.0.0", &[&publisher]);
    let raw = fed.raw(2, &release, &[0, 1, 2]).write().unwrap();
    made.whole(
        "beyond",
        "beyond the stop of an expelled member",
        &raw,
        &release,
        fed.trust(),
        &Want::Fails(StepName::End),
    );
}

/// The first file, changed in one place.
fn changed(made: &mut Made) {
    use StepName::{Authority, Charters, Checkpoint, Federation, Files as Folder, Inclusion, Manifest};
    let (fed, release) = standard();
    let (trust, files) = (Some(fed.trust()), &release.files);
    let base: Value = serde_json::from_str(&made.proofs["witnessed.json"]).unwrap();
    let other: Value = serde_json::from_str(&made.proofs["rotated.json"]).unwrap();
    let foreign_log: Value = serde_json::from_str(&made.proofs["namespace.json"]).unwrap();
    let foreign = Trust { federation: Fed::with(1, 99).federation(), ..fed.trust() };
    made.case("another federation is trusted", "witnessed", vec![], files, Some(foreign), &Want::Fails(Federation));
    let note = base["checkpoint"].as_str().unwrap();
    let cases: Vec<(&str, Vec<Edit>, Want)> = vec![
        ("a newer format", set("/format", 2), Want::Unreadable),
        ("a key that is not known", set("/unknown", 1), Want::Unreadable),
        ("a key is missing", remove("/manifest"), Want::Unreadable),
        ("an index over 2^53-1", set("/index", 1_u64 << 53), Want::Unreadable),
        ("base64 with stray bits", set("/release", "AAB="), Want::Unreadable),
        (
            "another federation is named",
            set("/federation", format!("federation:{}", "01".repeat(32))),
            Want::Fails(Federation),
        ),
        ("the genesis is missing", remove("/charters/0"), Want::Fails(Federation)),
        ("a charter is missing", remove("/charters/1"), Want::Fails(Charters)),
        ("an approval is missing", remove("/charters/2/approvals/0"), Want::Fails(Charters)),
        ("a precommit is missing", remove("/charters/2/precommits/1"), Want::Fails(Charters)),
        (
            "one precommit twice",
            set("/charters/2/precommits/1", base["charters"][2]["precommits"][0].clone()),
            Want::Fails(Charters),
        ),
        (
            "the checkpoint's size is changed",
            set("/checkpoint", note.replacen("\n8\n", "\n9\n", 1)),
            Want::Fails(Checkpoint),
        ),
        (
            "the checkpoint of another log",
            set("/checkpoint", foreign_log["checkpoint"].clone()),
            Want::Fails(Checkpoint),
        ),
        ("a checkpoint of another history", set("/checkpoint", other["checkpoint"].clone()), Want::Fails(Inclusion)),
        ("another log is named", set("/log", base["served_by"].clone()), Want::Fails(Checkpoint)),
        ("another index", set("/index", 5), Want::Fails(Inclusion)),
        ("an empty path", set("/proof", Vec::<Value>::new()), Want::Fails(Inclusion)),
        ("another release", set("/release", other["release"].clone()), Want::Fails(Inclusion)),
        (
            "another charter in the log",
            set("/entries/3/leaf", base["entries"][4]["leaf"].clone()),
            Want::Fails(Inclusion),
        ),
        ("the identity is left out", remove("/entries/0"), Want::Fails(Authority)),
        ("a charter of the log is left out", remove("/entries/3"), Want::Fails(Authority)),
        ("an entry twice", set("/entries/4", base["entries"][3].clone()), Want::Fails(Authority)),
        ("another manifest", set("/manifest", other["manifest"].clone()), Want::Fails(Manifest)),
    ];
    for (name, edits, want) in cases {
        made.case(name, "witnessed", edits, files, trust, &want);
    }
    let mut folder = files.clone();
    folder.pop_first();
    made.case("a file is missing", "witnessed", vec![], &folder, trust, &Want::Fails(Folder));
    folder.insert("bpmn/prozess.bpmn".into(), (Sha256([0; 32]), 7));
    made.case("a file is changed", "witnessed", vec![], &folder, trust, &Want::Fails(Folder));
    let mut folder = files.clone();
    folder.insert("zusatz.txt".into(), (Sha256([0; 32]), 7));
    made.case("a file is not of the release", "witnessed", vec![], &folder, trust, &Want::Fails(Folder));
}

#[test]
fn golden_vectors() {
    let mut made = Made::default();
    good(&mut made);
    wrong(&mut made);
    changed(&mut made);
    let proofs: BTreeMap<_, _> =
        made.proofs.into_iter().map(|(name, text)| (name.clone(), golden(&name, text))).collect();
    let cases: Vec<Case> = serde_json::from_str(&golden("cases.json", pretty(&made.cases))).unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let got = case.run(&proofs[&case.proof]);
        assert_eq!(got, (case.verdict, case.step, case.witnessed, case.release), "{}", case.name);
    }
}
