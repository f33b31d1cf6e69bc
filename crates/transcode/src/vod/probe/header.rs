//! What ffprobe says of a file's header.

use serde::Deserialize;

use super::{language, shorter};
use crate::vod::source::{Audio, DynamicRange, Scan, Size, Subtitle, SubtitleKind};
use crate::vod::{Rational, Reason, Rejected};

/// What is asked for; nothing else of the file's text is read.
pub(super) const ENTRIES: &str = "format=format_name,duration,start_time:\
    stream=index,codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,r_frame_rate,avg_frame_rate,\
    bits_per_raw_sample,color_transfer,field_order,channels,sample_rate:\
    stream_tags=language,title:stream_disposition=default,forced,attached_pic:\
    stream_side_data=side_data_type,rotation,dv_profile,dv_bl_signal_compatibility_id:\
    chapter=start_time,end_time:chapter_tags=title";

/// Codecs of pictures that are taken.
const VIDEO_CODECS: &[&str] = &[
    "h264",
    "hevc",
    "av1",
    "vp8",
    "vp9",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "mjpeg",
    "prores",
    "dnxhd",
    "cfhd",
    "vc1",
    "wmv1",
    "wmv2",
    "wmv3",
    "msmpeg4v2",
    "msmpeg4v3",
    "theora",
    "h263",
    "flv1",
    "ffv1",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "rawvideo",
    "v210",
    "dvvideo",
    "qtrle",
    "png",
    "svq1",
    "svq3",
    "rv30",
    "rv40",
    "vp6",
    "vp6f",
    "hap",
    "magicyuv",
    "jpeg2000",
];

/// Codecs of sound that are taken, but for those that begin with `pcm_`.
const AUDIO_CODECS: &[&str] = &[
    "aac",
    "mp3",
    "mp2",
    "mp1",
    "ac3",
    "eac3",
    "opus",
    "vorbis",
    "flac",
    "alac",
    "dts",
    "truehd",
    "mlp",
    "wmav1",
    "wmav2",
    "wmapro",
    "wmalossless",
    "amr_nb",
    "amr_wb",
    "adpcm_ima_wav",
    "adpcm_ima_qt",
    "adpcm_ms",
    "adpcm_swf",
    "speex",
    "gsm_ms",
    "nellymoser",
    "cook",
    "ape",
    "wavpack",
    "qdm2",
    "mace3",
    "mace6",
];

/// Codecs of text that ffmpeg makes WebVTT of.
const TEXT_CODECS: &[&str] =
    &["mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "sami", "microdvd", "subviewer"];

/// Codecs of text in pictures.
const BITMAP_CODECS: &[&str] = &["hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"];

/// Chapters of a file that are kept.
const CHAPTERS_MAX: usize = 1000;

/// Pixels are at most so many times as long as wide, or the other way round; more is a slip of the pen.
const ASPECT_MAX: f64 = 8.0;

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    chapters: Vec<RawChapter>,
    #[serde(default)]
    pub(super) format: Format,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Format {
    #[serde(default)]
    pub(super) format_name: String,
    duration: Option<String>,
}

impl Format {
    pub(super) fn duration_ms(&self) -> Option<u64> {
        micros(self.duration.as_deref()).and_then(|us| u64::try_from(us / 1000).ok())
    }
}

#[derive(Debug, Deserialize)]
struct Stream {
    index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    profile: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect_ratio: Option<String>,
    pix_fmt: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    bits_per_raw_sample: Option<String>,
    color_transfer: Option<String>,
    field_order: Option<String>,
    channels: Option<u32>,
    sample_rate: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Debug, Default, Deserialize)]
struct Tags {
    language: Option<String>,
    title: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disposition {
    default: u8,
    forced: u8,
    attached_pic: u8,
}

#[derive(Debug, Deserialize)]
struct SideData {
    rotation: Option<f64>,
    dv_profile: Option<u8>,
    dv_bl_signal_compatibility_id: Option<u8>,
}

#[derive(Debug, Deserialize)]
struct RawChapter {
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(default)]
    tags: Tags,
}

