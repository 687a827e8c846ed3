//! Text of models: decoding, and breaking into lines that fit a shape.

/// A label, in characters; what follows is cut off.
const LABEL_MAX: usize = 200;
/// Width of a character in proportion to the size of the font: sans-serif fonts are about this wide.
const WIDTH: f64 = 0.55;

/// The text of a model: UTF-8, or UTF-16 with a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |rest: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            rest.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok()).map(read).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// A name as it is shown: one line, bounded, without control characters.
pub(super) fn label(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4 * LABEL_MAX).collect();
    let mut words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = words.char_indices().nth(LABEL_MAX) {
        words.truncate(at);
        words.push('…');
    }
    words
}

/// For the content of elements and for attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in XML, and of no use in a page.
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Breaks a label into at most `most` lines of a width, in units of the picture. The last line says that there is more.
pub(super) fn lines(label: &str, width: f64, font: f64, most: usize) -> Vec<String> {
    let fits = ((width / (font * WIDTH)).max(3.0)) as usize;
    let mut lines: Vec<String> = Vec::new();
    for word in label.split(' ').filter(|word| !word.is_empty()) {
        for part in pieces(word, fits) {
            let room = lines.last().is_some_and(|line| line.chars().count() + 1 + part.chars().count() <= fits);
            match lines.last_mut() {
                Some(line) if room => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            last.push('…');
        }
    }
    lines
}

/// A word in pieces that fit, with hyphens.
fn pieces(word: &str, fits: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    if chars.len() <= fits {
        return vec![word.to_owned()];
    }
    let size = fits.saturating_sub(1).max(1);
    let all: Vec<String> = chars.chunks(size).map(|chunk| chunk.iter().collect()).collect();
    let last = all.len().saturating_sub(1);
    all.into_iter().enumerate().map(|(n, part)| if n < last { format!("{part}-") } else { part }).collect()
}
