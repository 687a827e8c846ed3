//! The library as a DCAT-AP.de catalogue (JSON-LD), for open data portals and data catalogues.
//!
//! Owns the mapping: a process is a dataset, its newest release the distribution. Page by page, with the next page in a `Link`
//! header and as `hydra:next`.

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};
use verbund_protocol::ids::Slug;

use super::call::{Call, insert, next_cursor};
use super::processes::{process_url, release_url};
use super::table::{Answer, BASE};
use crate::admin::api::Moment;
use crate::http::library::{Described, FederationDetail, ProcessRef};

/// Media type of JSON-LD.
pub(super) const JSON_LD: &str = "application/ld+json";
/// Government and public sector, of the EU's data themes: what all processes of administrations have in common.
const THEME: &str = "http://publications.europa.eu/resource/authority/data-theme/GOVE";
const THEMES: &str = "http://publications.europa.eu/resource/authority/data-theme";
const LANGUAGES: &str = "http://publications.europa.eu/resource/authority/language";
const ACCESS: &str = "http://publications.europa.eu/resource/authority/access-right/";
const LEVELS: &str = "http://dcat-ap.de/def/politicalGeocoding/Level";

/// `/{federation}/catalog.jsonld`
pub(super) async fn catalog(call: Call) -> Answer {
    let federation = call.federation()?;
    let [limit, cursor] = call.query(["limit", "cursor"])?;
    let list = ["catalog", federation.as_str()];
    let page = Call::page(limit.clone(), cursor, &list)?;
    let _making = call.making().await?;
    let detail = call.app.library.federation(&call.reader, &federation).await?;
    let found = call.app.library.described(&call.reader, &federation, page).await?;
    let base = base(&call.headers);
    let itself = format!("{base}{BASE}/{federation}/catalog.jsonld");
    let next = next_cursor(&found, &list)?.map(|cursor| {
        let limit = limit.map_or_else(String::new, |limit| format!("&limit={limit}"));
        format!("{itself}?cursor={cursor}{limit}")
    });
    let mut graph = vec![describe(&itself, &detail, &found.items, &base, next.as_deref())];
    graph.push(json!({
        "@id": THEME, "@type": "skos:Concept", "skos:inScheme": { "@id": THEMES },
        "skos:prefLabel": { "@language": "de", "@value": "Regierung und öffentlicher Sektor" },
    }));
    graph.extend(found.items.iter().flat_map(|item| dataset(&base, &federation, item)));
    let document = json!({ "@context": context(), "@graph": graph });
    let mut response = call.json(&document)?;
    if response.headers().contains_key(header::CONTENT_TYPE) {
        insert(response.headers_mut(), header::CONTENT_TYPE, JSON_LD);
    }
    if let Some(next) = next {
        insert(response.headers_mut(), header::LINK, &format!("<{next}>; rel=\"next\""));
    }
    Ok(response)
}

/// The address of this server as the client knows it; nothing if it is no plain one: addresses are relative then.
pub(super) fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if !host.is_empty() && host.chars().all(plain) { format!("https://{host}") } else { String::new() }
}

