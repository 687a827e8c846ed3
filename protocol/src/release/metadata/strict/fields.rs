//! The keys of `process.toml`, one function each.
//!
//! Owns what each key takes and the words of its refusals. The rules of single values are in [`crate::release::metadata::rules`].

use std::collections::BTreeSet;

use semver::{Version, VersionReq};

use super::take::{NAME_MAX_CHARS, checked, flag, kept, kind_and_text, name, one_of, parsed, values};
use crate::ids::{Handle, Sha256, Slug};
use crate::limits::{DESCRIPTION_MAX_CHARS, KEYWORDS_MAX, METADATA_LIST_MAX, METADATA_TEXT_MAX_CHARS};
use crate::release::metadata::rules::{self, BASE_SERVICES, check_contact, check_license};
use crate::release::metadata::values::*;
use crate::release::reference::{ProcessRef, ReleaseRef};
use crate::release::text::{Refusal, check_plain, slugify, suggest};
use crate::release::toml::{Reader, Value, as_text};

/// A citation of a legal basis.
const CITATION_MAX_CHARS: usize = 500;
/// A version, as text.
const VERSION_MAX_BYTES: usize = 64;

pub(super) fn id(r: &mut Reader<'_>) -> Option<Slug> {
    let node = r.required("id", "the name of the process in the library, such as hundesteuer-anmeldung")?;
    let text = as_text(node, "id", r.findings)?;
    let refusal = |_| {
        let proposal = slugify(text);
        let hint = if proposal.is_empty() { String::new() } else { format!("; for example {proposal}") };
        ("bad_id", format!("must be 1-64 lower-case letters, digits and inner hyphens{hint}"))
    };
    kept(text.parse().map_err(refusal), node, "id", r.findings)
}

pub(super) fn version(r: &mut Reader<'_>) -> Option<Version> {
    let node = r.required("version", "a semantic version such as 1.0.0")?;
    let text = as_text(node, "version", r.findings)?;
    kept(check_version(text), node, "version", r.findings)
}

pub(super) fn check_version(text: &str) -> Result<Version, Refusal> {
    let rule = "must be a semantic version of three numbers such as 1.2.0 or 2.0.0-rc.1";
    if text.len() > VERSION_MAX_BYTES {
        return Err(("bad_version", format!("{rule}, of at most {VERSION_MAX_BYTES} characters")));
    }
    let version = Version::parse(text).map_err(|e| ("bad_version", format!("{rule}: {e}")))?;
    if !version.build.is_empty() {
        return Err(("bad_version", "must not have build metadata (+…): it does not tell versions apart".to_owned()));
    }
    Ok(version)
}

pub(super) fn description(r: &mut Reader<'_>) -> Option<String> {
    let node = r.node("description")?;
    // Windows editors end lines with CR LF; the description is the only text with lines.
    let text = as_text(node, "description", r.findings)?.replace("\r\n", "\n");
    let text = text.trim().to_owned();
    let checked = check_plain(&text, DESCRIPTION_MAX_CHARS, true);
    kept(checked, node, "description", r.findings).map(|()| text)
}

/// `leistungsschluessel` and `no_key_reason`: one of them must be there.
pub(super) fn service_keys(r: &mut Reader<'_>) -> (Vec<String>, Option<String>) {
    let before = r.findings.errors.len();
    let keys = service_key_list(r);
    let reason = r.text("no_key_reason", NAME_MAX_CHARS);
    if keys.is_empty() && reason.is_none() && r.findings.errors.len() == before {
        let rule = "give a key of the LeiKa, or say why there is none: no_key_reason = \"nicht im LeiKa\"";
        r.required("leistungsschluessel", rule);
        if let Some(node) = r.node("leistungsschluessel") {
            r.findings.refuse(node.problem("missing", "leistungsschluessel", format!("is empty: {rule}")));
        }
    }
    if let (false, Some(node)) = (keys.is_empty(), r.node("no_key_reason")) {
        let rule = "only makes sense without leistungsschluessel; remove one of them";
        r.findings.refuse(node.problem("contradiction", "no_key_reason", rule));
    }
    (keys, reason)
}