/// The track of pictures, before its packets are known.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) stream: u32,
    pub(super) codec: String,
    pub(super) coded: Size,
    pub(super) display: Size,
    pub(super) rotation: u16,
    pub(super) sample_aspect: Rational,
    pub(super) pixel_format: String,
    pub(super) bit_depth: u8,
    pub(super) range: DynamicRange,
    pub(super) scan: Scan,
    /// Rates that the header names, the most trustworthy first.
    pub(super) rates: Vec<Rational>,
}

/// A chapter in the file's time, in microseconds.
pub(super) type Stretch = (i64, i64, String);

impl Header {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Rejected> {
        serde_json::from_slice(text)
            .map_err(|error| Rejected::new(Reason::NotMedia, format!("its header makes no sense: {error}")))
    }

    pub(super) fn tracks(&self) -> usize {
        self.streams.len()
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Stream> {
        self.streams.iter().filter(move |stream| stream.codec_type.as_deref() == Some(kind))
    }

    /// The first track of pictures that is no cover and whose codec is taken.
    pub(super) fn picture(&self, notes: &mut Vec<String>) -> Result<Option<Picture>, Rejected> {
        let mut tracks = self.of_kind("video").filter(|stream| stream.disposition.attached_pic == 0);
        let Some(stream) = tracks.next() else { return Ok(None) };
        for other in tracks {
            notes.push(format!("pictures left out: track {} is a second one", other.index));
        }
        let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
        if !VIDEO_CODECS.contains(&codec.as_str()) {
            let text = format!("its pictures are coded as {codec}, which is not taken; export it as H.264");
            return Err(Rejected::new(Reason::Codec, text));
        }
        let coded = Size { width: stream.width.unwrap_or(0), height: stream.height.unwrap_or(0) };
        let sample_aspect = stream.aspect(notes);
        let rotation = stream.rotation(notes);
        let range = stream.range()?;
        let pixel_format = stream.pix_fmt.clone().unwrap_or_default();
        let raw = stream.bits_per_raw_sample.as_deref().and_then(|bits| bits.parse().ok()).filter(|bits| *bits > 0);
        let rates = [&stream.r_frame_rate, &stream.avg_frame_rate].into_iter();
        Ok(Some(Picture {
            stream: stream.index,
            codec,
            coded,
            display: display(coded, sample_aspect, rotation),
            rotation,
            sample_aspect,
            bit_depth: raw.unwrap_or_else(|| bit_depth(&pixel_format)),
            pixel_format,
            range,
            scan: match stream.field_order.as_deref() {
                Some("tt" | "bb" | "tb" | "bt") => Scan::Interlaced,
                _ => Scan::Progressive,
            },
            rates: rates.filter_map(|rate| rate.as_deref()?.parse().ok()).collect(),
        }))
    }

    pub(super) fn audio(&self, notes: &mut Vec<String>) -> Vec<Audio> {
        let mut tracks = Vec::new();
        for stream in self.of_kind("audio") {
            let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
            let (channels, rate) = (stream.channels.unwrap_or(0), stream.sample_rate.as_deref());
            let sample_rate = rate.and_then(|rate| rate.parse().ok()).unwrap_or(0);
            let is_taken = codec.starts_with("pcm_") || AUDIO_CODECS.contains(&codec.as_str());
            if !is_taken || channels == 0 || channels > 64 || !(1000..=768_000).contains(&sample_rate) {
                notes.push(format!(
                    "sound left out: track {} ({codec}, {channels} channels, {sample_rate} Hz)",
                    stream.index
                ));
                continue;
            }
            tracks.push(Audio {
                stream: stream.index,
                codec,
                profile: stream.profile.clone(),
                channels,
                sample_rate,
                language: language(stream.tags.language.as_deref()),
                title: shorter(stream.tags.title.as_deref()),
                is_default: stream.disposition.default == 1,
            });
        }
        tracks
    }

    pub(super) fn subtitles(&self) -> Vec<Subtitle> {
        let track = |stream: &Stream| {
            let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
            Subtitle {
                stream: stream.index,
                kind: match codec.as_str() {
                    text if TEXT_CODECS.contains(&text) => SubtitleKind::Text,
                    bitmap if BITMAP_CODECS.contains(&bitmap) => SubtitleKind::Bitmap,
                    _ => SubtitleKind::Unknown,
                },
                codec,
                language: language(stream.tags.language.as_deref()),
                title: shorter(stream.tags.title.as_deref()),
                is_default: stream.disposition.default == 1,
                is_forced: stream.disposition.forced == 1,
            }
        };
        self.of_kind("subtitle").map(track).collect()
    }

    pub(super) fn chapters(&self) -> Vec<Stretch> {
        let chapter = |raw: &RawChapter| {
            let (start, end) = (micros(raw.start_time.as_deref())?, micros(raw.end_time.as_deref())?);
            Some((start, end, shorter(raw.tags.title.as_deref()).unwrap_or_default()))
        };
        self.chapters.iter().filter_map(chapter).take(CHAPTERS_MAX).collect()
    }
}

impl Stream {
    fn aspect(&self, notes: &mut Vec<String>) -> Rational {
        let aspect: Option<Rational> = self.sample_aspect_ratio.as_deref().and_then(|text| text.parse().ok());
        let Some(aspect) = aspect else { return Rational::ONE };
        if (1.0 / ASPECT_MAX..=ASPECT_MAX).contains(&aspect.as_f64()) {
            return aspect;
        }
        notes.push(format!("the shape of its pixels is not believed: {aspect}"));
        Rational::ONE
    }

