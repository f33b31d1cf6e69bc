//! Names of single requests, which viewers get and the access log repeats.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand;
use http::HeaderValue;

use crate::head::Head;

/// Random bytes at the beginning of every id of a thread, and what they become in base64url.
const PREFIX_BYTES: usize = 9;
const PREFIX_CHARS: usize = PREFIX_BYTES / 3 * 4;

/// Bits that count, and what they become in base64url.
const COUNTER_BITS: u32 = 48;
const COUNTER_CHARS: usize = 8;

/// Odd, so that multiplying by it mixes the counter without making two of its values equal.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One request's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(u64);

/// Gives ids: random bytes that are a thread's own, and a count from a random beginning. No other request of any thread, node or
/// start has the same, short of 2^48 requests of one thread or a collision of 72 random bits.
#[derive(Debug)]
pub(crate) struct RequestIds {
    next: AtomicU64,
    /// Field lines up to where the counter stands.
    line: Box<[u8]>,
}

impl RequestIds {
    /// Ids of one thread; `location` is told to viewers with them if it can stand in a field.
    pub(crate) fn new(location: &str) -> Self {
        let mut random = [0; PREFIX_BYTES + 8];
        rand::fill(&mut random).expect("the system gives random bytes");
        let (prefix, start) = random.split_at(PREFIX_BYTES);
        let mut line = Vec::new();
        if !location.is_empty() && HeaderValue::from_str(location).is_ok() {
            line.extend_from_slice(format!("x-amz-cf-pop: {location}\r\n").as_bytes());
        }
        line.extend_from_slice(b"x-amz-cf-id: ");
        for three in prefix.chunks_exact(3) {
            let bits = three.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
            line.extend_from_slice(&encode::<4>(bits));
        }
        let start = start.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Self { next: AtomicU64::new(start), line: line.into() }
    }

    /// The next id.
    pub(crate) fn next(&self) -> RequestId {
        RequestId(self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(MIXER))
    }

    /// Writes the field lines that tell a viewer.
    pub(crate) fn write(&self, id: RequestId, head: &mut Head) {
        head.lines(&self.line);
        let mut end = [0; COUNTER_CHARS + 2];
        end[..COUNTER_CHARS].copy_from_slice(&id.counter());
        end[COUNTER_CHARS..].copy_from_slice(b"\r\n");
        head.lines(&end);
    }

    /// The id as viewers get it.
    pub(crate) fn text(&self, id: RequestId) -> String {
        let prefix = &self.line[self.line.len() - PREFIX_CHARS..];
        prefix.iter().chain(&id.counter()).map(|byte| char::from(*byte)).collect()
    }
}

impl RequestId {
    fn counter(self) -> [u8; COUNTER_CHARS] {
        encode(self.0 & ((1 << COUNTER_BITS) - 1))
    }
}

/// The lowest `6 * N` bits in base64url.
fn encode<const N: usize>(mut bits: u64) -> [u8; N] {
    let mut out = [0; N];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[usize::try_from(bits & 63).unwrap_or(0)];
        bits >>= 6;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_within_and_between_threads() {
        let (one, two) = (RequestIds::new("FRA1"), RequestIds::new("FRA1"));
        let mut seen = HashSet::new();
        for ids in [&one, &two] {
            for _ in 0..10_000 {
                assert!(seen.insert(ids.text(ids.next())));
            }
        }
        assert!(seen.iter().all(|id| id.len() == 20 && id.bytes().all(|byte| ALPHABET.contains(&byte))));
    }

    #[test]
    fn viewers_get_what_the_log_says() {
        let ids = RequestIds::new("FRA1");
        let id = ids.next();
        let mut head = Head::default();
        ids.write(id, &mut head);
        let text = std::str::from_utf8(head.as_bytes()).unwrap();
        assert_eq!(text, format!("x-amz-cf-pop: FRA1\r\nx-amz-cf-id: {}\r\n", ids.text(id)));
    }

    #[test]
    fn a_location_that_is_no_field_value_is_left_out() {
        for location in ["", "a\r\nb"] {
            let ids = RequestIds::new(location);
            let mut head = Head::default();
            ids.write(ids.next(), &mut head);
            assert!(head.as_bytes().starts_with(b"x-amz-cf-id: "));
        }
        assert_eq!(encode::<4>(0x00ff_ffff), *b"____");
        assert_eq!(encode::<4>(0), *b"AAAA");
    }
}
