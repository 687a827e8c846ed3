//! A federation in good weather: founded, joined, published in.

use verbund_simulation::org::Wish;
use verbund_simulation::world::World;

#[test]
fn a_founder_alone_writes_its_log() {
    let mut w = World::founded(1, "de-he");
    w.expect(1_000, "the log begins", |w| w.log(0, w.nodes[0].peer()).judged == 3);
    let made = w.publish(0, &Wish { slug: "hund", version: "1.0.0", ..Wish::default() }).unwrap();
    w.expect(5_000, "it is held", |w| w.holds(0, &made));
}

#[test]
fn a_second_member_joins() {
    let mut w = World::founded(2, "de-he");
    let second = w.join("de-rp");
    w.admit(0, "de-rp").unwrap();
    w.expect(30_000, "both are in", |w| w.settled_members(2));
    assert_eq!(w.progress(second), "member");
}

#[test]
fn four_members() {
    let w = World::of(3, 4);
    assert_eq!(w.charter(3).version, 4);
}
