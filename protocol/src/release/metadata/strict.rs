//! Reading `process.toml` when publishing.
//!
//! Owns the strict reading: every rule of every key, all problems collected, each with file, line, key, value and rule. Derives
//! nothing: what is missing here must have been filled in before ([`mod@crate::release::derive`]).

mod fields;
mod take;

use std::collections::BTreeSet;

use semver::Version;

use super::Metadata;
use super::rules::{self, TRUST_LEVELS};
use super::values::*;
use crate::ids::{Handle, Slug};
use crate::limits::{METADATA_LIST_MAX, SUMMARY_MAX_CHARS, TITLE_MAX_CHARS};
use crate::release::correction::Changes;
use crate::release::problem::{Findings, Problem};
use crate::release::toml::{self, Reader, Table};
use fields::*;
use take::{NAME_MAX_CHARS, checked, name, one_of, values};

/// German and English names that people type instead of the keys.
const ALIASES: [(&str, &str); 18] = [
    ("name", "title"),
    ("titel", "title"),
    ("kurzbeschreibung", "summary"),
    ("zusammenfassung", "summary"),
    ("beschreibung", "description"),
    ("lizenz", "license"),
    ("licence", "license"),
    ("kontakt", "contact"),
    ("email", "contact"),
    ("schlagworte", "keywords"),
    ("tags", "keywords"),
    ("rechtsgrundlage", "legal_basis"),
    ("leika", "leistungsschluessel"),
    ("ebene", "level"),
    ("plattform", "platform"),
    ("changelog", "change"),
    ("empfaengerkreis", "audience"),
    ("zustaendig", "responsible"),
];

/// What the reading may know beside the file itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Handle of the publisher: a process must not depend on itself.
    pub owner: Option<&'a Handle>,
    /// Paths of the release: `terms` must be one of them.
    pub files: Option<&'a BTreeSet<String>>,
}

impl Metadata {
    /// Reads a complete `process.toml`; `file` names it in problems. Derives nothing.
    ///
    /// # Errors
    /// All problems found. Warnings come with the metadata.
    pub fn from_toml(file: &str, text: &str, context: Context<'_>) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let table = toml::parse(file, text)?;
        let mut findings = Findings::default();
        match read(file, &table, context, &mut findings) {
            Some(metadata) if findings.errors.is_empty() => Ok((metadata, findings.warnings)),
            _ => Err(findings.errors),
        }
    }
}

/// The keys without which there is no release.
struct Mandatory {
    id: Slug,
    version: Version,
    title: String,
    summary: String,
    platform: Platform,
    license: String,
    maintenance: Maintenance,
    change: Change,
    contact: String,
}

/// Reads all of them, so that all that is missing is said at once.
fn mandatory(r: &mut Reader<'_>) -> Option<Mandatory> {
    let id = id(r);
    let version = version(r);
    let title = r.required_text("title", TITLE_MAX_CHARS, "write what the process is called");
    let summary = r.required_text("summary", SUMMARY_MAX_CHARS, "say in one line what it does");
    let platform = platform(r);
    let license = license(r);
    let maintenance = maintenance(r);
    let change = change(r);
    let contact = contact(r);
    Some(Mandatory {
        id: id?,
        version: version?,
        title: title?,
        summary: summary?,
        platform: platform?,
        license: license?,
        maintenance: maintenance?,
        change: change?,
        contact: contact?,
    })
}

/// Reads the table of `file`. `None` if a mandatory value is missing or refused; then `findings` says why.
pub(in crate::release) fn read(
    file: &str,
    table: &Table,
    context: Context<'_>,
    findings: &mut Findings,
) -> Option<Metadata> {
    let mut reader = Reader::top(file, table, findings);
    let r = &mut reader;
    let mandatory = mandatory(r);
    let (leistungsschluessel, no_key_reason) = service_keys(r);
    let description = description(r);
    let ozg_id = ozg_ids(r);
    let themenfeld = checked(r, "themenfeld", rules::themenfeld);
    let keywords = keywords(r);
    let legal_basis = legal_basis(r);
    let level = levels(r);
    let regions = values(r, "regions", METADATA_LIST_MAX, r#"["06", "07"]"#, rules::region);
    let stage = name(r, "stage", Stage::known, Stage::NAMES);
    let fim_status = fim_status(r);
    let maturity = maturity(r);
    let trust_level = checked(r, "trust_level", one_of(&TRUST_LEVELS));
    let base_services = base_services(r);
    let depends = depends(r, context.owner, mandatory.as_ref().map(|m| &m.id));
    let parameters = parameters(r);
    let terms = terms(r, context.files);
    let audience = optional_audience(r).unwrap_or_default();
    let cost = cost(r);
    let responsible = r.text("responsible", NAME_MAX_CHARS);
    let partners = partners(r);
    let based_on = based_on(r);
    let succeeds = succeeds(r);
    reader.finish(&ALIASES);
    let Mandatory { id, version, title, summary, platform, license, maintenance, change, contact } = mandatory?;
    #[rustfmt::skip]
    let metadata = Metadata {
        id, version, title, summary, description, leistungsschluessel, no_key_reason, ozg_id, themenfeld, keywords,
        legal_basis, level, regions, stage, fim_status, maturity, trust_level, base_services, platform, depends, parameters,
        license, terms, audience, cost, maintenance, change, contact, responsible, partners, based_on, succeeds,
    };
    Some(metadata)
}

/// The keys that a correction may change, by the rules of publishing; all optional.
pub(in crate::release) fn changes(r: &mut Reader<'_>) -> Changes {
    fn listed<T>(
        r: &mut Reader<'_>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Vec<T>,
    ) -> Option<Vec<T>> {
        r.node(key).is_some().then(|| read(r))
    }
    Changes {
        title: r.text("title", TITLE_MAX_CHARS),
        summary: r.text("summary", SUMMARY_MAX_CHARS),
        description: description(r),
        leistungsschluessel: listed(r, "leistungsschluessel", service_key_list),
        no_key_reason: r.text("no_key_reason", NAME_MAX_CHARS),
        ozg_id: listed(r, "ozg_id", ozg_ids),
        themenfeld: checked(r, "themenfeld", rules::themenfeld),
        keywords: listed(r, "keywords", keywords),
        legal_basis: listed(r, "legal_basis", legal_basis),
        contact: optional_contact(r),
        maintenance: optional_maintenance(r),
        stage: name(r, "stage", Stage::known, Stage::NAMES),
        audience: optional_audience(r),
    }
}
