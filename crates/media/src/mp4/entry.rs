//! `stsd`: coding formats and their decoder configurations, as MP4 and QuickTime files tell them.

use std::sync::Arc;

use bytes::Bytes;

use super::boxes::{Boxes, Fields, find};
use super::{Content, FourCc, Mp4Error};
use crate::codec::{Audio, ConfigError, aac, ac3, av1, avc, hevc, opus};
use crate::{Codec, Track, TrackKind};

const STSD: FourCc = FourCc(*b"stsd");

/// Bytes of a `VisualSampleEntry` before its boxes (§12.1.3), the head left aside.
const VISUAL_BYTES: usize = 78;

/// Bytes of an `AudioSampleEntry` before its boxes (§12.2.3), the head left aside.
const AUDIO_BYTES: usize = 28;

/// Most bytes of boxes that are carried on as they are.
const MAX_EXTENSION_BYTES: usize = 4096;

/// Brightness range of a picture, as `VIDEO-RANGE` of HLS tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoRange {
    /// Standard.
    Sdr,
    /// Hybrid log-gamma (ITU-R BT.2100).
    Hlg,
    /// Perceptual quantizer (SMPTE ST 2084).
    Pq,
}

/// What a sample entry says.
pub(super) struct Described {
    pub(super) content: Content,
    pub(super) extensions: Bytes,
    pub(super) video_range: Option<VideoRange>,
}

impl Described {
    fn other(format: FourCc, reason: impl Into<String>) -> Self {
        let content = Content::Other { format, reason: reason.into() };
        Self { content, extensions: Bytes::new(), video_range: None }
    }
}

/// Reads `stsd` of a track with this handler, whose samples count in `timescale`.
pub(super) fn describe(handler: FourCc, mut fields: Fields<'_>, timescale: u32) -> Result<Described, Mp4Error> {
    let (version, _) = fields.version_and_flags()?;
    let count = fields.u32()?;
    let mut entries = Boxes::new(STSD, fields.rest());
    let Some(first) = entries.next() else { return Ok(Described::other(FourCc(*b"    "), "no sample entry")) };
    let (format, body) = first?;
    // Encoders that were started twice repeat themselves; anything else would need a decoder to be set up anew.
    for entry in entries.take(count as usize) {
        if entry? != (format, body) {
            return Ok(Described::other(format, "coding changes on the way"));
        }
    }
    let described = match &handler.0 {
        b"vide" => video(format, body, timescale),
        b"soun" => audio(format, body, version, timescale),
        _ => return Ok(Described::other(format, "neither picture nor sound")),
    };
    match described {
        Ok(described) => Ok(described),
        Err(Mp4Error::Config(error)) => Ok(Described::other(format, error.to_string())),
        Err(error) => Err(error),
    }
}

fn video(format: FourCc, body: &[u8], timescale: u32) -> Result<Described, Mp4Error> {
    let boxes = body.get(VISUAL_BYTES..).ok_or(Mp4Error::Truncated { kind: format })?;
    let config = |kind: &[u8; 4]| {
        let found = find(format, boxes, kind)?.ok_or(Mp4Error::Missing(FourCc(*kind)))?;
        Ok::<_, Mp4Error>(Bytes::copy_from_slice(found.rest()))
    };
    let (codec, video) = match &format.0 {
        b"avc1" | b"avc3" => config(b"avcC").and_then(|avcc| {
            let video = avc::parse(&avcc)?;
            Ok((Codec::H264(avcc), video))
        })?,
        b"hvc1" | b"hev1" => config(b"hvcC").and_then(|hvcc| {
            let video = hevc::parse(&hvcc)?;
            Ok((Codec::H265(hvcc), video))
        })?,
        b"av01" => config(b"av1C").and_then(|av1c| {
            let video = av1::parse(&av1c)?;
            Ok((Codec::Av1(av1c), video))
        })?,
        _ => return Ok(Described::other(format, "coding format is not supported")),
    };
    let mut extensions = Vec::new();
    let mut video_range = None;
    for found in Boxes::new(format, boxes) {
        // What follows the configuration may be in a form of its own.
        let Ok((kind, content)) = found else { break };
        if kind.0 == *b"colr" {
            video_range = video_range.or(range(content));
        }
        let is_carried = matches!(&kind.0, b"colr" | b"pasp" | b"clap" | b"mdcv" | b"clli");
        if is_carried && extensions.len() + content.len() + 8 <= MAX_EXTENSION_BYTES {
            extensions.extend_from_slice(&(content.len() as u32 + 8).to_be_bytes());
            extensions.extend_from_slice(&kind.0);
            extensions.extend_from_slice(content);
        }
    }
    let track = Track {
        kind: TrackKind::Video,
        timescale,
        codec,
        codecs: video.codecs,
        width: video.size.0,
        height: video.size.1,
        sample_rate: 0,
        channels: 0,
        frame_samples: 0,
    };
    Ok(Described { content: Content::Media(Arc::new(track)), extensions: extensions.into(), video_range })
}

