//! What a line tells of a request and of the head of its answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::redact::redacted;
use crate::request::{Request, Tls};

/// Most bytes of a value that a viewer chose freely.
const MAX_VALUE_BYTES: usize = 4096;

/// What is written of a request and of the head of its answer. No value shows a signature.
#[derive(Debug)]
pub(super) struct Facts {
    /// Empty if no distribution claims the request.
    pub(super) distribution: Arc<str>,
    pub(super) domain: Arc<str>,
    pub(super) behavior: Arc<str>,
    pub(super) breakout: Option<Box<str>>,
    /// The session that the policy of the viewer's signature claims.
    pub(super) session: Option<Box<str>>,
    pub(super) request_id: String,
    pub(super) client: IpAddr,
    /// 0 if it is not known.
    pub(super) port: u16,
    /// Empty, as are version, host and path, if the request could not be read.
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
    pub(super) version: &'static str,
    pub(super) tls: Option<Tls>,
    pub(super) host: Box<str>,
    pub(super) path: Box<[u8]>,
    pub(super) query: Option<Box<[u8]>>,
    pub(super) referer: Option<Box<[u8]>>,
    pub(super) user_agent: Option<Box<[u8]>>,
    pub(super) forwarded_for: Option<Box<[u8]>>,
    /// Bytes of the request, its body as far as it was read for the origin.
    pub(super) received: Option<u64>,
    /// Microseconds from the request to the head of its answer.
    pub(super) first_byte_us: u64,
    pub(super) content_type: Option<Box<[u8]>>,
    pub(super) content_length: Option<u64>,
    /// First and last byte of `Content-Range`.
    pub(super) range: Option<(u64, u64)>,
}

impl Facts {
    /// Notes what only the log wants of a request's fields.
    pub(super) fn read_request(&mut self, request: &Request<'_>) {
        for (name, value) in request.lines.iter() {
            let (slot, value) = match name.len() {
                7 if name.eq_ignore_ascii_case("referer") => (&mut self.referer, redacted(value)),
                10 if name.eq_ignore_ascii_case("user-agent") => (&mut self.user_agent, redacted(value)),
                15 if name.eq_ignore_ascii_case("x-forwarded-for") => (&mut self.forwarded_for, value.to_vec()),
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(value[..value.len().min(MAX_VALUE_BYTES)].into());
            }
        }
    }

    /// Notes what the head of the answer says of its body.
    pub(super) fn read_answer(&mut self, head: &[u8]) {
        for line in head.split(|&byte| byte == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            match name.len() {
                12 if name.eq_ignore_ascii_case(b"content-type") => {
                    self.content_type = Some(value[..value.len().min(MAX_VALUE_BYTES)].into());
                }
                13 if name.eq_ignore_ascii_case(b"content-range") => self.range = range(value),
                14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length = number(value),
                _ => {}
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// First and last byte of a `Content-Range` (RFC 9110 §14.4); nothing of one that is unsatisfied.
fn range(value: &[u8]) -> Option<(u64, u64)> {
    let set = value.strip_prefix(b"bytes ")?;
    let set = &set[..set.iter().position(|&byte| byte == b'/')?];
    let dash = set.iter().position(|&byte| byte == b'-')?;
    Some((number(&set[..dash])?, number(&set[dash + 1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (value, expected) in [
            ("bytes 0-4/10", Some((0, 4))),
            ("bytes 5-9/*", Some((5, 9))),
            ("bytes */10", None),
            ("bytes 0-4", None),
            ("items 0-4/10", None),
            ("bytes a-4/10", None),
            ("", None),
        ] {
            assert_eq!(range(value.as_bytes()), expected, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_range_is_judged(value in "bytes [-0-9/*a]{0,20}", bytes: Vec<u8>) {
            let _ = (range(value.as_bytes()), range(&bytes));
        }
    }
}
