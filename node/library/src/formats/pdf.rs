//! PDF: version, title, and the text of pages in plain fonts.
//!
//! Reads streams in the order of the file without its cross references, so that broken files are read too. Text in fonts with an
//! encoding of their own, and encrypted text, is not read.

use super::{Format, Recognised, archive};

/// Streams that are looked at.
const STREAMS_MAX: usize = 2_000;

/// Reads a PDF.
pub fn read(bytes: &[u8]) -> Recognised {
    let mut found = Recognised::new(Format::Pdf);
    let version = bytes.get(5..8).unwrap_or_default();
    found.version = std::str::from_utf8(version).ok().map(str::to_owned);
    if let Some(title) = find(bytes, b"/Title").and_then(|at| string(&bytes[at + 6..])) {
        found.name(&title);
    }
    if find(bytes, b"/Encrypt").is_some() {
        found.note("it is encrypted");
        return found;
    }
    let mut left = super::INFLATED_MAX_BYTES;
    let mut rest = bytes;
    for _ in 0..STREAMS_MAX {
        let Some(at) = find(rest, b"stream") else { break };
        let (head, body) = rest.split_at(at);
        let head = &head[head.len().saturating_sub(300)..];
        let body = &body[6..];
        let body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n")).unwrap_or(body);
        let Some(end) = find(body, b"endstream") else { break };
        rest = &body[end + 9..];
        let image = find(head, b"/Image").is_some() || find(head, b"/FontFile").is_some();
        if image || left == 0 {
            continue;
        }
        let body = &body[..end];
        let data =
            if find(head, b"FlateDecode").is_some() { archive::zlib(body, &mut left) } else { Some(body.to_vec()) };
        if let Some(data) = data.filter(|data| find(data, b"BT").is_some()) {
            shown(&mut found, &data);
        }
    }
    if left == 0 {
        found.note("only the beginning was unpacked");
    }
    found
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A string object: `(…)` or `<hex>`, UTF-16 with a byte order mark or Latin-1.
fn string(bytes: &[u8]) -> Option<String> {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace())?;
    let raw = match bytes.get(start)? {
        b'(' => literal(&bytes[start + 1..]).0,
        b'<' => {
            let end = bytes[start..].iter().take(4_096).position(|b| *b == b'>')?;
            let digits: Vec<u8> = bytes[start + 1..start + end].iter().copied().filter(u8::is_ascii_hexdigit).collect();
            let pair = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            digits.chunks(2).filter_map(pair).collect()
        }
        _ => return None,
    };
    Some(match raw.as_slice() {
        [0xfe, 0xff, wide @ ..] => {
            let units: Vec<u16> = wide.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        raw => raw.iter().map(|b| char::from(*b)).collect(),
    })
}

/// The bytes of a literal string after its opening parenthesis, and how many bytes it takes.
fn literal(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut out, mut depth, mut at) = (Vec::new(), 1_u32, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                let escaped = bytes.get(at).copied().unwrap_or(b' ');
                at += 1;
                if matches!(escaped, b'0'..=b'7') {
                    let mut code = u32::from(escaped - b'0');
                    for _ in 0..2 {
                        let Some(digit @ b'0'..=b'7') = bytes.get(at).copied() else { break };
                        code = code * 8 + u32::from(digit - b'0');
                        at += 1;
                    }
                    out.push((code & 0xff) as u8);
                } else {
                    out.push(match escaped {
                        b'n' | b'r' | b't' | b'\n' | b'\r' => b' ',
                        other => other,
                    });
                }
            }
            b')' if depth == 1 => break,
            b'(' | b')' => {
                depth = if byte == b'(' { depth.saturating_add(1) } else { depth - 1 };
                out.push(byte);
            }
            other => out.push(other),
        }
    }
    (out, at)
}

/// Text that a page shows: literal strings between BT and ET. Large steps within an array are gaps between words.
fn shown(found: &mut Recognised, data: &[u8]) {
    let (mut line, mut at, mut step) = (String::new(), 0, Vec::new());
    while let Some(&byte) = data.get(at) {
        at += 1;
        match byte {
            b'(' => {
                let (raw, used) = literal(&data[at..]);
                at += used;
                let far =
                    std::str::from_utf8(&step).ok().and_then(|n| n.parse::<f32>().ok()).is_some_and(|n| n < -200.0);
                if far {
                    line.push(' ');
                }
                step.clear();
                line.extend(raw.iter().filter(|b| !b.is_ascii_control()).map(|b| char::from(*b)));
            }
            b'-' | b'.' | b'0'..=b'9' => step.push(byte),
            b'T' if matches!(data.get(at), Some(b'd' | b'D' | b'*' | b'm')) => line.push(' '),
            b'E' if data.get(at) == Some(&b'T') => {
                found.say(&line);
                line.clear();
            }
            _ => step.clear(),
        }
    }
    found.say(&line);
}
