//! What is written, taken apart again by a reader that knows nothing of the writer.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::TrackKind;
use crate::codec::avc::tests::AVCC_720P;

/// An elementary stream: PES payloads with their times.
#[derive(Debug, PartialEq)]
struct Pes {
    pts: u64,
    dts: u64,
    payload: Vec<u8>,
}

/// Packets of one PID put together; counters, sync bytes and lengths are checked on the way.
fn read(stream: &[u8], pid: u16, counter: &mut Option<u8>) -> Vec<Vec<u8>> {
    assert_eq!(stream.len() % PACKET_BYTES, 0);
    let mut units: Vec<Vec<u8>> = Vec::new();
    for packet in stream.chunks(PACKET_BYTES) {
        assert_eq!(packet[0], 0x47);
        if u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) != pid {
            continue;
        }
        let now = packet[3] & 15;
        assert!(counter.is_none_or(|last| (last + 1) & 15 == now), "continuity of {pid:#x}");
        *counter = Some(now);
        let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        assert!(start <= PACKET_BYTES);
        if packet[1] & 0x40 != 0 {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().extend_from_slice(&packet[start..]);
    }
    units
}

fn time(field: &[u8]) -> u64 {
    assert!(field[0] & 1 == 1 && field[2] & 1 == 1 && field[4] & 1 == 1);
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|at| u64::from(field[at]));
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

fn pes(unit: &[u8]) -> Pes {
    assert_eq!(unit[..3], [0, 0, 1]);
    let length = usize::from(u16::from_be_bytes([unit[4], unit[5]]));
    assert!(length == 0 || length == unit.len() - 6, "{length} of {}", unit.len());
    let pts = time(&unit[9..14]);
    let dts = if unit[7] & 0x40 != 0 { time(&unit[14..19]) } else { pts };
    Pes { pts, dts, payload: unit[9 + usize::from(unit[8])..].to_vec() }
}

fn track(kind: TrackKind, codec: Codec) -> Arc<Track> {
    Arc::new(Track {
        kind,
        timescale: 90_000,
        codec,
        codecs: "coded".into(),
        width: 0,
        height: 0,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    })
}

fn both() -> (Arc<Track>, Arc<Track>) {
    let video = track(TrackKind::Video, Codec::H264(Bytes::from_static(AVCC_720P)));
    (video, track(TrackKind::Audio, Codec::Aac(Bytes::from_static(&[0x11, 0x90]))))
}

#[test]
fn tables_name_both_streams() {
    let (video, audio) = both();
    let mut out = Vec::new();
    Writer::new(Some(&video), Some(&audio)).unwrap().begin(&mut out);
    assert_eq!(out.len(), 2 * PACKET_BYTES);
    let pat = &read(&out, 0, &mut None)[0];
    assert_eq!(pat[..14], [0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0x00, 0x2a]);
    assert_eq!(tables::crc32(&pat[1..17]), 0, "a section with its sum sums to nothing");
    let pmt = &read(&out, PMT_PID, &mut None)[0];
    assert_eq!(pmt[9..13], [0xe1, 0x00, 0xf0, 0x00]);
    assert_eq!(pmt[13..23], [0x1b, 0xe1, 0x00, 0xf0, 0, 0x0f, 0xe1, 0x01, 0xf0, 0]);
    assert_eq!(tables::crc32(&pmt[1..27]), 0);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (video, audio) = both();
    assert_eq!(Writer::new(None, None).unwrap_err(), TsError::Empty);
    assert!(matches!(Writer::new(Some(&audio), None).unwrap_err(), TsError::Codec { .. }));
    let opus = track(TrackKind::Audio, Codec::Opus(Bytes::new()));
    assert!(matches!(Writer::new(None, Some(&opus)).unwrap_err(), TsError::Codec { .. }));
    // 960 samples a frame
    let short = track(TrackKind::Audio, Codec::Aac(Bytes::from_static(&[0x11, 0x94])));
    assert!(matches!(Writer::new(None, Some(&short)).unwrap_err(), TsError::Adts(_)));
    let mut writer = Writer::new(Some(&video), Some(&audio)).unwrap();
    let mut out = Vec::new();
    assert_eq!(writer.video(0, 0, true, &[0, 0, 0, 9, 1], &mut out), Err(TsError::NalUnits));
    let long = vec![0; MAX_FRAME_BYTES + 1];
    assert_eq!(writer.audio(0, [&long[..]], &mut out), Err(TsError::FrameLength { bytes: long.len() }));
    assert!(out.is_empty());
}

