//! The own tree code against two others: blake3 for roots, bao-tree for outboards and encodings.

use bao_tree::io::outboard::PostOrderMemOutboard;
use bao_tree::io::sync::encode_ranges_validated;
use proptest::prelude::*;

use super::super::bitmap::Bitmap;
use super::super::tree::*;
use super::super::walk::{Held, Output, Walk};
use super::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn file(content: &[u8]) -> std::fs::File {
    use std::os::unix::fs::FileExt as _;
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    file
}

proptest! {
    #![proptest_config(config(48))]

    /// Whatever the pieces, root and outboard are those of the whole.
    #[test]
    fn hashes_streams_like_the_others(groups in 0usize..40, rest in 0usize..16_384, cuts in proptest::collection::vec(1usize..70_000, 1..8)) {
        let data = bytes(groups as u64, groups * 16_384 + rest);
        let mut hasher = TreeHasher::new(Vec::new());
        let (mut left, mut cuts) = (data.as_slice(), cuts.iter().cycle());
        while !left.is_empty() {
            let (head, tail) = left.split_at(left.len().min(*cuts.next().unwrap()));
            hasher.update(head).unwrap();
            left = tail;
        }
        let (root, outboard) = hasher.finish().unwrap();
        let reference = PostOrderMemOutboard::create(&data, GROUP);
        prop_assert_eq!(root, *blake3::hash(&data).as_bytes());
        prop_assert_eq!(root, *reference.root.as_bytes());
        prop_assert_eq!(outboard, reference.data);
    }

    /// Our encoding of any ranges of groups is bao's, and is as long as computed.
    #[test]
    fn encodes_like_bao(size in 0u64..700_000, picks in proptest::collection::vec((0u64..43, 1u64..9), 0..5)) {
        let data = bytes(size, size as usize);
        let reference = PostOrderMemOutboard::create(&data, GROUP);
        let picks = picks.into_iter().filter(|(start, _)| *start < groups(size)).map(|(start, n)| (start, start + n));
        let ranges = chunk_ranges(size, picks);
        let mut wanted = Vec::new();
        encode_ranges_validated(data.as_slice(), &reference, &ranges, &mut wanted).unwrap();
        prop_assert_eq!(encoded_len(size, &ranges), wanted.len() as u64);

        let held = Held { hash: Blake3::of(&data), size, data: file(&data), outboard: Some(file(&reference.data)) };
        let mut walk = Walk::new(held, ranges, Output::Encoded);
        let mut encoded = Vec::new();
        let mut target = 0;
        loop {
            target += 20_000;
            if walk.fill(&mut encoded, target).unwrap() { break }
        }
        prop_assert!(encoded == wanted);
    }

    /// A claim is read back as it was written, and not at all once a bit of it has changed.
    #[test]
    fn bitmap_files_are_whole_or_nothing(size in 1u64..5_000_000, set in proptest::collection::vec(0u64..310, 0..60), place in any::<prop::sample::Index>(), bit in 0u8..8) {
        use std::os::unix::fs::FileExt as _;
        let hash = Blake3([7; 32]);
        let mut map = Bitmap::new(size);
        set.iter().for_each(|group| map.insert(*group));
        let target = tempfile::tempfile().unwrap();
        map.store(&target, &hash, size).unwrap();
        prop_assert_eq!(Bitmap::load(&target, &hash, size).unwrap(), Some(map.clone()));
        prop_assert_eq!(Bitmap::load(&target, &Blake3([8; 32]), size).unwrap(), None);
        prop_assert_eq!(Bitmap::load(&target, &hash, size + (1 << 20)).unwrap(), None);
        let present: u64 = map.ranges(true).iter().map(|(start, end)| end - start).sum();
        let missing: u64 = map.ranges(false).iter().map(|(start, end)| end - start).sum();
        prop_assert_eq!((present, present + missing), (map.present(), groups(size)));

        let at = place.index(target.metadata().unwrap().len() as usize) as u64;
        let mut byte = [0];
        target.read_exact_at(&mut byte, at).unwrap();
        target.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
        prop_assert_eq!(Bitmap::load(&target, &hash, size).unwrap(), None);
        target.set_len(at).unwrap();
        prop_assert_eq!(Bitmap::load(&target, &hash, size).unwrap(), None);
    }
}

/// The largest artifacts that are computed with do not overflow.
#[test]
fn geometry_of_huge_sizes() {
    for size in [SIZE_MAX, SIZE_MAX - 1, (8 << 30) + 1] {
        let last = chunk_ranges(size, [(groups(size) - 1, groups(size))]);
        let len = encoded_len(size, &last);
        assert!(len <= 64 * 64 + GROUP_BYTES, "{len}");
    }
}
