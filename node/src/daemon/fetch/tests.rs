//! Who gets an artifact.

use verbund_protocol::codec;
use verbund_protocol::view::rows::Table;
use verbund_protocol::view::state::{Audience, key};

use super::super::scrub::tests::{Catalogue, MEMBER};
use super::*;

const OTHER: MemberId = MemberId([8; 32]);

#[test]
fn an_artifact_is_served_where_a_release_that_the_peer_may_have_refers_to_it() {
    let (a, b, elsewhere) = (Blake3([1; 32]), Blake3([2; 32]), Blake3([3; 32]));
    let mut mitte = Catalogue::new();
    mitte.release(3, &[a]);
    let mut secret = mitte.release(4, &[b]);
    secret.audience = Audience::Members(vec!["de-rp".into()]);
    mitte.put(Table::Releases, key::release(&MEMBER, &secret.slug, &secret.version), codec::encode(&secret).unwrap());
    // Another federation of the same node, with artifacts of its own in the same store.
    let mut sued = Catalogue::new();
    sued.release(3, &[elsewhere]);

    let asked = |catalogue: &Catalogue, member, handle, hash| refers(&catalogue.0, &member, handle, &hash).unwrap();
    assert_eq!(asked(&mitte, OTHER, "de-sl", a), Decision::Serve);
    assert_eq!(asked(&mitte, OTHER, "de-rp", b), Decision::Serve);
    assert_eq!(asked(&mitte, OTHER, "de-sl", b), Decision::NotAllowed);
    assert_eq!(asked(&mitte, MEMBER, "de-he", b), Decision::Serve, "its owner may always have it");
    // What only the other one refers to looks like what does not exist.
    assert_eq!(asked(&mitte, OTHER, "de-rp", elsewhere), Decision::NotFound);
    assert_eq!(asked(&mitte, MEMBER, "de-he", elsewhere), Decision::NotFound);
    assert_eq!(asked(&sued, OTHER, "de-rp", a), Decision::NotFound);
    // Nor is what its publisher asks to delete.
    let gone = mitte.release(5, &[Blake3([4; 32])]);
    mitte.erase(&gone);
    assert_eq!(asked(&mitte, OTHER, "de-rp", Blake3([4; 32])), Decision::NotFound);
}

#[tokio::test]
async fn what_lies_here_is_held_only_if_it_is_what_the_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path(), crate::blobs::Options::default()).unwrap();
    blobs.import_bytes(b"bytes".to_vec()).await.unwrap();
    let me = PeerId(verbund_protocol::ids::PublicKey([1; 32]));
    let fetcher = Fetcher::new(blobs, me, Arc::default());
    let order = |sha256, size| FetchOrder { tag: 1, from: me, hash: Blake3::of(b"bytes"), sha256, size };
    let good = Sha256::of(b"bytes");
    fetcher.held(&order(good, 5)).await.unwrap();
    for wrong in [order(Sha256::of(b"other"), 5), order(good, 6)] {
        let refused = fetcher.held(&wrong).await.unwrap_err();
        assert!(matches!(&refused, CoreError::Refused(why) if why.contains("the manifest is wrong")), "{refused:?}");
    }
    let absent = FetchOrder { hash: Blake3::of(b"absent"), ..order(good, 5) };
    assert!(matches!(fetcher.held(&absent).await, Err(CoreError::Refused(_))));
}
