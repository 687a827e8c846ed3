//! DCAT-AP.de: the catalogue against the shapes of its publisher, with pyshacl. Shapes lie in the corpus, pyshacl comes from PyPI:
//! where either is missing the test says so and is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use verbund_tests::{Federation, Folder, corpus};

use super::{Https, public, told};

/// A Python with pyshacl, made once beside the build; `None`, and said, where it cannot be.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pyshacl");
    let python = venv.join("bin/python");
    let works = |python: &Path| {
        Command::new(python).args(["-c", "import pyshacl"]).output().is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).output();
    let made = made.is_ok_and(|output| output.status.success())
        && Command::new(&python)
            .args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "pyshacl"])
            .output()
            .is_ok_and(|output| output.status.success());
    if made && works(&python) {
        return Some(python);
    }
    eprintln!("SKIPPED: pyshacl cannot be installed from PyPI into {}", venv.display());
    None
}

#[test]
fn the_catalogue_fits_the_shapes_of_dcat_ap_de() {
    let Some(corpus) = corpus() else { return };
    let shapes = corpus.join("dcat-ap-de/Releases/DCAT-AP.de V2.0/shacl");
    let Some(python) = python() else { return };
    let federation = Federation::found(1);
    let world = federation.world.path();
    let detailed = public(world, "fundsache").with(
        "audience = \"public\"\ndescription = \"Eine Fundsache anzeigen & <abholen>\"\nkeywords = [\"Fundbüro\", \"Fund\"]",
    );
    federation.publish("de-he", &detailed.path);
    federation.publish("de-he", &Folder::new(world, "wohngeld").path);
    let Some(https) = Https::new(&federation["de-he"], world) else { return };
    told(&https, "release.available", "wohngeld");
    let first = https.get("/api/v1/mitte/catalog.jsonld?limit=1", &[]);
    assert_eq!(first.header("content-type"), "application/ld+json");
    assert!(first.header("link").contains("rel=\"next\""), "{}", first.headers);
    let whole = https.get("/api/v1/mitte/catalog.jsonld", &[]);
    let file = world.join("catalog.jsonld");
    std::fs::write(&file, &whole.body).unwrap();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/federation/api/dcat.py"))
        .arg(&file)
        .args(
            ["dcat-ap_2.1.1_shacl_shapes.ttl", "dcat-ap-spec-german-additions.ttl", "dcat-ap-spec-german-messages.ttl"]
                .map(|name| shapes.join(name)),
        )
        .output()
        .expect("python starts");
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.starts_with("datasets=2 "), "{said}\n{wrong}\n{:#}", whole.json());
}
