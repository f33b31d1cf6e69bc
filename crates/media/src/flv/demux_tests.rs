//! Tracks and samples from hand-made messages.

use proptest::prelude::*;

use super::*;
use crate::ConfigError;
use crate::codec::av1::tests::av1c_720p;
use crate::codec::avc::tests::{AVCC_720P, avcc_1080p};
use crate::codec::hevc::tests::HVCC_720P;

const ASC: &[u8] = &[0x11, 0x90];
const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

/// One NAL unit of two bytes behind a four-byte length: a slice that is no random access point in H.264 and H.265.
const SLICE: &[u8] = &[0, 0, 0, 2, 0x02, 0x01];
/// An H.264 IDR slice.
const IDR: &[u8] = &[0, 0, 0, 2, 0x65, 0x88];

fn join(head: &[u8], data: &[u8]) -> Bytes {
    [head, data].concat().into()
}

fn avc_config(record: &[u8]) -> Bytes {
    join(&[0x17, 0, 0, 0, 0], record)
}

fn avc(keyframe: bool, composition_ms: i32, data: &[u8]) -> Bytes {
    let [_, c0, c1, c2] = composition_ms.to_be_bytes();
    join(&[if keyframe { 0x17 } else { 0x27 }, 1, c0, c1, c2], data)
}

fn aac_config() -> Bytes {
    join(&[0xaf, 0], ASC)
}

fn aac() -> Bytes {
    join(&[0xaf, 1], b"sound")
}

/// A session that collects what it says.
#[derive(Default)]
struct Session {
    demuxer: Demuxer,
    events: Vec<Event>,
}

impl Session {
    /// A session with an H.264 and an AAC track announced.
    fn with_both() -> Self {
        let mut session = Self::default();
        session.video(0, avc_config(AVCC_720P));
        session.audio(0, aac_config());
        session.events.clear();
        session
    }

    fn video(&mut self, timestamp_ms: u32, body: Bytes) {
        self.demuxer.push(FlvKind::Video, timestamp_ms, body, &mut self.events).unwrap();
    }

    fn audio(&mut self, timestamp_ms: u32, body: Bytes) {
        self.demuxer.push(FlvKind::Audio, timestamp_ms, body, &mut self.events).unwrap();
    }

    fn tracks(&self) -> Vec<Arc<Track>> {
        let track = |event: &Event| if let Event::Track(track) = event { Some(track.clone()) } else { None };
        self.events.iter().filter_map(track).collect()
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |event: &Event| if let Event::Sample(sample) = event { Some(sample.clone()) } else { None };
        self.events.iter().filter_map(sample).collect()
    }

    /// `(kind, dts, pts, keyframe)` of each sample.
    fn times(&self) -> Vec<(char, i64, i64, bool)> {
        let kind = |kind| if kind == TrackKind::Video { 'v' } else { 'a' };
        self.samples().iter().map(|s| (kind(s.kind), s.dts, s.pts, s.keyframe)).collect()
    }

    fn jumps(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Discontinuity)).count()
    }
}

#[test]
fn tracks_are_announced_once_and_when_they_change() {
    let mut session = Session::default();
    for timestamp in [0, 40, 80] {
        session.video(timestamp, avc_config(AVCC_720P));
        session.audio(timestamp, aac_config());
    }
    let tracks = session.tracks();
    assert_eq!(tracks.len(), 2);
    let video = &tracks[0];
    assert_eq!((video.kind, video.timescale, video.width, video.height), (TrackKind::Video, 1000, 1280, 720));
    assert_eq!((video.codecs.as_str(), &video.codec), ("avc1.64001f", &Codec::H264(Bytes::from_static(AVCC_720P))));
    let audio = &tracks[1];
    assert_eq!(
        (audio.kind, audio.sample_rate, audio.channels, audio.frame_samples),
        (TrackKind::Audio, 48_000, 2, 1024)
    );

    session.video(120, avc_config(&avcc_1080p()));
    assert_eq!(session.tracks().last().unwrap().height, 1080);
    session.video(160, avc_config(AVCC_720P));
    assert_eq!(session.tracks().len(), 4);
}

#[test]
fn a_codec_change_in_mid_stream_is_a_new_track() {
    let mut session = Session::with_both();
    session.video(0, avc(true, 0, IDR));
    session.video(40, join(b"\x90hvc1", HVCC_720P));
    session.video(40, avc(false, 0, SLICE));
    session.video(80, join(b"\x91hvc1\0\0\0", SLICE));
    session.video(120, join(b"\x90av01", &av1c_720p()));
    session.video(120, join(b"\x91av01", &[0x12, 0, 0x32, 1, 9]));
    let codecs: Vec<_> = session.tracks().iter().map(|track| track.codecs.clone()).collect();
    assert_eq!(codecs, ["hvc1.1.6.L93.90", "av01.0.05M.08"]);
    assert_eq!(session.times(), [('v', 0, 0, true), ('v', 80, 80, true), ('v', 120, 120, true)]);
    assert_eq!(session.samples()[2].data, [0x32, 1, 9][..], "the temporal delimiter is left out");
    assert_eq!(session.demuxer.dropped(), Dropped { before_config: 1, malformed: 0 });
}

