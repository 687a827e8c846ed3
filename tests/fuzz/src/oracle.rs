//! RFC 9162 §2.1.3.2 and §2.1.4.2 written down a second time, step by step as they stand there: what the product's tree arithmetic,
//! which comes from a library and from a recursion of its own, is compared with.

use verbund_protocol::ids::Sha256;

fn node(left: Sha256, right: Sha256) -> Sha256 {
    Sha256::of(&[&[1][..], &left.0, &right.0].concat())
}

/// RFC 9162 §2.1.3.2: the root that an inclusion path leads to, if it has the right length.
pub fn inclusion_root(index: u64, size: u64, leaf: Sha256, path: &[Sha256]) -> Option<Sha256> {
    if index >= size {
        return None;
    }
    let (mut fnode, mut snode, mut root) = (index, size - 1, leaf);
    for &p in path {
        if snode == 0 {
            return None;
        }
        if fnode & 1 == 1 || fnode == snode {
            root = node(p, root);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            root = node(root, p);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    (snode == 0).then_some(root)
}

/// RFC 9162 §2.1.4.2 with the first node always in the path: the roots of the smaller and the larger tree that it leads to.
pub fn consistency_roots(from: u64, to: u64, seeded: &[Sha256]) -> Option<(Sha256, Sha256)> {
    if from == 0 || from > to {
        return None;
    }
    let (&seed, rest) = seeded.split_first()?;
    if from == to {
        return rest.is_empty().then_some((seed, seed));
    }
    let (mut fnode, mut snode) = (from - 1, to - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut small, mut large) = (seed, seed);
    for &c in rest {
        if snode == 0 {
            return None;
        }
        if fnode & 1 == 1 || fnode == snode {
            small = node(c, small);
            large = node(c, large);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            large = node(large, c);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    (snode == 0).then_some((small, large))
}
