//! Files by an independent writer, and bytes that are no file.

use bytes::Bytes;
use mp4_atom::{Ctts, CttsEntry, Encode, Moov, Stts, SttsEntry};
use proptest::prelude::*;

use super::*;
use crate::codec::avc::tests::AVCC_720P;
use crate::fmp4::{FragmentSample, Presentation, SEGMENT_TYPE_BYTES, init_section_with, segment_head};
use crate::{Codec, Track, TrackKind};

fn avc() -> Track {
    Track {
        kind: TrackKind::Video,
        timescale: 90_000,
        codec: Codec::H264(Bytes::from_static(AVCC_720P)),
        codecs: "avc1.64001f".into(),
        width: 1280,
        height: 720,
        sample_rate: 0,
        channels: 0,
        frame_samples: 0,
    }
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(body);
    out
}

fn full(kind: &[u8; 4], version: u8, words: &[u32]) -> Vec<u8> {
    let mut body = vec![version, 0, 0, 0];
    words.iter().for_each(|word| body.extend_from_slice(&word.to_be_bytes()));
    boxed(kind, &body)
}

/// The body of the `moov` box of an init section.
fn init_moov(shown: &Presentation) -> Bytes {
    let init = init_section_with(&avc(), 90_000, shown).unwrap();
    let ftyp = BoxHeader::parse(&init).unwrap();
    let at = (ftyp.header_bytes + ftyp.body_bytes.unwrap()) as usize;
    assert_eq!(BoxHeader::parse(&init[at..]).unwrap().kind, FourCc(*b"moov"));
    Bytes::copy_from_slice(&init[at + 8..])
}

/// Body of a `moov` with one H.264 track of the given tables and edits, written by hand around a sample entry of ours.
fn moov_with(tables: &[Vec<u8>], edits: Option<Vec<u8>>) -> Bytes {
    let source = init_moov(&Presentation::default());
    let fourcc = |name: &[u8; 4]| FourCc(*name);
    let take = |parent: &[u8; 4], body: &[u8], kind: &[u8; 4]| {
        boxes::need(fourcc(parent), body, kind).unwrap().rest().to_vec()
    };
    let trak = take(b"moov", &source, b"trak");
    let mdia = take(b"trak", &trak, b"mdia");
    let stbl = take(b"minf", &take(b"mdia", &mdia, b"minf"), b"stbl");
    let mut table = boxed(b"stsd", &take(b"stbl", &stbl, b"stsd"));
    table.extend(tables.concat());
    let mut media = boxed(b"mdhd", &take(b"mdia", &mdia, b"mdhd"));
    media.extend(boxed(b"hdlr", &take(b"mdia", &mdia, b"hdlr")));
    media.extend(boxed(b"minf", &boxed(b"stbl", &table)));
    let mut track = boxed(b"tkhd", &take(b"trak", &trak, b"tkhd"));
    if let Some(edits) = edits {
        track.extend(boxed(b"edts", &edits));
    }
    track.extend(boxed(b"mdia", &media));
    let mut moov = boxed(b"mvhd", &take(b"moov", &source, b"mvhd"));
    moov.extend(boxed(b"trak", &track));
    moov.into()
}

/// Five pictures of 3000 units in two chunks, the first and the fourth of them keyframes.
fn five(more: &[Vec<u8>], edits: Option<Vec<u8>>) -> MovieTrack {
    let mut tables = vec![
        full(b"stts", 0, &[1, 5, 3000]),
        full(b"stss", 0, &[2, 1, 4]),
        full(b"stsz", 0, &[0, 5, 10, 20, 30, 40, 50]),
    ];
    tables.extend(more.iter().cloned());
    Movie::parse(&moov_with(&tables, edits)).unwrap().tracks.remove(0)
}

const CHUNKS: [u32; 7] = [2, 1, 2, 1, 2, 3, 1];

#[test]
fn tables_become_samples() {
    let offsets = full(b"ctts", 1, &[3, 1, 6000, 3, (-3000_i32) as u32, 1, 0]);
    let track = five(&[full(b"stsc", 0, &CHUNKS), full(b"stco", 0, &[2, 1000, 5000]), offsets], None);
    let samples: Vec<_> = track.samples().collect();
    let places: Vec<_> = samples.iter().map(|sample| (sample.offset, sample.size)).collect();
    assert_eq!(places, [(1000, 10), (1010, 20), (5000, 30), (5030, 40), (5070, 50)]);
    let times: Vec<_> = samples.iter().map(|sample| (sample.dts, sample.pts, sample.keyframe)).collect();
    let expected =
        [(0, 6000, true), (3000, 0, false), (6000, 3000, false), (9000, 6000, true), (12_000, 12_000, false)];
    assert_eq!(times, expected);
    assert_eq!((track.sample_count(), track.timescale, track.language.as_str()), (5, 90_000, "und"));
}

