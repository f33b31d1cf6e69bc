//! Silent frames, decoded.

use anabranch_media::TrackKind::Audio;
use anabranch_media::silence::silent_frame;
use anabranch_media::{Codec, Sample, Track};
use bytes::Bytes;

use crate::tools::{Scratch, Session, decode, decode_sound, make, package};

const FRAMES: i64 = 50;

fn track(codec: Codec, sample_rate: u32, channels: u32, frame_samples: u32) -> Track {
    Track {
        kind: Audio,
        timescale: 1000,
        codec,
        codecs: String::new(),
        width: 0,
        height: 0,
        sample_rate,
        channels,
        frame_samples,
    }
}

fn is_silent(track: &Track) {
    let scratch = Scratch::new();
    let path = scratch.file("silence.mp4");
    let data = silent_frame(track).unwrap();
    let sample = |index: i64| Sample { kind: Audio, dts: index, pts: index, keyframe: true, data: data.clone() };
    package(track, &(0..FRAMES).map(sample).collect::<Vec<_>>(), &path);
    decode(&path);
    let sound = decode_sound(&path);
    let expected = FRAMES as usize * (track.frame_samples * track.channels) as usize;
    // Decoders may hold back the pre-skip or the overlap of the last frame.
    assert!(sound.len() <= expected && sound.len() + 8 * 2048 >= expected, "{} of {expected}", sound.len());
    assert!(sound.iter().all(|&level| level == 0));
}

#[test]
fn aac_frames_are_silent() {
    is_silent(&track(Codec::Aac(Bytes::from_static(&[0x12, 0x10])), 44_100, 2, 1024));
    is_silent(&track(Codec::Aac(Bytes::from_static(&[0x11, 0x88])), 48_000, 1, 1024));
}

#[test]
fn opus_packets_are_silent() {
    for channels in [1, 2] {
        for frame_samples in [120, 240, 480, 960, 1920, 2880] {
            let dops = vec![0, channels, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
            is_silent(&track(Codec::Opus(dops.into()), 48_000, channels.into(), frame_samples));
        }
    }
}

#[test]
fn silence_fits_between_frames_of_an_encoder() {
    for channels in [1, 2] {
        let scratch = Scratch::new();
        let source = scratch.file("source.flv");
        make(&format!("-f lavfi -i sine=f=440:d=2 -c:a aac -ac {channels}"), &source);
        let session = Session::read(&source);
        let track = session.track(Audio);
        let mut samples = session.samples(Audio);
        let silent = silent_frame(&track).unwrap();
        for sample in &mut samples[20..40] {
            sample.data = silent.clone();
        }
        let path = scratch.file("mixed.mp4");
        package(&track, &samples, &path);
        decode(&path);
        let sound = decode_sound(&path);
        let frame = 1024 * channels;
        assert!(sound[..20 * frame].iter().any(|&level| level > 1000));
        assert!(sound[22 * frame..38 * frame].iter().all(|&level| level == 0));
    }
}