fn context() -> Value {
    json!({
        "dcat": "http://www.w3.org/ns/dcat#",
        "dcatap": "http://data.europa.eu/r5r#",
        "dcatde": "http://dcat-ap.de/def/dcatde/",
        "dct": "http://purl.org/dc/terms/",
        "foaf": "http://xmlns.com/foaf/0.1/",
        "hydra": "http://www.w3.org/ns/hydra/core#",
        "skos": "http://www.w3.org/2004/02/skos/core#",
        "vcard": "http://www.w3.org/2006/vcard/ns#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    })
}

fn german(text: &str) -> Value {
    json!({ "@language": "de", "@value": text })
}

fn describe(itself: &str, detail: &FederationDetail, items: &[Described], base: &str, next: Option<&str>) -> Value {
    let about =
        format!("Digitale Verwaltungsprozesse, die Partner des Verbunds „{}“ einander bereitstellen.", detail.name);
    let datasets: Vec<_> = items.iter().map(|item| json!({ "@id": dataset_id(base, &detail.slug, item) })).collect();
    let mut catalog = json!({
        "@id": format!("{itself}#catalog"),
        "@type": "dcat:Catalog",
        "dct:title": german(&detail.name),
        "dct:description": german(&about),
        "dct:publisher": agent(&detail.name),
        "dct:issued": { "@type": "xsd:dateTime", "@value": detail.founded },
        "dcat:dataset": datasets,
    });
    if let Some(next) = next {
        catalog["hydra:view"] = json!({ "@type": "hydra:PartialCollectionView", "hydra:next": { "@id": next } });
    }
    catalog
}

/// SPEC: DCAT-AP.de 2.0: a publisher is a foaf:Agent with a name.
fn agent(name: &str) -> Value {
    json!({ "@type": ["foaf:Agent", "foaf:Organization"], "foaf:name": name })
}

fn process_of(federation: &Slug, item: &Described) -> ProcessRef {
    let (member, slug) = (item.summary.member.clone(), item.summary.slug.clone());
    ProcessRef { federation: federation.clone(), member, slug }
}

fn dataset_id(base: &str, federation: &Slug, item: &Described) -> String {
    format!("{base}{}#dataset", process_url(&process_of(federation, item)))
}

fn dataset(base: &str, federation: &Slug, item: &Described) -> Vec<Value> {
    let text = |key: &str| item.metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let texts = |key: &str| {
        let list = item.metadata.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let summary = &item.summary;
    let moment = |seconds: u64| json!({ "@type": "xsd:dateTime", "@value": Moment::from_unix_ms(seconds.saturating_mul(1_000)).to_string() });
    let release = format!("{base}{}", release_url(&process_of(federation, item), &summary.version));
    let distribution = format!("{release}#distribution");
    let rights = if text("audience") == Some("public") { "PUBLIC" } else { "RESTRICTED" };
    let contact = text("contact").unwrap_or_default();
    let mut dataset = json!({
        "@id": dataset_id(base, federation, item),
        "@type": "dcat:Dataset",
        "dct:title": german(&summary.title),
        "dct:description": german(text("description").unwrap_or(&summary.summary)),
        "dct:identifier": format!("{}/{}", summary.member, summary.slug),
        "dct:publisher": agent(&item.owner),
        "dct:issued": moment(item.issued_s),
        "dct:modified": moment(item.published_s),
        "dct:accessRights": { "@id": format!("{ACCESS}{rights}") },
        "dct:language": { "@id": format!("{LANGUAGES}/DEU"), "skos:inScheme": { "@id": LANGUAGES } },
        "dcat:theme": { "@id": THEME },
        "dcat:keyword": texts("keywords").iter().map(|word| german(word)).collect::<Vec<_>>(),
        "dcat:landingPage": { "@id": format!("{base}{}", process_url(&process_of(federation, item))), "@type": "foaf:Document" },
        "dcat:distribution": { "@id": distribution },
    });
    if !contact.is_empty() {
        dataset["dcat:contactPoint"] = json!({
            "@type": ["vcard:Kind", "vcard:Organization"], "vcard:fn": item.owner,
            "vcard:hasEmail": { "@id": format!("mailto:{contact}") },
        });
    }
    let levels = texts("level");
    let level = levels.iter().find_map(|level| match level.as_str() {
        "bund" => Some("federal"),
        "land" => Some("state"),
        "kommunal" => Some("municipality"),
        _ => None,
    });
    if let Some(level) = level {
        dataset["dcatde:politicalGeocodingLevelURI"] =
            json!({ "@id": format!("{LEVELS}/{level}"), "skos:inScheme": { "@id": LEVELS } });
    }
    let file = json!({
        "@id": distribution,
        "@type": "dcat:Distribution",
        "dct:title": german(&format!("{} {}", summary.title, summary.version)),
        "dcat:accessURL": { "@id": release },
        "dcat:downloadURL": { "@id": format!("{release}/bundle.tar.zst") },
        "dcat:mediaType": { "@id": "http://www.iana.org/assignments/media-types/application/zstd" },
        "dcat:byteSize": { "@type": "xsd:decimal", "@value": item.bytes.to_string() },
        "dct:license": { "@id": license(text("license").unwrap_or_default()), "@type": "dct:LicenseDocument" },
        "dct:issued": moment(item.published_s),
    });
    vec![dataset, file]
}

/// The address of a licence: the EU's own for EUPL-1.2, SPDX's list for others, an unresolvable name for what is no single one.
fn license(expression: &str) -> String {
    let plain = !expression.is_empty() && expression.chars().all(|c| c.is_ascii_alphanumeric() || "-.+".contains(c));
    match expression {
        "EUPL-1.2" => "http://publications.europa.eu/resource/authority/licence/EUPL_1_2".to_owned(),
        id if plain && !id.starts_with("LicenseRef-") => format!("https://spdx.org/licenses/{id}"),
        other => format!("urn:verbund:license:{}", crate::http::text::encode_path(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_have_addresses() {
        assert!(license("EUPL-1.2").ends_with("EUPL_1_2"));
        assert_eq!(license("MIT"), "https://spdx.org/licenses/MIT");
        assert_eq!(license("MIT OR Apache-2.0"), "urn:verbund:license:MIT%20OR%20Apache-2.0");
        assert_eq!(license("LicenseRef-Land"), "urn:verbund:license:LicenseRef-Land");
    }
}
