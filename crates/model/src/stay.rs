//! What a viewer session watched, as stretches of time.

use serde::{Deserialize, Serialize};

use crate::DistributionId;

/// Longest time between two requests of one stay, in milliseconds: as long as after which a viewer has left.
pub const STAY_GAP_MS: i64 = 30_000;

/// Stays of a session with a rendition that are told at once; more count for no rendition.
pub const STAYS_MAX: usize = 16;

/// A stretch of time in which a viewer session asked for something of a distribution and rendition, again and again within
/// [`STAY_GAP_MS`]. Requests that were refused or not found do not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// Distribution.
    pub distribution: DistributionId,
    /// Rendition; empty for what belongs to none, such as the multivariant playlist. At most
    /// [`RENDITION_MAX_BYTES`](crate::RENDITION_MAX_BYTES) bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rendition: String,
    /// Where it was sent from. Nodes do not say: the control plane knows where each stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// First request, Unix milliseconds by the edge's clock.
    pub first_ms: i64,
    /// Last request.
    pub last_ms: i64,
}

impl Stay {
    fn is_of(&self, other: &Self) -> bool {
        self.distribution == other.distribution && self.rendition == other.rendition && self.location == other.location
    }

    /// Whether a request of that time belongs to it.
    #[must_use]
    pub fn continues_at(&self, at_ms: i64) -> bool {
        at_ms >= self.first_ms && at_ms <= self.last_ms.saturating_add(STAY_GAP_MS)
    }

    /// Whether both are one stay.
    fn touches(&self, other: &Self) -> bool {
        self.is_of(other)
            && self.first_ms <= other.last_ms.saturating_add(STAY_GAP_MS)
            && other.first_ms <= self.last_ms.saturating_add(STAY_GAP_MS)
    }

    /// Adds this to `stays`, earlier or later than those: one that it touches becomes longer. Adding it again changes nothing.
    pub fn put(mut self, stays: &mut Vec<Self>) {
        let with_rendition = stays.iter().filter(|stay| !stay.rendition.is_empty()).count();
        if let Some(known) = stays.iter_mut().find(|stay| stay.touches(&self)) {
            known.first_ms = known.first_ms.min(self.first_ms);
            known.last_ms = known.last_ms.max(self.last_ms);
        } else if !self.rendition.is_empty() && with_rendition >= STAYS_MAX {
            self.rendition.clear();
            self.put(stays);
        } else if stays.len() < 2 * STAYS_MAX {
            stays.push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(rendition: &str, first_ms: i64, last_ms: i64) -> Stay {
        let distribution = "E1".parse().unwrap();
        Stay { distribution, rendition: rendition.to_owned(), location: String::new(), first_ms, last_ms }
    }

    fn put(all: impl IntoIterator<Item = Stay>) -> Vec<Stay> {
        let mut stays = Vec::new();
        all.into_iter().for_each(|one| one.put(&mut stays));
        stays
    }

    #[test]
    fn a_pause_makes_another_stay_and_a_repetition_none() {
        let (first, late) = (stay("a", 0, 10_000), stay("a", 10_001 + STAY_GAP_MS, 60_000));
        let both = put([first.clone(), late.clone()]);
        assert_eq!(both, [first.clone(), late.clone()]);
        assert_eq!(put([first.clone(), late.clone(), first.clone(), late]), both);
        assert_eq!(put([first.clone(), stay("a", 40_000, 50_000)]), [stay("a", 0, 50_000)]);
        assert_eq!(put([stay("a", 40_000, 50_000), first.clone()]), [stay("a", 0, 50_000)], "whichever comes first");
        assert_eq!(put([first, stay("b", 10_000, 20_000)]).len(), 2);
    }

    #[test]
    fn too_much_detail_is_given_up() {
        let many = (0..100_i64).map(|number| stay(&format!("r{number}"), number * 10, number * 10));
        let kept = put(many);
        assert_eq!(kept.len(), STAYS_MAX + 1);
        assert_eq!((kept[STAYS_MAX].rendition.as_str(), kept[STAYS_MAX].last_ms), ("", 990));
        let apart = (0..100).map(|number| stay("", number * 100_000, number * 100_000));
        assert_eq!(put(apart).len(), 2 * STAYS_MAX);
    }
}
