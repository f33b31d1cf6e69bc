//! Media playlists (rfc8216bis §4.4.3, §4.4.4).

use std::fmt::Write;

use super::attributes::{AttributeWriter, Attributes};
use super::lines::{Fault, Line, ParseError, decimal, integer, lines};
use crate::time;

/// `EXT-X-PLAYLIST-TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are only added.
    Event,
    /// Nothing changes.
    Vod,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    /// `EXT-X-VERSION`.
    pub version: Option<u32>,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `EXT-X-TARGETDURATION`, whole seconds.
    pub target_duration_seconds: u64,
    /// `EXT-X-MEDIA-SEQUENCE` of the first segment.
    pub media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub playlist_type: Option<PlaylistType>,
    /// Lines of other tags and comments up to the last tag that speaks of the whole playlist, as they are.
    pub other: Vec<String>,
    /// Segments, in order.
    pub segments: Vec<MediaSegment>,
    /// Lines of other tags and comments after the last segment, as they are.
    pub trailing: Vec<String>,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
}

/// One segment with the tags before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaSegment {
    /// Lines of other tags and comments after the segment before, as they are. They are written before the tags below.
    pub other: Vec<String>,
    /// `EXT-X-DISCONTINUITY`.
    pub discontinuity: bool,
    /// `EXT-X-KEY`, attribute lists as they are.
    pub keys: Vec<String>,
    /// `EXT-X-MAP`; holds for the segments that follow, too.
    pub map: Option<MapTag>,
    /// `EXT-X-PROGRAM-DATE-TIME`, milliseconds since the Unix epoch.
    pub program_date_time_ms: Option<i64>,
    /// `EXT-X-GAP`.
    pub gap: bool,
    /// `EXT-X-BYTERANGE`.
    pub byte_range: Option<ByteRange>,
    /// `EXTINF`, seconds.
    pub duration_seconds: f64,
    /// Title in `EXTINF`.
    pub title: String,
    /// URI.
    pub uri: String,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Bytes.
    pub length: u64,
    /// Where it begins; without one after the range of the segment before.
    pub offset: Option<u64>,
}

/// `EXT-X-MAP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapTag {
    /// `URI` of the init section.
    pub uri: String,
    /// `BYTERANGE`.
    pub byte_range: Option<ByteRange>,
    /// Others, values with their quotes.
    pub attributes: Vec<(String, String)>,
}

impl MediaPlaylist {
    /// Reads a playlist.
    ///
    /// # Errors
    /// [`ParseError`], with the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut parser = Parser::default();
        let mut last = 1;
        for (number, line) in lines(bytes)? {
            last = number;
            parser.take(line).map_err(|fault| ParseError::Line { line: number, fault })?;
        }
        parser.finish().map_err(|fault| ParseError::Line { line: last, fault })
    }

    /// Writes the playlist, the tags of each segment in a fixed order.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::from("#EXTM3U\n");
        // Writing to a string does not fail.
        if let Some(version) = self.version {
            let _ = writeln!(out, "#EXT-X-VERSION:{version}");
        }
        push_lines(&mut out, &self.other);
        // Always there, so that the lines above are told from those of the first segment.
        let _ = writeln!(out, "#EXT-X-TARGETDURATION:{}", self.target_duration_seconds);
        let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", self.media_sequence);
        if self.discontinuity_sequence > 0 {
            let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence);
        }
        match self.playlist_type {
            Some(PlaylistType::Event) => out.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
            Some(PlaylistType::Vod) => out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
            None => {}
        }
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        for segment in &self.segments {
            segment.render(&mut out);
        }
        push_lines(&mut out, &self.trailing);
        if self.ended {
            out.push_str("#EXT-X-ENDLIST\n");
        }
        out
    }
}

fn push_lines(out: &mut String, lines: &[String]) {
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
}

impl MediaSegment {
    fn render(&self, out: &mut String) {
        push_lines(out, &self.other);
        if self.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        for key in &self.keys {
            let _ = writeln!(out, "#EXT-X-KEY:{key}");
        }
        if let Some(map) = &self.map {
            map.render(out);
        }
        if let Some(ms) = self.program_date_time_ms {
            out.push_str("#EXT-X-PROGRAM-DATE-TIME:");
            time::push(out, ms);
            out.push('\n');
        }
        if self.gap {
            out.push_str("#EXT-X-GAP\n");
        }
        if let Some(range) = self.byte_range {
            let _ = writeln!(out, "#EXT-X-BYTERANGE:{}", range.render());
        }
        let _ = writeln!(out, "#EXTINF:{},{}\n{}", self.duration_seconds, self.title, self.uri);
    }
}

