//! Golden vectors in `protocol/vectors/wire` and `protocol/vectors/ticket.json`.

use std::fmt::Debug;

use serde_json::Value;

use super::samples::*;
use super::*;
use crate::limits::{FRAME_MAX_BYTES, TICKET_MAX_BYTES};
use crate::record::{Batch, Record};
use crate::testing::{golden, outcome};
use crate::wire::ticket::{PREFIX, Ticket};

/// A frame, its bytes and what it says.
#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    /// The body in JSON, bytes as `hex:…`; for frames that decode.
    body: Option<Value>,
    hex: String,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    federation: FederationId,
    /// In the order of the variants, from 0.
    variants: Vec<Case>,
    /// Further values of variants.
    more: Vec<Case>,
    invalid: Vec<Case>,
}

/// JSON with byte strings as hex. Lists of numbers in samples have one over 255.
fn readable(value: Value) -> Value {
    match value {
        Value::Array(items) if !items.is_empty() && items.iter().all(|i| i.as_u64().is_some_and(|n| n < 256)) => {
            let bytes: Vec<u8> = items.iter().filter_map(|i| u8::try_from(i.as_u64()?).ok()).collect();
            Value::String(format!("hex:{}", hex::encode(bytes)))
        }
        Value::Array(items) => items.into_iter().map(readable).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, readable(v))).collect(),
        other => other,
    }
}

fn case<T: Serialize>(name: &str, body: &T) -> Case {
    Case {
        name: name.to_owned(),
        body: Some(readable(serde_json::to_value(body).unwrap())),
        hex: hex::encode(encode(federation(), body).unwrap()),
        error: None,
    }
}

/// Version and federation: what stands before the body.
const HEAD_BYTES: usize = 1 + 32;

/// Frames that no node takes, whatever the body is.
fn invalid<T: Serialize>(body: &T) -> Vec<(&'static str, Vec<u8>)> {
    let good = encode(federation(), body).unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("another version, whatever follows", [&[2], b"no body of version 1".as_slice()].concat()),
        ("version 0", with(0, 0)),
        ("another federation, whatever follows", [&with(1, 0)[..HEAD_BYTES], b"no body"].concat()),
        ("a variant that is not known", [&good[..HEAD_BYTES], &[0xfa]].concat()),
        ("a byte after it", [good.as_slice(), &[0]].concat()),
        ("its last byte cut", good[..good.len() - 1].to_vec()),
        ("no body", good[..HEAD_BYTES].to_vec()),
        ("nothing", Vec::new()),
    ]
}

