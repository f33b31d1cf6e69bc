use proptest::prelude::*;

use super::*;
use crate::rtmp::message::{MAX_COMMAND_BYTES, MAX_MEDIA_BYTES, Message};

fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

fn messages() -> impl Strategy<Value = Vec<(u32, Message)>> {
    let ids = prop_oneof![2_u32..64, 64_u32..320, 320_u32..65_600];
    let kinds = prop_oneof![Just(8_u8), Just(9), Just(18), Just(20)];
    let times = prop_oneof![any::<u32>(), 0_u32..1000, Just(0xFF_FFFF), Just(u32::MAX)];
    let bodies = prop::collection::vec(any::<u8>(), 0..600);
    let message = (ids, kinds, times, 0_u32..3, bodies)
        .prop_map(|(id, kind, timestamp, stream, body)| (id, Message { kind, timestamp, stream, body: body.into() }));
    prop::collection::vec(message, 0..8)
}

proptest! {
    #[test]
    fn every_split_decodes_equal(sent in messages(), size in 1_usize..400, step in 1_usize..700) {
        let (mut encoder, mut wire) = (Encoder::new(), Vec::new());
        encoder.set_chunk_size(size, &mut wire);
        for (id, message) in &sent {
            encoder.encode(*id, message, &mut wire);
        }
        let mut decoder = Decoder::new();
        let mut received = Vec::new();
        for part in wire.chunks(step) {
            received.extend(decode_all(&mut decoder, part).unwrap());
        }
        let sent: Vec<_> = sent.into_iter().map(|(_, message)| message).collect();
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn arbitrary_bytes_never_panic(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
        let mut decoder = Decoder::new();
        decoder.allow_media();
        for part in parts {
            if decode_all(&mut decoder, &part).is_err() {
                break;
            }
        }
    }

    #[test]
    fn arbitrary_bytes_decode_equal_in_every_split(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..4, Just(0xC3), Just(0xFF)], 0..400),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = decode_all(&mut Decoder::new(), &bytes);
        let (mut split, cut) = (Decoder::new(), cut.index(bytes.len() + 1));
        let parts = decode_all(&mut split, &bytes[..cut]).and_then(|mut first| {
            first.extend(decode_all(&mut split, &bytes[cut..])?);
            Ok(first)
        });
        prop_assert_eq!(whole, parts);
    }
}

fn header(format: u8, id: u8, fields: &[u8]) -> Vec<u8> {
    [&[format << 6 | id], fields].concat()
}

#[test]
fn later_chunk_types_build_upon_earlier_ones() {
    let wire = [
        header(0, 3, &[0, 0, 100, 0, 0, 1, 8, 1, 0, 0, 0, b'a']),
        header(1, 3, &[0, 0, 20, 0, 0, 2, 9, b'b', b'c']),
        header(2, 3, &[0, 0, 30, b'd', b'e']),
        header(3, 3, b"fg"),
    ]
    .concat();
    let seen: Vec<_> = decode_all(&mut Decoder::new(), &wire)
        .unwrap()
        .into_iter()
        .map(|message| (message.kind, message.timestamp, message.stream, message.body.len()))
        .collect();
    assert_eq!(seen, [(8, 100, 1, 1), (9, 120, 1, 2), (9, 150, 1, 2), (9, 180, 1, 2)]);
}

#[test]
fn type_3_after_type_0_repeats_its_time_as_difference() {
    let wire = [header(0, 3, &[0, 0, 40, 0, 0, 1, 8, 1, 0, 0, 0, b'a']), header(3, 3, b"b")].concat();
    let times: Vec<_> = decode_all(&mut Decoder::new(), &wire).unwrap().iter().map(|m| m.timestamp).collect();
    assert_eq!(times, [40, 80]);
}

#[test]
fn extended_differences_are_repeated_on_type_3_and_wrap() {
    let mut wire = header(0, 4, &[0xFF, 0xFF, 0xFF, 0, 0, 1, 9, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xF0, b'a']);
    wire.extend(header(1, 4, &[0xFF, 0xFF, 0xFF, 0, 0, 200, 9, 0x01, 0, 0, 0]));
    wire.extend([1; 128]);
    wire.extend(header(3, 4, &[0x01, 0, 0, 0]));
    wire.extend([2; 72]);
    let received = decode_all(&mut Decoder::new(), &wire).unwrap();
    assert_eq!(received[0].timestamp, 0xFFFF_FFF0);
    assert_eq!(received[1].timestamp, 0x00FF_FFF0);
    assert_eq!(received[1].body.len(), 200);
    assert_eq!(received[1].body[128..], [2; 72]);
}

