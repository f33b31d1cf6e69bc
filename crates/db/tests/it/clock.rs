//! A clock that jumps: nothing waits for the year that was, nothing is done twice, and the log keeps its order.

use anabranch_db::operation::CHANNEL_START;
use anabranch_db::{
    Claim, JOB_WAIT_MAX_MS, JobRow, LogFilter, LogOrder, LogRange, LogRetention, NewEntry, NewJob, OperationState,
    Sighting,
};
use anabranch_model::{JobEvent, JobId, JobState, ViewerSeen};

use crate::scratch::{Engine, both, open_on};
use crate::{breakout, channel};

/// Where the clock stands before it jumps, and a year later.
const NOW_MS: i64 = 1_767_225_600_000;
const YEAR_MS: i64 = NOW_MS + 365 * 24 * 60 * 60 * 1000;

const LEASE_MS: i64 = 30_000;

both!(
    a_try_of_the_year_that_was_is_due_now,
    a_job_is_whose_it_is_wherever_the_clock_goes,
    the_newest_job_is_the_one_that_is_not_finished,
    the_log_goes_by_its_numbers,
    what_is_looked_after_by_time_is_looked_after_again,
);

async fn a_try_of_the_year_that_was_is_due_now(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    assert!(db.operation_open(CHANNEL_START, "c", "c", YEAR_MS).await.unwrap());
    let row = db.operations_due(YEAR_MS).await.unwrap().remove(0);
    db.operation_retry(&row, "no answer", YEAR_MS + 300_000, YEAR_MS).await.unwrap();
    assert!(db.operations_due(YEAR_MS).await.unwrap().is_empty(), "it has its pause");
    assert_eq!(db.operations_due(NOW_MS).await.unwrap().len(), 1);
    // And one that waits by a clock that is right waits.
    db.operation_retry(&row, "no answer", NOW_MS + 300_000, NOW_MS).await.unwrap();
    assert!(db.operations_due(NOW_MS).await.unwrap().is_empty());
    assert_eq!(db.operations_due(YEAR_MS).await.unwrap().len(), 1);
    db.operation_end(&row, OperationState::Done, None, NOW_MS).await.unwrap();
    assert!(db.operations_due(YEAR_MS).await.unwrap().is_empty());
}

fn job(subject: &str) -> NewJob {
    NewJob { kind: "k", subject: subject.into(), arguments: String::new(), priority: 0, attempts_max: 5 }
}

fn claim<'a>(worker: &'a str, held: &'a [JobId], others_end: bool) -> Claim<'a> {
    Claim { kinds: &["k"], worker, held, others_end, lease_ms: LEASE_MS }
}

async fn a_job_is_whose_it_is_wherever_the_clock_goes(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    db.job_create(&job("s"), NOW_MS).await.unwrap();
    let first = db.job_claim(&claim("w", &[], true), NOW_MS).await.unwrap().unwrap();
    let held = [first.id.clone()];
    // Forward, and back behind the begin: it is under way here.
    for now_ms in [YEAR_MS, NOW_MS - 3_600_000] {
        assert_eq!(db.job_claim(&claim("w", &held, true), now_ms).await.unwrap(), None);
        assert_eq!(db.job_claim(&claim("other", &[], false), now_ms).await.unwrap(), None, "clocks may differ");
        assert!(db.job_beat(&first, 1, now_ms + LEASE_MS, now_ms).await.unwrap());
    }
    // Its worker dies in the year that was; the next one does not wait for that.
    assert!(db.job_beat(&first, 1, YEAR_MS + LEASE_MS, YEAR_MS).await.unwrap());
    let second = db.job_claim(&claim("w", &[], true), NOW_MS).await.unwrap().unwrap();
    assert_eq!((second.attempts, &second.id), (2, &first.id));
    assert!(!db.job_beat(&first, 2, NOW_MS + LEASE_MS, NOW_MS).await.unwrap(), "a try of before has nothing to say");
    let ended = db.job_end(&first, JobEvent::Finish, None, NOW_MS, NOW_MS).await.unwrap();
    assert_eq!(ended.state, JobState::Running);
    // A pause, too, ends by a clock that was set back.
    db.job_end(&second, JobEvent::Postpone, Some("no"), YEAR_MS + JOB_WAIT_MAX_MS, YEAR_MS).await.unwrap();
    assert_eq!(db.job_claim(&claim("w", &[], true), YEAR_MS).await.unwrap(), None);
    assert!(db.job_claim(&claim("w", &[], true), NOW_MS).await.unwrap().is_some());
}

