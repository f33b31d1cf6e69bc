//! Reading field blocks.

use std::collections::VecDeque;

use super::{BadBlock, STATIC, TABLE_BYTES, huffman};
use crate::field_block::{ENTRY_BYTES, FieldBlock};

/// No integer of a block needs more: it would be longer than any block.
const MAX_INTEGER: usize = 1 << 24;

/// A list that is so many times over its limit is an attack: a byte of a block may stand for a whole table.
const MAX_EXCESS: usize = 4;

/// A field of the table.
#[derive(Debug)]
struct Entry {
    /// Name and value.
    text: Box<[u8]>,
    name: usize,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.text.len() + ENTRY_BYTES
    }
}

/// What the viewer's blocks have put into the table so far.
#[derive(Debug)]
pub(in crate::h2) struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
}

impl Decoder {
    pub(in crate::h2) fn new() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limit: TABLE_BYTES }
    }

    /// Reads a whole block; fields beyond `limit` bytes of the list are left out.
    ///
    /// # Errors
    /// It is none, or one that unfolds beyond measure: the connection cannot go on.
    pub(in crate::h2) fn decode(&mut self, block: &[u8], limit: usize, out: &mut FieldBlock) -> Result<(), BadBlock> {
        out.clear();
        let mut rest = Rest(block);
        let mut begun = false;
        while let Some(&first) = rest.0.first() {
            if out.size() > limit.saturating_mul(MAX_EXCESS) {
                return Err(BadBlock);
            }
            if first & 0xe0 == 0x20 {
                // RFC 7541 §4.2: changes of size stand at a block's beginning.
                let size = rest.integer(5)?;
                if begun || size > TABLE_BYTES {
                    return Err(BadBlock);
                }
                self.limit = size;
                self.evict(0);
                continue;
            }
            begun = true;
            if first & 0x80 != 0 {
                let name = self.copy(rest.integer(7)?, true, out.text())?;
                out.end(name, limit);
                continue;
            }
            let keep = first & 0x40 != 0;
            let index = rest.integer(if keep { 6 } else { 4 })?;
            let begin = out.text().len();
            if index == 0 {
                rest.string(out.text())?;
            } else {
                self.copy(index, false, out.text())?;
            }
            let name = out.text().len() - begin;
            rest.string(out.text())?;
            if keep {
                self.insert(out.fresh(), name);
            }
            out.end(name, limit);
        }
        Ok(())
    }

    /// Appends an entry's name, and its value if that is wanted; returns the name's length.
    fn copy(&self, index: usize, value: bool, out: &mut Vec<u8>) -> Result<usize, BadBlock> {
        let index = index.checked_sub(1).ok_or(BadBlock)?;
        if let Some((name, known)) = STATIC.get(index) {
            out.extend_from_slice(name.as_bytes());
            if value {
                out.extend_from_slice(known.as_bytes());
            }
            return Ok(name.len());
        }
        let entry = self.entries.get(index - STATIC.len()).ok_or(BadBlock)?;
        out.extend_from_slice(if value { &entry.text } else { &entry.text[..entry.name] });
        Ok(entry.name)
    }

    fn insert(&mut self, text: &[u8], name: usize) {
        let entry = Entry { text: text.into(), name };
        // RFC 7541 §4.4: one that is too large empties the table.
        self.evict(entry.bytes());
        if entry.bytes() <= self.limit {
            self.bytes += entry.bytes();
            self.entries.push_front(entry);
        }
    }

    fn evict(&mut self, room: usize) {
        while self.bytes + room > self.limit {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.bytes -= oldest.bytes();
        }
    }
}

