use super::super::rules::{Charter, Member, RuleError, quorum};
use super::{four, hash, three};
use crate::documents::{CHARTER_TYPE, Change, LogEnd, Standing};
use crate::envelope::Envelope;
use crate::ids::{FederationId, MemberId, PeerId, PublicKey};
use crate::json::JsonError;
use crate::limits::{CHARTER_MAX_BYTES, LEAF_MAX_BYTES, MEMBERS_MAX, TEXT_MAX_CHARS};
use crate::testing::{Actor, World};

fn genesis() -> Charter {
    World::new(1).found().charters[0].charter.clone()
}

fn refused(charter: &Charter, rule: &str) {
    let error = charter.payload().unwrap_err();
    assert!(error.to_string().contains(rule), "{error}");
    // Nor does a reader take it from somebody who does not check.
    let text = crate::json::to_canonical(charter).unwrap();
    assert_eq!(Charter::parse(&text), Err(error));
}

fn member(number: u8, handle: &str) -> Member {
    Member {
        member: MemberId([number; 32]),
        handle: handle.parse().unwrap(),
        standing: Standing::Full,
        identity: hash("identity"),
        writer: hash("writer"),
    }
}

fn stop(number: u8) -> LogEnd {
    LogEnd { log: PeerId(PublicKey([number; 32])), size: 3, root: hash("root") }
}

/// `base` with `count` members beside the founder.
fn crowded(base: &Charter, count: usize, handle: impl Fn(usize) -> String) -> Charter {
    let mut charter = base.clone();
    charter.members.truncate(1);
    for n in 0..count {
        let id = MemberId(hash(&format!("member {n}")).0);
        charter.members.push(Member { member: id, ..member(0, &handle(n)) });
    }
    charter.members.sort_by_key(|m| m.member);
    charter
}

#[test]
fn a_quorum_is_more_than_two_thirds() {
    let expected = [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (16, 11), (150, 101)];
    for (n, k) in expected {
        assert_eq!(quorum(n), k, "n = {n}");
    }
    // Any two quorums share an honest member, and the honest ones are a quorum, for the greatest f below n / 3.
    for n in 1..=MEMBERS_MAX {
        let f = (n - 1) / 3;
        assert!(2 * quorum(n) > n + f && quorum(n) <= n - f, "n = {n}");
    }
}

#[test]
fn version_federation_prev_and_change_go_together() {
    let (first, world) = (genesis(), three());
    let later = &world.newest().charter;
    let rule = "version 1 has no federation";
    refused(&Charter { version: 0, ..first.clone() }, rule);
    refused(&Charter { version: 2, ..first.clone() }, rule);
    refused(&Charter { federation: Some(FederationId([1; 32])), ..first.clone() }, rule);
    refused(&Charter { prev: Some(hash("x")), ..first.clone() }, rule);
    refused(&Charter { change: later.change.clone(), ..first }, rule);
    refused(&Charter { federation: None, ..later.clone() }, rule);
    refused(&Charter { prev: None, ..later.clone() }, rule);
    refused(&Charter { change: None, ..later.clone() }, rule);
    refused(&Charter { version: 1, ..later.clone() }, rule);
}

#[test]
fn the_genesis_has_its_founder_alone() {
    let first = genesis();
    let mut two = first.clone();
    two.members = vec![member(1, "de-aa"), member(2, "de-bb")];
    refused(&two, "founder alone");
    refused(&Charter { stops: vec![stop(1)], ..first.clone() }, "founder alone");
    let mut associate = first.clone();
    associate.members[0].standing = Standing::Associate;
    refused(&associate, "at least one member votes");
    refused(&Charter { members: vec![], ..first }, "1 to 150 members");
}

#[test]
fn members_ascend_with_one_handle_each() {
    let later = three().newest().charter.clone();
    let mut swapped = later.clone();
    swapped.members.swap(0, 1);
    refused(&swapped, "members ascend");
    let mut twice = later.clone();
    twice.members.push(later.members[2].clone());
    refused(&twice, "members ascend");
    let mut handles = later.clone();
    handles.members[1].handle = later.members[0].handle.clone();
    refused(&handles, "a handle belongs to one member");
    refused(&Charter { stops: vec![stop(2), stop(1)], ..later.clone() }, "stops ascend");
    refused(&Charter { stops: vec![stop(1), stop(1)], ..later.clone() }, "stops ascend");
    refused(&Charter { stops: (1..18).map(stop).collect(), ..later }, "stops ascend");
}

