//! Who holds which classes.

use verbund_protocol::ids::{FederationId, MemberId};
use verbund_protocol::view::catalogue::Viewer;

use super::*;

#[test]
fn viewers_hold_what_their_standing_gives_in_their_federation_only() {
    let (one, two) = (FederationId([1; 32]), FederationId([2; 32]));
    let member = MemberId([3; 32]);
    let hessen = Viewer::Member { member, handle: Some("de-he".parse().unwrap()) };
    let held = classes(one, &hessen, false);
    assert_eq!(held.len(), 3);
    assert!(held.contains(&class(one, "h:de-he", false)) && held.contains(&class(one, "federation", false)));
    assert!(held.contains(&class(one, &format!("id:{member}"), false)));
    // Who left sees what everybody sees, and its own.
    let left = classes(one, &Viewer::Member { member, handle: None }, false);
    assert_eq!(left, [class(one, "public", false), class(one, &format!("id:{member}"), false)]);
    assert_eq!(classes(one, &Viewer::Public, false), [class(one, "public", false)]);
    let operator = classes(two, &Viewer::Operator, true);
    assert_eq!(operator, [class(two, "operator", false), class(two, "operator", true)]);
    assert!(held.iter().chain(&left).all(|class| !operator.contains(class)));
}
