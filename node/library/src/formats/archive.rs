//! Base64 and ZIP, as they come within other files.
//!
//! Owns decompression and its bounds: sizes that a file claims are never believed.

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use super::ENTRIES_MAX;

/// Names and bytes of the files within, or why they cannot be had.
type Unpacked = Result<Vec<(String, Vec<u8>)>, &'static str>;

const TOO_LARGE: &str = "a file within it is too large when unpacked";
const BROKEN: &str = "a file within it cannot be unpacked";

/// Padding is often missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Bytes of base64 text with white space.
pub fn base64(text: &str, left: &mut usize) -> Result<Vec<u8>, &'static str> {
    let text: String = text.split_whitespace().collect();
    if text.len() / 4 * 3 > *left {
        return Err(TOO_LARGE);
    }
    LENIENT.decode(text).map_err(|_| BROKEN)
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// The files of a ZIP, by its central directory; of what is no ZIP the bytes as they are. `left` is what all may still unpack to.
pub fn entries(bytes: &[u8], left: &mut usize) -> Unpacked {
    if !bytes.starts_with(b"PK") {
        return Ok(vec![(String::new(), bytes.to_vec())]);
    }
    directory(bytes, left).unwrap_or(Err(BROKEN))
}

/// `None` where a structure lies beyond the end.
fn directory(bytes: &[u8], left: &mut usize) -> Option<Unpacked> {
    // The end record is 22 bytes and a comment of at most 65,535 from the end.
    let from = bytes.len().saturating_sub(22 + 65_535);
    let end = from + bytes.get(from..)?.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = number(bytes, end + 10, 2)?;
    let mut at = number(bytes, end + 16, 4)?;
    let mut out = Vec::new();
    for _ in 0..count.min(ENTRIES_MAX) {
        if bytes.get(at..at.checked_add(4)?)? != b"PK\x01\x02" {
            return Some(Err(BROKEN));
        }
        let (method, packed) = (number(bytes, at + 10, 2)?, number(bytes, at + 20, 4)?);
        let (name, extra, comment) =
            (number(bytes, at + 28, 2)?, number(bytes, at + 30, 2)?, number(bytes, at + 32, 2)?);
        let local = number(bytes, at + 42, 4)?;
        let called = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name)?).into_owned();
        at = at + 46 + name + extra + comment;
        let begin = local.checked_add(30)? + number(bytes, local.checked_add(26)?, 2)? + number(bytes, local + 28, 2)?;
        let data = bytes.get(begin..begin.checked_add(packed)?)?;
        let data = match method {
            0 if data.len() <= *left => data.to_vec(),
            8 => match decompress_to_vec_with_limit(data, *left) {
                Ok(data) => data,
                Err(error) if error.status == TINFLStatus::HasMoreOutput => return Some(Err(TOO_LARGE)),
                Err(_) => return Some(Err(BROKEN)),
            },
            0 => return Some(Err(TOO_LARGE)),
            _ => continue,
        };
        *left = left.saturating_sub(data.len());
        out.push((called, data));
    }
    Some(Ok(out))
}

/// Inflates a zlib stream as far as `left` goes; what cannot be read gives nothing.
pub fn zlib(bytes: &[u8], left: &mut usize) -> Option<Vec<u8>> {
    let data = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, *left);
    let data = match data {
        Ok(data) => data,
        // What came out before the stream broke, or went over the limit, is still text.
        Err(error) => error.output,
    };
    *left = left.saturating_sub(data.len());
    Some(data)
}
