//! Bend: what is counted and logged, once an answer is over.

use std::io;
use std::sync::Arc;

use crate::access_log::{Ending, Line};
use crate::attendance::Attendee;
use crate::counters::{Counters, Part};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::outcome::Outcome;

/// Bytes of an answer that is still being sent after which they count.
const PROGRESS_BYTES: u64 = 64 << 10;

/// One answer's entry in the books, made when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct Record {
    counters: Option<Arc<Counters>>,
    /// The part of the counters that it counts for.
    pub(crate) part: Option<Arc<Part>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Bytes handed to the connection.
    sent: u64,
    /// Those of them that are counted.
    counted: u64,
    /// Whose attendance it counts for.
    pub(crate) attendee: Option<Arc<Attendee>>,
    /// Present if the answer is logged.
    pub(crate) line: Option<Box<Line>>,
}

impl Record {
    pub(crate) fn new(
        place: Option<(Arc<Counters>, Arc<Part>)>,
        (metrics, ledger): (Arc<Metrics>, Arc<Ledger>),
        status: u16,
        outcome: Outcome,
    ) -> Self {
        let (counters, part) = place.unzip();
        Self { counters, part, metrics, ledger, status, outcome, sent: 0, counted: 0, attendee: None, line: None }
    }

    /// The counters that it counts for: nobody's where no distribution claims the request.
    pub(crate) fn counts_for(&self) -> &Counters {
        self.counters.as_deref().unwrap_or(&self.metrics.nobody)
    }

    /// Counts bytes that were handed to the connection. A long answer's count while it is being sent.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        if self.sent - self.counted >= PROGRESS_BYTES {
            self.progress();
        }
    }

    /// Bytes handed to the connection so far.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.sent
    }

    fn progress(&mut self) {
        if let Some(part) = &self.part {
            part.sent(self.outcome, self.sent - self.counted);
            self.ledger.nudge();
        }
        self.counted = self.sent;
    }

    /// Says how the sending of the answer ended; without a word the viewer was cut off.
    pub(crate) fn ended(&mut self, ending: Ending) {
        if let Some(line) = &mut self.line {
            line.end(ending);
        }
    }

    /// The same by the result of the sending, which calls a body that breaks off an unexpected end.
    pub(crate) fn end(&mut self, sent: &io::Result<()>) {
        self.ended(match sent {
            Ok(()) => Ending::Whole,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ending::Broken,
            Err(_) => Ending::Cut,
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            part.count(self.status, self.outcome);
            part.sent(self.outcome, self.sent - self.counted);
            self.ledger.nudge();
        }
        self.counts_for().series.count(self.status, self.outcome, self.sent);
        if let Some(attendee) = &self.attendee {
            attendee.got(self.sent);
        }
        if let Some(line) = self.line.take() {
            line.close(self.status, self.outcome, self.sent);
        }
    }
}
