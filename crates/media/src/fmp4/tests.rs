//! What is written, read back by an independent parser.

use bytes::Bytes;
use mp4_atom::{Codec as Entry, Decode, Ftyp, Header, Moof, Moov, Styp, Trun};
use proptest::prelude::*;

use super::*;
use crate::codec::av1::tests::av1c_720p;
use crate::codec::avc::tests::AVCC_720P;
use crate::codec::hevc::tests::HVCC_720P;
use crate::{Codec, MAX_CONFIG_BYTES, Track, TrackKind};

const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

fn video(codec: Codec) -> Track {
    Track {
        kind: TrackKind::Video,
        timescale: 1000,
        codec,
        codecs: "video".into(),
        width: 1280,
        height: 720,
        sample_rate: 0,
        channels: 0,
        frame_samples: 0,
    }
}

fn audio(codec: Codec) -> Track {
    Track {
        kind: TrackKind::Audio,
        timescale: 1000,
        codec,
        codecs: "audio".into(),
        width: 0,
        height: 0,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    }
}

fn aac() -> Track {
    audio(Codec::Aac(Bytes::from_static(&[0x11, 0x90])))
}

fn avc() -> Track {
    video(Codec::H264(Bytes::from_static(AVCC_720P)))
}

fn read_init(track: &Track, timescale: u32) -> Moov {
    let bytes = init_section(track, timescale).unwrap();
    let mut rest = bytes.as_slice();
    let ftyp = Ftyp::decode(&mut rest).unwrap();
    assert_eq!(ftyp.major_brand, b"cmfc".into());
    assert!(ftyp.compatible_brands.contains(&b"iso6".into()));
    let moov = Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    moov
}

fn read_entry(track: &Track) -> Entry {
    let moov = read_init(track, 90_000);
    let [trak] = moov.trak.as_slice() else { panic!("one track is expected") };
    let [entry] = trak.mdia.minf.stbl.stsd.codecs.as_slice() else { panic!("one sample entry is expected") };
    entry.clone()
}

#[test]
fn movie_and_track_fields_of_a_video_track() {
    let moov = read_init(&avc(), 90_000);
    assert_eq!((moov.mvhd.timescale, moov.mvhd.next_track_id), (90_000, 2));
    let trak = &moov.trak[0];
    assert_eq!((trak.tkhd.track_id, trak.tkhd.enabled, trak.tkhd.in_movie), (1, true, true));
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (1280, 720));
    assert_eq!((trak.mdia.mdhd.timescale, trak.mdia.mdhd.language.as_str()), (90_000, "und"));
    assert_eq!(trak.mdia.hdlr.handler, b"vide".into());
    assert!(trak.mdia.minf.vmhd.is_some() && trak.mdia.minf.smhd.is_none());
    assert_eq!(trak.mdia.minf.dinf.dref.entries.len(), 1);
    let stbl = &trak.mdia.minf.stbl;
    assert!(stbl.stts.entries.is_empty() && stbl.stsc.entries.is_empty());
    assert!(stbl.stco.as_ref().is_some_and(|stco| stco.entries.is_empty()));
    let trex = &moov.mvex.as_ref().unwrap().trex;
    assert_eq!((trex.len(), trex[0].track_id, trex[0].default_sample_description_index), (1, 1, 1));
}

#[test]
fn fields_of_an_audio_track() {
    let moov = read_init(&aac(), 48_000);
    let trak = &moov.trak[0];
    assert_eq!(trak.mdia.mdhd.timescale, 48_000);
    assert_eq!(trak.mdia.hdlr.handler, b"soun".into());
    assert!(trak.mdia.minf.smhd.is_some() && trak.mdia.minf.vmhd.is_none());
    assert_eq!(trak.tkhd.volume.integer(), 1);
}

