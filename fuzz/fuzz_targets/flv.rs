//! FLV byte streams, in pieces, and the message bodies in them. Also reached by RTMP, so bodies come without a file too.
#![no_main]

use anabranch_media::flv::{Demuxer, FileReader, FlvKind};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&shape, input)) = input.split_first() else { return };
    if shape & 1 == 0 { file(input, usize::from(shape >> 1).max(1)) } else { messages(input) }
});

fn file(input: &[u8], piece: usize) {
    let (mut reader, mut demuxer) = (FileReader::new(), Demuxer::new());
    let (mut tags, mut events) = (Vec::new(), Vec::new());
    for bytes in input.chunks(piece) {
        let read = reader.push(bytes, &mut tags);
        for tag in tags.drain(..) {
            if demuxer.push(tag.kind, tag.timestamp_ms, tag.body, &mut events).is_err() {
                return;
            }
        }
        if read.is_err() {
            return;
        }
    }
}

/// Bodies, each behind four bytes: kind, length, and sixteen bits of a step in time.
fn messages(mut input: &[u8]) {
    let (mut demuxer, mut events, mut now) = (Demuxer::new(), Vec::new(), 0_u32);
    while let Some((&[kind, length, high, low], rest)) = input.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(length).min(rest.len()));
        input = rest;
        // Steps both ways, and some large enough to wrap.
        now = now.wrapping_add_signed(i32::from(i16::from_be_bytes([high, low])) << (kind >> 4));
        let kind = if kind & 1 == 0 { FlvKind::Audio } else { FlvKind::Video };
        if demuxer.push(kind, now, Bytes::copy_from_slice(body), &mut events).is_err() {
            return;
        }
    }
}
