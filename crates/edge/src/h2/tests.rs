//! The protocol, frame by frame.

use proptest::prelude::*;

use super::connection::{Connection, FAREWELL_PING, Farewell, MAX_STREAMS};
use super::frame::*;
use super::receive_any;
use crate::h1::PREFACE;

/// `GET https://a/`, in indexes and one literal.
const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
const POST: &[u8] = &[0x83, 0x87, 0x84, 0x01, 1, b'a'];

const END: u8 = flag::END_HEADERS | flag::END_STREAM;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

/// A connection after both sides' settings, with what it has said taken away.
fn settled() -> Connection {
    let mut connection = Connection::new(1000);
    let mut hello = PREFACE.to_vec();
    push_settings(&mut hello, &[]);
    assert_eq!(connection.receive(&hello).unwrap().0, hello.len());
    said(&mut connection);
    connection
}

fn give(connection: &mut Connection, frames: &[Vec<u8>]) -> Result<(), Reason> {
    let bytes = frames.concat();
    connection.receive(&bytes).map(|(used, _)| assert_eq!(used, bytes.len()))
}

/// Frames that wait to go, as kind, flags, stream and payload.
fn said(connection: &mut Connection) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let used = connection.outbox.slices(&mut slices);
    let bytes = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>();
    connection.outbox.consume(bytes.len());
    let (mut rest, mut all) = (&bytes[..], Vec::new());
    while let Some(head) = FrameHead::read(rest) {
        let end = HEAD_BYTES + head.length;
        all.push((head.kind, head.flags, head.stream, rest[HEAD_BYTES..end].to_vec()));
        rest = &rest[end..];
    }
    all
}

fn resets(connection: &mut Connection) -> Vec<(u32, u32)> {
    let frames = said(connection).into_iter().filter(|(kind, ..)| *kind == kind::RST_STREAM);
    frames.map(|(_, _, stream, payload)| (stream, read_31(&payload).unwrap())).collect()
}

