//! Multivariant playlists (rfc8216bis §4.4.6).

use std::fmt::Write;

use super::attributes::{AttributeWriter, Attributes};
use super::lines::{Fault, Line, ParseError, integer, lines};

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MultivariantPlaylist {
    /// `EXT-X-VERSION`.
    pub version: Option<u32>,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// Lines of other tags and comments, as they are. Their place among the others means nothing in this kind of playlist, but those of
    /// I-frames and pictures ([`is_frames`]) are read to the end of this list, and written after the variants.
    pub other: Vec<String>,
    /// `EXT-X-MEDIA`, in order.
    pub media: Vec<RenditionMedia>,
    /// `EXT-X-STREAM-INF`, in order.
    pub variants: Vec<Variant>,
}

/// `EXT-X-MEDIA`: a rendition of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RenditionMedia {
    /// `TYPE`: `AUDIO`, `VIDEO`, `SUBTITLES` or `CLOSED-CAPTIONS`.
    pub kind: String,
    /// `GROUP-ID`.
    pub group_id: String,
    /// `NAME`.
    pub name: String,
    /// `URI`; without one the rendition is inside the variant.
    pub uri: Option<String>,
    /// `DEFAULT`.
    pub is_default: bool,
    /// `AUTOSELECT`.
    pub autoselect: bool,
    /// `CHANNELS`.
    pub channels: Option<String>,
    /// Others, values with their quotes.
    pub attributes: Vec<(String, String)>,
}

/// `EXT-X-STREAM-INF` and its URI.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// URI of the media playlist.
    pub uri: String,
    /// `BANDWIDTH`: peak bits per second, sound included.
    pub bandwidth: u64,
    /// `AVERAGE-BANDWIDTH`, bits per second.
    pub average_bandwidth: Option<u64>,
    /// `CODECS`.
    pub codecs: Option<String>,
    /// `RESOLUTION`, width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// `FRAME-RATE`, frames per second, written with three decimals.
    pub frame_rate: Option<f64>,
    /// `AUDIO`: the group of its sound.
    pub audio: Option<String>,
    /// Others, values with their quotes.
    pub attributes: Vec<(String, String)>,
}

/// Whether a line is `EXT-X-I-FRAME-STREAM-INF` or `EXT-X-IMAGE-STREAM-INF`: what players show while they seek.
#[must_use]
pub fn is_frames(line: &str) -> bool {
    FRAME_TAGS.iter().any(|tag| line.strip_prefix(tag).is_some_and(|rest| rest.starts_with(':')))
}

/// Tags of playlists that are for seeking only.
const FRAME_TAGS: [&str; 2] = ["#EXT-X-I-FRAME-STREAM-INF", "#EXT-X-IMAGE-STREAM-INF"];

impl MultivariantPlaylist {
    /// Reads a playlist.
    ///
    /// # Errors
    /// [`ParseError`], with the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let mut playlist = Self::default();
        let mut pending: Option<(usize, Variant)> = None;
        for (number, line) in lines(bytes)? {
            playlist.take(number, line, &mut pending).map_err(|fault| ParseError::Line { line: number, fault })?;
        }
        match pending {
            Some((line, _)) => Err(ParseError::Line { line, fault: Fault::Pairing }),
            None => {
                // Stable: each kind keeps its order.
                playlist.other.sort_by_key(|line| is_frames(line));
                Ok(playlist)
            }
        }
    }

    fn take(&mut self, number: usize, line: Line<'_>, pending: &mut Option<(usize, Variant)>) -> Result<(), Fault> {
        match line {
            Line::Uri(uri) => {
                let (_, mut variant) = pending.take().ok_or(Fault::Pairing)?;
                uri.clone_into(&mut variant.uri);
                self.variants.push(variant);
            }
            Line::Comment(whole) => self.other.push(whole.to_owned()),
            Line::Tag { name, value, whole } => match name {
                "#EXT-X-STREAM-INF" => {
                    if pending.replace((number, Variant::parse(value)?)).is_some() {
                        return Err(Fault::Pairing);
                    }
                }
                "#EXT-X-MEDIA" => self.media.push(RenditionMedia::parse(value)?),
                "#EXT-X-VERSION" if self.version.is_some() => return Err(Fault::Repeated),
                "#EXT-X-VERSION" => self.version = Some(u32::try_from(integer(value)?).map_err(|_| Fault::Number)?),
                "#EXT-X-INDEPENDENT-SEGMENTS" => self.independent_segments = true,
                "#EXTINF" | "#EXT-X-TARGETDURATION" | "#EXT-X-MEDIA-SEQUENCE" | "#EXT-X-ENDLIST" => {
                    return Err(Fault::Kind);
                }
                _ => self.other.push(whole.to_owned()),
            },
        }
        Ok(())
    }

    /// Writes the playlist.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::from("#EXTM3U\n");
        if let Some(version) = self.version {
            // Writing to a string does not fail.
            let _ = writeln!(out, "#EXT-X-VERSION:{version}");
        }
        if self.independent_segments {
            out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        let (frames, other): (Vec<&String>, Vec<&String>) = self.other.iter().partition(|line| is_frames(line));
        let lines =
            |lines: Vec<&String>, out: &mut String| lines.iter().for_each(|line| out.extend([line.as_str(), "\n"]));
        lines(other, &mut out);
        for media in &self.media {
            media.render(&mut out);
        }
        for variant in &self.variants {
            variant.render(&mut out);
        }
        lines(frames, &mut out);
        out
    }
}

