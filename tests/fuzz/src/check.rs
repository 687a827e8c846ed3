//! What every decoder owes: words that can be shown, and the same answer twice.

use std::fmt::{Debug, Display};

use serde::{Serialize, de::DeserializeOwned};
use verbund_protocol::codec;
use verbund_protocol::limits::BATCH_MAX_BYTES;

/// Longest text of one refusal, in characters: it goes to a log line, an event or a terminal. A few parts of 640 each, which is as
/// much as a node quotes of what it was sent.
pub const REFUSAL_MAX_CHARS: usize = 2_048;

/// Words that are shown to people are bounded, and hold nothing that a terminal obeys.
pub fn words(text: &str) {
    let length = text.chars().count();
    assert!(length <= REFUSAL_MAX_CHARS, "{length} characters of words: {text:.200}");
    assert!(!text.chars().any(char::is_control), "control characters in words: {text:?}");
}

/// A refusal.
pub fn refused(error: &impl Display) {
    words(&error.to_string());
}

/// Reads twice; both must say the same. Checks the words of a refusal.
pub fn twice<T: PartialEq + Debug, E: PartialEq + Debug + Display>(read: impl Fn() -> Result<T, E>) -> Option<T> {
    let (first, second) = (read(), read());
    assert_eq!(first, second, "the same bytes are read in two ways");
    first.inspect_err(|error| refused(error)).ok()
}

/// That `value` survives the wire, in the shortest form: it was read from `len` bytes.
pub fn encodes<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, len: usize) {
    let again = codec::encode(value).unwrap();
    assert!(again.len() <= len, "{} bytes are written for {len} that were read", again.len());
    assert_eq!(codec::decode::<T>(&again, BATCH_MAX_BYTES).as_ref(), Ok(value));
}

/// Reads a value with the codec, and checks that it survives.
pub fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8], max_bytes: usize) -> Option<T> {
    let value = twice(|| codec::decode::<T>(data, max_bytes))?;
    encodes(&value, data.len());
    Some(value)
}
