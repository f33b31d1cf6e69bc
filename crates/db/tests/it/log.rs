//! The log, webhooks and tokens.

use anabranch_db::{
    Attendance, BacklogRow, Claim, Db, Error, EventContent, Exit, GaveUp, Idempotency, JOB_REMOVE, LogEntry, LogFilter,
    LogKind, LogOrder, LogRange, LogRetention, NewAccount, NewEntry, NewEvent, NewJob, NewToken, NewWebhook, Sighting,
    Standing, StandingChange, StandingRow, WebhookChange, WebhookProgress, Wish, acting,
};
use anabranch_model::{
    AccountId, AlarmKind, BreakoutEvent, ChannelEvent, EventId, InputId, JobEvent, NodeName, NodeState, TokenId,
    ViewerSeen, WebhookId,
};

use crate::scratch::{Engine, both, open_on};
use crate::{breakout, channel};

const ALL: LogRange = LogRange { after: None, before: None, order: LogOrder::OldestFirst, limit: 1000 };

async fn entries(db: &Db, filter: &LogFilter) -> Vec<LogEntry> {
    db.log_page(filter, &ALL).await.unwrap().entries
}

async fn words(db: &Db, filter: &LogFilter) -> Vec<String> {
    entries(db, filter).await.into_iter().map(|entry| entry.word).collect()
}

fn numbers(entries: &[LogEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence).collect()
}

fn webhook(types: &[&str]) -> NewWebhook {
    NewWebhook {
        id: WebhookId::random(),
        url: "http://127.0.0.1:1/".into(),
        secret: "whsec_1".into(),
        types: types.iter().map(|text| (*text).to_owned()).collect(),
        idempotency: None,
    }
}

fn parked(sequence: u64, subject: &str) -> BacklogRow {
    BacklogRow {
        sequence,
        subject: subject.into(),
        attempts: 1,
        first_failed_at: Some(5),
        next_try_at: 1005,
        error: Some("500".into()),
    }
}

/// Appends `count` entries about nothing.
async fn fill(db: &Db, count: usize, now_ms: i64) {
    let some: Vec<_> = (0..count).map(|at| NewEntry::stream("test.filled", "test", format!("t{at}"))).collect();
    db.log_add(&some, now_ms).await.unwrap();
}

