//! `.flv` files by ffmpeg, H.264 and AAC.

use anabranch_media::TrackKind::{Audio, Video};
use anabranch_media::flv::Dropped;

use crate::tools::{Packet, Scratch, Session, audio_facts, decode, make, packets, video_facts};

const PICTURE: &str = "-f lavfi -i testsrc2=s=318x178:r=25:d=3";
const TONE: &str = "-f lavfi -i sine=f=440:r=44100:d=3";
const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 25 -pix_fmt yuv420p";
const AAC: &str = "-c:a aac -ac 2";

fn times(packets: &[Packet]) -> Vec<(i64, i64, bool)> {
    packets.iter().map(Packet::time).collect()
}

#[test]
fn pictures_with_b_frames_and_sound() {
    let scratch = Scratch::new();
    let source = scratch.file("source.flv");
    make(&format!("{PICTURE} {TONE} {H264} {AAC}"), &source);
    let session = Session::read(&source);
    assert!(!session.has_jump());
    assert_eq!(session.demuxer.dropped(), Dropped::default());
    let track = session.track(Video);
    assert_eq!((track.width, track.height), (318, 178), "cropped from 320x192");
    assert!(track.codecs.starts_with("avc1.6400"), "{}", track.codecs);
    assert_eq!(session.track(Audio).codecs, "mp4a.40.2");

    let video = scratch.file("video.mp4");
    session.package(Video, &video);
    assert_eq!(video_facts(&video), ("h264".into(), 318, 178, 75));
    let original = packets(&source, 'v');
    assert!(original.iter().any(|packet| packet.pts_ms > packet.dts_ms), "the source has B-frames");
    assert_eq!(times(&packets(&video, 'v')), times(&original));
    decode(&video);

    let audio = scratch.file("audio.mp4");
    session.package(Audio, &audio);
    assert_eq!(audio_facts(&audio), ("aac".into(), 44_100, 2));
    let (ours, original) = (packets(&audio, 'a'), packets(&source, 'a'));
    assert_eq!(ours.len(), original.len());
    for (ours, original) in ours.iter().zip(&original) {
        assert!((ours.pts_ms - original.pts_ms).abs() <= 1 && ours.size == original.size, "{ours:?} {original:?}");
    }
    decode(&audio);
}

#[test]
fn sound_only() {
    let scratch = Scratch::new();
    let source = scratch.file("source.flv");
    make(&format!("{TONE} -c:a aac -ac 1 -ar 22050"), &source);
    let session = Session::read(&source);
    let track = session.track(Audio);
    assert_eq!((track.sample_rate, track.channels, track.frame_samples), (22_050, 1, 1024));
    assert!(session.samples(Video).is_empty());
    let audio = scratch.file("audio.mp4");
    session.package(Audio, &audio);
    assert_eq!(audio_facts(&audio), ("aac".into(), 22_050, 1));
    decode(&audio);
}

#[test]
fn pictures_only_interlaced_high_rate() {
    let scratch = Scratch::new();
    let source = scratch.file("source.flv");
    let interlaced = "-f lavfi -i testsrc2=s=640x360:r=50:d=2 -c:v libx264 -preset veryfast -flags +ilme+ildct -g 50";
    make(interlaced, &source);
    let session = Session::read(&source);
    assert!(session.samples(Audio).is_empty());
    let video = scratch.file("video.mp4");
    session.package(Video, &video);
    assert_eq!(video_facts(&video), ("h264".into(), 640, 360, 100));
    assert_eq!(times(&packets(&video, 'v')), times(&packets(&source, 'v')));
    decode(&video);
}

#[test]
fn chroma_formats_and_scaling_matrices_do_not_confuse_the_picture_size() {
    for (options, prefix) in [
        ("-pix_fmt yuv444p -profile:v high444", "avc1.f4"),
        ("-pix_fmt yuv422p -profile:v high422", "avc1.7a"),
        ("-pix_fmt yuv420p -x264-params cqm=jvt", "avc1.64"),
        ("-pix_fmt yuv420p -profile:v baseline", "avc1.42"),
    ] {
        let scratch = Scratch::new();
        let source = scratch.file("source.flv");
        make(&format!("-f lavfi -i testsrc2=s=178x102:d=0.2 -c:v libx264 -preset veryfast {options}"), &source);
        let track = Session::read(&source).track(Video);
        assert_eq!((track.width, track.height), (178, 102), "{options}");
        assert!(track.codecs.starts_with(prefix), "{options}: {}", track.codecs);
    }
}
