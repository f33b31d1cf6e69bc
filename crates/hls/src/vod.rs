//! Playlists of assets on demand: whole from the start and never to change.
//!
//! Durations are counted in microseconds from the beginning, so that what a playlist says of its segments adds up to what it lasts.

use std::fmt::Write;

use crate::playlist::attributes::AttributeWriter;
use crate::playlist::{ByteRange, MultivariantPlaylist, RenditionMedia, Variant};

/// `EXT-X-MAP` outside of I-frame playlists is of this version (rfc8216bis §8).
const VERSION: u32 = 6;

/// `GROUP-ID` of all sound, and of all text.
const AUDIO_GROUP: &str = "audio";
const TEXT_GROUP: &str = "text";

/// `DATA-ID` by which a multivariant playlist says that more of it is to come.
const PARTIAL_DATA: &str = "anabranch.partial";

/// Bit rate that a player should begin with before it knows better, in bits per second: that of Apple's authoring rules for any network
/// but a mobile one.
const FIRST_BANDWIDTH: f64 = 2_000_000.0;

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaList {
    /// `EXT-X-TARGETDURATION`, seconds; raised to what the segments need.
    pub target_duration_seconds: u32,
    /// URI of the init section, if segments need one.
    pub init: Option<String>,
    /// `EXT-X-I-FRAMES-ONLY`: each segment is a keyframe, and lasts until the next.
    pub iframes_only: bool,
    /// Segments, in order.
    pub segments: Vec<ListedSegment>,
}

/// A segment of a [`MediaList`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedSegment {
    /// URI.
    pub uri: String,
    /// Where it ends, in microseconds from the beginning of the first one; not below that of the segment before.
    pub end_micros: u64,
    /// The part of the resource that it is, if it is not all of it.
    pub byte_range: Option<ByteRange>,
}

impl MediaList {
    /// Writes the playlist, with `EXT-X-PLAYLIST-TYPE:VOD` and `EXT-X-ENDLIST`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(200 + self.segments.len() * 80);
        // Writing to a string does not fail.
        let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}\n", self.target_duration());
        out.push_str("#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n");
        if self.iframes_only {
            out.push_str("#EXT-X-I-FRAMES-ONLY\n");
        }
        if let Some(init) = &self.init {
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{init}\"");
        }
        for (segment, micros) in self.segments.iter().zip(self.durations()) {
            let _ = writeln!(out, "#EXTINF:{}.{:06},", micros / 1_000_000, micros % 1_000_000);
            if let Some(range) = segment.byte_range {
                let _ = writeln!(out, "#EXT-X-BYTERANGE:{}", range.render());
            }
            let _ = writeln!(out, "{}", segment.uri);
        }
        out.push_str("#EXT-X-ENDLIST\n");
        out
    }

    /// The target duration that is written, in seconds.
    #[must_use]
    pub fn target_duration(&self) -> u64 {
        let longest = self.durations().max().unwrap_or(0);
        ((longest + 500_000) / 1_000_000).max(self.target_duration_seconds.into()).max(1)
    }

    fn durations(&self) -> impl Iterator<Item = u64> {
        let ends = self.segments.iter().map(|segment| segment.end_micros);
        ends.scan(0, |start, end| Some(end.saturating_sub(std::mem::replace(start, end))))
    }
}

/// Peak segment bit rate in bits per second of segments, each as bytes and seconds (rfc8216bis §4.1): the highest of any segments in a row
/// that last between half and one and a half target durations. What is shorter than that in all counts as it is.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sizes of segments are far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and rates are not negative")]
pub fn peak_bandwidth(segments: &[(u64, f64)]) -> u64 {
    let target = segments.iter().map(|(_, seconds)| seconds.round()).fold(1.0, f64::max);
    let mut peak = 0.0_f64;
    for first in 0..segments.len() {
        let (mut bytes, mut seconds) = (0_u64, 0.0);
        for (more, longer) in &segments[first..] {
            bytes += more;
            seconds += longer;
            if seconds > 1.5 * target {
                break;
            }
            if seconds >= 0.5 * target {
                peak = peak.max(bytes as f64 * 8.0 / seconds);
            }
        }
    }
    if peak == 0.0 { average_bandwidth(segments) } else { peak.ceil() as u64 }
}

