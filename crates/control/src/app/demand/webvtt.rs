//! Captions as people bring them, WebVTT (W3C WebVTT §4) or SubRip, become WebVTT that holds nothing but cues.

use std::fmt::Write as _;

/// Cues of one file at most.
const CUES_MAX: usize = 20_000;

/// Characters of one cue at most.
const CUE_CHARS_MAX: usize = 4_000;

/// Latest time, in milliseconds: 100 hours.
const TIME_MAX_MS: u64 = 100 * 3_600_000;

/// Tags of SubRip that mean the same in WebVTT.
const TAGS: [&str; 6] = ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>"];

/// Captions that can be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Captions {
    /// WebVTT.
    pub(super) text: String,
    /// How many.
    pub(super) cues: usize,
}

struct Cue {
    start_ms: u64,
    end_ms: u64,
    settings: String,
    lines: Vec<String>,
}

/// The text of a file: UTF-8, or UTF-16 with its mark. The error says in words what is wrong.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let units = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => String::from_utf16(&units(u16::from_le_bytes)).map_err(|_| "it is no UTF-16".to_owned()),
        [0xfe, 0xff, ..] => String::from_utf16(&units(u16::from_be_bytes)).map_err(|_| "it is no UTF-16".to_owned()),
        _ => String::from_utf8(bytes.to_vec()).map_err(|error| {
            let line = 1 + bytes[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            format!("line {line} is no UTF-8: save the file as UTF-8")
        }),
    }
}

/// Reads a text of either kind: WebVTT says so in its first line. The error says in words what is wrong, and where.
pub(super) fn read(text: &str) -> Result<Captions, String> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if text.contains('\0') {
        return Err("it holds a zero byte: it is no text".to_owned());
    }
    let header = text.strip_prefix("WEBVTT");
    let is_vtt = header.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']));
    let mut cues = Vec::new();
    let mut block: Vec<(usize, &str)> = Vec::new();
    // The header of WebVTT goes on to the first empty line.
    let mut in_header = is_vtt;
    for (number, line) in (1..).zip(text.lines().chain([""])) {
        if !line.trim().is_empty() {
            block.push((number, line));
            continue;
        }
        if !std::mem::take(&mut in_header) && !block.is_empty() {
            cues.extend(cue(&block, is_vtt)?);
        }
        block.clear();
        if cues.len() > CUES_MAX {
            return Err(format!("it has more than {CUES_MAX} cues"));
        }
    }
    if cues.is_empty() {
        return Err("it has no cues: lines such as 00:00:01.000 --> 00:00:02.500, each with words below".to_owned());
    }
    cues.sort_by_key(|cue| cue.start_ms);
    Ok(Captions { cues: cues.len(), text: render(&cues) })
}

/// The cue of a block; none if it is a comment, a style or a region.
fn cue(block: &[(usize, &str)], is_vtt: bool) -> Result<Option<Cue>, String> {
    let (number, first) = block[0];
    let Some(at) = block.iter().take(2).position(|(_, line)| line.contains("-->")) else {
        let is_other = ["NOTE", "STYLE", "REGION"]
            .iter()
            .any(|word| first.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])));
        if is_vtt && is_other {
            return Ok(None);
        }
        return Err(format!(
            "line {number}: a cue has a line such as 00:00:01.000 --> 00:00:02.500: {:?}",
            short(first)
        ));
    };
    let (number, timing) = block[at];
    let wrong = |why: &str| format!("line {number}: {why}: {:?}", short(timing));
    let (start, rest) = timing.split_once("-->").unwrap_or((timing, ""));
    let mut words = rest.split_whitespace();
    let time = |text: &str| time_ms(text.trim()).ok_or_else(|| wrong("a time is hours:minutes:seconds.thousandths"));
    let (start_ms, end_ms) = (time(start)?, time(words.next().unwrap_or_default())?);
    if end_ms <= start_ms {
        return Err(wrong("a cue ends after it begins"));
    }
    // Places of SubRip are in pixels of a picture that nobody knows.
    let is_setting = |word: &&str| is_vtt && word.contains(':') && !word.starts_with("region:");
    let settings = words.filter(is_setting).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = block[at + 1..]
        .iter()
        .map(|(_, line)| if is_vtt { line.replace("-->", "--&gt;") } else { of_subrip(line) })
        .collect();
    if lines.iter().map(|line| line.chars().count()).sum::<usize>() > CUE_CHARS_MAX {
        return Err(wrong("a cue has too many words"));
    }
    Ok((!lines.is_empty()).then_some(Cue { start_ms, end_ms, settings, lines }))
}

