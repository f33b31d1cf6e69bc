//! Reading and writing of bit fields, most significant bit first, bounds-checked.

/// The data ended inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndOfBits {
    /// Position of the field's first bit.
    pub(crate) bit: usize,
}

/// Reads bit fields; never past the end.
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    bit: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, bit: 0 }
    }

    /// Next `count` bits, at most 32, as an unsigned number.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, EndOfBits> {
        debug_assert!(count <= 32);
        let mut value = 0_u64;
        let end = self.bit + count as usize;
        if end > self.data.len() * 8 {
            return Err(EndOfBits { bit: self.bit });
        }
        while self.bit < end {
            let within = self.bit % 8;
            let take = (8 - within).min(end - self.bit);
            let byte = u64::from(self.data[self.bit / 8]);
            let field = (byte >> (8 - within - take)) & ((1 << take) - 1);
            value = (value << take) | field;
            self.bit += take;
        }
        Ok(value as u32)
    }

    /// Next bit.
    pub(crate) fn flag(&mut self) -> Result<bool, EndOfBits> {
        Ok(self.bits(1)? == 1)
    }

    /// Passes over `count` bits.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), EndOfBits> {
        if count > self.data.len() * 8 - self.bit {
            return Err(EndOfBits { bit: self.bit });
        }
        self.bit += count;
        Ok(())
    }

    /// Unsigned Exp-Golomb code, `ue(v)` of ITU-T H.264 §9.1: at most 32 leading zeros, else the code is refused.
    pub(crate) fn ue(&mut self) -> Result<u32, EndOfBits> {
        let start = self.bit;
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(EndOfBits { bit: start });
            }
        }
        Ok((1_u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// Signed Exp-Golomb code, `se(v)` of ITU-T H.264 §9.1.1.
    pub(crate) fn se(&mut self) -> Result<i32, EndOfBits> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        Ok(if code % 2 == 1 { magnitude as i32 } else { -magnitude as i32 })
    }
}

/// Writes bit fields; the last byte is filled with zeros.
#[derive(Default)]
pub(crate) struct BitWriter {
    data: Vec<u8>,
    used: usize,
}

impl BitWriter {
    /// Appends the `count` low bits of `value`.
    pub(crate) fn bits(&mut self, value: u32, count: usize) {
        for shift in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.data.push(0);
            }
            let bit = ((value >> shift) & 1) as u8;
            let last = self.data.last_mut().expect("a byte was pushed before its first bit");
            *last |= bit << (7 - self.used % 8);
            self.used += 1;
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.data
    }
}

/// The payload of a NAL unit without emulation prevention bytes (ITU-T H.264 §7.4.1: 00 00 03 → 00 00).
pub(crate) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cross_byte_borders() {
        let mut reader = BitReader::new(&[0b1010_0101, 0b1111_0000, 0xff, 0, 1]);
        assert_eq!(reader.bits(3), Ok(0b101));
        assert_eq!(reader.bits(9), Ok(0b0_0101_1111));
        assert_eq!(reader.skip(4), Ok(()));
        assert_eq!(reader.bits(24), Ok(0x00ff_0001));
        assert_eq!(reader.bits(1), Err(EndOfBits { bit: 40 }));
        assert_eq!(reader.bits(0), Ok(0));
    }

    #[test]
    fn exp_golomb_codes() {
        // 1 | 010 | 011 | 00100 | 00101
        let mut reader = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!((reader.ue(), reader.ue(), reader.ue()), (Ok(0), Ok(1), Ok(2)));
        assert_eq!((reader.se(), reader.se()), (Ok(2), Ok(-2)));
        assert!(BitReader::new(&[0; 16]).ue().is_err());
        assert!(BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).ue().is_ok());
    }

    #[test]
    fn emulation_prevention_is_removed() {
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn writer_is_the_mirror_of_the_reader() {
        let mut writer = BitWriter::default();
        writer.bits(0b101, 3);
        writer.bits(0x1234, 16);
        assert_eq!(writer.into_bytes(), [0b1010_0010, 0b0100_0110, 0b1000_0000]);
    }
}