async fn the_newest_job_is_the_one_that_is_not_finished(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    db.job_create(&job("s"), YEAR_MS).await.unwrap();
    let done: JobRow = db.job_claim(&claim("w", &[], true), YEAR_MS).await.unwrap().unwrap();
    db.job_end(&done, JobEvent::Finish, None, YEAR_MS, YEAR_MS).await.unwrap();
    let ordered = db.job_create(&job("s"), NOW_MS).await.unwrap();
    assert_eq!(ordered.state, JobState::Queued);
    assert_ne!(ordered.id, done.id);
    assert_eq!(db.jobs_about("k", &["s"]).await.unwrap()["s"].id, ordered.id);
}

async fn the_log_goes_by_its_numbers(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    let start = db.log_newest().await.unwrap();
    let entry = |name: &str| NewEntry::stream("input.alarm", "input", name);
    let times = [NOW_MS, YEAR_MS, NOW_MS + 1, NOW_MS - 5_000, NOW_MS + 2];
    for (at, now_ms) in times.iter().enumerate() {
        db.log_add(&[entry(&at.to_string())], *now_ms).await.unwrap();
    }
    let range = LogRange { after: Some(start), before: None, order: LogOrder::OldestFirst, limit: 10 };
    let page = db.log_page(&LogFilter::default(), &range).await.unwrap();
    let subjects: Vec<_> = page.entries.iter().map(|entry| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["0", "1", "2", "3", "4"]);
    let sequences: Vec<_> = page.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (start + 1..=start + 5).collect::<Vec<_>>(), "without gaps");
    // What was written in the year that was does not keep what came after it.
    let retention = LogRetention { keep_ms: 60_000, keep_entries: 1000, hard_entries: 2000 };
    assert_eq!(db.log_prune(&retention, NOW_MS + 3).await.unwrap(), 0, "all are young");
    assert!(db.log_prune(&retention, NOW_MS + 120_000).await.unwrap() >= 5);
    // When nothing older has come after it, it is kept: a clock that was wrong from the start takes no log with it.
    db.log_add(&[entry("late")], YEAR_MS).await.unwrap();
    assert_eq!(db.log_prune(&retention, NOW_MS + 240_000).await.unwrap(), 0);
}

async fn what_is_looked_after_by_time_is_looked_after_again(engine: Engine) {
    let (_scratch, db, group) = open_on(engine).await;
    assert_eq!(db.orphan_seen("pipeline", "x", YEAR_MS).await.unwrap(), YEAR_MS);
    assert_eq!(db.orphan_seen("pipeline", "x", NOW_MS).await.unwrap(), NOW_MS, "its time of grace begins now");
    assert_eq!(db.orphan_seen("pipeline", "x", NOW_MS + 1).await.unwrap(), NOW_MS);

    let new = channel("c", &group);
    let made = db.channel_create(&new, NOW_MS).await.unwrap().into_inner();
    let id = db.distribution_of_channel(&made.id).await.unwrap().unwrap().id;
    db.distribution_observed(&id, &id, 1).await.unwrap();
    db.distribution_confirm(&id, 1, NOW_MS).await.unwrap();
    let due = async |now_ms: i64| {
        let rows = db.distributions_to_check(now_ms - 600_000, now_ms, 10).await.unwrap();
        rows.iter().any(|row| row.id == id)
    };
    db.distributions_checked(std::slice::from_ref(&id), NOW_MS).await.unwrap();
    assert!(!due(NOW_MS).await && due(YEAR_MS).await);
    db.distributions_checked(std::slice::from_ref(&id), YEAR_MS).await.unwrap();
    assert!(due(NOW_MS).await, "it was looked at in the year that was");

    // A viewer who was seen then counts as one of now: neither older nor newer than the others, and gone when silent.
    let made = db.breakout_create(&breakout("b", "c"), NOW_MS).await.unwrap().into_inner();
    let seen = |session: &str, ms: i64| Sighting {
        seen: ViewerSeen {
            breakout: made.id.clone(),
            session: session.into(),
            user: "u".into(),
            address: String::new(),
            user_agent: String::new(),
            first_ms: ms,
            last_ms: ms,
            bytes: 1,
            stays: Vec::new(),
        },
        browser: String::new(),
        os: String::new(),
    };
    db.viewers_seen(&[seen("then", YEAR_MS)]).await.unwrap();
    db.viewers_close(NOW_MS - 30_000, NOW_MS).await.unwrap();
    db.viewers_seen(&[seen("now", NOW_MS + 1)]).await.unwrap();
    let watching = db.viewers_watching(&made.id, "u", NOW_MS - 30_000).await.unwrap();
    let sessions: Vec<_> = watching.iter().map(|row| row.session.as_str()).collect();
    assert_eq!(sessions, ["now", "then"], "the newest first");
    assert_eq!(db.viewers_close(NOW_MS + 1, NOW_MS + 31_000).await.unwrap(), 1, "it was silent");
}
