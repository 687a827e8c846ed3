//! What single values must look like when published: keys, numbers, licences, addresses, mailboxes.
//!
//! Owns the value rules and their lists. Each check returns the value as it is kept, or a stable code and the rule in words.

use spdx::{ExceptionId, Expression, ParseMode};

use crate::release::lint::is_personal;
use crate::release::text::{Refusal, fold, suggest};

/// The 14 topics of the OZG-Umsetzungskatalog (Themenfelder).
pub const THEMENFELDER: [&str; 14] = [
    "Arbeit & Ruhestand",
    "Bauen & Wohnen",
    "Bildung",
    "Ein- & Auswanderung",
    "Engagement & Hobby",
    "Familie & Kind",
    "Forschung & Förderung",
    "Gesundheit",
    "Mobilität & Reisen",
    "Querschnitt",
    "Recht & Ordnung",
    "Steuern & Zoll",
    "Umwelt",
    "Unternehmensführung & -entwicklung",
];

/// Shared services that many processes need, by the names under which they are found together. Others are allowed.
pub const BASE_SERVICES: [&str; 9] = [
    "nutzerkonto",
    "unternehmenskonto",
    "payment",
    "postfach",
    "routing",
    "e-rechnung",
    "signatur",
    "registerabruf",
    "terminbuchung",
];

/// XZuFi code list of trust levels.
pub(super) const TRUST_LEVELS: [&str; 6] = ["00", "10", "15", "20", "30", "40"];

/// A value as it is kept, or why it was refused.
type Checked = Result<String, Refusal>;

fn refuse<T>(code: &'static str, rule: impl Into<String>) -> Result<T, Refusal> {
    Err((code, rule.into()))
}

/// SPEC: LeiKa: 14 digits; spaces are allowed on input (`99 102 013 060 000`).
pub(super) fn leistungsschluessel(text: &str) -> Checked {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\u{a0}')).collect();
    if fold(&digits) == "nichtimleika" {
        return refuse(
            "bad_leistungsschluessel",
            "is not a key; leave the list empty and write no_key_reason = \"nicht im LeiKa\"",
        );
    }
    if digits.len() != 14 || digits.bytes().any(|b| !b.is_ascii_digit()) {
        return refuse(
            "bad_leistungsschluessel",
            "must be a Leistungsschlüssel of 14 digits (LeiKa); federal ones start 99",
        );
    }
    Ok(digits)
}

/// SPEC: OZG-Umsetzungskatalog: 5 digits.
pub(super) fn ozg_id(text: &str) -> Checked {
    if text.len() != 5 || text.bytes().any(|b| !b.is_ascii_digit()) {
        return refuse("bad_ozg_id", "must be 5 digits (OZG-Umsetzungskatalog)");
    }
    Ok(text.to_owned())
}

/// One of [`THEMENFELDER`]; case and `und` for `&` are forgiven.
pub(super) fn themenfeld(text: &str) -> Checked {
    let plain = |t: &str| fold(t).replace(" und ", " & ").split_whitespace().collect::<Vec<_>>().join(" ");
    let given = plain(text);
    if let Some(topic) = THEMENFELDER.iter().find(|t| plain(t) == given) {
        return Ok((*topic).to_owned());
    }
    refuse(
        "bad_themenfeld",
        match suggest(text, THEMENFELDER) {
            Some(topic) => format!("not one of the 14 OZG topics; did you mean {topic:?}?"),
            None => format!("not one of the 14 OZG topics: {}", THEMENFELDER.join(", ")),
        },
    )
}

/// SPEC: Destatis, Amtlicher Regionalschlüssel: Land 2, Regierungsbezirk 3, Kreis 5, Verband 9, Gemeinde 12 digits.
pub(super) fn region(text: &str) -> Checked {
    if !matches!(text.len(), 2 | 3 | 5 | 9 | 12) || text.bytes().any(|b| !b.is_ascii_digit()) {
        return refuse(
            "bad_region",
            "must be the first 2, 3, 5, 9 or 12 digits of an Amtlicher Regionalschlüssel (ARS)",
        );
    }
    if !matches!(text[..2].parse::<u8>(), Ok(0..=16)) {
        return refuse(
            "bad_region",
            "the first two digits of an ARS name a Land: 01 to 16, or 00 for the whole country",
        );
    }
    Ok(text.to_owned())
}

/// An absolute http or https address with a host and without user data.
pub(super) fn uri(text: &str) -> Checked {
    const RULE: &str = "must be an http or https address such as https://www.gesetze-im-internet.de/wogg/";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return refuse("bad_uri", RULE) };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty()
        || host.contains('@')
        || !text.is_ascii()
        || text.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'])
    {
        return refuse("bad_uri", RULE);
    }
    Ok(text.to_owned())
}

/// A mailbox; the second value is a warning if it looks like a person's.
///
/// # Errors
/// A refusal unless it is `name@host.domain`.
pub(super) fn check_contact(text: &str) -> Result<(String, Option<Refusal>), Refusal> {
    const RULE: &str = "must be a mailbox such as prozesse@example.de";
    let Some((local, domain)) = text.split_once('@') else { return refuse("bad_contact", RULE) };
    let local_ok = !local.is_empty()
        && local.len() <= 64
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b));
    let label_ok = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if !local_ok || !domain.contains('.') || domain.len() > 253 || !domain.split('.').all(label_ok) {
        return refuse("bad_contact", RULE);
    }
    let warning = is_personal(local).then(|| {
        let rule = "looks like a person's mailbox; a release is kept for years and seen by all members: name a functional mailbox";
        ("personal_mailbox", rule.to_owned())
    });
    Ok((text.to_owned(), warning))
}

/// SPEC: SPDX license expressions (SPDX 2.3 annex D), and the SPDX licence list.
///
/// # Errors
/// A refusal unless `text` is an expression of listed licences and `LicenseRef-…`. The second value is a warning for licences that the list
/// calls deprecated.
pub(super) fn check_license(text: &str) -> Result<(String, Option<Refusal>), Refusal> {
    let mode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };
    let expression = Expression::parse_mode(text, mode).map_err(|e| {
        let term = text.get(e.span).unwrap_or_default();
        // From the end: of two versions that are equally close the newer one.
        let close = |word| suggest(word, spdx::identifiers::LICENSES.iter().rev().map(|l| l.name));
        let hint = close(text)
            .or_else(|| spdx::imprecise_license_id(term).map(|(id, _)| id.name))
            .or_else(|| close(term))
            .map_or_else(
                || "; see https://spdx.org/licenses, or write LicenseRef-… and put the text into the folder".to_owned(),
                |name| format!("; did you mean {name:?}?"),
            );
        ("bad_license", format!("must be an SPDX licence expression such as EUPL-1.2: {}{hint}", e.reason))
    })?;
    let old = expression.requirements().any(|r| {
        let exception = r.req.addition.as_ref().and_then(|a| a.id());
        r.req.license.id().is_some_and(|id| id.is_deprecated()) || exception.is_some_and(ExceptionId::is_deprecated)
    });
    let warning = old.then(|| {
        (
            "deprecated_license",
            "SPDX calls this identifier deprecated (GPL-3.0 is now GPL-3.0-only or GPL-3.0-or-later)".to_owned(),
        )
    });
    Ok((text.to_owned(), warning))
}
