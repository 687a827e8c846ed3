//! What receivers get.

use super::*;

#[test]
fn the_signature_is_that_of_the_specification() {
    // Computed with Python's hmac: hmac.new(b"geheimnis-mit-24-zeichen", b"id.1700000000.{}", sha256), base64.
    let headers = sign(b"geheimnis-mit-24-zeichen", "id", 1_700_000_000, b"{}");
    let get = |name: &str| headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert_eq!(get("webhook-signature"), "v1,Yo8kv545eVlTLPWISnnDY7wMyhTKfXTlmuyBZmTGjIk=");
    assert_eq!((get("webhook-id"), get("webhook-timestamp")), ("id".to_owned(), "1700000000".to_owned()));
}

#[test]
fn a_secret_is_long_enough_and_alone_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "kurz\n").unwrap();
    assert!(secret(&path).is_err());
    std::fs::write(&path, "x".repeat(32) + "\n").unwrap();
    assert_eq!(secret(&path).unwrap(), [b'x'; 32]);
    assert!(secret(&dir.path().join("none")).is_err());
}

#[test]
fn a_place_is_kept_beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webhooks/erp.mitte");
    assert_eq!(load(&path).unwrap(), None);
    save(&path, &vec![1, 2, 255]).unwrap();
    assert_eq!(load(&path).unwrap(), Some(vec![1, 2, 255]));
    // One that was lost is not taken for one that never was: what was missed is told.
    for torn in ["", "0", "kein"] {
        std::fs::write(&path, torn).unwrap();
        assert!(load(&path).is_err(), "{torn:?}");
    }
}
