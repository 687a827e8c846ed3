//! A long line on loopback: whoever dials the proxy reaches a node with a delay and no more than so many bytes a second.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Chunks under way on one connection and direction; with [`CHUNK`] the longest queue.
const QUEUE: usize = 1_024;
const CHUNK: usize = 16 << 10;

/// What a line is like, in each direction.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Until a byte arrives.
    pub delay: Duration,
    /// Bytes a second.
    pub rate: u64,
}

/// Forwards all connections over such a line, for as long as this process lives; the address to dial. Where to, it asks at each
/// connection, which is closed if there is no answer.
///
/// # Panics
/// If there is no port.
pub fn line(target: impl Fn() -> Option<SocketAddr> + Send + 'static, line: Line) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Some(Ok(far)) = target().map(TcpStream::connect) else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                carry(from, to, line);
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, to: TcpStream, line: Line) {
    let (tx, rx) = sync_channel(QUEUE);
    std::thread::spawn(move || deliver(to, &rx, line));
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            if tx.send((Instant::now(), chunk[..n].to_vec())).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Read);
    });
}

fn deliver(mut to: TcpStream, chunks: &Receiver<(Instant, Vec<u8>)>, line: Line) {
    let mut free = Instant::now();
    while let Ok((sent, bytes)) = chunks.recv() {
        // Behind what is on the line already, and not before the delay is over.
        free = free.max(sent) + Duration::from_secs_f64(bytes.len() as f64 / line.rate as f64);
        std::thread::sleep((free + line.delay).saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
