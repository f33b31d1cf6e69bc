//! Captions become WebVTT.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Room that all captions of a file take at most.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// A side-car file larger than this is none.
const SIDE_CAR_MAX_BYTES: u64 = 16 << 20;

/// Kind of a side-car file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SubRip,
    WebVtt,
}

/// Kind of a side-car file, by its name.
pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "srt" => Some(Kind::SubRip),
        "vtt" => Some(Kind::WebVtt),
        _ => None,
    }
}

/// The text of a side-car file, in whatever characters it is written.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIDE_CAR_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SIDE_CAR_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 16 MiB"));
    }
    Ok(decode(&bytes))
}

/// Byte order marks tell; what is not UTF-8 is taken for Windows-1252, in which most such files are.
fn decode(bytes: &[u8]) -> String {
    let units = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
            Err(_) => bytes.iter().map(|byte| windows_1252(*byte)).collect(),
        },
    }
}

fn windows_1252(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
        '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// Whether a text is WebVTT (W3C WebVTT §4.1): its first line says so.
pub(super) fn is_web_vtt(text: &str) -> bool {
    text.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

/// Whether there is anything to read in it.
pub(super) fn has_cues(text: &str) -> bool {
    text.contains("-->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_known() {
        assert_eq!(decode(b"\xef\xbb\xbfna\xc3\xafve"), "naïve");
        assert_eq!(decode(b"na\xefve \x80"), "naïve €");
        assert_eq!(decode(b"\xff\xfea\0b\0"), "ab");
        assert_eq!(decode(b"\xfe\xff\0a\0"), "a");
        assert!(is_web_vtt("WEBVTT - x\n") && !is_web_vtt("WEBVTTX"));
        assert_eq!(kind_of(Path::new("/a/B.SRT")), Some(Kind::SubRip));
        assert_eq!(kind_of(Path::new("/a/srt")), None);
    }
}