#[test]
fn large_offsets_and_compact_sizes() {
    let far = full(b"co64", 0, &[1, 1, 0]);
    let compact = full(b"stz2", 0, &[4, 3, 0x1234_0000]);
    let tables = [full(b"stts", 0, &[1, 1, 10]), compact, full(b"stsc", 0, &[1, 1, 3, 1]), far];
    let track = Movie::parse(&moov_with(&tables, None)).unwrap().tracks.remove(0);
    let samples: Vec<_> =
        track.samples().map(|sample| (sample.offset, sample.size, sample.dts, sample.keyframe)).collect();
    let base = 1 << 32;
    // The time of the samples that are not told goes on as before.
    assert_eq!(samples, [(base, 1, 0, true), (base + 1, 2, 10, true), (base + 3, 3, 20, true)]);
}

#[test]
fn edits_move_time() {
    let tables = [full(b"stsc", 0, &CHUNKS), full(b"stco", 0, &[2, 0, 0])];
    // Wait for one unit, then show from 6000 for two: the movie counts 90000 units a second here.
    let wait = full(b"elst", 0, &[2, 1, u32::MAX, 0x1_0000, 6000, 6000, 0x1_0000]);
    let track = five(&tables, Some(wait));
    let edit = Edit { shift: -5999, start: 1, end: Some(6002), is_complex: false };
    assert_eq!(track.edit, edit);
    let shown: Vec<_> = track.samples().map(|sample| (sample.dts, track.shows(&sample))).collect();
    assert_eq!(shown, [(-5999, true), (-2999, true), (1, true), (3001, true), (6001, true)]);
    let cut = full(b"elst", 0, &[2, 3000, 0, 0x1_0000, 3000, 9000, 0x1_0000]);
    assert!(five(&tables, Some(cut)).edit.is_complex);
    let slow = full(b"elst", 0, &[1, 3000, 0, 0x8000]);
    assert!(five(&tables, Some(slow)).edit.is_complex);
    let wide = full(b"elst", 1, &[1, 0, 3000, u32::MAX, u32::MAX, 0x1_0000]);
    assert_eq!(five(&tables, Some(wide)).edit, Edit { shift: 3000, start: 3000, end: None, is_complex: false });
}

#[test]
fn counts_that_the_box_does_not_hold_are_refused() {
    let good = [full(b"stsc", 0, &CHUNKS), full(b"stco", 0, &[2, 0, 0])];
    for (kind, words) in [
        (b"stts", &[u32::MAX, 1, 1][..]),
        (b"ctts", &[2, 1, 1]),
        (b"stss", &[1 << 31]),
        (b"stsz", &[0, u32::MAX, 1]),
        (b"stsc", &[3, 1, 1, 1]),
        (b"stco", &[9, 1]),
    ] {
        let mut tables = vec![full(kind, 0, words)];
        tables.extend(good.iter().cloned());
        tables.push(full(b"stts", 0, &[0]));
        tables.push(full(b"stsz", 0, &[0, 0]));
        let parsed = Movie::parse(&moov_with(&tables, None));
        assert_eq!(parsed.unwrap_err(), Mp4Error::Truncated { kind: FourCc(*kind) });
    }
    let many = [full(b"stsz", 0, &[1, MAX_TRACK_SAMPLES + 1])];
    assert!(matches!(Movie::parse(&moov_with(&many, None)), Err(Mp4Error::TooMany { .. })));
}

#[test]
fn an_init_section_of_ours_reads_back() {
    let colour = boxed(b"colr", b"nclx\0\x09\0\x10\0\x09\0");
    let turned = [0, 0x1_0000, 0, 0xffff_0000, 0, 0, 0, 0, 0x4000_0000];
    let shown = Presentation { language: "deu".into(), matrix: turned, extensions: colour.clone().into() };
    let movie = Movie::parse(&init_moov(&shown)).unwrap();
    assert!(movie.is_fragmented);
    let track = &movie.tracks[0];
    assert_eq!(track.media().map(AsRef::as_ref), Some(&avc()));
    assert_eq!((track.language.as_str(), track.rotation()), ("deu", 90));
    assert_eq!((track.video_range, &track.extensions[..]), (Some(VideoRange::Pq), &colour[..]));
    assert_eq!(track.samples().count(), 0);
}

fn body_of_moof(segment: &[u8]) -> &[u8] {
    let moof = BoxHeader::parse(&segment[SEGMENT_TYPE_BYTES..]).unwrap();
    assert_eq!(moof.kind, FourCc(*b"moof"));
    &segment[SEGMENT_TYPE_BYTES + 8..][..moof.body_bytes.unwrap() as usize]
}