async fn the_life_of_a_channel_is_written_as_it_happens(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    acting("anna", db.channel_create(&channel("c", &group), 1)).await.unwrap();
    let row = db.channel_find("c").await.unwrap();
    acting("anna", db.breakout_create(&breakout("b", "c"), 2)).await.unwrap();
    acting("ben", db.breakout_event("b", BreakoutEvent::Start, 3)).await.unwrap();
    let starting = db.channel_find("c").await.unwrap();
    db.channel_confirm(&starting, ChannelEvent::Started, 4).await.unwrap();
    db.channel_confirm(&starting, ChannelEvent::Started, 4).await.unwrap();
    let distribution = db.distribution_of_channel(&row.id).await.unwrap().unwrap();
    db.distribution_observed(&distribution.id, &distribution.id, distribution.generation).await.unwrap();
    db.distribution_confirm(&distribution.id, distribution.generation, 5).await.unwrap();
    db.distribution_confirm(&distribution.id, distribution.generation, 5).await.unwrap();
    let waiting = db.breakout_find("b").await.unwrap();
    db.breakout_ready(&waiting, 6).await.unwrap();
    db.breakout_ready(&waiting, 6).await.unwrap();
    db.breakout_problem(&waiting.id, Some("disk full"), 7).await.unwrap();
    db.breakout_problem(&waiting.id, Some("disk full"), 7).await.unwrap();
    db.breakout_problem(&waiting.id, None, 8).await.unwrap();
    acting("ben", db.breakout_event("b", BreakoutEvent::Stop, 9)).await.unwrap();
    db.channel_confirm(&db.channel_find("c").await.unwrap(), ChannelEvent::Stopped, 10).await.unwrap();
    acting("anna", db.channel_retire("c", 11)).await.unwrap();
    db.channel_remove(&row.id, 12).await.unwrap();
    db.channel_remove(&row.id, 12).await.unwrap();
    let all = entries(&db, &LogFilter::default()).await;
    let told: Vec<_> = all.iter().map(|entry| (entry.at, entry.word.as_str(), entry.actor.as_deref())).collect();
    let anna = Some("anna");
    let ben = Some("ben");
    assert_eq!(
        told,
        [
            (1, "channel.created", anna),
            (1, "distribution.created", anna),
            (2, "breakout.created", anna),
            (3, "breakout.starting", ben),
            (3, "recording.started", ben),
            (3, "channel.starting", ben),
            (4, "channel.running", None),
            (5, "distribution.deployed", None),
            (6, "breakout.running", None),
            (7, "breakout.problem", None),
            (8, "breakout.problem_cleared", None),
            (9, "breakout.completed", ben),
            (9, "recording.closing", ben),
            (9, "channel.stopping", ben),
            (10, "channel.idle", None),
            (11, "channel.retired", anna),
            (12, "channel.deleted", None),
        ]
    );
    assert_eq!(numbers(&all), (1..=17).collect::<Vec<u64>>());
    assert!(
        all.iter()
            .all(|entry| { entry.subject_kind == "recording" || entry.channel.as_deref() == Some(row.id.as_str()) })
    );
    let starting = &all[3];
    assert_eq!((starting.subject_kind.as_str(), starting.subject.as_str()), ("breakout", waiting.id.as_str()));
    assert_eq!((&starting.details["from"], &starting.details["event"]), (&"IDLE".into(), &"start".into()));
    assert_eq!(starting.kind, LogKind::Transition);
    let of_breakout = LogFilter { breakout: Some(waiting.id.to_string()), ..LogFilter::default() };
    assert_eq!(entries(&db, &of_breakout).await.len(), 8);
}

async fn what_is_refused_or_changes_nothing_is_not_written(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let before = db.log_newest().await.unwrap();
    db.channel_create(&channel("c", &group), 1).await.unwrap_err();
    db.channel_wish("c", Wish::Rest, 1).await.unwrap();
    db.breakout_create(&breakout("b", "nothing"), 1).await.unwrap_err();
    db.channel_retire("nothing", 1).await.unwrap_err();
    db.key_group_update("default", &[], 1).await.unwrap();
    assert_eq!(db.log_newest().await.unwrap(), before, "and no number is used up");
}

async fn accounts_and_events_are_written(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    db.account_ensure("default", 1).await.unwrap();
    db.account_ensure("default", 2).await.unwrap();
    let account = NewAccount { id: AccountId::random(), name: "acme".into(), idempotency: None };
    db.account_create(&account, 3).await.unwrap();
    let content =
        |name: &str| EventContent { name: name.into(), description: String::new(), starts_at: None, ends_at: None };
    let event = NewEvent { id: EventId::random(), account: "acme".into(), content: content("e"), idempotency: None };
    db.event_create(&event, 4).await.unwrap();
    db.event_create(&event, 4).await.unwrap_err();
    db.event_update("e", &content("e"), 5).await.unwrap();
    db.account_delete("acme", 5).await.unwrap_err();
    acting("anna", db.event_update("e", &content("f"), 6)).await.unwrap();
    db.event_delete("f", 7).await.unwrap();
    db.account_delete("acme", 8).await.unwrap();
    let all = entries(&db, &LogFilter::default()).await;
    let told: Vec<_> = all.iter().map(|entry| (entry.at, entry.word.as_str(), entry.actor.as_deref())).collect();
    assert_eq!(
        told,
        [
            (1, "account.created", None),
            (3, "account.created", None),
            (4, "event.created", None),
            (6, "event.changed", Some("anna")),
            (7, "event.deleted", None),
            (8, "account.deleted", None),
        ]
    );
    let acme = account.id.as_str();
    assert!(all[1..].iter().all(|entry| entry.account.as_deref() == Some(acme) && entry.kind == LogKind::Activity));
}

