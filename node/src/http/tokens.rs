//! Bearer tokens of IT systems: made, checked, listed, revoked.
//!
//! Owns the token's form and the decision whether one is good. A token is `vbt_` and 43 characters of base64url (32 random
//! bytes, no padding). Only its BLAKE3 hash is kept; the first eight bytes of that hash are its public id, under which it is
//! found, listed, logged and revoked. The token itself is shown once, when made, and must never reach a log line, an error
//! or the store. Storage is the integrator's ([`TokenStore`]).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use verbund_protocol::ids::{Blake3, Slug};

/// How every token starts, so that scanners for leaked secrets can recognise one.
pub const PREFIX: &str = "vbt_";
/// Random bytes of a token: 256 bits, so that guessing and searching for its hash are both hopeless.
const SECRET_BYTES: usize = 32;
/// Characters of a whole token.
const TOKEN_CHARS: usize = PREFIX.len() + 43;
/// Tokens that one node keeps, revoked ones included: each is one IT system, and lists stay readable.
pub const TOKENS_MAX: usize = 1_000;
/// A token's name, in characters.
pub const NAME_MAX_CHARS: usize = 64;
/// Federations named by one token: more are better said by naming none.
pub const FEDERATIONS_MAX: usize = 64;

/// What a token allows. Appended to, never renamed: records keep the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// List, show and fetch.
    Read,
}

/// A token's public id: the first eight bytes of its hash, text 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// Of nobody: for readers within this node.
    pub const NONE: Self = Self([0; 8]);

    /// The id of a token in clear; nothing if it is not one.
    pub fn of_token(text: &str) -> Option<Self> {
        is_token(text).then(|| Self::of(&blake3::hash(text.as_bytes())))
    }

    fn of(hash: &blake3::Hash) -> Self {
        let mut id = [0; 8];
        id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenError;
    fn try_from(text: String) -> Result<Self, TokenError> {
        text.parse()
    }
}

impl FromStr for TokenId {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut id = [0; 8];
        hex::decode_to_slice(text, &mut id).map_err(|_| TokenError::BadId)?;
        Ok(Self(id))
    }
}

/// A token in clear. Its `Debug` form hides it, it has no `Display`; [`Secret::reveal`] is for showing it once.
pub struct Secret(String);

impl Secret {
    /// The token itself, to be shown to the operator once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What is kept of a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Public id.
    pub id: TokenId,
    /// What the operator called it.
    pub name: String,
    /// BLAKE3 of the token's text. Not a secret, but nobody's business: hidden in `Debug`.
    pub hash: Blake3,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// For which federations; `None` is all of this node, later ones too.
    pub federations: Option<BTreeSet<Slug>>,
    /// Unix seconds.
    pub created_s: u64,
    /// Unix seconds; good before this moment, not at it. `None` never expires.
    pub expires_s: Option<u64>,
    /// Unix seconds; `None` while it stands.
    pub revoked_s: Option<u64>,
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the operator wants of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// 1 to [`NAME_MAX_CHARS`] printable characters.
    pub name: String,
    /// At least one.
    pub scopes: BTreeSet<Scope>,
    /// `None` for all; otherwise 1 to [`FEDERATIONS_MAX`].
    pub federations: Option<BTreeSet<Slug>>,
    /// Unix seconds, in the future; `None` for no end.
    pub expires_s: Option<u64>,
}

/// What a good token entitles its bearer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Public id of the token.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// For which federations; `None` is all.
    pub federations: Option<BTreeSet<Slug>>,
}

/// Who asks. Passed to every question to the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// Nobody in particular; exists only where the operator allows it.
    Anonymous,
    /// The bearer of a good token.
    Token(Grant),
}

impl Reader {
    /// Whether this reader may read in the federation at all. Audiences are judged by the library.
    pub fn may_read(&self, federation: &Slug) -> bool {
        match self {
            Self::Anonymous => true,
            Self::Token(grant) => {
                grant.scopes.contains(&Scope::Read)
                    && grant.federations.as_ref().is_none_or(|named| named.contains(federation))
            }
        }
    }
}

/// Why a token was not made, found or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request for a new token breaks a rule.
    #[error("{0}")]
    Refused(String),
    /// Not the text of an id.
    #[error("a token id is 16 hex digits, as `token ls` shows them")]
    BadId,
    /// No token has this id.
    #[error("there is no token {0}")]
    Unknown(TokenId),
    /// The system gives no random bytes.
    #[error("no randomness: {0}")]
    Randomness(String),
    /// The store failed.
    #[error("token store: {0}")]
    Store(String),
}

/// Why a bearer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not a token, or none of this node. Both look the same.
    #[error("the token is not one of this node")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Withdrawn.
    #[error("the token was revoked")]
    Revoked,
}

