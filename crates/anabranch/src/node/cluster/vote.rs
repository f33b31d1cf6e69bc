//! From verdicts on playlists to one vote on each region.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_cluster::state::Opening;
use anabranch_cluster::watch::{Verdict as Seen, VerdictState as Sees};
use anabranch_control::{ClusterStream, Way};
use anabranch_model::{LastChange, Verdict, VerdictState};
use serde_json::{Value, json};

use super::watch::Watches;

/// Streams that the evidence of a vote names at most, of those that speak and of those that are left out each: a longer evidence would not
/// be kept at all.
const NAMED_MAX: usize = 8;

/// What is most often wrong where a region refuses its watchers.
const KEY_HINT: &str =
    " (that region must trust the public key of this server, see `anabranch key list` and `key create --public-key`)";

/// What one watcher saw of one stream by one way.
struct Saw {
    stream: String,
    way: Way,
    verdict: Seen,
    /// When something new came last, and when the next was expected; none as long as no playlist was there.
    last: Option<(i64, i64)>,
}

impl Saw {
    fn of(&self) -> String {
        format!("{}, {}", self.stream, self.way.as_str())
    }

    /// Whether a playlist was ever there.
    fn was_there(&self) -> bool {
        self.last.is_some() || matches!(self.verdict.state, Sees::Fresh | Sees::Ended)
    }
}

/// A vote on a region.
pub(super) struct Vote {
    pub(super) cluster: String,
    pub(super) region: String,
    /// The region that this instance is.
    pub(super) here: Option<String>,
    pub(super) verdict: Verdict,
}

/// What was seen in each region of a cluster.
type Regions = BTreeMap<String, Vec<Saw>>;

/// A vote on each region of each cluster that has a stream.
pub(super) fn votes(streams: &[ClusterStream], watches: &Watches) -> Vec<Vote> {
    let mut clusters: BTreeMap<&str, (Option<&String>, Regions)> = BTreeMap::new();
    for stream in streams {
        let (here, regions) = clusters.entry(stream.cluster.name.as_str()).or_default();
        *here = stream.cluster.here.as_ref();
        for place in &stream.places {
            let of_region = regions.entry(place.region.clone()).or_default();
            for way in [Way::Origin, Way::Cdn] {
                // What others have closed answers watchers, too, as if nothing were there: only its origin tells whether it could be opened.
                if way == Way::Cdn && place.opening == Opening::Closed && !place.is_ours {
                    continue;
                }
                let verdict = watches.verdict(stream, &place.region, way);
                let name = &stream.name;
                of_region.extend(verdict.map(|(verdict, last)| Saw { stream: name.clone(), way, verdict, last }));
            }
        }
    }
    let mut votes = Vec::new();
    for (cluster, (here, regions)) in clusters {
        let nowhere = stale_everywhere(&regions);
        votes.extend(regions.iter().map(|(region, seen)| Vote {
            cluster: cluster.to_owned(),
            region: region.clone(),
            here: here.cloned(),
            verdict: joined(seen, &nowhere),
        }));
    }
    votes
}

/// Streams that stand still in every region, as those do that have no encoder: they tell nothing of one region.
fn stale_everywhere(regions: &Regions) -> BTreeSet<String> {
    let stale = |seen: &Vec<Saw>| -> BTreeSet<String> {
        let stale = seen.iter().filter(|saw| saw.verdict.state == Sees::Stale);
        stale.map(|saw| saw.stream.clone()).collect()
    };
    let all = regions.values().map(stale);
    all.reduce(|some, others| some.intersection(&others).cloned().collect()).unwrap_or_default()
}

/// Why a stream does not count.
fn left_out<'s>(seen: &'s [Saw], nowhere: &BTreeSet<String>) -> BTreeMap<&'s str, &'static str> {
    let there: BTreeSet<&str> = seen.iter().filter(|saw| saw.was_there()).map(|saw| saw.stream.as_str()).collect();
    let why = |saw: &'s Saw| {
        let stream = saw.stream.as_str();
        if nowhere.contains(stream) {
            return Some((stream, "stale in every region"));
        }
        (!there.contains(stream)).then_some((stream, "no playlist was here yet"))
    };
    seen.iter().filter_map(why).collect()
}

