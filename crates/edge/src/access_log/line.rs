//! One answer's line, from its request to its end.

use std::sync::Arc;

use anabranch_net::SharedClock;
use tokio::time::Instant;

use super::end::{End, Ending};
use super::facts::Facts;
use super::redact::redacted;
use super::text::{json, w3c};
use super::{AccessLog, Entry};
use crate::config::AccessLogFormat;
use crate::counters::Counters;
use crate::outcome::Outcome;
use crate::request::{Lines, Request, Version};
use crate::viewer::Unread;

/// What a request's way through the river leaves for its line. Made only if there will be one.
#[derive(Debug)]
pub(crate) struct Notes {
    began: Instant,
    clock: SharedClock,
    log: Option<Arc<AccessLog>>,
    /// See [`Facts::session`].
    pub(crate) session: Option<Box<str>>,
}

impl Notes {
    /// Begins to take notes if the line of this request is wanted, in a file or by who listens to traces.
    pub(crate) fn begin(log: Option<&Arc<AccessLog>>, clock: &SharedClock) -> Option<Self> {
        let wanted = log.is_some() || tracing::enabled!(target: "access", tracing::Level::DEBUG);
        wanted.then(|| Self { began: Instant::now(), clock: clock.clone(), log: log.cloned(), session: None })
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
    /// The line of `request`; `head` is that of its answer, which `counters` count, and `body_bytes` were read of its body.
    pub(crate) fn new(
        request: &Request<'_>,
        counters: &Counters,
        (mut notes, request_id): (Notes, String),
        head: &[u8],
        body_bytes: u64,
    ) -> Self {
        let mut facts = Facts {
            distribution: counters.series.distribution.clone(),
            domain: counters.series.domain.clone(),
            behavior: counters.behavior.clone(),
            breakout: counters.breakout.as_ref().map(|id| id.as_str().into()),
            session: notes.session.take(),
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
        Self::begin(facts, notes)
    }

    /// The line of what could not be read as a request: who sent it, how much, and the answer, which counts for `nobody`.
    pub(crate) fn unread(
        unread: &Unread<'_>,
        nobody: &Counters,
        (notes, request_id): (Notes, String),
        head: &[u8],
    ) -> Self {
        let viewer = unread.viewer;
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
        Self::begin(facts, notes)
    }

    fn begin(facts: Facts, notes: Notes) -> Self {
        let Notes { began, clock, log, .. } = notes;
        Self { facts, began, ending: Ending::default(), clock, log }
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