#[test]
fn frames_before_their_configuration_are_counted_and_left_out() {
    let mut session = Session::default();
    session.video(0, avc(true, 0, IDR));
    session.audio(0, aac());
    session.audio(0, join(b"\x91Opus", &[0xfc, 0xff, 0xfe]));
    assert!(session.events.is_empty());
    assert_eq!(session.demuxer.dropped().before_config, 3);
}

#[test]
fn false_nal_lengths_are_counted_and_left_out() {
    let mut session = Session::with_both();
    session.video(0, avc(true, 0, &[0, 0, 0, 9, 0x65]));
    assert!(session.events.is_empty());
    assert_eq!(session.demuxer.dropped().malformed, 1);
}

#[test]
fn keyframes_by_flag_or_by_idr() {
    let mut session = Session::with_both();
    session.video(0, avc(true, 0, SLICE));
    session.video(40, avc(false, 0, SLICE));
    session.video(80, avc(false, 0, IDR));
    assert_eq!(session.times(), [('v', 0, 0, true), ('v', 40, 40, false), ('v', 80, 80, true)]);
}

#[test]
fn b_frames_keep_their_presentation_times() {
    let mut session = Session::with_both();
    for (timestamp, composition, key) in
        [(0, 80, true), (40, 160, false), (80, 40, false), (120, 0, false), (160, -20, false)]
    {
        session.video(timestamp, avc(key, composition, SLICE));
    }
    let pts: Vec<_> = session.times().iter().map(|&(_, dts, pts, _)| (dts, pts)).collect();
    assert_eq!(pts, [(0, 80), (40, 200), (80, 120), (120, 120), (160, 160)]);
}

#[test]
fn a_jump_is_said_once_and_keeps_tracks_in_sync() {
    for jump_to in [0_u32, 50_000_000] {
        let mut session = Session::with_both();
        for index in 0..10 {
            session.video(1_000_000 + index * 40, avc(index == 0, 40, SLICE));
            session.audio(1_000_000 + index * 40, aac());
        }
        for index in 0..10 {
            session.video(jump_to + index * 40, avc(index == 0, 40, SLICE));
            session.audio(jump_to + index * 40, aac());
        }
        assert_eq!(session.jumps(), 1);
        let times = session.times();
        for (index, pair) in times.chunks(2).enumerate() {
            let dts = 1_000_000 + index as i64 * 40;
            assert_eq!(pair[0], ('v', dts, dts + 40, index % 10 == 0), "to {jump_to}");
            assert_eq!(pair[1], ('a', dts, dts, true), "to {jump_to}");
        }
        let jump_at = session.events.iter().position(|event| matches!(event, Event::Discontinuity)).unwrap();
        assert_eq!(jump_at, 20, "before the first sample of the new clock");
    }
}

#[test]
fn the_wrap_of_timestamps_is_no_jump() {
    let mut session = Session::with_both();
    for index in 0..20_u32 {
        let timestamp = 0_u32.wrapping_sub(400).wrapping_add(index * 40);
        session.video(timestamp, avc(index == 0, 80, SLICE));
        session.audio(timestamp, aac());
    }
    assert_eq!(session.jumps(), 0);
    let times = session.times();
    assert_eq!(times[39].1 - times[0].1, 19 * 40);
    assert!(times.iter().all(|&(kind, dts, pts, _)| pts - dts == if kind == 'v' { 80 } else { 0 }));
}

#[test]
fn a_small_step_back_is_clamped_and_presentation_stays_true() {
    let mut session = Session::with_both();
    for (timestamp, composition) in [(1000, 80), (900, 200), (1040, 80)] {
        session.video(timestamp, avc(false, composition, SLICE));
    }
    let times: Vec<_> = session.times().iter().map(|&(_, dts, pts, _)| (dts, pts)).collect();
    assert_eq!(times, [(1000, 1080), (1001, 1100), (1040, 1120)]);
    assert_eq!(session.jumps(), 0);
}

#[test]
fn audio_only_and_video_only() {
    let mut session = Session::default();
    session.audio(0, aac_config());
    session.audio(500, aac());
    session.audio(523, aac());
    assert_eq!(session.times(), [('a', 500, 500, true), ('a', 523, 523, true)]);

    let mut session = Session::default();
    session.video(0, avc_config(AVCC_720P));
    session.video(500, avc(true, 0, IDR));
    assert_eq!(session.times(), [('v', 500, 500, true)]);
}

#[test]
fn configurations_do_not_move_time() {
    let mut session = Session::with_both();
    session.video(60_000, avc(true, 0, IDR));
    session.video(0, avc_config(&avcc_1080p()));
    session.video(60_040, avc(true, 0, IDR));
    assert_eq!(session.jumps(), 0);
    assert_eq!(session.times().last(), Some(&('v', 60_040, 60_040, true)));
}