/// Average segment bit rate in bits per second of segments, each as bytes and seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sizes of segments are far below 2^52")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and rates are not negative")]
pub fn average_bandwidth(segments: &[(u64, f64)]) -> u64 {
    let bytes: u64 = segments.iter().map(|(bytes, _)| bytes).sum();
    let seconds: f64 = segments.iter().map(|(_, seconds)| seconds).sum();
    if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).ceil() as u64 } else { 0 }
}

/// An asset as players see it: what a multivariant playlist says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presentation {
    /// Rungs of the picture, lowest first; without any, `audio` are the variants.
    pub video: Vec<VideoEntry>,
    /// Sound, in order.
    pub audio: Vec<AudioEntry>,
    /// Subtitles, in order.
    pub text: Vec<TextEntry>,
    /// How many of how many rungs there are, while some are to come.
    pub partial: Option<(u32, u32)>,
}

/// A rung of the picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoEntry {
    /// URI of its media playlist.
    pub uri: String,
    /// RFC 6381 values of what is in its segments.
    pub codecs: Vec<String>,
    /// Peak segment bit rate in bits per second.
    pub peak_bandwidth: u64,
    /// Average segment bit rate in bits per second.
    pub average_bandwidth: u64,
    /// Width and height in pixels, as shown.
    pub resolution: (u32, u32),
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// `VIDEO-RANGE`: `SDR`, `HLG` or `PQ`.
    pub range: &'static str,
    /// Its playlist of keyframes.
    pub iframes: Option<IframeEntry>,
}

/// A playlist of keyframes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IframeEntry {
    /// Its URI.
    pub uri: String,
    /// RFC 6381 value of the picture.
    pub codecs: String,
    /// Peak bit rate in bits per second.
    pub peak_bandwidth: u64,
    /// Average bit rate in bits per second.
    pub average_bandwidth: u64,
}

/// A sound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioEntry {
    /// URI of its media playlist; `None` where it is in the segments of every rung.
    pub uri: Option<String>,
    /// Name that viewers read; made unique in the list.
    pub label: String,
    /// BCP 47 or ISO 639-2 tag; `und` is not told.
    pub language: String,
    /// Whether it is what viewers get who do not choose. Of several the first is.
    pub is_default: bool,
    /// Whether it describes the picture to those who do not see it.
    pub describes_video: bool,
    /// Channel count.
    pub channels: u32,
    /// RFC 6381 value.
    pub codecs: String,
    /// Peak segment bit rate in bits per second; 0 where it is in the segments of every rung.
    pub peak_bandwidth: u64,
    /// Average segment bit rate in bits per second; 0 where it is in the segments of every rung.
    pub average_bandwidth: u64,
}

/// Subtitles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextEntry {
    /// URI of their media playlist.
    pub uri: String,
    /// Name that viewers read; made unique in the list.
    pub label: String,
    /// BCP 47 or ISO 639-2 tag; `und` is not told.
    pub language: String,
    /// Whether viewers get it who do not choose.
    pub is_default: bool,
    /// Whether it translates only what every viewer needs.
    pub is_forced: bool,
}

impl Presentation {
    /// The multivariant playlist: rungs in order, but first the one that a player does well to begin with; all sound in one group, all
    /// subtitles in another; then the playlists of keyframes. Without pictures a variant for each sound.
    #[must_use]
    pub fn render(&self) -> String {
        let mut playlist =
            MultivariantPlaylist { version: Some(VERSION), independent_segments: true, ..Default::default() };
        if let Some((done, all)) = self.partial {
            playlist.other.push(format!("#EXT-X-SESSION-DATA:DATA-ID=\"{PARTIAL_DATA}\",VALUE=\"{done}/{all}\""));
        }
        if self.video.is_empty() {
            playlist.variants = self.audio.iter().filter_map(|audio| self.audio_variant(audio)).collect();
        } else {
            playlist.media = self.audio_media();
            playlist.variants = self.video.iter().map(|video| self.variant(video)).collect();
            move_first(&mut playlist.variants);
            playlist.other.extend(self.video.iter().filter_map(iframe_stream));
        }
        playlist.media.extend(self.text_media());
        playlist.render()
    }

