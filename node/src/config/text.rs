//! Values with a text form of their own: durations, sizes, addresses, log filters.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: expected {expected}")]
pub struct TextError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

macro_rules! text_form {
    ($name:ident, $what:literal, $expected:literal) => {
        impl $name {
            fn refuse(text: &str) -> TextError {
                TextError { what: $what, expected: $expected, text: text.chars().take(80).collect() }
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// Splits `"10m"` into number and unit.
fn number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..end)?.parse().ok()?, text.get(end..)?.trim_start()))
}

/// A duration, to the millisecond; text `500ms`, `5s`, `10m`, `2h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(Duration);
text_form!(Interval, "a duration", "a number with ms, s, m, h or d, such as 30s");

impl Interval {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
    /// As a standard duration.
    pub const fn get(self) -> Duration {
        self.0
    }
    /// In milliseconds.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}
const INTERVAL_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Interval {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        let parse = || {
            let (count, unit) = number(text)?;
            let (_, ms) = INTERVAL_UNITS.into_iter().find(|(name, _)| *name == unit)?;
            count.checked_mul(ms)
        };
        parse().map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| Self::refuse(text))
    }
}
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.ms();
        let fits = INTERVAL_UNITS.into_iter().find(|(_, unit)| ms != 0 && ms.is_multiple_of(*unit));
        let (name, unit) = fits.unwrap_or(("s", 1000));
        write!(f, "{}{name}", ms / unit)
    }
}

/// A number of bytes; text `512B`, `64KiB`, `64MiB`, `8GiB`, `2TiB`, or decimal `kB`, `MB`, `GB`, `TB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);
text_form!(Size, "a size", "a number with B, KiB, MiB, GiB or TiB, such as 64MiB");

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];
impl FromStr for Size {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        let parse = || {
            let (count, unit) = number(text)?;
            let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
            count.checked_mul(bytes)
        };
        parse().map(Self).ok_or_else(|| Self::refuse(text))
    }
}
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = SIZE_UNITS.into_iter().take(5).find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = fits.unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// A host and a port: `verbund.hessen.de:7400`, `192.0.2.1:0`, `[2001:db8::1]:7400`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}
text_form!(Endpoint, "an address", "HOST:PORT, with IPv6 in brackets, such as [::1]:7400");

impl Endpoint {
    /// From parts; an IPv6 address without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
    /// Name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Port; 0: any free one.
    pub const fn port(&self) -> u16 {
        self.port
    }
    /// The same host with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }
    /// The address, if the host is one and no name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
    /// All addresses of the host.
    ///
    /// # Errors
    /// What the system's resolver says.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.ip() {
            Some(ip) => Ok(vec![SocketAddr::new(ip, self.port)]),
            None => Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect()),
        }
    }
}
impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}
impl FromStr for Endpoint {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            // Not "+80", which `u16` would take.
            let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
            if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
                return Some(Self { host: inner.parse::<Ipv6Addr>().ok()?.to_string(), port });
            }
            let named = (1..=253).contains(&host.len())
                && host.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                });
            // Digits and dots alone are an address, or a mistyped one: never a name.
            let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            (named && (!numeric || host.parse::<IpAddr>().is_ok())).then(|| Self { host: host.to_owned(), port })
        };
        parse().ok_or_else(|| Self::refuse(text))
    }
}
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What is logged: a level, and levels for parts, such as `info,verbund::net=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);
text_form!(Filter, "a log filter", "off, error, warn, info, debug or trace, and PART=LEVEL, separated by commas");

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Filter {
    /// Level info.
    pub fn info() -> Self {
        Self("info".to_owned())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for Filter {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        // The library would take a misspelt level for the name of a part and then log all of it.
        let known = |part: &str| match part.split_once('=') {
            Some((target, level)) => {
                LEVELS.contains(&level)
                    && !target.is_empty()
                    && target.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
            }
            None => LEVELS.contains(&part),
        };
        if text.split(',').map(str::trim).all(known) { Ok(Self(text.to_owned())) } else { Err(Self::refuse(text)) }
    }
}
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn values_survive_their_text(n in 0u64..1 << 40, port: u16, v6: u128, v4: u32) {
            let size = Size(n);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
            let interval = Interval(Duration::from_millis(n));
            prop_assert_eq!(interval.to_string().parse(), Ok(interval));
            for ip in [IpAddr::V6(v6.into()), IpAddr::V4(v4.into())] {
                let endpoint = Endpoint::from(SocketAddr::new(ip, port));
                prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint.clone()));
                prop_assert_eq!(endpoint.ip(), Some(ip));
            }
        }
        #[test]
        fn any_text_is_taken_or_refused(text in "\\PC{0,40}") {
            let _ = (text.parse::<Size>(), text.parse::<Interval>(), text.parse::<Endpoint>(), text.parse::<Filter>());
        }
    }

    #[test]
    fn refused() {
        for text in ["", "5", "5 parsecs", "-5s", "99999999999999999999s", "9999999999999999d"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
        for text in ["", "64", "64mb", "1.5GiB", "99999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:99999",
            "::1:80",
            "[::1]",
            "[x]:1",
            "1.2.3:4",
            "a b:1",
            "h:+80",
            "https://h:1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        for text in ["", "verbose", "info,", "net=loud", "=info"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
        assert_eq!(
            "info,verbund::net=debug".parse::<Filter>().map(|f| f.to_string()),
            Ok("info,verbund::net=debug".into())
        );
        assert_eq!("10 m".parse(), Ok(Interval::from_secs(600)));
        assert_eq!("2GB".parse(), Ok(Size(2_000_000_000)));
    }
}
