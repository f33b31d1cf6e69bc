//! One answer's line, from its request to its end.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_net::SharedClock;
use tokio::time::Instant;

use super::end::{End, Ending};
use super::redact::redacted;
use super::text::{json, w3c};
use super::{AccessLog, Entry};
use crate::config::AccessLogFormat;
use crate::counters::Counters;
use crate::outcome::Outcome;
use crate::request::{Lines, Request, Tls, Version};
use crate::viewer::Unread;
use crate::worker::Worker;

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

/// What a request's way through the river leaves for its line. Made only if there will be one.
#[derive(Debug)]
pub(crate) struct Notes {
    began: Instant,
    /// See [`Facts::session`].
    pub(crate) session: Option<Box<str>>,
}

impl Notes {
    /// Begins to take notes if the line of this request is wanted, in a file or by who listens to traces.
    pub(crate) fn begin(worker: &Worker) -> Option<Self> {
        let wanted = worker.access_log().is_some() || tracing::enabled!(target: "access", tracing::Level::DEBUG);
        wanted.then(|| Self { began: Instant::now(), session: None })
    }
}

/// A line that lacks its end.
#[derive(Debug)]
pub(crate) struct Line {
    facts: Facts,
    began: Instant,
    ending: Ending,
    clock: SharedClock,
    log: Option<Arc<AccessLog>>,
}

impl Line {
    /// The line of `request`; `head` is that of its answer, and `body_bytes` were read of its body.
    pub(crate) fn new(
        worker: &Worker,
        request: &Request<'_>,
        counters: Option<&Counters>,
        (notes, request_id): (Notes, String),
        head: &[u8],
        body_bytes: u64,
    ) -> Self {
        let counters = counters.unwrap_or(&worker.metrics().nobody);
        let mut facts = Facts {
            distribution: counters.series.distribution.clone(),
            domain: counters.series.domain.clone(),
            behavior: counters.behavior.clone(),
            breakout: counters.breakout.as_ref().map(|id| id.as_str().into()),
            session: notes.session,
            request_id,
            client: request.peer,
            port: request.connection.port,
            method: request.method.as_str(),
            scheme: request.scheme.as_str(),
            version: request.connection.version.as_str(),
            tls: request.connection.tls,
            host: request.host.into(),
            path: redacted(request.path.as_bytes()).into(),
            query: request.query.map(|query| redacted(query.as_bytes()).into()),
            referer: None,
            user_agent: None,
            forwarded_for: None,
            received: Some(head_bytes(request) + body_bytes),
            first_byte_us: micros(notes.began),
            content_type: None,
            content_length: None,
            range: None,
        };
        facts.read_request(request);
        facts.read_answer(head);
        Self {
            facts,
            began: notes.began,
            ending: Ending::default(),
            clock: worker.clock().clone(),
            log: worker.access_log().cloned(),
        }
    }

    /// The line of what could not be read as a request: who sent it, how much, and the answer.
    pub(crate) fn unread(
        worker: &Worker,
        unread: &Unread<'_>,
        (notes, request_id): (Notes, String),
        head: &[u8],
    ) -> Self {
        let (viewer, nobody) = (unread.viewer, &worker.metrics().nobody);
        let version = match viewer.connection.version {
            // A connection that could still become one of HTTP/1.0, or of something else.
            Version::Http10 | Version::Http11 => "",
            known => known.as_str(),
        };
        let mut facts = Facts {
            distribution: nobody.series.distribution.clone(),
            domain: nobody.series.domain.clone(),
            behavior: nobody.behavior.clone(),
            breakout: None,
            session: None,
            request_id,
            client: viewer.address,
            port: viewer.connection.port,
            method: "",
            scheme: viewer.scheme().as_str(),
            version,
            tls: viewer.connection.tls,
            host: Box::default(),
            path: Box::default(),
            query: None,
            referer: None,
            user_agent: None,
            forwarded_for: None,
            received: unread.received,
            first_byte_us: micros(notes.began),
            content_type: None,
            content_length: None,
            range: None,
        };
        facts.read_answer(head);
        Self {
            facts,
            began: notes.began,
            ending: Ending::default(),
            clock: worker.clock().clone(),
            log: worker.access_log().cloned(),
        }
    }

    /// Says how the sending ended; without a word the viewer was cut off.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Ends the line and gives it to those who want it.
    pub(crate) fn close(self, status: u16, outcome: Outcome, sent: u64) {
        let Self { facts, began, ending, clock, log } = self;
        tracing::event!(
            target: "access",
            tracing::Level::DEBUG,
            viewer.address = %facts.client,
            http.method = facts.method,
            http.host = &*facts.host,
            http.path = %String::from_utf8_lossy(&facts.path),
            http.status = status,
            sent_bytes = sent,
            cache.status = outcome.as_str(),
            "request"
        );
        let Some(log) = log else { return };
        let end = End { moment_ms: clock.now_ms(), status, outcome, sent, ending, taken_us: micros(began) };
        let format = log.common.format;
        let text = |wanted: bool, make: fn(&Facts, &End, &str) -> Vec<u8>| {
            if wanted { make(&facts, &end, &log.location) } else { Vec::new() }
        };
        let w3c = text(matches!(format, AccessLogFormat::W3c | AccessLogFormat::Both), w3c);
        let json = text(matches!(format, AccessLogFormat::Json | AccessLogFormat::Both), json);
        log.hand_over(Entry { distribution: facts.distribution.clone(), w3c, json });
    }
}

impl Facts {
    fn read_request(&mut self, request: &Request<'_>) {
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

    fn read_answer(&mut self, head: &[u8]) {
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

/// Bytes of a request's head: as it came by HTTP/1, as HTTP/1 would have had it otherwise.
fn head_bytes(request: &Request<'_>) -> u64 {
    let target = request.path.len() + request.query.map_or(0, |query| query.len() + 1);
    let first = request.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    let fields = match request.lines {
        Lines::Raw(raw) => raw.len(),
        _ => request.lines.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum(),
    };
    (first + fields) as u64
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
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
