//! Init sections: `ftyp` and `moov`.

use bytes::Bytes;

use super::boxes::Writer;
use super::entry::sample_entry;
use super::{TRACK_ID, WriteError};
use crate::{Codec, MAX_CONFIG_BYTES, MAX_PICTURE_SIDE, Track, TrackKind};

/// Transformation matrix of `mvhd` and `tkhd` that changes nothing: 16.16 numbers, the last column 2.30.
const IDENTITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// `language` of `mdhd`: `und`, three letters of five bits each.
const UNDETERMINED: u16 = 0x55c4;

/// `track_enabled | track_in_movie` of `tkhd`.
const TRACK_FLAGS: u32 = 3;

/// What an init section says of a track beyond its coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// Three lower-case letters of ISO 639-2; anything else is written as `und`.
    pub language: String,
    /// Transformation of the picture (`tkhd` §8.3.2).
    pub matrix: [u32; 9],
    /// Whole boxes for the end of a picture's sample entry, such as `colr` and `pasp`; at most [`MAX_CONFIG_BYTES`].
    pub extensions: Bytes,
}

impl Default for Presentation {
    fn default() -> Self {
        Self { language: "und".to_owned(), matrix: IDENTITY, extensions: Bytes::new() }
    }
}

impl Presentation {
    /// Three letters of five bits each.
    fn packed_language(&self) -> u16 {
        match self.language.as_bytes() {
            letters @ [_, _, _] if letters.iter().all(u8::is_ascii_lowercase) => {
                letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60))
            }
            _ => UNDETERMINED,
        }
    }
}

/// The CMAF header of one track (ISO/IEC 23000-19 §7.3.1), whose segments count in `timescale` units per second.
///
/// # Errors
/// On a track that no sample entry can describe.
pub fn init_section(track: &Track, timescale: u32) -> Result<Vec<u8>, WriteError> {
    init_section_with(track, timescale, &Presentation::default())
}

/// [`init_section`] with what is known of the presentation.
///
/// # Errors
/// On a track that no sample entry can describe.
pub fn init_section_with(track: &Track, timescale: u32, shown: &Presentation) -> Result<Vec<u8>, WriteError> {
    check(track, timescale)?;
    if shown.extensions.len() > MAX_CONFIG_BYTES {
        return Err(WriteError::ConfigLength { bytes: shown.extensions.len() });
    }
    let mut w = Writer::default();
    w.plain(b"ftyp", |w| {
        w.put(b"cmfc"); // major_brand
        w.u32(0); // minor_version
        w.put(b"cmfciso6mp41"); // compatible_brands
    });
    w.plain(b"moov", |w| {
        movie_header(w, timescale);
        w.plain(b"trak", |w| {
            track_header(w, track, &shown.matrix);
            w.plain(b"mdia", |w| media(w, track, timescale, shown));
        });
        w.plain(b"mvex", track_extends);
    });
    Ok(w.into_bytes())
}

fn check(track: &Track, timescale: u32) -> Result<(), WriteError> {
    let (kind, config) = match &track.codec {
        Codec::H264(config) | Codec::H265(config) | Codec::Av1(config) => (TrackKind::Video, config),
        Codec::Aac(config) | Codec::Opus(config) | Codec::Ac3(config) | Codec::Eac3(config) => {
            (TrackKind::Audio, config)
        }
    };
    if kind != track.kind {
        return Err(WriteError::Kind { codecs: track.codecs.clone() });
    }
    if timescale == 0 {
        return Err(WriteError::Timescale);
    }
    if track.width.max(track.height) > MAX_PICTURE_SIDE {
        return Err(WriteError::PictureSize { width: track.width, height: track.height });
    }
    if track.channels > u32::from(u16::MAX) {
        return Err(WriteError::Channels { channels: track.channels });
    }
    if config.len() > MAX_CONFIG_BYTES {
        return Err(WriteError::ConfigLength { bytes: config.len() });
    }
    Ok(())
}