    fn audio_media(&self) -> Vec<RenditionMedia> {
        let chosen = self.audio.iter().position(|audio| audio.is_default).unwrap_or(0);
        let mut labels = Labels::default();
        let entries = self.audio.iter().enumerate().map(|(at, audio)| {
            let mut attributes = language(&audio.language);
            if audio.describes_video {
                attributes.push(quoted("CHARACTERISTICS", "public.accessibility.describes-video"));
            }
            RenditionMedia {
                kind: "AUDIO".to_owned(),
                group_id: AUDIO_GROUP.to_owned(),
                name: labels.unique(&audio.label, &audio.language),
                uri: audio.uri.clone(),
                is_default: at == chosen,
                // A player chooses by language; what has none it may not choose unless it is the default.
                autoselect: at == chosen || audio.language != "und",
                channels: (audio.channels > 0).then(|| audio.channels.to_string()),
                attributes,
            }
        });
        entries.collect()
    }

    fn text_media(&self) -> Vec<RenditionMedia> {
        let chosen = self.text.iter().position(|text| text.is_default);
        let mut labels = Labels::default();
        let entries = self.text.iter().enumerate().map(|(at, text)| {
            let mut attributes = language(&text.language);
            attributes.push(("FORCED".to_owned(), if text.is_forced { "YES" } else { "NO" }.to_owned()));
            RenditionMedia {
                kind: "SUBTITLES".to_owned(),
                group_id: TEXT_GROUP.to_owned(),
                name: labels.unique(&text.label, &text.language),
                uri: Some(text.uri.clone()),
                is_default: Some(at) == chosen,
                autoselect: Some(at) == chosen || text.is_forced || text.language != "und",
                channels: None,
                attributes,
            }
        });
        entries.collect()
    }

    /// A rung with the sound of its group, whose rates count with the highest member's (rfc8216bis §4.4.6.2).
    fn variant(&self, video: &VideoEntry) -> Variant {
        let highest = |rate: fn(&AudioEntry) -> u64| self.audio.iter().map(rate).max().unwrap_or(0);
        let mut codecs: Vec<&str> = Vec::new();
        for value in video.codecs.iter().chain(self.audio.iter().map(|audio| &audio.codecs)) {
            if !value.is_empty() && !codecs.contains(&value.as_str()) {
                codecs.push(value);
            }
        }
        let peak = video.peak_bandwidth.saturating_add(highest(|audio| audio.peak_bandwidth));
        let average = video.average_bandwidth.saturating_add(highest(|audio| audio.average_bandwidth));
        let mut attributes = self.variant_attributes();
        attributes.insert(0, ("VIDEO-RANGE".to_owned(), video.range.to_owned()));
        Variant {
            uri: video.uri.clone(),
            bandwidth: peak,
            average_bandwidth: Some(average.min(peak)),
            codecs: (!codecs.is_empty()).then(|| codecs.join(",")),
            resolution: Some(video.resolution),
            frame_rate: video.frame_rate.filter(|rate| rate.is_finite() && *rate > 0.0),
            audio: (!self.audio.is_empty()).then(|| AUDIO_GROUP.to_owned()),
            attributes,
        }
    }

    fn audio_variant(&self, audio: &AudioEntry) -> Option<Variant> {
        Some(Variant {
            uri: audio.uri.clone()?,
            bandwidth: audio.peak_bandwidth,
            average_bandwidth: Some(audio.average_bandwidth.min(audio.peak_bandwidth)),
            codecs: Some(audio.codecs.clone()),
            attributes: self.variant_attributes(),
            ..Variant::default()
        })
    }

