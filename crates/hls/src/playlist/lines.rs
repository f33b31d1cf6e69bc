//! Lines of a playlist (rfc8216bis §4.1), and what can be wrong with them.

use super::{PLAYLIST_MAX_BYTES, PLAYLIST_MAX_LINES};

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first line is not `#EXTM3U`.
    #[error("does not begin with #EXTM3U")]
    Header,
    /// A number is not one, or is out of range.
    #[error("not a number")]
    Number,
    /// A date is not one.
    #[error("not a date")]
    Date,
    /// A tag's value is none of the words it can be.
    #[error("unknown word")]
    Word,
    /// Not a list of `NAME=VALUE`.
    #[error("not an attribute list")]
    Attributes,
    /// A tag lacks an attribute that it must have.
    #[error("missing attribute: {0}")]
    MissingAttribute(&'static str),
    /// A URI without the tag that belongs before it, or the tag without its URI.
    #[error("tag and uri do not pair")]
    Pairing,
    /// A tag that stands once stands again.
    #[error("repeated tag")]
    Repeated,
    /// The playlist lacks a tag that it must have.
    #[error("missing tag: {0}")]
    MissingTag(&'static str),
    /// A tag of the other kind of playlist.
    #[error("tag of another kind of playlist")]
    Kind,
}

/// Why a text is not the playlist that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// More than [`PLAYLIST_MAX_BYTES`].
    #[error("playlist is too long, in bytes: {0}")]
    TooLong(usize),
    /// More than [`PLAYLIST_MAX_LINES`].
    #[error("playlist has too many lines")]
    TooManyLines,
    /// Not UTF-8.
    #[error("playlist is not utf-8")]
    Encoding,
    /// A line is wrong.
    #[error("line {line}: {fault}")]
    Line {
        /// Counted from one; the last line for what is missing at the end.
        line: usize,
        /// What is wrong.
        fault: Fault,
    },
}

/// One line that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `#EXT…`, with what stands after the first colon; `whole` is the line as it was.
    Tag { name: &'a str, value: &'a str, whole: &'a str },
    /// `#` and anything else.
    Comment(&'a str),
    /// Anything else but white space.
    Uri(&'a str),
}

/// Reads the lines after `#EXTM3U`, with their numbers; blank ones are skipped, CRLF and a byte order mark tolerated.
pub(super) fn lines(bytes: &[u8]) -> Result<impl Iterator<Item = (usize, Line<'_>)>, ParseError> {
    if bytes.len() > PLAYLIST_MAX_BYTES {
        return Err(ParseError::TooLong(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ParseError::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.bytes().filter(|byte| *byte == b'\n').count() >= PLAYLIST_MAX_LINES {
        return Err(ParseError::TooManyLines);
    }
    let mut lines = text.lines().map(str::trim_end).enumerate().map(|(at, line)| (at + 1, line));
    if lines.next().is_none_or(|(_, line)| line != "#EXTM3U") {
        return Err(ParseError::Line { line: 1, fault: Fault::Header });
    }
    Ok(lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, classify(line))))
}

fn classify(line: &str) -> Line<'_> {
    if line.starts_with("#EXT") {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        Line::Tag { name, value, whole: line }
    } else if line.starts_with('#') {
        Line::Comment(line)
    } else {
        Line::Uri(line)
    }
}

/// Whole digits, as playlists write integers (rfc8216bis §4.2).
pub(super) fn integer(text: &str) -> Result<u64, Fault> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().map_err(|_| Fault::Number) } else { Err(Fault::Number) }
}

/// Digits with at most one point, as playlists write fractions; no sign, no exponent.
pub(super) fn decimal(text: &str) -> Result<f64, Fault> {
    let plain = text.len() <= 40
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().map_err(|_| Fault::Number) } else { Err(Fault::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let collect = |bytes: &[u8]| lines(bytes).map(Iterator::count);
        assert_eq!(collect(&vec![b'#'; PLAYLIST_MAX_BYTES + 1]), Err(ParseError::TooLong(PLAYLIST_MAX_BYTES + 1)));
        let many = format!("#EXTM3U{}", "\n".repeat(PLAYLIST_MAX_LINES));
        assert_eq!(collect(many.as_bytes()), Err(ParseError::TooManyLines));
        assert_eq!(collect(&many.as_bytes()[..many.len() - 1]), Ok(0));
        assert_eq!(collect(b"#EXTM3U\n\xff"), Err(ParseError::Encoding));
        for text in ["", "\n#EXTM3U", "#EXTM3U8\n", " #EXTM3U"] {
            assert_eq!(collect(text.as_bytes()), Err(ParseError::Line { line: 1, fault: Fault::Header }), "{text:?}");
        }
    }

    #[test]
    fn marks_and_line_ends() {
        let found: Vec<_> = lines("\u{feff}#EXTM3U\r\n\r\n#EXT-X-A:b:c\r\n#d\nuri \n".as_bytes()).unwrap().collect();
        let tag = Line::Tag { name: "#EXT-X-A", value: "b:c", whole: "#EXT-X-A:b:c" };
        assert_eq!(found, [(3, tag), (4, Line::Comment("#d")), (5, Line::Uri("uri"))]);
    }

    #[test]
    fn numbers() {
        assert_eq!(integer("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(decimal("6.006"), Ok(6.006));
        assert_eq!(decimal("6."), Ok(6.0));
        for text in ["", "-1", "+1", "1e3", "inf", "nan", "1.2.3", ".", " 1"] {
            assert_eq!((integer(text), decimal(text)), (Err(Fault::Number), Err(Fault::Number)), "{text:?}");
        }
    }
}