#[test]
fn interleaved_messages_are_put_together() {
    let mut wire = header(0, 4, &[0, 0, 1, 0, 0, 200, 8, 1, 0, 0, 0]);
    wire.extend([1; 128]);
    wire.extend(header(0, 5, &[0, 0, 2, 0, 0, 150, 9, 1, 0, 0, 0]));
    wire.extend([2; 128]);
    wire.extend(header(3, 4, &[1; 72]));
    wire.extend(header(3, 5, &[2; 22]));
    let received = decode_all(&mut Decoder::new(), &wire).unwrap();
    assert_eq!((received[0].kind, &received[0].body[..]), (8, &[1; 200][..]));
    assert_eq!((received[1].kind, &received[1].body[..]), (9, &[2; 150][..]));
}

#[test]
fn abort_drops_the_unfinished_message() {
    let mut wire = header(0, 4, &[0, 0, 1, 0, 0, 200, 8, 1, 0, 0, 0]);
    wire.extend([1; 128]);
    wire.extend(header(0, 2, &[0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 4]));
    wire.extend(header(0, 4, &[0, 0, 9, 0, 0, 1, 8, 1, 0, 0, 0, b'z']));
    let received = decode_all(&mut Decoder::new(), &wire).unwrap();
    assert_eq!(received.iter().map(|m| (m.timestamp, m.body.len())).collect::<Vec<_>>(), [(9, 1)]);
}

#[test]
fn stated_lengths_are_limited_before_any_byte_of_the_body() {
    let long = header(0, 4, &[0, 0, 0, 0x02, 0, 0, 9, 1, 0, 0, 0]);
    let error = ChunkError::TooLong { kind: 9, len: 0x2_0000, limit: MAX_COMMAND_BYTES };
    assert_eq!(decode_all(&mut Decoder::new(), &long), Err(error));
    let mut publishing = Decoder::new();
    publishing.allow_media();
    assert_eq!(decode_all(&mut publishing, &long), Ok(vec![]));
    let longest = header(0, 5, &[0, 0, 0, 0xFF, 0xFF, 0xFF, 9, 1, 0, 0, 0]);
    let error = ChunkError::TooLong { kind: 9, len: 0xFF_FFFF, limit: MAX_MEDIA_BYTES };
    let mut publishing = Decoder::new();
    publishing.allow_media();
    assert_eq!(decode_all(&mut publishing, &longest), Err(error));
}

#[test]
fn unfinished_messages_are_limited_in_number_and_bytes() {
    let mut decoder = Decoder::new();
    for id in 3..19 {
        let begun = [header(0, id, &[0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0]), vec![0; 128]].concat();
        assert_eq!(decode_all(&mut decoder, &begun), Ok(vec![]));
    }
    let one_more = header(0, 20, &[0, 0, 0, 0, 0, 200, 8, 1, 0, 0, 0]);
    assert_eq!(decode_all(&mut decoder, &one_more), Err(ChunkError::TooManyPartial));

    let mut decoder = Decoder::new();
    decoder.allow_media();
    decode_all(&mut decoder, &header(0, 2, &[0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0x38, 0, 0])).unwrap();
    let begun = |id| [header(0, id, &[0, 0, 0, 0x3F, 0, 0, 9, 1, 0, 0, 0]), vec![0; 0x38_0000]].concat();
    assert_eq!(decode_all(&mut decoder, &begun(3)), Ok(vec![]));
    assert_eq!(decode_all(&mut decoder, &begun(4)), Err(ChunkError::TooManyPartialBytes));
}

#[test]
fn broken_chunk_streams_are_refused() {
    let decode = |wire: &[u8]| decode_all(&mut Decoder::new(), wire);
    assert_eq!(decode(&[0xC5]), Err(ChunkError::NoHeader { stream: 5, format: 3 }));
    assert_eq!(decode(&header(2, 5, &[0, 0, 0])), Err(ChunkError::NoHeader { stream: 5, format: 2 }));
    let zero_size = header(0, 2, &[0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decode(&zero_size), Err(ChunkError::Control(1)));
    let begun = [header(0, 4, &[0, 0, 1, 0, 0, 200, 8, 1, 0, 0, 0]), vec![0; 128]].concat();
    let again = header(0, 4, &[0, 0, 1, 0, 0, 200, 8, 1, 0, 0, 0]);
    assert_eq!(decode(&[begun, again].concat()), Err(ChunkError::Interrupted(4)));
    let many: Vec<u8> = (0..=64_u8).flat_map(|n| [0, n, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]).collect();
    assert_eq!(decode(&many), Err(ChunkError::TooManyStreams));
}

#[test]
fn librtmp_may_open_a_chunk_stream_with_type_1() {
    let wire = header(1, 2, &[0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 9]);
    assert_eq!(decode_all(&mut Decoder::new(), &wire).unwrap()[0].stream, 0);
}
