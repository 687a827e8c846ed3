//! Cursors: a list's position as clients carry it.
//!
//! Owns their one text form: base64url without padding of a version byte, eight bytes that bind it to its list, and the
//! library's position. The binding catches mix-ups, not forgers: a position never grants anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::library::{POSITION_MAX_BYTES, Position};

const VERSION: u8 = 1;
const BINDING_BYTES: usize = 8;

/// Eight bytes that stand for a list: its kind, federation and filter.
fn binding(list: &[&str]) -> [u8; BINDING_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("verbund http cursor v1");
    for part in list {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut out = [0; BINDING_BYTES];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// The text of a position in a list. `None` if the position is too long.
pub fn encode(list: &[&str], position: &[u8]) -> Option<String> {
    if position.len() > POSITION_MAX_BYTES {
        return None;
    }
    let mut bytes = vec![VERSION];
    bytes.extend(binding(list));
    bytes.extend(position);
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The position in a list. `None` for anything that [`encode`] did not make for this list.
pub fn decode(list: &[&str], text: &str) -> Option<Position> {
    if text.len() > (1 + BINDING_BYTES + POSITION_MAX_BYTES).div_ceil(3) * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let position = bytes.strip_prefix(&[VERSION])?.strip_prefix(&binding(list))?;
    (position.len() <= POSITION_MAX_BYTES).then(|| position.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_cursor_works_in_its_own_list_only(position in proptest::collection::vec(any::<u8>(), 0..=POSITION_MAX_BYTES)) {
            let text = encode(&["processes", "mitte", "hund"], &position).unwrap();
            prop_assert_eq!(decode(&["processes", "mitte", "hund"], &text), Some(position));
            prop_assert_eq!(decode(&["processes", "mitte", ""], &text), None);
            prop_assert_eq!(decode(&["processes", "mitteh", "und"], &text), None);
        }

        #[test]
        fn other_text_is_refused(text in "[A-Za-z0-9_=-]{0,800}") {
            prop_assert_eq!(decode(&["x"], &text), None);
        }
    }

    #[test]
    fn a_position_over_the_bound_is_refused() {
        assert_eq!(encode(&["x"], &[0; POSITION_MAX_BYTES + 1]), None);
    }
}
