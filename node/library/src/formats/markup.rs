//! A tolerant reader of markup.
//!
//! Owns tags and text of XML and HTML that need not be well-formed: undeclared prefixes, tags that do not match, text that is cut off.
//! Real exports are all of these, and a strict reader would give nothing. Linear in its input; expands no entities but the five of
//! XML and numbers, so that a declaration of entities within entities is skipped like any other.

use super::{DEPTH_MAX, TAGS_MAX};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A start tag; `closed` if it ends with `/>`.
    Start { name: &'a str, attributes: &'a str, closed: bool },
    /// An end tag.
    End { name: &'a str },
    /// Text between tags, as it stands.
    Text(&'a str),
    /// Character data, to be taken as it stands.
    Data(&'a str),
}

/// The pieces of `text`. Comments, declarations and instructions are passed over; tags beyond [`TAGS_MAX`] end it.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut tags = 0;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() || tags >= TAGS_MAX {
                return None;
            }
            if !rest.starts_with('<') {
                let (text, after) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
                rest = after;
                return Some(Piece::Text(text));
            }
            tags += 1;
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let (data, after) = data.split_once("]]>").unwrap_or((data, ""));
                rest = after;
                return Some(Piece::Data(data));
            }
            if let Some(declaration) = rest.strip_prefix("<!") {
                rest = after_declaration(declaration);
                continue;
            }
            let inside = &rest[1..];
            let end = tag_end(inside)?;
            rest = &inside[end + 1..];
            let inside = &inside[..end];
            if inside.starts_with('?') {
                continue;
            }
            if let Some(name) = inside.strip_prefix('/') {
                return Some(Piece::End { name: local(name.trim()) });
            }
            let closed = inside.ends_with('/');
            let inside = inside.strip_suffix('/').unwrap_or(inside);
            let split = inside.find(char::is_whitespace).unwrap_or(inside.len());
            let (name, attributes) = inside.split_at(split);
            return Some(Piece::Start { name: local(name), attributes, closed });
        }
    })
}

/// Where a tag ends: the first `>` outside of quotes, or the first at all where quotes do not close.
fn tag_end(inside: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            // A tag within a tag: quotes were not closed, or the tag was not.
            (_, b'<') => break,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    inside.find('>')
}

/// What comes after a declaration, an internal subset in brackets included.
fn after_declaration(declaration: &str) -> &str {
    let mut depth = 0_u32;
    for (at, byte) in declaration.bytes().enumerate() {
        match byte {
            b'[' => depth = depth.saturating_add(1),
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return &declaration[at + 1..],
            _ => {}
        }
    }
    ""
}

/// A name without its prefix.
pub fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The value of an attribute, unescaped.
pub fn attribute(attributes: &str, name: &str) -> Option<String> {
    let mut from = 0;
    while let Some(at) = attributes[from..].find(name).map(|at| at + from) {
        from = at + name.len();
        let free = attributes[..at].ends_with(char::is_whitespace);
        let Some(value) = attributes[from..].trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        let Some(quote) = value.chars().next().filter(|c| free && matches!(c, '"' | '\'')) else { continue };
        let (value, _) = value[1..].split_once(quote)?;
        return Some(unescape(value));
    }
    None
}

/// The five entities of XML, some of HTML's, and numeric ones; anything else stays as it is.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        // Bytes, not characters: an entity that is known is ASCII.
        let end = after.bytes().take(10).position(|b| b == b';');
        let known = end.and_then(|end| Some((entity(after.get(..end)?)?, end + 1)));
        match known {
            Some((c, used)) => {
                out.push(c);
                rest = &after[used..];
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

/// Local name of the root element and the namespace that it is in, if it declares it. The tag itself may be cut off.
pub fn root_element(text: &str) -> Option<(&str, Option<String>)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = match after.strip_prefix("!--") {
            Some(comment) => comment.split_once("-->")?.1,
            None if after.starts_with('!') => after_declaration(after),
            None if after.starts_with(['?', '/']) => after.split_once('>')?.1,
            None => {
                let inside = tag_end(after).map_or(after, |end| &after[..end]);
                let end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
                let (qualified, attributes) = inside.split_at(end);
                let (declaration, name) = match qualified.split_once(':') {
                    Some((prefix, name)) => (format!("xmlns:{prefix}"), name),
                    None => ("xmlns".to_owned(), qualified),
                };
                return Some((name, attribute(attributes, &declaration)));
            }
        };
    }
}

/// An element that is open.
#[derive(Debug, Clone)]
pub struct Open<'a> {
    /// Local name.
    pub name: &'a str,
    /// Its attributes, as they stand.
    pub attributes: &'a str,
}

/// What a visitor is told.
pub enum Event<'e, 'a> {
    /// An element begins; it is the last of the path.
    Start { path: &'e [Open<'a>] },
    /// An element ends; it is the last of the path, and this is the text directly in it.
    End { path: &'e [Open<'a>], text: &'e str },
}

/// Walks through elements with the path to each. Ends without a beginning are passed over, beginnings without an end close with what
/// they are in; elements deeper than [`DEPTH_MAX`] are passed over with their text. Whether everything was told.
pub fn walk<'a>(text: &'a str, mut visit: impl FnMut(Event<'_, 'a>)) -> bool {
    let mut path: Vec<Open<'a>> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let (mut deeper, mut whole) = (0_usize, true);
    let close = |path: &mut Vec<Open<'a>>, texts: &mut Vec<String>, visit: &mut dyn FnMut(Event<'_, 'a>)| {
        let text = texts.pop().unwrap_or_default();
        visit(Event::End { path, text: &text });
        path.pop();
    };
    for piece in pieces(text) {
        match piece {
            Piece::Start { name, attributes, closed } => {
                if path.len() >= DEPTH_MAX {
                    whole = false;
                    deeper += usize::from(!closed);
                    continue;
                }
                path.push(Open { name, attributes });
                texts.push(String::new());
                visit(Event::Start { path: &path });
                if closed {
                    close(&mut path, &mut texts, &mut visit);
                }
            }
            Piece::End { .. } if deeper > 0 => deeper -= 1,
            Piece::End { name } => {
                let Some(at) = path.iter().rposition(|open| open.name == name) else { continue };
                while path.len() > at {
                    close(&mut path, &mut texts, &mut visit);
                }
            }
            Piece::Text(_) | Piece::Data(_) if deeper > 0 => {}
            Piece::Text(text) => {
                if let Some(last) = texts.last_mut() {
                    last.push_str(&unescape(text));
                }
            }
            Piece::Data(text) => {
                if let Some(last) = texts.last_mut() {
                    last.push_str(text);
                }
            }
        }
    }
    while !path.is_empty() {
        close(&mut path, &mut texts, &mut visit);
    }
    whole
}
