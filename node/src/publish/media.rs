//! What a file is.
//!
//! Owns recognition of media types by content first and name second. Recognition is a label: it never changes, refuses or trusts
//! a byte, and real exports are often not what they claim to be.

/// Bytes of a file that recognition looks at.
pub const HEAD_BYTES: u64 = 8 << 10;

/// Beginnings that settle the type.
const MAGIC: [(&[u8], &str); 14] = [
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"OggS", "application/ogg"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"-----BEGIN ", "application/x-pem-file"),
];

/// Names of text files, for what content does not tell.
const TEXT_EXTENSIONS: [(&str, &str); 22] = [
    ("toml", "application/toml"),
    ("md", "text/markdown"),
    ("markdown", "text/markdown"),
    ("csv", "text/csv"),
    ("txt", "text/plain"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("properties", "text/x-java-properties"),
    ("ini", "text/x-ini"),
    ("cfg", "text/x-ini"),
    ("conf", "text/x-ini"),
    ("env", "text/x-ini"),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("sql", "application/sql"),
    ("adoc", "text/asciidoc"),
    ("sh", "text/x-shellscript"),
];

/// Names of archives that are documents.
const ZIP_EXTENSIONS: [(&str, &str); 9] = [
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("jar", "application/java-archive"),
    ("epub", "application/epub+zip"),
];

fn by_extension(name: &str, table: &'static [(&str, &'static str)]) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    table.iter().find(|(e, _)| extension.eq_ignore_ascii_case(e)).map(|(_, t)| *t)
}

/// The media type of a file called `name` that begins with `head` (its first [`HEAD_BYTES`], or all of it).
pub fn recognise(name: &str, head: &[u8]) -> &'static str {
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return kind;
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return by_extension(name, &ZIP_EXTENSIONS).unwrap_or("application/zip");
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return "image/webp";
    }
    let Some(text) = as_text(head) else { return "application/octet-stream" };
    let start = text.trim_start();
    if start.starts_with('<') {
        return markup(name, start);
    }
    let named = by_extension(name, &TEXT_EXTENSIONS);
    if start.starts_with(['{', '[']) && matches!(named, None | Some("application/json")) && looks_like_json(start) {
        return if start.contains("\"$schema\"") && start.contains("json-schema.org") {
            "application/schema+json"
        } else {
            "application/json"
        };
    }
    named.unwrap_or("text/plain")
}

/// The head as text: UTF-8, possibly cut within a character, or UTF-16 with a byte order mark.
fn as_text(head: &[u8]) -> Option<String> {
    let wide = |decode: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = head[2..].chunks_exact(2).map(|pair| decode([pair[0], pair[1]])).collect();
        Some(String::from_utf16_lossy(&units))
    };
    match head {
        [0xff, 0xfe, ..] => return wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return wide(u16::from_be_bytes),
        _ => {}
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text.to_owned(),
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).ok()?.to_owned(),
        // Older exports are in Latin-1; markup and settings are recognised all the same.
        Err(_) if !head.contains(&0) => String::from_utf8_lossy(head).into_owned(),
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

/// XML and HTML, told by root element and namespaces.
fn markup(name: &str, text: &str) -> &'static str {
    let lower = text.get(..text.len().min(200)).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return "text/html";
    }
    let (root, namespace) = verbund_library::formats::root_element(text).unwrap_or_default();
    let namespace = namespace.unwrap_or_default();
    let model = |standard: &str| {
        let rest = namespace.strip_prefix("http://").or_else(|| namespace.strip_prefix("https://"));
        rest.is_some_and(|rest| rest.starts_with(&format!("www.omg.org/spec/{standard}/")))
    };
    match root {
        "svg" => return "image/svg+xml",
        "html" => return "text/html",
        "definitions" if model("BPMN") => return "application/bpmn+xml",
        "definitions" if model("DMN") => return "application/dmn+xml",
        "definitions" if model("CMMN") => return "application/cmmn+xml",
        _ => {}
    }
    match by_extension(name, &TEXT_EXTENSIONS) {
        Some("text/html") => "text/html",
        Some("text/markdown") if !lower.starts_with("<?xml") => "text/markdown",
        _ if root.is_empty() && !lower.starts_with("<?xml") => "text/plain",
        _ => "application/xml",
    }
}

/// Whether text that starts with a bracket goes on like JSON, and not like an INI section.
fn looks_like_json(text: &str) -> bool {
    let mut rest = text[1..].chars().skip_while(|c| c.is_whitespace());
    match (text.as_bytes().first(), rest.next()) {
        (Some(b'{'), c) => matches!(c, Some('"' | '}') | None),
        (_, c) => matches!(c, Some('"' | '{' | '[' | ']' | '-' | '0'..='9' | 't' | 'f' | 'n') | None),
    }
}
