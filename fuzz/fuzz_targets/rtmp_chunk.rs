//! The RTMP chunk stream: the same messages, however the bytes are cut.
#![no_main]

use anabranch_ingest::rtmp::chunk::Decoder;
use anabranch_ingest::rtmp::message::{Message, split_aggregate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, input)) = input.split_first() else { return };
    let whole = messages(input, usize::MAX);
    let pieces = messages(input, usize::from(piece).max(1));
    assert_eq!(whole, pieces);
});

fn messages(input: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let mut decoder = Decoder::new();
    decoder.allow_media();
    let mut found = Vec::new();
    for mut bytes in input.chunks(piece.min(input.len().max(1))) {
        loop {
            match decoder.decode(&mut bytes) {
                Ok(Some(message)) => {
                    // Both verdicts are fine; only a panic is not.
                    let _ = split_aggregate(&message);
                    found.push(message);
                }
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