    fn variant_attributes(&self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        if !self.text.is_empty() {
            attributes.push(quoted("SUBTITLES", TEXT_GROUP));
        }
        // Said so that players do not look for captions inside of the picture.
        attributes.push(("CLOSED-CAPTIONS".to_owned(), "NONE".to_owned()));
        attributes
    }
}

/// Moves the variant to the front whose rate is nearest to that of a good beginning.
#[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
fn move_first(variants: &mut [Variant]) {
    let distance = |variant: &Variant| ((variant.bandwidth.max(1) as f64) / FIRST_BANDWIDTH).ln().abs();
    let first = variants.iter().enumerate().min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
    if let Some((at, _)) = first {
        variants[..=at].rotate_right(1);
    }
}

/// `EXT-X-I-FRAME-STREAM-INF` (rfc8216bis §4.4.6.3).
fn iframe_stream(video: &VideoEntry) -> Option<String> {
    let iframes = video.iframes.as_ref()?;
    let mut line = String::new();
    let mut list = AttributeWriter::new(&mut line, "#EXT-X-I-FRAME-STREAM-INF");
    list.raw("BANDWIDTH", &iframes.peak_bandwidth.to_string());
    list.raw("AVERAGE-BANDWIDTH", &iframes.average_bandwidth.min(iframes.peak_bandwidth).to_string());
    list.quoted("CODECS", &iframes.codecs);
    list.raw("RESOLUTION", &format!("{}x{}", video.resolution.0, video.resolution.1));
    list.raw("VIDEO-RANGE", video.range);
    list.quoted("URI", &iframes.uri);
    Some(line)
}

fn quoted(name: &str, value: &str) -> (String, String) {
    let plain: String = value.chars().filter(|c| !matches!(c, '"' | '\r' | '\n')).collect();
    (name.to_owned(), format!("\"{plain}\""))
}

fn language(tag: &str) -> Vec<(String, String)> {
    if tag.is_empty() || tag == "und" { Vec::new() } else { vec![quoted("LANGUAGE", tag)] }
}

/// Names of the renditions of a group, which must differ (rfc8216bis §4.4.6.1.1).
#[derive(Default)]
struct Labels(Vec<String>);

