//! The chunked transfer coding, undone strictly (RFC 9112 §7.1): sizes in hexadecimal digits alone, lines that end with CRLF.

/// Bytes of all chunk extensions and their size lines in a body, beyond one digit and line end for each chunk.
const MAX_EXTENSION_BYTES: usize = 4 << 10;

/// Bytes of the trailer section.
const MAX_TRAILER_BYTES: usize = 8 << 10;

/// Digits of a chunk's size: more than any limit needs, fewer than a number holds.
const MAX_SIZE_DIGITS: usize = 15;

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadChunks {
    /// It is no chunked body, or one that two programs could read differently.
    Malformed,
    /// It is larger than the limit.
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: usize },
    Extension { left: u64 },
    SizeEnd { left: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

/// A decoder of one body.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes of content that may still come.
    allowed: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
}

impl Chunks {
    /// A decoder that takes at the most `limit` bytes of content.
    #[must_use]
    pub(crate) fn new(limit: u64) -> Self {
        Self { state: State::Size { value: 0, digits: 0 }, allowed: limit, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Whether the body's end has been read.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads from `input`, appends content to `out` and returns how many bytes were used: all of them, or those up to the body's
    /// end. Extensions and trailers are dropped.
    ///
    /// # Errors
    /// See [`BadChunks`]. The decoder may not be used afterwards.
    pub(crate) fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, BadChunks> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                out.extend_from_slice(&input[at..at + take]);
                at += take;
                let left = left - take as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                continue;
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, BadChunks> {
        match self.state {
            State::Size { value, digits } => self.size(byte, value, digits),
            State::Extension { left } => {
                self.count_extension()?;
                match byte {
                    b'\r' => Ok(State::SizeEnd { left }),
                    b'\t' | b' '..=b'~' | 0x80.. => Ok(State::Extension { left }),
                    _ => Err(BadChunks::Malformed),
                }
            }
            State::SizeEnd { left: 0 } => expect(byte, b'\n', State::TrailerStart),
            State::SizeEnd { left } => {
                self.allowed = self.allowed.checked_sub(left).ok_or(BadChunks::TooLarge)?;
                expect(byte, b'\n', State::Data { left })
            }
            State::DataCr => expect(byte, b'\r', State::DataLf),
            State::DataLf => expect(byte, b'\n', State::Size { value: 0, digits: 0 }),
            State::TrailerStart if byte == b'\r' => Ok(State::LastLf),
            State::TrailerStart | State::TrailerName | State::TrailerValue => self.trailer(byte),
            State::TrailerLf => expect(byte, b'\n', State::TrailerStart),
            State::LastLf => expect(byte, b'\n', State::Done),
            State::Data { .. } | State::Done => Err(BadChunks::Malformed),
        }
    }

    fn size(&mut self, byte: u8, value: u64, digits: usize) -> Result<State, BadChunks> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits >= MAX_SIZE_DIGITS {
                return Err(BadChunks::Malformed);
            }
            if digits > 0 {
                self.count_extension()?;
            }
            return Ok(State::Size { value: value * 16 + u64::from(digit), digits: digits + 1 });
        }
        match byte {
            b'\r' if digits > 0 => Ok(State::SizeEnd { left: value }),
            b';' if digits > 0 => Ok(State::Extension { left: value }),
            _ => Err(BadChunks::Malformed),
        }
    }

    /// A byte of a trailer field: a token, a colon, a value without line folding.
    fn trailer(&mut self, byte: u8) -> Result<State, BadChunks> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BadChunks::Malformed);
        }
        match (self.state, byte) {
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerStart | State::TrailerName, byte) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            _ => Err(BadChunks::Malformed),
        }
    }

    fn count_extension(&mut self) -> Result<(), BadChunks> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES { Err(BadChunks::Malformed) } else { Ok(()) }
    }
}

fn expect(byte: u8, wanted: u8, next: State) -> Result<State, BadChunks> {
    if byte == wanted { Ok(next) } else { Err(BadChunks::Malformed) }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(input: &[u8], limit: u64) -> Result<(Vec<u8>, usize, bool), BadChunks> {
        let (mut chunks, mut out) = (Chunks::new(limit), Vec::new());
        let used = chunks.decode(input, &mut out)?;
        Ok((out, used, chunks.is_done()))
    }

    #[test]
    fn bodies_are_read_up_to_their_end() {
        let body = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n000\r\nX-T: 1\r\nY:\r\n\r\nGET ";
        assert_eq!(decode(body, 13), Ok((b"abc0123456789".to_vec(), body.len() - 4, true)));
        assert_eq!(decode(body, 12), Err(BadChunks::TooLarge));
        assert_eq!(decode(b"0\r\n\r\n", 0), Ok((vec![], 5, true)));
        assert_eq!(decode(b"5\r\nab", 9), Ok((b"ab".to_vec(), 5, false)));
    }

    #[test]
    fn ambiguity_is_refused() {
        for bad in [
            "\r\n",
            " 3\r\nabc",
            "3 \r\nabc",
            "3 ;x\r\n",
            "0x3\r\nabc",
            "+3\r\nabc",
            "-1\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "3\r\nabc0\r\n\r\n",
            "3;a\nb\r\nabc",
            "3;a\r\r\nabc",
            "0\r\nX\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nX: y\r\n z\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "0\r\n\rX",
            "1000000000000000\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
        ] {
            assert_eq!(decode(bad.as_bytes(), u64::MAX), Err(BadChunks::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = format!("1;{}\r\nx", "a".repeat(MAX_EXTENSION_BYTES));
        assert_eq!(decode(long.as_bytes(), 9), Err(BadChunks::Malformed));
        let many = format!("1;{}\r\nx\r\n", "a".repeat(100)).repeat(100);
        assert_eq!(decode(many.as_bytes(), 999), Err(BadChunks::Malformed));
        let zeros = "0000000001\r\nx\r\n".repeat(1000);
        assert_eq!(decode(zeros.as_bytes(), 9999), Err(BadChunks::Malformed));
        let trailer = format!("0\r\nx:{}\r\n\r\n", "a".repeat(MAX_TRAILER_BYTES));
        assert_eq!(decode(trailer.as_bytes(), 9), Err(BadChunks::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_come(
            bytes in "(([0-9a-fA-F]{1,2}|;|\r|\n|\r\n|:|x|[ -~]){0,40})|(0\r\n\r\n)|.{0,30}", cut in 0_usize..200, limit in 0_u64..100
        ) {
            let bytes = bytes.as_bytes();
            let whole = decode(bytes, limit);
            let (mut chunks, mut out) = (Chunks::new(limit), Vec::new());
            let cut = cut.min(bytes.len());
            let parts = chunks.decode(&bytes[..cut], &mut out).and_then(|first| {
                if first < cut { return Ok(first); }
                Ok(first + chunks.decode(&bytes[cut..], &mut out)?)
            });
            prop_assert!(out.len() as u64 <= limit);
            prop_assert_eq!(whole, parts.map(|used| (out, used, chunks.is_done())));
        }

        #[test]
        fn what_is_encoded_comes_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 0..20)) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let length = wire.len();
            wire.extend_from_slice(b"next");
            prop_assert_eq!(decode(&wire, 2000), Ok((pieces.concat(), length, true)));
        }
    }
}
