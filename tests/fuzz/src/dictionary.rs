//! Dictionaries in the format of AFL and libFuzzer, so that both runners use the same files.

use std::path::PathBuf;

/// Folder of the dictionaries.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dictionaries")
}

/// The tokens of the dictionary `name`.
///
/// # Panics
/// If there is none, or a line of it is neither a comment nor a quoted token.
pub fn load(name: &str) -> Vec<Vec<u8>> {
    let file = folder().join(format!("{name}.dict"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| token(line).unwrap_or_else(|| panic!("{}: {line}", file.display()))).collect()
}

/// `name="token"` or `"token"`, with `\\`, `\"` and `\xAB`.
fn token(line: &str) -> Option<Vec<u8>> {
    let quoted = line.get(line.find('"')?..)?.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::new();
    let mut rest = quoted.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next()? {
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                escaped @ (b'\\' | b'"') => escaped,
                _ => return None,
            },
            b'"' => return None,
            byte => byte,
        });
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_libfuzzer_reads_them() {
        assert_eq!(token(r#"kw="a\x00\"\\b""#), Some(b"a\0\"\\b".to_vec()));
        assert_eq!(token(r#""\xff""#), Some(vec![255]));
        for bad in ["", "x", r#""""#, r#""\q""#, r#""a"b""#] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }
}