/// `MovieHeaderBox` (§8.2.2), version 0.
fn movie_header(w: &mut Writer, timescale: u32) {
    w.full(b"mvhd", 0, 0, |w| {
        w.u32(0); // creation_time: not told, so that the same track gives the same bytes
        w.u32(0); // modification_time
        w.u32(timescale);
        w.u32(0); // duration: in fragments only
        w.u32(0x1_0000); // rate 1.0
        w.u16(0x0100); // volume 1.0
        w.zeros(2 + 8); // reserved
        for value in IDENTITY {
            w.u32(value);
        }
        w.zeros(24); // pre_defined
        w.u32(TRACK_ID + 1); // next_track_ID
    });
}

/// `TrackHeaderBox` (§8.3.2), version 0.
fn track_header(w: &mut Writer, track: &Track, matrix: &[u32; 9]) {
    w.full(b"tkhd", 0, TRACK_FLAGS, |w| {
        w.u32(0); // creation_time
        w.u32(0); // modification_time
        w.u32(TRACK_ID);
        w.u32(0); // reserved
        w.u32(0); // duration
        w.zeros(8); // reserved
        w.u16(0); // layer
        w.u16(0); // alternate_group
        w.u16(if track.kind == TrackKind::Audio { 0x0100 } else { 0 }); // volume
        w.u16(0); // reserved
        for value in matrix {
            w.u32(*value);
        }
        w.u32(track.width << 16); // width, 16.16
        w.u32(track.height << 16); // height, 16.16
    });
}

/// Body of the `MediaBox` (§8.4).
fn media(w: &mut Writer, track: &Track, timescale: u32, shown: &Presentation) {
    w.full(b"mdhd", 0, 0, |w| {
        w.u32(0); // creation_time
        w.u32(0); // modification_time
        w.u32(timescale);
        w.u32(0); // duration
        w.u16(shown.packed_language());
        w.u16(0); // pre_defined
    });
    let (handler, name): (_, &[u8]) = match track.kind {
        TrackKind::Video => (b"vide", b"video\0"),
        TrackKind::Audio => (b"soun", b"audio\0"),
    };
    w.full(b"hdlr", 0, 0, |w| {
        w.u32(0); // pre_defined
        w.put(handler); // handler_type
        w.zeros(12); // reserved
        w.put(name); // name, ends with zero
    });
    w.plain(b"minf", |w| {
        match track.kind {
            TrackKind::Video => w.full(b"vmhd", 0, 1, |w| w.zeros(2 + 6)), // graphicsmode copy, opcolor
            TrackKind::Audio => w.full(b"smhd", 0, 0, |w| w.zeros(2 + 2)), // balance centre, reserved
        }
        w.plain(b"dinf", |w| {
            w.full(b"dref", 0, 0, |w| {
                w.u32(1); // entry_count
                w.full(b"url ", 0, 1, |_| ()); // flag: media is in this file
            });
        });
        w.plain(b"stbl", |w| sample_table(w, track, shown));
    });
}

/// Body of the `SampleTableBox` (§8.5): the sample entry, and tables that are empty because samples are in fragments.
fn sample_table(w: &mut Writer, track: &Track, shown: &Presentation) {
    w.full(b"stsd", 0, 0, |w| {
        w.u32(1); // entry_count
        sample_entry(w, track, &shown.extensions);
    });
    for table in [b"stts", b"stsc"] {
        w.full(table, 0, 0, |w| w.u32(0)); // entry_count
    }
    w.full(b"stsz", 0, 0, |w| {
        w.u32(0); // sample_size
        w.u32(0); // sample_count
    });
    w.full(b"stco", 0, 0, |w| w.u32(0)); // entry_count
}

/// `TrackExtendsBox` (§8.8.3).
fn track_extends(w: &mut Writer) {
    w.full(b"trex", 0, 0, |w| {
        w.u32(TRACK_ID);
        w.u32(1); // default_sample_description_index
        w.u32(0); // default_sample_duration
        w.u32(0); // default_sample_size
        w.u32(0); // default_sample_flags
    });
}