impl RenditionMedia {
    fn parse(text: &str) -> Result<Self, Fault> {
        let mut list = Attributes::parse(text)?;
        Ok(Self {
            kind: list.take("TYPE").ok_or(Fault::MissingAttribute("TYPE"))?.to_owned(),
            group_id: list.take_quoted("GROUP-ID")?.ok_or(Fault::MissingAttribute("GROUP-ID"))?,
            name: list.take_quoted("NAME")?.ok_or(Fault::MissingAttribute("NAME"))?,
            uri: list.take_quoted("URI")?,
            is_default: list.take_yes("DEFAULT")?,
            autoselect: list.take_yes("AUTOSELECT")?,
            channels: list.take_quoted("CHANNELS")?,
            attributes: list.rest(),
        })
    }

    fn render(&self, out: &mut String) {
        let mut list = AttributeWriter::new(out, "#EXT-X-MEDIA");
        list.raw("TYPE", &self.kind);
        list.quoted("GROUP-ID", &self.group_id);
        list.quoted("NAME", &self.name);
        list.raw("DEFAULT", if self.is_default { "YES" } else { "NO" });
        list.raw("AUTOSELECT", if self.autoselect { "YES" } else { "NO" });
        if let Some(channels) = &self.channels {
            list.quoted("CHANNELS", channels);
        }
        for (name, value) in &self.attributes {
            list.raw(name, value);
        }
        if let Some(uri) = &self.uri {
            list.quoted("URI", uri);
        }
        list.end();
    }
}

impl Variant {
    fn parse(text: &str) -> Result<Self, Fault> {
        let mut list = Attributes::parse(text)?;
        Ok(Self {
            uri: String::new(),
            bandwidth: list.take_integer("BANDWIDTH")?.ok_or(Fault::MissingAttribute("BANDWIDTH"))?,
            average_bandwidth: list.take_integer("AVERAGE-BANDWIDTH")?,
            codecs: list.take_quoted("CODECS")?,
            resolution: list.take("RESOLUTION").map(|value| resolution(value.trim_end())).transpose()?,
            frame_rate: list.take_decimal("FRAME-RATE")?,
            audio: list.take_quoted("AUDIO")?,
            attributes: list.rest(),
        })
    }

    fn render(&self, out: &mut String) {
        let mut list = AttributeWriter::new(out, "#EXT-X-STREAM-INF");
        list.raw("BANDWIDTH", &self.bandwidth.to_string());
        if let Some(average) = self.average_bandwidth {
            list.raw("AVERAGE-BANDWIDTH", &average.to_string());
        }
        if let Some(codecs) = &self.codecs {
            list.quoted("CODECS", codecs);
        }
        if let Some((width, height)) = self.resolution {
            list.raw("RESOLUTION", &format!("{width}x{height}"));
        }
        if let Some(rate) = self.frame_rate {
            list.raw("FRAME-RATE", &format!("{rate:.3}"));
        }
        if let Some(audio) = &self.audio {
            list.quoted("AUDIO", audio);
        }
        for (name, value) in &self.attributes {
            list.raw(name, value);
        }
        list.end();
        out.push_str(&self.uri);
        out.push('\n');
    }
}

