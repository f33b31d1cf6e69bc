//! The plain RTMP handshake (RTMP 1.0 §5.2), server side.
//!
//! The digest form that Flash wanted is not needed: encoders that send a digest accept a plain echo.

/// Bytes of C1, C2, S1 and S2 (§5.2.3).
pub const PACKET_LEN: usize = 1536;

/// Version of C0 and S0 (§5.2.2).
pub const VERSION: u8 = 3;

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is not RTMP's: the peer speaks something else, or an encrypted form.
    #[error("peer does not speak RTMP version {VERSION}: first byte {0:#04x}")]
    Version(u8),
}

/// Whether the handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Pending,
    /// C2 was read to its end; what follows is chunks.
    Done,
}

/// A handshake that goes on.
#[derive(Debug)]
pub struct Handshake {
    nonce: u64,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// C0 and C1 as far as they came.
    Hello(Vec<u8>),
    /// Bytes of C2 still to come. Its content is not checked: encoders that sent a digest do not echo.
    Echo(usize),
}

impl Handshake {
    /// A handshake whose S1 is filled from `nonce`.
    #[must_use]
    pub fn new(nonce: u64) -> Self {
        Self { nonce, step: Step::Hello(Vec::new()) }
    }

    /// Reads from `input`, appends what the server says to `out`.
    ///
    /// # Errors
    /// The first byte is not that of RTMP.
    pub fn handle(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<Progress, HandshakeError> {
        if let Step::Hello(hello) = &mut self.step {
            let taken = input.len().min(1 + PACKET_LEN - hello.len());
            hello.extend_from_slice(&input[..taken]);
            *input = &input[taken..];
            match hello.first() {
                None => return Ok(Progress::Pending),
                Some(&VERSION) => {}
                Some(&other) => return Err(HandshakeError::Version(other)),
            }
            if hello.len() < 1 + PACKET_LEN {
                return Ok(Progress::Pending);
            }
            out.push(VERSION);
            push_s1(self.nonce, out);
            out.extend_from_slice(&hello[1..]);
            self.step = Step::Echo(PACKET_LEN);
        }
        if let Step::Echo(left) = &mut self.step {
            let taken = input.len().min(*left);
            *left -= taken;
            *input = &input[taken..];
            if *left == 0 {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::Pending)
    }
}

/// S1: time 0, four zero bytes, then filler that need only differ between connections (§5.2.3).
fn push_s1(nonce: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 8]);
    let mut state = nonce | 1;
    for _ in 0..(PACKET_LEN - 8) / 8 {
        // xorshift64: no secret hangs on it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend((0..PACKET_LEN).map(|n| u8::try_from(n % 251).unwrap()));
        bytes.extend([7; PACKET_LEN]);
        bytes
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_answer(step in 1_usize..4000) {
            let client = hello();
            let (mut handshake, mut out, mut done) = (Handshake::new(5), Vec::new(), Progress::Pending);
            for part in client.chunks(step) {
                let mut input = part;
                done = handshake.handle(&mut input, &mut out).unwrap();
                prop_assert!(input.is_empty());
            }
            prop_assert_eq!(done, Progress::Done);
            prop_assert_eq!(out.len(), 1 + 2 * PACKET_LEN);
            prop_assert_eq!(&out[1 + PACKET_LEN..], &client[1..=PACKET_LEN]);
        }
    }

    #[test]
    fn bytes_after_the_handshake_stay() {
        let mut client = hello();
        client.push(0xAA);
        let mut input = client.as_slice();
        assert_eq!(Handshake::new(0).handle(&mut input, &mut Vec::new()), Ok(Progress::Done));
        assert_eq!(input, [0xAA]);
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        let mut input: &[u8] = b"GET / HTTP/1.1\r\n";
        assert_eq!(Handshake::new(0).handle(&mut input, &mut Vec::new()), Err(HandshakeError::Version(b'G')));
    }
}
