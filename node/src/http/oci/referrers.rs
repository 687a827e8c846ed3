//! What refers to a release: its offline proof, and its recall.
//!
//! The proof is the newest that this node can make, and so may differ between nodes and times; what it proves does not. A client
//! gets exactly what the list named.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use verbund_protocol::ids::Sha256;
use verbund_protocol::json::canonical;

use super::manifest::{self, INDEX_TYPE, Layer, MANIFEST_TYPE};
use super::packages::{Package, Packages, Referrer};
use super::{Answer, REVALIDATE, send};
use crate::http::problem::{Code, Problem};
use crate::http::routes::Call;

/// The proof: `.verbund/provenance.json` of a pulled folder.
const PROVENANCE_TYPE: &str = "application/vnd.verbund.provenance.v1+json";
/// The recall, as the catalogue tells it.
const WITHDRAWAL_TYPE: &str = "application/vnd.verbund.withdrawal.v1+json";
/// SPEC: OCI Distribution Specification 1.1, "Listing Referrers".
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// `/v2/{name}/referrers/{digest}?artifactType=`
pub(super) async fn referrers(State(packages): State<Arc<Packages>>, call: Call) -> Answer {
    let process = call.process()?;
    let [wanted] = call.query(["artifactType"])?;
    let unknown = || Problem::new(Code::NotFound, "There is no such manifest, or none that this reader may see.");
    let digest: Sha256 = call.parameter("digest").parse().map_err(|_| unknown())?;
    let _making = call.making().await?;
    let mut all = Vec::new();
    // SPEC: a manifest that nothing refers to, or that is not known, has an empty list.
    if let Some(package) = packages.by_manifest(&call, &process, digest).await? {
        let release = package.release();
        if let Some(proof) = call.library().provenance(&call.reader, release).await? {
            all.push(refer(&packages, &package, PROVENANCE_TYPE, ".verbund/provenance.json", proof));
        }
        let view = call.library().release(&call.reader, release).await?;
        let recall = &view.statements["withdrawn"];
        if !recall.is_null() {
            all.push(refer(&packages, &package, WITHDRAWAL_TYPE, "withdrawal.json", canonical(recall).into()));
        }
    }
    let filtered = wanted.is_some();
    all.retain(|(kind, _, _)| wanted.as_deref().is_none_or(|wanted| wanted == *kind));
    let bytes = Bytes::from(manifest::index(&all));
    let digest = Sha256::of(&bytes);
    let mut response = send(&call, bytes, digest, INDEX_TYPE, REVALIDATE)?;
    if filtered {
        response.headers_mut().insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// Keeps a statement about a package, and the manifest that names it, for the client to fetch.
fn refer(
    packages: &Packages,
    package: &Package,
    kind: &'static str,
    title: &str,
    bytes: Bytes,
) -> (&'static str, Sha256, u64) {
    let digest = Sha256::of(&bytes);
    let layer = Layer { digest, size: bytes.len() as u64, media_type: kind.to_owned(), title: title.to_owned() };
    let manifest = manifest::of_referrer(kind, (package.digest, package.bytes.len() as u64), &layer);
    let manifest = Bytes::from(manifest);
    let named = (kind, Sha256::of(&manifest), manifest.len() as u64);
    let about = package.release().clone();
    packages.remember(Referrer { about: about.clone(), digest, media_type: kind, bytes });
    packages.remember(Referrer { about, digest: named.1, media_type: MANIFEST_TYPE, bytes: manifest });
    named
}
