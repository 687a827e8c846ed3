//! Tests of charters: content, certificates with real keys, chains within them, and what a flipped byte can do.

mod certificate;
mod chains;
mod flip;
mod rules;
mod vectors;

use super::certificate::{CertificateError, Certified, CharterBundle};
use crate::documents::{Change, Standing};
use crate::ids::Sha256;
use crate::testing::{World, error_name};

/// Hessen, Rheinland-Pfalz and Saarland: n = 3, k = 3.
fn three() -> World {
    World::new(1).found().admit("de-rp").admit("de-sl")
}

/// And Thüringen: n = 4, k = 3.
fn four() -> World {
    three().admit("de-th")
}

/// A world with a newcomer, the change that admits it, and the full certificate.
fn admitting(world: World) -> (World, Change, CharterBundle) {
    let world = world.with("de-ni");
    let change = world.admission("de-ni", Standing::Full);
    let bundle = world.certify(&change, &[]);
    (world, change, bundle)
}

/// The name of the refusal.
fn refusal(result: Result<Certified, CertificateError>) -> String {
    error_name(&result.unwrap_err())
}

fn hash(text: &str) -> Sha256 {
    Sha256::of(text.as_bytes())
}