impl Labels {
    fn unique(&mut self, label: &str, language: &str) -> String {
        let plain: String = label.chars().filter(|c| *c != '"' && !c.is_control()).collect();
        let wanted = match (plain.trim(), language) {
            ("", "" | "und") => "1".to_owned(),
            ("", language) => language.to_owned(),
            (label, _) => label.to_owned(),
        };
        let mut name = wanted.clone();
        let mut number = 1;
        while self.0.contains(&name) {
            number += 1;
            name = format!("{wanted} {number}");
        }
        self.0.push(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::MediaPlaylist;

    fn segment(uri: &str, end_micros: u64) -> ListedSegment {
        ListedSegment { uri: uri.to_owned(), end_micros, byte_range: None }
    }

    #[test]
    fn durations_add_up() {
        let segments = vec![segment("1.m4s", 6_006_000), segment("2.m4s", 12_012_000), segment("3.m4s", 12_500_001)];
        let list = MediaList { target_duration_seconds: 4, init: Some("i.mp4".into()), segments, iframes_only: false };
        let text = list.render();
        assert_eq!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:6.006000,\n1.m4s\n#EXTINF:6.006000,\n2.m4s\n\
            #EXTINF:0.488001,\n3.m4s\n#EXT-X-ENDLIST\n"
        );
        let parsed = MediaPlaylist::parse(text.as_bytes()).unwrap();
        assert_eq!((parsed.segments.len(), parsed.ended), (3, true));
    }

    #[test]
    fn keyframes_are_ranges() {
        let range = Some(ByteRange { length: 10, offset: Some(24) });
        let segments = vec![ListedSegment { byte_range: range, ..segment("1.ts", 2_000_000) }];
        let text = MediaList { iframes_only: true, segments, ..MediaList::default() }.render();
        assert!(text.contains("#EXT-X-I-FRAMES-ONLY\n#EXTINF:2.000000,\n#EXT-X-BYTERANGE:10@24\n1.ts\n"), "{text}");
    }

    fn rung(uri: &str, peak_bandwidth: u64) -> VideoEntry {
        VideoEntry {
            uri: uri.into(),
            codecs: vec!["avc1.64001f".into()],
            peak_bandwidth,
            average_bandwidth: peak_bandwidth / 2,
            resolution: (1280, 720),
            frame_rate: Some(25.0),
            range: "SDR",
            iframes: Some(IframeEntry { uri: format!("i_{uri}"), codecs: "avc1.64001f".into(), ..Default::default() }),
        }
    }

    fn sound(uri: Option<&str>, label: &str, language: &str) -> AudioEntry {
        AudioEntry {
            uri: uri.map(str::to_owned),
            label: label.into(),
            language: language.into(),
            channels: 2,
            codecs: "mp4a.40.2".into(),
            peak_bandwidth: 100,
            average_bandwidth: 90,
            ..AudioEntry::default()
        }
    }

    #[test]
    fn the_first_variant_is_a_good_beginning() {
        let asset = Presentation {
            video: vec![rung("360.m3u8", 900_000), rung("720.m3u8", 2_500_000), rung("1080.m3u8", 5_000_000)],
            audio: vec![sound(Some("a1.m3u8"), "Ton", "de"), sound(Some("a2.m3u8"), "Ton", "und")],
            text: vec![TextEntry { uri: "t.m3u8".into(), language: "en".into(), ..TextEntry::default() }],
            partial: Some((3, 4)),
        };
        let text = asset.render();
        let parsed = MultivariantPlaylist::parse(text.as_bytes()).unwrap();
        let uris: Vec<_> = parsed.variants.iter().map(|variant| variant.uri.as_str()).collect();
        assert_eq!(uris, ["720.m3u8", "360.m3u8", "1080.m3u8"]);
        assert_eq!((parsed.variants[0].bandwidth, parsed.variants[0].average_bandwidth), (2_500_100, Some(1_250_090)));
        assert_eq!(parsed.variants[0].codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
        let names: Vec<_> =
            parsed.media.iter().map(|media| (media.name.as_str(), media.is_default, media.autoselect)).collect();
        assert_eq!(names, [("Ton", true, true), ("Ton 2", false, false), ("en", false, true)]);
        assert!(text.contains("#EXT-X-SESSION-DATA:DATA-ID=\"anabranch.partial\",VALUE=\"3/4\"\n"), "{text}");
        assert_eq!(text.matches("#EXT-X-I-FRAME-STREAM-INF").count(), 3);
        assert!(text.contains("VIDEO-RANGE=SDR,SUBTITLES=\"text\",CLOSED-CAPTIONS=NONE\n720.m3u8"), "{text}");
    }

    #[test]
    fn sound_alone_is_a_variant() {
        let asset = Presentation { audio: vec![sound(Some("a.m3u8"), "", "und")], ..Presentation::default() };
        let parsed = MultivariantPlaylist::parse(asset.render().as_bytes()).unwrap();
        assert!(parsed.media.is_empty());
        assert_eq!((parsed.variants[0].bandwidth, parsed.variants[0].codecs.as_deref()), (100, Some("mp4a.40.2")));
    }

    #[test]
    fn rates_of_segments() {
        assert_eq!(peak_bandwidth(&[(1000, 1.0), (4000, 4.0), (6000, 4.0)]), 12_000);
        assert_eq!(peak_bandwidth(&[(1000, 0.1)]), 80_000);
        assert_eq!(average_bandwidth(&[(1000, 1.0), (4000, 4.0)]), 8000);
        assert_eq!((peak_bandwidth(&[]), average_bandwidth(&[])), (0, 0));
    }
}
