//! Plain text: what may stand in a title or a file name, how names are compared, and what was probably meant.
//!
//! Owns normal form, forbidden characters, case folding and suggestions. Never changes a text that it checks.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Why a text was refused: a stable code and the rule in words.
pub(crate) type Refusal = (&'static str, String);

/// Checks trimmed, non-empty plain text of at most `max_chars` characters, in Unicode normal form C; newlines only if `multiline`.
pub(crate) fn check_plain(text: &str, max_chars: usize, multiline: bool) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(("empty", "must not be empty".into()));
    }
    if let Some(c) = text.chars().find(|&c| is_forbidden(c) && !(multiline && c == '\n')) {
        let hint = if c == '\n' { "; only `description` may have several lines" } else { "" };
        return Err(("not_plain_text", format!("must be plain text: contains {}{hint}", name_of(c))));
    }
    if !is_nfc(text) {
        let why = "must be in Unicode normal form C: a letter and its accent are stored apart, as in text copied from a PDF; type it anew";
        return Err(("not_nfc", why.into()));
    }
    let chars = text.chars().count();
    if chars > max_chars {
        return Err(("too_long", format!("{chars} characters are over the limit of {max_chars}")));
    }
    Ok(())
}

/// Controls, line and paragraph separators, the byte order mark, and characters that reorder what is displayed.
pub(crate) fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// A character in words.
pub(crate) fn name_of(c: char) -> String {
    match c {
        '\n' => "a line break".into(),
        '\t' => "a tab".into(),
        '\0' => "NUL".into(),
        c => format!("the invisible character U+{:04X}", u32::from(c)),
    }
}

/// Simple case folding after NFC, as case-insensitive file systems compare names: two texts are case twins iff this is equal.
///
/// Multi-letter mappings (ß → SS) are not applied: no file system merges those.
pub fn fold(text: &str) -> String {
    fn single(mut mapped: impl Iterator<Item = char>, c: char) -> char {
        match (mapped.next(), mapped.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    }
    let folded = text.nfc().map(|c| {
        let upper = single(c.to_uppercase(), c);
        single(upper.to_lowercase(), upper)
    });
    folded.nfc().collect()
}

/// Turns a folder name or title into a slug: lower case, umlauts written out, everything else a hyphen, at most 64 characters.
/// Empty if nothing usable remains.
pub fn slugify(text: &str) -> String {
    let mut out = String::new();
    for c in text.nfc().flat_map(char::to_lowercase) {
        match c {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            c => match std::iter::once(c).nfd().next() {
                Some(base) if base.is_ascii_alphanumeric() => out.push(base),
                _ if out.ends_with('-') || out.is_empty() => {}
                _ => out.push('-'),
            },
        }
    }
    out.truncate(crate::limits::SLUG_MAX_BYTES);
    out.trim_matches('-').to_owned()
}

/// The one of `known` that `word` most likely was meant to be, if any is close.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(65).flat_map(char::to_lowercase).collect();
    if word.len() > 64 {
        return None;
    }
    // Codes of two or three characters are no misspellings of one another.
    let allowed = (word.len() / 3).min(3);
    known
        .into_iter()
        .map(|k| (distance(&word, &k.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), k))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_rules() {
        for (text, multiline, code) in [
            ("", false, "empty"),
            (" \u{a0} ", false, "empty"),
            ("a\nb", false, "not_plain_text"),
            ("a\tb", true, "not_plain_text"),
            ("a\u{202e}b", true, "not_plain_text"),
            ("u\u{308}ber", false, "not_nfc"),
            ("äöüäöüx", false, "too_long"),
        ] {
            assert_eq!(check_plain(text, 6, multiline).unwrap_err().0, code, "{text:?}");
        }
        assert!(check_plain("äöüäöü", 6, false).is_ok(), "characters count, not bytes");
        assert!(check_plain("a\nb", 6, true).is_ok());
    }

    #[test]
    fn folding_finds_case_twins_and_only_those() {
        for (a, b) in [("Ä", "ä"), ("A\u{308}", "ä"), ("ΣΑΣ", "σας"), ("K", "\u{212a}"), ("ẞ", "ß")] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("Straße"), fold("Strasse"));
        assert_ne!(fold("a"), fold("ä"));
    }

    #[test]
    fn slugs_from_titles() {
        assert_eq!(slugify("Hundesteuer – Anmeldung (Größe)"), "hundesteuer-anmeldung-groesse");
        assert_eq!(slugify("Café"), "cafe");
        assert_eq!(slugify("  ––  "), "");
        assert_eq!(slugify(&"ä".repeat(80)).len(), 64);
    }

    #[test]
    fn suggestions_are_close_ones() {
        let known = ["license", "level", "leistungsschluessel"];
        assert_eq!(suggest("licence", known), Some("license"));
        assert_eq!(suggest("lizense", known), Some("license"));
        assert_eq!(suggest("Leistungsschlüssel", known), Some("leistungsschluessel"));
        assert_eq!(suggest("colour", known), None);
        assert_eq!(suggest("25", ["15", "20"]), None);
        assert_eq!(suggest(&"l".repeat(10_000), known), None);
    }
}