#[test]
fn the_front_says_what_it_takes_and_answers_settings_and_pings() {
    let mut connection = Connection::new(1000);
    let hello = said(&mut connection);
    assert_eq!((hello[0].0, hello[1].0, hello[0].3.len()), (kind::SETTINGS, kind::WINDOW_UPDATE, 18));
    assert_eq!(connection.receive(&PREFACE[..10]), Ok((0, PREFACE.len())));
    let mut hello = PREFACE.to_vec();
    push_settings(&mut hello, &[(setting::INITIAL_WINDOW_SIZE, 7), (99, 1), (setting::ENABLE_PUSH, 0)]);
    push_ping(&mut hello, 0, *b"01234567");
    connection.receive(&hello).unwrap();
    let answers = [(kind::SETTINGS, flag::ACK, 0, vec![]), (kind::PING, flag::ACK, 0, b"01234567".to_vec())];
    assert_eq!(said(&mut connection), answers);
    assert_eq!(connection.first_window, 7);
    for bad in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!"] {
        assert_eq!(Connection::new(1000).receive(bad), Err(Reason::Protocol));
    }
    let early = [PREFACE, &frame(kind::PING, 0, 0, &[0; 8])].concat();
    assert_eq!(Connection::new(1000).receive(&early), Err(Reason::Protocol), "settings come first");
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let request = frame(kind::HEADERS, END, 1, GET);
    let window = |stream, more: u32| frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    let setting =
        |id: u16, value: u32| frame(kind::SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    for (reason, frames) in [
        (Reason::Protocol, vec![frame(kind::DATA, 0, 0, b"x")]),
        (Reason::Protocol, vec![frame(kind::DATA, 0, 1, b"x")]),
        (Reason::Protocol, vec![frame(kind::HEADERS, END, 0, GET)]),
        (Reason::Protocol, vec![frame(kind::HEADERS, END, 2, GET)]),
        (Reason::Protocol, vec![frame(kind::HEADERS, END | flag::PADDED, 1, &[9, 0x82])]),
        (Reason::FrameSize, vec![frame(kind::HEADERS, END | flag::PRIORITY, 1, &[0; 4])]),
        (Reason::Compression, vec![frame(kind::HEADERS, END, 1, &[0x80])]),
        (Reason::Protocol, vec![frame(kind::HEADERS, flag::END_STREAM, 1, GET), frame(kind::PING, 0, 0, &[0; 8])]),
        (Reason::Protocol, vec![frame(kind::HEADERS, 0, 1, GET), frame(kind::CONTINUATION, END, 3, &[])]),
        (Reason::Protocol, vec![frame(kind::CONTINUATION, END, 1, GET)]),
        (Reason::Protocol, vec![frame(kind::PRIORITY, 0, 0, &[0; 5])]),
        (Reason::FrameSize, vec![frame(kind::PRIORITY, 0, 1, &[0; 4])]),
        (Reason::Protocol, vec![frame(kind::RST_STREAM, 0, 0, &[0; 4])]),
        (Reason::Protocol, vec![frame(kind::RST_STREAM, 0, 1, &[0; 4])]),
        (Reason::FrameSize, vec![request.clone(), frame(kind::RST_STREAM, 0, 1, &[0; 5])]),
        (Reason::Protocol, vec![frame(kind::PUSH_PROMISE, 0, 1, &[0; 4])]),
        (Reason::Protocol, vec![frame(kind::PING, 0, 1, &[0; 8])]),
        (Reason::FrameSize, vec![frame(kind::PING, 0, 0, &[0; 7])]),
        (Reason::Protocol, vec![frame(kind::GOAWAY, 0, 1, &[0; 8])]),
        (Reason::FrameSize, vec![frame(kind::GOAWAY, 0, 0, &[0; 7])]),
        (Reason::Protocol, vec![window(0, 0)]),
        (Reason::Protocol, vec![window(1, 1)]),
        (Reason::FlowControl, vec![window(0, (1 << 31) - 1)]),
        (Reason::FrameSize, vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])]),
        (Reason::Protocol, vec![frame(kind::SETTINGS, 0, 1, &[])]),
        (Reason::FrameSize, vec![frame(kind::SETTINGS, 0, 0, &[0; 5])]),
        (Reason::FrameSize, vec![frame(kind::SETTINGS, flag::ACK, 0, &[0; 6])]),
        (Reason::Protocol, vec![setting(setting::ENABLE_PUSH, 2)]),
        (Reason::FlowControl, vec![setting(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
        (Reason::Protocol, vec![setting(setting::MAX_FRAME_SIZE, 100)]),
        (
            Reason::FlowControl,
            vec![request.clone(), window(1, (1 << 30) + (1 << 29)), setting(setting::INITIAL_WINDOW_SIZE, 1 << 30)],
        ),
        (Reason::FrameSize, vec![frame(kind::DATA, 0, 1, &[0; MAX_FRAME_BYTES + 1])]),
        (Reason::Protocol, vec![frame(kind::HEADERS, END, 3, GET), frame(kind::DATA, 0, 2, b"x")]),
        (Reason::StreamClosed, vec![frame(kind::HEADERS, END, 3, GET), request]),
    ] {
        let mut connection = settled();
        assert_eq!(give(&mut connection, &frames), Err(reason), "{frames:?}");
        connection.fail(reason);
        let farewell = said(&mut connection).pop().unwrap();
        assert_eq!((farewell.0, &farewell.3[4..]), (kind::GOAWAY, &(reason as u32).to_be_bytes()[..]));
        assert!(connection.is_over());
    }
}

#[test]
fn faults_of_a_stream_reset_it_alone() {
    let open = frame(kind::HEADERS, flag::END_HEADERS, 1, POST);
    let announced = [POST, &[0x0f, 13, 1, b'5']].concat();
    let window = |more: u32| frame(kind::WINDOW_UPDATE, 0, 1, &more.to_be_bytes());
    let announce = |flags| frame(kind::HEADERS, flags, 1, &announced);
    for (reason, frames) in [
        (Reason::Protocol, vec![frame(kind::HEADERS, END, 1, &GET[..2])]),
        (Reason::Protocol, vec![announce(END)]),
        (Reason::Protocol, vec![announce(flag::END_HEADERS), frame(kind::DATA, flag::END_STREAM, 1, b"four")]),
        (Reason::Protocol, vec![announce(flag::END_HEADERS), frame(kind::DATA, 0, 1, b"six...")]),
        (Reason::Protocol, vec![open.clone(), open.clone()]),
        (Reason::Protocol, vec![open.clone(), frame(kind::HEADERS, END, 1, GET)]),
        (Reason::StreamClosed, vec![frame(kind::HEADERS, END, 1, GET), frame(kind::DATA, 0, 1, b"x")]),
        (Reason::Protocol, vec![open.clone(), window(0)]),
        (Reason::FlowControl, vec![open.clone(), window((1 << 31) - 1)]),
        (Reason::FlowControl, [vec![open], vec![frame(kind::DATA, 0, 1, &[0; MAX_FRAME_BYTES]); 5]].concat()),
    ] {
        let mut connection = settled();
        give(&mut connection, &frames).unwrap();
        assert_eq!(resets(&mut connection), [(1, reason as u32)], "{frames:?}");
        assert_eq!(connection.streams.len(), 0);
        // What was under way is passed over, and the next request is taken.
        give(&mut connection, &[frame(kind::DATA, 0, 1, b"late"), frame(kind::HEADERS, END, 3, GET)]).unwrap();
        assert_eq!((connection.streams.len(), resets(&mut connection)), (1, vec![]));
    }
}

#[test]
fn heads_over_the_limit_are_kept_for_a_refusal() {
    let mut connection = settled();
    let mut block = GET.to_vec();
    for _ in 0..10 {
        block.extend([&[0, 1, b'x', 127, 1][..], &[b'y'; 128]].concat());
    }
    let (first, rest) = block.split_at(500);
    give(
        &mut connection,
        &[frame(kind::HEADERS, flag::END_STREAM, 1, first), frame(kind::CONTINUATION, flag::END_HEADERS, 1, rest)],
    )
    .unwrap();
    assert!(connection.streams.get(0).asked.as_ref().unwrap().block.is_over());
    let endless = vec![frame(kind::CONTINUATION, 0, 3, &[]); 40];
    give(&mut connection, &[frame(kind::HEADERS, flag::END_STREAM, 3, &[])]).unwrap();
    assert_eq!(give(&mut connection, &endless), Err(Reason::EnhanceYourCalm));
}

#[test]
fn bodies_are_taken_within_their_windows() {
    let mut connection = settled();
    give(&mut connection, &[frame(kind::HEADERS, flag::END_HEADERS, 1, POST)]).unwrap();
    for _ in 0..50 {
        give(&mut connection, &[frame(kind::DATA, flag::PADDED, 1, &[&[3][..], &[b'x'; 10_000], &[0; 3]].concat())])
            .unwrap();
        let inbox = connection.streams.get(0).inbox.clone().unwrap();
        // As if a bend had taken it.
        let taken = inbox.abandon();
        assert_eq!(taken, 10_000);
        connection.give_back_of(0, taken);
        connection.give_back(taken);
    }
    let opened: u32 = said(&mut connection)
        .iter()
        .filter(|(.., stream, _)| *stream == 1)
        .map(|(.., more)| read_31(more).unwrap())
        .sum();
    assert!((400_000..501_000).contains(&opened), "{opened}");
    give(&mut connection, &[frame(kind::DATA, flag::END_STREAM, 1, b"")]).unwrap();
    assert!(!connection.streams.get(0).open);
}

#[test]
fn unread_bodies_are_passed_over_and_then_cut_off() {
    let post = |id| frame(kind::HEADERS, flag::END_HEADERS, id, POST);
    let data = |flags, id, length| frame(kind::DATA, flags, id, &vec![b'x'; length]);
    // One that ends is no fault.
    let mut connection = settled();
    give(&mut connection, &[post(1), data(0, 1, 5)]).unwrap();
    connection.finish(0);
    give(&mut connection, &[data(0, 1, 3), data(flag::END_STREAM, 1, 2)]).unwrap();
    assert_eq!((said(&mut connection).len(), connection.streams.len(), connection.credit), (0, 0, 10));
    // One that goes on is cut off before the viewer waits for its window.
    give(&mut connection, &[post(3)]).unwrap();
    connection.finish(0);
    give(&mut connection, &[data(0, 3, 16_000), data(0, 3, 16_000), data(0, 3, 16_000)]).unwrap();
    assert_eq!(resets(&mut connection), []);
    give(&mut connection, &[data(0, 3, 16_000)]).unwrap();
    assert_eq!((resets(&mut connection), connection.streams.len()), (vec![(3, 0)], 0));
    give(&mut connection, &[data(0, 3, 1)]).unwrap();
    // One that says nothing is cut off some time.
    give(&mut connection, &[post(5)]).unwrap();
    connection.finish(0);
    assert!(connection.streams.are_over());
    connection.dismiss_all();
    assert_eq!((resets(&mut connection), connection.streams.len()), (vec![(5, 0)], 0));
    // Trailers end it as well.
    give(&mut connection, &[post(7)]).unwrap();
    connection.finish(0);
    give(&mut connection, &[frame(kind::HEADERS, END, 7, &[0, 1, b'x', 1, b'y'])]).unwrap();
    assert_eq!((resets(&mut connection), connection.streams.len()), (vec![], 0));
}

#[test]
fn floods_end_the_connection() {
    let reset = |id| frame(kind::RST_STREAM, 0, id, &[0, 0, 0, 8]);
    let mut early = (1..).step_by(2).map(|id| vec![frame(kind::HEADERS, END, id, GET), reset(id)]);
    let mut provoked = (1..).step_by(2).map(|id| vec![frame(kind::HEADERS, END, id, &GET[..1])]);
    let mut refused = (1..).step_by(2).map(|id| vec![frame(kind::HEADERS, END, id, GET)]);
    let open = frame(kind::HEADERS, flag::END_HEADERS, 1, POST);
    let mut pings = std::iter::repeat_with(|| vec![frame(kind::PING, 0, 0, &[0; 8])]);
    let mut settings = std::iter::repeat_with(|| vec![frame(kind::SETTINGS, 0, 0, &[])]);
    let mut unknown = std::iter::repeat_with(|| vec![frame(77, 0, 0, &[])]);
    let mut windows = std::iter::repeat_with(|| vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])]);
    let mut empty = std::iter::once(vec![open]).chain(std::iter::repeat_with(|| vec![frame(kind::DATA, 0, 1, &[])]));
    let floods: [(&mut dyn Iterator<Item = Vec<Vec<u8>>>, usize); 8] = [
        (&mut early, 21),
        (&mut provoked, 257),
        (&mut refused, MAX_STREAMS + 257),
        (&mut pings, 4096),
        (&mut settings, 4096),
        (&mut unknown, 4096),
        (&mut windows, 4096),
        (&mut empty, 4097),
    ];
    for (number, (flood, limit)) in floods.into_iter().enumerate() {
        let mut connection = settled();
        let ended = flood.take(10_000).position(|frames| {
            said(&mut connection);
            give(&mut connection, &frames).is_err_and(|reason| reason == Reason::EnhanceYourCalm)
        });
        assert!(ended.is_some_and(|at| at < limit), "flood {number}: {ended:?}");
    }
}