async fn jobs_are_written_with_every_try(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let breakout = db.breakout_create(&breakout("b", "c"), 1).await.unwrap().into_inner().id;
    let new = NewJob {
        kind: JOB_REMOVE,
        subject: format!("{breakout}/1"),
        arguments: "{}".into(),
        priority: 0,
        attempts_max: 2,
    };
    let job = db.job_create(&new, 2).await.unwrap();
    assert_eq!(db.job_create(&new, 2).await.unwrap().id, job.id);
    let claim = async |now: i64| {
        let claim = Claim { kinds: &[JOB_REMOVE], worker: "w", held: &[], others_end: true, lease_ms: 10 };
        db.job_claim(&claim, now).await.unwrap()
    };
    let first = claim(3).await.unwrap();
    assert!(claim(4).await.is_none());
    db.job_end(&first, JobEvent::Postpone, Some("disk full"), 6, 5).await.unwrap();
    // One whose worker dies has had its last try.
    let second = claim(6).await.unwrap();
    assert!(claim(17).await.is_none());
    db.job_end(&second, JobEvent::Finish, None, 18, 18).await.unwrap();
    acting("anna", db.job_event(job.id.as_str(), JobEvent::Retry, 19)).await.unwrap();
    let third = claim(20).await.unwrap();
    db.job_end(&third, JobEvent::Finish, None, 21, 21).await.unwrap();
    acting("anna", db.job_event(job.id.as_str(), JobEvent::Cancel, 22)).await.unwrap_err();
    let other = db.job_create(&NewJob { subject: "x".into(), ..new }, 23).await.unwrap();
    acting("anna", db.job_event(other.id.as_str(), JobEvent::Cancel, 24)).await.unwrap();
    let all = entries(&db, &LogFilter { word: Some("job".into()), ..LogFilter::default() }).await;
    let told: Vec<_> = all.iter().map(|entry| (entry.at, entry.word.as_str(), entry.actor.as_deref())).collect();
    let anna = Some("anna");
    assert_eq!(
        told,
        [
            (2, "job.queued", None),
            (3, "job.running", None),
            (5, "job.queued", None),
            (6, "job.running", None),
            (17, "job.failed", None),
            (19, "job.queued", anna),
            (20, "job.running", None),
            (21, "job.completed", None),
            (23, "job.queued", None),
            (24, "job.cancelled", anna),
        ]
    );
    assert_eq!((&all[2].details["problem"], &all[2].details["from"]), (&"disk full".into(), &"RUNNING".into()));
    assert_eq!((&all[1].details["worker"], &all[1].details["attempt"]), (&"w".into(), &1.into()));
    assert!(all[..8].iter().all(|entry| entry.breakout.as_deref() == Some(breakout.as_str())));
}