fn check<T>(name: &str, variants: &[(&str, T)], more: &[(&str, T)], other: Vec<(&'static str, Vec<u8>)>)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let open = |bytes: &[u8]| decode::<T>(federation(), bytes, FRAME_MAX_BYTES);
    let longest = variants.iter().max_by_key(|(_, body)| encode(federation(), body).unwrap().len()).unwrap();
    let bad = invalid(&longest.1).into_iter().chain(other).map(|(name, bytes)| {
        let error = Some(outcome(open(&bytes)).unwrap_or_else(|| panic!("{name} is taken")));
        Case { name: name.to_owned(), body: None, hex: hex::encode(bytes), error }
    });
    let made = File {
        federation: federation(),
        variants: variants.iter().map(|(name, body)| case(name, body)).collect(),
        more: more.iter().map(|(name, body)| case(name, body)).collect(),
        invalid: bad.collect(),
    };
    let found: File = golden(&format!("wire/{name}.json"), &made);
    assert_eq!(found.federation, federation());
    for (at, case) in found.variants.iter().enumerate() {
        let bytes = hex::decode(&case.hex).unwrap();
        assert_eq!((bytes[0], usize::from(bytes[HEAD_BYTES])), (1, at), "{}: the number of its variant", case.name);
    }
    for (case, (_, body)) in found.variants.iter().chain(&found.more).zip(variants.iter().chain(more)) {
        let bytes = hex::decode(&case.hex).unwrap();
        let decoded = open(&bytes).unwrap();
        assert_eq!(&decoded, body, "{}", case.name);
        assert_eq!(encode(federation(), &decoded).unwrap(), bytes, "{}", case.name);
        assert_eq!(Some(readable(serde_json::to_value(&decoded).unwrap())), case.body, "{}", case.name);
    }
    for case in found.invalid {
        assert_eq!(outcome(open(&hex::decode(&case.hex).unwrap())), case.error, "{}", case.name);
    }
}

/// A frame whose body is put together by hand.
fn raw(variant: u8, body: &impl Serialize) -> Vec<u8> {
    let head = codec::encode(&(PROTOCOL_VERSION, federation(), variant)).unwrap();
    [head, codec::encode(body).unwrap()].concat()
}

#[test]
fn gossip() {
    let peer = PeerId(crate::ids::PublicKey([1; 32]));
    let none: [u8; 0] = [];
    let other = vec![
        ("2,049 leaves", raw(0, &(peer, none.as_slice(), 0_u64, vec![none.as_slice(); 2_049]))),
        ("a list that claims 2^63 elements", {
            let mut bytes = raw(3, &());
            bytes.extend([&[253], (1_u64 << 63).to_le_bytes().as_slice()].concat());
            bytes
        }),
        ("bytes that claim 16 MiB", [raw(2, &()), vec![252, 0, 0, 0, 1]].concat()),
        ("a part too short for an envelope", {
            let parts = vec![none.as_slice(); 1];
            raw(3, &vec![(none.as_slice(), Option::<Vec<u8>>::None, parts, Vec::<u8>::new(), Vec::<u8>::new())])
        }),
        ("257 missing releases", {
            let missing: Vec<u64> = (0..257).collect();
            raw(4, &(peer, 0_u64, vec![(peer, 300_u64, missing)], [0_u8; 32], [0_u8; 32]))
        }),
        ("301 logs", raw(4, &(peer, 0_u64, vec![(peer, 0_u64, Vec::<u64>::new()); 301], [0_u8; 32], [0_u8; 32]))),
    ];
    check("gossip", &samples::gossip(), &[], other);
}

#[test]
fn sync_request() {
    check("sync_request", &sync_requests(), &[], vec![]);
}

#[test]
fn sync_response() {
    let charter = (Vec::<u8>::new(), Vec::<u8>::new(), Vec::<u8>::new(), Vec::<u8>::new(), Vec::<u8>::new());
    let other = vec![
        ("257 charters", raw(3, &vec![charter; 257])),
        ("a document too short for an envelope", raw(4, &vec![vec![b' '; 46]])),
        ("a refusal that is not known", raw(10, &4_u8)),
    ];
    check("sync_response", &sync_responses(), &sync_refusals(), other);
}

#[test]
fn join_request() {
    let bare =
        (([1_u8; 16], [2_u8; 32]), vec![envelope("x"); 257], Vec::<u8>::new(), Vec::<u8>::new(), Vec::<u8>::new());
    check("join_request", &join_requests(), &[], vec![("257 identities", raw(1, &bare))]);
}

#[test]
fn join_response() {
    let more: Vec<_> = progresses().into_iter().chain(refusals()).collect();
    let other = vec![
        ("a handle in upper case", raw(3, &(3_u8, "DE-TH"))),
        ("151 voting members", raw(2, &(0_u8, vec![("de-he", true); 151], 2_u32))),
    ];
    check("join_response", &join_responses(), &more, other);
}

#[derive(Serialize, Deserialize)]
struct Records {
    /// In the order of the variants, from 0; each as `codec` writes it alone.
    records: Vec<Case>,
    locals: Vec<Case>,
    origins: Vec<Case>,
    batches: Vec<Case>,
}

fn record_case((name, record): &(&str, Record)) -> Case {
    let body = Some(readable(serde_json::to_value(record).unwrap()));
    Case { name: (*name).to_owned(), body, hex: hex::encode(codec::encode(record).unwrap()), error: None }
}

fn batches() -> Vec<(&'static str, Vec<u8>)> {
    let log = PeerId(crate::ids::PublicKey([7; 32]));
    let leaves = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
    let records =
        vec![Record::entries(log, 5, leaves), Record::Reset { log }, Record::entries(log, 8, vec![b"x".to_vec()])];
    let good = Batch { records }.encode().unwrap();
    let mut version = good.clone();
    version[0] = 2;
    let mut header = good.clone();
    header[1] ^= 0x80;
    vec![
        ("leaves stand behind the records", good.clone()),
        ("empty", Batch::default().encode().unwrap()),
        ("another version", version),
        ("a header longer than the batch", header),
        ("a leaf cut", good[..good.len() - 1].to_vec()),
        ("bytes after the last leaf", [good, b"y".to_vec()].concat()),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn records() {
    let batch = |(name, bytes): (&str, Vec<u8>)| {
        let error = outcome(Batch::decode(&bytes));
        Case { name: name.to_owned(), body: None, hex: hex::encode(bytes), error }
    };
    let made = Records {
        records: samples::records().iter().map(record_case).collect(),
        locals: locals().iter().map(record_case).collect(),
        origins: origins().iter().map(record_case).collect(),
        batches: batches().into_iter().map(batch).collect(),
    };
    let found: Records = golden("wire/record.json", &made);
    let samples = samples::records().into_iter().chain(locals()).chain(origins());
    for (case, (_, record)) in found.records.iter().chain(&found.locals).chain(&found.origins).zip(samples) {
        let bytes = hex::decode(&case.hex).unwrap();
        assert_eq!(codec::decode::<Record>(&bytes, 1 << 16).as_ref(), Ok(&record), "{}", case.name);
        assert_eq!(codec::encode(&record).unwrap(), bytes, "{}", case.name);
    }
    for (at, case) in found.records.iter().enumerate() {
        assert_eq!(usize::from(hex::decode(&case.hex).unwrap()[0]), at, "{}", case.name);
    }
    for (at, case) in found.locals.iter().enumerate() {
        assert_eq!(usize::from(hex::decode(&case.hex).unwrap()[1]), at, "{}", case.name);
    }
    for case in found.batches {
        let bytes = hex::decode(&case.hex).unwrap();
        let placed = Batch::decode(&bytes);
        assert_eq!(outcome(placed.as_ref()), case.error, "{}", case.name);
        if let Ok(placed) = placed {
            let records = placed.into_iter().map(|p| p.record).collect();
            assert_eq!(Batch { records }.encode().unwrap(), bytes, "{}", case.name);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct TicketCase {
    name: String,
    line: String,
    ticket: Option<Value>,
    error: Option<String>,
}

/// A line as [`Ticket::to_line`] makes it, around any content.
fn line(content: &[u8]) -> String {
    use base64::Engine as _;
    let bytes = [content, &Sha256::of(content).as_bytes()[..4]].concat();
    format!("{PREFIX}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn ticket() {
    let ticket = Ticket {
        federation: federation(),
        name: "OZG-Verbund Mitte".into(),
        charter: Sha256::of(b"charter"),
        peer: SecretKey::from_seed(&[1; 32]).peer(),
        addresses: vec!["verbund.example.org:4711".into(), "[2001:db8::7]:4711".into()],
        handle: "de-th".parse().unwrap(),
        id: "01".repeat(16),
        secret: "ab".repeat(32),
        expires_s: 1_800_000_000,
    };
    let good = ticket.to_line();
    let value = serde_json::to_value(&ticket).unwrap();
    let with = |key: &str, new: Value| {
        let mut value = value.clone();
        value[key] = new;
        line(&serde_json::to_vec(&value).unwrap())
    };
    let (head, last) = good.split_at(good.len() - 1);
    let cases = vec![
        ("as it is handed over", good.clone()),
        ("with spaces and a line break around it", format!("  {good}\r\n")),
        ("with a key that is not known", with("later", 1.into())),
        ("without addresses", with("addresses", Value::Array(vec![]))),
        ("without its last character", head.to_owned()),
        ("mistyped", format!("{head}{}", if last == "A" { "B" } else { "A" })),
        ("another prefix", good.replacen(PREFIX, "verbund2_", 1)),
        ("nothing after the prefix", PREFIX.to_owned()),
        ("too long", format!("{PREFIX}{}", "A".repeat(TICKET_MAX_BYTES + 1))),
        ("a secret of 31 bytes", with("secret", "ab".repeat(31).into())),
        ("an id that is no hex", with("id", "xy".repeat(16).into())),
        ("a name that moves the cursor", with("name", "\u{1b}[2J".into())),
        ("17 addresses", with("addresses", vec!["a:1"; 17].into())),
        ("an address that is not ASCII", with("addresses", vec!["bücher.example:1"].into())),
        ("a handle in upper case", with("handle", "DE-TH".into())),
        ("no JSON", line(b"no JSON")),
    ];
    let case = |(name, line): (&str, String)| {
        let parsed = line.parse::<Ticket>();
        let ticket = parsed.as_ref().ok().map(|t| serde_json::to_value(t).unwrap());
        TicketCase { name: name.to_owned(), line, ticket, error: outcome(parsed) }
    };
    let made: Vec<_> = cases.into_iter().map(case).collect();
    assert_eq!(made.iter().filter(|c| c.error.is_none()).count(), 4);
    for case in golden("ticket.json", &made) {
        let parsed = case.line.parse::<Ticket>();
        assert_eq!(outcome(parsed.as_ref()), case.error, "{}", case.name);
        assert_eq!(parsed.as_ref().ok().map(|t| serde_json::to_value(t).unwrap()), case.ticket, "{}", case.name);
        if let Ok(parsed) = parsed {
            assert_eq!(parsed.to_line().parse::<Ticket>(), Ok(parsed), "{}", case.name);
        }
    }
    assert_eq!(made[0].line, ticket.to_line());
}
