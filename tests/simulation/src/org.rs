//! Members as organisations: their keys, their identity, and what they sign by hand.

use std::collections::BTreeMap;

use verbund_protocol::charter::certificate::{CharterBundle, Founder, found};
use verbund_protocol::charter::rules::{Charter, Member, Rules};
use verbund_protocol::documents::{Document, RELEASE_TYPE, Standing, Withdrawal, Writer};
use verbund_protocol::envelope::Envelope;
use verbund_protocol::identity::{Identity, PublisherRole, Role, Roles};
use verbund_protocol::ids::{Blake3, FederationId, MemberId, Sha256, Slug};
use verbund_protocol::keys::SecretKey;
use verbund_protocol::release::manifest::{FileEntry, Manifest};
use verbund_protocol::release::metadata::{Context, Metadata};
use verbund_protocol::release::statement::Draft;

/// Where the clocks of a run start, in seconds since 1970.
pub const EPOCH_S: u64 = 1_767_225_600;

/// An organisation with one key in each role, and one node.
#[derive(Debug, Clone)]
pub struct Org {
    pub handle: String,
    pub root: SecretKey,
    pub approver: SecretKey,
    pub publisher: SecretKey,
    pub node: SecretKey,
    pub identity: Envelope,
    pub member: MemberId,
}

/// A release as its publisher made it: the envelope to log, and the artifacts.
#[derive(Debug, Clone)]
pub struct Made {
    pub leaf: Vec<u8>,
    pub id: Sha256,
    pub manifest: Blake3,
    pub artifacts: BTreeMap<Blake3, Vec<u8>>,
}

/// What varies between releases in tests.
#[derive(Debug, Clone, Default)]
pub struct Wish<'a> {
    pub slug: &'a str,
    pub version: &'a str,
    pub content: &'a str,
    pub audience: Option<&'a str>,
}

fn key(handle: &str, role: &str) -> SecretKey {
    SecretKey::from_seed(Sha256::of(format!("{handle}/{role}").as_bytes()).as_bytes())
}

impl Org {
    pub fn new(handle: &str) -> Self {
        Self::named(handle, handle)
    }

    /// Keys made from `seed`, so that two may claim one handle.
    pub fn named(handle: &str, seed: &str) -> Self {
        let [root, approver, publisher, node] = ["root", "approver", "publisher", "node"].map(|role| key(seed, role));
        let one = |k: &SecretKey| Role { keys: vec![k.public()], threshold: 1 };
        let publishers = PublisherRole { keys: vec![publisher.public()], threshold: 1, slugs: BTreeMap::new() };
        let identity = Identity {
            version: 1,
            member: None,
            prev: None,
            handle: handle.parse().unwrap(),
            names: BTreeMap::from([("de".to_owned(), format!("Land {seed}"))]),
            ags: None,
            contact: None,
            valid_until: None,
            roles: Roles {
                root: one(&root),
                approver: one(&approver),
                publisher: publishers,
                nodes: vec![node.public(), key(seed, "node2").public()],
            },
        };
        let identity = identity.seal(&[&root]).unwrap();
        let member = MemberId(identity.id().0);
        Self { handle: handle.to_owned(), root, approver, publisher, node, identity, member }
    }

    /// The organisation's other node.
    pub fn spare(&self) -> SecretKey {
        key(&self.handle, "node2")
    }

    pub fn writer(&self, federation: Option<FederationId>) -> Envelope {
        let (member, peer) = (self.member, self.node.peer());
        Writer { federation, member, seq: 1, prev: None, peer, closes: None }.seal(&[&self.root]).unwrap()
    }

    pub fn found(&self) -> (CharterBundle, FederationId) {
        let rules = Rules {
            name: "Verbund Mitte".into(),
            slug: "mitte".parse().unwrap(),
            agreement: None,
            license: Some("EUPL-1.2".into()),
            terms: None,
        };
        let writer = self.writer(None);
        let founder = Member {
            member: self.member,
            handle: self.handle.parse().unwrap(),
            standing: Standing::Full,
            identity: self.identity.id(),
            writer: writer.id(),
        };
        let charter = Charter::genesis(rules, founder, EPOCH_S, None);
        let founder = Founder {
            identities: std::slice::from_ref(&self.identity),
            writer: &writer,
            approver: &[&self.approver],
            node: &self.node,
        };
        let (bundle, certified) = found(&charter, &founder).unwrap();
        (bundle, certified.federation)
    }

    pub fn release(&self, federation: FederationId, wish: &Wish<'_>) -> Made {
        self.release_by(&self.publisher, self.member, federation, wish)
    }

    /// A release signed by any key, in any namespace.
    pub fn release_by(&self, key: &SecretKey, member: MemberId, federation: FederationId, wish: &Wish<'_>) -> Made {
        let file = |path: &str, bytes: &[u8]| FileEntry {
            path: path.parse().unwrap(),
            size: bytes.len() as u64,
            media_type: "text/plain".into(),
            sha256: Sha256::of(bytes),
            blake3: Blake3::of(bytes),
        };
        let contents = [
            ("a.bpmn", format!("bpmn of {} {} {}", wish.slug, wish.version, wish.content)),
            ("b.form", format!("form of {} {} {}", wish.slug, wish.version, wish.content)),
            ("shared.txt", "the same in all releases".to_owned()),
        ];
        let manifest =
            Manifest::new(contents.iter().map(|(path, text)| file(path, text.as_bytes())).collect()).unwrap();
        let audience =
            wish.audience.map_or_else(String::new, |handle| format!("audience = {{ members = [\"{handle}\"] }}\n"));
        let text = format!(
            "id = \"{}\"\nversion = \"{}\"\ntitle = \"Hundesteuer\"\nsummary = \"Meldet einen Hund an\"\n\
             leistungsschluessel = [\"99102013060000\"]\nlevel = [\"kommunal\"]\nlicense = \"EUPL-1.2\"\n\
             maintenance = \"internal\"\ncontact = \"prozesse@example.de\"\nplatform = {{ name = \"civento\" }}\n\
             change = {{ kind = \"fachlich\", text = \"Erste Fassung\" }}\n{audience}",
            wish.slug, wish.version
        );
        let (metadata, _) = Metadata::from_toml("process.toml", &text, Context::default())
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        let draft = Draft { federation, member, time_s: EPOCH_S, metadata: &metadata, manifest: &manifest };
        let prepared = draft.prepare().unwrap();
        let leaf = Envelope::sign(RELEASE_TYPE, prepared.payload, [key]).unwrap();
        let mut artifacts: BTreeMap<_, _> =
            contents.iter().map(|(_, text)| (Blake3::of(text.as_bytes()), text.as_bytes().to_vec())).collect();
        artifacts.insert(prepared.reference.blake3, prepared.manifest);
        Made { id: leaf.id(), leaf: leaf.into_bytes(), manifest: prepared.reference.blake3, artifacts }
    }

    pub fn withdrawal(&self, federation: FederationId, slug: &str, release: Sha256) -> Vec<u8> {
        let document = Withdrawal {
            federation,
            member: self.member,
            process: slug.parse::<Slug>().unwrap(),
            release,
            reason: "Fehler in der Berechnung".into(),
            severity: "high".into(),
            successor: None,
            erase: false,
            time_s: EPOCH_S,
        };
        document.seal(&[&self.publisher]).unwrap().into_bytes()
    }
}