#[test]
fn a_table_of_an_independent_writer() {
    let mut init = init_section_with(&avc(), 90_000, &Presentation::default()).unwrap();
    let at = BoxHeader::parse(&init).unwrap();
    let mut rest = &init.split_off((at.header_bytes + at.body_bytes.unwrap()) as usize)[..];
    let mut moov: Moov = mp4_atom::Decode::decode(&mut rest).unwrap();
    let table = &mut moov.trak[0].mdia.minf.stbl;
    table.stts = Stts { entries: vec![SttsEntry { sample_count: 2, sample_delta: 7 }] };
    table.ctts = Some(Ctts { entries: vec![CttsEntry { sample_count: 2, sample_offset: 5 }] });
    table.stsz.samples = mp4_atom::StszSamples::Identical { count: 2, size: 9 };
    table.stsc.entries =
        vec![mp4_atom::StscEntry { first_chunk: 1, samples_per_chunk: 2, sample_description_index: 1 }];
    table.stco = Some(mp4_atom::Stco { entries: vec![77] });
    let mut out = Vec::new();
    moov.encode(&mut out).unwrap();
    let track = Movie::parse(&Bytes::from(out).slice(8..)).unwrap().tracks.remove(0);
    let samples: Vec<_> = track.samples().map(|sample| (sample.offset, sample.size, sample.dts, sample.pts)).collect();
    assert_eq!(samples, [(77, 9, 0, 5), (86, 9, 7, 12)]);
}

proptest! {
    #[test]
    fn fragments_of_ours_read_back(
        base in 0..u64::MAX / 4,
        at in 0..u64::MAX / 4,
        samples in prop::collection::vec((0..300_u32, 1..3_u32, -9..9_i32, any::<bool>()), 1..9),
    ) {
        let movie = Movie::parse(&init_moov(&Presentation::default())).unwrap();
        let written: Vec<_> = samples.iter().map(|&(size, duration, composition_offset, keyframe)| {
            FragmentSample { size, duration, composition_offset, keyframe }
        }).collect();
        let segment = segment_head(1, base, &written, &avc()).unwrap();
        let (mut time, mut found) = (FragmentTime::default(), Vec::new());
        let moof_at = at + SEGMENT_TYPE_BYTES as u64;
        movie.fragment(0, moof_at, body_of_moof(&segment), &mut time, &mut found).unwrap();
        prop_assert_eq!(found.len(), written.len());
        let (mut dts, mut offset) = (base as i64, at + segment.len() as u64);
        for (found, written) in found.iter().zip(&written) {
            let pts = dts + i64::from(written.composition_offset);
            let FragmentSample { size, duration, keyframe, .. } = *written;
            prop_assert_eq!(*found, SampleRef { offset, size, dts, pts, duration, keyframe });
            dts += i64::from(duration);
            offset += u64::from(size);
        }
        // A fragment that does not say goes on.
        prop_assert_eq!(time, FragmentTime { next: dts });
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = BoxHeader::parse(&data);
        let _ = Movie::parse(&data.clone().into());
        let movie = Movie::parse(&init_moov(&Presentation::default())).unwrap();
        let _ = movie.fragment(0, 0, &data, &mut FragmentTime::default(), &mut Vec::new());
        for kind in [b"traf", b"tfhd", b"trun"] {
            let traf = [full(b"tfhd", 0, &[1]), boxed(kind, &data)].concat();
            let moof = boxed(b"traf", &traf);
            let _ = movie.fragment(0, 0, &moof, &mut FragmentTime::default(), &mut Vec::new());
        }
        for handler in [b"vide", b"soun"] {
            for entry in [b"avc1", b"hvc1", b"av01", b"mp4a", b"Opus", b"ec-3"] {
                let mut body = vec![0; 8];
                body.extend(boxed(entry, &data));
                let _ = entry::describe(FourCc(*handler), boxes::Fields::new(FourCc(*b"stsd"), &body), 1);
            }
        }
    }

    #[test]
    fn any_mutation(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let offsets = full(b"ctts", 1, &[1, 5, 6000]);
        let elst = full(b"elst", 0, &[1, 3000, 0, 0x1_0000]);
        let tables = [
            full(b"stts", 0, &[1, 5, 3000]),
            full(b"stsz", 0, &[0, 5, 10, 20, 30, 40, 50]),
            full(b"stsc", 0, &CHUNKS),
            full(b"stco", 0, &[2, 0, 0]),
            offsets,
        ];
        let mut moov = moov_with(&tables, Some(elst)).to_vec();
        let at = at.index(moov.len());
        moov[at] = byte;
        for bytes in [moov.clone(), moov[..cut.index(moov.len())].to_vec()] {
            if let Ok(movie) = Movie::parse(&bytes.into()) {
                for track in &movie.tracks {
                    prop_assert!(track.samples().count() <= track.sample_count() as usize);
                    let _ = (track.rotation(), track.samples().all(|sample| track.shows(&sample)));
                }
            }
        }
    }

    #[test]
    fn any_tables(
        words in prop::collection::vec(prop::collection::vec(prop_oneof![0..6_u32, any::<u32>()], 0..9), 6),
    ) {
        let kinds = [b"stts", b"stss", b"stsz", b"stsc", b"stco", b"ctts"];
        let tables: Vec<_> = kinds.iter().zip(&words).map(|(kind, words)| {
            let mut words = words.clone();
            if let Some(count) = words.first_mut().filter(|_| **kind != *b"stsz") {
                *count %= 4;
            }
            full(kind, 0, &words)
        }).collect();
        if let Ok(movie) = Movie::parse(&moov_with(&tables, None)) {
            let counted = movie.tracks[0].samples().take(10_000).count();
            prop_assert!(counted <= movie.tracks[0].sample_count() as usize);
        }
    }
}