async fn sessions_that_are_shut_out_are_written_as_far_as_they_may_be(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    for attendance in [Attendance::Full, Attendance::Anonymous, Attendance::Off] {
        let mut new = breakout(attendance.as_str(), "c");
        new.content.attendance = attendance;
        let id = db.breakout_create(&new, 1).await.unwrap().into_inner().id;
        let sighting = |session: &str, user: &str| Sighting {
            seen: ViewerSeen {
                breakout: id.clone(),
                session: session.into(),
                user: user.into(),
                address: "192.0.2.7".into(),
                user_agent: "agent".into(),
                first_ms: 1,
                last_ms: 2,
                bytes: 3,
                stays: Vec::new(),
            },
            browser: String::new(),
            os: String::new(),
        };
        db.viewers_seen(&[sighting("one", "ann"), sighting("two", "ann"), sighting("three", "")]).await.unwrap();
        let gone = ["one", "two", "nobody"].map(str::to_owned);
        assert_eq!(db.viewers_expel(&id, &gone, Exit::DeviceLimit, 4).await.unwrap(), 2);
        assert_eq!(db.viewers_expel(&id, &gone, Exit::DeviceLimit, 5).await.unwrap(), 0);
        let order = acting("anna", db.viewers_expel(&id, &["three".to_owned()], Exit::Revoked, 6)).await;
        assert_eq!(order.unwrap(), 1);
        let filter = LogFilter { word: Some("viewer".into()), breakout: Some(id.to_string()), ..LogFilter::default() };
        let all = entries(&db, &filter).await;
        let told: Vec<_> =
            all.iter().map(|entry| (entry.at, entry.kind, &entry.details["session"], &entry.details["user"])).collect();
        let (one, two, three, ann) = ("one".into(), "two".into(), "three".into(), "ann".into());
        let none = serde_json::Value::Null;
        let (limit, order) = (LogKind::Transition, LogKind::Activity);
        if attendance == Attendance::Off {
            assert_eq!(told, [(4, limit, &none, &none), (6, order, &none, &none)]);
            assert_eq!(all[0].details["sessions"], 2);
        } else {
            assert_eq!(told, [(4, limit, &one, &ann), (4, limit, &two, &ann), (6, order, &three, &none)]);
        }
        assert!(all.iter().all(|entry| entry.word == "viewer.expelled" && entry.channel.is_some()));
        assert!(all.iter().all(|entry| !entry.details.to_string().contains("192.0.2")));
        assert_eq!(all.last().unwrap().actor.as_deref(), Some("anna"));
    }
}

async fn what_is_said_of_inputs_stands_until_it_is_taken_back(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let id = db.channel_find("c").await.unwrap().id;
    let input = db.channel_inputs(&id).await.unwrap().remove(0).id;
    let row = |input: &InputId, what| StandingRow { channel: id.clone(), input: input.clone(), what };
    let say = async |change: StandingChange| {
        let entry = NewEntry::stream("test.said", "input", "i");
        db.log_observed(&[(entry, change)], 2).await.unwrap();
        db.standing().await.unwrap().into_iter().map(|row| row.what).collect::<Vec<_>>()
    };
    let silence = Standing::Alarm(AlarmKind::Silence);
    let gone = InputId::random();
    assert_eq!(say(StandingChange::Holds(row(&gone, silence))).await, [], "of an input that is gone nothing stands");
    assert_eq!(say(StandingChange::Holds(row(&input, silence))).await, [silence]);
    assert_eq!(say(StandingChange::Holds(row(&input, silence))).await, [silence]);
    say(StandingChange::Holds(row(&input, Standing::Connected))).await;
    let all = [Standing::Active, Standing::Connected, silence];
    assert_eq!(say(StandingChange::Holds(row(&input, Standing::Active))).await, all);
    assert_eq!(say(StandingChange::Holds(row(&gone, Standing::Active))).await, all[1..], "another is in use");
    say(StandingChange::Holds(row(&input, Standing::Active))).await;
    assert_eq!(say(StandingChange::NoneActive(id.clone())).await, all[1..]);
    assert_eq!(say(StandingChange::Over(row(&input, silence))).await, [Standing::Connected]);
    assert_eq!(words(&db, &LogFilter { word: Some("test".into()), ..LogFilter::default() }).await.len(), 9);
}

async fn writers_at_once_leave_no_gap(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (db, group) = (db.clone(), group.clone());
        tasks.spawn(async move {
            let name = format!("task {task}");
            for number in 0..5 {
                let new = channel(&format!("c{task}-{number}"), &group);
                acting(&name, db.channel_create(&new, 1)).await.unwrap();
                acting(&name, db.channel_create(&new, 1)).await.unwrap_err();
            }
        });
    }
    tasks.join_all().await;
    let all = entries(&db, &LogFilter::default()).await;
    assert_eq!(numbers(&all), (1..=80).collect::<Vec<u64>>());
    let one = LogFilter { actor: Some("task 3".into()), ..LogFilter::default() };
    assert_eq!(entries(&db, &one).await.len(), 10);
}