#[test]
fn keyframes_bring_their_parameter_sets_and_the_clock() {
    let (video, _) = both();
    let mut writer = Writer::new(Some(&video), None).unwrap();
    let mut out = Vec::new();
    // A delimiter of the encoder, then a slice of an IDR picture.
    let sample = [0, 0, 0, 2, 9, 0x10, 0, 0, 0, 3, 0x65, 1, 2];
    writer.video(900_000, 903_000, true, &sample, &mut out).unwrap();
    let unit = pes(&read(&out, VIDEO_PID, &mut None)[0]);
    assert_eq!((unit.pts, unit.dts), (903_000, 900_000));
    assert_eq!(unit.payload[..6], [0, 0, 0, 1, 9, 0xf0]);
    assert_eq!(unit.payload[6..11], [0, 0, 0, 1, 0x67]);
    assert!(unit.payload.ends_with(&[0, 0, 0, 1, 0x65, 1, 2]));
    // random_access_indicator and PCR_flag; the clock is 33 bits and a remainder of 15.
    assert_eq!(out[5], 0x50);
    let clock = out[6..12].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    assert_eq!(clock >> 15, 900_000 - CLOCK_DELAY as u64);
}

#[test]
fn sound_frames_have_heads() {
    let (_, audio) = both();
    let mut writer = Writer::new(None, Some(&audio)).unwrap();
    let mut out = Vec::new();
    writer.audio(1 << 33, [&[1, 2, 3][..], &[4]], &mut out).unwrap();
    let unit = pes(&read(&out, AUDIO_PID, &mut None)[0]);
    assert_eq!((unit.pts, unit.dts), (0, 0), "times are of 33 bits");
    assert_eq!(
        unit.payload,
        [0xff, 0xf1, 0x4c, 0x80, 1, 0x5f, 0xfc, 1, 2, 3, 0xff, 0xf1, 0x4c, 0x80, 1, 0x1f, 0xfc, 4]
    );
}

proptest! {
    #[test]
    fn any_samples_come_back(
        samples in prop::collection::vec((0_usize..900, any::<bool>(), 0_i64..1 << 32, 0_i64..9000), 1..12),
    ) {
        let (video, audio) = both();
        let mut writer = Writer::new(Some(&video), Some(&audio)).unwrap();
        let (mut counter, mut counters) = (None, None);
        for (bytes, keyframe, dts, delay) in samples {
            let mut out = Vec::new();
            writer.begin(&mut out);
            let mut sample = (bytes as u32 + 1).to_be_bytes().to_vec();
            sample.push(0x41);
            sample.resize(bytes + 5, 7);
            writer.video(dts, dts + delay, keyframe, &sample, &mut out).unwrap();
            writer.audio(dts, [&sample[..]], &mut out).unwrap();
            let picture = pes(&read(&out, VIDEO_PID, &mut counter)[0]);
            prop_assert_eq!((picture.dts, picture.pts), (dts as u64, (dts + delay) as u64));
            prop_assert!(picture.payload.ends_with(&sample[4..]));
            let sound = pes(&read(&out, AUDIO_PID, &mut counters)[0]);
            prop_assert_eq!(&sound.payload[7..], &sample[..]);
        }
    }

    #[test]
    fn any_bytes(config in prop::collection::vec(any::<u8>(), 0..64), sample in prop::collection::vec(any::<u8>(), 0..64)) {
        for codec in [Codec::H264(config.clone().into()), Codec::Aac(config.into())] {
            let track = track(TrackKind::Video, codec);
            let _ = Writer::new(None, Some(&track));
            if let Ok(mut writer) = Writer::new(Some(&track), None) {
                let _ = writer.video(0, 0, true, &sample, &mut Vec::new());
            }
        }
    }
}
