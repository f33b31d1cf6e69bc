//! The Huffman code of field strings (RFC 7541 Appendix B), which is canonical: lengths say everything.

use super::BadBlock;

/// Bits of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// Most padding at the end of a string, in bits (RFC 7541 §5.2).
const MAX_PADDING_BITS: u32 = 7;

/// What the lengths say.
struct Code {
    /// Bytes in the order of their codes.
    bytes: [u8; 256],
    /// By length: where its codes end, as the first bits of 32.
    limits: [u32; LONGEST + 1],
    /// By length: its first code, and that code's place in `bytes`.
    firsts: [(u32, u32); LONGEST + 1],
    /// By the next eight bits: byte and length, or no length if it is longer.
    short: [(u8, u8); 256],
}

static CODE: Code = build();

#[expect(clippy::cast_possible_truncation, reason = "counters below 256 in a constant")]
const fn build() -> Code {
    let mut code =
        Code { bytes: [0; 256], limits: [0; LONGEST + 1], firsts: [(0, 0); LONGEST + 1], short: [(0, 0); 256] };
    let (mut next, mut place, mut length) = (0_u32, 0_usize, 1_usize);
    while length <= LONGEST {
        next <<= 1;
        code.firsts[length] = (next, place as u32);
        let mut byte = 0_usize;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                code.bytes[place] = byte as u8;
                if length <= 8 {
                    let from = (next as usize) << (8 - length);
                    let mut at = from;
                    while at < from + (1 << (8 - length)) {
                        code.short[at] = (byte as u8, length as u8);
                        at += 1;
                    }
                }
                next += 1;
                place += 1;
            }
            byte += 1;
        }
        code.limits[length] = next << (32 - length);
        length += 1;
    }
    code
}

/// Appends what `coded` says.
///
/// # Errors
/// It has the code that nothing may have, or padding that is none.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), BadBlock> {
    let mut rest = coded.iter();
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56 {
            let Some(byte) = rest.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let (byte, length) = match CODE.short[(bits >> 56) as usize] {
            (_, 0) => long((bits >> 32) as u32),
            (byte, length) => (byte, u32::from(length)),
        };
        if length > count {
            // Padding is the beginning of the code that nothing has: ones.
            let padding = if count == 0 { 0 } else { !bits >> (64 - count) };
            return if count <= MAX_PADDING_BITS && padding == 0 { Ok(()) } else { Err(BadBlock) };
        }
        out.push(byte);
        bits <<= length;
        count -= length;
    }
}

/// A code of more than eight bits; one longer than any if it is none.
fn long(bits: u32) -> (u8, u32) {
    for length in 9..=LONGEST {
        if bits < CODE.limits[length] {
            let (first, place) = CODE.firsts[length];
            let at = place + ((bits >> (32 - length)) - first);
            return (CODE.bytes[at as usize & 255], length as u32);
        }
    }
    (0, u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, BadBlock> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&coded).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82,
            0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(decoded(&date).unwrap(), b"Mon, 21 Oct 2013 20:13:21 GMT");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn bad_padding_is_refused() {
        for coded in [&[0xff][..], &[0xff; 4], &[0xff; 9], &[0x00], &[0x18 | 0b110], &[0x07, 0xff]] {
            assert_eq!(decoded(coded), Err(BadBlock), "{coded:x?}");
        }
        assert_eq!(decoded(&[0x07]).unwrap(), b"0");
    }

    proptest::proptest! {
        #[test]
        fn every_string_comes_back(bytes: Vec<u8>) {
            let (mut coded, mut pending, mut count) = (Vec::new(), 0_u64, 0_u32);
            for byte in &bytes {
                let length = usize::from(LENGTHS[usize::from(*byte)]);
                let place = CODE.bytes.iter().position(|one| one == byte).unwrap();
                let (first, begin) = CODE.firsts[length];
                pending = pending << length | u64::from(first + (u32::try_from(place).unwrap() - begin));
                count += u32::try_from(length).unwrap();
                while count >= 8 {
                    count -= 8;
                    coded.push(u8::try_from(pending >> count & 255).unwrap());
                }
            }
            if count > 0 {
                coded.push(u8::try_from((pending << (8 - count) | ((1 << (8 - count)) - 1)) & 255).unwrap());
            }
            proptest::prop_assert_eq!(decoded(&coded).unwrap(), bytes);
        }

        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = decoded(&bytes);
        }
    }
}
