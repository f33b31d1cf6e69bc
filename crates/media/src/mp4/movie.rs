//! `moov`: the tracks of a file.

use std::sync::Arc;

use bytes::Bytes;

use super::boxes::{Boxes, Fields, find, need};
use super::edit::Edit;
use super::entry::{self, Described};
use super::fragment::Defaults;
use super::table::{SampleRef, Samples, Tables};
use super::{FourCc, MAX_MOOV_BYTES, MAX_TRACKS, Mp4Error, VideoRange};
use crate::{Track, TrackKind};

const MOOV: FourCc = FourCc(*b"moov");
const TRAK: FourCc = FourCc(*b"trak");
const MDIA: FourCc = FourCc(*b"mdia");

/// What `moov` says.
#[derive(Clone, Debug)]
pub struct Movie {
    /// Units per second of [`Movie::duration`].
    pub timescale: u32,
    /// Duration that the file claims; 0 when it does not, as in fragmented files.
    pub duration: u64,
    /// Whether samples are in `moof` boxes.
    pub is_fragmented: bool,
    /// Tracks, in order.
    pub tracks: Vec<MovieTrack>,
}

/// A track of a file.
#[derive(Clone, Debug)]
pub struct MovieTrack {
    /// `track_ID`.
    pub id: u32,
    /// What the track says that it is: `vide`, `soun`, `text`, `tmcd` and so on.
    pub handler: FourCc,
    /// What is in it.
    pub content: Content,
    /// Units per second of the times of its samples; above zero.
    pub timescale: u32,
    /// Duration of the media that the track claims, edits left aside, in its timescale; 0 when it does not.
    pub duration: u64,
    /// BCP 47 or ISO 639-2 tag of the language; `und` where it is not told.
    pub language: String,
    /// Transformation of the picture when it is shown (`tkhd` §8.3.2), 16.16 numbers and in the last column 2.30.
    pub matrix: [u32; 9],
    /// Brightness range of the picture by its colour description, if there is one.
    pub video_range: Option<VideoRange>,
    /// Boxes of the sample entry on colour, mastering display and pixel shape, as they are.
    pub extensions: Bytes,
    /// What the edit list makes of its time.
    pub edit: Edit,
    pub(super) defaults: Defaults,
    tables: Option<Arc<Tables>>,
}

/// What is in a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Pictures or sound that can be packaged. The track's timescale is that of the file.
    Media(Arc<Track>),
    /// Something else.
    Other {
        /// Coding format of its sample entry.
        format: FourCc,
        /// Why it cannot be packaged.
        reason: String,
    },
}

impl Movie {
    /// Reads the body of a `moov` box. The tracks keep parts of it.
    ///
    /// # Errors
    /// When the box is malformed, or something counts more than the box holds or than is read. A track that cannot be packaged is none:
    /// see [`Content::Other`].
    pub fn parse(body: &Bytes) -> Result<Self, Mp4Error> {
        if body.len() as u64 > MAX_MOOV_BYTES {
            return Err(Mp4Error::TooLarge { kind: MOOV, bytes: body.len() as u64, limit: MAX_MOOV_BYTES });
        }
        let mut header = need(MOOV, body, b"mvhd")?;
        let (version, _) = header.version_and_flags()?;
        header.wide(version)?; // creation_time
        header.wide(version)?; // modification_time
        let timescale = header.u32()?;
        if timescale == 0 {
            return Err(Mp4Error::Timescale(FourCc(*b"mvhd")));
        }
        let duration = known(header.wide(version)?, version);
        let mut defaults = Vec::new();
        let extends = find(MOOV, body, b"mvex")?;
        if let Some(extends) = extends {
            for found in Boxes::new(FourCc(*b"mvex"), extends.rest()) {
                let (kind, body) = found?;
                if kind.0 == *b"trex" {
                    defaults.push(Defaults::parse(Fields::new(kind, body))?);
                }
                if defaults.len() > MAX_TRACKS {
                    return Err(too_many_tracks(defaults.len()));
                }
            }
        }
        let mut tracks = Vec::new();
        for found in Boxes::new(MOOV, body) {
            let (kind, trak) = found?;
            if kind != TRAK {
                continue;
            }
            if tracks.len() == MAX_TRACKS {
                return Err(too_many_tracks(tracks.len() + 1));
            }
            tracks.push(MovieTrack::parse(body, trak, timescale, &defaults)?);
        }
        Ok(Self { timescale, duration, is_fragmented: extends.is_some(), tracks })
    }

    /// Index of the track of this kind that is the `nth` of the file, from 0.
    pub fn nth_of(&self, kind: TrackKind, nth: usize) -> Option<usize> {
        let of_kind = self.tracks.iter().enumerate().filter(|(_, track)| track.kind() == Some(kind));
        of_kind.map(|(index, _)| index).nth(nth)
    }
}

fn too_many_tracks(count: usize) -> Mp4Error {
    Mp4Error::TooMany { what: "tracks", count: count as u64, limit: MAX_TRACKS as u64 }
}

/// All ones stand for a duration that is not known.
fn known(duration: u64, version: u8) -> u64 {
    let unknown = if version == 1 { u64::MAX } else { u32::MAX.into() };
    if duration == unknown { 0 } else { duration }
}

