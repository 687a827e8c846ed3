//! Makes the certificate that a node starts with.
//!
//! Owns its form: self-signed, for this server only (it can sign no other), ECDSA P-256 because every client knows it. Whoever
//! gives the file to a client as trusted (`curl --cacert`) trusts exactly this server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

use super::{CertError, Validity};

/// Days for which a made certificate holds: five years. It is trusted by file, not by authority, so a short life would protect
/// nobody and break every client at its end.
pub const VALID_DAYS: u32 = 1_825;
/// Days by which it starts in the past, for clients whose clock is behind.
const BACKDATED_DAYS: i64 = 1;
/// Names that one certificate carries.
const NAMES_MAX: usize = 64;
/// SPEC: RFC 5280 appendix A.1: ub-common-name.
const COMMON_NAME_MAX_CHARS: usize = 64;

/// Makes a key (mode 0600) and a certificate for `localhost`, `127.0.0.1`, `::1` and `names` (host names or addresses, without
/// port). `label` tells people whose it is. A key that is there without a certificate is used: an interrupted run can be
/// repeated. Returns when it holds.
///
/// # Errors
/// [`CertError::Exists`] if there is a certificate; [`CertError::Name`], [`CertError::Write`] and others, naming the cause.
pub fn create(cert: &Path, key: &Path, label: &str, names: &[String], now_s: u64) -> Result<Validity, CertError> {
    if cert.symlink_metadata().is_ok() {
        return Err(CertError::Exists(cert.to_owned()));
    }
    let mut params = CertificateParams::default();
    params.subject_alt_names = alternative_names(names)?;
    let now = i64::try_from(now_s).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let start = now.and_then(|now| now.checked_sub(Duration::days(BACKDATED_DAYS)));
    let end = now.and_then(|now| now.checked_add(Duration::days(i64::from(VALID_DAYS))));
    let (Some(start), Some(end)) = (start, end) else {
        return Err(CertError::Make(format!("the clock shows an impossible time ({now_s} s)")));
    };
    (params.not_before, params.not_after) = (start, end);
    let pair = key_pair(key)?;
    params.distinguished_name = subject(label, &pair);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let made = params.self_signed(&pair).map_err(|e| CertError::Make(e.to_string()))?;
    write(cert, made.pem().as_bytes(), 0o644)?;
    let second = |t: OffsetDateTime| u64::try_from(t.unix_timestamp()).unwrap_or(0);
    Ok(Validity { not_before_s: second(start), not_after_s: second(end) })
}

/// The subject is unique by a part of the key's hash: clients that trust several nodes look issuers up by subject.
fn subject(label: &str, pair: &KeyPair) -> DistinguishedName {
    let tag: String = blake3::hash(pair.public_key_raw()).to_hex().chars().take(8).collect();
    let kept = COMMON_NAME_MAX_CHARS - "Verbund  ".len() - tag.len();
    let label: String = label.chars().filter(|c| !c.is_control()).take(kept).collect();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("Verbund {label} {tag}"));
    name
}

fn alternative_names(names: &[String]) -> Result<Vec<SanType>, CertError> {
    if names.len() > NAMES_MAX {
        let name = names.get(NAMES_MAX).cloned().unwrap_or_default();
        return Err(CertError::Name { name, reason: "more than 64 names were given" });
    }
    let given = names.iter().map(String::as_str);
    let mut out: Vec<SanType> = Vec::new();
    for name in ["localhost", "127.0.0.1", "::1"].into_iter().chain(given) {
        let san = alternative_name(name)?;
        if !out.contains(&san) {
            out.push(san);
        }
    }
    Ok(out)
}

fn alternative_name(name: &str) -> Result<SanType, CertError> {
    let refused = |reason| CertError::Name { name: name.to_owned(), reason };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    if name.contains(':') || name.contains('/') {
        return Err(refused("give a host name or address without scheme, port and path"));
    }
    // SPEC: RFC 1123 §2.1.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(refused("a host name has labels of letters, digits and inner hyphens (umlauts in xn-- form)"));
    }
    Ia5String::try_from(name.to_ascii_lowercase()).map(SanType::DnsName).map_err(|_| refused("not ASCII"))
}

fn key_pair(path: &Path) -> Result<KeyPair, CertError> {
    if path.symlink_metadata().is_ok() {
        let pem = super::read(path)?;
        let pem = std::str::from_utf8(&pem).map_err(|_| CertError::content(path, "is not in PEM form"))?;
        return KeyPair::from_pem(pem).map_err(|_| CertError::content(path, "holds no usable private key in PEM form"));
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| CertError::Make(e.to_string()))?;
    write(path, pair.serialize_pem().as_bytes(), 0o600)?;
    Ok(pair)
}

/// Writes beside, syncs and renames, so that the name never stands for half a file.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertError> {
    let failed = |source| CertError::Write { path: path.to_owned(), source };
    let mut name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?.to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
