use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::http::server::tls::provider;

const NOW_S: u64 = 1_800_000_000;

struct Files {
    _dir: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
}

fn files() -> Files {
    let dir = tempfile::tempdir().unwrap();
    Files { cert: dir.path().join("https.crt"), key: dir.path().join("https.key"), _dir: dir }
}

fn made() -> Files {
    let files = files();
    create(&files.cert, &files.key, "de-he", &["node.example".into()], NOW_S).unwrap();
    files
}

fn load_error(files: &Files) -> String {
    load(&files.cert, &files.key, &provider()).unwrap_err().to_string()
}

#[test]
fn a_made_certificate_loads_and_says_when_it_ends() {
    let files = files();
    let names = ["node.example".to_owned(), "192.0.2.7".into(), "[2001:db8::7]".into(), "LOCALHOST".into()];
    let validity = create(&files.cert, &files.key, "de-he", &names, NOW_S).unwrap();
    assert_eq!(load(&files.cert, &files.key, &provider()).unwrap().validity, validity);
    assert_eq!(validity.days_left(NOW_S), i64::from(VALID_DAYS));
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    let der = CertificateDer::from_pem_file(&files.cert).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let san = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(san.value.general_names.len(), 6, "{:?}", san.value);
    assert!(!parsed.is_ca());
}

#[test]
fn nothing_is_overwritten_and_an_interrupted_run_is_continued() {
    let files = made();
    let key = fs::read(&files.key).unwrap();
    assert!(matches!(create(&files.cert, &files.key, "x", &[], NOW_S), Err(CertError::Exists(_))));
    fs::remove_file(&files.cert).unwrap();
    create(&files.cert, &files.key, "x", &[], NOW_S).unwrap();
    assert_eq!(fs::read(&files.key).unwrap(), key);
    load(&files.cert, &files.key, &provider()).unwrap();
}

#[test]
fn names_that_no_certificate_can_carry_are_refused() {
    for bad in ["", "https://x", "x:443", "a..b", "-a", "a_b", "münchen.de", "a b", &"x".repeat(64)] {
        let files = files();
        let error = create(&files.cert, &files.key, "x", &[bad.to_owned()], NOW_S).unwrap_err();
        assert!(matches!(&error, CertError::Name { name, .. } if name == bad), "{error}");
        assert!(!files.cert.exists() && !files.key.exists());
    }
}

#[test]
fn subjects_differ_and_stay_short() {
    let subject = |files: &Files| {
        let der = CertificateDer::from_pem_file(&files.cert).unwrap();
        X509Certificate::from_der(&der).unwrap().1.subject().to_string()
    };
    assert_ne!(subject(&made()), subject(&made()));
    let files = files();
    create(&files.cert, &files.key, &"ä\n".repeat(300), &[], NOW_S).unwrap();
    assert!(subject(&files).chars().count() <= "CN=".len() + 64);
}

#[test]
fn each_refusal_names_file_and_reason() {
    let missing = files();
    assert!(load_error(&missing).contains("https.crt") && load_error(&missing).contains("No such file"));
    let other = made();
    type Damage = Box<dyn Fn(&Files)>;
    let cases: Vec<(Damage, &str, &str)> = vec![
        (Box::new(|f| fs::remove_file(&f.key).unwrap()), "https.key", "cannot be read"),
        (Box::new(|f| fs::write(&f.cert, "hello").unwrap()), "https.crt", "no certificate"),
        (Box::new(|f| fs::write(&f.key, "hello").unwrap()), "https.key", "no private key"),
        (Box::new(|f| copy(&f.key, &f.cert)), "https.crt", "no certificate"),
        (Box::new(move |f| copy(&other.key, &f.key)), "https.key", "does not belong"),
        (Box::new(|f| cut(&f.cert)), "https.crt", "cut off"),
        (Box::new(|f| cut(&f.key)), "https.key", "cut off"),
        (Box::new(|f| fs::write(&f.cert, vec![b'x'; 1 << 21]).unwrap()), "https.crt", "larger than"),
        (Box::new(|f| wrap(&f.cert, "CERTIFICATE")), "https.crt", "no X.509"),
        (Box::new(|f| wrap(&f.key, "PRIVATE KEY")), "https.key", "no supported kind"),
    ];
    for (damage, file, reason) in cases {
        let files = made();
        damage(&files);
        let error = load_error(&files);
        assert!(error.contains(file) && error.contains(reason), "{error}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn wrap(path: &Path, label: &str) {
    fs::write(path, format!("-----BEGIN {label}-----\naGVsbG8=\n-----END {label}-----\n")).unwrap();
}

#[test]
fn a_bad_file_does_not_replace_a_good_certificate() {
    let files = made();
    let live = LiveCertificate::open(&files.cert, &files.key, Arc::new(provider())).unwrap();
    assert!(!live.reload().unwrap());
    let before = live.validity();
    fs::write(&files.cert, "half a file").unwrap();
    live.reload().unwrap_err();
    assert_eq!(live.validity(), before);
    for file in [&files.cert, &files.key] {
        fs::remove_file(file).unwrap();
    }
    create(&files.cert, &files.key, "x", &[], NOW_S + 86_400).unwrap();
    assert!(live.reload().unwrap());
    assert_eq!(live.validity().not_after_s, before.not_after_s + 86_400);
}

#[test]
fn an_operator_is_warned_in_time() {
    let validity = Validity { not_before_s: NOW_S, not_after_s: NOW_S + 100 * DAY_S };
    assert_eq!(validity.warning(NOW_S), None);
    assert!(validity.warning(NOW_S - 1).unwrap().contains("not valid yet"));
    assert!(validity.warning(NOW_S + 60 * DAY_S).unwrap().contains("in 40 days"));
    assert!(validity.warning(NOW_S + 102 * DAY_S).unwrap().contains("expired 2 days ago"));
}

#[test]
fn an_exposed_key_is_noticed() {
    let files = made();
    assert!(!is_exposed(&files.key));
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(is_exposed(&files.key));
}
