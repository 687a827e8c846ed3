use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::codec;
use crate::testing::cases;

/// That `value` has one text and one binary form, 32 bytes without length.
fn forms<T>(value: &T, bytes: &[u8; 32])
where
    T: Serialize + DeserializeOwned + fmt::Display + FromStr<Err = IdError> + PartialEq + fmt::Debug,
{
    let text = value.to_string();
    assert_eq!(text.parse::<T>().as_ref(), Ok(value));
    assert_eq!(serde_json::to_value(value).unwrap(), serde_json::Value::from(text.as_str()));
    assert_eq!(serde_json::from_value::<T>(text.into()).unwrap(), *value);
    assert_eq!(codec::encode(value).unwrap(), bytes);
    assert_eq!(codec::decode::<T>(bytes, 32).as_ref(), Ok(value));
}

#[test]
fn every_name_has_one_text() {
    let good = format!("sha256:{}", "0a".repeat(32));
    assert!(good.parse::<Sha256>().is_ok());
    for bad in [
        good.to_uppercase(),
        good.replace("0a", "0A"),
        good[7..].to_owned(),
        good.replace("sha256", "blake3"),
        good[..70].to_owned(),
        format!("{good}0"),
        format!(" {good}"),
        good.replace("0a", "0g"),
        String::new(),
    ] {
        assert!(bad.parse::<Sha256>().is_err(), "{bad}");
    }
    assert!(good.parse::<MemberId>().is_err() && good.parse::<FederationId>().is_err());
    assert_eq!(Sha256::from_hex(&"0a".repeat(32)), good.parse());
    assert!(Sha256::from_hex(&"0A".repeat(32)).is_err());
    // What is shown of a refused text is cut.
    assert!("x".repeat(10_000).parse::<Sha256>().unwrap_err().to_string().len() < 250);
}

#[test]
fn a_peer_id_is_an_ed25519_key_and_no_other() {
    let peer = PeerId(PublicKey([7; 32]));
    assert!(peer.to_string().starts_with("12D3KooW"));
    assert_eq!(PeerId::from_multihash(&peer.to_multihash()), Ok(peer));
    let good = peer.to_multihash();
    assert!(PeerId::from_multihash(&good[..37]).is_err());
    assert!(PeerId::from_multihash(&[good.as_slice(), &[0]].concat()).is_err());
    for at in 0..6 {
        let mut other = good;
        other[at] ^= 1;
        assert!(PeerId::from_multihash(&other).is_err(), "byte {at}");
    }
    for bad in
        ["", "12D3KooW", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", &format!("1{peer}"), &"1".repeat(1_000)]
    {
        assert!(bad.parse::<PeerId>().is_err(), "{bad}");
    }
}

#[test]
fn handles_and_slugs_are_short_and_plain() {
    for good in ["de", "de-he", "a1", "de--he", &"a".repeat(32)] {
        assert!(good.parse::<Handle>().is_ok(), "{good}");
    }
    for bad in ["", "d", "1a", "-a", "a-", "DE", "de_he", "dé", "a b", "a.b", &"a".repeat(33)] {
        assert!(bad.parse::<Handle>().is_err(), "{bad}");
    }
    for good in ["a", "1", "1-a", &"a".repeat(64)] {
        assert!(good.parse::<Slug>().is_ok(), "{good}");
    }
    for bad in ["", "-", "-a", "a-", "A", "a/b", "a\0", "ß", &"a".repeat(65)] {
        assert!(bad.parse::<Slug>().is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<Slug>("\"A\"").is_err());
    assert!(codec::decode::<Handle>(&codec::encode(&"DE").unwrap(), 99).is_err());
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn names_survive_every_form(bytes: [u8; 32], text: String) {
        forms(&Sha256(bytes), &bytes);
        forms(&Blake3(bytes), &bytes);
        forms(&MemberId(bytes), &bytes);
        forms(&FederationId(bytes), &bytes);
        forms(&PublicKey(bytes), &bytes);
        forms(&PeerId(PublicKey(bytes)), &bytes);
        if let Ok(peer) = text.parse::<PeerId>() {
            prop_assert_eq!(peer.to_string(), text);
        }
    }
}