#[test]
fn at_most_150_members_and_they_fit_a_leaf() {
    let later = three().newest().charter.clone();
    let short = |n: usize| format!("de-{n:03}");
    let full = crowded(&later, MEMBERS_MAX - 1, short);
    let payload = full.payload().unwrap();
    assert_eq!(Charter::parse(&payload), Ok(full));
    let leaf = Envelope::sign(CHARTER_TYPE, payload, []).unwrap();
    assert!(leaf.bytes().len() <= LEAF_MAX_BYTES);
    refused(&crowded(&later, MEMBERS_MAX, short), "1 to 150 members");
}

#[test]
fn a_charter_over_its_length_is_refused_and_one_below_fits_a_leaf() {
    let later = three().newest().charter.clone();
    let long = |n: usize| format!("de-{n:03}-{}", "x".repeat(25));
    let mut over = crowded(&later, MEMBERS_MAX - 1, long);
    assert!(over.payload().is_ok());
    // Four bytes each: the longest texts there can be.
    let text = "\u{1F41E}".repeat(TEXT_MAX_CHARS);
    (over.rules.license, over.rules.terms) = (Some(text.clone()), Some(text));
    let text = crate::json::to_canonical(&over).unwrap();
    assert!(text.len() > CHARTER_MAX_BYTES);
    assert_eq!(over.payload(), Err(RuleError::TooLong(text.len())));
    assert_eq!(Charter::parse(&text), Err(RuleError::TooLong(text.len())));
    // The longest payload there can be, whatever it says.
    let leaf = Envelope::sign(CHARTER_TYPE, vec![b'x'; CHARTER_MAX_BYTES], []).unwrap();
    assert!(leaf.bytes().len() <= LEAF_MAX_BYTES);
}

#[test]
fn one_content_has_one_text() {
    let text = String::from_utf8(genesis().payload().unwrap()).unwrap();
    let other = |from: &str, to: &str| {
        assert!(text.contains(from));
        Charter::parse(text.replacen(from, to, 1).as_bytes())
    };
    let not_canonical = Err(RuleError::Json(JsonError::NotCanonical));
    assert_eq!(other(",\"members\":", ", \"members\":"), not_canonical, "a space");
    assert_eq!(other("{\"founded_s\"", "{\"extra\":1,\"founded_s\""), not_canonical, "a key that no charter has");
    assert_eq!(other("\"standing\":\"full\"", "\"standing\":\"full\",\"votes\":2"), not_canonical, "one of a member");
    assert_eq!(other(",\"rules\":", ",\"predecessor\":null,\"rules\":"), not_canonical, "null for an absent member");
    assert_eq!(other(",\"version\":", ",\"stops\":[],\"version\":"), not_canonical, "an empty list for an absent one");
    assert_eq!(other("\"Verbund Test\"", "\"Verbund \\u0054est\""), not_canonical, "an escape without need");
    let array = Charter::parse(b"[1,null,null,null,1750000000,[\"n\",\"n\",null,null,null],[],[],null]");
    assert!(matches!(array, Err(RuleError::Json(JsonError::Shape(_)))), "an array of the members: {array:?}");
    assert!(matches!(other("\"version\":1", "\"version\":\"1\""), Err(RuleError::Json(JsonError::Shape(_)))));
    assert!(matches!(
        other("\"version\":1", "\"version\":1,\"version\":1"),
        Err(RuleError::Json(JsonError::Malformed(_)))
    ));
}

#[test]
fn texts_are_short_and_plain() {
    let long = "x".repeat(TEXT_MAX_CHARS + 1);
    for bad in ["", long.as_str(), "a\nb"] {
        let with = |change: &dyn Fn(&mut Charter)| {
            let mut charter = genesis();
            change(&mut charter);
            refused(&charter, "1 to 300 characters");
        };
        with(&|c| c.rules.name = bad.into());
        with(&|c| c.rules.license = Some(bad.into()));
        with(&|c| c.rules.terms = Some(bad.into()));
        with(&|c| c.rules.agreement.as_mut().unwrap().title = bad.into());
        with(&|c| c.rules.agreement.as_mut().unwrap().uri = Some(bad.into()));
    }
}

