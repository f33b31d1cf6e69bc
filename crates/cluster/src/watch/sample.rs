//! What a watcher needs of a playlist's text.
//!
//! This reader is laxer than that of the `hls` room, on purpose: it judges whether a stream goes on, not whether its text is right, and
//! text that players tolerate must not raise an alarm. It keeps nothing of segments but the newest.

use anabranch_hls::time;
use reqwest::Url;

use super::discovery::{self, Listing};

/// Longest duration of a segment that is believed, in seconds.
const DURATION_MAX_SECONDS: f64 = 86_400.0;

/// Segments from the end whose shortest tells how soon the next is expected.
const RECENT: usize = 3;

/// What a text is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Media(Sample),
    Multivariant(Listing),
}

/// Why a text is no playlist that a player could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPlaylist {
    /// Not UTF-8; perhaps compressed, though that was not asked for.
    #[error("the body is not UTF-8 text")]
    Encoding,
    /// Does not begin as playlists do.
    #[error("the body is a web page or another text: it does not begin with #EXTM3U")]
    Header,
    /// Neither segments nor other playlists.
    #[error("the playlist has no segments")]
    Empty,
    /// A multivariant playlist where a media playlist should be, or the other way round.
    #[error("the playlist is of the other kind")]
    Kind,
    /// A number that is none.
    #[error("line {0} of the playlist has a number that is none")]
    Number(usize),
}

/// What one look at a media playlist has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Target duration; zero without one.
    pub(super) target_ms: u64,
    /// The longer of target duration and longest segment.
    pub(super) duration_ms: u64,
    pub(super) media_sequence: u64,
    /// One more than the media sequence number of the newest segment that is not a gap.
    pub(super) next_sequence: u64,
    /// Partial segments behind it.
    pub(super) parts: u32,
    /// Whether there are partial segments anywhere.
    pub(super) has_parts: bool,
    /// Target duration of parts.
    pub(super) part_target_ms: Option<u64>,
    /// What is announced by `EXT-X-PRELOAD-HINT`.
    pub(super) hint: Option<String>,
    /// How soon the next change may come: the shortest of the last segments.
    pub(super) interval_ms: u64,
    pub(super) ended: bool,
    pub(super) newest: Option<Newest>,
    /// Program date and time at which the newest segment ends.
    pub(super) end_date_ms: Option<i64>,
    /// First segment that is longer than the target duration allows: media sequence number and duration.
    pub(super) breach: Option<(u64, u64)>,
    /// Segments at the end that are gaps.
    pub(super) trailing_gaps: u32,
    pub(super) segments: usize,
}

/// The newest segment that is not a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) sequence: u64,
    pub(super) uri: String,
    /// Where its bytes end in the file, when it is a range of it.
    pub(super) end_byte: Option<u64>,
}

/// Reads a text; URIs in it are relative to `base`.
pub(super) fn read(body: &[u8], base: &Url) -> Result<Text, NotPlaylist> {
    let text = std::str::from_utf8(body).map_err(|_| NotPlaylist::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().next().is_none_or(|line| line.trim_end() != "#EXTM3U") {
        return Err(NotPlaylist::Header);
    }
    for line in text.lines() {
        if line.starts_with("#EXT-X-STREAM-INF") || line.starts_with("#EXT-X-I-FRAME-STREAM-INF") {
            return Ok(Text::Multivariant(discovery::list(text, base)));
        }
        if line.starts_with("#EXTINF") || line.starts_with("#EXT-X-TARGETDURATION") {
            return media(text).map(Text::Media);
        }
    }
    Err(NotPlaylist::Empty)
}

/// Tags seen since the last segment.
#[derive(Default)]
struct Pending {
    duration_ms: Option<u64>,
    date_ms: Option<i64>,
    discontinuity: bool,
    gap: bool,
    range: Option<(u64, Option<u64>)>,
}

struct Reader<'a> {
    sample: Sample,
    pending: Pending,
    sequence: u64,
    longest_ms: u64,
    clock_ms: Option<i64>,
    newest_uri: &'a str,
    end_byte: u64,
    recent_ms: [u64; RECENT],
}

fn media(text: &str) -> Result<Sample, NotPlaylist> {
    let mut reader = Reader {
        sample: Sample::default(),
        pending: Pending::default(),
        sequence: 0,
        longest_ms: 0,
        clock_ms: None,
        newest_uri: "",
        end_byte: 0,
        recent_ms: [u64::MAX; RECENT],
    };
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let taken = match line.strip_prefix("#EXT") {
            Some(tag) => reader.tag(tag),
            None if line.is_empty() || line.starts_with('#') => Some(()),
            None => {
                reader.segment(line);
                Some(())
            }
        };
        taken.ok_or(NotPlaylist::Number(at + 1))?;
    }
    reader.finish()
}

