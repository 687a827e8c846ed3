use std::collections::BTreeMap;
use std::sync::Mutex as StdMutex;

use proptest::prelude::*;

use super::*;

/// Records in memory; fails on demand.
#[derive(Default)]
pub(crate) struct MemoryTokens {
    records: StdMutex<BTreeMap<TokenId, TokenRecord>>,
    pub(crate) broken: std::sync::atomic::AtomicBool,
}

impl MemoryTokens {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<TokenId, TokenRecord>) -> T) -> Result<T, TokenError> {
        if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(TokenError::Store("disk on fire".into()));
        }
        Ok(act(&mut self.records.lock().unwrap()))
    }
}

impl TokenStore for MemoryTokens {
    fn put(&self, record: TokenRecord) -> BoxFuture<'_, Result<(), TokenError>> {
        Box::pin(async move { self.with(|records| drop(records.insert(record.id, record))) })
    }
    fn get(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, TokenError>> {
        Box::pin(async move { self.with(|records| records.get(&id).cloned()) })
    }
    fn all(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, TokenError>> {
        Box::pin(async move { self.with(|records| records.values().cloned().collect()) })
    }
}

fn tokens() -> (Arc<MemoryTokens>, Tokens) {
    let store = Arc::new(MemoryTokens::default());
    (Arc::clone(&store), Tokens::new(store))
}

fn wanted() -> NewToken {
    NewToken { name: "Fachverfahren".into(), scopes: [Scope::Read].into(), federations: None, expires_s: Some(200) }
}

#[tokio::test]
async fn a_token_is_good_until_it_expires() {
    let (_, tokens) = tokens();
    let (secret, record) = tokens.create(wanted(), 100).await.unwrap();
    assert!(is_token(secret.reveal()) && secret.reveal().len() == 47);
    let grant = tokens.verify(secret.reveal(), 199).await.unwrap().unwrap();
    assert_eq!((grant.id, grant.name.as_str()), (record.id, "Fachverfahren"));
    assert_eq!(tokens.verify(secret.reveal(), 200).await.unwrap(), Err(Denied::Expired));
}

#[tokio::test]
async fn a_revoked_token_stays_revoked() {
    let (_, tokens) = tokens();
    let (secret, record) = tokens.create(wanted(), 100).await.unwrap();
    assert_eq!(tokens.revoke(record.id, 120).await.unwrap().revoked_s, Some(120));
    assert_eq!(tokens.revoke(record.id, 130).await.unwrap().revoked_s, Some(120));
    assert_eq!(tokens.verify(secret.reveal(), 150).await.unwrap(), Err(Denied::Revoked));
    let other = "0011223344556677".parse().unwrap();
    assert_eq!(tokens.revoke(other, 1).await.unwrap_err(), TokenError::Unknown(other));
}

#[tokio::test]
async fn a_token_with_the_same_id_but_another_hash_is_refused() {
    let (store, tokens) = tokens();
    let (secret, mut record) = tokens.create(wanted(), 100).await.unwrap();
    record.hash.0[31] ^= 1;
    store.put(record).await.unwrap();
    assert_eq!(tokens.verify(secret.reveal(), 150).await.unwrap(), Err(Denied::Invalid));
}

#[tokio::test]
async fn near_misses_are_invalid() {
    let (_, tokens) = tokens();
    let (secret, _) = tokens.create(wanted(), 100).await.unwrap();
    let good = secret.reveal();
    for bad in ["", "vbt_", &good[1..], &format!("{good}A"), &good.replace("vbt_", "VBT_"), &format!("{good} ")] {
        assert_eq!(tokens.verify(bad, 150).await.unwrap(), Err(Denied::Invalid), "{bad}");
    }
    let mut changed = good.to_owned().into_bytes();
    changed[10] = if changed[10] == b'A' { b'B' } else { b'A' };
    assert_eq!(tokens.verify(std::str::from_utf8(&changed).unwrap(), 150).await.unwrap(), Err(Denied::Invalid));
}

#[tokio::test]
async fn a_failing_store_is_an_error_and_lets_nobody_in() {
    let (store, tokens) = tokens();
    let (secret, _) = tokens.create(wanted(), 100).await.unwrap();
    store.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(tokens.verify(secret.reveal(), 150).await.is_err());
    assert!(tokens.create(wanted(), 100).await.is_err());
}

#[tokio::test]
async fn broken_rules_are_named() {
    let (_, tokens) = tokens();
    type Change = Box<dyn Fn(&mut NewToken)>;
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|n| n.name.clear()), "name"),
        (Box::new(|n| n.name = "x".repeat(65)), "name"),
        (Box::new(|n| n.name = "a\nb".into()), "name"),
        (Box::new(|n| n.name = "vbt_abc".into()), "vbt_"),
        (Box::new(|n| n.scopes.clear()), "scope"),
        (Box::new(|n| n.federations = Some(BTreeSet::new())), "federations"),
        (Box::new(|n| n.expires_s = Some(100)), "expiry"),
    ];
    for (change, word) in cases {
        let mut new = wanted();
        change(&mut new);
        let error = tokens.create(new, 100).await.unwrap_err();
        assert!(matches!(&error, TokenError::Refused(rule) if rule.contains(word)), "{error}");
    }
}

#[tokio::test]
async fn the_number_of_tokens_is_bounded() {
    let (store, tokens) = tokens();
    let (_, record) = tokens.create(wanted(), 100).await.unwrap();
    for n in 1..TOKENS_MAX as u64 {
        store.put(TokenRecord { id: TokenId(n.to_be_bytes()), ..record.clone() }).await.unwrap();
    }
    assert!(matches!(tokens.create(wanted(), 100).await, Err(TokenError::Refused(_))));
}

#[tokio::test]
async fn neither_debug_nor_the_store_shows_the_secret() {
    let (store, tokens) = tokens();
    let (secret, record) = tokens.create(wanted(), 100).await.unwrap();
    let hidden = &secret.reveal()[4..];
    let stored = serde_json::to_string(&store.all().await.unwrap()).unwrap();
    for shown in [format!("{secret:?}"), format!("{record:?}"), stored.clone()] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(!format!("{record:?}").contains(&record.hash.to_hex()));
    assert_eq!(serde_json::from_str::<Vec<TokenRecord>>(&stored).unwrap(), vec![record]);
}

#[test]
fn a_federation_scope_is_a_fence() {
    let (mitte, sued): (Slug, Slug) = ("mitte".parse().unwrap(), "sued".parse().unwrap());
    let id = "0011223344556677".parse().unwrap();
    let grant = |scopes: &[Scope], federations| {
        Reader::Token(Grant { id, name: "x".into(), scopes: scopes.iter().copied().collect(), federations })
    };
    let one = grant(&[Scope::Read], Some([mitte.clone()].into()));
    assert!(one.may_read(&mitte) && !one.may_read(&sued));
    assert!(grant(&[Scope::Read], None).may_read(&sued));
    assert!(!grant(&[], None).may_read(&sued));
}

#[test]
fn tokens_in_the_wrong_place_are_redacted() {
    assert_eq!(redact("/api/v1/x"), "/api/v1/x");
    assert_eq!(redact("/api/vbt_AbC-_9/x/vbt_zz"), "/api/vbt_…/x/vbt_…");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redaction_leaves_nothing_of_a_token(before in "[a-z/]{0,8}", secret in "[A-Za-z0-9_-]{43}", after in "[/?][a-z/]{0,8}") {
        let shown = redact(&format!("{before}vbt_{secret}{after}"));
        prop_assert!(!shown.contains(&secret[8..]));
    }
}
