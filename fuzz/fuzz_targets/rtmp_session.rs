//! A whole RTMP connection from its handshake on, with answers of both kinds.
#![no_main]

use anabranch_ingest::rtmp::session::{Answer, Event, Output, Session};
use libfuzzer_sys::fuzz_target;

/// C0 and C1 as encoders send them, and a C2 of any content: the fuzzer need not find 3073 bytes by itself.
const HANDSHAKE: [u8; 3073] = {
    let mut bytes = [0; 3073];
    bytes[0] = 3;
    bytes
};

fuzz_target!(|input: &[u8]| {
    let Some((&[shape, piece], input)) = input.split_first_chunk() else { return };
    let mut session = Session::new(7);
    let mut output = Output::default();
    if shape & 1 == 0 {
        match session.handle(&mut HANDSHAKE.as_slice(), &mut output) {
            Ok(next) => session = next,
            Err(_) => return,
        }
    }
    for mut bytes in input.chunks(usize::from(piece).max(1)) {
        while !bytes.is_empty() {
            let before = bytes.len();
            match session.handle(&mut bytes, &mut output) {
                Ok(next) => session = next,
                Err(_) => return,
            }
            let asked = output.events.drain(..).any(|event| matches!(event, Event::Connect(_) | Event::Publish { .. }));
            assert!(asked || bytes.len() < before, "the session neither reads nor asks");
            if asked {
                let answer = if shape & 2 == 0 { Answer::Accept } else { Answer::Refuse("no") };
                session = session.answer(answer, &mut output);
            }
            output.bytes.clear();
        }
    }
});
