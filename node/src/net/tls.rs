//! Encryption between nodes: TLS 1.3 as libp2p specifies it (`/tls/1.0.0`), with AES-GCM first.
//!
//! Owns the configuration and the handshake. Certificates are made, parsed and verified by `libp2p-tls`, whose own configuration is
//! closed: it prefers ChaCha20-Poly1305, at half the speed of AES-GCM on every server of the last ten years, and writes session
//! secrets to the file that `SSLKEYLOGFILE` names. Must never accept a certificate that `libp2p-tls` would not.

use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::io::BufReader;
use futures::{AsyncRead, AsyncWrite, FutureExt as _};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::PeerId;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::tls::certificate::{self, GenError, ParseError};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error as TlsError, ServerConfig,
    SignatureScheme, SupportedCipherSuite, version,
};

use super::coalesce::Coalesce;

/// Preferred first. A peer with another order of its own gets what it asks for first.
const CIPHERS: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];
/// SPEC: libp2p TLS handshake, ALPN.
const ALPN: &[u8] = b"libp2p";
/// What certificates may be signed with, as in `libp2p-tls`.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// Bytes read from the socket at a time: two records. rustls itself asks for 4 KiB, four system calls for one record.
const READ_BYTES: usize = 32 << 10;

/// An encrypted stream.
pub(super) type Encrypted<C> = Coalesce<TlsStream<BufReader<C>>>;

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The own certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] GenError),
    /// The own configuration is unusable.
    #[error("configuration: {0}")]
    Config(TlsError),
    /// The handshake failed, or the connection broke.
    #[error("handshake: {0}")]
    Handshake(io::Error),
    /// The peer's certificate proves no key.
    #[error("certificate of the peer: {0}")]
    Peer(#[from] ParseError),
    /// The peer showed none, or several.
    #[error("the peer did not show exactly one certificate")]
    NotOne,
}

/// Both sides' configuration. Cheap to clone.
#[derive(Clone)]
pub(super) struct Config {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Config {
    /// A configuration that proves `key`, with a certificate made for this process.
    pub(super) fn new(key: &Keypair) -> Result<Self, Error> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = CIPHERS.to_vec();
        let (provider, versions) = (Arc::new(provider), &[&version::TLS13]);
        let own = own(certificate::generate(key)?).map_err(Error::Config)?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(Error::Config)?
            .with_client_cert_verifier(Arc::new(Verifier))
            .with_cert_resolver(own.clone());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(Error::Config)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier))
            .with_client_cert_resolver(own);
        server.alpn_protocols = vec![ALPN.to_vec()];
        client.alpn_protocols = vec![ALPN.to_vec()];
        // Each connection proves its key anew; and nobody keeps sessions for peers that come once.
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok(Self { server: server.into(), client: client.into() })
    }
}

/// What this node shows. rustls cannot compare the two itself, because it refuses to read libp2p's critical extension.
fn own(made: (CertificateDer<'static>, PrivateKeyDer<'static>)) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let (certificate, secret) = made;
    let key = CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_ecdsa_type(&secret)?);
    Ok(Arc::new(SingleCertAndKey::from(key)))
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/tls/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = (PeerId, Encrypted<C>);
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Output, Error>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            let socket = BufReader::with_capacity(READ_BYTES, socket);
            let stream = TlsAcceptor::from(self.server).accept(socket).await.map_err(Error::Handshake)?;
            Ok((peer(stream.get_ref().1)?, Coalesce::new(stream.into())))
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = (PeerId, Encrypted<C>);
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Output, Error>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            // SPEC: no server name is sent. Who answers is known by its key; the swarm compares it with the one that was dialled.
            let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
            let socket = BufReader::with_capacity(READ_BYTES, socket);
            let stream = TlsConnector::from(self.client).connect(nobody, socket).await.map_err(Error::Handshake)?;
            Ok((peer(stream.get_ref().1)?, Coalesce::new(stream.into())))
        }
        .boxed()
    }
}

/// Whose key the handshake proved.
fn peer(session: &CommonState) -> Result<PeerId, Error> {
    match session.peer_certificates() {
        Some([one]) => Ok(certificate::parse(one)?.peer_id()),
        _ => Err(Error::NotOne),
    }
}

/// Accepts any peer that proves some key, by exactly one self-signed certificate with libp2p's extension.
#[derive(Debug)]
struct Verifier;

impl Verifier {
    fn presented(end: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        if !intermediates.is_empty() {
            return Err(TlsError::General("more than one certificate".to_owned()));
        }
        certificate::parse(end)?;
        Ok(())
    }

    fn signature(
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        certificate::parse(cert)?.verify_signature(signed.scheme, message, signed.signature())?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn old() -> TlsError {
        TlsError::General("TLS 1.3 only".to_owned())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Self::presented(end, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Self::signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Self::presented(end, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Self::signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

#[cfg(test)]
mod tests;