pub(super) fn legal_basis(r: &mut Reader<'_>) -> Vec<LegalBasis> {
    let mut out = Vec::new();
    for (key, node) in r.list("legal_basis", METADATA_LIST_MAX, r#"[{ name = "§ 22 WoGG" }]"#) {
        let Some(mut r) = Reader::nested(node, &key, r#"{ name = "§ 22 WoGG" }"#, r.findings) else { continue };
        let name = r.required_text("name", CITATION_MAX_CHARS, "the legal basis as it is cited");
        let uri = checked(&mut r, "uri", rules::uri);
        r.finish(&[("url", "uri"), ("link", "uri")]);
        out.extend(name.map(|name| LegalBasis { name, uri }));
    }
    out
}

pub(super) fn levels(r: &mut Reader<'_>) -> Vec<Level> {
    const RULE: &str = "who runs the service: level = [\"kommunal\"] (bund, land, kommunal)";
    let Some(node) = r.required("level", RULE) else { return Vec::new() };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        r.findings.refuse(node.problem("missing", "level", format!("is empty: {RULE}")));
    }
    let names = values(r, "level", Level::NAMES.len(), r#"["kommunal"]"#, one_of(Level::NAMES));
    names.iter().filter_map(|n| Level::known(n)).collect()
}

pub(super) fn fim_status(r: &mut Reader<'_>) -> Option<FimStatus> {
    let node = r.node("fim_status")?;
    let mut r = Reader::nested(node, "fim_status", r#"{ status = 6, list_version = "2.0" }"#, r.findings)?;
    let status = r.integer("status", 1..=8, "must be a number from 1 to 8 (FIM status list)");
    let list_version =
        r.required_text("list_version", 20, "the version of the status list, without which the number says nothing");
    r.finish(&[]);
    Some(FimStatus { status: status?, list_version: list_version? })
}

pub(super) fn maturity(r: &mut Reader<'_>) -> Option<Maturity> {
    let node = r.node("maturity")?;
    let mut r = Reader::nested(node, "maturity", r#"{ model = "1.1", level = 3 }"#, r.findings)?;
    r.required("model", "the version of the model: 1.1 or 2.0");
    let model = checked(&mut r, "model", one_of(&["1.1", "2.0"]));
    let level = match model.as_deref() {
        Some("2.0") => r.integer("level", 0..=7, "must be a number from 0 to 7 (OZG Reifegrad, model 2.0)"),
        _ => r.integer("level", 0..=4, "must be a number from 0 to 4 (OZG Reifegrad, model 1.1)"),
    };
    r.finish(&[]);
    Some(Maturity { model: model?, level: level? })
}

pub(super) fn base_services(r: &mut Reader<'_>) -> Vec<BaseService> {
    let mut out = Vec::new();
    for (key, node) in
        r.list("base_services", METADATA_LIST_MAX, r#"["nutzerkonto", { name = "payment", version = "2" }]"#)
    {
        let (name, version) = match &node.value {
            Value::Text(_) => (r.text_of(node, &key, NAME_MAX_CHARS).map(str::to_owned), None),
            _ => {
                let Some(mut r) = Reader::nested(node, &key, r#"{ name = "payment", version = "2" }"#, r.findings)
                else {
                    continue;
                };
                let name = r.required_text("name", NAME_MAX_CHARS, "the service, such as nutzerkonto");
                let version = r.text("version", NAME_MAX_CHARS);
                r.finish(&[]);
                (name, version)
            }
        };
        let Some(name) = name else { continue };
        let close = suggest(&name, BASE_SERVICES).filter(|known| *known != name);
        if let Some(known) = close {
            let rule = format!("is close to {known:?}, under which other processes name this service");
            r.findings.warn(node.problem("unusual_name", &key, rule));
        }
        out.push(BaseService { name, version });
    }
    out
}

pub(super) fn platform(r: &mut Reader<'_>) -> Option<Platform> {
    let node = r.required("platform", "what the process runs on: [platform] name = \"civento\"")?;
    if let Value::Text(_) = node.value {
        let name = r.text_of(node, "platform", NAME_MAX_CHARS)?;
        return Some(Platform { name: name.to_owned(), min_version: None, key: None });
    }
    let mut r = Reader::nested(node, "platform", r#"{ name = "civento" }"#, r.findings)?;
    let name = r.required_text("name", NAME_MAX_CHARS, "the product, such as civento");
    let min_version = r.text("min_version", NAME_MAX_CHARS);
    let key = r.text("key", NAME_MAX_CHARS);
    r.finish(&[("version", "min_version"), ("schluessel", "key")]);
    Some(Platform { name: name?, min_version, key })
}

pub(super) fn depends(r: &mut Reader<'_>, owner: Option<&Handle>, own: Option<&Slug>) -> Vec<Dependency> {
    const FORM: &str = r#"{ process = "de-he/zahlung", version = "^1.2" }"#;
    let mut out: Vec<Dependency> = Vec::new();
    for (key, node) in r.list("depends", METADATA_LIST_MAX, &format!("[{FORM}]")) {
        let Some(mut inner) = Reader::nested(node, &key, FORM, r.findings) else { continue };
        inner.required("process", "the process that is needed, such as de-he/zahlung");
        let process = parsed::<ProcessRef>(&mut inner, "process", "bad_reference");
        inner.required("version", "the versions that will do, such as ^1.2");
        let version = checked(&mut inner, "version", version_range);
        let kind = name(&mut inner, "kind", DependencyKind::known, DependencyKind::NAMES);
        inner.finish(&[]);
        let (Some(process), Some(version)) = (process, version) else { continue };
        if process.federation.is_none() && Some(&process.owner) == owner && Some(&process.slug) == own {
            r.findings.refuse(
                node.problem("depends_on_itself", &key, "a process must not depend on itself")
                    .value(&process.to_string()),
            );
            continue;
        }
        out.push(Dependency { process, version, kind: kind.unwrap_or(DependencyKind::Requires) });
    }
    out
}

pub(super) fn version_range(text: &str) -> Result<String, Refusal> {
    let rule = |e: &dyn std::fmt::Display| {
        ("bad_range", format!("must be a range of semantic versions such as ^1.2 or >=1.2, <3: {e}"))
    };
    if text.len() > VERSION_MAX_BYTES * 2 {
        return Err(rule(&"too long"));
    }
    VersionReq::parse(text).map(|_| text.to_owned()).map_err(|e| rule(&e))
}

pub(super) fn parameters(r: &mut Reader<'_>) -> Vec<Parameter> {
    const FORM: &str = r#"{ name = "Steuersatz", type = "number", required = true }"#;
    let mut out: Vec<Parameter> = Vec::new();
    for (key, node) in r.list("parameters", METADATA_LIST_MAX, &format!("[{FORM}]")) {
        let Some(mut r) = Reader::nested(node, &key, FORM, r.findings) else { continue };
        for value in ["value", "default", "wert"] {
            if let Some(node) = r.node(value) {
                let rule = "parameters never carry values: they belong to each installation and may be secret";
                let key = r.key(value);
                // Not shown either: it may be a password.
                let mut problem = node.problem("parameter_value", &key, rule);
                problem.value = None;
                r.findings.refuse(problem);
            }
        }
        let name_text = r.required_text("name", NAME_MAX_CHARS, "the name of the parameter");
        r.required("type", "what it takes: text, number, boolean, date, list, uri or secret");
        let kind = name(&mut r, "type", ParameterType::known, ParameterType::NAMES);
        let required = flag(&mut r, "required");
        let text = r.text("text", METADATA_TEXT_MAX_CHARS);
        r.finish(&[("typ", "type"), ("pflicht", "required"), ("beschreibung", "text"), ("description", "text")]);
        let (Some(name), Some(kind), Some(required)) = (name_text, kind, required) else { continue };
        out.push(Parameter { name, kind, required, text });
    }
    out
}

pub(super) fn license(r: &mut Reader<'_>) -> Option<String> {
    let node = r.required("license", "under which licence others may use it, such as EUPL-1.2")?;
    let text = r.text_of(node, "license", NAME_MAX_CHARS)?;
    let (license, warning) = kept(check_license(text), node, "license", r.findings)?;
    if let Some((code, rule)) = warning {
        r.findings.warn(node.problem(code, "license", rule));
    }
    Some(license)
}

/// `terms = "path"`, or `{ sha256 = … }` as derivation writes the charter's terms.
pub(super) fn terms(r: &mut Reader<'_>, files: Option<&BTreeSet<String>>) -> Option<Terms> {
    let node = r.node("terms")?;
    // Only derivation writes a table here: the default of the charter, which stands in no file.
    if let (Value::Table(table), 0) = (&node.value, node.line) {
        let charter = table.get("charter").and_then(|n| n.value.shown());
        return Some(Terms { path: None, sha256: None, charter });
    }
    let path = r.text_of(node, "terms", METADATA_TEXT_MAX_CHARS)?;
    let checked = if path.starts_with("https://") || path.starts_with("http://") {
        Err((
            "bad_terms",
            "must be a file of this release, not an address: an address dies, and terms are accepted by their hash"
                .to_owned(),
        ))
    } else {
        path.parse::<crate::release::SafePath>().map_err(|e| ("bad_terms", e.to_string()))
    };
    let path = kept(checked, node, "terms", r.findings)?;
    if files.is_some_and(|files| !files.contains(path.as_str())) {
        r.findings.refuse(node.problem("bad_terms", "terms", "names no file of this release"));
        return None;
    }
    Some(Terms { path: Some(path.to_string()), sha256: None, charter: None })
}

pub(super) fn optional_audience(r: &mut Reader<'_>) -> Option<Audience> {
    let node = r.node("audience")?;
    if let Value::Text(_) = node.value {
        return match checked(r, "audience", one_of(&["federation", "public"]))?.as_str() {
            "public" => Some(Audience::Public),
            _ => Some(Audience::Federation),
        };
    }
    let mut r = Reader::nested(node, "audience", r#""federation", "public" or { members = ["de-th"] }"#, r.findings)?;
    r.required("members", "the handles of the members that may have the files");
    let members = values(&mut r, "members", crate::limits::MEMBERS_MAX, r#"["de-th"]"#, |t| {
        t.parse::<Handle>().map(|h| h.to_string()).map_err(|e| ("bad_handle", e.to_string()))
    });
    r.finish(&[]);
    Some(Audience::Members(members.iter().filter_map(|m| m.parse().ok()).collect()))
}

pub(super) fn cost(r: &mut Reader<'_>) -> Option<Cost> {
    kind_and_text(r, "cost", CostKind::known, CostKind::NAMES).map(|(kind, text)| Cost { kind, text })
}

pub(super) fn maintenance(r: &mut Reader<'_>) -> Option<Maintenance> {
    r.required(
        "maintenance",
        "who keeps it up to date: internal, contract, community or none; may stand in publish-defaults.toml",
    );
    optional_maintenance(r)
}

pub(super) fn optional_maintenance(r: &mut Reader<'_>) -> Option<Maintenance> {
    let (kind, text) = kind_and_text(r, "maintenance", MaintenanceKind::known, MaintenanceKind::NAMES)?;
    Some(Maintenance { kind, text })
}

pub(super) fn change(r: &mut Reader<'_>) -> Option<Change> {
    const FORM: &str = r#"{ kind = "fachlich", text = "Erste Fassung" }"#;
    let node = r.required("change", "what changed: [change] kind = \"fachlich\", text = \"…\"")?;
    let mut r = Reader::nested(node, "change", FORM, r.findings)?;
    r.required("kind", "redaktionell, fachlich, rechtlich or sicherheit");
    let kind = name(&mut r, "kind", ChangeKind::known, ChangeKind::NAMES);
    let text = r.required_text("text", METADATA_TEXT_MAX_CHARS, "say in a sentence what changed");
    r.finish(&[("art", "kind"), ("type", "kind")]);
    Some(Change { kind: kind?, text: text? })
}

pub(super) fn contact(r: &mut Reader<'_>) -> Option<String> {
    r.required("contact", "a functional mailbox; may stand in publish-defaults.toml")?;
    optional_contact(r)
}

pub(super) fn optional_contact(r: &mut Reader<'_>) -> Option<String> {
    let node = r.node("contact")?;
    let text = r.text_of(node, "contact", METADATA_TEXT_MAX_CHARS)?;
    let (contact, warning) = kept(check_contact(text), node, "contact", r.findings)?;
    if let Some((code, rule)) = warning {
        r.findings.warn(node.problem(code, "contact", rule));
    }
    Some(contact)
}

pub(super) fn based_on(r: &mut Reader<'_>) -> Option<Origin> {
    let node = r.node("based_on")?;
    let form = r#"{ release = "de-he/hundesteuer@1.2.0", digest = "sha256:…" }"#;
    let mut r = Reader::nested(node, "based_on", form, r.findings)?;
    r.required("release", "the release that this one was made from, such as de-he/hundesteuer@1.2.0");
    let release = parsed::<ReleaseRef>(&mut r, "release", "bad_reference");
    r.required("digest", "its digest, as `process show` prints it");
    let digest = parsed::<Sha256>(&mut r, "digest", "bad_digest");
    r.finish(&[]);
    Some(Origin { release: release?, digest: digest? })
}

pub(super) fn succeeds(r: &mut Reader<'_>) -> Option<ProcessRef> {
    parsed(r, "succeeds", "bad_reference")
}

pub(super) fn service_key_list(r: &mut Reader<'_>) -> Vec<String> {
    values(r, "leistungsschluessel", METADATA_LIST_MAX, r#"["99102013060000"]"#, rules::leistungsschluessel)
}

pub(super) fn ozg_ids(r: &mut Reader<'_>) -> Vec<String> {
    values(r, "ozg_id", METADATA_LIST_MAX, r#"["10107"]"#, rules::ozg_id)
}

pub(super) fn keywords(r: &mut Reader<'_>) -> Vec<String> {
    values(r, "keywords", KEYWORDS_MAX, r#"["Hund", "Steuer"]"#, |t| Ok(t.to_owned()))
}

pub(super) fn partners(r: &mut Reader<'_>) -> Vec<String> {
    values(r, "partners", METADATA_LIST_MAX, r#"["Kommunaler Zweckverband"]"#, |t| Ok(t.to_owned()))
}