#[test]
fn video_sample_entries() {
    let Entry::Avc1(avc1) = read_entry(&avc()) else { panic!("avc1 is expected") };
    assert_eq!((avc1.visual.width, avc1.visual.height, avc1.visual.depth), (1280, 720, 24));
    assert_eq!((avc1.avcc.avc_profile_indication, avc1.avcc.length_size), (100, 4));
    assert_eq!(avc1.avcc.sequence_parameter_sets.len(), 1);

    let track = video(Codec::H265(Bytes::from_static(HVCC_720P)));
    let Entry::Hvc1(hvc1) = read_entry(&track) else { panic!("hvc1 is expected") };
    assert_eq!(hvc1.hvcc.general_level_idc, 93);
    assert_eq!(hvc1.hvcc.arrays.len(), 3);
    assert!(hvc1.hvcc.arrays.iter().all(|array| array.completeness));

    let track = video(Codec::Av1(av1c_720p().into()));
    let Entry::Av01(av01) = read_entry(&track) else { panic!("av01 is expected") };
    assert_eq!((av01.av1c.seq_level_idx_0, av01.av1c.config_obus.as_slice()), (5, &av1c_720p()[4..]));
}

#[test]
fn audio_sample_entries() {
    let Entry::Mp4a(mp4a) = read_entry(&aac()) else { panic!("mp4a is expected") };
    assert_eq!((mp4a.audio.channel_count, mp4a.audio.sample_size, mp4a.audio.sample_rate.integer()), (2, 16, 48_000));
    let config = &mp4a.esds.es_desc.dec_config;
    assert_eq!((config.object_type_indication, config.stream_type, config.up_stream), (0x40, 5, 0));
    let specific = config.dec_specific.as_ref().unwrap();
    assert_eq!((specific.profile, specific.freq_index, specific.chan_conf), (2, 3, 2));

    let dops = Bytes::from_static(&[0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]);
    let Entry::Opus(opus) = read_entry(&audio(Codec::Opus(dops))) else { panic!("Opus is expected") };
    assert_eq!((opus.dops.output_channel_count, opus.dops.pre_skip, opus.dops.input_sample_rate), (2, 312, 48_000));
}

#[test]
fn tracks_that_do_not_fit_are_refused() {
    let wide = Track { width: 65_536, ..avc() };
    assert_eq!(init_section(&wide, 90_000), Err(WriteError::PictureSize { width: 65_536, height: 720 }));
    let crowded = Track { channels: 65_536, ..aac() };
    assert_eq!(init_section(&crowded, 48_000), Err(WriteError::Channels { channels: 65_536 }));
    assert_eq!(init_section(&aac(), 0), Err(WriteError::Timescale));
    let long = audio(Codec::Aac(vec![0; MAX_CONFIG_BYTES + 1].into()));
    assert_eq!(init_section(&long, 1), Err(WriteError::ConfigLength { bytes: MAX_CONFIG_BYTES + 1 }));
    let mixed = Track { kind: TrackKind::Video, ..aac() };
    assert_eq!(init_section(&mixed, 1), Err(WriteError::Kind { codecs: "audio".into() }));
}

fn sample(size: u32, duration: u32, composition_offset: i32, keyframe: bool) -> FragmentSample {
    FragmentSample { size, duration, composition_offset, keyframe }
}

/// A segment taken apart: `moof`, the bytes before the sample data counted from `moof`, and the body length of `mdat`.
fn read_segment(head: &[u8]) -> (Moof, usize, u64) {
    let mut rest = head;
    let styp = Styp::decode(&mut rest).unwrap();
    assert_eq!((styp.major_brand, styp.compatible_brands), (b"msdh".into(), vec![b"msdh".into(), b"cmfs".into()]));
    let from_moof = rest.len();
    let moof = Moof::decode(&mut rest).unwrap();
    let mdat = Header::decode(&mut rest).unwrap();
    assert_eq!(mdat.kind, b"mdat".into());
    assert!(rest.is_empty());
    (moof, from_moof, mdat.size.unwrap() as u64)
}

