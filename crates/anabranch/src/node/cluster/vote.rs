//! From verdicts on playlists to one vote on each region.

use std::collections::BTreeMap;

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Verdict as Seen, VerdictState as Sees};
use anabranch_control::{ClusterStream, Way};
use anabranch_model::{Verdict, VerdictState};
use serde_json::{Value, json};

use super::watch::Watches;

/// A vote on a region.
pub(super) struct Vote {
    pub(super) cluster: String,
    pub(super) region: String,
    pub(super) verdict: Verdict,
}

/// A vote on each region of each cluster that has a stream.
pub(super) fn votes(streams: &[ClusterStream], watches: &Watches) -> Vec<Vote> {
    let mut seen: BTreeMap<(&str, &str), Vec<(String, Seen)>> = BTreeMap::new();
    for stream in streams {
        for place in &stream.places {
            let of_region = seen.entry((stream.cluster.name.as_str(), place.region.as_str())).or_default();
            for way in [Way::Origin, Way::Cdn] {
                // What others have closed answers watchers, too, as if nothing were there: only its origin tells whether it could be opened.
                if way == Way::Cdn && place.opening == Opening::Closed && !place.is_ours {
                    continue;
                }
                let verdict = watches.verdict(stream, &place.region, way);
                of_region.extend(verdict.map(|verdict| (format!("{}, {}", stream.name, way.as_str()), verdict)));
            }
        }
    }
    let vote = |((cluster, region), seen): ((&str, &str), Vec<(String, Seen)>)| Vote {
        cluster: cluster.to_owned(),
        region: region.to_owned(),
        verdict: joined(&seen),
    };
    seen.into_iter().map(vote).collect()
}

/// The worst of them: stale if one is, then unknown, then fresh; ended when all are.
fn joined(seen: &[(String, Seen)]) -> Verdict {
    let rank = |state: Sees| match state {
        Sees::Stale => 3,
        Sees::Unknown => 2,
        Sees::Fresh => 1,
        Sees::Ended => 0,
    };
    let worst = seen.iter().map(|(_, verdict)| verdict.state).max_by_key(|state| rank(*state)).unwrap_or_default();
    let speak: Vec<&(String, Seen)> = seen.iter().filter(|(_, verdict)| verdict.state == worst).collect();
    let evidence: Value = speak
        .iter()
        .map(|(of, verdict)| json!({"of": of, "since_ms": verdict.since_ms, "seen": verdict.evidence}))
        .collect();
    let reason = speak.first().map_or_else(String::new, |(of, verdict)| {
        let seen = verdict.evidence.first().cloned().unwrap_or_else(|| verdict.state.as_str().to_owned());
        format!("{of}: {seen}")
    });
    // Stale since the first of them is; well since the last of them is.
    let times = speak.iter().map(|(_, verdict)| verdict.since_ms);
    let since_ms = if worst == Sees::Stale { times.min() } else { times.max() };
    let state = match worst {
        Sees::Stale => VerdictState::Stale,
        Sees::Unknown => VerdictState::Unknown,
        Sees::Fresh => VerdictState::Fresh,
        Sees::Ended => VerdictState::Ended,
    };
    Verdict { state, since_ms: since_ms.unwrap_or(0), reason, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: Sees, since_ms: i64) -> (String, Seen) {
        (format!("s{since_ms}"), Seen { state, since_ms, evidence: vec![format!("at {since_ms}")], ..Seen::default() })
    }

    #[test]
    fn the_worst_counts() {
        let of = |seen: &[(String, Seen)]| {
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
    }
}
