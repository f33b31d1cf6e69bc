//! Enhanced RTMP bodies around streams that ffmpeg encoded.

use std::fs;
use std::path::Path;

use anabranch_media::TrackKind::{Audio, Video};
use anabranch_media::flv::{Dropped, FlvKind};

use crate::tools::{Packet, Scratch, Session, audio_facts, decode, make, packets, video_facts};

/// The body of the first box of a kind, found by its name.
fn box_body(file: &[u8], kind: &[u8; 4]) -> Vec<u8> {
    let at = file.windows(4).position(|window| window == kind).expect("the box is there");
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file[at + 4..at - 4 + size].to_vec()
}

fn body(head: &[u8], data: &[u8]) -> Vec<u8> {
    [head, data].concat()
}

/// A session of one video track that an `.mp4` file holds. `composition` tells whether frames carry composition times.
fn send_video(path: &Path, four_cc: &[u8; 4], config: &[u8], composition: bool) -> Session {
    let file = fs::read(path).unwrap();
    let mut session = Session::default();
    session.push(FlvKind::Video, 0, body(&[b"\x90".as_slice(), four_cc].concat(), config));
    let packets = packets(path, 'v');
    let start = packets[0].dts_ms;
    for Packet { pts_ms, dts_ms, size, at, keyframe } in packets {
        let frame_type = if keyframe { 0x90 } else { 0xa0 };
        // Frames without reordering are sent as CodedFramesX, to read both forms.
        let offset = (pts_ms - dts_ms) as u32;
        let mut head = vec![frame_type | if composition && offset == 0 { 3 } else { 1 }];
        head.extend_from_slice(four_cc);
        if composition && offset != 0 {
            head.extend_from_slice(&offset.to_be_bytes()[1..]);
        }
        session.push(FlvKind::Video, (dts_ms - start) as u32, body(&head, &file[at..at + size]));
    }
    session.push(FlvKind::Video, 0, body(&[b"\x92".as_slice(), four_cc].concat(), &[]));
    assert_eq!(session.demuxer.dropped(), Dropped::default());
    session
}

#[test]
fn hevc_with_b_frames() {
    let scratch = Scratch::new();
    let source = scratch.file("source.mp4");
    make(
        "-f lavfi -i testsrc2=s=426x238:r=25:d=2 -c:v libx265 -preset ultrafast -bf 3 -g 25 -x265-params log-level=none",
        &source,
    );
    let session = send_video(&source, b"hvc1", &box_body(&fs::read(&source).unwrap(), b"hvcC"), true);
    let track = session.track(Video);
    assert_eq!((track.width, track.height), (426, 238));
    assert!(track.codecs.starts_with("hvc1.1.6.L"), "{}", track.codecs);
    let video = scratch.file("video.mp4");
    session.package(Video, &video);
    assert_eq!(video_facts(&video), ("hevc".into(), 426, 238, 50));
    let spread = |packets: Vec<Packet>| packets.iter().map(|p| (p.pts_ms - p.dts_ms, p.size)).collect::<Vec<_>>();
    assert_eq!(spread(packets(&video, 'v')), spread(packets(&source, 'v')));
    decode(&video);
}

#[test]
fn av1() {
    let scratch = Scratch::new();
    let source = scratch.file("source.mp4");
    make("-f lavfi -i testsrc2=s=426x238:r=25:d=1 -c:v libaom-av1 -cpu-used 8 -usage realtime -g 25", &source);
    let session = send_video(&source, b"av01", &box_body(&fs::read(&source).unwrap(), b"av1C"), false);
    let track = session.track(Video);
    assert_eq!((track.width, track.height), (426, 238));
    assert!(track.codecs.starts_with("av01.0.") && track.codecs.ends_with(".08"), "{}", track.codecs);
    let video = scratch.file("video.mp4");
    session.package(Video, &video);
    assert_eq!(video_facts(&video), ("av1".into(), 426, 238, 25));
    decode(&video);
}

#[test]
fn opus() {
    let scratch = Scratch::new();
    let source = scratch.file("source.mp4");
    make("-f lavfi -i sine=f=440:r=48000:d=2 -c:a libopus -ac 2", &source);
    let file = fs::read(&source).unwrap();
    // OpusHead is little endian where dOps is big endian.
    let mut head = box_body(&file, b"dOps");
    head[0] = 1;
    head[2..4].reverse();
    head[4..8].reverse();
    head[8..10].reverse();
    let mut session = Session::default();
    session.push(FlvKind::Audio, 0, body(b"\x90OpusOpusHead", &head));
    let sent = packets(&source, 'a');
    for (index, packet) in sent.iter().enumerate() {
        session.push(FlvKind::Audio, index as u32 * 20, body(b"\x91Opus", &file[packet.at..packet.at + packet.size]));
    }
    let track = session.track(Audio);
    assert_eq!((track.sample_rate, track.channels, track.frame_samples), (48_000, 2, 960));
    let audio = scratch.file("audio.mp4");
    session.package(Audio, &audio);
    assert_eq!(audio_facts(&audio), ("opus".into(), 48_000, 2));
    assert_eq!(packets(&audio, 'a').len(), sent.len());
    decode(&audio);
}