#[test]
fn farewell_is_said_in_two_steps() {
    let mut connection = settled();
    connection.announce_end();
    let announced = said(&mut connection);
    assert_eq!((announced[0].0, read_31(&announced[0].3[..4])), (kind::GOAWAY, Some(MAX_ID)));
    assert_eq!(announced[1], (kind::PING, 0, 0, FAREWELL_PING.to_vec()));
    give(&mut connection, &[frame(kind::HEADERS, END, 1, GET), frame(kind::PING, flag::ACK, 0, &FAREWELL_PING)])
        .unwrap();
    assert_eq!(said(&mut connection)[0].3[..4], [0, 0, 0, 1], "the request was under way");
    give(&mut connection, &[frame(kind::HEADERS, END, 3, GET)]).unwrap();
    assert_eq!((connection.streams.len(), connection.is_over()), (1, false));
    connection.finish(0);
    assert!(connection.is_over() && connection.farewell == Farewell::Said);
    let mut connection = settled();
    give(&mut connection, &[frame(kind::HEADERS, END, 1, GET), frame(kind::GOAWAY, 0, 0, &[0; 8])]).unwrap();
    assert!(!connection.is_over());
    connection.finish(0);
    assert!(connection.is_over(), "the viewer has left");
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>, pieces: Vec<u8>) {
        receive_any(&bytes, &pieces);
    }

    #[test]
    fn any_frames_are_judged(
        frames in prop::collection::vec((0_u8..11, any::<u8>(), 0_u32..12, prop::collection::vec(any::<u8>(), 0..20), any::<bool>()), 0..60),
        pieces: Vec<u8>,
    ) {
        let mut bytes = PREFACE.to_vec();
        push_settings(&mut bytes, &[]);
        for (kind, flags, stream, payload, real) in frames {
            let payload = if real && kind == kind::HEADERS { POST } else { &payload };
            bytes.extend(frame(kind, if real { flag::END_HEADERS } else { flags }, stream, payload));
        }
        receive_any(&bytes, &pieces);
    }
}
