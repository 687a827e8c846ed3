//! Fields for passwords, and whether they are filled: in XML, JSON, properties and TOML, none of which needs to be well-formed.

use super::{Kind, Match, find, is_at, text};

/// How far a value may lie from its key, in bytes.
const REACH_BYTES: usize = 400;
/// How keys of such fields end.
const SECRETS: [&[u8]; 9] = [
    b"password",
    b"passwort",
    b"passwd",
    b"kennwort",
    b"passphrase",
    b"api_key",
    b"apikey",
    b"api-key",
    b"client_secret",
];

pub(super) fn password(bytes: &[u8], at: usize, found: &mut Vec<Match>) {
    let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    let Some(secret) = SECRETS.iter().find(|secret| is_at(bytes, at, secret)) else { return };
    let end = at + secret.len();
    // `password_hint` and `passwordRequired` are about passwords, and hold none.
    if bytes.get(end).is_some_and(is_key) {
        return;
    }
    let start = at - bytes[..at].iter().rev().take(80).take_while(|b| is_key(b)).count();
    let rest = &bytes[end..bytes.len().min(end + REACH_BYTES)];
    if is_filled(bytes, start, rest) {
        found.push((at, Kind::FilledPassword, text(&bytes[start..end]).chars().take(80).collect()));
    }
}

/// Whether the field whose key starts at `start` and is followed by `rest` has a value.
fn is_filled(bytes: &[u8], start: usize, rest: &[u8]) -> bool {
    match bytes[..start].last() {
        // `<password>value</password>`, with or without a namespace prefix.
        Some(b'<') => element_text(rest).is_some_and(is_secret),
        Some(b':')
            if bytes[..start].iter().rev().skip(1).take(40).find(|b| !b.is_ascii_alphanumeric()) == Some(&b'<') =>
        {
            element_text(rest).is_some_and(is_secret)
        }
        Some(b'/') => false,
        Some(b'"' | b'\'') => {
            let name_attribute = bytes[..start - 1].last() == Some(&b'=');
            if name_attribute { named_value(rest) } else { assigned(rest).is_some_and(is_secret) }
        }
        _ => assigned(rest).is_some_and(is_secret),
    }
}

/// The text of an element whose start tag goes on with `rest`.
fn element_text(rest: &[u8]) -> Option<&[u8]> {
    let close = rest.iter().position(|b| *b == b'>')?;
    if close > 0 && rest[close - 1] == b'/' {
        return None;
    }
    let inner = &rest[close + 1..];
    Some(&inner[..inner.iter().position(|b| *b == b'<')?])
}

/// `<entry key="password">value</entry>` and `<field name="password" value="…"/>`.
fn named_value(rest: &[u8]) -> bool {
    let Some(close) = rest.iter().position(|b| *b == b'>') else { return false };
    let tag = &rest[..close];
    for attribute in [&b"value="[..], b"wert="] {
        if let Some(at) = find(tag, attribute) {
            return quoted(&tag[at + attribute.len()..]).is_some_and(is_secret);
        }
    }
    element_text(rest).is_some_and(is_secret)
}

/// The value after `=` or `:` on the same line, quoted or not.
fn assigned(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let rest = blank(rest);
    let rest = blank(rest.strip_prefix(b"=").or_else(|| rest.strip_prefix(b":"))?);
    match rest.first()? {
        b'{' | b'[' => None,
        b'"' | b'\'' => quoted(rest),
        _ => {
            let end =
                rest.iter().position(|b| matches!(b, b'\n' | b'\r' | b',' | b';' | b'}' | b'<')).unwrap_or(rest.len());
            Some(&rest[..end])
        }
    }
}

fn blank(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()..]
}

fn quoted(bytes: &[u8]) -> Option<&[u8]> {
    let quote = *bytes.first().filter(|b| matches!(b, b'"' | b'\''))?;
    let inner = &bytes[1..];
    Some(&inner[..inner.iter().position(|b| *b == quote)?])
}

/// Whether a value is more than a placeholder.
fn is_secret(value: &[u8]) -> bool {
    const PLACEHOLDERS: [&str; 18] = [
        "",
        "null",
        "none",
        "true",
        "false",
        "string",
        "text",
        "secret",
        "password",
        "passwort",
        "kennwort",
        "changeme",
        "todo",
        "leer",
        "n/a",
        "~",
        "xs:string",
        "xsd:string",
    ];
    let value = text(value).trim().to_ascii_lowercase();
    let variable = value.starts_with(['$', '{', '%', '@', '<', '#']) || value.starts_with("&lt;");
    !variable
        && !PLACEHOLDERS.contains(&value.as_str())
        && !value.chars().all(|c| matches!(c, '*' | 'x' | '.' | '-' | '…' | '•'))
}
