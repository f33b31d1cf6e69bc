//! Response heads as bytes: a status line and field lines, which HTTP/2 takes apart again.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;

/// A response head under construction, in a buffer that is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// Begins a head, forgetting the last one.
    pub(crate) fn start(&mut self, status: u16) {
        self.bytes.clear();
        match status {
            200 => self.bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
            206 => self.bytes.extend_from_slice(b"HTTP/1.1 206 Partial Content\r\n"),
            304 => self.bytes.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n"),
            other => {
                let reason = StatusCode::from_u16(other).ok().and_then(|s| s.canonical_reason()).unwrap_or("");
                // Writing to a vector does not fail.
                let _ = write!(self.bytes, "HTTP/1.1 {other} {reason}\r\n");
            }
        }
    }

    /// Appends whole field lines.
    pub(crate) fn lines(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Appends one field line.
    pub(crate) fn field(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.bytes, "{name}: {value}\r\n");
    }

    /// Appends a field line with a number, without the detour of formatting.
    pub(crate) fn number(&mut self, name: &[u8], value: u64) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        push_number(&mut self.bytes, value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends `Date` for the given moment.
    pub(crate) fn date(&mut self, now_ms: i64) {
        self.bytes.extend_from_slice(b"date: ");
        with_http_date(now_ms.div_euclid(1000), |date| self.bytes.extend_from_slice(date.as_bytes()));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The head so far.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The raw buffer, for what only numbers and static text go into.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Appends decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut left = value;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Gives the HTTP date of a second; the last one is remembered per thread.
pub(crate) fn with_http_date<R>(seconds: i64, use_it: impl FnOnce(&str) -> R) -> R {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(at, text)| {
        if *at != seconds {
            *text = http_date(seconds);
            *at = seconds;
        }
        use_it(text)
    })
}

/// A moment in the form of RFC 9110 §5.6.7; moments outside the years 1970 to 9999 become the nearer end.
pub(crate) fn http_date(seconds: i64) -> String {
    /// 31 December 9999, the last day that the format can say.
    const LAST_SECOND: u64 = 253_402_300_799;
    let since = u64::try_from(seconds).unwrap_or(0).min(LAST_SECOND);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_written() {
        let mut head = Head::default();
        head.start(404);
        head.number(b"age", 0);
        head.field("x", 7);
        head.date(784_111_777_999);
        assert_eq!(
            std::str::from_utf8(head.as_bytes()).unwrap(),
            "HTTP/1.1 404 Not Found\r\nage: 0\r\nx: 7\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        );
        let mut out = Vec::new();
        push_number(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().into_bytes());
        assert_eq!(http_date(i64::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