impl MapTag {
    fn parse(text: &str) -> Result<Self, Fault> {
        let mut list = Attributes::parse(text)?;
        Ok(Self {
            uri: list.take_quoted("URI")?.ok_or(Fault::MissingAttribute("URI"))?,
            byte_range: list.take_quoted("BYTERANGE")?.map(|range| ByteRange::parse(&range)).transpose()?,
            attributes: list.rest(),
        })
    }

    fn render(&self, out: &mut String) {
        let mut list = AttributeWriter::new(out, "#EXT-X-MAP");
        list.quoted("URI", &self.uri);
        if let Some(range) = self.byte_range {
            list.quoted("BYTERANGE", &range.render());
        }
        for (name, value) in &self.attributes {
            list.raw(name, value);
        }
        list.end();
    }
}

impl ByteRange {
    fn parse(text: &str) -> Result<Self, Fault> {
        let (length, offset) = text.split_once('@').map_or((text, None), |(length, offset)| (length, Some(offset)));
        Ok(Self { length: integer(length)?, offset: offset.map(integer).transpose()? })
    }

    pub(crate) fn render(self) -> String {
        self.offset.map_or_else(|| self.length.to_string(), |offset| format!("{}@{offset}", self.length))
    }
}

#[derive(Default)]
struct Parser {
    playlist: MediaPlaylist,
    segment: MediaSegment,
    /// Whether the segment has a tag that is its own.
    is_begun: bool,
    has_duration: bool,
    has_target_duration: bool,
}

impl Parser {
    fn take(&mut self, line: Line<'_>) -> Result<(), Fault> {
        match line {
            Line::Comment(whole) => self.segment.other.push(whole.to_owned()),
            Line::Uri(uri) => {
                if !std::mem::take(&mut self.has_duration) {
                    return Err(Fault::Pairing);
                }
                uri.clone_into(&mut self.segment.uri);
                self.playlist.segments.push(std::mem::take(&mut self.segment));
                self.is_begun = false;
            }
            Line::Tag { name: "#EXT-X-ENDLIST", .. } => self.playlist.ended = true,
            Line::Tag { name, value, whole } => {
                if self.take_playlist_tag(name, value)? {
                    // What stood before the first segment's own tags belongs to the playlist.
                    if self.playlist.segments.is_empty() && !self.is_begun {
                        self.playlist.other.append(&mut self.segment.other);
                    }
                } else if self.take_segment_tag(name, value)? {
                    self.is_begun = true;
                } else {
                    self.segment.other.push(whole.to_owned());
                }
            }
        }
        Ok(())
    }