impl MovieTrack {
    fn parse(whole: &Bytes, trak: &[u8], movie_timescale: u32, defaults: &[Defaults]) -> Result<Self, Mp4Error> {
        let (id, matrix) = track_header(need(TRAK, trak, b"tkhd")?)?;
        let mdia = need(TRAK, trak, b"mdia")?.rest();
        let (timescale, duration, mut language) = media_header(need(MDIA, mdia, b"mdhd")?)?;
        if let Some(tag) = find(MDIA, mdia, b"elng")?.and_then(extended_language) {
            language = tag;
        }
        let mut handler = need(MDIA, mdia, b"hdlr")?;
        handler.take(8)?; // version, flags, pre_defined
        let handler = FourCc(handler.u32()?.to_be_bytes());
        let minf = need(MDIA, mdia, b"minf")?.rest();
        let stbl = need(FourCc(*b"minf"), minf, b"stbl")?.rest();
        let stsd = need(FourCc(*b"stbl"), stbl, b"stsd")?;
        let Described { content, extensions, video_range } = entry::describe(handler, stsd, timescale)?;
        let edts = find(TRAK, trak, b"edts")?;
        let elst = edts.map(|edts| find(FourCc(*b"edts"), edts.rest(), b"elst")).transpose()?.flatten();
        let edit = elst.map(|elst| Edit::parse(elst, movie_timescale, timescale)).transpose()?.unwrap_or_default();
        // What is not packaged may have what tables it likes.
        let tables = match content {
            Content::Media(_) => Some(Arc::new(Tables::parse(whole, stbl)?)),
            Content::Other { .. } => None,
        };
        let defaults = defaults.iter().find(|defaults| defaults.track_id == id).copied().unwrap_or_default();
        Ok(Self {
            id,
            handler,
            content,
            timescale,
            duration,
            language,
            matrix,
            video_range,
            extensions,
            edit,
            defaults,
            tables,
        })
    }

    /// Picture or sound, by its handler.
    pub fn kind(&self) -> Option<TrackKind> {
        match &self.handler.0 {
            b"vide" => Some(TrackKind::Video),
            b"soun" => Some(TrackKind::Audio),
            _ => None,
        }
    }

    /// What the sample entry says, if the track can be packaged.
    pub fn media(&self) -> Option<&Arc<Track>> {
        match &self.content {
            Content::Media(track) => Some(track),
            Content::Other { .. } => None,
        }
    }

    /// Samples that the tables count, those in fragments left aside.
    pub fn sample_count(&self) -> u32 {
        self.tables.as_ref().map_or(0, |tables| tables.count())
    }

    /// The samples in the tables, in decoding order; none when the track cannot be packaged.
    pub fn samples(&self) -> impl Iterator<Item = SampleRef> + Send + use<> {
        let samples = match (&self.tables, self.media()) {
            (Some(tables), Some(track)) => Some(Samples::new(tables.clone(), track.kind, self.edit.shift)),
            _ => None,
        };
        samples.into_iter().flatten()
    }

    /// Whether a sample is needed for what the edit list shows. Sound outside of it is not: that is how encoders mark the delay of their
    /// first samples. Pictures before it are, because later ones may be coded by them.
    pub fn shows(&self, sample: &SampleRef) -> bool {
        self.kind().is_none_or(|kind| self.edit.shows(kind, sample.dts, sample.pts, sample.duration))
    }

    /// By how many degrees the picture is turned clockwise when it is shown, if it is by a quarter of a turn: 0, 90, 180 or 270.
    pub fn rotation(&self) -> u32 {
        let [a, b, _, c, d, ..] = self.matrix.map(|value| (value as i32).signum());
        match (a, b, c, d) {
            (0, 1, -1, 0) => 90,
            (-1, 0, 0, -1) => 180,
            (0, -1, 1, 0) => 270,
            _ => 0,
        }
    }
}

/// `tkhd`: `track_ID` and the matrix.
fn track_header(mut fields: Fields<'_>) -> Result<(u32, [u32; 9]), Mp4Error> {
    let (version, _) = fields.version_and_flags()?;
    fields.wide(version)?; // creation_time
    fields.wide(version)?; // modification_time
    let id = fields.u32()?;
    fields.u32()?; // reserved
    fields.wide(version)?; // duration
    fields.take(8 + 2 + 2 + 2 + 2)?; // reserved, layer, alternate_group, volume, reserved
    let mut matrix = [0; 9];
    for value in &mut matrix {
        *value = fields.u32()?;
    }
    Ok((id, matrix))
}

/// `mdhd`: timescale, duration and language.
fn media_header(mut fields: Fields<'_>) -> Result<(u32, u64, String), Mp4Error> {
    let (version, _) = fields.version_and_flags()?;
    fields.wide(version)?; // creation_time
    fields.wide(version)?; // modification_time
    let timescale = fields.u32()?;
    if timescale == 0 {
        return Err(Mp4Error::Timescale(FourCc(*b"mdhd")));
    }
    let duration = known(fields.wide(version)?, version);
    let packed = fields.u16()?;
    // Three letters of five bits; what QuickTime puts here instead is below 0x400.
    let letters = [packed >> 10 & 31, packed >> 5 & 31, packed & 31].map(|letter| letter as u8 + 0x60);
    let is_language = packed >= 0x400 && letters.iter().all(u8::is_ascii_lowercase);
    let language =
        if is_language { letters.iter().map(|&letter| char::from(letter)).collect() } else { "und".to_owned() };
    Ok((timescale, duration, language))
}

/// `elng` (§8.4.6): a BCP 47 tag that ends with zero.
fn extended_language(mut fields: Fields<'_>) -> Option<String> {
    fields.version_and_flags().ok()?;
    let tag: Vec<u8> = fields.rest().iter().copied().take_while(|byte| *byte != 0).collect();
    let is_tag = (2..=35).contains(&tag.len()) && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    is_tag.then(|| String::from_utf8(tag).ok()).flatten()
}
