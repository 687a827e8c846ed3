//! What the machine does without Verbund: TLS 1.3 with AES-128-GCM over loopback, BLAKE3, a file, fsync; a process at each end.
//! And how many signatures one core checks.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use verbund_protocol::keys::{self, SecretKey};

/// Names the file that a process of this program sends, instead of measuring.
pub const SENDER: &str = "VERBUND_BENCH_SEND";
/// Bytes moved at a time.
const CHUNK: usize = 256 << 10;

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

/// The sending process: says its port and certificate, then serves the file once.
pub fn send(path: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .expect("a configuration");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let hex: String = made.cert.der().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{port} {hex}");
    let (socket, _) = listener.accept().expect("a connection");
    socket.set_nodelay(true).expect("nodelay");
    let mut stream = StreamOwned::new(ServerConnection::new(config.into()).expect("a session"), socket);
    let mut go = [0];
    stream.read_exact(&mut go).expect("the word");
    let mut file = File::open(path).expect("the file");
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = file.read(&mut chunk).expect("the file");
        if n == 0 {
            break;
        }
        stream.write_all(&chunk[..n]).expect("the receiver");
    }
    stream.conn.send_close_notify();
    stream.flush().expect("the receiver");
}

/// Receives `path` from another process into a file in `dir`; seconds from the word to the end of fsync.
pub fn receive(path: &Path, dir: &Path) -> f64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(SENDER, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sender");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
    let (port, hex) = said.trim().split_once(' ').expect("port and certificate");
    let der: Vec<u8> =
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(der)).expect("a certificate");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a configuration")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(("127.0.0.1", port.parse().expect("a port"))).expect("the sender");
    socket.set_nodelay(true).expect("nodelay");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a session"), socket);
    stream.flush().expect("a handshake");
    let out = dir.join("yardstick");
    let start = Instant::now();
    stream.write_all(&[1]).expect("the word");
    let mut file = File::create(&out).expect("a file");
    let (mut hash, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK]);
    loop {
        // Whole chunks, as whoever writes this by hand would: hashing 16 KiB at a time costs half the speed.
        let mut filled = 0;
        while filled < CHUNK {
            match stream.read(&mut chunk[filled..]).expect("the sender") {
                0 => break,
                n => filled += n,
            }
        }
        hash.update(&chunk[..filled]);
        file.write_all(&chunk[..filled]).expect("the disk");
        if filled < CHUNK {
            break;
        }
    }
    let _ = std::hint::black_box(hash.finalize());
    file.sync_all().expect("the disk");
    let took = start.elapsed().as_secs_f64();
    let sent = path.metadata().expect("the file").len();
    assert_eq!(file.metadata().expect("the file").len(), sent, "all of it came");
    std::fs::remove_file(out).expect("the file goes");
    child.wait().expect("the sender ends");
    took
}

/// Ed25519 signatures over `len` bytes that one core checks strictly in a second.
pub fn signatures_per_s(len: usize) -> f64 {
    let key = SecretKey::from_seed(&[7; 32]);
    let signed: Vec<(Vec<u8>, [u8; 64])> = (0..64_u8)
        .map(|n| {
            let message = vec![n; len];
            let signature = key.sign(&message);
            (message, signature)
        })
        .collect();
    let (start, mut checked) = (Instant::now(), 0_u64);
    while start.elapsed().as_secs_f64() < 1.0 {
        for (message, signature) in &signed {
            assert!(keys::verify(&key.public(), message, signature), "a good signature");
            checked += 1;
        }
    }
    checked as f64 / start.elapsed().as_secs_f64()
}
