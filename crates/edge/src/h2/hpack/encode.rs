//! Writing field blocks: lines that come again get a place in the table, and what is another each time goes out as it is. Nothing is
//! Huffman-coded: it would cost more than the few bytes that it saves.

use std::collections::VecDeque;

use super::{STATIC, TABLE_BYTES, push_integer};
use crate::field_block::ENTRY_BYTES;

/// Places by which a line is looked for. Each line has two; of those that want the same ones the oldest is not found again.
const SLOTS: usize = 64;

/// Longest line that gets a place.
const MAX_KEPT_BYTES: usize = 1024;

/// A line of the table.
#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + ENTRY_BYTES
    }
}

/// What our blocks have put into the viewer's table so far.
#[derive(Debug)]
pub(in crate::h2) struct Encoder {
    /// The oldest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
    /// Least and last size that is to be told in the next block.
    untold: Option<(usize, usize)>,
    /// Entries that there have ever been.
    count: u64,
    /// By hash: number of the entry that had it last.
    slots: Box<[u64; SLOTS]>,
}

/// How a field goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With a place in the table.
    Kept,
    /// As it is: the next answer has another.
    Plain,
    /// As it is, and nobody on the way may give it a place (RFC 7541 §7.1.3).
    Never,
}

impl Encoder {
    pub(in crate::h2) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            limit: TABLE_BYTES,
            untold: None,
            count: 0,
            slots: Box::new([0; SLOTS]),
        }
    }

    /// The viewer allows a table of `bytes`; no more is used than both begin with.
    pub(in crate::h2) fn allow(&mut self, bytes: usize) {
        let limit = bytes.min(TABLE_BYTES);
        if limit != self.limit || self.untold.is_some() {
            let least = self.untold.map_or(limit, |(least, _)| least.min(limit));
            self.untold = Some((least, limit));
            self.limit = limit;
            self.evict(0);
        }
    }

    /// Appends the block of an answer: its status, and `lines` of name, colon, value and line end.
    pub(in crate::h2) fn encode(&mut self, status: u16, lines: &[u8], out: &mut Vec<u8>) {
        if let Some((least, last)) = self.untold.take() {
            if least < last {
                push_integer(out, 0x20, 5, least);
            }
            push_integer(out, 0x20, 5, last);
        }
        push_status(status, out);
        let mut rest = lines;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            self.field(&line[..colon], line[colon + 1..].trim_ascii(), out);
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if name.is_empty() || name.iter().any(u8::is_ascii_uppercase) {
            let name = name.to_ascii_lowercase();
            if !name.is_empty() {
                push_literal(0, 4, 0, &name, value, out);
            }
            return;
        }
        let (known, way) = classify(name);
        let kept = way == Way::Kept && name.len() + value.len() + ENTRY_BYTES <= self.limit.min(MAX_KEPT_BYTES);
        if !kept {
            return push_literal(if way == Way::Never { 0x10 } else { 0 }, 4, known, name, value, out);
        }
        let slot = usize::try_from(hash(name, value) % SLOTS as u64).unwrap_or(0);
        let numbers = [self.slots[slot], self.slots[slot ^ 1]];
        if let Some(index) = numbers.into_iter().find_map(|number| self.find(number, name, value)) {
            return push_integer(out, 0x80, 7, index);
        }
        push_literal(0x40, 6, known, name, value, out);
        let entry = Entry { name: name.into(), value: value.into() };
        self.evict(entry.bytes());
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.count += 1;
        self.slots[if numbers[0] <= numbers[1] { slot } else { slot ^ 1 }] = self.count;
    }

    /// The index of entry `number`, if it is still there and is this field.
    fn find(&self, number: u64, name: &[u8], value: &[u8]) -> Option<usize> {
        // Numbers begin with 1; the newest is `count`.
        let age = usize::try_from(self.count.checked_sub(number)?).ok()?;
        let place = self.entries.len().checked_sub(age + 1)?;
        let entry = self.entries.get(place).filter(|_| number > 0)?;
        (*entry.value == *value && *entry.name == *name).then_some(STATIC.len() + 1 + age)
    }

    fn evict(&mut self, room: usize) {
        while self.bytes + room > self.limit {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes();
        }
    }
}

fn push_status(status: u16, out: &mut Vec<u8>) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        other => {
            let digit = |place: u16| b'0' + u8::try_from(other / place % 10).unwrap_or(0);
            out.extend_from_slice(&[0x08, 3, digit(100), digit(10), digit(1)]);
            return;
        }
    };
    out.push(0x80 | index);
}

