//! The planner by tables, and by sequences of outcomes.

use super::*;

fn plan(cursor: u64) -> Plan {
    Plan::new("w1", cursor, 0, None, Vec::new())
}

fn load(plan: &mut Plan, entries: &[(u64, &str)]) {
    let upto = entries.last().map_or(0, |(sequence, _)| *sequence);
    plan.load(entries.iter().map(|(sequence, subject)| (*sequence, (*subject).to_owned())), upto);
}

/// What a plan made from the rows would look like: rows after `progress`.
fn rows(before: &[BacklogRow], progress: &WebhookProgress) -> Vec<BacklogRow> {
    let mut rows: BTreeMap<u64, BacklogRow> = before.iter().map(|row| (row.sequence, row.clone())).collect();
    progress.parked.iter().for_each(|row| drop(rows.insert(row.sequence, row.clone())));
    progress.removed.iter().for_each(|sequence| drop(rows.remove(sequence)));
    rows.into_values().collect()
}

#[test]
fn types_begin_what_they_stand_for() {
    let types = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (list, word, wanted) in [
        (&[][..], "breakout.running", true),
        (&["breakout"], "breakout.running", true),
        (&["breakout.running"], "breakout.running", true),
        (&["breakout.run"], "breakout.running", false),
        (&["break"], "breakout.running", false),
        (&["channel", "breakout.running"], "breakout.running", true),
        (&["channel"], "breakout.running", false),
    ] {
        assert_eq!(is_wanted(&types(list), word), wanted, "{list:?} {word}");
    }
}

#[test]
fn pauses_double_up_to_an_hour_and_differ() {
    for (attempts, full) in [(1, 1000), (2, 2000), (3, 4000), (12, 2_048_000), (13, 3_600_000), (1000, 3_600_000)] {
        let pause = backoff_ms("w1", 7, attempts);
        assert!((full / 2..full).contains(&pause), "{attempts}: {pause}");
    }
    let pauses: BTreeSet<i64> = (0..20).map(|sequence| backoff_ms("w1", sequence, 13)).collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}

#[test]
fn a_subject_has_one_under_way_and_the_cursor_waits_for_the_oldest() {
    let mut plan = plan(10);
    load(&mut plan, &[(11, "a"), (12, "a"), (13, "b"), (15, "c")]);
    assert_eq!(plan.due(0), [11, 13, 15]);
    assert!(plan.due(0).is_empty(), "a's second waits for its first");
    plan.delivered(13, 0);
    plan.delivered(15, 0);
    let changes = plan.take_changes(0).unwrap();
    assert_eq!((changes.cursor, changes.delivered), (10, 2));
    plan.delivered(11, 0);
    assert_eq!(plan.take_changes(0).unwrap().cursor, 11);
    assert_eq!(plan.due(0), [12]);
    plan.delivered(12, 0);
    assert_eq!(plan.take_changes(0).unwrap().cursor, 15, "what was not wanted is passed, too");
    assert!(plan.take_changes(0).is_none());
}

#[test]
fn a_failure_parks_its_subject_and_nothing_else() {
    let mut plan = plan(0);
    load(&mut plan, &[(1, "a"), (2, "b"), (3, "a")]);
    assert_eq!(plan.due(0), [1, 2]);
    plan.failed(1, "500", 0);
    plan.delivered(2, 0);
    let changes = plan.take_changes(0).unwrap();
    assert_eq!(changes.cursor, 3, "the cursor goes on");
    let parked: Vec<_> = changes.parked.iter().map(|row| (row.sequence, row.attempts)).collect();
    assert_eq!(parked, [(1, 1), (3, 0)]);
    load(&mut plan, &[(4, "a"), (5, "b")]);
    assert_eq!(plan.due(0), [5]);
    assert_eq!(plan.take_changes(0).unwrap().parked.iter().map(|row| row.sequence).collect::<Vec<_>>(), [4]);
    let next = plan.next_try_at(0).unwrap();
    assert!(plan.due(next - 1).is_empty());
    assert_eq!(plan.due(next), [1]);
    plan.delivered(1, next);
    assert_eq!(plan.due(next), [3], "in order");
    plan.delivered(3, next);
    assert_eq!(plan.due(next), [4]);
    let changes = plan.take_changes(next).unwrap();
    assert_eq!(changes.removed, [1, 3]);
    assert!(changes.parked.is_empty());
}

#[test]
fn rows_alone_are_enough_to_go_on() {
    let mut first = plan(0);
    load(&mut first, &[(1, "a"), (2, "b"), (3, "a"), (4, "c")]);
    assert_eq!(first.due(0), [1, 2, 4]);
    first.failed(2, "500", 0);
    first.delivered(4, 0);
    let progress = first.take_changes(0).unwrap();
    assert_eq!(progress.cursor, 0, "1 is under way");
    // The process dies here: 1 may or may not have arrived.
    let mut second = Plan::new("w1", progress.cursor, progress.attempts, None, rows(&[], &progress));
    load(&mut second, &[(1, "a"), (2, "b"), (3, "a"), (4, "c")]);
    assert_eq!(second.due(0), [1, 4], "4 comes again, 2 waits for its time");
    let later = second.next_try_at(0).unwrap();
    assert_eq!(second.due(later), [2]);
}

