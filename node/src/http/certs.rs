//! The server's certificate: made once, loaded from files, swapped while running.
//!
//! Owns reading and checking of PEM files and the resolver that the TLS layer asks for each handshake. A certificate that does
//! not load never replaces one that did. Private keys stay in their file and in memory: they reach no log line and no error.

mod make;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use make::{VALID_DAYS, create};

/// A PEM file, in bytes: a long chain is some 20 KiB.
const PEM_MAX_BYTES: u64 = 1 << 20;
/// Days before the end from which [`Validity::warning`] speaks: enough for an order at an official authority.
pub const WARN_DAYS: u64 = 45;
const DAY_S: u64 = 86_400;

/// Why a certificate was not made or loaded. Each names its file.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file's contents are not what they should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key are both well formed, but not of each other.
    #[error("{} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// File of the certificate chain.
        cert: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// A name that a certificate cannot carry.
    #[error("{name:?} cannot stand in a certificate: {reason}")]
    Name {
        /// As given.
        name: String,
        /// The rule.
        reason: &'static str,
    },
    /// A certificate is there already; it is never overwritten.
    #[error("{} exists already; remove it to have a new one made", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Make(String),
}

impl CertError {
    fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}

/// When a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second, Unix time.
    pub not_before_s: u64,
    /// Last second, Unix time.
    pub not_after_s: u64,
}

impl Validity {
    /// Whole days left; negative ones count from the end.
    pub fn days_left(&self, now_s: u64) -> i64 {
        let left = i128::from(self.not_after_s) - i128::from(now_s);
        i64::try_from(left.div_euclid(i128::from(DAY_S))).unwrap_or(i64::MAX)
    }

    /// What an operator should know now: nothing, that it ends soon, that it ended, or that it does not hold yet.
    pub fn warning(&self, now_s: u64) -> Option<String> {
        if now_s > self.not_after_s {
            return Some(format!("the HTTPS certificate expired {} days ago", -self.days_left(now_s)));
        }
        if now_s < self.not_before_s {
            return Some("the HTTPS certificate is not valid yet: check the clock".to_owned());
        }
        (self.not_after_s - now_s < WARN_DAYS * DAY_S)
            .then(|| format!("the HTTPS certificate expires in {} days", self.days_left(now_s)))
    }
}

/// A certificate ready for use.
#[derive(Debug, Clone)]
pub struct Loaded {
    key: Arc<CertifiedKey>,
    /// Of the server's own certificate, the first in the file.
    pub validity: Validity,
}

/// Loads a chain (server certificate first) and its key from PEM files. Does not judge the validity: an expired certificate is
/// better than no service, and the warning says so.
///
/// # Errors
/// [`CertError`], naming file and reason.
pub fn load(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<Loaded, CertError> {
    let chain = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| CertError::content(cert, pem_reason(&e)))?;
    let first = chain.first().ok_or_else(|| CertError::content(cert, "holds no certificate in PEM form"))?;
    let validity = validity(first).map_err(|reason| CertError::content(cert, reason))?;

    let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| {
        let reason = if matches!(e, pem::Error::NoItemsFound) {
            "holds no private key in PEM form (encrypted keys are not supported)".to_owned()
        } else {
            pem_reason(&e)
        };
        CertError::content(key, reason)
    })?;
    let signer = provider
        .key_provider
        .load_private_key(key_der)
        .map_err(|_| CertError::content(key, "the private key is of no supported kind (RSA, ECDSA or Ed25519)"))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            return Err(CertError::Mismatch { cert: cert.to_owned(), key: key.to_owned() });
        }
        Err(e) => return Err(CertError::content(cert, format!("cannot be used: {e}"))),
    }
    Ok(Loaded { key: Arc::new(certified), validity })
}

fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    let failed = |source| CertError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(PEM_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_MAX_BYTES {
        return Err(CertError::content(path, format!("is larger than {PEM_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The parser's words may quote the file: say the kind of mistake only.
fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is cut off: a PEM section has no end".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "has a malformed PEM section".to_owned(),
        pem::Error::Base64Decode(_) => "has a PEM section that is not base64".to_owned(),
        _ => "is not in PEM form".to_owned(),
    }
}

fn validity(der: &CertificateDer<'_>) -> Result<Validity, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| "holds no X.509 certificate".to_owned())?;
    let seconds = |t: x509_parser::time::ASN1Time| u64::try_from(t.timestamp()).unwrap_or(0);
    let validity = parsed.validity();
    Ok(Validity { not_before_s: seconds(validity.not_before), not_after_s: seconds(validity.not_after) })
}

/// Whether anyone on the machine may read the key.
fn is_exposed(key: &Path) -> bool {
    std::fs::metadata(key).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0)
}

/// The certificate in use, exchangeable while running.
#[derive(Debug)]
pub struct LiveCertificate {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Loaded>,
}

impl LiveCertificate {
    /// Loads the files for the first time.
    ///
    /// # Errors
    /// [`CertError`], naming file and reason.
    pub fn open(cert: &Path, key: &Path, provider: Arc<CryptoProvider>) -> Result<Self, CertError> {
        let current = RwLock::new(load(cert, key, &provider)?);
        if is_exposed(key) {
            tracing::warn!(file = %key.display(), "the HTTPS key can be read by every user of this machine; set mode 0600");
        }
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), provider, current })
    }

    /// Loads the files again, and uses them for handshakes from now on. Returns whether the certificate changed. Reads files:
    /// not for the runtime's threads.
    ///
    /// # Errors
    /// [`CertError`]; the certificate in use stays.
    pub fn reload(&self) -> Result<bool, CertError> {
        let loaded = load(&self.cert, &self.key, &self.provider)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.key.cert == loaded.key.cert {
            return Ok(false);
        }
        *current = loaded;
        Ok(true)
    }

    /// When the certificate in use holds.
    pub fn validity(&self) -> Validity {
        self.current.read().unwrap_or_else(PoisonError::into_inner).validity
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

#[cfg(test)]
mod tests;
