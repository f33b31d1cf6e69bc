//! Prometheus series of distributions: few, and looked up once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, counter};
use parking_lot::Mutex;

use crate::outcome::{Outcome, class};

/// Distributions that get series of their own over the life of the process; later ones share those of [`OTHERS`].
const MAX_DISTRIBUTIONS: usize = 512;

/// Label of distributions beyond the limit.
const OTHERS: &str = "other";

/// Label of requests that no distribution claims.
const NOBODY: &str = "none";

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The labels that have been given out. Series live as long as the process, so labels are never given back.
#[derive(Debug, Default)]
pub(crate) struct Labels(Mutex<HashSet<Box<str>>>);

impl Labels {
    /// The label of a distribution: its id, or that of all others.
    fn of(&self, distribution: &str) -> Box<str> {
        let mut given = self.0.lock();
        if !given.contains(distribution) {
            if given.len() >= MAX_DISTRIBUTIONS {
                return OTHERS.into();
            }
            given.insert(distribution.into());
        }
        distribution.into()
    }
}

/// One distribution's series, and its names for the access log. A series begins with its first count.
pub(crate) struct Series {
    /// Id; empty for requests that no distribution claims.
    pub(crate) distribution: Arc<str>,
    /// Its own host name.
    pub(crate) domain: Arc<str>,
    label: Box<str>,
    /// By status class and outcome.
    requests: [[OnceLock<Counter>; Outcome::COUNT]; CLASSES.len()],
    bytes: OnceLock<Counter>,
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Default for Series {
    /// The series of requests that no distribution claims.
    fn default() -> Self {
        Self::labelled("", "", NOBODY.into())
    }
}

impl Series {
    /// The series of a distribution.
    pub(crate) fn new(distribution: &str, domain: &str, labels: &Labels) -> Self {
        Self::labelled(distribution, domain, labels.of(distribution))
    }

    fn labelled(distribution: &str, domain: &str, label: Box<str>) -> Self {
        let requests = std::array::from_fn(|_| std::array::from_fn(|_| OnceLock::new()));
        Self { distribution: distribution.into(), domain: domain.into(), label, requests, bytes: OnceLock::new() }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, status: u16, outcome: Outcome, bytes: u64) {
        let class = class(status);
        let requests = self.requests[class][outcome as usize].get_or_init(|| {
            counter!(
                "anabranch_edge_requests_total",
                "distribution" => self.label.to_string(),
                "status_class" => CLASSES[class],
                "cache" => outcome.as_str()
            )
        });
        requests.increment(1);
        let sent = || counter!("anabranch_edge_sent_bytes_total", "distribution" => self.label.to_string());
        self.bytes.get_or_init(sent).increment(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_stay() {
        let labels = Labels::default();
        for number in 0..MAX_DISTRIBUTIONS {
            assert_eq!(*labels.of(&format!("E{number}")), format!("E{number}"));
        }
        assert_eq!(&*labels.of("F1"), OTHERS);
        assert_eq!(&*labels.of("E7"), "E7");
    }
}
