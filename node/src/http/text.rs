//! Text between URLs, headers and the library.
//!
//! Owns percent-encoding, the query string, the form of file paths, and file names in `Content-Disposition`. What leaves here
//! towards a header is printable ASCII; what leaves towards the library is valid UTF-8 that was decoded exactly once.

use verbund_protocol::limits;

/// A file name in `Content-Disposition`, in bytes of UTF-8: below what common file systems allow (255).
const FILENAME_MAX_BYTES: usize = 200;

/// Decodes `%XX` once, and `+` to a space if `plus`. `None` if an escape is malformed or the outcome is no UTF-8.
fn percent_decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let (high, low) = (bytes.next()?, bytes.next()?);
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit(high)? << 4 | digit(low)?
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Encodes all but unreserved characters (RFC 3986 §2.3) and those of `keep`.
fn percent_encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let char = char::from(byte);
        if byte.is_ascii_alphanumeric() || keep.contains(char) {
            out.push(char);
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// The path of a file as part of a URL; slashes stay.
pub fn encode_path(path: &str) -> String {
    percent_encode(path, "-._~/")
}

/// A value in a query string.
pub fn encode_query(value: &str) -> String {
    percent_encode(value, "-._~")
}

/// The name and value pairs of a query string (`application/x-www-form-urlencoded`), in order. `None` if one is malformed.
pub fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((percent_decode(name, true)?, percent_decode(value, true)?))
        })
        .collect()
}

/// Whether a decoded path could stand in a manifest at all: relative, without empty or dot segments and control characters.
pub fn is_file_path(path: &str) -> bool {
    path.len() <= limits::PATH_MAX_BYTES
        && !path.chars().any(char::is_control)
        && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The `Content-Disposition` of a file: always an attachment, so that nothing a member wrote is rendered under our name.
///
/// SPEC: RFC 6266 §4.3, RFC 8187 §3.2: a plain ASCII name for old clients, the exact one in `filename*`.
pub fn disposition(path: &str) -> String {
    let name = safe_name(path.rsplit('/').next().unwrap_or(path));
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    if ascii == name {
        return format!("attachment; filename=\"{ascii}\"");
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", percent_encode(&name, "!#$&+-.^_`|~"))
}

/// Replaces what no file name should hold, so that saving it can neither leave a folder, hide, nor show another ending.
fn safe_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let c = if is_unsafe(c) { '_' } else { c };
        if out.len() + c.len_utf8() > FILENAME_MAX_BYTES {
            break;
        }
        out.push(if out.is_empty() && c == '.' { '_' } else { c });
    }
    let kept = out.trim_end_matches(['.', ' ']).len();
    out.truncate(kept);
    if out.is_empty() { "file".to_owned() } else { out }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // Marks that change the direction of writing make `exe.fdp` look like `pdf.exe`.
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A media type that may stand in a header, or the one for unknown bytes. Judges the form only (RFC 9110 §8.3.1).
pub fn media_type(declared: &str) -> &str {
    let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let (essence, parameters) = declared.split_once(';').unwrap_or((declared, ""));
    let well_formed =
        essence.trim_end_matches(' ').split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    let printable = parameters.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if well_formed && printable && declared.len() <= 200 { declared } else { "application/octet-stream" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decoding_happens_once_and_strictly() {
        assert_eq!(percent_decode("a%2Fb%252e", false).as_deref(), Some("a/b%2e"));
        assert_eq!(percent_decode("gr%C3%BC+n", true).as_deref(), Some("grü n"));
        for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn paths_that_leave_a_folder_are_no_file_paths() {
        for bad in ["", "/", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "a\0b", "a\nb", &"x".repeat(513)] {
            assert!(!is_file_path(bad), "{bad:?}");
        }
        for good in ["a", "formulare/Antrag 1.xml", "..a/b..", "ü/ß", "...", "a\\b"] {
            assert!(is_file_path(good), "{good:?}");
        }
    }

    #[test]
    fn names_are_safe_to_save() {
        assert_eq!(disposition("a/b c.bpmn"), "attachment; filename=\"b c.bpmn\"");
        assert_eq!(
            disposition("Prüfung.xml"),
            "attachment; filename=\"Pr_fung.xml\"; filename*=UTF-8''Pr%C3%BCfung.xml"
        );
        assert_eq!(disposition("x/.bashrc"), "attachment; filename=\"_bashrc\"");
        assert_eq!(disposition("a\"; filename=evil.exe"), "attachment; filename=\"a_; filename=evil.exe\"");
        assert_eq!(disposition("a\\..\\b"), "attachment; filename=\"a_.._b\"");
        assert_eq!(disposition("\u{202e}fdp.exe"), "attachment; filename=\"_fdp.exe\"");
        assert_eq!(disposition("x/"), "attachment; filename=\"file\"");
        assert_eq!(disposition("100%.txt"), "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt");
    }

    #[test]
    fn media_types_are_checked_for_form() {
        for good in ["text/html", "application/bpmn+xml", "text/plain; charset=utf-8"] {
            assert_eq!(media_type(good), good);
        }
        for bad in [
            "",
            "text",
            "text/",
            "/html",
            "text/html\r\nX: y",
            "text/html\r\n; a=b",
            "text/html\t; a=b",
            "te xt/html",
            "text/html; a=\u{7f}",
            "tëxt/html",
        ] {
            assert_eq!(media_type(bad), "application/octet-stream", "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn headers_made_from_any_path_are_printable(path in any::<String>()) {
            let header = disposition(&path);
            prop_assert!(header.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            let header = media_type(&path);
            prop_assert!(header.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
        }

        #[test]
        fn encoding_is_undone_by_decoding(path in any::<String>()) {
            prop_assert_eq!(percent_decode(&encode_path(&path), false), Some(path));
        }
    }
}
