//! Made-up content that looks like a platform's own: pages, events, key-value records. The same seed makes the same bytes.

use std::fmt::Write;

/// A small generator of numbers (splitmix64): fast, seeded, the same everywhere. Not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The numbers of one thing of many, whatever is made before it.
    pub(super) fn new(seed: u64, which: u64) -> Dice {
        let mut dice = Dice(seed ^ which.wrapping_mul(0xa076_1d64_78bd_642f));
        dice.next();
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.next() as usize % words.len()]
    }
}

const WORDS: [&str; 48] = [
    "account",
    "policy",
    "gateway",
    "request",
    "the",
    "subscription",
    "token",
    "a",
    "developer",
    "portal",
    "and",
    "quota",
    "of",
    "response",
    "consumer",
    "plan",
    "to",
    "endpoint",
    "application",
    "in",
    "secured",
    "with",
    "throttled",
    "version",
    "published",
    "for",
    "organisation",
    "is",
    "catalog",
    "payload",
    "schema",
    "retry",
    "certificate",
    "when",
    "customer",
    "order",
    "invoice",
    "shipment",
    "by",
    "partner",
    "returns",
    "error",
    "header",
    "must",
    "be",
    "signed",
    "before",
    "deployment",
];
const APIS: [&str; 8] = ["orders", "payments", "customers", "shipments", "inventory", "identity", "pricing", "notifications"];
const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "PUT"];
const STATUSES: [u16; 12] = [200, 200, 200, 200, 200, 200, 201, 204, 304, 401, 404, 503];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A page of about `size` bytes.
pub(super) fn page(dice: &mut Dice, title: &str, size: usize) -> String {
    let mut text = format!("<!doctype html>\n<html lang=\"en\">\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n");
    while text.len() < size {
        text += "<p>";
        for _ in 0..20 + dice.below(40) {
            text += dice.one_of(&WORDS);
            text.push(' ');
        }
        text += "</p>\n";
    }
    text += "</body>\n</html>\n";
    text
}

/// Bytes that cannot be compressed, as pictures and fonts are.
pub(super) fn media(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend(dice.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// One call of an API, as a gateway logs it: `second` is of the day, `day` of November 2026.
pub(super) fn event(dice: &mut Dice, gateway: u64, day: u64, second: u64, into: &mut String) {
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let (api, method, millis) = (dice.one_of(&APIS), dice.one_of(&METHODS), dice.below(1000));
    let (status, id) = (STATUSES[dice.next() as usize % STATUSES.len()], dice.next());
    let (latency, bytes, application) = (3 + dice.below(30) * dice.below(30), 180 + dice.below(30_000), dice.below(400));
    let written = writeln!(
        into,
        "{{\"time\":\"2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z\",\"gateway\":\"gateway-{gateway}\",\"api\":\"{api}\",\
         \"version\":\"{}.{}.0\",\"method\":\"{method}\",\"path\":\"/{api}/{}\",\"status\":{status},\"latency_ms\":{latency},\"bytes\":{bytes},\
         \"application\":\"app-{application:04}\",\"correlation\":\"{id:016x}\"}}",
        1 + application % 3,
        application % 7,
        id % 100_000
    );
    written.expect("a text takes whatever is written to it");
}

/// One key and its value; `turn` is how often it was written.
pub(super) fn record(seed: u64, number: u64, turn: u64, into: &mut String) {
    let mut dice = Dice::new(seed ^ (turn << 48), number);
    let kind = ["oauth/token", "quota/counter", "cache/session"][number as usize % 3];
    let written = write!(into, "{{\"key\":\"{kind}/{number:08}\",\"version\":{turn},\"value\":\"");
    written.expect("a text takes whatever is written to it");
    for _ in 0..24 {
        let mut bits = dice.next();
        for _ in 0..10 {
            into.push(char::from(BASE64[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
    into.push_str("\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_content_and_another_makes_other() {
        let text = |seed| {
            let mut dice = Dice::new(seed, 7);
            let mut text = page(&mut dice, "Orders", 2000);
            event(&mut dice, 1, 20, 3661, &mut text);
            record(seed, 9, 0, &mut text);
            text
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert!(text(1).contains("2026-11-20T01:01:01."), "{}", text(1));
    }

    #[test]
    fn events_and_records_are_lines_of_json() {
        let (mut dice, mut text) = (Dice::new(1, 1), String::new());
        (0..50).for_each(|second| event(&mut dice, 2, 3, second, &mut text));
        (0..50).for_each(|number| record(1, number, 0, &mut text));
        assert_eq!(text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(), 100);
    }
}