    fn rotation(&self, notes: &mut Vec<String>) -> u16 {
        // ffprobe counts against the clock.
        let Some(counter) = self.side_data_list.iter().find_map(|data| data.rotation) else { return 0 };
        let turned = (-counter).rem_euclid(360.0);
        let quarter = ((turned / 90.0).round() as u16 % 4) * 90;
        if (turned - f64::from(quarter)).abs() > 1.0 && turned < 359.0 {
            notes.push(format!("it is turned by {turned:.0} degrees, which is no quarter"));
        }
        quarter
    }

    fn range(&self) -> Result<DynamicRange, Rejected> {
        let base = match self.color_transfer.as_deref() {
            Some("smpte2084") => DynamicRange::Hdr10,
            Some("arib-std-b67") => DynamicRange::Hlg,
            _ => DynamicRange::Sdr,
        };
        let Some(vision) = self.side_data_list.iter().find(|data| data.dv_profile.is_some()) else { return Ok(base) };
        match vision.dv_bl_signal_compatibility_id {
            // Without a compatible base layer its colours are known to Dolby's own decoders only.
            None | Some(0) => {
                let profile = vision.dv_profile.unwrap_or(0);
                let text = format!(
                    "Dolby Vision profile {profile} has no base layer that plain decoders show; export it as HDR10, HLG or SDR"
                );
                Err(Rejected::new(Reason::Colours, text))
            }
            Some(_) if base == DynamicRange::Sdr => Ok(DynamicRange::Sdr),
            Some(_) => Ok(DynamicRange::DolbyVision),
        }
    }
}

fn display(coded: Size, aspect: Rational, rotation: u16) -> Size {
    let (width, height) = (f64::from(coded.width), f64::from(coded.height));
    let aspect = aspect.as_f64();
    // Lines and columns are stretched, never dropped.
    let (width, height) = if aspect >= 1.0 { (width * aspect, height) } else { (width, height / aspect) };
    let (width, height) = (width.round() as u32, height.round() as u32);
    if rotation % 180 == 90 { Size { width: height, height: width } } else { Size { width, height } }
}

/// By the name: `yuv420p10le`.
fn bit_depth(pixel_format: &str) -> u8 {
    if pixel_format.starts_with("nv") {
        return 8;
    }
    let name = pixel_format.trim_end_matches("le").trim_end_matches("be");
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    match name[name.len() - digits..].parse::<u16>() {
        Ok(bits @ 9..=16) => bits as u8,
        Ok(48 | 64) => 16,
        _ => 8,
    }
}

/// Seconds as ffprobe writes them, in microseconds.
pub(super) fn micros(text: Option<&str>) -> Option<i64> {
    let seconds: f64 = text?.parse().ok()?;
    let micros = (seconds * 1e6).round();
    (micros.abs() < 1e17).then_some(micros as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(stream: &str) -> Header {
        Header::parse(format!("{{\"streams\":[{stream}],\"format\":{{\"format_name\":\"mov\"}}}}").as_bytes()).unwrap()
    }

    #[test]
    fn sizes_are_those_of_the_screen() {
        for (fields, wanted) in [
            ("", "1920x1080"),
            (r#","sample_aspect_ratio":"4:3""#, "2560x1080"),
            (r#","sample_aspect_ratio":"1:2""#, "1920x2160"),
            (r#","sample_aspect_ratio":"0:1""#, "1920x1080"),
            (r#","sample_aspect_ratio":"1000:1""#, "1920x1080"),
            (r#","side_data_list":[{"side_data_type":"Display Matrix","rotation":-90}]"#, "1080x1920"),
            (r#","side_data_list":[{"rotation":180}]"#, "1920x1080"),
        ] {
            let text =
                format!(r#"{{"index":0,"codec_type":"video","codec_name":"h264","width":1920,"height":1080{fields}}}"#);
            let picture = header(&text).picture(&mut Vec::new()).unwrap().unwrap();
            assert_eq!(picture.display.to_string(), wanted, "{fields}");
        }
    }

    #[test]
    fn ranges_are_told_apart() {
        for (fields, wanted) in [
            ("", Ok(DynamicRange::Sdr)),
            (r#","color_transfer":"smpte2084""#, Ok(DynamicRange::Hdr10)),
            (r#","color_transfer":"arib-std-b67""#, Ok(DynamicRange::Hlg)),
            (
                r#","color_transfer":"arib-std-b67","side_data_list":[{"dv_profile":8,"dv_bl_signal_compatibility_id":4}]"#,
                Ok(DynamicRange::DolbyVision),
            ),
            (r#","side_data_list":[{"dv_profile":5,"dv_bl_signal_compatibility_id":0}]"#, Err(Reason::Colours)),
        ] {
            let text =
                format!(r#"{{"index":0,"codec_type":"video","codec_name":"hevc","width":64,"height":64{fields}}}"#);
            let picture = header(&text).picture(&mut Vec::new());
            let range = picture.map(|picture| picture.unwrap().range).map_err(|rejected| rejected.reason);
            assert_eq!(range, wanted, "{fields}");
        }
    }

    #[test]
    fn depths_are_read_from_names() {
        for (name, bits) in [
            ("yuv420p", 8),
            ("yuv420p10le", 10),
            ("p010le", 10),
            ("nv12", 8),
            ("gray16be", 16),
            ("rgb24", 8),
            ("rgb48le", 16),
        ] {
            assert_eq!(bit_depth(name), bits, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "\\PC*", rotation in any::<f64>(), aspect in "[0-9]{0,12}:[0-9]{0,12}") {
            let _ = Header::parse(text.as_bytes());
            let stream = serde_json::json!({
                "index": 0, "codec_type": "video", "codec_name": "h264", "width": u32::MAX, "height": 1, "pix_fmt": text,
                "sample_aspect_ratio": aspect, "side_data_list": [{"rotation": rotation}], "tags": {"language": text},
            });
            let header = header(&stream.to_string());
            let _ = header.picture(&mut Vec::new());
        }
    }
}
