//! Rows of viewers as the spool keeps them: one a session, however long the control plane is away.

use std::collections::BTreeMap;

use anabranch_model::{BreakoutId, REPORT_BYTES_MAX, Report, ReportBatch, VIEWERS_MAX, ViewerSeen};

/// Bytes of a batch's rows at most; the rest is for what is around them.
const BATCH_BYTES: usize = REPORT_BYTES_MAX - 4096;

/// Rows by breakout and session.
pub(super) type Viewers = BTreeMap<(BreakoutId, String), ViewerSeen>;

/// Adds a row to that of its session.
pub(super) fn put(rows: &mut Viewers, one: ViewerSeen) {
    match rows.get_mut(&(one.breakout.clone(), one.session.clone())) {
        Some(known) => known.absorb(&one),
        None => drop(rows.insert((one.breakout.clone(), one.session.clone()), one)),
    }
}

/// The rows of a batch.
pub(super) fn viewers_of(batch: ReportBatch) -> Viewers {
    let mut rows = Viewers::new();
    for report in batch.reports {
        if let Report::Viewers(more) = report {
            more.into_iter().for_each(|one| put(&mut rows, one));
        }
    }
    rows
}

/// Moves from `loose` into `rows` what makes a batch at most: sessions that are there already first.
pub(super) fn fill(rows: &mut Viewers, loose: &mut Viewers) {
    for (key, one) in std::mem::take(loose) {
        match rows.get_mut(&key) {
            Some(known) => known.absorb(&one),
            None => drop(loose.insert(key, one)),
        }
    }
    let mut all: usize = rows.values().map(bytes).sum();
    while rows.len() < VIEWERS_MAX
        && let Some(next) = loose.first_entry().filter(|next| all + bytes(next.get()) <= BATCH_BYTES)
    {
        let (key, one) = next.remove_entry();
        all += bytes(&one);
        rows.insert(key, one);
    }
    // A row may have become longer by its newer user agent.
    while all > BATCH_BYTES
        && let Some((key, one)) = rows.pop_last()
    {
        all -= bytes(&one);
        loose.insert(key, one);
    }
}

/// Forgets who was seen longest ago beyond `most`; gives their number.
pub(super) fn forget(rows: &mut Viewers, most: usize) -> usize {
    let surplus = rows.len().saturating_sub(most);
    if surplus == 0 {
        return 0;
    }
    let mut times: Vec<i64> = rows.values().map(|one| one.last_ms).collect();
    let (_, newest, _) = times.select_nth_unstable(surplus - 1);
    let newest = *newest;
    let mut ties = surplus - times.iter().filter(|at| **at < newest).count();
    rows.retain(|_, one| {
        let tie = one.last_ms == newest && ties > 0;
        ties -= usize::from(tie);
        one.last_ms >= newest && !tie
    });
    surplus
}

/// Bytes of a row as JSON, with its comma.
fn bytes(one: &ViewerSeen) -> usize {
    serde_json::to_vec(one).map_or(0, |text| text.len() + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use anabranch_model::{CLAIM_MAX_CHARS, USER_AGENT_MAX_CHARS};

    use super::*;

    pub(in crate::node::remote) fn seen(session: &str, at: i64) -> ViewerSeen {
        ViewerSeen {
            breakout: "b1".parse().unwrap(),
            session: session.to_owned(),
            user: String::new(),
            address: "192.0.2.1".to_owned(),
            user_agent: "player".to_owned(),
            first_ms: at,
            last_ms: at,
            bytes: 1,
            stays: Vec::new(),
        }
    }

    #[test]
    fn a_batch_is_bounded_by_bytes_as_well() {
        // What JSON makes longest.
        let odd = |session: usize| {
            let session = format!("{session:04}{}", "\u{1}".repeat(CLAIM_MAX_CHARS - 4));
            let user_agent = "\u{1}".repeat(USER_AGENT_MAX_CHARS);
            ViewerSeen { user: session.clone(), user_agent, ..seen(&session, 1) }
        };
        let (mut rows, mut loose) = (Viewers::new(), Viewers::new());
        (0..VIEWERS_MAX).for_each(|session| put(&mut loose, seen(&odd(session).session, 1)));
        fill(&mut rows, &mut loose);
        (0..VIEWERS_MAX).for_each(|session| put(&mut loose, odd(session)));
        fill(&mut rows, &mut loose);
        let text = serde_json::to_vec(&Report::Viewers(rows.values().cloned().collect())).unwrap();
        assert!(text.len() < REPORT_BYTES_MAX && text.len() > REPORT_BYTES_MAX / 2, "{}", text.len());
        assert_eq!(rows.len() + loose.len(), VIEWERS_MAX);
        assert_eq!(rows.values().chain(loose.values()).map(|one| one.bytes).sum::<u64>(), 2 * VIEWERS_MAX as u64);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut rows = Viewers::new();
        for (session, at) in [("a", 5), ("b", 1), ("c", 3), ("d", 3), ("e", 2)] {
            put(&mut rows, seen(session, at));
        }
        assert_eq!((forget(&mut rows, 5), forget(&mut rows, 2)), (0, 3));
        let mut left: Vec<_> = rows.values().map(|one| one.last_ms).collect();
        left.sort_unstable();
        assert_eq!(left, [3, 5]);
    }
}
