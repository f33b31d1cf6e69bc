//! What players tell of playback with their requests: Common Media Client Data (CTA-5004), as a query parameter or in headers. Read with
//! tolerance: what cannot be understood is passed over, and nothing of it decides anything.

use crate::request::Request;

/// Name of the query parameter.
pub(crate) const PARAMETER: &str = "CMCD";

/// Headers in lower case begin so.
pub(crate) const HEADER_PREFIX: &str = "cmcd-";

/// The headers.
const HEADERS: [&str; 4] = ["cmcd-object", "cmcd-request", "cmcd-session", "cmcd-status"];

/// Bytes of a value that are looked at, after percent-decoding.
const VALUE_MAX_BYTES: usize = 1024;

/// Bytes of a session's name that count: UUIDs have 36.
pub(crate) const SESSION_MAX_BYTES: usize = 64;

/// Largest number that is believed: a day in milliseconds, or as many kilobits.
const NUMBER_MAX: u64 = 86_400_000;

/// What a request tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// `sid`: the playback session; its length and its bytes.
    session: (u8, [u8; 32]),
    /// `br`: encoded bit rate of what is asked for, in kilobits a second.
    pub(crate) bitrate_kbps: Option<u64>,
    /// `bl`: media in the buffer, in milliseconds.
    pub(crate) buffer_ms: Option<u64>,
    /// `mtp`: measured throughput, in kilobits a second.
    pub(crate) throughput_kbps: Option<u64>,
    /// `bs`: the buffer ran empty since the request before.
    pub(crate) starved: bool,
    /// `su`: it is needed at once: start, seek, or an empty buffer.
    pub(crate) startup: bool,
    /// `com.anabranch-startup`: milliseconds from the wish to watch to the first picture.
    pub(crate) startup_ms: Option<u64>,
    /// `com.anabranch-stall`: milliseconds for which playback stood still since the request before.
    pub(crate) stalled_ms: Option<u64>,
}

impl Told {
    /// What a request tells; none if it tells nothing.
    pub(crate) fn read(request: &Request<'_>) -> Option<Self> {
        let query = request.query.and_then(parameter);
        if query.is_none() && !request.fields.cmcd {
            return None;
        }
        let mut told = Self::default();
        if let Some(value) = query {
            let mut buffer = [0; VALUE_MAX_BYTES];
            told.take(decode(value, &mut buffer));
        }
        for name in HEADERS.into_iter().filter(|_| request.fields.cmcd) {
            request.lines.all(name).take(2).for_each(|line| told.take(&line[..line.len().min(VALUE_MAX_BYTES)]));
        }
        (told != Self::default()).then_some(told)
    }

    /// Names the playback session; empty if the player does not.
    pub(crate) fn session(&self) -> &[u8] {
        &self.session.1[..usize::from(self.session.0)]
    }

    /// Takes a list of keys in: `br=3200,bs,sid="6e2f"`. Of a repeated key the last counts.
    fn take(&mut self, list: &[u8]) {
        let mut rest = list;
        while !rest.is_empty() {
            let end = end_of_member(rest);
            let member = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            let at = member.iter().position(|byte| *byte == b'=');
            let (key, value) = at.map_or((member, None), |at| (&member[..at], Some(&member[at + 1..])));
            self.member(key, value);
        }
    }

    fn member(&mut self, key: &[u8], value: Option<&[u8]>) {
        match (key, value) {
            (b"sid", Some(value)) => self.session = session(value),
            (b"br", Some(value)) => self.bitrate_kbps = number(value),
            (b"bl", Some(value)) => self.buffer_ms = number(value),
            (b"mtp", Some(value)) => self.throughput_kbps = number(value),
            (b"com.anabranch-startup", Some(value)) => self.startup_ms = number(value),
            (b"com.anabranch-stall", Some(value)) => self.stalled_ms = number(value),
            (b"bs", value) => self.starved = is_true(value),
            (b"su", value) => self.startup = is_true(value),
            _ => {}
        }
    }
}

/// The value of the parameter as it stands in a query.
fn parameter(query: &str) -> Option<&str> {
    if !query.contains(PARAMETER) {
        return None;
    }
    query.split('&').find_map(|parameter| parameter.strip_prefix(PARAMETER)?.strip_prefix('='))
}

/// A query without the parameter: what keys and origins see. The others keep their bytes and their order.
pub(crate) fn strip(query: std::borrow::Cow<'_, str>) -> std::borrow::Cow<'_, str> {
    if !query.contains(PARAMETER) {
        return query;
    }
    let is_own = |parameter: &&str| {
        parameter.strip_prefix(PARAMETER).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('='))
    };
    if query.split('&').all(|parameter| is_own(&parameter)) {
        return query;
    }
    query.split('&').filter(is_own).collect::<Vec<_>>().join("&").into()
}

/// Percent-decodes as much as fits.
fn decode<'b>(value: &str, buffer: &'b mut [u8; VALUE_MAX_BYTES]) -> &'b [u8] {
    let bytes = value.as_bytes();
    let (mut from, mut to) = (0, 0);
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    while from < bytes.len() && to < buffer.len() {
        let (byte, length) = match (bytes[from], digit(from + 1), digit(from + 2)) {
            (b'%', Some(high), Some(low)) => (high * 16 + low, 3),
            (b'+', ..) => (b' ', 1),
            (byte, ..) => (byte, 1),
        };
        buffer[to] = byte;
        from += length;
        to += 1;
    }
    &buffer[..to]
}

