use super::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn identity(base: u8) -> Identity {
    Identity {
        version: 1,
        member: None,
        prev: None,
        handle: "de-he".parse().unwrap(),
        names: BTreeMap::from([("de".into(), "Hessen".into())]),
        ags: Some("06".into()),
        contact: Some("verbund@example.org".into()),
        valid_until: None,
        roles: Roles {
            root: Role { keys: vec![key(base).public()], threshold: 1 },
            approver: Role { keys: vec![key(base + 1).public()], threshold: 1 },
            publisher: PublisherRole { keys: vec![key(base + 2).public()], threshold: 1, slugs: BTreeMap::new() },
            nodes: vec![key(base + 3).public()],
        },
    }
}

fn follow(old: &VerifiedIdentity, base: u8) -> Identity {
    Identity { version: old.identity.version + 1, member: Some(old.member), prev: Some(old.hash), ..identity(base) }
}

#[test]
fn a_rotation_needs_the_old_and_the_new_root() {
    let first = VerifiedIdentity::first(&identity(1).seal(&[&key(1)]).unwrap()).unwrap();
    let next = follow(&first, 11);
    let newest = first.next(&next.seal(&[&key(1), &key(11)]).unwrap()).unwrap();
    assert_eq!(newest.member, first.member);
    let by_new_only = first.next(&next.seal(&[&key(11)]).unwrap());
    assert!(matches!(by_new_only, Err(IdentityError::Unsigned { whose: "its predecessor", .. })));
    let by_old_only = first.next(&next.seal(&[&key(1)]).unwrap());
    assert!(matches!(by_old_only, Err(IdentityError::Unsigned { whose: "it", .. })));
}

#[test]
fn versions_follow_without_gap_and_name_their_predecessor() {
    let first = VerifiedIdentity::first(&identity(1).seal(&[&key(1)]).unwrap()).unwrap();
    let good = follow(&first, 1);
    for (bad, why) in [
        (Identity { version: 3, ..good.clone() }, "plus one"),
        (Identity { member: None, ..good.clone() }, "another member"),
        (Identity { prev: Some(Sha256::of(b"x")), ..good.clone() }, "prev is not"),
    ] {
        let error = first.next(&bad.seal(&[&key(1)]).unwrap()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let not_first = VerifiedIdentity::first(&good.seal(&[&key(1)]).unwrap()).unwrap_err();
    assert!(not_first.to_string().contains("starts with version 1"));
}

#[test]
fn no_key_has_two_roles_and_thresholds_can_be_met() {
    let mut twice = identity(1);
    twice.roles.nodes = vec![key(1).public()];
    assert_eq!(twice.seal(&[&key(1)]), Err(IdentityError::KeyTwice(key(1).public())));
    for (keys, threshold) in [(1, 0), (1, 2), (17, 1)] {
        let mut bad = identity(1);
        bad.roles.root = Role { keys: (0..keys).map(|n| key(100 + n).public()).collect(), threshold };
        assert!(matches!(bad.seal(&[&key(100)]), Err(IdentityError::Threshold { role: "root", .. })));
    }
}

#[test]
fn publisher_keys_can_be_bound_to_slugs() {
    let mut role = identity(1).roles.publisher;
    let (mine, other): (Slug, Slug) = ("hundesteuer".parse().unwrap(), "wohngeld".parse().unwrap());
    role.slugs.insert(key(3).public(), BTreeSet::from([mine.clone()]));
    let envelope = Envelope::sign("t", b"{}".to_vec(), [&key(3)]).unwrap();
    assert!(role.signed(&envelope, &mine));
    assert!(!role.signed(&envelope, &other));
}

#[test]
fn fingerprints_have_eight_groups_of_five_digits() {
    let text = fingerprint(&[0xff; 32]);
    assert_eq!(text, ["65535"; 8].join(" "));
    assert_eq!(fingerprint(&[0; 32]), ["00000"; 8].join(" "));
}

#[test]
fn a_chain_ends_with_its_longest_length() {
    let mut newest = VerifiedIdentity::first(&identity(1).seal(&[&key(1)]).unwrap()).unwrap();
    while newest.identity.version < IDENTITY_CHAIN_MAX as u64 {
        newest = newest.next(&follow(&newest, 1).seal(&[&key(1)]).unwrap()).unwrap();
    }
    let longer = newest.next(&follow(&newest, 1).seal(&[&key(1)]).unwrap());
    assert_eq!(longer, Err(IdentityError::ChainLength(IDENTITY_CHAIN_MAX + 1)));
}

#[test]
fn one_key_that_signs_twice_reaches_no_threshold() {
    let role = Role { keys: vec![key(1).public(), key(2).public()], threshold: 2 };
    let both = Envelope::sign("t", b"{}".to_vec(), [&key(1), &key(2)]).unwrap();
    assert!(role.signed(&both));
    // The first key's signature stands under both key ids.
    let twice = String::from_utf8(Envelope::sign("t", b"{}".to_vec(), [&key(1)]).unwrap().into_bytes()).unwrap();
    let (start, end) = (twice.find(r#"{"keyid""#).unwrap(), twice.rfind(']').unwrap());
    let renamed = twice[start..end].replace(&key(1).public().to_string(), &key(2).public().to_string());
    let twice = format!("{},{renamed}{}", &twice[..end], &twice[end..]);
    let twice = Envelope::parse(twice.as_bytes()).unwrap();
    assert!(!role.signed(&twice), "two signatures, one key");
    assert!(Role { threshold: 1, ..role }.signed(&twice));
}