async fn filters_stack(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    acting("anna", db.channel_create(&channel("c", &group), 10)).await.unwrap();
    acting("ben", db.channel_create(&channel("d", &group), 20)).await.unwrap();
    acting("ben", db.channel_wish("d", Wish::Run, 30)).await.unwrap();
    let d = db.channel_find("d").await.unwrap().id.to_string();
    let none = LogFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (none(), 6),
        (LogFilter { kind: Some(LogKind::Transition), ..none() }, 1),
        (LogFilter { kind: Some(LogKind::Activity), ..none() }, 5),
        (LogFilter { word: text("channel"), ..none() }, 4),
        (LogFilter { word: text("channel.created"), ..none() }, 2),
        (LogFilter { word: text("chan"), ..none() }, 0),
        (LogFilter { word: text("%"), ..none() }, 0),
        (LogFilter { channel: text(&d), ..none() }, 4),
        (LogFilter { subject: text(&d), ..none() }, 3),
        (LogFilter { subject: text(&d), word: text("distribution"), ..none() }, 0),
        (LogFilter { actor: text("ben"), kind: Some(LogKind::Activity), ..none() }, 3),
        (LogFilter { since: Some(20), ..none() }, 4),
        (LogFilter { since: Some(11), until: Some(30), ..none() }, 2),
        (LogFilter { account: text("a1"), ..none() }, 0),
    ] {
        assert_eq!(entries(&db, &filter).await.len(), expected, "{filter:?}");
        let back = LogRange { order: LogOrder::NewestFirst, ..ALL };
        let mut reversed = db.log_page(&filter, &back).await.unwrap().entries;
        reversed.reverse();
        assert_eq!(reversed, entries(&db, &filter).await, "{filter:?}");
    }
}

async fn pages_go_both_ways(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    fill(&db, 10, 1).await;
    let page = async |after, before, order, limit| {
        let page = db.log_page(&LogFilter::default(), &LogRange { after, before, order, limit }).await.unwrap();
        assert_eq!((page.newest, page.floor), (10, 0));
        (numbers(&page.entries), page.more)
    };
    assert_eq!(page(None, None, LogOrder::OldestFirst, 4).await, (vec![1, 2, 3, 4], true));
    assert_eq!(page(Some(4), None, LogOrder::OldestFirst, 4).await, (vec![5, 6, 7, 8], true));
    assert_eq!(page(Some(8), None, LogOrder::OldestFirst, 4).await, (vec![9, 10], false));
    assert_eq!(page(None, None, LogOrder::NewestFirst, 4).await, (vec![10, 9, 8, 7], true));
    assert_eq!(page(None, Some(3), LogOrder::NewestFirst, 4).await, (vec![2, 1], false));
    assert_eq!(page(Some(2), Some(5), LogOrder::OldestFirst, 2).await, (vec![3, 4], false));
}

async fn the_old_goes_but_not_what_a_webhook_waits_for(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let keep = LogRetention { keep_ms: 100, keep_entries: 50, hard_entries: 100 };
    fill(&db, 10, 0).await;
    fill(&db, 10, 200).await;
    assert_eq!(db.log_prune(&keep, 100).await.unwrap(), 0);
    assert_eq!(db.log_prune(&keep, 250).await.unwrap(), 10);
    assert_eq!(db.log_prune(&keep, 250).await.unwrap(), 0);
    let page = db.log_page(&LogFilter::default(), &ALL).await.unwrap();
    assert_eq!((page.floor, page.newest, page.entries.len()), (10, 20, 10));

    let hook = webhook(&[]);
    // Its own creation is entry 21, which it is told.
    db.webhook_create(&hook, 300).await.unwrap();
    let progress = WebhookProgress { cursor: 24, parked: vec![parked(22, "test:t0")], ..WebhookProgress::default() };
    fill(&db, 60, 300).await;
    db.webhook_progress(&hook.id, &progress, 300).await.unwrap();
    assert_eq!(db.log_prune(&keep, 300).await.unwrap(), 11, "up to its backlog");
    let removed = WebhookProgress { cursor: 24, removed: vec![22], ..WebhookProgress::default() };
    db.webhook_progress(&hook.id, &removed, 300).await.unwrap();
    assert_eq!(db.log_prune(&keep, 300).await.unwrap(), 3, "up to its cursor");
    fill(&db, 100, 300).await;
    assert_eq!(db.log_prune(&keep, 300).await.unwrap(), 107, "it is disabled instead of waited for");
    let row = db.webhook_find(hook.id.as_str()).await.unwrap();
    assert!(!row.enabled && row.problem.unwrap().contains("no longer kept"));
    let last = entries(&db, &LogFilter { word: Some("webhook.disabled".into()), ..LogFilter::default() }).await;
    assert_eq!(last[0].subject, hook.id.as_str());
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    let row = db.webhook_update(hook.id.as_str(), &on, 301).await.unwrap();
    assert_eq!((row.cursor, row.given_up_total), (131, 107));
    assert!(row.problem.unwrap().contains("107 entries"));
}

