//! Programs to begin with.

use verbund_protocol::codec;
use verbund_protocol::envelope::Envelope;
use verbund_protocol::wire::join::{Progress, Refused, Response};

use super::members::TYPES;
use super::world::{Heard, world};

/// One program for each thing that was heard, and one for each instruction.
pub fn seeds(_: &str) -> Vec<Vec<u8>> {
    let world = world();
    let number = |n: usize| u16::try_from(n).unwrap().to_le_bytes();
    let part = |bytes: &[u8]| [&number(bytes.len())[..], bytes].concat();
    let replay = |n: usize| [&[3][..], &number(n), &[3, 0, 0, 0]].concat();
    // All that was said, in order, to a node that begins.
    let steps = (0..world.heard.len()).step_by(24);
    let mut out: Vec<Vec<u8>> = steps
        .map(|from| {
            let replays: Vec<_> = (from..(from + 24).min(world.heard.len())).map(replay).collect();
            [vec![0, 1, 1, 1, 2], replays.concat(), vec![0, 100, 1]].concat()
        })
        .collect();
    let head = 1 + world.federation.0.len();
    for heard in world.heard.iter().step_by(5) {
        // As bytes, so that they can be mutated inside.
        let (kind, bytes) = match heard {
            Heard::Gossip(_, bytes) => (vec![5, 1, 1], bytes),
            Heard::Request(_, bytes) => (vec![6, 1, 1], bytes),
            Heard::Answer(bytes) => (vec![7, 0, 0, 1], bytes),
        };
        if bytes.len() < 12 << 10 {
            out.push([vec![1], kind, part(&bytes[head.min(bytes.len())..])].concat());
        }
    }
    for (n, leaf) in world.leaves.iter().enumerate() {
        let envelope = Envelope::parse(leaf).unwrap();
        let signer = u8::try_from(n % 4).unwrap();
        let payload_type = TYPES.iter().position(|t| *t == envelope.payload_type()).unwrap();
        let made =
            [&[1, 10, 0, 0, 1][..], &number(payload_type), &part(envelope.payload()), &[signer, 0, 9, 0]].concat();
        out.push(made);
        out.push([&[1, 10, 0, 0, 2][..], &number(n), &[10, 0, 0xf0, 2], &number(n), &[0, 9, 0]].concat());
        out.push(
            [&[1, 10, 0, 0, 3][..], &number(n), &[60, 0, 3], &part(b"\"x\":1,"), &[signer, 13, 0, 2], &number(n)]
                .concat(),
        );
    }
    // A newcomer is shown the charters, and told anything that the vectors have, or words that a terminal obeys.
    let words = "\u{1b}[2J\u{7}".repeat(600);
    let hostile = [
        Response::Refused(Refused::Invalid(words.clone())),
        Response::Refused(Refused::NotNow(words.clone())),
        Response::Progress(Progress::Rejected { reason: words }),
    ];
    let hostile = hostile.map(|response| codec::encode(&response).unwrap());
    let told = crate::corpus::hex("wire/join_response.json", "hex");
    for body in told.iter().filter_map(|answer| answer.get(head..)).chain(hostile.iter().map(Vec::as_slice)) {
        if body.len() < 8 << 10 {
            out.push([&[3, 0, 100, 0, 20, 9, 1][..], &part(body), &[0, 0, 2, 9, 1], &part(body), &[0, 0, 3]].concat());
        }
    }
    // Votes of both others in three kinds, round after round, between ticks.
    let votes = (0..30_u8).map(|n| vec![19, n, n, n / 4, 100, if n % 3 == 0 { 2 } else { 0 }, 0, n, 0, 0, 50, 0]);
    out.push([vec![1], votes.flatten().collect()].concat());
    out.push(vec![1, 12, 0, 2, 2, 0, 0, 0, 12, 1, 1, 1, 9, 9, 0, 18, 0, 50, 0, 17, 1, 14, 0, 0, 3, 9]);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use verbund_protocol::view::state;
    use verbund_protocol::wire::{self, Gossip, sync};

    use super::*;

    /// What the target rests on: three members that know each other's logs, and traffic of every common kind.
    #[test]
    fn the_exchange_is_worth_changing() {
        let world = world();
        let mut kinds = BTreeSet::new();
        for heard in &world.heard {
            let (part, bytes) = match heard {
                Heard::Gossip(_, bytes) => ("gossip", bytes),
                Heard::Request(_, bytes) => ("request", bytes),
                Heard::Answer(bytes) => ("answer", bytes),
            };
            let federation = world.federation;
            let text = match part {
                "gossip" => format!("{:?}", wire::decode::<Gossip>(federation, bytes, 1 << 20).unwrap()),
                "request" => format!("{:?}", wire::decode::<sync::Request>(federation, bytes, 1 << 20).unwrap()),
                _ => format!("{:?}", wire::decode::<sync::Response>(federation, bytes, 1 << 20).unwrap()),
            };
            let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
            kinds.insert(format!("{part} {name}"));
        }
        let wanted = [
            "answer Documents",
            "answer Entries",
            "answer Mine",
            "answer Notes",
            "answer Status",
            "gossip Cosigned",
            "gossip Document",
            "gossip Log",
            "request Mine",
            "request Status",
        ];
        let missing: Vec<_> = wanted.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
        assert!(missing.is_empty(), "nobody said {missing:?}, but {kinds:?}");
        let logs = state::logs(&world.settled).unwrap();
        assert!(logs.len() == 3 && logs.iter().all(|(_, row)| row.judged >= 5), "{logs:?}");
        assert!(state::logs(&world.young).unwrap().is_empty());
    }
}
