//! `/verbund/1/blob`, both sides: what a stranger's request gets out of a holder, and what a lying holder gets into a store.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use verbund::blobs::transfer::{
    Decision, FetchError, FetchLimits, Request, Response, ServeLimits, Served, fetch_once, serve,
};
use verbund::blobs::{BlobStore, Expect, Options};
use verbund_protocol::codec;
use verbund_protocol::ids::{Blake3, Sha256};

use crate::check::refused;

/// Three groups of 16 KiB, the last one short; and a file smaller than anything.
const SIZES: [usize; 2] = [33_000, 5];

fn artifact(which: usize) -> Vec<u8> {
    (0..SIZES[which % 2]).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

fn expect(data: &[u8]) -> Expect {
    Expect { hash: Blake3::of(data), size: data.len() as u64, sha256: Some(Sha256::of(data)) }
}

/// A stream whose other side said all that it will say.
struct Said<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl AsyncRead for Said<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = buf.len().min(self.input.len());
        let (head, rest) = self.input.split_at(n);
        buf[..n].copy_from_slice(head);
        self.input = rest;
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Said<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.output.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A holder of both artifacts, and a store that holds nothing between two runs.
struct Stores {
    runtime: Runtime,
    holder: BlobStore,
    empty: BlobStore,
    _dirs: [TempDir; 2],
}

thread_local! {
    static STORES: RefCell<Option<Stores>> = const { RefCell::new(None) };
}

fn with_stores<T>(run: impl FnOnce(&Stores) -> T) -> T {
    STORES.with(|stores| {
        let mut stores = stores.borrow_mut();
        run(stores.get_or_insert_with(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let dirs = [super::folder(), super::folder()];
            let options = Options { floor_bytes: 0, ..Options::default() };
            let [holder, empty] = [0, 1].map(|n| BlobStore::open(dirs[n].path(), options.clone()).unwrap());
            runtime.block_on(async {
                for which in 0..2 {
                    holder.import_bytes(artifact(which)).await.unwrap();
                }
            });
            Stores { runtime, holder, empty, _dirs: dirs }
        }))
    })
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&[1][..], &u16::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

/// What the holder answers.
fn answer(stores: &Stores, request: &[u8]) -> (Result<Served, String>, Vec<u8>) {
    let mut stream = Said { input: request, output: Vec::new() };
    let served =
        stores.runtime.block_on(serve(&mut stream, &stores.holder, |_| Decision::Serve, &ServeLimits::default()));
    (served.map_err(|e| e.to_string()), stream.output)
}

/// A holder answers with a frame, and with verified bytes of what was asked for, once at most. A request without its head is given
/// one.
pub fn blob_request(data: &[u8]) {
    let request = if data.first() == Some(&1) { data.to_vec() } else { frame(&data[..data.len().min(8 << 10)]) };
    with_stores(|stores| {
        let (served, output) = answer(stores, &request);
        assert_eq!(answer(stores, &request), (served.clone(), output.clone()), "answered in two ways");
        let most = SIZES[0] + 64 * 8 + 67;
        assert!(output.len() <= most, "{} bytes are sent", output.len());
        let Ok(served) = served.inspect_err(refused) else { return };
        let (head, rest) = output.split_first_chunk::<3>().expect("who is answered is answered with a frame");
        let len = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let response = codec::decode::<Response>(&rest[..len], 64).unwrap();
        assert!(head[0] == 1 && matches!(response, Response::Ok { .. }) == matches!(served, Served::Sent { .. }));
    });
}

fn honest(which: usize) -> &'static [u8] {
    static HONEST: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let all = HONEST.get_or_init(|| {
        with_stores(|stores| {
            [0, 1].map(|which| {
                let Expect { hash, size, .. } = expect(&artifact(which));
                let request = Request { hash, size, ranges: Vec::new() };
                answer(stores, &frame(&codec::encode(&request).unwrap())).1
            })
        })
    });
    &all[which % 2]
}

