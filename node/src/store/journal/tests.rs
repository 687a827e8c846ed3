//! The bytes of the format, and names.

use super::{
    format::{FORMAT, HEAD_BYTES, HEADER_BYTES, Head, Header},
    segment_number, segment_path,
};
use crate::store::fold::FramePosition;

const SALT: [u8; 12] = *b"salt of test";

fn header() -> Header {
    Header { version: FORMAT, segment: 3, instance: [5; 32], salt: SALT }
}

#[test]
fn header_bytes_are_fixed() {
    let bytes = header().encode();
    assert_eq!(bytes.len() as u64, HEADER_BYTES);
    let copy = [&b"VERBUNDJ\x01\0\0\0\x03\0\0\0"[..], &[5; 32], b"salt of test"].concat();
    assert_eq!(bytes[..60], copy);
    assert_eq!(bytes[60..64], crc32c::crc32c(&copy).to_le_bytes());
    assert_eq!(bytes[..64], bytes[64..]);
    assert_eq!(Header::decode(&bytes), Some((header(), true)));
}

#[test]
fn any_flip_in_a_header_leaves_the_other_copy() {
    let bytes = header().encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::decode(&flipped), Some((header(), false)), "bit {bit}");
    }
    for len in 0..64 {
        assert_eq!(Header::decode(&bytes[..len]), None);
    }
}

#[test]
fn a_frame_is_bound_to_its_place_salt_number_and_payload() {
    let at = FramePosition { segment: 1, offset: 500 };
    let head = Head::seal(&SALT, at, 9, b"payload");
    let bytes = head.encode();
    assert_eq!(bytes[..12], [7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Head::decode(&SALT, at, 8, &bytes), Some(head));
    assert!(head.fits(b"payload") && !head.fits(b"Payload") && !head.fits(b"payloa"));
    assert_eq!(head.frame_bytes(), HEAD_BYTES as u64 + 7);
    assert_eq!(Head::decode(&SALT, at, 9, &bytes), None, "numbers rise");
    assert_eq!(Head::decode(b"another salt", at, 0, &bytes), None);
    assert_eq!(Head::decode(&SALT, FramePosition { offset: 501, ..at }, 0, &bytes), None);
    assert_eq!(Head::decode(&SALT, FramePosition { segment: 2, ..at }, 0, &bytes), None);
    for bit in 0..16 * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Head::decode(&SALT, at, 0, &flipped), None, "bit {bit}");
    }
    assert_eq!(Head::decode(&SALT, at, 0, &[0; HEAD_BYTES]), None, "zeros are no frame");
    assert_eq!(Head::decode(&SALT, at, 0, &bytes[..19]), None);
}

#[test]
fn names_of_segments() {
    let path = segment_path("j".as_ref(), 0xabc);
    assert_eq!(path.to_str(), Some("j/00000abc.seg"));
    assert_eq!(segment_number("00000abc.seg"), Some(0xabc));
    for other in ["00000ABC.seg", "abc.seg", "00000abc.new", "00000abc", "+0000abc.seg", "000000abc.seg"] {
        assert_eq!(segment_number(other), None, "{other}");
    }
}