fn resolution(text: &str) -> Result<(u32, u32), Fault> {
    let (width, height) = text.split_once('x').ok_or(Fault::Number)?;
    let side = |text| integer(text).and_then(|side| u32::try_from(side).map_err(|_| Fault::Number));
    Ok((side(width)?, side(height)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_from_elsewhere() {
        let text = "#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-INDEPENDENT-SEGMENTS\r\n\r\n# words\r\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a/en.m3u8\"\r\n\
            #EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1000,BANDWIDTH=2000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.97,AUDIO=\"aac\",CLOSED-CAPTIONS=NONE\r\n\
            v/720.m3u8\r\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,URI=\"i.m3u8\"\r\n";
        let playlist = MultivariantPlaylist::parse(text.as_bytes()).unwrap();
        assert_eq!((playlist.version, playlist.independent_segments), (Some(7), true));
        assert_eq!(playlist.other, ["# words", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,URI=\"i.m3u8\""]);
        let media = &playlist.media[0];
        assert_eq!((media.name.as_str(), media.is_default, media.uri.as_deref()), ("English", true, Some("a/en.m3u8")));
        assert_eq!(media.attributes, [("LANGUAGE".to_owned(), "\"en\"".to_owned())]);
        let variant = &playlist.variants[0];
        assert_eq!(
            (variant.bandwidth, variant.average_bandwidth, variant.resolution),
            (2000, Some(1000), Some((1280, 720)))
        );
        assert_eq!(
            (variant.frame_rate, variant.audio.as_deref(), variant.uri.as_str()),
            (Some(29.97), Some("aac"), "v/720.m3u8")
        );
        assert_eq!(variant.attributes, [("CLOSED-CAPTIONS".to_owned(), "NONE".to_owned())]);
        assert!(playlist.render().ends_with("v/720.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=5,URI=\"i.m3u8\"\n"));
        assert_eq!(MultivariantPlaylist::parse(playlist.render().as_bytes()).unwrap(), playlist);
    }

    #[test]
    fn frames_come_last_wherever_they_stood() {
        let text = "#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i\"\n#EXT-X-START:TIME-OFFSET=1\n#EXT-X-IMAGE-STREAM-INF:URI=\"p\"\n\
            #EXT-X-I-FRAME-STREAM-INFO:a\n";
        let playlist = MultivariantPlaylist::parse(text.as_bytes()).unwrap();
        let names: Vec<&str> = playlist.other.iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(
            names,
            ["#EXT-X-START", "#EXT-X-I-FRAME-STREAM-INFO", "#EXT-X-I-FRAME-STREAM-INF", "#EXT-X-IMAGE-STREAM-INF"]
        );
        assert_eq!(MultivariantPlaylist::parse(playlist.render().as_bytes()).unwrap(), playlist);
    }

    #[test]
    fn faults_have_their_line() {
        for (text, line, fault) in [
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\n", 2, Fault::Pairing),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", 3, Fault::Pairing),
            ("v.m3u8\n", 2, Fault::Pairing),
            ("\n#EXT-X-STREAM-INF:CODECS=\"a\"\nv\n", 3, Fault::MissingAttribute("BANDWIDTH")),
            ("#EXT-X-STREAM-INF:BANDWIDTH=-1\nv\n", 2, Fault::Number),
            ("#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=1280\nv\n", 2, Fault::Number),
            ("#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"n\"\n", 2, Fault::MissingAttribute("GROUP-ID")),
            ("#EXT-X-MEDIA\n", 2, Fault::MissingAttribute("TYPE")),
            ("#EXT-X-VERSION:x\n", 2, Fault::Number),
            ("#EXT-X-VERSION:3\n#EXT-X-VERSION:3\n", 3, Fault::Repeated),
            ("#EXTINF:6,\na.ts\n", 2, Fault::Kind),
        ] {
            let parsed = MultivariantPlaylist::parse(format!("#EXTM3U\n{text}").as_bytes());
            assert_eq!(parsed, Err(ParseError::Line { line, fault }), "{text}");
        }
    }
}
