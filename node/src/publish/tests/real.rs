//! Folders that must publish: the samples of this repository, and real files beside it.

use std::collections::BTreeSet;
use std::process::Command;

use verbund_protocol::ids::{FederationId, MemberId};
use verbund_protocol::release::Release;
use verbund_protocol::release::statement::Draft;

use super::*;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The corpus of real files: `VERBUND_CORPUS`, or `../shared/corpus` beside the workspace. `None` is said on stderr.
fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("VERBUND_CORPUS").map_or_else(|| workspace().join("../shared/corpus"), PathBuf::from);
    if path.join("make_processes.py").is_file() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {} (set VERBUND_CORPUS)", path.display());
    None
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

/// Publishes `root` up to the signature, and reads the statement back.
fn through(root: &Path) -> (Ready, Release) {
    let ready = prepared(root).unwrap_or_else(|problems| panic!("{}: {}", root.display(), problems[0]));
    let manifest = manifest(&ready.scanned).unwrap();
    for file in manifest.files() {
        assert_eq!(fs::metadata(root.join(file.path.as_str())).unwrap().len(), file.size);
    }
    let draft = Draft {
        federation: FederationId([1; 32]),
        member: MemberId([2; 32]),
        time_s: 1_767_225_600,
        metadata: &ready.metadata,
        manifest: &manifest,
    };
    let release = Release::parse(&draft.prepare().unwrap().payload).unwrap();
    assert_eq!(release.manifest.files, ready.scanned.files.len() as u64);
    (ready, release)
}

#[test]
fn every_sample_publishes_without_a_warning() {
    let folders = subfolders(&workspace().join("tests/data/processes"));
    assert!(folders.len() >= 14, "{} samples", folders.len());
    let (mut titles, mut keys) = (BTreeSet::new(), 0);
    for folder in folders {
        let (ready, release) = through(&folder);
        assert_eq!(ready.warnings, [], "{}", folder.display());
        assert_eq!(ready.scanned.skipped, [], "{}", folder.display());
        let metadata = release.metadata.metadata();
        assert_eq!(Some(metadata.id.as_str()), folder.file_name().and_then(|n| n.to_str()));
        assert!(titles.insert(metadata.title.clone()));
        keys += metadata.leistungsschluessel.len();
        let kinds: BTreeSet<_> = ready.scanned.files.iter().map(|f| f.media_type).collect();
        assert!(kinds.contains("application/bpmn+xml") && kinds.contains("application/toml"), "{kinds:?}");
        assert!(ready.scanned.files.len() >= 5, "model, form, settings, document and process.toml");
    }
    assert!(keys >= 14);
}

#[test]
fn a_proposal_for_a_sample_names_it_by_its_model() {
    let scanned = scan(&workspace().join("tests/data/processes/gewerbe-anmeldung")).unwrap();
    let text = init_proposal(&scanned);
    assert!(text.contains("title = \"Gewerbe anmelden\""), "{text}");
    assert!(text.contains("Schon gesetzt in"), "{text}");
}

#[test]
fn folders_made_of_real_files_publish_unchanged() {
    let Some(corpus) = corpus() else { return };
    let out = TempDir::new().unwrap();
    let made =
        Command::new("python3").arg(corpus.join("make_processes.py")).arg(out.path()).args(["--count", "200"]).output();
    match made {
        Ok(output) if output.status.success() => {}
        other => return eprintln!("skipped: make_processes.py did not run ({other:?})"),
    }
    let folders = subfolders(out.path());
    assert_eq!(folders.len(), 200);
    let mut keys = BTreeSet::new();
    for folder in folders {
        let (_, release) = through(&folder);
        keys.extend(release.metadata.metadata().leistungsschluessel.iter().cloned());
    }
    assert!(keys.len() > 100, "{} different keys", keys.len());
}

#[test]
fn every_real_file_publishes_byte_for_byte_even_the_malformed_one() {
    let Some(corpus) = corpus() else { return };
    for part in ["bpmn-miwg", "dmn-tck", "fim-gerps-onto", "fim-xdatenfelder-ts", "publiccode"] {
        let scanned = scan(&corpus.join(part)).unwrap_or_else(|p| panic!("{part}: {}", p[0]));
        let manifest = manifest(&scanned).unwrap();
        for file in manifest.files() {
            let bytes = fs::read(corpus.join(part).join(file.path.as_str())).unwrap();
            assert_eq!(file.sha256, verbund_protocol::ids::Sha256::of(&bytes), "{part}/{}", file.path);
        }
        let kinds: BTreeSet<_> =
            scanned.files.iter().filter(|f| f.path.as_str().ends_with(".bpmn")).map(|f| f.media_type).collect();
        assert!(kinds.is_subset(&BTreeSet::from(["application/bpmn+xml", "application/xml"])), "{part}: {kinds:?}");
    }
}
