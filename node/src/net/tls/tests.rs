//! The handshake with itself and with libp2p's own, from both sides.

use std::future::Future;

use libp2p::tls;
use tokio::io::{DuplexStream, duplex};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;

type Pipe = Compat<DuplexStream>;

fn pipe() -> (Pipe, Pipe) {
    let (one, other) = duplex(64 << 10);
    (one.compat(), other.compat())
}

/// Whom the dialler and the listener take each other for.
async fn shake<S, R>(
    dialler: impl Future<Output = Result<(PeerId, S), impl std::fmt::Debug>>,
    listener: impl Future<Output = Result<(PeerId, R), impl std::fmt::Debug>>,
) -> ((PeerId, S), (PeerId, R)) {
    let (dialler, listener) = tokio::join!(dialler, listener);
    let unwrap = "the handshake succeeds";
    (dialler.map_err(|e| format!("{e:?}")).expect(unwrap), listener.map_err(|e| format!("{e:?}")).expect(unwrap))
}

#[tokio::test]
async fn two_nodes_prove_their_keys_and_choose_aes() {
    let (here, there) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (near, far) = pipe();
    let dialler = Config::new(&here).unwrap().upgrade_outbound(near, "");
    let listener = Config::new(&there).unwrap().upgrade_inbound(far, "");
    let ((seen_there, stream), (seen_here, _)) = shake(dialler, listener).await;
    assert_eq!((seen_here, seen_there), (here.public().to_peer_id(), there.public().to_peer_id()));
    assert_eq!(stream.get_ref().get_ref().1.negotiated_cipher_suite(), Some(cipher_suite::TLS13_AES_128_GCM_SHA256));
}

#[tokio::test]
async fn a_node_with_the_librarys_own_tls_is_understood_from_both_sides() {
    let (here, there) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (near, far) = pipe();
    let dialler = tls::Config::new(&here).unwrap().upgrade_outbound(near, "");
    let listener = Config::new(&there).unwrap().upgrade_inbound(far, "");
    let ((seen_there, _), (seen_here, _)) = shake(dialler, listener).await;
    assert_eq!((seen_here, seen_there), (here.public().to_peer_id(), there.public().to_peer_id()));
    let (near, far) = pipe();
    let dialler = Config::new(&here).unwrap().upgrade_outbound(near, "");
    let listener = tls::Config::new(&there).unwrap().upgrade_inbound(far, "");
    let ((seen_there, _), (seen_here, _)) = shake(dialler, listener).await;
    assert_eq!((seen_here, seen_there), (here.public().to_peer_id(), there.public().to_peer_id()));
}

/// What a dialler makes of a listener that shows this certificate and signs with this secret.
async fn dialled(shown: CertificateDer<'static>, secret: PrivateKeyDer<'static>) -> Result<PeerId, Error> {
    let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Verifier))
        .with_cert_resolver(own((shown, secret)).unwrap());
    server.alpn_protocols = vec![ALPN.to_vec()];
    let (near, far) = pipe();
    let dialler = Config::new(&Keypair::generate_ed25519()).unwrap().upgrade_outbound(near, "");
    let listener = TlsAcceptor::from(Arc::new(server)).accept(far);
    let (dialled, _) = tokio::join!(dialler, listener);
    dialled.map(|(peer, _)| peer)
}

#[tokio::test]
async fn who_shows_anothers_certificate_or_a_broken_proof_is_refused() {
    let (honest, liar) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (shown, secret) = certificate::generate(&honest).unwrap();
    assert_eq!(dialled(shown.clone(), secret.clone_key()).await.unwrap(), honest.public().to_peer_id());
    // The certificate of one, the secret of another.
    let (_, other) = certificate::generate(&liar).unwrap();
    assert!(matches!(dialled(shown.clone(), other).await, Err(Error::Handshake(_))));
    // The extension holds the signature by the node's key; one flipped bit takes the proof away.
    let mut der = shown.as_ref().to_vec();
    let oid: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xa2, 0x5a, 0x01, 0x01];
    let at = der.windows(oid.len()).position(|w| w == oid).unwrap();
    der[at + oid.len() + 60] ^= 1;
    assert!(matches!(dialled(CertificateDer::from(der), secret).await, Err(Error::Handshake(_))));
}