/// The samples of a segment with defaults filled in.
fn read_samples(moof: &Moof) -> Vec<FragmentSample> {
    let traf = &moof.traf[0];
    let defaults = &traf.tfhd;
    let entries = traf.trun[0].samples.iter().map(|entry| FragmentSample {
        size: entry.size.or(defaults.default_sample_size).unwrap(),
        duration: entry.duration.or(defaults.default_sample_duration).unwrap(),
        composition_offset: entry.cts.unwrap_or(0) as i32,
        keyframe: match entry.flags.or(defaults.default_sample_flags).unwrap() {
            SYNC => true,
            NON_SYNC => false,
            other => panic!("unexpected sample flags: {other:x}"),
        },
    });
    entries.collect()
}

fn only_run(moof: &Moof) -> &Trun {
    let [traf] = moof.traf.as_slice() else { panic!("one track fragment is expected") };
    let [trun] = traf.trun.as_slice() else { panic!("one run is expected") };
    trun
}

#[test]
fn a_video_segment_reads_back() {
    let samples = [sample(900, 3600, 7200, true), sample(70, 3600, -10, false), sample(80, 3601, 0, false)];
    let (moof, from_moof, bytes) = read_segment(&segment_head(7, u64::MAX / 2, &samples, &avc()).unwrap());
    assert_eq!(moof.mfhd.sequence_number, 7);
    assert_eq!(bytes, 1050);
    let trun = only_run(&moof);
    assert_eq!(trun.data_offset, Some(from_moof as i32));
    let traf = &moof.traf[0];
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, u64::MAX / 2);
    assert!(traf.tfhd.default_base_is_moof);
    assert_eq!(traf.tfhd.base_data_offset, None);
    assert_eq!(read_samples(&moof), samples);
}

#[test]
fn an_audio_segment_lists_sizes_only() {
    let samples: Vec<_> = (0..100).map(|index| sample(200 + index, 1024, 0, true)).collect();
    let head = segment_head(1, 0, &samples, &aac()).unwrap();
    let (moof, ..) = read_segment(&head);
    assert_eq!(read_samples(&moof), samples);
    let defaults = &moof.traf[0].tfhd;
    assert_eq!((defaults.default_sample_duration, defaults.default_sample_flags), (Some(1024), Some(SYNC)));
    assert!(head.len() < 4 * samples.len() + 140, "{}", head.len());
}

#[test]
fn segments_out_of_bounds_are_refused() {
    assert_eq!(segment_head(1, 0, &[], &aac()), Err(WriteError::Empty));
    let long = [sample(u32::MAX, 1, 0, true); 2];
    assert_eq!(segment_head(1, 0, &long, &aac()), Err(WriteError::SegmentLength { bytes: 2 * u64::from(u32::MAX) }));
    let many = vec![sample(0, 1, 0, true); MAX_SEGMENT_SAMPLES + 1];
    assert_eq!(segment_head(1, 0, &many, &aac()), Err(WriteError::Samples { samples: MAX_SEGMENT_SAMPLES + 1 }));
}

proptest! {
    #[test]
    fn any_samples_read_back(
        sequence in any::<u32>(),
        base in any::<u64>(),
        samples in prop::collection::vec((0..3_u32, 0..3_u32, -1..2_i32, any::<bool>()), 1..6),
    ) {
        let samples: Vec<_> = samples.into_iter().map(|(size, time, offset, key)| sample(size, time, offset, key)).collect();
        let (moof, from_moof, bytes) = read_segment(&segment_head(sequence, base, &samples, &avc()).unwrap());
        prop_assert_eq!(only_run(&moof).data_offset, Some(from_moof as i32));
        prop_assert_eq!(bytes, samples.iter().map(|sample| u64::from(sample.size)).sum::<u64>());
        prop_assert_eq!(read_samples(&moof), samples);
    }
}
