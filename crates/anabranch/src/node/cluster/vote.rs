//! From verdicts on playlists to one vote on each region.

use std::collections::BTreeMap;

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Verdict as Seen, VerdictState as Sees};
use anabranch_control::{ClusterStream, Way};
use anabranch_model::{LastChange, Verdict, VerdictState};
use serde_json::{Value, json};

use super::watch::Watches;

/// What one watcher saw of one stream by one way.
struct Saw {
    of: String,
    verdict: Seen,
    /// When something new came last, and when the next was expected.
    last: Option<(i64, i64)>,
}

/// A vote on a region.
pub(super) struct Vote {
    pub(super) cluster: String,
    pub(super) region: String,
    /// The region that this instance is.
    pub(super) here: Option<String>,
    pub(super) verdict: Verdict,
}

/// Cluster and region.
type Of<'a> = (&'a str, &'a str);

/// The region that this instance is, and what was seen.
type Words<'a> = (Option<&'a String>, Vec<Saw>);

/// A vote on each region of each cluster that has a stream.
pub(super) fn votes(streams: &[ClusterStream], watches: &Watches) -> Vec<Vote> {
    let mut seen: BTreeMap<Of<'_>, Words<'_>> = BTreeMap::new();
    for stream in streams {
        for place in &stream.places {
            let key = (stream.cluster.name.as_str(), place.region.as_str());
            let (here, of_region) = seen.entry(key).or_default();
            *here = stream.cluster.here.as_ref();
            for way in [Way::Origin, Way::Cdn] {
                // What others have closed answers watchers, too, as if nothing were there: only its origin tells whether it could be opened.
                if way == Way::Cdn && place.opening == Opening::Closed && !place.is_ours {
                    continue;
                }
                let verdict = watches.verdict(stream, &place.region, way);
                let of = format!("{}, {}", stream.name, way.as_str());
                of_region.extend(verdict.map(|(verdict, last)| Saw { of, verdict, last }));
            }
        }
    }
    let vote = |((cluster, region), (here, seen)): (Of<'_>, Words<'_>)| Vote {
        cluster: cluster.to_owned(),
        region: region.to_owned(),
        here: here.cloned(),
        verdict: joined(&seen),
    };
    seen.into_iter().map(vote).collect()
}

/// The worst of them: stale if one is, then unknown, then fresh; ended when all are.
fn joined(seen: &[Saw]) -> Verdict {
    let rank = |state: Sees| match state {
        Sees::Stale => 3,
        Sees::Unknown => 2,
        Sees::Fresh => 1,
        Sees::Ended => 0,
    };
    let worst = seen.iter().map(|saw| saw.verdict.state).max_by_key(|state| rank(*state)).unwrap_or_default();
    let speak: Vec<&Saw> = seen.iter().filter(|saw| saw.verdict.state == worst).collect();
    let evidence: Value = speak
        .iter()
        .map(|saw| json!({"of": saw.of, "since_ms": saw.verdict.since_ms, "seen": saw.verdict.evidence}))
        .collect();
    let reason = speak.first().map_or_else(String::new, |Saw { of, verdict, .. }| {
        let seen = verdict.evidence.first().cloned().unwrap_or_else(|| verdict.state.as_str().to_owned());
        format!("{of}: {seen}")
    });
    // Stale since the first of them is; well since the last of them is.
    let times = speak.iter().map(|saw| saw.verdict.since_ms);
    let since_ms = if worst == Sees::Stale { times.min() } else { times.max() };
    let state = match worst {
        Sees::Stale => VerdictState::Stale,
        Sees::Unknown => VerdictState::Unknown,
        Sees::Fresh => VerdictState::Fresh,
        Sees::Ended => VerdictState::Ended,
    };
    // The one that has waited longest: a region goes on when all of it does.
    let goes_on = seen.iter().filter(|saw| saw.verdict.state != Sees::Ended);
    let last = goes_on.filter_map(|saw| saw.last).min().map(|(at_ms, next_ms)| LastChange { at_ms, next_ms });
    Verdict { state, since_ms: since_ms.unwrap_or(0), reason, evidence, last }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: Sees, since_ms: i64) -> Saw {
        let verdict = Seen { state, since_ms, evidence: vec![format!("at {since_ms}")], ..Seen::default() };
        Saw { of: format!("s{since_ms}"), verdict, last: Some((since_ms * 10, since_ms * 10 + 6)) }
    }

    #[test]
    fn the_worst_counts() {
        let of = |seen: &[Saw]| {
            let joined = joined(seen);
            (joined.state, joined.since_ms)
        };
        let all = [seen(Sees::Fresh, 1), seen(Sees::Stale, 5), seen(Sees::Stale, 3), seen(Sees::Ended, 9)];
        assert_eq!(of(&all), (VerdictState::Stale, 3));
        assert_eq!(joined(&all).reason, "s5: at 5");
        assert_eq!(of(&[seen(Sees::Fresh, 1), seen(Sees::Fresh, 4)]), (VerdictState::Fresh, 4));
        assert_eq!(of(&[seen(Sees::Fresh, 1), seen(Sees::Unknown, 4)]), (VerdictState::Unknown, 4));
        assert_eq!(of(&[seen(Sees::Ended, 1), seen(Sees::Fresh, 4)]), (VerdictState::Fresh, 4));
        assert_eq!(of(&[]), (VerdictState::Unknown, 0));
        assert_eq!(joined(&all).last, Some(LastChange { at_ms: 10, next_ms: 16 }), "what has ended waits for nothing");
    }
}