#[test]
fn opus_is_announced_with_its_first_packet() {
    let mut session = Session::default();
    session.audio(0, join(b"\x90Opus", OPUS_HEAD));
    assert!(session.events.is_empty());
    session.audio(0, join(b"\x91Opus", &[0xfc, 0xff, 0xfe]));
    session.audio(20, join(b"\x90Opus", OPUS_HEAD));
    session.audio(20, join(b"\x91Opus", &[0xfc, 0xff, 0xfe]));
    let tracks = session.tracks();
    assert_eq!(tracks.len(), 1);
    let track = &tracks[0];
    assert_eq!(
        (track.codecs.as_str(), track.sample_rate, track.channels, track.frame_samples),
        ("opus", 48_000, 2, 960)
    );
    assert_eq!(session.times(), [('a', 0, 0, true), ('a', 20, 20, true)]);
}

#[test]
fn bodies_without_media_say_nothing() {
    let mut session = Session::with_both();
    for body in [&b""[..], b"\x57\x00", b"\xd1\x00", b"\x17\x01\0\0\0", b"\x17\x02\0\0\0", b"\x94hvc1\x02", b"\x92hvc1"]
    {
        session.video(0, Bytes::copy_from_slice(body));
    }
    for body in [&b""[..], b"\xaf\x01", b"\x92mp4a", b"\x94mp4a\x01\x02"] {
        session.audio(0, Bytes::copy_from_slice(body));
    }
    assert!(session.events.is_empty());
    assert_eq!(session.demuxer.dropped(), Dropped::default());
}

#[test]
fn bad_configurations_end_the_session() {
    let mut out = Vec::new();
    let result = Demuxer::new().push(FlvKind::Video, 0, avc_config(&AVCC_720P[..20]), &mut out);
    assert!(matches!(result, Err(FlvError::Config(ConfigError { record: "avcC", .. }))), "{result:?}");
    assert_eq!(result.unwrap_err().to_string(), "bad avcC: ends or breaks off at byte 8");
    assert!(out.is_empty());
}

#[test]
fn endless_jumps_end_the_session() {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    demuxer.push(FlvKind::Audio, 0, aac_config(), &mut out).unwrap();
    let failed = (0..1000_u32).find_map(|index| {
        let timestamp = index.wrapping_mul(0x4000_0000).wrapping_add(index);
        demuxer.push(FlvKind::Audio, timestamp, aac(), &mut out).err()
    });
    assert_eq!(failed, Some(FlvError::UnstableTime { jumps: MAX_JUMPS + 1 }));
}

/// Bodies that are read without error.
fn valid_bodies() -> Vec<(FlvKind, Bytes)> {
    use FlvKind::{Audio, Video};
    vec![
        (Video, avc_config(AVCC_720P)),
        (Video, avc(true, 80, IDR)),
        (Video, join(b"\x90hvc1", HVCC_720P)),
        (Video, join(b"\x91hvc1\0\0\x50", SLICE)),
        (Video, join(b"\x97\x02\0\0\x63\x03hvc1", SLICE)),
        (Video, join(b"\x90av01", &av1c_720p())),
        (Video, join(b"\xa1av01", &[0x12, 0, 0x32, 1, 9])),
        (Video, join(b"\x96\x13avc1\x01\0\0\x02no\x00\0\0\x06", SLICE)),
        (Audio, aac_config()),
        (Audio, aac()),
        (Audio, join(b"\x90Opus", OPUS_HEAD)),
        (Audio, join(b"\x91Opus", &[0xfc, 0xff, 0xfe])),
    ]
}

proptest! {
    #[test]
    fn any_bodies(bodies in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..80)), 0..20)) {
        let mut demuxer = Demuxer::new();
        let mut out = Vec::new();
        for (is_video, timestamp, body) in bodies {
            let kind = if is_video { FlvKind::Video } else { FlvKind::Audio };
            let _ = demuxer.push(kind, timestamp, body.into(), &mut out);
        }
    }

    #[test]
    fn any_mutation_of_valid_bodies(edits in prop::collection::vec((0..12_usize, any::<prop::sample::Index>(), any::<u8>(), any::<u32>()), 1..40)) {
        let mut demuxer = Demuxer::new();
        let mut out = Vec::new();
        let valid = valid_bodies();
        for (which, at, byte, timestamp) in edits {
            let (kind, body) = &valid[which];
            let mut body = body.to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = demuxer.push(*kind, timestamp, body.clone().into(), &mut out);
            body.truncate(at);
            let _ = demuxer.push(*kind, timestamp, body.into(), &mut out);
        }
        for event in out {
            if let Event::Sample(sample) = event {
                prop_assert!(sample.pts >= sample.dts && sample.dts >= 0);
            }
        }
    }
}
