//! Bytes as text, and text in bounds.

use super::{NAME_MAX_CHARS, TEXT_MAX_BYTES};

/// Text of a file: UTF-8 (also cut within a character), UTF-16 with a byte order mark, or Latin-1 if nothing says binary.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |decode: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| decode([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let text = match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            if bytes.contains(&0) {
                return None;
            }
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(e) if e.error_len().is_none() => String::from_utf8_lossy(&bytes[..e.valid_up_to()]).into_owned(),
                // Older exports are in Latin-1, in which every byte is a character; too many controls are no text.
                Err(_) => {
                    let controls = bytes.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace()).count();
                    if controls * 20 > bytes.len() {
                        return None;
                    }
                    bytes.iter().map(|b| char::from(*b)).collect()
                }
            }
        }
    };
    (!text.contains('\0')).then_some(text)
}

/// A name on one line, without controls, cut to length.
pub fn line(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > NAME_MAX_CHARS * 4 {
            break;
        }
    }
    match out.char_indices().nth(NAME_MAX_CHARS) {
        Some((end, _)) => out[..end].trim_end().to_owned(),
        None => out,
    }
}

/// Adds text on a line of its own, as long as there is room.
pub fn append(out: &mut String, text: &str) {
    for word in text.split_whitespace() {
        if out.len() + word.len() + 1 > TEXT_MAX_BYTES {
            return;
        }
        if !out.is_empty() && !out.ends_with(['\n', ' ']) {
            out.push(' ');
        }
        out.push_str(word);
    }
    if !out.is_empty() && !out.ends_with('\n') && out.len() < TEXT_MAX_BYTES {
        out.push('\n');
    }
}
