use proptest::prelude::*;

use super::*;
use crate::rtmp::amf0::{decode, encode_all};
use crate::rtmp::chunk::{Decoder, Encoder};
use crate::rtmp::handshake::PACKET_LEN;
use crate::rtmp::message::{Message, kind};

/// What an encoder writes, message by message.
#[derive(Default)]
struct Dialogue {
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Dialogue {
    fn handshake() -> Self {
        let mut bytes = vec![3];
        bytes.extend([0; 2 * PACKET_LEN]);
        Self { encoder: Encoder::new(), bytes }
    }

    fn message(mut self, id: u32, message: &Message) -> Self {
        self.encoder.encode(id, message, &mut self.bytes);
        self
    }

    fn command(self, stream: u32, name: &str, transaction: f64, values: &[Value]) -> Self {
        let mut all = vec![Value::string(name), Value::Number(transaction)];
        all.extend_from_slice(values);
        self.message(3, &Message::new(kind::COMMAND_AMF0, stream, encode_all(&all)))
    }

    fn connect(self, more: &[(&str, Value)]) -> Self {
        let mut object = vec![
            ("app".to_owned(), Value::string("live")),
            ("flashVer".to_owned(), Value::string("FMLE/3.0 (compatible; test)")),
            ("tcUrl".to_owned(), Value::string("rtmp://host:1935/live")),
        ];
        object.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.command(0, "connect", 1.0, &[Value::Object(object)])
    }

    /// The commands of ffmpeg and OBS up to publish.
    fn publish(self) -> Self {
        let key = Value::string("k3y");
        self.connect(&[])
            .command(0, "releaseStream", 2.0, &[Value::Null, key.clone()])
            .command(0, "FCPublish", 3.0, &[Value::Null, key.clone()])
            .command(0, "createStream", 4.0, &[Value::Null])
            .command(1, "publish", 5.0, &[Value::Null, key, Value::string("live")])
    }

    fn media(self, kind: u8, timestamp: u32, body: &'static [u8]) -> Self {
        self.message(4, &Message { kind, timestamp, stream: 1, body: Bytes::from_static(body) })
    }
}

/// Runs a session over `input` in parts of `step` bytes, accepting what is asked.
fn run(input: &[u8], step: usize) -> (Result<Session, SessionError>, Output) {
    let (mut session, mut output) = (Session::new(1), Output::default());
    for part in input.chunks(step) {
        let mut part = part;
        while !part.is_empty() {
            session = match session.handle(&mut part, &mut output) {
                Ok(session) => session.answer(Answer::Accept, &mut output),
                Err(error) => return (Err(error), output),
            };
        }
    }
    (Ok(session.answer(Answer::Accept, &mut output)), output)
}

/// What the server said after the handshake.
fn said(output: &Output) -> Vec<Message> {
    let mut input = &output.bytes[1 + 2 * PACKET_LEN..];
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    while let Some(message) = decoder.decode(&mut input).unwrap() {
        messages.push(message);
    }
    messages
}

fn commands(output: &Output) -> Vec<Vec<Value>> {
    said(output).iter().filter(|m| m.kind == kind::COMMAND_AMF0).map(|m| decode(&m.body).unwrap()).collect()
}

fn code(values: &[Value]) -> Option<&str> {
    values.last()?.property("code")?.as_str()
}

#[test]
fn a_publish_as_ffmpeg_and_obs_do_it() {
    let metadata = [Value::string("@setDataFrame"), Value::string("onMetaData"), Value::EcmaArray(vec![])];
    let dialogue = Dialogue::handshake()
        .publish()
        .message(4, &Message::new(kind::DATA_AMF0, 1, encode_all(&metadata)))
        .media(kind::VIDEO, 0, b"video")
        .media(kind::AUDIO, 23, b"audio")
        .media(kind::AUDIO, 46, b"")
        .command(0, "FCUnpublish", 6.0, &[Value::Null, Value::string("k3y")])
        .command(0, "deleteStream", 7.0, &[Value::Null, Value::Number(1.0)]);
    let (session, output) = run(&dialogue.bytes, usize::MAX);
    assert!(matches!(session, Ok(Session::Closed)));
    let connect = Connect {
        app: "live".to_owned(),
        tc_url: "rtmp://host:1935/live".to_owned(),
        flash_ver: "FMLE/3.0 (compatible; test)".to_owned(),
        enhanced: false,
    };
    let media = |kind, timestamp, body: &'static [u8]| Event::Media { kind, timestamp, body: body.into() };
    let expected = [
        Event::Connect(connect),
        Event::Publish { stream_name: "k3y".to_owned() },
        Event::Metadata(Value::EcmaArray(vec![])),
        media(MediaKind::Video, 0, b"video"),
        media(MediaKind::Audio, 23, b"audio"),
        Event::Unpublish,
    ];
    assert_eq!(output.events, expected);
    let commands = commands(&output);
    let names: Vec<_> = commands.iter().map(|values| (values[0].as_str().unwrap(), values[1].as_number())).collect();
    let results = [1.0, 2.0, 3.0].map(|n| ("_result", Some(n)));
    assert_eq!(names[..3], results);
    assert_eq!(names[3..], [("onFCPublish", Some(0.0)), ("_result", Some(4.0)), ("onStatus", Some(0.0))]);
    assert_eq!(code(&commands[0]), Some("NetConnection.Connect.Success"));
    assert_eq!(code(&commands[5]), Some("NetStream.Publish.Start"));
    let first_kinds: Vec<_> = said(&output).iter().take(2).map(|message| message.kind).collect();
    assert_eq!(first_kinds, [kind::WINDOW_ACK_SIZE, kind::SET_PEER_BANDWIDTH]);
}

#[test]
fn enhanced_rtmp_is_answered_when_it_is_asked() {
    let plain = run(&Dialogue::handshake().connect(&[]).bytes, usize::MAX).1;
    assert_eq!(commands(&plain)[0][2].property("fourCcList"), None);
    let list = Value::StrictArray(vec![Value::string("hvc1")]);
    let enhanced = run(&Dialogue::handshake().connect(&[("fourCcList", list)]).bytes, usize::MAX).1;
    let answer = commands(&enhanced);
    let properties = &answer[0][2];
    assert!(matches!(properties.property("fourCcList"), Some(Value::StrictArray(list)) if list.len() == 5));
    let video = properties.property("videoFourCcInfoMap").unwrap();
    assert_eq!(video.property("hvc1"), Some(&Value::Number(4.0)));
    assert!(properties.property("capsEx").is_some());
}

#[test]
fn requests_hold_the_input_until_they_are_answered() {
    let dialogue = Dialogue::handshake().publish();
    let (mut input, mut output) = (dialogue.bytes.as_slice(), Output::default());
    let session = Session::new(1).handle(&mut input, &mut output).unwrap();
    let held = input.len();
    let session = session.handle(&mut input, &mut output).unwrap();
    assert!(held > 0 && input.len() == held && matches!(session, Session::ConnectAsked(_)));
    let session = session.answer(Answer::Refuse("not here"), &mut output);
    assert!(matches!(session, Session::Closed));
    let said = &commands(&output)[0];
    assert_eq!((said[0].as_str(), code(said)), (Some("_error"), Some("NetConnection.Connect.Rejected")));
}

#[test]
fn a_refused_publish_says_why() {
    let dialogue = Dialogue::handshake().publish();
    let (mut input, mut output) = (dialogue.bytes.as_slice(), Output::default());
    let session = Session::new(1).handle(&mut input, &mut output).unwrap();
    let session = session.answer(Answer::Accept, &mut output).handle(&mut input, &mut output).unwrap();
    let _ = session.answer(Answer::Refuse("no such key"), &mut output);
    let said = commands(&output).pop().unwrap();
    assert_eq!(code(&said), Some("NetStream.Publish.BadName"));
    assert_eq!(said[3].property("level"), Some(&Value::string("error")));
    assert_eq!(said[3].property("description"), Some(&Value::string("no such key")));
}

#[test]
fn play_is_refused_with_words() {
    let dialogue = Dialogue::handshake().connect(&[]).command(0, "createStream", 2.0, &[Value::Null]).command(
        1,
        "play",
        3.0,
        &[Value::Null, Value::string("k3y")],
    );
    let (session, output) = run(&dialogue.bytes, usize::MAX);
    assert!(matches!(session, Err(SessionError::Play)));
    assert_eq!(code(&commands(&output)[2]), Some("NetStream.Play.Failed"));
}

#[test]
fn what_is_not_due_is_an_error() {
    let order = |bytes: &[u8]| match run(bytes, usize::MAX).0 {
        Err(SessionError::OutOfOrder { when, what }) => (when, what),
        other => panic!("{other:?}"),
    };
    let early = Dialogue::handshake().media(kind::VIDEO, 0, b"x");
    assert_eq!(order(&early.bytes), ("before connect", "media or data"));
    let early = Dialogue::handshake().command(0, "createStream", 1.0, &[Value::Null]);
    assert_eq!(order(&early.bytes), ("before connect", "another command"));
    let early = Dialogue::handshake().connect(&[]).media(kind::VIDEO, 0, b"x");
    assert_eq!(order(&early.bytes), ("before publish", "media"));
    let twice = Dialogue::handshake().publish().command(1, "publish", 9.0, &[Value::Null]);
    assert_eq!(order(&twice.bytes), ("while publishing", "publish"));
}

#[test]
fn amf3_commands_with_amf0_inside_are_read() {
    let mut body = vec![0];
    let object = Value::object([("app", Value::string("live"))]);
    body.extend(encode_all(&[Value::string("connect"), Value::Number(1.0), object]));
    let dialogue = Dialogue::handshake().message(3, &Message::new(kind::COMMAND_AMF3, 0, body));
    let (session, output) = run(&dialogue.bytes, usize::MAX);
    assert!(matches!(session, Ok(Session::Connected(_))));
    assert!(matches!(&output.events[..], [Event::Connect(connect)] if connect.app == "live"));
}

#[test]
fn pings_and_windows_are_answered() {
    let dialogue = Dialogue::handshake()
        .publish()
        .message(2, &Message::new(kind::USER_CONTROL, 0, vec![0, 6, 1, 2, 3, 4]))
        .message(2, &Message::new(kind::WINDOW_ACK_SIZE, 0, vec![0, 0, 0x10, 0]))
        .media(kind::VIDEO, 0, &[7; 5000]);
    let (session, output) = run(&dialogue.bytes, 1024);
    assert!(matches!(session, Ok(Session::Publishing(_))));
    let said = said(&output);
    let ping = said.iter().filter(|m| m.kind == kind::USER_CONTROL).nth(1).unwrap();
    assert_eq!(ping.body[..], [0, 7, 1, 2, 3, 4]);
    let acknowledged = said.iter().filter(|m| m.kind == kind::ACKNOWLEDGEMENT).count();
    assert!(acknowledged >= 1, "{said:?}");
}

#[test]
fn aggregates_are_split_into_media() {
    let part = [9, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, b'v', 0, 0, 0, 12];
    let message = Message { kind: kind::AGGREGATE, timestamp: 70, stream: 1, body: part.repeat(2).into() };
    let (_, output) = run(&Dialogue::handshake().publish().message(4, &message).bytes, usize::MAX);
    let video = Event::Media { kind: MediaKind::Video, timestamp: 70, body: Bytes::from_static(b"v") };
    assert_eq!(output.events[2..], [video.clone(), video]);
}

#[test]
fn a_revoked_publish_says_why() {
    let (session, _) = run(&Dialogue::handshake().publish().bytes, usize::MAX);
    let mut output = Output::default();
    session.unwrap().revoke("key was changed", &mut output);
    assert!(output.bytes.windows(15).any(|window| window == b"key was changed"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_split_gives_the_same_events(step in 1_usize..5000) {
        let dialogue = Dialogue::handshake()
            .publish()
            .media(kind::VIDEO, 0xFF_FFFF, &[1; 700])
            .media(kind::AUDIO, 0x0100_0010, &[2; 300])
            .command(0, "deleteStream", 7.0, &[Value::Null, Value::Number(1.0)]);
        let (whole, parts) = (run(&dialogue.bytes, usize::MAX).1, run(&dialogue.bytes, step).1);
        prop_assert_eq!(whole.events, parts.events);
        prop_assert_eq!(whole.bytes, parts.bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), step in 1_usize..600) {
        let _ = run(&bytes, step);
        let after_handshake = [Dialogue::handshake().bytes, bytes.clone()].concat();
        let _ = run(&after_handshake, step);
        let publishing = [Dialogue::handshake().publish().bytes, bytes].concat();
        let _ = run(&publishing, step);
    }
}