/// `colr` (§12.1.5) by its transfer characteristics (ITU-T H.273 table 3).
fn range(colour: &[u8]) -> Option<VideoRange> {
    // u32 colour_type, u16 colour_primaries, u16 transfer_characteristics, u16 matrix_coefficients
    let (kind, rest) = colour.split_first_chunk::<4>()?;
    if !matches!(kind, b"nclx" | b"nclc") {
        return None;
    }
    Some(match rest.get(2..4)? {
        [0, 16] => VideoRange::Pq,
        [0, 18] => VideoRange::Hlg,
        _ => VideoRange::Sdr,
    })
}

fn audio(format: FourCc, body: &[u8], table_version: u8, timescale: u32) -> Result<Described, Mp4Error> {
    let mut fields = Fields::new(format, body);
    fields.take(8)?; // reserved, data_reference_index
    let version = fields.u16()?;
    // QuickTime has longer entries of versions 1 and 2 in a table of version 0.
    let more = match (table_version, version) {
        (0, 1) => 16,
        (0, 2) => 36,
        _ => 0,
    };
    let boxes = body.get(AUDIO_BYTES + more..).ok_or(Mp4Error::Truncated { kind: format })?;
    let config = |kind: &[u8; 4]| find_sound(format, boxes, kind)?.ok_or(Mp4Error::Missing(FourCc(*kind)));
    let (codec, audio) = match &format.0 {
        b"mp4a" => match elementary_stream(config(b"esds")?) {
            Some((0x40 | 0x66..=0x68, specific)) => {
                let audio = aac::parse(specific)?;
                (Codec::Aac(Bytes::copy_from_slice(specific)), audio)
            }
            Some((kind, _)) => {
                return Ok(Described::other(format, format!("object type is not supported: {kind:#04x}")));
            }
            None => return Ok(Described::other(format, "its descriptor cannot be read")),
        },
        b"Opus" => coded(config(b"dOps")?, Codec::Opus, opus::parse)?,
        b"ac-3" => coded(config(b"dac3")?, Codec::Ac3, ac3::parse)?,
        b"ec-3" => coded(config(b"dec3")?, Codec::Eac3, ac3::parse_enhanced)?,
        _ => return Ok(Described::other(format, "coding format is not supported")),
    };
    let track = Track {
        kind: TrackKind::Audio,
        timescale,
        codec,
        codecs: audio.codecs,
        width: 0,
        height: 0,
        sample_rate: audio.sample_rate,
        channels: audio.channels,
        frame_samples: audio.frame_samples,
    };
    Ok(Described { content: Content::Media(Arc::new(track)), extensions: Bytes::new(), video_range: None })
}

fn coded(
    config: Fields<'_>,
    codec: fn(Bytes) -> Codec,
    parse: fn(&[u8]) -> Result<Audio, ConfigError>,
) -> Result<(Codec, Audio), Mp4Error> {
    let audio = parse(config.rest())?;
    Ok((codec(Bytes::copy_from_slice(config.rest())), audio))
}

/// A configuration box of sound, which QuickTime puts into a `wave` box.
fn find_sound<'a>(format: FourCc, boxes: &'a [u8], kind: &[u8; 4]) -> Result<Option<Fields<'a>>, Mp4Error> {
    if let Some(found) = find(format, boxes, kind)? {
        return Ok(Some(found));
    }
    match find(format, boxes, b"wave")? {
        Some(wave) => find(FourCc(*b"wave"), wave.rest(), kind),
        None => Ok(None),
    }
}

/// `esds` (ISO/IEC 14496-1 §7.2.6): object type and DecoderSpecificInfo.
fn elementary_stream(mut fields: Fields<'_>) -> Option<(u8, &[u8])> {
    fields.version_and_flags().ok()?;
    let (3, body) = descriptor(fields.rest())?.0 else { return None };
    // u16 ES_ID; 1 bit each streamDependenceFlag, URL_Flag, OCRstreamFlag, 5 bits streamPriority
    let (&[_, _, flags], mut rest) = body.split_first_chunk()?;
    if flags & 0x80 != 0 {
        rest = rest.get(2..)?; // dependsOn_ES_ID
    }
    if flags & 0x40 != 0 {
        rest = rest.get(1 + usize::from(*rest.first()?)..)?; // URL
    }
    if flags & 0x20 != 0 {
        rest = rest.get(2..)?; // OCR_ES_Id
    }
    let (4, config) = descriptor(rest)?.0 else { return None };
    // u8 objectTypeIndication, u8 streamType and flags, u24 bufferSizeDB, u32 maxBitrate, u32 avgBitrate
    let object_type = *config.first()?;
    match descriptor(config.get(13..)?) {
        Some(((5, specific), _)) => Some((object_type, specific)),
        _ => Some((object_type, &[])),
    }
}

/// Tag and body of a descriptor.
type Descriptor<'a> = (u8, &'a [u8]);

/// The first descriptor (ISO/IEC 14496-1 §8.3.3), and what comes after it.
fn descriptor(bytes: &[u8]) -> Option<(Descriptor<'_>, &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut length = 0_usize;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (body, rest) = rest.split_at_checked(length)?;
    Some(((tag, body), rest))
}