#[test]
fn after_three_days_a_subject_is_given_up_visibly() {
    let mut plan = plan(0);
    load(&mut plan, &[(1, "a"), (2, "a"), (3, "b")]);
    let mut now = 0;
    assert_eq!(plan.due(now), [1, 3]);
    plan.failed(1, "refused", now);
    plan.delivered(3, now);
    let mut tries = 1;
    loop {
        now = plan.next_try_at(now).unwrap();
        assert_eq!(plan.due(now), [1]);
        plan.failed(1, "refused", now);
        tries += 1;
        if plan.urgent() {
            break;
        }
    }
    assert!((GIVE_UP_MS..GIVE_UP_MS + 2 * BACKOFF_MAX_MS).contains(&now), "{now}");
    assert!((72..200).contains(&tries), "{tries}");
    let changes = plan.take_changes(now).unwrap();
    assert_eq!(changes.gave_up, [GaveUp { subject: "a".into(), entries: 2, error: "refused".into() }]);
    assert_eq!(changes.problem.as_deref(), Some("2 entries of a were given up: refused"));
    assert_eq!(changes.cursor, 3);
    load(&mut plan, &[(4, "a")]);
    assert_eq!(plan.due(now), [4], "what follows is tried anew");
    plan.delivered(4, now);
    let changes = plan.take_changes(now).unwrap();
    assert!(changes.problem.is_some_and(|problem| problem.contains("given up")), "a loss stays shown");
    plan.acknowledge();
    assert_eq!(plan.take_changes(now).unwrap().problem, None);
}

#[test]
fn a_receiver_that_is_down_gets_one_at_a_time_and_all_when_it_is_back() {
    let mut plan = plan(0);
    let subjects: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    plan.load(subjects.iter().enumerate().map(|(at, subject)| (at as u64 + 1, subject.clone())), 10);
    while plan.failures < PROBE_AFTER {
        for sequence in plan.due(0) {
            plan.failed(sequence, "refused", 0);
        }
    }
    assert_eq!(plan.due(0).len(), 1);
    let sequence = plan.pending.iter().find(|(_, pending)| pending.in_flight).map(|(sequence, _)| *sequence).unwrap();
    plan.delivered(sequence, 1);
    assert_eq!(plan.due(1).len(), PARALLEL);
    assert_eq!(plan.take_changes(1).unwrap().problem, None);
}

#[test]
fn what_is_loaded_and_parked_is_bounded() {
    let mut plan = plan(0);
    let mut next = 1;
    while plan.room() > 0 {
        let batch: Vec<_> = (0..plan.room() as u64).map(|more| (next + more, "a".to_owned())).collect();
        next += batch.len() as u64;
        plan.load(batch, next - 1);
        for sequence in plan.due(0) {
            plan.failed(sequence, "500", 0);
        }
    }
    assert!((BACKLOG_MAX..=BACKLOG_MAX + WINDOW).contains(&plan.pending.len()), "{}", plan.pending.len());
}

#[test]
fn a_clock_set_back_does_not_stop_deliveries() {
    let mut plan = plan(0);
    load(&mut plan, &[(1, "a")]);
    let year = 365 * 24 * 3_600_000;
    assert_eq!(plan.due(year), [1]);
    plan.failed(1, "500", year);
    assert_eq!(plan.due(0), [1]);
}

#[test]
fn gone_and_missing() {
    let mut plan = plan(0);
    load(&mut plan, &[(1, "a"), (2, "b")]);
    assert_eq!(plan.due(0), [1, 2]);
    plan.missing(2);
    plan.gone(1, "410");
    let changes = plan.take_changes(0).unwrap();
    assert_eq!(changes.disable.as_deref(), Some("410"));
    assert_eq!((changes.gave_up.len(), changes.cursor), (1, 0));
    plan.delivered(9, 0);
    assert!(plan.take_changes(0).is_none(), "an outcome that nobody waits for is nothing");
}

#[test]
fn a_clock_that_jumps_gives_nothing_up_and_holds_nothing_up() {
    let year = 365 * 24 * 3_600_000;
    let mut plan = plan(0);
    load(&mut plan, &[(1, "a")]);
    assert_eq!(plan.due(0), [1]);
    plan.failed(1, "refused", 0);
    // Forward: three days have passed for nobody but the clock.
    assert_eq!(plan.due(year), [1]);
    plan.failed(1, "refused", year);
    assert!(!plan.urgent(), "two tries are not three days");
    // Back: what was to be tried in a year is tried now, and what failed first then failed first now.
    assert_eq!(plan.due(0), [1]);
    plan.failed(1, "refused", 0);
    let (mut now, mut tries) = (0, 3);
    while !plan.urgent() {
        now = plan.next_try_at(now).unwrap();
        assert_eq!(plan.due(now), [1]);
        plan.failed(1, "refused", now);
        tries += 1;
        assert!(tries < 200 && now < GIVE_UP_MS + 2 * BACKOFF_MAX_MS, "{tries} {now}");
    }
    assert!(tries >= GIVE_UP_TRIES && now >= GIVE_UP_MS, "{tries} {now}");
}
