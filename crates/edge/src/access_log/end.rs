//! How an answer ended, in the words of CloudFront's log.

use crate::outcome::Outcome;

/// How the sending of an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The viewer went away, or took nothing for too long.
    #[default]
    Cut,
    /// All of it was sent.
    Whole,
    /// The origin's body broke off.
    Broken,
}

/// What is known of an answer when it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Milliseconds since the Unix epoch.
    pub(super) moment_ms: i64,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// Bytes that were sent, head and all.
    pub(super) sent: u64,
    pub(super) ending: Ending,
    /// Microseconds since the request.
    pub(super) taken_us: u64,
}

impl End {
    /// The status as it is logged: 0 if the viewer had gone before anything was sent.
    pub(super) fn status(&self) -> u16 {
        if self.sent == 0 && self.ending == Ending::Cut { 0 } else { self.status }
    }

    /// `x-edge-response-result-type`: how the answer was classed before it was sent.
    pub(super) fn response_result(&self) -> &'static str {
        match self.outcome {
            _ if self.status >= 400 => "Error",
            Outcome::Own if self.status >= 300 => "Redirect",
            // An answer of the edge's own costs the origin nothing.
            Outcome::Hit | Outcome::Stale | Outcome::Own | Outcome::Closed => "Hit",
            Outcome::Revalidated => "RefreshHit",
            Outcome::Miss | Outcome::Collapsed => "Miss",
        }
    }

    /// `x-edge-result-type`: how the answer was classed after its last byte.
    pub(super) fn result(&self) -> &'static str {
        if self.ending == Ending::Whole { self.response_result() } else { "Error" }
    }

    /// `x-edge-detailed-result-type`.
    pub(super) fn detail(&self) -> &'static str {
        match (self.ending, self.outcome, self.status) {
            (Ending::Broken, _, _) => "OriginReadError",
            (Ending::Cut, _, _) => "ClientCommError",
            (Ending::Whole, _, ..400) => self.response_result(),
            (Ending::Whole, Outcome::Own, 405) => "InvalidRequestMethod",
            (Ending::Whole, Outcome::Own, 408) => "ClientHungUpRequest",
            (Ending::Whole, Outcome::Own, 400 | 413 | 414 | 421 | 431 | 501 | 505) => "InvalidRequest",
            (Ending::Whole, Outcome::Miss | Outcome::Collapsed | Outcome::Revalidated, 500..) => "OriginError",
            (Ending::Whole, _, _) => "Error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classed_by_their_end() {
        use Ending::{Broken, Cut, Whole};
        use Outcome::{Collapsed, Hit, Miss, Own, Revalidated, Stale};
        for (ending, outcome, status, words) in [
            (Whole, Hit, 200, ["Hit", "Hit", "Hit"]),
            (Whole, Stale, 206, ["Hit", "Hit", "Hit"]),
            (Whole, Revalidated, 304, ["RefreshHit", "RefreshHit", "RefreshHit"]),
            (Whole, Miss, 200, ["Miss", "Miss", "Miss"]),
            (Whole, Collapsed, 302, ["Miss", "Miss", "Miss"]),
            (Whole, Own, 301, ["Redirect", "Redirect", "Redirect"]),
            (Whole, Own, 204, ["Hit", "Hit", "Hit"]),
            (Whole, Own, 403, ["Error", "Error", "Error"]),
            (Whole, Own, 405, ["Error", "Error", "InvalidRequestMethod"]),
            (Whole, Own, 421, ["Error", "Error", "InvalidRequest"]),
            (Whole, Miss, 404, ["Error", "Error", "Error"]),
            (Whole, Miss, 502, ["Error", "Error", "OriginError"]),
            (Whole, Hit, 502, ["Error", "Error", "Error"]),
            (Cut, Hit, 200, ["Hit", "Error", "ClientCommError"]),
            (Broken, Miss, 200, ["Miss", "Error", "OriginReadError"]),
        ] {
            let end = End { moment_ms: 0, status, outcome, sent: 1, ending, taken_us: 0 };
            assert_eq!([end.response_result(), end.result(), end.detail()], words, "{end:?}");
        }
    }

    #[test]
    fn a_viewer_who_got_nothing_has_no_status() {
        let end = End { moment_ms: 0, status: 200, outcome: Outcome::Miss, sent: 0, ending: Ending::Cut, taken_us: 0 };
        assert_eq!(end.status(), 0);
        assert_eq!(End { sent: 1, ..end }.status(), 200);
    }
}