/// Where records are kept. An implementation returns from `put` only when the record is durable.
pub trait TokenStore: Send + Sync + 'static {
    /// Inserts or replaces the record with this id.
    fn put(&self, record: TokenRecord) -> BoxFuture<'_, Result<(), TokenError>>;
    /// The record with this id. Called for each request.
    fn get(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, TokenError>>;
    /// All records, by id.
    fn all(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, TokenError>>;
}

/// The tokens of this node.
pub struct Tokens {
    store: Arc<dyn TokenStore>,
    /// One change at a time: each reads before it writes.
    changing: Mutex<()>,
}

impl Tokens {
    /// Tokens kept in `store`.
    pub fn new(store: Arc<dyn TokenStore>) -> Self {
        Self { store, changing: Mutex::new(()) }
    }

    /// Makes a token and keeps its record. The secret exists in the answer only.
    ///
    /// # Errors
    /// [`TokenError::Refused`] names the broken rule; [`TokenError::Randomness`], [`TokenError::Store`].
    pub async fn create(&self, new: NewToken, now_s: u64) -> Result<(Secret, TokenRecord), TokenError> {
        check(&new, now_s)?;
        let _one = self.changing.lock().await;
        let existing = self.store.all().await?;
        if existing.len() >= TOKENS_MAX {
            return Err(TokenError::Refused(format!("this node has {TOKENS_MAX} tokens already")));
        }
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|e| TokenError::Randomness(e.to_string()))?;
        let secret = Secret(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        let hash = blake3::hash(secret.0.as_bytes());
        let record = TokenRecord {
            id: TokenId::of(&hash),
            name: new.name,
            hash: Blake3(*hash.as_bytes()),
            scopes: new.scopes,
            federations: new.federations,
            created_s: now_s,
            expires_s: new.expires_s,
            revoked_s: None,
        };
        if existing.iter().any(|other| other.id == record.id) {
            return Err(TokenError::Refused("the new token's id is taken; try again".to_owned()));
        }
        self.store.put(record.clone()).await?;
        Ok((secret, record))
    }

    /// All tokens, revoked and expired ones too, oldest first.
    ///
    /// # Errors
    /// [`TokenError::Store`].
    pub async fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        let mut all = self.store.all().await?;
        all.sort_by_key(|record| (record.created_s, record.id));
        Ok(all)
    }

    /// Ends a token for good. Doing so twice keeps the first moment.
    ///
    /// # Errors
    /// [`TokenError::Unknown`], [`TokenError::Store`].
    pub async fn revoke(&self, id: TokenId, now_s: u64) -> Result<TokenRecord, TokenError> {
        let _one = self.changing.lock().await;
        let mut record = self.store.get(id).await?.ok_or(TokenError::Unknown(id))?;
        if record.revoked_s.is_none() {
            record.revoked_s = Some(now_s);
            self.store.put(record.clone()).await?;
        }
        Ok(record)
    }

    /// Judges what a client presented as its token.
    ///
    /// # Errors
    /// [`TokenError::Store`] if it cannot be judged; the inner result says why a judged one is denied.
    pub async fn verify(&self, presented: &str, now_s: u64) -> Result<Result<Grant, Denied>, TokenError> {
        if !is_token(presented) {
            return Ok(Err(Denied::Invalid));
        }
        let hash = blake3::hash(presented.as_bytes());
        let Some(record) = self.store.get(TokenId::of(&hash)).await? else { return Ok(Err(Denied::Invalid)) };
        // `blake3::Hash` compares in constant time.
        if blake3::Hash::from_bytes(record.hash.0) != hash && !verbund_protocol::seeded::bug("token_by_its_beginning") {
            return Ok(Err(Denied::Invalid));
        }
        if let Err(denied) = in_force(&record, now_s) {
            return Ok(Err(denied));
        }
        Ok(Ok(Grant { id: record.id, name: record.name, scopes: record.scopes, federations: record.federations }))
    }

    /// Whether a token that was good is good still, for answers that take long.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn stands(&self, id: TokenId, now_s: u64) -> Result<Result<(), Denied>, TokenError> {
        let record = self.store.get(id).await?;
        Ok(record.map_or(Err(Denied::Invalid), |record| in_force(&record, now_s)))
    }
}

fn in_force(record: &TokenRecord, now_s: u64) -> Result<(), Denied> {
    if record.revoked_s.is_some() {
        return Err(Denied::Revoked);
    }
    if record.expires_s.is_some_and(|end| now_s >= end && !verbund_protocol::seeded::bug("token_never_expires")) {
        return Err(Denied::Expired);
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    text.len() == TOKEN_CHARS
        && text
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
}

fn check(new: &NewToken, now_s: u64) -> Result<(), TokenError> {
    let refuse = |rule: String| Err(TokenError::Refused(rule));
    let chars = new.name.chars().count();
    if !(1..=NAME_MAX_CHARS).contains(&chars) || new.name.trim() != new.name || new.name.chars().any(char::is_control) {
        return refuse(format!("a token's name has 1 to {NAME_MAX_CHARS} printable characters"));
    }
    // Somebody pasting a token where its name belongs would publish it in every list.
    if new.name.contains(PREFIX) {
        return refuse(format!("a token's name must not contain {PREFIX}"));
    }
    if new.scopes.is_empty() {
        return refuse("a token needs at least one scope".to_owned());
    }
    if new.federations.as_ref().is_some_and(|named| named.is_empty() || named.len() > FEDERATIONS_MAX) {
        return refuse(format!("a token names 1 to {FEDERATIONS_MAX} federations, or none for all"));
    }
    if new.expires_s.is_some_and(|end| end <= now_s) {
        return refuse("a token's expiry must lie in the future".to_owned());
    }
    Ok(())
}

/// Replaces everything that looks like a token or a ticket, so that one given in the wrong place does not stay in a log.
pub(crate) fn redact(text: &str) -> String {
    let hide = |text: &str, prefix: &str| {
        let mut parts = text.split(prefix);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(prefix);
            out.push('…');
            out.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '%')));
        }
        out
    };
    hide(&hide(text, PREFIX), verbund_protocol::wire::ticket::PREFIX)
}

#[cfg(test)]
pub(super) mod tests;