impl<'a> Reader<'a> {
    fn tag(&mut self, tag: &'a str) -> Option<()> {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "INF" => self.pending.duration_ms = Some(milliseconds(value.split(',').next().unwrap_or_default())?),
            "-X-TARGETDURATION" => self.sample.target_ms = milliseconds(value)?,
            "-X-MEDIA-SEQUENCE" => {
                self.sample.media_sequence = value.trim().parse().ok()?;
                self.sequence = self.sample.media_sequence;
            }
            // Only whoever asks for a delta gets one, but a cache may mix them up.
            "-X-SKIP" => {
                let skipped = discovery::attribute(value, "SKIPPED-SEGMENTS")?.parse::<u64>().ok()?;
                self.sequence = self.sequence.saturating_add(skipped);
            }
            "-X-PROGRAM-DATE-TIME" => self.pending.date_ms = time::parse(value.trim()),
            "-X-DISCONTINUITY" => self.pending.discontinuity = true,
            "-X-GAP" => self.pending.gap = true,
            "-X-BYTERANGE" => self.pending.range = range(value),
            "-X-ENDLIST" => self.sample.ended = true,
            "-X-PART-INF" => {
                self.sample.part_target_ms = discovery::attribute(value, "PART-TARGET").and_then(milliseconds);
            }
            "-X-PART" if discovery::attribute(value, "GAP") != Some("YES") => {
                self.sample.parts = self.sample.parts.saturating_add(1);
                self.sample.has_parts = true;
            }
            "-X-PRELOAD-HINT" => self.sample.hint = discovery::attribute(value, "URI").map(str::to_owned),
            _ => {}
        }
        Some(())
    }

    fn segment(&mut self, uri: &'a str) {
        let pending = std::mem::take(&mut self.pending);
        let duration_ms = pending.duration_ms.unwrap_or(0);
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        self.sample.segments += 1;
        self.sample.parts = 0;
        self.longest_ms = self.longest_ms.max(duration_ms);
        self.recent_ms.rotate_left(1);
        self.recent_ms[RECENT - 1] = duration_ms;
        if pending.discontinuity {
            self.clock_ms = None;
        }
        self.clock_ms = pending.date_ms.or(self.clock_ms).map(|ms| ms.saturating_add_unsigned(duration_ms));
        if let Some((length, offset)) = pending.range {
            self.end_byte = offset.unwrap_or(self.end_byte).saturating_add(length);
        }
        if pending.gap {
            self.sample.trailing_gaps = self.sample.trailing_gaps.saturating_add(1);
            return;
        }
        // The target duration may stand below; breaches are judged at the end by the longest, this is the candidate.
        let is_longer = self.sample.breach.is_none_or(|(_, longest)| duration_ms > longest);
        if is_longer {
            self.sample.breach = Some((sequence, duration_ms));
        }
        self.sample.trailing_gaps = 0;
        self.sample.next_sequence = self.sequence;
        self.sample.end_date_ms = self.clock_ms;
        self.newest_uri = uri;
        self.sample.newest =
            Some(Newest { sequence, uri: String::new(), end_byte: pending.range.map(|_| self.end_byte) });
    }

    fn finish(mut self) -> Result<Sample, NotPlaylist> {
        if self.sample.segments == 0 && self.sample.parts == 0 && !self.sample.ended {
            return Err(NotPlaylist::Empty);
        }
        if let Some(newest) = &mut self.sample.newest {
            self.newest_uri.clone_into(&mut newest.uri);
        } else {
            self.sample.next_sequence = self.sample.media_sequence;
        }
        self.sample.duration_ms = self.sample.target_ms.max(self.longest_ms);
        let shortest = self.recent_ms.iter().copied().filter(|ms| *ms > 0).min().unwrap_or(u64::MAX);
        self.sample.interval_ms = shortest.min(self.sample.duration_ms);
        // rfc8216bis §4.4.3.1: the duration, rounded to whole seconds, is at most the target duration.
        let target_ms = self.sample.target_ms;
        self.sample.breach = self.sample.breach.filter(|(_, ms)| target_ms > 0 && (ms + 500) / 1000 * 1000 > target_ms);
        Ok(self.sample)
    }
}

fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.trim().parse().ok()?;
    (0.0..=DURATION_MAX_SECONDS).contains(&seconds).then(|| (seconds * 1000.0).round() as u64)
}