/// The first byte chooses the artifact, and whether the rest is the holder's answer or edits of an honest one. Nothing wrong is
/// ever taken; and whatever a liar left behind, an honest holder completes it.
pub fn blob_stream(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let which = usize::from(how % 2);
    let content = artifact(which);
    let (expect, honest) = (expect(&content), honest(which));
    let input = if how % 4 < 2 { rest.to_vec() } else { edited(honest, rest) };
    with_stores(|stores| {
        let store = &stores.empty;
        let limits = FetchLimits::default();
        let fetch = |input: &[u8]| {
            let stream = Said { input, output: Vec::new() };
            stores.runtime.block_on(fetch_once(stream, store, expect, &limits))
        };
        let fetched = fetch(&input);
        assert_eq!(store.has(&expect.hash), fetched.is_ok());
        match fetched {
            Ok(fetched) => assert_eq!(fetched.size, expect.size),
            Err(FetchError::Local(error)) => panic!("a stranger's bytes are no fault of this node: {error}"),
            Err(error) => {
                refused(&error);
                // The holder is asked for what is missing only, so that its answer is made anew.
                let mut stream = Relay { stores, asked: Vec::new(), answer: None };
                stores.runtime.block_on(fetch_once(&mut stream, store, expect, &limits)).unwrap();
            }
        }
        let read = stores.runtime.block_on(store.read(&expect.hash, u64::MAX)).unwrap();
        assert!(read == content, "other bytes than those that were expected");
        stores.runtime.block_on(store.delete(&expect.hash)).unwrap();
        assert!(!store.has(&expect.hash));
    });
}

fn edited(honest: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut out = honest.to_vec();
    for edit in edits.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % out.len().max(1);
        match edit[2] % 4 {
            0 | 1 if !out.is_empty() => out[at] ^= edit[3],
            2 => out.truncate(at),
            _ => out.insert(at, edit[3]),
        }
    }
    out
}

/// Asks the honest holder whatever it is asked.
struct Relay<'a> {
    stores: &'a Stores,
    asked: Vec<u8>,
    answer: Option<(Vec<u8>, usize)>,
}

impl AsyncRead for &mut Relay<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.answer.is_none() {
            let asked = std::mem::take(&mut self.asked);
            let mut stream = Said { input: &asked, output: Vec::new() };
            let limits = ServeLimits::default();
            let mut serving = Box::pin(serve(&mut stream, &self.stores.holder, |_| Decision::Serve, &limits));
            // Inside of the runtime already: polled to its end here.
            while serving.as_mut().poll(cx).is_pending() {
                std::thread::yield_now();
            }
            drop(serving);
            self.answer = Some((stream.output, 0));
        }
        let Some((answer, at)) = &mut self.answer else { return Poll::Ready(Ok(0)) };
        let n = buf.len().min(answer.len() - *at);
        buf[..n].copy_from_slice(&answer[*at..*at + n]);
        *at += n;
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for &mut Relay<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.asked.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    use verbund::blobs::transfer::{ByteRange, Refusal};
    if target == "blob_request" {
        let range = |start, end| ByteRange { start, end };
        let group = 16_384;
        let sets = [vec![], vec![range(0, group)], vec![range(0, group), range(2 * group, 33_000)], vec![range(5, 6)]];
        let ask = |which: usize, size: u64, ranges: &Vec<ByteRange>| {
            let request = Request { hash: Blake3::of(&artifact(which)), size, ranges: ranges.clone() };
            frame(&codec::encode(&request).unwrap())
        };
        let held = sets.iter().map(|ranges| ask(0, 33_000, ranges)).chain([ask(1, 5, &vec![]), ask(0, 7, &vec![])]);
        return held.chain([ask(1, 5, &vec![range(0, 5)]), vec![2, 0, 0], vec![1, 255, 255], vec![]]).collect();
    }
    let refusals =
        [Refusal::NotFound, Refusal::Busy, Refusal::SizeDiffers { size: 6 }, Refusal::SizeDiffers { size: u64::MAX }];
    let refusals = refusals.map(|refusal| frame(&codec::encode(&Response::Refused(refusal)).unwrap()));
    let mut out: Vec<Vec<u8>> = refusals.iter().map(|refusal| [&[0][..], refusal].concat()).collect();
    for which in 0..2_u8 {
        out.push([&[which][..], honest(which.into())].concat());
        out.extend([
            vec![2 + which],
            vec![2 + which, 80, 0, 0, 1],
            vec![2 + which, 0, 70, 2, 0],
            vec![2 + which, 7, 0, 3, 9],
        ]);
    }
    out
}
