//! The catalogue over a federation that was folded from real records.

mod below;
pub mod build;
mod moved;

use serde_json::{Map, Value, json};

use super::*;
use crate::documents::{Adoption, Correction, Deprecation, Document, Standing, Withdrawal};
use crate::record::Record;
use crate::view::rows::MemoryRows;
use build::Fed;

const NOW_S: u64 = 1_767_310_000;

fn with<T>(rows: &MemoryRows, look: impl FnOnce(&Catalogue<'_>) -> T) -> T {
    let charters = Charters::default();
    look(&Catalogue::open(rows, &charters).unwrap().unwrap())
}

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn withdrawal(fed: &Fed, who: usize, process: &str, release: Sha256) -> Withdrawal {
    Withdrawal {
        federation: fed.federation,
        member: fed.parties[who].member,
        process: slug(process),
        release,
        reason: "rechnet falsch".into(),
        severity: "high".into(),
        successor: None,
        erase: false,
        time_s: NOW_S,
    }
}

fn correction(fed: &Fed, who: usize, process: &str, release: Sha256, time_s: u64, fields: Value) -> Correction {
    let Value::Object(fields) = fields else { panic!("fields") };
    Correction {
        federation: fed.federation,
        member: fed.parties[who].member,
        process: slug(process),
        release,
        fields,
        time_s,
    }
}

fn resolve(fed: &Fed, text: &str, viewer: &Viewer) -> Result<String, String> {
    let reference: Reference = text.parse().map_err(|e: ReferenceError| e.to_string())?;
    with(&fed.rows, |c| {
        let found = c.resolve(&reference.target, viewer).unwrap();
        found.map(|l| format!("{}@{}", c.process_name(&l.row), l.version)).map_err(|e| e.to_string())
    })
}

fn names(fed: &Fed, filter: &Filter, viewer: &Viewer) -> Vec<String> {
    with(&fed.rows, |c| {
        let page = c.processes(filter, viewer, None, 100).unwrap();
        page.items.iter().map(|l| format!("{}@{}", c.process_name(&l.row), l.version)).collect()
    })
}

fn text(text: &str) -> Filter {
    Filter { text: Some(text.to_owned()), ..Filter::default() }
}

#[test]
fn references_lead_to_the_version_that_is_meant() {
    let mut fed = Fed::of(2);
    for version in ["1.2.0", "1.10.0", "2.0.0-rc.1", "1.9.1"] {
        fed.publish(0, "hund", version);
    }
    let (digest, _) = fed.publish(1, "hund", "7.0.0");
    let operator = &Viewer::Operator;
    // Versions order as semver does, not as text; a pre-release is none of "the newest".
    assert_eq!(resolve(&fed, "de-he/hund", operator).unwrap(), "de-he/hund@1.10.0");
    assert_eq!(resolve(&fed, "de-he/hund@^1.2", operator).unwrap(), "de-he/hund@1.10.0");
    assert_eq!(resolve(&fed, "de-he/hund@~1.9", operator).unwrap(), "de-he/hund@1.9.1");
    assert_eq!(resolve(&fed, "de-he/hund@2.0.0-rc.1", operator).unwrap(), "de-he/hund@2.0.0-rc.1");
    assert_eq!(resolve(&fed, "de-he/hund@^2.0.0-rc", operator).unwrap(), "de-he/hund@2.0.0-rc.1");
    assert_eq!(resolve(&fed, &digest.to_string(), operator).unwrap(), "de-rp/hund@7.0.0");
    assert_eq!(resolve(&fed, &format!("mitte:{digest}"), operator).unwrap(), "de-rp/hund@7.0.0");
    assert_eq!(resolve(&fed, &format!("mitte:de-rp/hund@{digest}"), operator).unwrap(), "de-rp/hund@7.0.0");
    let by_id = format!("{}/hund@^1", fed.parties[0].member);
    assert_eq!(resolve(&fed, &by_id, operator).unwrap(), "de-he/hund@1.10.0");
    // A hash of another process is not a version of this one.
    for refused in
        [format!("de-he/hund@{digest}"), "de-he/hund@3.0.0".into(), "de-he/katze".into(), "de-by/hund".into()]
    {
        assert!(resolve(&fed, &refused, operator).is_err(), "{refused}");
    }
    let error = resolve(&fed, "de-he/hund@^3", operator).unwrap_err();
    assert!(error.contains("2.0.0-rc.1, 1.10.0, 1.9.1, 1.2.0"), "{error}");
}

#[test]
fn malformed_references_say_what_is_expected() {
    for bad in [
        "",
        "hund",
        "de-he/",
        "/hund",
        "DE-HE/hund",
        "a:b:de-he/hund",
        "de-he/hund@",
        "de-he/hund@1.2",
        "de-he/hund@1",
        "de-he/hund@sha256:12",
        "de-he/hund@^x",
        "sha256:12",
        "de-he/hund/x",
        "de-he/hund@1.0.0@2.0.0",
    ] {
        let error = bad.parse::<Reference>().unwrap_err().to_string();
        assert!(error.contains("is not a reference"), "{bad}: {error}");
    }
    let member = MemberId([7; 32]);
    let read: Reference = format!("mitte:{member}/hund").parse().unwrap();
    assert_eq!(read.federation, Some(slug("mitte")));
    assert_eq!(
        read.target,
        Target::Process { owner: Name::Member(member), slug: slug("hund"), selector: Selector::Newest }
    );
}

#[test]
fn a_withdrawn_release_is_offered_no_more_but_can_be_named() {
    let mut fed = Fed::of(1);
    fed.publish(0, "hund", "1.0.0");
    let (bad, _) = fed.publish(0, "hund", "1.1.0");
    let withdrawal = withdrawal(&fed, 0, "hund", bad);
    fed.say(0, &withdrawal);
    let operator = &Viewer::Operator;
    assert_eq!(resolve(&fed, "de-he/hund", operator).unwrap(), "de-he/hund@1.0.0");
    assert_eq!(resolve(&fed, "de-he/hund@^1", operator).unwrap(), "de-he/hund@1.0.0");
    assert_eq!(resolve(&fed, "de-he/hund@1.1.0", operator).unwrap(), "de-he/hund@1.1.0");
    assert_eq!(names(&fed, &Filter::default(), operator), ["de-he/hund@1.0.0"]);
    with(&fed.rows, |c| {
        let versions = c.versions(&fed.parties[0].member, &slug("hund"), operator).unwrap();
        assert_eq!(versions[0].effect.withdrawn.as_ref().unwrap().reason, "rechnet falsch");
        assert!(versions[1].effect.withdrawn.is_none());
    });
}

#[test]
fn a_process_of_which_all_is_withdrawn_is_listed_if_asked_for() {
    let mut fed = Fed::of(1);
    let (only, _) = fed.publish(0, "hund", "1.0.0");
    let withdrawal = withdrawal(&fed, 0, "hund", only);
    fed.say(0, &withdrawal);
    assert!(names(&fed, &Filter::default(), &Viewer::Operator).is_empty());
    let all = Filter { withdrawn: true, ..Filter::default() };
    assert_eq!(names(&fed, &all, &Viewer::Operator), ["de-he/hund@1.0.0"]);
    let error = resolve(&fed, "de-he/hund", &Viewer::Operator).unwrap_err();
    assert!(error.contains("1.0.0 (withdrawn)"), "{error}");
}

#[test]
fn a_withdrawal_that_names_another_process_has_no_effect() {
    let mut fed = Fed::of(1);
    let (hund, _) = fed.publish(0, "hund", "1.0.0");
    let withdrawal = withdrawal(&fed, 0, "katze", hund);
    fed.say(0, &withdrawal);
    assert_eq!(resolve(&fed, "de-he/hund", &Viewer::Operator).unwrap(), "de-he/hund@1.0.0");
}

#[test]
fn a_process_with_pre_releases_only_is_listed_but_has_no_newest() {
    let mut fed = Fed::of(1);
    fed.publish(0, "hund", "1.0.0-rc.1");
    fed.publish(0, "hund", "1.0.0-rc.2");
    assert_eq!(names(&fed, &Filter::default(), &Viewer::Operator), ["de-he/hund@1.0.0-rc.2"]);
    assert!(resolve(&fed, "de-he/hund", &Viewer::Operator).is_err());
}

#[test]
fn lists_find_text_owner_and_corrected_text() {
    let mut fed = Fed::of(2);
    let (hund, _) = fed.publish(0, "hund", "1.0.0");
    fed.publish(0, "katze", "1.0.0");
    fed.publish(1, "angeln", "1.0.0");
    let operator = &Viewer::Operator;
    assert_eq!(names(&fed, &text("HUND"), operator), ["de-he/hund@1.0.0"]);
    assert_eq!(names(&fed, &text("STRAßE"), operator).len(), 3);
    assert_eq!(names(&fed, &text("de-rp/"), operator), ["de-rp/angeln@1.0.0"]);
    assert!(names(&fed, &text("gibt es nicht"), operator).is_empty());
    let of = Filter { owner: Some(fed.parties[0].member), ..Filter::default() };
    assert_eq!(names(&fed, &of, operator), ["de-he/hund@1.0.0", "de-he/katze@1.0.0"]);
    let fixed = correction(&fed, 0, "hund", hund, NOW_S, json!({ "title": "Hundesteuer Anmeldung" }));
    fed.say(0, &fixed);
    assert_eq!(names(&fed, &text("hundesteuer"), operator), ["de-he/hund@1.0.0"]);
}

#[test]
fn pages_neither_repeat_nor_skip_whatever_their_size() {
    let mut fed = Fed::of(3);
    // "a" and "a-b" differ after a character that sorts below letters, and one process has many versions.
    for (who, process) in [(2, "z"), (0, "a"), (0, "a-b"), (0, "ab"), (1, "m"), (2, "b")] {
        fed.publish(who, process, "1.0.0");
    }
    for patch in 1..300 {
        fed.publish(0, "a-b", &format!("1.0.{patch}"));
    }
    let whole = names(&fed, &Filter::default(), &Viewer::Operator);
    assert_eq!(whole.len(), 6);
    assert_eq!(&whole[..3], ["de-he/a@1.0.0", "de-he/a-b@1.0.299", "de-he/ab@1.0.0"]);
    for limit in 1..=7 {
        let (mut pieces, mut after): (Vec<String>, Option<Place>) = (Vec::new(), None);
        loop {
            let next = with(&fed.rows, |c| {
                let page = c.processes(&Filter::default(), &Viewer::Operator, after.as_ref(), limit).unwrap();
                assert!(page.items.len() <= limit);
                pieces.extend(page.items.iter().map(|l| format!("{}@{}", c.process_name(&l.row), l.version)));
                page.next
            });
            // The place survives its text form, which travels through clients.
            let Some(place) = next.map(|place| place.to_string().parse().unwrap()) else { break };
            assert!(after.replace(place) < after, "a list goes forward");
        }
        assert_eq!(pieces, whole, "limit {limit}");
    }
}

#[test]
fn a_page_goes_on_after_a_process_that_is_gone() {
    let mut fed = Fed::of(1);
    fed.publish(0, "a", "1.0.0");
    fed.publish(0, "c", "1.0.0");
    let after = Place { handle: "de-he".parse().unwrap(), member: fed.parties[0].member, slug: slug("b") };
    let after_renamed = Place { handle: "de-aa".parse().unwrap(), ..after.clone() };
    with(&fed.rows, |c| {
        let next = |place: &Place| c.processes(&Filter::default(), &Viewer::Operator, Some(place), 9).unwrap().items;
        assert_eq!(next(&after).iter().map(|l| l.row.slug.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(next(&after_renamed).len(), 2);
    });
    for bad in ["", "de-he", "de-he/x/y", "de-he/member:00/hund"] {
        assert!(bad.parse::<Place>().is_err(), "{bad}");
    }
}

#[test]
fn an_audience_hides_what_is_not_for_the_viewer() {
    let mut fed = Fed::of(3);
    let rp = || Audience::Members(vec!["de-rp".parse().unwrap()]);
    fed.publish_to(0, "alle", "1.0.0", Audience::Federation);
    fed.publish_to(0, "offen", "1.0.0", Audience::Public);
    fed.publish_to(0, "rp", "1.0.0", rp());
    fed.publish_to(0, "neu", "1.0.0", Audience::Federation);
    fed.publish_to(0, "neu", "2.0.0", rp());
    let viewer = |who: usize| with(&fed.rows, |c| c.viewer(fed.parties[who].member));
    let all = Filter::default();
    let seen = |viewer: &Viewer| names(&fed, &all, viewer);
    let everything = ["de-he/alle@1.0.0", "de-he/neu@2.0.0", "de-he/offen@1.0.0", "de-he/rp@1.0.0"];
    assert_eq!(seen(&Viewer::Operator), everything);
    assert_eq!(seen(&viewer(0)), everything, "the owner sees its own");
    assert_eq!(seen(&viewer(1)), everything, "a member of the audience");
    // The list shows the newest of the versions that are for the viewer.
    assert_eq!(seen(&viewer(2)), ["de-he/alle@1.0.0", "de-he/neu@1.0.0", "de-he/offen@1.0.0"]);
    assert_eq!(seen(&Viewer::Public), ["de-he/offen@1.0.0"]);
    assert!(resolve(&fed, "de-he/neu@2.0.0", &viewer(2)).is_err());
    // Its existence stays hidden: the refusal is that of a process that there never was.
    let hidden = resolve(&fed, "de-he/rp", &viewer(2)).unwrap_err();
    assert_eq!(hidden, resolve(&fed, "de-he/nie", &viewer(2)).unwrap_err().replace("nie", "rp"));
    let stranger = with(&fed.rows, |c| c.viewer(MemberId([9; 32])));
    assert_eq!(seen(&stranger), ["de-he/offen@1.0.0"], "who left is nobody in particular");
}

#[test]
fn corrections_apply_in_order_and_only_widen() {
    let mut fed = Fed::of(2);
    let only_he = Audience::Members(Vec::new());
    let (hund, index) = fed.publish_to(0, "hund", "1.0.0", only_he);
    let fields = [
        (NOW_S + 2, json!({ "title": "Zweiter", "leistungsschluessel": ["99102013060000"] })),
        (NOW_S + 1, json!({ "title": "Erster", "license": "MIT", "audience": "federation" })),
        (NOW_S + 3, json!({ "title": "Enger", "audience": { "members": ["de-th"] } })),
        (NOW_S + 4, json!({ "license": "MIT" })),
    ];
    for (time_s, fields) in fields {
        let said = correction(&fed, 0, "hund", hund, time_s, fields);
        fed.say(0, &said);
    }
    // Another member's correction is void in its own log.
    let foreign = Correction {
        member: fed.parties[0].member,
        ..correction(&fed, 1, "hund", hund, NOW_S + 9, json!({ "title": "x" }))
    };
    fed.say(1, &foreign);
    let viewer = with(&fed.rows, |c| c.viewer(fed.parties[1].member));
    with(&fed.rows, |c| {
        let listed = c.at((fed.parties[0].log(), index), &viewer).unwrap().unwrap();
        assert_eq!(listed.effect.title, "Zweiter");
        assert_eq!(listed.effect.audience, Audience::Federation);
        assert_eq!(listed.effect.corrections.len(), 2);
        let raw = json!({ "title": "Alt", "license": "EUPL-1.2", "no_key_reason": "nicht im LeiKa", "künftig": [1] });
        let metadata = listed.effect.metadata(&raw);
        assert_eq!(metadata["title"], "Zweiter");
        assert_eq!(metadata["license"], "EUPL-1.2", "a licence is not corrected");
        assert_eq!(metadata["künftig"], json!([1]), "unknown keys are kept");
        assert_eq!(metadata.get("no_key_reason"), None);
    });
}

#[test]
fn deprecations_concern_a_release_or_the_whole_process() {
    let mut fed = Fed::of(1);
    let (old, _) = fed.publish(0, "hund", "1.0.0");
    fed.publish(0, "hund", "2.0.0");
    let of = |release: Option<Sha256>, reason: &str, time_s| Deprecation {
        federation: fed.federation,
        member: fed.parties[0].member,
        process: slug("hund"),
        release,
        reason: reason.into(),
        ends: None,
        successor: None,
        time_s,
    };
    let (one, whole) = (of(Some(old), "alt", NOW_S), of(None, "endet", NOW_S - 1));
    let reasons = |fed: &Fed| {
        with(&fed.rows, |c| {
            let versions = c.versions(&fed.parties[0].member, &slug("hund"), &Viewer::Operator).unwrap();
            versions.iter().map(|l| l.effect.deprecated.as_ref().map(|d| d.reason.clone())).collect::<Vec<_>>()
        })
    };
    fed.say(0, &one);
    assert_eq!(reasons(&fed), [None, Some("alt".into())]);
    fed.say(0, &whole);
    assert_eq!(reasons(&fed), [Some("endet".into()), Some("alt".into())], "the newest that concerns it");
}

#[test]
fn the_newest_adoption_of_each_member_counts() {
    let mut fed = Fed::of(3);
    fed.publish(0, "hund", "1.0.0");
    for (who, stage, time_s) in [(1, "geplant", 1), (2, "pilot", 2), (1, "produktiv", 3)] {
        let adoption = Adoption {
            federation: fed.federation,
            member: fed.parties[who].member,
            owner: fed.parties[0].member,
            process: slug("hund"),
            release: None,
            stage: stage.into(),
            since: None,
            bodies: Vec::new(),
            count: None,
            terms: None,
            time_s,
        };
        let envelope = adoption.seal(&[&fed.parties[who].approver()]).unwrap();
        fed.append(who, envelope.into_bytes());
    }
    with(&fed.rows, |c| {
        let said = c.said(&fed.parties[0].member, &slug("hund")).unwrap();
        assert_eq!(said.adoptions().iter().map(|a| a.stage.as_str()).collect::<Vec<_>>(), ["pilot", "produktiv"]);
    });
}

#[test]
fn witnesses_are_other_members_whose_cosignature_covers_the_release() {
    let mut fed = Fed::of(4);
    let (_, first) = fed.publish(0, "hund", "1.0.0");
    fed.cosign(0, &[0, 1]);
    let (_, second) = fed.publish(0, "hund", "1.1.0");
    fed.cosign(0, &[2]);
    let of = |fed: &Fed, index: u64| {
        with(&fed.rows, |c| {
            let listed = c.at((fed.parties[0].log(), index), &Viewer::Operator).unwrap().unwrap();
            let Witnesses { by, of, needed, reached, charter } = c.witnesses(&listed.row).unwrap();
            assert_eq!((of, needed, charter), (3, 2, 4));
            (c.handles(&by).iter().map(ToString::to_string).collect::<BTreeSet<_>>(), reached)
        })
    };
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(of(&fed, first), (names(&["de-rp", "de-sl"]), true));
    assert_eq!(of(&fed, second), (names(&["de-sl"]), false));
    fed.cosign(0, &[3]);
    assert_eq!(of(&fed, second), (names(&["de-sl", "de-th"]), true));
}

#[test]
fn held_is_what_no_row_says_is_missing() {
    let mut fed = Fed::of(1);
    let (_, index) = fed.publish(0, "hund", "1.0.0");
    let held =
        |fed: &Fed| with(&fed.rows, |c| c.at((fed.parties[0].log(), index), &Viewer::Operator).unwrap().unwrap().held);
    assert!(!held(&fed));
    fed.hold(0, index);
    assert!(held(&fed));
}

#[test]
fn releases_of_a_former_member_stay_and_its_handle_may_be_taken() {
    let mut fed = Fed::of(3);
    fed.publish(1, "angeln", "1.0.0");
    let size = fed.size(1);
    let (late, _) = fed.publish(1, "angeln", "2.0.0");
    fed.expel(1, size);
    let operator = &Viewer::Operator;
    assert_eq!(resolve(&fed, "de-rp/angeln", operator).unwrap(), "de-rp/angeln@1.0.0");
    assert!(resolve(&fed, &late.to_string(), operator).is_err(), "beyond the stop nothing counts");
    with(&fed.rows, |c| {
        let owner = c.owners().named(&Name::Handle("de-rp".parse().unwrap())).unwrap();
        assert!(!owner.present);
        assert_eq!(owner.name, "Land de-rp");
        // What lies beyond the end of its log claims nothing.
        assert_eq!(c.versions(&owner.member, &slug("angeln"), operator).unwrap().len(), 1);
        let public = c.versions(&owner.member, &slug("angeln"), &c.viewer(fed.parties[0].member)).unwrap();
        assert_eq!(public.len(), 1);
    });
    // Another member comes in under the handle: it means that one now, and the former one is named by its id.
    let who = fed.admit(9, "de-rp");
    fed.publish(who, "angeln", "9.0.0");
    assert_eq!(resolve(&fed, "de-rp/angeln", operator).unwrap(), "de-rp/angeln@9.0.0");
    let former = format!("{}/angeln", fed.parties[1].member);
    assert_eq!(resolve(&fed, &former, operator).unwrap(), format!("{former}@1.0.0"));
    assert_eq!(names(&fed, &text("angeln"), operator).len(), 2);
}

#[test]
fn no_catalogue_without_a_charter() {
    let charters = Charters::default();
    assert!(Catalogue::open(&MemoryRows::default(), &charters).unwrap().is_none());
}

#[test]
fn statements_beyond_one_page_are_read() {
    let mut fed = Fed::of(1);
    let (hund, index) = fed.publish(0, "hund", "1.0.0");
    for n in 0..1_100_u64 {
        let said = correction(
            &fed,
            0,
            "hund",
            hund,
            NOW_S + n,
            Value::Object(Map::from_iter([("title".to_owned(), json!(format!("T{n}")))])),
        );
        fed.say(0, &said);
    }
    with(&fed.rows, |c| {
        let listed = c.at((fed.parties[0].log(), index), &Viewer::Operator).unwrap().unwrap();
        assert_eq!((listed.effect.corrections.len(), listed.effect.title.as_str()), (1_100, "T1099"));
    });
}

#[test]
fn void_entries_are_listed_with_their_reasons() {
    let mut fed = Fed::of(3);
    let log = fed.parties[1].log();
    let (_, first) = fed.publish(1, "hund", "1.0.0");
    // The same version once more, with other words; a release that nobody signed; and nonsense.
    let (_, second) = fed.publish_to(1, "hund", "1.0.0", Audience::Public);
    let forged = fed.sign_again(1, first, &fed.parties[0].publisher());
    let forged = fed.append(1, forged);
    let nonsense = fed.append(1, b"nonsense".to_vec());
    fed.publish(1, "katze", "1.0.0");
    let (member, hund) = (fed.parties[1].member, slug("hund"));
    with(&fed.rows, |c| {
        let voids = c.voids(&log, None, 10).unwrap();
        let places: Vec<_> = voids.iter().map(|v| (v.index, v.kind.as_str())).collect();
        assert_eq!(places, [(second, "release"), (forged, "release"), (nonsense, "unknown")]);
        assert!(voids[0].reason.contains("published before"), "{}", voids[0].reason);
        assert!(voids[1].reason.contains("publisher threshold"), "{}", voids[1].reason);
        assert_eq!(voids[0].release, Some((member, hund.clone(), "1.0.0".to_owned())));
        assert_eq!((voids[2].owner, voids[2].release.clone()), (Some(member), None));
        // In pieces, the same.
        let one = c.voids(&log, None, 1).unwrap();
        let rest = c.voids(&log, Some(one[0].index), 10).unwrap();
        assert_eq!([one, rest].concat(), voids);
        assert_eq!(c.voids_of(&member, &hund, 10).unwrap(), voids[..2]);
        assert_eq!(c.voids_of(&member, &hund, 1).unwrap(), voids[..1]);
        assert!(c.voids_of(&member, &slug("katze"), 10).unwrap().is_empty());
    });
    // What lies beyond the end of a log is void, whenever it came.
    let end = first as usize + 1;
    fed.expel(1, end);
    with(&fed.rows, |c| {
        let voids = c.voids(&log, None, 10).unwrap();
        assert_eq!(voids.iter().map(|v| v.index).collect::<Vec<_>>(), (first + 1..=nonsense + 1).collect::<Vec<_>>());
        assert!(voids.iter().all(|v| v.reason.contains("beyond the end")), "{voids:?}");
        assert_eq!(c.voids_of(&member, &slug("katze"), 10).unwrap().len(), 1);
        assert!(c.voids_of(&member, &hund, 10).unwrap().iter().all(|v| v.index > first));
    });
}

#[test]
fn a_version_that_comes_to_stand_is_void_no_longer() {
    // The earlier of two logs comes later: what stood until then is void from now on, and the other way round.
    let mut fed = Fed::of(2);
    let log = fed.parties[1].log();
    let (_, first) = fed.publish(1, "hund", "1.0.0");
    let (_, second) = fed.publish_to(1, "hund", "1.0.0", Audience::Public);
    with(&fed.rows, |c| assert_eq!(c.voids(&log, None, 10).unwrap()[0].index, second));
    fed.commit(vec![Record::Reset { log }]);
    with(&fed.rows, |c| assert!(c.voids(&log, None, 10).unwrap().is_empty(), "dropped, to be fetched anew"));
    let again = fed.again(1);
    fed.commit(vec![again]);
    with(&fed.rows, |c| {
        let voids = c.voids(&log, None, 10).unwrap();
        assert_eq!(voids.iter().map(|v| v.index).collect::<Vec<_>>(), [second]);
        assert!(c.at((log, first), &Viewer::Operator).unwrap().is_some());
    });
}

#[test]
fn a_key_that_a_charter_took_away_signs_nothing_more_in_a_log_that_left_that_out() {
    let mut fed = Fed::of(2);
    fed.publish(1, "hund", "1.0.0");
    fed.repin(1);
    let log = fed.parties[1].log();
    let (_, late) = fed.publish(1, "hund", "1.1.0");
    with(&fed.rows, |c| assert_eq!(c.voids(&log, None, 10).unwrap()[0].index, late));
    let good = fed.sign_again(1, late, &fed.next_publisher(1));
    let index = fed.append(1, good);
    with(&fed.rows, |c| {
        assert_eq!(c.voids(&log, None, 10).unwrap().len(), 1);
        assert!(c.at((log, index), &Viewer::Operator).unwrap().is_some());
    });
}

#[test]
fn a_member_without_a_vote_witnesses_nothing() {
    // Five with a vote need three others; of four and an associate, two of the three others that vote.
    let mut fed = Fed::of(5);
    fed.stand(4, Standing::Associate);
    let (_, index) = fed.publish(0, "hund", "1.0.0");
    let log = fed.parties[0].log();
    let (checkpoint, note) = fed.note(0, fed.size(0), None);
    fed.commit(vec![Record::Checkpoint { log, note }]);
    let look = |fed: &Fed| {
        with(&fed.rows, |c| {
            let listed = c.at((log, index), &Viewer::Operator).unwrap().unwrap();
            let Witnesses { by, of, reached, .. } = c.witnesses(&listed.row).unwrap();
            (by.len(), of, reached)
        })
    };
    let witnessed = |fed: &Fed| state::log(&fed.rows, &log).unwrap().unwrap().witnessed.map(|(size, _)| size);
    fed.commit(vec![fed.cosignature(&checkpoint, 1, 1), fed.cosignature(&checkpoint, 4, 1)]);
    assert_eq!((look(&fed), witnessed(&fed)), ((1, 3, false), None));
    fed.commit(vec![fed.cosignature(&checkpoint, 2, 1)]);
    assert_eq!((look(&fed), witnessed(&fed)), ((2, 3, true), Some(checkpoint.size)));
}