    fn take_playlist_tag(&mut self, name: &str, value: &str) -> Result<bool, Fault> {
        let playlist = &mut self.playlist;
        match name {
            "#EXT-X-VERSION" if playlist.version.is_some() => return Err(Fault::Repeated),
            "#EXT-X-VERSION" => playlist.version = Some(u32::try_from(integer(value)?).map_err(|_| Fault::Number)?),
            "#EXT-X-INDEPENDENT-SEGMENTS" => playlist.independent_segments = true,
            "#EXT-X-TARGETDURATION" => {
                playlist.target_duration_seconds = integer(value)?;
                if std::mem::replace(&mut self.has_target_duration, true) {
                    return Err(Fault::Repeated);
                }
            }
            "#EXT-X-MEDIA-SEQUENCE" => playlist.media_sequence = integer(value)?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = integer(value)?,
            "#EXT-X-PLAYLIST-TYPE" => {
                playlist.playlist_type = Some(match value {
                    "EVENT" => PlaylistType::Event,
                    "VOD" => PlaylistType::Vod,
                    _ => return Err(Fault::Word),
                });
            }
            "#EXT-X-STREAM-INF" | "#EXT-X-MEDIA" | "#EXT-X-I-FRAME-STREAM-INF" => return Err(Fault::Kind),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_segment_tag(&mut self, name: &str, value: &str) -> Result<bool, Fault> {
        let segment = &mut self.segment;
        match name {
            "#EXTINF" => {
                let (duration, title) = value.split_once(',').unwrap_or((value, ""));
                segment.duration_seconds = decimal(duration.trim())?;
                title.clone_into(&mut segment.title);
                if std::mem::replace(&mut self.has_duration, true) {
                    return Err(Fault::Pairing);
                }
            }
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-KEY" => segment.keys.push(value.to_owned()),
            "#EXT-X-MAP" => segment.map = Some(MapTag::parse(value)?),
            "#EXT-X-PROGRAM-DATE-TIME" => {
                segment.program_date_time_ms = Some(time::parse(value.trim()).ok_or(Fault::Date)?);
            }
            "#EXT-X-GAP" => segment.gap = true,
            "#EXT-X-BYTERANGE" => segment.byte_range = Some(ByteRange::parse(value.trim())?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<MediaPlaylist, Fault> {
        if self.has_duration {
            return Err(Fault::Pairing);
        }
        if !self.has_target_duration {
            return Err(Fault::MissingTag("EXT-X-TARGETDURATION"));
        }
        self.playlist.trailing = self.segment.other;
        Ok(self.playlist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_from_elsewhere() {
        let text = "\u{feff}#EXTM3U\r\n#EXT-X-TARGETDURATION:6\r\n#EXT-X-SERVER-CONTROL:HOLD-BACK=18\r\n#EXT-X-MEDIA-SEQUENCE:41\r\n\
            #EXT-X-DISCONTINUITY-SEQUENCE:2\r\n#EXT-X-PLAYLIST-TYPE:EVENT\r\n#EXT-X-CUE-IN\r\n\r\n\
            #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\r\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"720@0\"\r\n\
            #EXT-X-PROGRAM-DATE-TIME:2025-01-01T01:00:00.000+01:00\r\n#EXTINF:6.006,a title, with a comma\r\n#EXT-X-BYTERANGE:100@720\r\n1.m4s\r\n\
            #EXT-X-DISCONTINUITY\r\n#EXT-X-GAP\r\n#EXTINF:5\r\n2.m4s\r\n# bye\r\n#EXT-X-ENDLIST\r\n";
        let playlist = MediaPlaylist::parse(text.as_bytes()).unwrap();
        assert_eq!((playlist.media_sequence, playlist.discontinuity_sequence, playlist.ended), (41, 2, true));
        assert_eq!(playlist.playlist_type, Some(PlaylistType::Event));
        assert_eq!(playlist.other, ["#EXT-X-SERVER-CONTROL:HOLD-BACK=18"]);
        assert_eq!(playlist.trailing, ["# bye"]);
        let [first, second] = &playlist.segments[..] else { panic!("two segments") };
        assert_eq!(first.other, ["#EXT-X-CUE-IN"]);
        assert_eq!(first.keys, ["METHOD=AES-128,URI=\"k\""]);
        let map = first.map.as_ref().unwrap();
        assert_eq!((map.uri.as_str(), map.byte_range), ("i.mp4", Some(ByteRange { length: 720, offset: Some(0) })));
        assert_eq!(first.program_date_time_ms, Some(1_735_689_600_000));
        assert_eq!((first.duration_seconds, first.title.as_str()), (6.006, "a title, with a comma"));
        assert_eq!(first.byte_range, Some(ByteRange { length: 100, offset: Some(720) }));
        assert!(second.discontinuity && second.gap && second.map.is_none());
        assert_eq!(MediaPlaylist::parse(playlist.render().as_bytes()).unwrap(), playlist);
    }

    #[test]
    fn faults_have_their_line() {
        for (text, line, fault) in [
            ("", 1, Fault::MissingTag("EXT-X-TARGETDURATION")),
            ("#EXT-X-TARGETDURATION:6\n#EXT-X-TARGETDURATION:6\n", 3, Fault::Repeated),
            ("#EXT-X-TARGETDURATION:6.5\n", 2, Fault::Number),
            ("#EXT-X-TARGETDURATION:6\n\na.ts\n", 4, Fault::Pairing),
            ("#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n", 3, Fault::Pairing),
            ("#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n#EXTINF:6,\na.ts", 4, Fault::Pairing),
            ("#EXTINF:-1,\na.ts\n", 2, Fault::Number),
            ("#EXT-X-MAP:BYTERANGE=\"1\"\n", 2, Fault::MissingAttribute("URI")),
            ("#EXT-X-BYTERANGE:1@x\n", 2, Fault::Number),
            ("#EXT-X-PROGRAM-DATE-TIME:today\n", 2, Fault::Date),
            ("#EXT-X-PLAYLIST-TYPE:LIVE\n", 2, Fault::Word),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n", 2, Fault::Kind),
        ] {
            let parsed = MediaPlaylist::parse(format!("#EXTM3U\n{text}").as_bytes());
            assert_eq!(parsed, Err(ParseError::Line { line, fault }), "{text}");
        }
    }
}