/// What is left of a block.
struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Result<u8, BadBlock> {
        let (&first, rest) = self.0.split_first().ok_or(BadBlock)?;
        self.0 = rest;
        Ok(first)
    }

    /// An integer that begins in the lowest `bits` bits of the next byte (RFC 7541 §5.1).
    fn integer(&mut self, bits: u32) -> Result<usize, BadBlock> {
        let most = (1_usize << bits) - 1;
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Ok(value);
        }
        for shift in (0..28).step_by(7) {
            let byte = self.byte()?;
            value += usize::from(byte & 127) << shift;
            if value > MAX_INTEGER {
                return Err(BadBlock);
            }
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(BadBlock)
    }

    /// Appends a string (RFC 7541 §5.2).
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), BadBlock> {
        let coded = self.0.first().is_some_and(|first| first & 128 != 0);
        let length = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(BadBlock)?;
        self.0 = rest;
        if coded {
            huffman::decode(text, out)
        } else {
            out.extend_from_slice(text);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, BadBlock> {
        let mut out = FieldBlock::default();
        decoder.decode(block, 1000, &mut out)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(out.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|one| one.to_digit(16)).collect();
        digits.chunks(2).map(|two| u8::try_from(two[0] * 16 + two[1]).unwrap()).collect()
    }

    /// RFC 7541 Appendix C.3 and C.4: three requests, plain and coded.
    #[test]
    fn examples_of_the_rfc_are_read() {
        let common = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        for blocks in [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ] {
            let mut decoder = Decoder::new();
            let wanted = |fields: &[(&str, &str)]| -> Vec<_> {
                fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
            };
            assert_eq!(read(&mut decoder, &hex(blocks[0])).unwrap(), wanted(&common));
            let second = [&common[..], &[("cache-control", "no-cache")]].concat();
            assert_eq!(read(&mut decoder, &hex(blocks[1])).unwrap(), wanted(&second));
            let third = [
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ];
            assert_eq!(read(&mut decoder, &hex(blocks[2])).unwrap(), wanted(&third));
            assert_eq!((decoder.entries.len(), decoder.bytes), (3, 164));
        }
    }

    #[test]
    fn bad_blocks_are_refused() {
        for block in [
            &[0x80][..],
            &[0xbe],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0xff],
            &[0x40, 0x01],
            &[0x40, 0x05, b'a'],
            &[0x82, 0x20],
            &[0x3f, 0xe2, 0x1f],
            &[0x00, 0x81, 0x00, 0x00],
        ] {
            assert_eq!(read(&mut Decoder::new(), block), Err(BadBlock), "{block:x?}");
        }
        assert!(read(&mut Decoder::new(), &[0x3f, 0xe1, 0x1f, 0x20, 0x82]).is_ok());
    }

    #[test]
    fn long_lists_are_cut_and_the_table_stays_right() {
        let mut decoder = Decoder::new();
        let mut block = vec![0x40, 1, b'x', 0x7f, 0x81, 0x0e];
        block.resize(6 + 1920, b'y');
        block.extend([0xbe]);
        let mut out = FieldBlock::default();
        decoder.decode(&block, 1000, &mut out).unwrap();
        assert!(out.is_over() && out.iter().next().is_none());
        decoder.decode(&[0xbe, 0x82], 10_000, &mut out).unwrap();
        assert!(!out.is_over() && out.iter().count() == 2 && out.iter().next().unwrap().1.len() == 1920);
        // Larger than the table: nothing is left of it.
        let mut block = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1f];
        block.resize(6 + 4128, b'y');
        decoder.decode(&block, 100_000, &mut out).unwrap();
        assert_eq!((decoder.entries.len(), decoder.bytes), (0, 0));
    }

    #[test]
    fn blocks_that_unfold_beyond_measure_are_refused() {
        let mut decoder = Decoder::new();
        let mut out = FieldBlock::default();
        let mut block = vec![0x40, 1, b'x', 0x7f, 0x81, 0x0e];
        block.resize(6 + 1920, b'y');
        decoder.decode(&block, 10_000, &mut out).unwrap();
        decoder.decode(&[0xbe; 20], 10_000, &mut out).unwrap();
        assert!(out.is_over());
        assert_eq!(decoder.decode(&[0xbe; 30], 10_000, &mut out), Err(BadBlock));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new();
            let mut out = FieldBlock::default();
            for block in blocks {
                let read = decoder.decode(&block, 4000, &mut out);
                prop_assert!(decoder.bytes <= TABLE_BYTES);
                prop_assert_eq!(decoder.bytes, decoder.entries.iter().map(Entry::bytes).sum::<usize>());
                if read.is_err() {
                    break;
                }
            }
        }
    }
}