/// Where the first member ends: at a comma outside of quotes and parentheses.
fn end_of_member(list: &[u8]) -> usize {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_u32);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => return at,
            _ => {}
        }
    }
    list.len()
}

/// The first number of a value: `3200`, or of version 2 `(3200 128)` and `3200;v`. A fraction is cut off.
fn number(value: &[u8]) -> Option<u64> {
    let value = value.strip_prefix(b"(").unwrap_or(value).trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: u64 = std::str::from_utf8(&value[..digits]).ok()?.parse().ok()?;
    (number <= NUMBER_MAX).then_some(number)
}

/// A key alone stands for true.
fn is_true(value: Option<&[u8]>) -> bool {
    !matches!(value, Some(b"false" | b"?0" | b"0"))
}

/// The session's name, cut: enough to tell sessions apart.
fn session(value: &[u8]) -> (u8, [u8; 32]) {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    let value = &value[..value.len().min(SESSION_MAX_BYTES)];
    let mut name = [0_u8; 32];
    // Longer names are folded, so that all of their bytes count.
    for (at, byte) in value.iter().enumerate() {
        name[at % 32] = name[at % 32].rotate_left(3) ^ byte;
    }
    (u8::try_from(value.len().min(32)).unwrap_or(0), name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::{Connection, Fields, Lines, Method, Scheme};

    fn read(query: Option<&str>, lines: &[u8]) -> Option<Told> {
        let lines = Lines::Raw(lines);
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.take(name, value));
        Told::read(&Request {
            method: Method::Get,
            scheme: Scheme::Http,
            host: "a.test",
            path: "/b1/a",
            query,
            peer: "192.0.2.7".parse().unwrap(),
            connection: Connection::default(),
            fields,
            lines,
        })
    }

    #[test]
    fn a_query_tells() {
        let query = "Policy=x&CMCD=bl%3D21300%2Cbr%3D3200%2Cbs%2Cmtp%3D25400%2Cot%3Dv%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Csu%2Ccom.anabranch-startup%3D840";
        let told = read(Some(query), b"").unwrap();
        assert_eq!((told.buffer_ms, told.bitrate_kbps, told.throughput_kbps), (Some(21_300), Some(3200), Some(25_400)));
        assert!(told.starved && told.startup && !told.session().is_empty());
        assert_eq!((told.startup_ms, told.stalled_ms), (Some(840), None));
    }

    #[test]
    fn headers_and_the_second_version_tell() {
        let lines = b"CMCD-Object: br=(3200;v 128;a),d=4004\r\nCMCD-Status: bs=?0\r\nCMCD-Session: sid=\"a,b\"\r\nCMCD-Request: bl=(900), su\r\n";
        let told = read(None, lines).unwrap();
        assert_eq!((told.bitrate_kbps, told.buffer_ms, told.starved, told.startup), (Some(3200), Some(900), false, true));
        assert_ne!(told.session(), read(None, b"CMCD-Session: sid=\"a,c\"\r\n").unwrap().session());
        assert_eq!(read(Some("a=b"), b"Accept: x\r\n"), None);
        assert_eq!(read(Some("CMCD=br%3D99999999999999999999%2Cbl%3D-5"), b""), None);
    }

    #[test]
    fn keys_and_origins_do_not_see_it() {
        for (query, left) in [
            ("CMCD=br%3D1", ""),
            ("a=1&CMCD=x&b=2", "a=1&b=2"),
            ("CMCD&a=1&CMCD=2", "a=1"),
            ("CMCDX=1&xCMCD=2", "CMCDX=1&xCMCD=2"),
            ("a=CMCD=1", "a=CMCD=1"),
        ] {
            assert_eq!(strip(query.into()), left, "{query}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_told_does_harm(query in ".{0,300}", header in prop::collection::vec(any::<u8>(), 0..300)) {
            let query = format!("CMCD={query}");
            let mut lines = b"CMCD-Object: ".to_vec();
            lines.extend(header.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            lines.extend_from_slice(b"\r\n");
            let told = read(Some(&query), &lines).unwrap_or_default();
            for number in [told.bitrate_kbps, told.buffer_ms, told.throughput_kbps, told.startup_ms, told.stalled_ms] {
                prop_assert!(number.is_none_or(|number| number <= NUMBER_MAX));
            }
            prop_assert!(told.session().len() <= 32);
        }

        #[test]
        fn what_was_told_is_read(br in 0_u64..1_000_000, bl in 0_u64..1_000_000, sid in "[a-z0-9-]{1,36}", bs in any::<bool>()) {
            let bs_key = if bs { ",bs" } else { "" };
            let lines = format!("CMCD-Object: br={br}{bs_key},sid=\"{sid}\",nor=\"..%2Fa,b\",bl={bl}\r\n");
            let told = read(None, lines.as_bytes()).unwrap();
            prop_assert_eq!((told.bitrate_kbps, told.buffer_ms, told.starved), (Some(br), Some(bl), bs));
        }
    }
}