#[test]
fn a_change_that_does_not_fit_is_refused() {
    let world = four().with("de-by");
    let (charter, at) = (&world.newest().charter, world.newest().hash);
    let refused = |change: &Change, stops: &[LogEnd], rule: &'static str| {
        assert_eq!(charter.next(at, change, stops), Err(RuleError::Change(rule)));
    };
    let outsider = world.actor("de-by").id();
    let admit = world.admission("de-by", Standing::Full);
    refused(&world.admission("de-rp", Standing::Full), &[], "the member is already in");
    let mut taken = admit.clone();
    if let Change::Admit { handle, .. } = &mut taken {
        *handle = "de-rp".parse().unwrap();
    }
    refused(&taken, &[], "the handle belongs to another member");
    refused(&Change::Expel { member: outsider }, &[], "the member is not in");
    refused(&admit, &[stop(1)], "only an expulsion has stops");
    refused(&World::amendment(Some(outsider)), &[], "the member is not in");
    // A handle is not rebound while its member is in, but a member may keep or change its own.
    let mut rename = World::amendment(Some(world.actor("de-sl").id()));
    let mut renamed = |to: &str| {
        if let Change::Amend { handle, .. } = &mut rename {
            *handle = Some(to.parse().unwrap());
        }
        charter.next(at, &rename, &[])
    };
    assert_eq!(renamed("de-he"), Err(RuleError::Change("the handle belongs to another member")));
    assert!(renamed("de-sl").is_ok());
    let next = renamed("de-saarland").unwrap();
    assert_eq!(next.by_handle(&"de-saarland".parse().unwrap()).unwrap().member, world.actor("de-sl").id());
    assert!(next.by_handle(&"de-sl".parse().unwrap()).is_none());
}

#[test]
fn nobody_is_left_without_a_vote() {
    let world = World::new(1).found().admit_as("de-rp", Standing::Associate);
    let (charter, at) = (&world.newest().charter, world.newest().hash);
    let founder = world.actor("de-he").id();
    let expelled = charter.next(at, &Change::Expel { member: founder }, &[stop(1)]);
    assert!(matches!(expelled, Err(RuleError::Content(ref why)) if why.contains("votes")), "{expelled:?}");
    let mut demote = World::amendment(Some(founder));
    if let Change::Amend { standing, .. } = &mut demote {
        *standing = Some(Standing::Associate);
    }
    assert!(matches!(charter.next(at, &demote, &[]), Err(RuleError::Content(_))));
}

#[test]
fn absent_parts_of_an_amendment_stay() {
    let world = three();
    let (before, at) = (&world.newest().charter, world.newest().hash);
    let mut change = World::amendment(None);
    if let Change::Amend { name, license, .. } = &mut change {
        (*name, *license) = (Some("Verbund Mitte".into()), Some("MIT".into()));
    }
    let after = before.next(at, &change, &[]).unwrap();
    assert_eq!((after.rules.name.as_str(), after.rules.license.as_deref()), ("Verbund Mitte", Some("MIT")));
    assert_eq!((&after.members, &after.rules.agreement), (&before.members, &before.rules.agreement));
    let id = world.actor("de-rp").id();
    let mut change = World::amendment(Some(id));
    if let Change::Amend { standing, .. } = &mut change {
        *standing = Some(Standing::Associate);
    }
    let after = before.next(at, &change, &[]).unwrap();
    assert_eq!(after.rules, before.rules);
    assert_eq!(
        after.member(&id).unwrap(),
        &Member { standing: Standing::Associate, ..before.member(&id).unwrap().clone() }
    );
    assert_eq!((after.voting().len(), after.quorum(), after.witnesses_needed()), (2, 2, 1));
}

#[test]
fn two_foundings_are_two_federations() {
    let founder = {
        let mut founder = Actor::new(1, "de-he");
        founder.write(None, None);
        founder
    };
    let one = World::genesis_of(&founder);
    let later = Charter { founded_s: one.founded_s + 1, ..one.clone() };
    let again = Charter { predecessor: Some(FederationId([7; 32])), ..one.clone() };
    let ids = [&one, &later, &again].map(|charter| World::found_with(charter, &founder).1.federation);
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
}