async fn webhooks_and_their_progress(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    fill(&db, 3, 1).await;
    let mut new = webhook(&["breakout", "channel.running"]);
    new.idempotency = Some(Idempotency { key: "k".into(), request_hash: [1; 32] });
    let row = db.webhook_create(&new, 2).await.unwrap().into_inner();
    assert_eq!((row.cursor, row.enabled, row.types.len()), (3, true, 2), "it is told what comes");
    let again = NewWebhook { id: WebhookId::random(), ..new.clone() };
    assert_eq!(db.webhook_create(&again, 2).await.unwrap().into_inner().id, new.id);
    let id = new.id.as_str();

    let progress = WebhookProgress {
        cursor: 9,
        parked: vec![parked(5, "b:1"), parked(7, "b:1")],
        delivered: 2,
        failed: 1,
        problem: Some("500".into()),
        attempts: 1,
        next_try_at: Some(1005),
        ..WebhookProgress::default()
    };
    db.webhook_progress(&new.id, &progress, 6).await.unwrap();
    db.webhook_progress(&new.id, &WebhookProgress { cursor: 4, ..progress.clone() }, 6).await.unwrap();
    let (cursor, backlog) = db.webhook_backlog(&new.id).await.unwrap();
    assert_eq!((cursor, backlog), (9, vec![parked(5, "b:1"), parked(7, "b:1")]), "a cursor never goes back");
    let row = db.webhook_find(id).await.unwrap();
    assert_eq!((row.delivered_total, row.failed_total, row.delivered_at), (4, 2, Some(6)));
    let gave_up = GaveUp { subject: "b:1".into(), entries: 2, error: "500".into() };
    let end = WebhookProgress {
        cursor: 9,
        removed: vec![5, 7],
        gave_up: vec![gave_up],
        disable: Some("gone".into()),
        ..WebhookProgress::default()
    };
    db.webhook_progress(&new.id, &end, 7).await.unwrap();
    assert_eq!(db.webhook_backlog_count(&new.id).await.unwrap(), 0);
    assert!(db.webhooks_enabled().await.unwrap().is_empty());
    let row = db.webhook_find(id).await.unwrap();
    assert_eq!((row.given_up_total, row.problem.as_deref()), (2, Some("gone")));

    let row = db.webhook_rotate(id, "whsec_2", 99, 8).await.unwrap();
    assert_eq!((row.secret.as_str(), row.secret_before), ("whsec_2", Some(("whsec_1".into(), 99))));
    assert!(!format!("{:?}", db.webhook_find(id).await.unwrap()).contains("whsec"));
    let before = db.log_newest().await.unwrap();
    db.webhook_update(id, &WebhookChange::default(), 9).await.unwrap();
    assert_eq!(db.log_newest().await.unwrap(), before);
    db.webhook_delete(id, 10).await.unwrap();
    db.webhook_progress(&new.id, &progress, 10).await.unwrap();
    assert!(matches!(db.webhook_find(id).await, Err(Error::NotFound { .. })));
    let filter = LogFilter { word: Some("webhook".into()), ..LogFilter::default() };
    assert_eq!(
        words(&db, &filter).await,
        ["webhook.created", "webhook.gave_up", "webhook.disabled", "webhook.secret_rotated", "webhook.deleted"]
    );
}