/// The worst of the streams that count: stale if one is, then unknown, then fresh; ended when all are. Those in `nowhere` do not count, and
/// those that this region has not had yet, unless there are no others.
fn joined(seen: &[Saw], nowhere: &BTreeSet<String>) -> Verdict {
    let mut without = left_out(seen, nowhere);
    if seen.iter().all(|saw| without.contains_key(saw.stream.as_str())) {
        without.clear();
    }
    let counts: Vec<&Saw> = seen.iter().filter(|saw| !without.contains_key(saw.stream.as_str())).collect();
    let rank = |state: Sees| match state {
        Sees::Stale => 3,
        Sees::Unknown => 2,
        Sees::Fresh => 1,
        Sees::Ended => 0,
    };
    let worst = counts.iter().map(|saw| saw.verdict.state).max_by_key(|state| rank(*state)).unwrap_or_default();
    let speak: Vec<&Saw> = counts.iter().copied().filter(|saw| saw.verdict.state == worst).collect();
    let reason = speak.first().map_or_else(String::new, |saw| {
        let seen = saw.verdict.evidence.first().cloned().unwrap_or_else(|| saw.verdict.state.as_str().to_owned());
        let hint = if seen.ends_with("status 403") { KEY_HINT } else { "" };
        format!("{}: {seen}{hint}", saw.of())
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
    let goes_on = counts.iter().filter(|saw| saw.verdict.state != Sees::Ended);
    let last = goes_on.filter_map(|saw| saw.last).min().map(|(at_ms, next_ms)| LastChange { at_ms, next_ms });
    Verdict { state, since_ms: since_ms.unwrap_or(0), reason, evidence: evidence(&speak, &without), last }
}

/// Who speaks, and who is left out and why.
fn evidence(speak: &[&Saw], without: &BTreeMap<&str, &'static str>) -> Value {
    let said = speak
        .iter()
        .take(NAMED_MAX)
        .map(|saw| json!({ "of": saw.of(), "since_ms": saw.verdict.since_ms, "seen": saw.verdict.evidence }));
    let unsaid = without.iter().take(NAMED_MAX).map(|(stream, why)| json!({ "of": stream, "left_out": why }));
    let more = speak.len().saturating_sub(NAMED_MAX) + without.len().saturating_sub(NAMED_MAX);
    let more = (more > 0).then(|| json!({ "more": more }));
    said.chain(unsaid).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stream: &str, state: Sees, since_ms: i64) -> Saw {
        let verdict = Seen { state, since_ms, evidence: vec![format!("at {since_ms}")], ..Seen::default() };
        Saw { stream: stream.to_owned(), way: Way::Cdn, verdict, last: Some((since_ms * 10, since_ms * 10 + 6)) }
    }

    fn seen(state: Sees, since_ms: i64) -> Saw {
        of(&format!("s{since_ms}"), state, since_ms)
    }

    /// One of which no playlist was ever there.
    fn absent(stream: &str, state: Sees, since_ms: i64) -> Saw {
        Saw { last: None, ..of(stream, state, since_ms) }
    }

    /// The votes on regions that saw this.
    fn votes<const N: usize>(regions: [Vec<Saw>; N]) -> [Verdict; N] {
        let named = (0..).map(|at: usize| format!("r{at}"));
        let regions: Regions = named.zip(regions).collect();
        let nowhere = stale_everywhere(&regions);
        let all: Vec<Verdict> = regions.values().map(|seen| joined(seen, &nowhere)).collect();
        all.try_into().unwrap()
    }

    #[test]
    fn the_worst_counts() {
        let joined = |seen: &[Saw]| joined(seen, &BTreeSet::new());
        let of = |seen: &[Saw]| {
            let joined = joined(seen);
            (joined.state, joined.since_ms)
        };
        let all = [seen(Sees::Fresh, 1), seen(Sees::Stale, 5), seen(Sees::Stale, 3), seen(Sees::Ended, 9)];
        assert_eq!(of(&all), (VerdictState::Stale, 3));
        assert_eq!(joined(&all).reason, "s5, cdn: at 5");
        assert_eq!(of(&[seen(Sees::Fresh, 1), seen(Sees::Fresh, 4)]), (VerdictState::Fresh, 4));
        assert_eq!(of(&[seen(Sees::Fresh, 1), seen(Sees::Unknown, 4)]), (VerdictState::Unknown, 4));
        assert_eq!(of(&[seen(Sees::Ended, 1), seen(Sees::Fresh, 4)]), (VerdictState::Fresh, 4));
        assert_eq!(of(&[]), (VerdictState::Unknown, 0));
        assert_eq!(joined(&all).last, Some(LastChange { at_ms: 10, next_ms: 16 }), "what has ended waits for nothing");
    }

    #[test]
    fn a_region_that_refuses_signatures_is_told_by_what_to_do() {
        let mut refused = absent("a", Sees::Stale, 3);
        refused.verdict.evidence = vec!["https://us.example.com/a/index.m3u8: status 403".to_owned()];
        let reason = joined(&[refused], &BTreeSet::new()).reason;
        assert!(reason.contains("status 403 (that region must trust the public key"), "{reason}");
    }

    #[test]
    fn a_stream_without_an_encoder_tells_nothing_of_a_region() {
        let [one, two] = votes([
            vec![of("a", Sees::Fresh, 5), of("b", Sees::Stale, 3)],
            vec![of("a", Sees::Stale, 7), of("b", Sees::Stale, 2)],
        ]);
        assert_eq!((one.state, one.since_ms), (VerdictState::Fresh, 5));
        assert_eq!(one.last, Some(LastChange { at_ms: 50, next_ms: 56 }), "it is not waited for what does not come");
        assert_eq!((two.state, two.since_ms), (VerdictState::Stale, 7));
        assert_eq!(one.evidence[1], json!({ "of": "b", "left_out": "stale in every region" }));
        // The same where nobody has pushed to it yet.
        let [one, two] = votes([
            vec![of("a", Sees::Fresh, 5), absent("b", Sees::Stale, 3)],
            vec![of("a", Sees::Fresh, 6), absent("b", Sees::Stale, 3)],
        ]);
        assert_eq!((one.state, two.state), (VerdictState::Fresh, VerdictState::Fresh));
    }

    #[test]
    fn a_stream_that_begins_in_one_region_closes_no_other() {
        let [one, two] = votes([
            vec![of("a", Sees::Fresh, 1), of("b", Sees::Fresh, 8)],
            vec![of("a", Sees::Fresh, 1), absent("b", Sees::Stale, 9)],
        ]);
        assert_eq!((one.state, two.state), (VerdictState::Fresh, VerdictState::Fresh));
        assert_eq!(two.evidence[1], json!({ "of": "b", "left_out": "no playlist was here yet" }));
        // Nor does it make it unknown as long as nothing can be said of it.
        let [_, two] =
            votes([vec![of("a", Sees::Fresh, 1)], vec![of("a", Sees::Fresh, 1), absent("b", Sees::Unknown, 9)]]);
        assert_eq!(two.state, VerdictState::Fresh);
        // By one way it was there: the other way is at fault.
        let origin = Saw { way: Way::Origin, ..of("b", Sees::Fresh, 9) };
        let [_, two] = votes([
            vec![of("a", Sees::Fresh, 1), of("b", Sees::Fresh, 8)],
            vec![of("a", Sees::Fresh, 1), absent("b", Sees::Stale, 9), origin],
        ]);
        assert_eq!(two.state, VerdictState::Stale);
    }

    #[test]
    fn without_other_streams_all_count() {
        let [one, two] = votes([vec![of("a", Sees::Fresh, 1)], vec![absent("a", Sees::Stale, 9)]]);
        assert_eq!((one.state, two.state), (VerdictState::Fresh, VerdictState::Stale));
        let [one, two] = votes([vec![of("a", Sees::Stale, 1)], vec![of("a", Sees::Stale, 2)]]);
        assert_eq!((one.state, two.state), (VerdictState::Stale, VerdictState::Stale));
        assert_eq!(one.evidence.as_array().map(Vec::len), Some(1), "nothing is left out");
    }

    #[test]
    fn a_region_that_dies_is_stale_beside_a_stream_without_an_encoder() {
        let [one, two] = votes([
            vec![of("a", Sees::Fresh, 1), of("b", Sees::Stale, 3)],
            vec![of("a", Sees::Stale, 8), of("b", Sees::Stale, 3)],
        ]);
        assert_eq!((one.state, two.state, two.since_ms), (VerdictState::Fresh, VerdictState::Stale, 8));
    }

    #[test]
    fn evidence_has_a_limit() {
        let [one, _] = votes([(0..30).map(|at| seen(Sees::Stale, at)).collect(), Vec::new()]);
        assert_eq!(one.evidence.as_array().map(Vec::len), Some(NAMED_MAX + 1));
        assert_eq!(one.evidence[NAMED_MAX], json!({ "more": 22 }));
    }
}
