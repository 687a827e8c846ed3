//! Spellings that are one.
//!
//! After the rules of Lucene's GermanNormalizationFilter (Snowball "German2"): ä, ae and a become a, so that Prüfung, Pruefung and
//! Prufung meet. `ue` stays after a vowel or q (Steuer, Quelle).

use unicode_normalization::char::decompose_compatible;

/// Lower case without umlauts, ß and accents.
#[cfg(test)]
pub fn fold(word: &str) -> String {
    join(&plain(word))
}

/// Lower case without umlauts, ß and accents; ae, oe and ue stay.
pub fn plain(word: &str) -> String {
    let mut plain = String::with_capacity(word.len());
    for c in word.chars().flat_map(char::to_lowercase) {
        match c {
            'ß' => plain.push_str("ss"),
            'æ' => plain.push('a'),
            'ø' | 'œ' => plain.push('o'),
            _ => decompose_compatible(c, |c| {
                if c.is_alphanumeric() {
                    plain.extend(c.to_lowercase());
                }
            }),
        }
    }
    plain
}

/// ae, oe and ue as one letter.
pub fn join(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    let mut before = None;
    let mut chars = plain.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if chars.peek() == Some(&'e') {
            let digraph = match c {
                'a' | 'o' => true,
                'u' => !matches!(before, Some('a' | 'e' | 'i' | 'o' | 'u' | 'q')),
                _ => false,
            };
            if digraph {
                chars.next();
            }
        }
        before = Some(c);
    }
    out
}
