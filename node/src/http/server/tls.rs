//! TLS: version 1.3 only, by rustls with aws-lc-rs.
//!
//! Owns the choice of provider, versions and application protocol. Session secrets are never written anywhere, whatever the
//! environment says.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;

use crate::http::certs::LiveCertificate;

/// The provider, named explicitly so that no process-wide default is needed or disturbed.
pub(in crate::http) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// The server's side. Certificates are asked for at each handshake, so a replaced one counts from the next connection on.
pub(super) fn server_config(
    provider: Arc<CryptoProvider>,
    certificate: Arc<LiveCertificate>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