/// Appends a literal whose name has the static index `known`, or is written out if that is 0.
fn push_literal(flags: u8, bits: u32, known: usize, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    push_integer(out, flags, bits, known);
    if known == 0 {
        push_string(name, out);
    }
    push_string(value, out);
}

fn push_string(text: &[u8], out: &mut Vec<u8>) {
    push_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// A name's static index, 0 for none, and how its field goes out.
fn classify(name: &[u8]) -> (usize, Way) {
    match name {
        b"age" => (21, Way::Plain),
        b"date" => (33, Way::Plain),
        b"etag" => (34, Way::Plain),
        b"expires" => (36, Way::Plain),
        b"location" => (46, Way::Plain),
        b"content-range" => (30, Way::Plain),
        b"last-modified" => (44, Way::Plain),
        b"content-length" => (28, Way::Plain),
        b"x-amz-cf-id" | b"cache-status" | b"server-timing" => (0, Way::Plain),
        b"set-cookie" => (55, Way::Never),
        b"via" => (60, Way::Kept),
        b"vary" => (59, Way::Kept),
        b"allow" => (22, Way::Kept),
        b"server" => (54, Way::Kept),
        b"retry-after" => (53, Way::Kept),
        b"content-type" => (31, Way::Kept),
        b"cache-control" => (24, Way::Kept),
        b"accept-ranges" => (18, Way::Kept),
        b"content-encoding" => (26, Way::Kept),
        b"strict-transport-security" => (56, Way::Kept),
        b"access-control-allow-origin" => (20, Way::Kept),
        _ => (0, Way::Kept),
    }
}

/// Tells lines apart, nothing more: they are the operator's and the origin's.
fn hash(name: &[u8], value: &[u8]) -> u64 {
    const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = name.len() as u64;
    for text in [name, value] {
        let mut words = text.chunks_exact(8);
        for word in words.by_ref() {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            hash = (hash.rotate_left(5) ^ word).wrapping_mul(MIXER);
        }
        for byte in words.remainder() {
            hash = (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(MIXER);
        }
    }
    hash >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Decoder;
    use super::*;
    use crate::field_block::FieldBlock;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
        let mut out = FieldBlock::default();
        decoder.decode(block, 100_000, &mut out).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        out.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn what_comes_again_is_said_in_a_byte() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let lines =
            b"server: a\r\nX-Upper: u\r\nvia: 1.1 anabranch\r\nx-cache: Hit\r\nage: 7\r\nempty:\r\nbare\r\n: x\r\n";
        let wanted = [
            (":status", "200"),
            ("server", "a"),
            ("x-upper", "u"),
            ("via", "1.1 anabranch"),
            ("x-cache", "Hit"),
            ("age", "7"),
            ("empty", ""),
        ];
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let mut block = Vec::new();
            encoder.encode(200, lines, &mut block);
            let fields = read(&mut decoder, &block);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(fields, wanted);
            sizes.push(block.len());
        }
        assert_eq!(sizes[1..], [1 + 11 + 4 + 4; 2]);
        let mut block = Vec::new();
        encoder.encode(421, b"set-cookie: secret\r\n", &mut block);
        assert_eq!(block[5] & 0xf0, 0x10, "never kept");
        assert_eq!(read(&mut decoder, &block)[0].1, "421");
    }

    #[test]
    fn a_smaller_table_is_kept_to() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (sizes, told) in [(&[0][..], 1), (&[100, 60], 1), (&[0, 9000], 2), (&[4096], 0)] {
            for size in sizes {
                encoder.allow(*size);
            }
            for _ in 0..3 {
                let mut block = Vec::new();
                encoder.encode(200, b"server: a\r\nvia: b\r\nserver: c\r\n", &mut block);
                assert_eq!(read(&mut decoder, &block).len(), 4);
                assert!(encoder.bytes <= encoder.limit);
                let _ = told;
            }
        }
    }

    proptest! {
        #[test]
        fn viewers_read_what_was_written(
            answers in prop::collection::vec(prop::collection::vec(("[a-f]{1,3}|date|via", "[a-z0-9]{0,40}"), 0..20), 1..40),
            sizes in prop::collection::vec(0_usize..5000, 1..40),
        ) {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
            for (fields, size) in answers.iter().zip(sizes.iter().cycle()) {
                encoder.allow(*size);
                let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let mut block = Vec::new();
                encoder.encode(206, lines.as_bytes(), &mut block);
                let found = read(&mut decoder, &block);
                prop_assert_eq!(&found[1..], &fields[..]);
            }
        }
    }
}
