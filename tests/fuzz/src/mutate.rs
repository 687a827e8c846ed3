//! Changes to inputs, drawn from a seed: what a fuzzer does, without its feedback.
//!
//! Owns the mutations and their dice. The same seed gives the same inputs.

/// Small and quick, good enough to spread mutations (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % (n.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// Lengths and counts at which readers go wrong, as the codec writes them, and as fixed numbers.
const NUMBERS: [&[u8]; 14] = [
    &[0],
    &[1],
    &[250],
    &[251, 255, 255],
    &[251, 0, 1],
    &[252, 255, 255, 255, 127],
    &[252, 255, 255, 255, 255],
    &[253, 255, 255, 255, 255, 255, 255, 255, 127],
    &[253, 255, 255, 255, 255, 255, 255, 255, 255],
    &[255, 255],
    &[255, 255, 255, 255],
    &[0, 0, 0, 128],
    b"9007199254740993",
    b"18446744073709551616",
];

/// A changed `input`, at most `max_bytes` long. Takes parts of `others` and words of `tokens`.
pub fn mutate(dice: &mut Dice, input: &[u8], others: &[Vec<u8>], tokens: &[Vec<u8>], max_bytes: usize) -> Vec<u8> {
    let mut out = input.to_vec();
    // Mostly one change, so that what was valid stays nearly so.
    for _ in 0..1 << dice.below(4) {
        change(dice, &mut out, others, tokens);
        if dice.below(2) == 0 {
            break;
        }
    }
    out.truncate(max_bytes);
    out
}

fn change(dice: &mut Dice, out: &mut Vec<u8>, others: &[Vec<u8>], tokens: &[Vec<u8>]) {
    let at = dice.below(out.len());
    let some = dice.below(out.len().min(64)) + 1;
    let end = (at + some).min(out.len());
    match dice.below(12) {
        0 | 1 if !out.is_empty() => out[at] ^= 1 << dice.below(8),
        2 if !out.is_empty() => out[at] = dice.roll().to_le_bytes()[0],
        3 => out.truncate(at),
        4 => drop(out.drain(at..end)),
        5 => {
            let part = out[at..end].to_vec();
            out.splice(at..at, part);
        }
        6 => {
            // Beginning of one, end of another.
            if let Some(other) = dice.pick(others).cloned() {
                let from = dice.below(other.len());
                out.truncate(at);
                out.extend_from_slice(&other[from..]);
            }
        }
        7 => {
            if let Some(other) = dice.pick(others).cloned() {
                let from = dice.below(other.len());
                let to = (from + some).min(other.len());
                out.splice(at..at, other[from..to].iter().copied());
            }
        }
        8 | 9 if !tokens.is_empty() => {
            let token = dice.pick(tokens).cloned().unwrap_or_default();
            let over = if dice.below(2) == 0 { at } else { (at + token.len()).min(out.len()) };
            out.splice(at..over, token);
        }
        10 => {
            let number = dice.pick(&NUMBERS).copied().unwrap_or_default();
            let over = if dice.below(2) == 0 { (at + 1).min(out.len()) } else { (at + number.len()).min(out.len()) };
            out.splice(at..over, number.iter().copied());
        }
        _ => {
            let (length, byte) = (1 << dice.below(10), dice.roll().to_le_bytes()[0]);
            out.splice(at..at, std::iter::repeat_n(byte, length));
        }
    }
}
