//! Where a webhook goes to, and that it goes nowhere else.
//!
//! Owns the rule against requests into the own network: every address that a name has is checked, and the connection is made to
//! one that was checked, so that a name which changes between the two gains nothing. Redirects are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time for one delivery, from the name's resolution to the head of the answer.
const DELIVERY: Duration = Duration::from_secs(30);
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// The name leads to nothing.
    #[error("{0} cannot be resolved: {1}")]
    Resolve(String, std::io::Error),
    /// The name leads into a network of one's own.
    #[error("{host} has the address {address}, which is not a public one; allow_private permits it")]
    Private {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// Connection, TLS or HTTP.
    #[error("{0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {} s", DELIVERY.as_secs())]
    Slow,
    /// The receiver answered with something else than success.
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
}

/// A receiver.
pub(super) struct Target {
    host: String,
    port: u16,
    path: String,
    authority: String,
    tls: Option<TlsConnector>,
    allow_private: bool,
}

impl Target {
    /// Reads an address. Without TLS only into a network of one's own, if that is permitted.
    pub(super) fn new(url: &str, allow_private: bool, cacert: Option<&Path>) -> Result<Self, TargetError> {
        let bad = |why: &str| TargetError::Config(format!("{url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("is no address"))?;
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("must not hold a user or password"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => {
                let roots = roots(cacert).map_err(TargetError::Config)?;
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                let config = config.map_err(|error| TargetError::Config(error.to_string()))?;
                let mut config = config.with_root_certificates(roots).with_no_client_auth();
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(TlsConnector::from(Arc::new(config)))
            }
            Some("http") if allow_private => None,
            Some("http") => return Err(bad("must start with https://; plain http:// only with allow_private")),
            _ => return Err(bad("must start with https://")),
        };
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            authority: authority.to_string(),
            tls,
            allow_private,
        })
    }

    /// The addresses of the name, all of them permitted.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, TargetError> {
        let resolved = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let all: Vec<_> = resolved.map_err(|error| TargetError::Resolve(self.host.clone(), error))?.collect();
        // One bad address makes the name bad: which of them is used would be left to chance otherwise.
        if let Some(bad) = all.iter().find(|address| !self.allow_private && !is_public(address.ip())) {
            return Err(TargetError::Private { host: self.host.clone(), address: bad.ip() });
        }
        Ok(all.into_iter().take(ADDRESSES_MAX).collect())
    }

    /// Delivers a body. Success is a status from 200 to 299.
    pub(super) async fn post(&self, headers: &[(&'static str, String)], body: Bytes) -> Result<(), TargetError> {
        tokio::time::timeout(DELIVERY, self.try_post(headers, body)).await.unwrap_or(Err(TargetError::Slow))
    }

    async fn try_post(&self, headers: &[(&'static str, String)], body: Bytes) -> Result<(), TargetError> {
        let broken = |error: &dyn std::fmt::Display| TargetError::Broken(error.to_string());
        let mut last = TargetError::Broken(format!("{} has no address", self.host));
        for address in self.addresses().await? {
            let tcp = match TcpStream::connect(address).await {
                Ok(tcp) => tcp,
                Err(error) => {
                    last = TargetError::Broken(format!("{address}: {error}"));
                    continue;
                }
            };
            let status = match &self.tls {
                Some(tls) => {
                    let name = ServerName::try_from(self.host.clone()).map_err(|error| broken(&error))?;
                    let stream = tls.connect(name, tcp).await.map_err(|error| broken(&error))?;
                    self.ask(stream, headers, body).await?
                }
                None => self.ask(tcp, headers, body).await?,
            };
            return if status.is_success() { Ok(()) } else { Err(TargetError::Refused(status)) };
        }
        Err(last)
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<StatusCode, TargetError> {
        let broken = |error: hyper::Error| TargetError::Broken(error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the answer's head: its body is nobody's business.
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method("POST").uri(&self.path).header(header::HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| TargetError::Config(error.to_string()))?;
        let answered = sender.send_request(request).await;
        connection.abort();
        answered.map(|response| response.status()).map_err(broken)
    }
}

fn roots(cacert: Option<&Path>) -> Result<RootCertStore, String> {
    crate::cli::roots(cacert).map_err(|failure| failure.text)
}

/// Whether an address is one of the public internet, by the registries of special-purpose addresses (IANA).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match parts {
        // NAT64 and 6to4 lead to the IPv4 address in them.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarking, ORCHID, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, ..] => false,
        // Global unicast is all that is left.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_own_networks_are_known_in_every_form() {
        for own in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(own.parse().unwrap()), "{own}");
        }
        for public in ["1.1.1.1", "9.9.9.9", "172.32.0.1", "2a01:4f8::1", "2001:67c:2e8::1", "64:ff9b::101:101"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_before_anything_is_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut target = Target::new(&format!("http://localhost:{port}/x"), true, None).unwrap();
        target.allow_private = false;
        let refused = target.post(&[], Bytes::new()).await;
        assert!(matches!(refused, Err(TargetError::Private { .. })), "{refused:?}");
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "nobody connects");
    }

    #[test]
    fn plain_http_needs_the_permission() {
        assert!(Target::new("http://intern.example/x", false, None).is_err());
        assert!(Target::new("http://intern.example/x", true, None).is_ok());
        for bad in ["ftp://x", "https://u:p@x", "x", "/x", ""] {
            assert!(Target::new(bad, true, None).is_err(), "{bad}");
        }
    }
}
