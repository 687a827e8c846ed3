//! A moment in time as the admin API writes it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last millisecond of the year 9999: RFC 3339 has four digits for the year.
const LAST_MS: u64 = 253_402_300_799_999;

/// A moment, to the millisecond; text is RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// The present, by this machine's clock. A clock before 1970 counts as 1970.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }
    /// Milliseconds after 1970-01-01T00:00:00Z; later than the year 9999 is cut to its end.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(if ms > LAST_MS { LAST_MS } else { ms })
    }
    /// Milliseconds after 1970-01-01T00:00:00Z.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }
    /// How long `self` lies before `now`; zero if it does not.
    pub const fn before(self, now: Self) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for Moment {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("1970-01-01T00:00:00Z"))
    }
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is not a moment: expected RFC 3339, such as 2026-03-01T12:00:00Z");
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refused())?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(Self::from_unix_ms).map_err(|_| refused())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for ms in [0, 1, 999, 1_767_225_600_000, LAST_MS] {
            let at = Moment::from_unix_ms(ms);
            assert_eq!(at.to_string().parse(), Ok(at), "{at}");
        }
        assert_eq!(Moment::from_unix_ms(1_767_225_600_250).to_string(), "2026-01-01T00:00:00.25Z");
        assert_eq!(Moment::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert!("gestern".parse::<Moment>().is_err());
        assert!("1969-12-31T23:59:59Z".parse::<Moment>().is_err());
    }
}