fn range(value: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) = value.trim().split_once('@').map_or((value.trim(), None), |(length, at)| (length, Some(at)));
    Some((length.parse().ok()?, offset.map(str::parse).transpose().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        Url::parse("https://a.example/live/v.m3u8?x=1").unwrap()
    }

    fn sample(text: &str) -> Sample {
        match read(format!("#EXTM3U\n{text}").as_bytes(), &base()) {
            Ok(Text::Media(sample)) => sample,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_live_playlist_says() {
        let found = sample(
            "#EXT-X-TARGETDURATION:6\r\n#EXT-X-MEDIA-SEQUENCE:41\r\n#EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00Z\r\n\
             #EXTINF:6.006,title\r\n#EXT-X-BYTERANGE:100@720\r\n1.m4s\r\n#EXTINF:5\r\n#EXT-X-BYTERANGE:50\r\n1.m4s\r\n",
        );
        assert_eq!((found.media_sequence, found.next_sequence, found.segments), (41, 43, 2));
        assert_eq!((found.target_ms, found.duration_ms, found.interval_ms), (6000, 6006, 5000));
        let newest = found.newest.unwrap();
        assert_eq!((newest.sequence, newest.uri.as_str(), newest.end_byte), (42, "1.m4s", Some(870)));
        assert_eq!(found.end_date_ms, Some(1_735_689_600_000 + 11_006));
        assert_eq!((found.breach, found.ended), (None, false));
    }

    #[test]
    fn what_is_not_there_does_not_count() {
        let found =
            sample("#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na\n#EXT-X-GAP\n#EXTINF:6,\nb\n#EXTINF:6,\n#EXT-X-GAP\nc\n");
        assert_eq!((found.next_sequence, found.trailing_gaps), (1, 2));
        assert_eq!(found.newest.unwrap().uri, "a");
        let all = sample("#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-GAP\n#EXTINF:6,\nb\n");
        assert_eq!((all.next_sequence, all.newest), (9, None));
    }

    #[test]
    fn parts_hints_and_skips() {
        let found = sample(
            "#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n\
             #EXT-X-PART:DURATION=0.5,URI=\"a.0\"\n#EXTINF:4,\na\n#EXT-X-PART:DURATION=0.5,URI=\"b.0\"\n\
             #EXT-X-PART:DURATION=0.5,URI=\"b.1\",GAP=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b,2\"\n",
        );
        assert_eq!((found.next_sequence, found.parts, found.part_target_ms), (14, 1, Some(500)));
        assert_eq!(found.hint.as_deref(), Some("b,2"));
    }

    #[test]
    fn breaches_are_of_rounded_durations() {
        let of = |inf: &str| sample(&format!("#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na\n#EXTINF:{inf},\nb\n")).breach;
        assert_eq!(of("6.499"), None);
        assert_eq!(of("6.5"), Some((1, 6500)));
        let found = sample("#EXTINF:9,\na\n#EXT-X-ENDLIST");
        assert_eq!((found.duration_ms, found.breach, found.ended), (9000, None, true));
    }

    #[test]
    fn a_date_does_not_go_over_a_discontinuity() {
        let date = "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n";
        let head = "#EXT-X-TARGETDURATION:1\n";
        assert_eq!(sample(&format!("{head}{date}#EXTINF:1,\na\n#EXTINF:1,\nb\n")).end_date_ms, Some(2000));
        assert_eq!(
            sample(&format!("{head}{date}#EXTINF:1,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\nb\n")).end_date_ms,
            None
        );
        assert_eq!(
            sample(&format!("{head}{date}#EXTINF:1,\na\n{date}#EXT-X-DISCONTINUITY\n#EXTINF:1,\nb\n")).end_date_ms,
            Some(1000)
        );
    }

    #[test]
    fn what_is_no_playlist() {
        let fault = |body: &[u8]| read(body, &base()).unwrap_err();
        assert_eq!(fault(b"<html>not found</html>"), NotPlaylist::Header);
        assert_eq!(fault(b""), NotPlaylist::Header);
        assert_eq!(fault(&[0x1f, 0x8b, 8, 0xff]), NotPlaylist::Encoding);
        assert_eq!(fault(b"#EXTM3U\n"), NotPlaylist::Empty);
        assert_eq!(fault(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n"), NotPlaylist::Empty);
        assert_eq!(fault(b"#EXTM3U\n#EXTINF:x,\na\n"), NotPlaylist::Number(2));
        assert_eq!(fault(b"#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:-1\n"), NotPlaylist::Number(4));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body, &base());
            let _ = read(&[b"#EXTM3U\n#EXTINF:1,\n".as_slice(), &body].concat(), &base());
        }

        #[test]
        fn odd_tags_are_not_too_much(lines in prop::collection::vec(
            "#EXT(INF|-X-(TARGETDURATION|MEDIA-SEQUENCE|SKIP|PART|PART-INF|GAP|BYTERANGE|PROGRAM-DATE-TIME|DISCONTINUITY|PRELOAD-HINT|STREAM-INF|MEDIA))(:[A-Z0-9@=,.\"-]{0,30})?|[a-z/:?]{1,9}|:[0-9]{19,25}", 0..20)
        ) {
            let text = format!("#EXTM3U\n{}", lines.join("\n"));
            let _ = read(text.as_bytes(), &base());
        }

        #[test]
        fn sequences_are_counted(first in 0_u64..1_000_000, gaps in prop::collection::vec(any::<bool>(), 1..40)) {
            let mut text = format!("#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for (at, gap) in gaps.iter().enumerate() {
                text.push_str(if *gap { "#EXT-X-GAP\n" } else { "" });
                text.push_str(&format!("#EXTINF:2,\n{at}.ts\n"));
            }
            let found = sample(&text);
            let newest = gaps.iter().rposition(|gap| !gap);
            prop_assert_eq!(found.next_sequence, first + newest.map_or(0, |at| at as u64 + 1));
            prop_assert_eq!(found.newest.map(|newest| newest.uri), newest.map(|at| format!("{at}.ts")));
            prop_assert_eq!(found.trailing_gaps as usize, gaps.len() - newest.map_or(0, |at| at + 1));
        }
    }
}
