//! Mutations of known inputs, from a seed: the same in every run and on every machine.

/// Splitmix64: enough for choosing.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// What breaks parsers: borders of numbers, nesting, words of JSON and YAML.
const TOKENS: [&[u8]; 26] = [
    b"0",
    b"-1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"4294967295",
    b"9223372036854775808",
    b"1e999",
    b"null",
    b"true",
    b"{}",
    b"[[[[[[[[",
    b"\"\"",
    b"\\u0000",
    b"\\ud800",
    b"\n",
    b"\n---\n",
    b"&a [*a,*a]",
    b"*a",
    b"? ",
    b": ",
    b"%",
    b"..",
    b"/",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xc3\xa4",
];

/// `input` after one to four changes; `other` is where foreign parts come from. Never longer than twice the longer of both, and 4 KiB.
pub fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let limit = 2 * input.len().max(other.len()) + 4096;
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(32)).min(bytes.len());
        match random.below(8) {
            0 if at < end => bytes[at] ^= 1 << random.below(8),
            1 if at < end => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                let times = 1 + random.below(8);
                bytes.splice(at..at, part.repeat(times));
            }
            4 => drop(bytes.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            5 => replace_number(random, &mut bytes, at),
            6 if !other.is_empty() => {
                let from = random.below(other.len());
                let part = &other[from..(from + 1 + random.below(256)).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            7 => bytes.truncate(at),
            _ => {}
        }
        bytes.truncate(limit);
    }
    bytes
}

/// Puts a token in the place of the first digits after `at`.
fn replace_number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(start..start + length, TOKENS[random.below(8)].iter().copied());
}
