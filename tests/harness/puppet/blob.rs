//! How the puppet serves artifacts: its own, or those of an honest holder with a twist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use verbund::blobs::transfer::{Refusal, Request, Response};
use verbund::net::{BlobStream, BlobStreams, NetHandle};
use verbund_protocol::codec;
use verbund_protocol::ids::{Blake3, PeerId};

use super::Stage;

/// What becomes of a request for an artifact.
#[derive(Debug, Clone, Default)]
pub enum Serving {
    /// It is told that nothing is here.
    #[default]
    Nothing,
    /// These artifacts are served as they are; each of at most one group (16 KiB), which needs no hashes.
    Own(BTreeMap<Blake3, Vec<u8>>),
    /// What `from` serves, with this byte of the answer's data turned around: what is before it is right.
    Flip {
        /// An honest holder.
        from: PeerId,
        /// Which byte of the encoding; the last one if it is shorter.
        at: usize,
    },
    /// What `from` serves, and after so many bytes the end.
    Early {
        /// An honest holder.
        from: PeerId,
        /// Bytes of the encoding.
        bytes: usize,
    },
    /// What `from` serves, and after so many bytes nothing more.
    Stall {
        /// An honest holder.
        from: PeerId,
        /// Bytes of the encoding.
        bytes: usize,
    },
    /// Another size than asked for, with no proof of it.
    Size,
}

pub(super) async fn serve(net: NetHandle, mut streams: BlobStreams, stage: Arc<Mutex<Stage>>) {
    while let Some((_, stream)) = streams.next().await {
        let (net, stage) = (net.clone(), stage.clone());
        // A stream that breaks is the other side's decision.
        tokio::spawn(async move { drop(one(net, stream, &stage).await) });
    }
}

async fn one(net: NetHandle, mut stream: BlobStream, stage: &Mutex<Stage>) -> std::io::Result<()> {
    let asked = read_frame(&mut stream).await?;
    let request: Request = codec::decode(&asked, asked.len()).map_err(std::io::Error::other)?;
    let serving = {
        let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.asked.push(request.size);
        stage.serving.clone()
    };
    let (from, cut, flip) = match serving {
        Serving::Nothing => return say(stream, Response::Refused(Refusal::NotFound), &[]).await,
        Serving::Size => return say(stream, Response::Ok { size: request.size + 1 }, &[7; 64]).await,
        Serving::Own(all) => {
            return match all.get(&request.hash) {
                Some(bytes) => say(stream, Response::Ok { size: request.size }, bytes).await,
                None => say(stream, Response::Refused(Refusal::NotFound), &[]).await,
            };
        }
        Serving::Flip { from, at } => (from, usize::MAX, Some(at)),
        Serving::Early { from, bytes } | Serving::Stall { from, bytes } => (from, bytes, None),
    };
    let mut honest = net.open_blob(from).await.map_err(std::io::Error::other)?;
    honest.write_all(&frame(&request)).await?;
    honest.flush().await?;
    let response = read_frame(&mut honest).await?;
    let mut data = Vec::new();
    honest.read_to_end(&mut data).await?;
    let last = data.len().saturating_sub(1);
    match flip {
        Some(at) => {
            if let Some(byte) = data.get_mut(at.min(last)) {
                *byte ^= 0x40;
            }
        }
        None => data.truncate(cut.min(last)),
    }
    stream.write_all(&framed(&response)).await?;
    stream.write_all(&data).await?;
    stream.flush().await?;
    if matches!(serving, Serving::Stall { .. }) {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}

async fn say(mut stream: BlobStream, response: Response, data: &[u8]) -> std::io::Result<()> {
    stream.write_all(&frame(&response)).await?;
    stream.write_all(data).await?;
    stream.shutdown().await
}

/// A message as it travels: version, length, body.
pub(super) fn frame(message: &impl serde::Serialize) -> Vec<u8> {
    framed(&codec::encode(message).expect("a message"))
}

fn framed(body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("a short message").to_le_bytes();
    [[1].as_slice(), &len, body].concat()
}

async fn read_frame(stream: &mut BlobStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 3];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