async fn tokens_are_revoked_for_good(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let token = |name: &str, hash: u8, scopes: &[&str]| NewToken {
        id: TokenId::random(),
        hash: [hash; 32],
        name: name.into(),
        scopes: scopes.iter().map(|text| (*text).to_owned()).collect(),
        expires_at: None,
    };
    assert!(db.token_add("admin", &[1; 32], 1).await.unwrap());
    assert!(!db.token_add("admin", &[1; 32], 1).await.unwrap());
    let made = db.token_create(&token("ci", 2, &["read", "operate"]), 2).await.unwrap();
    assert_eq!(made.scopes, ["read", "operate"]);
    assert!(matches!(db.token_create(&token("ci", 3, &["read"]), 2).await, Err(Error::NameTaken { .. })));
    let refused = db.token_revoke("admin", 3).await.unwrap_err().to_string();
    assert!(refused.contains("make another"), "{refused}");
    let (version, live) = db.tokens_live().await.unwrap();
    assert_eq!(live.len(), 2);
    db.token_create(&token("second", 4, &["admin"]), 4).await.unwrap();
    db.token_revoke("admin", 5).await.unwrap();
    db.token_revoke("ci", 5).await.unwrap();
    assert!(db.tokens_version().await.unwrap() > version);
    assert!(!db.token_add("admin", &[1; 32], 6).await.unwrap(), "it stays revoked");
    let (_, live) = db.tokens_live().await.unwrap();
    assert_eq!(live.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["second"]);
    db.token_create(&token("ci", 5, &["read"]), 7).await.unwrap();
    db.tokens_used(&[(live[0].id.clone(), 77)]).await.unwrap();
    assert_eq!(db.tokens_live().await.unwrap().1[0].last_used_at, Some(77));
    let filter = LogFilter { word: Some("token".into()), ..LogFilter::default() };
    let all = words(&db, &filter).await;
    assert_eq!(all.iter().filter(|word| *word == "token.revoked").count(), 2);
    assert_eq!(all.len(), 6);
}

async fn nodes_come_and_go(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let name: NodeName = "edge-1".parse().unwrap();
    let mut row = anabranch_db::NodeRow {
        name,
        role: "edge".into(),
        location: "Aarhus".into(),
        location_class: "PriceClass_100".into(),
        state: NodeState::Present,
        version: 1,
        joined_at: 1,
        seen_at: 1,
    };
    db.node_put(&row, 1).await.unwrap();
    db.node_put(&row, 2).await.unwrap();
    for state in [NodeState::Lost, NodeState::Present, NodeState::Left] {
        row.state = state;
        db.node_put(&row, 3).await.unwrap();
    }
    db.node_delete("edge-1", 4).await.unwrap();
    db.node_delete("edge-1", 4).await.unwrap_err();
    assert_eq!(
        words(&db, &LogFilter::default()).await,
        ["node.joined", "node.lost", "node.joined", "node.left", "node.forgotten"]
    );
}

both!(
    the_life_of_a_channel_is_written_as_it_happens,
    what_is_refused_or_changes_nothing_is_not_written,
    accounts_and_events_are_written,
    jobs_are_written_with_every_try,
    sessions_that_are_shut_out_are_written_as_far_as_they_may_be,
    what_is_said_of_inputs_stands_until_it_is_taken_back,
    writers_at_once_leave_no_gap,
    filters_stack,
    pages_go_both_ways,
    the_old_goes_but_not_what_a_webhook_waits_for,
    webhooks_and_their_progress,
    tokens_are_revoked_for_good,
    nodes_come_and_go,
);
