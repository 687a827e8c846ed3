//! The composed values of metadata, and the closed sets that stay open on receipt.
//!
//! Owns their text and JSON forms. A set of names is closed when publishing and open when receiving: a name that a later version
//! added is kept as it came.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{Handle, Sha256};
use crate::release::reference::{ProcessRef, ReleaseRef};

macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A name that this version does not know, as received. Never published.
            Other(String),
        }
        impl $name {
            /// The names that may be published.
            pub const NAMES: &[&str] = &[$($text),+];

            /// The value for a name that may be published.
            pub fn known(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name,
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let name = String::deserialize(d)?;
                Ok(Self::known(&name).unwrap_or(Self::Other(name)))
            }
        }
    };
}

open_enum! {
    /// The level of the state that runs the service.
    Level { /// Federation.
        Bund = "bund", /// State.
        Land = "land", /// Municipality or county.
        Kommunal = "kommunal" }
}
open_enum! {
    /// How far a process is.
    Stage { /// Draft.
        Entwurf = "entwurf", /// In trial use.
        Pilot = "pilot", /// In regular use.
        Produktiv = "produktiv" }
}
open_enum! {
    /// What kind of change a version brings (XProzess); decides which part of the version rises.
    ChangeKind { /// Wording only: patch.
        Redaktionell = "redaktionell", /// Function: minor.
        Fachlich = "fachlich", /// Because the law changed: minor.
        Rechtlich = "rechtlich", /// Closes a weakness: patch.
        Sicherheit = "sicherheit" }
}
open_enum! {
    /// What re-use costs.
    CostKind { /// Nothing.
        None = "none", /// A share of the common costs.
        Shared = "shared", /// A fee.
        Fee = "fee" }
}
open_enum! {
    /// Who keeps a process up to date (publiccode.yml `maintenance/type`).
    MaintenanceKind { /// The publisher.
        Internal = "internal", /// A contractor.
        Contract = "contract", /// Several bodies together.
        Community = "community", /// Nobody.
        None = "none" }
}
open_enum! {
    /// How a process needs another.
    DependencyKind { /// Does not run without it.
        Requires = "requires", /// Uses it if it is there.
        Optional = "optional", /// Contains a copy of it.
        Embeds = "embeds" }
}
open_enum! {
    /// What a parameter takes.
    ParameterType { /// Text.
        Text = "text", /// Number.
        Number = "number", /// True or false.
        Boolean = "boolean", /// Date.
        Date = "date", /// Several values.
        List = "list", /// Address of a service.
        Uri = "uri", /// A secret, such as a password or key.
        Secret = "secret" }
}

/// One legal basis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalBasis {
    /// As it is cited, at most 500 characters.
    pub name: String,
    /// Where it can be read: http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// Editorial status in FIM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FimStatus {
    /// Code 1-8 of the status list (XProzess).
    pub status: u8,
    /// Version of that list.
    pub list_version: String,
}

/// OZG Reifegrad, which means nothing without its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maturity {
    /// `1.1` or `2.0`.
    pub model: String,
    /// 0-4 in model 1.1, 0-7 in model 2.0.
    pub level: u8,
}

/// A shared service that a process needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseService {
    /// `nutzerkonto`, `payment`, …; other names are allowed.
    pub name: String,
    /// Version or product, as its provider names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a process runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Product.
    pub name: String,
    /// Lowest version that it runs on, as the product counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// The platform's own key of the process (civento: `Schluessel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Another process that this one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Which.
    pub process: ProcessRef,
    /// Range of versions (`^1.2`), in the syntax of Cargo.
    pub version: String,
    /// How it is needed.
    pub kind: DependencyKind,
}

/// Something that must be set before a process runs. Values never travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name, as the platform shows it.
    pub name: String,
    /// What it takes.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Whether the process does not run without it.
    pub required: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Terms of use: a file of the release, which is accepted by its hash, or the default of the charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The file in the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// SHA-256 of that file; filled in from the manifest when the statement is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The charter's default terms, as it words them; only without a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charter: Option<String>,
}

/// Who may have the files of a release. Titles reach all members in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Audience {
    /// All members of the federation.
    #[default]
    Federation,
    /// Everyone.
    Public,
    /// The owner and the members named, by handle.
    Members(Vec<Handle>),
    /// A form that this version does not know, as received: nobody but the owner may have the files.
    Other(serde_json::Value),
}

impl Audience {
    /// Whether everyone whom `self` admits is admitted by `other`. Unknown forms only include themselves.
    pub fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (a, b) if a == b => true,
            (Self::Other(_), _) | (_, Self::Other(_)) => false,
            (_, Self::Public) => true,
            (Self::Members(_), Self::Federation) => true,
            (Self::Members(a), Self::Members(b)) => a.iter().all(|m| b.contains(m)),
            _ => false,
        }
    }

    /// Whether a member of the federation with this handle may have the files. The owner always may; that is not asked here.
    pub fn admits(&self, member: &Handle) -> bool {
        match self {
            Self::Federation | Self::Public => true,
            Self::Members(members) => members.contains(member),
            Self::Other(_) => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct WireMembers {
    members: Vec<Handle>,
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Federation => s.serialize_str("federation"),
            Self::Public => s.serialize_str("public"),
            Self::Members(members) => WireMembers { members: members.clone() }.serialize(s),
            Self::Other(value) => value.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(d)?;
        // Only exactly the known form is the known form: an extra key may restrict it in a way this version does not know.
        if value.as_object().is_some_and(|o| o.len() == 1)
            && let Ok(WireMembers { members }) = WireMembers::deserialize(&value)
        {
            return Ok(Self::Members(members));
        }
        Ok(match value.as_str() {
            Some("federation") => Self::Federation,
            Some("public") => Self::Public,
            _ => Self::Other(value),
        })
    }
}

/// What re-use costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Kind.
    pub kind: CostKind,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Who keeps it up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Kind.
    pub kind: MaintenanceKind,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What changed since the last version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Kind; decides which part of the version rises.
    pub kind: ChangeKind,
    /// In words.
    pub text: String,
}

/// The release that this one was made from, in its own namespace or another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Which.
    pub release: ReleaseRef,
    /// SHA-256 of the payload of its statement.
    pub digest: Sha256,
}
