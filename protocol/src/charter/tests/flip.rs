use proptest::prelude::*;

use super::super::certificate::{Certified, CharterBundle};
use super::super::rules::Charter;
use super::{admitting, three};
use crate::testing::{World, cases};

/// Every byte string of a bundle.
fn parts(bundle: &mut CharterBundle) -> Vec<&mut Vec<u8>> {
    let CharterBundle { payload, identities, writers, approvals, precommits } = bundle;
    let lists = [identities, writers, approvals, precommits];
    std::iter::once(payload).chain(lists.into_iter().flatten()).collect()
}

/// Changes `bundle`, and asserts that it certifies what it did, or nothing.
fn never_another(before: Option<&Certified>, bundle: &CharterBundle, change: impl FnOnce(&mut CharterBundle)) {
    let check = |bundle: &CharterBundle| match before {
        Some(before) => before.next(bundle),
        None => Certified::genesis(bundle),
    };
    let good = check(bundle).unwrap();
    let mut changed = bundle.clone();
    change(&mut changed);
    if let Ok(certified) = check(&changed) {
        assert_eq!(certified, good);
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_flipped_byte_never_certifies_another_charter(part: prop::sample::Index, at: prop::sample::Index, mask in 1..=255u8) {
        let (world, _, bundle) = admitting(World::new(1).found().admit("de-rp"));
        never_another(Some(world.newest()), &bundle, |changed| {
            let mut parts = parts(changed);
            let part = part.get_mut(&mut parts[..]);
            let at = at.index(part.len());
            part[at] ^= mask;
        });
    }

    #[test]
    fn a_cut_or_grown_part_never_certifies_another_charter(part: prop::sample::Index, at: prop::sample::Index, more: Vec<u8>) {
        let (world, _, bundle) = admitting(World::new(1).found().admit("de-rp"));
        never_another(Some(world.newest()), &bundle, |changed| {
            let mut parts = parts(changed);
            let part = part.get_mut(&mut parts[..]);
            part.truncate(at.index(part.len() + 1));
            part.extend(more);
        });
    }

    #[test]
    fn a_flipped_byte_of_a_genesis_founds_nothing_else(part: prop::sample::Index, at: prop::sample::Index, mask in 1..=255u8) {
        let world = World::new(1).found();
        never_another(None, &world.bundles[0], |changed| {
            let mut parts = parts(changed);
            let part = part.get_mut(&mut parts[..]);
            let at = at.index(part.len());
            part[at] ^= mask;
        });
    }

    #[test]
    fn parts_of_other_certificates_never_certify_another_charter(picks: Vec<(prop::sample::Index, prop::sample::Index)>) {
        let (world, _, bundle) = admitting(three());
        let others = [&world.bundles[1], &world.bundles[2]];
        never_another(Some(world.newest()), &bundle, |changed| {
            for (to, from) in picks {
                let mut other = others[from.index(others.len())].clone();
                let taken = from.get_mut(&mut parts(&mut other)[..]).clone();
                **to.get_mut(&mut parts(changed)[..]) = taken;
            }
        });
    }

    #[test]
    fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512), at: prop::sample::Index, mask: u8) {
        let _ = Charter::parse(&bytes);
        let mut payload = three().bundles[2].payload.clone();
        let at = at.index(payload.len());
        payload[at] ^= mask;
        if let Ok(charter) = Charter::parse(&payload) {
            prop_assert_eq!(charter.payload().unwrap(), payload);
        }
    }
}