/// `[hours:]minutes:seconds(.|,)thousandths`.
fn time_ms(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once(['.', ','])?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_number)
    };
    let ms = number(fraction, 3..=3)?;
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [minutes, seconds] => (0, number(minutes, 2..=2)?, number(seconds, 2..=2)?),
        [hours, minutes, seconds] => (number(hours, 1..=4)?, number(minutes, 1..=2)?, number(seconds, 1..=2)?),
        _ => return None,
    };
    let all = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms;
    (minutes < 60 && seconds < 60 && all <= TIME_MAX_MS).then_some(all)
}

/// A line of SubRip: a few tags stay, those that say places and fonts go, and what is left is text.
fn of_subrip(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let tag = rest.find(if next == '{' { '}' } else { '>' }).map(|end| &rest[..=end]);
        let lower = tag.map(str::to_ascii_lowercase).unwrap_or_default();
        let skip = match (next, tag) {
            ('<', Some(tag)) if TAGS.contains(&lower.as_str()) => {
                out.push_str(&lower);
                tag.len()
            }
            ('<', Some(tag)) if lower.starts_with("<font") || lower == "</font>" => tag.len(),
            ('{', Some(tag)) if tag.starts_with("{\\") => tag.len(),
            _ => {
                match next {
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '&' => out.push_str("&amp;"),
                    _ => out.push(next),
                }
                next.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    out
}

fn render(cues: &[Cue]) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for cue in cues {
        let space = if cue.settings.is_empty() { "" } else { " " };
        // Writing to a text cannot fail.
        let _ = write!(text, "\n{} --> {}{space}{}\n", clock(cue.start_ms), clock(cue.end_ms), cue.settings);
        for line in &cue.lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// The beginning of a line, for an error.
fn short(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subrip_becomes_web_vtt() {
        let text = "\u{feff}2\r\n00:00:03,000 --> 00:00:04,500 X1:10 X2:20\r\n{\\an8}<FONT color=\"red\">a & b</font> <B>c</B> 1 < 2 -->\r\n\
                    second\r\n\r\n1\r\n0:00:01,000 --> 0:00:02,000\r\nTüren\r\n";
        let captions = read(text).unwrap();
        assert_eq!(captions.cues, 2);
        assert_eq!(
            captions.text,
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nTüren\n\n\
             00:00:03.000 --> 00:00:04.500\na &amp; b <b>c</b> 1 &lt; 2 --&gt;\nsecond\n"
        );
    }

    #[test]
    fn web_vtt_keeps_its_cues_and_loses_the_rest() {
        let text = "WEBVTT - words\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\nSTYLE\n::cue { color: red }\n\nNOTE no\n\n\
                    intro\n00:01.000 --> 00:02.000 line:0 region:a align:start\n<v Ann>Hello &amp; so on\n\n10:00:01.000 --> 10:00:02.000\nlate";
        assert_eq!(
            read(text).unwrap().text,
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.000 line:0 align:start\n<v Ann>Hello &amp; so on\n\n\
             10:00:01.000 --> 10:00:02.000\nlate\n"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, words) in [
            ("", "no cues"),
            ("WEBVTT\n", "no cues"),
            ("MZ\0", "zero byte"),
            ("hello\nworld\n", "line 1: a cue has a line such as"),
            ("WEBVTT\n\nhello\n", "line 3: a cue has a line such as"),
            ("1\n00:00:02,000 --> 00:00:01,000\nx\n", "line 2: a cue ends after it begins"),
            ("WEBVTT\n\n00:00:01 --> 00:00:02\nx\n", "line 3: a time is hours:minutes:seconds.thousandths"),
            ("WEBVTT\n\n00:61.000 --> 99:00:02.000\nx\n", "line 3: a time is"),
            ("WEBVTT\n\n101:00:00.000 --> 102:00:02.000\nx\n", "line 3: a time is"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert!(decode(b"a\nna\xefve").unwrap_err().contains("line 2 is no UTF-8"));
        assert_eq!(decode(b"\xff\xfea\0b\0").unwrap(), "ab");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(WEBVTT\n\n)?(([0-9:,. \n<>&{}a-]|-->|\\\\){0,60}|\\PC{0,80})") {
            if let Ok(captions) = read(&text) {
                // What comes out is taken again, and stays as it is.
                prop_assert_eq!(read(&captions.text).unwrap(), captions);
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes).map(|text| read(&text));
        }

        #[test]
        fn any_words_stay_words(words in "[^\r\n\0]{1,60}") {
            prop_assume!(!words.trim().is_empty());
            let captions = read(&format!("1\n00:00:01,000 --> 00:00:02,000\n{words}\n")).unwrap();
            prop_assert!(captions.cues <= 1 && !captions.text[8..].replacen("-->", "", 1).contains("-->"));
        }
    }
}
