//! The db room through its public face: real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod assets;
mod backup;
mod clock;
mod delivery;
mod engines;
mod journal;
mod lead;
mod log;
mod people;
mod scratch;

use anabranch_db::{
    BreakoutContent, Created, Db, DistributionContent, Error, Idempotency, NewBreakout, NewChannel, NewDistribution,
    NewInput, NewKey, PageOrder, PageRequest, Wish,
};
use anabranch_model::{
    BreakoutEvent, BreakoutId, BreakoutState, ChannelEvent, ChannelId, ChannelState, DistributionId, DistributionState,
    InputId, KeyGroupId, KeyId, Traffic,
};

use scratch::{Engine, Rows as _, both, open_on};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn channel(name: &str, group: &KeyGroupId) -> NewChannel {
    NewChannel {
        id: ChannelId::random(),
        name: name.into(),
        description: String::new(),
        segment_target_seconds: 6,
        failover: anabranch_model::FailoverSpec::default(),
        ingest_allow: Vec::new(),
        window_seconds: 60,
        inputs: vec![NewInput { id: InputId::random(), stream_key: format!("key of {name}") }],
        distribution: distribution(std::slice::from_ref(group)),
        idempotency: None,
    }
}

fn distribution(groups: &[KeyGroupId]) -> NewDistribution {
    let id = DistributionId::random();
    let content = DistributionContent {
        config: format!("config of {id}"),
        caller_reference: id.to_string(),
        enabled: true,
        price_class: "PriceClass_All".into(),
        aliases: Vec::new(),
        key_groups: groups.to_vec(),
        channels: Vec::new(),
    };
    NewDistribution {
        domain_name: format!("{}.cdn.localhost", id.as_str().to_lowercase()),
        id,
        content,
        tags: std::collections::BTreeMap::new(),
        idempotency: None,
    }
}

fn breakout(name: &str, channel: &str) -> NewBreakout {
    NewBreakout {
        id: BreakoutId::random(),
        content: BreakoutContent::named(name.into()),
        channel: channel.into(),
        cluster: None,
        idempotency: None,
    }
}

both!(
    migrations_are_applied_once_and_reopening_keeps_rows,
    a_newer_database_is_refused_with_words,
    a_channel_is_made_whole_or_not_at_all,
    what_nodes_are_told_raises_the_version_and_wishes_do_not,
    late_confirmations_do_nothing,
    completed_breakouts_stay_in_the_snapshot_for_a_day,
    an_idempotency_key_stands_for_one_request,
    pages_go_on_where_they_ended_even_after_deletes,
    traffic_of_what_is_gone_is_passed_over,
    writers_at_once_wait_for_each_other,
);

async fn migrations_are_applied_once_and_reopening_keeps_rows(engine: Engine) {
    let (scratch, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let before = db.snapshot(2).await.unwrap();
    db.close().await;
    let db = scratch.open().await.unwrap();
    assert_eq!(db.snapshot(2).await.unwrap(), before);
    assert_eq!(db.key_group_ensure("default", 5).await.unwrap().id, group);
}

async fn a_newer_database_is_refused_with_words(engine: Engine) {
    let (scratch, db, _) = open_on(engine).await;
    db.close().await;
    scratch
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, '', 0)",
        )
        .await;
    let error = scratch.open().await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 9999, .. }), "{error:?}");
    assert!(error.to_string().contains("start the newer binary"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sqlite");
    std::fs::write(&path, vec![b'x'; 4096]).unwrap();
    assert!(matches!(Db::open(&path).await, Err(Error::Open { .. } | Error::Migrate(_))));
    assert!(matches!(Db::open(&dir.path().join("no/such/db")).await, Err(Error::Open { .. })));
}

async fn a_channel_is_made_whole_or_not_at_all(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let new = channel("c", &group);
    let row = db.channel_create(&new, 7).await.unwrap().into_inner();
    assert_eq!((row.state, row.desired_running, row.created_at), (ChannelState::Idle, false, 7));
    let mut clash = channel("d", &group);
    clash.inputs[0].stream_key = new.inputs[0].stream_key.clone();
    assert!(matches!(db.channel_create(&clash, 8).await, Err(Error::Query(_))));
    assert!(matches!(db.channel_find("d").await, Err(Error::NotFound { .. })));
    assert!(matches!(db.channel_create(&channel("c", &group), 8).await, Err(Error::NameTaken { .. })));
    let distribution = db.distribution_of_channel(&new.id).await.unwrap().unwrap();
    assert_eq!(distribution.config, Some(new.distribution.content.config));
    assert_eq!(distribution.key_groups, [group]);
    let open = db.operations_due(9).await.unwrap();
    assert_eq!((open.len(), open[0].plan.kind, open[0].lane.as_str()), (1, "channel.create", new.id.as_str()));
    let snapshot = db.snapshot(9).await.unwrap();
    assert!(snapshot.channels.is_empty() && snapshot.distributions.is_empty(), "nodes are told by the provider");
}

async fn what_nodes_are_told_raises_the_version_and_wishes_do_not(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let mut last = db.snapshot(0).await.unwrap().version;
    let mut raised = async |db: &Db| {
        let version = db.snapshot(0).await.unwrap().version;
        std::mem::replace(&mut last, version) < version
    };
    let made = db.channel_create(&channel("c", &group), 1).await.unwrap().into_inner();
    db.channel_wish("c", Wish::Run, 1).await.unwrap();
    db.breakout_create(&breakout("b", "c"), 1).await.unwrap();
    let started = db.breakout_event("b", BreakoutEvent::Start, 1).await.unwrap();
    assert!(!raised(&db).await, "wishes are no news for nodes");
    let spec = journal::spec(&made.id);
    let tags = std::collections::BTreeMap::new();
    db.local_pipeline_ensure(&spec, &tags, 1).await.unwrap();
    assert!(raised(&db).await);
    db.local_pipeline_ensure(&spec, &tags, 1).await.unwrap();
    assert!(!raised(&db).await, "a repetition is no change");
    for _ in 0..2 {
        db.local_pipeline_run(&made.id, true, Some(&started.id)).await.unwrap();
    }
    assert!(raised(&db).await);
    let snapshot = db.snapshot(1).await.unwrap();
    assert!(snapshot.channels[0].running && snapshot.breakouts[0].on_air);
    let key = NewKey {
        id: KeyId::random(),
        groups: vec![group.to_string()],
        name: "k".into(),
        private_pem: None,
        public_pem: "p".into(),
        idempotency: None,
    };
    db.key_create(&key, 1).await.unwrap();
    assert!(raised(&db).await);
    db.channel_problem(&db.channel_find("c").await.unwrap().id, Some("slow"), 9).await.unwrap();
    assert!(!raised(&db).await, "nodes are not told of problems");
}

async fn late_confirmations_do_nothing(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    db.channel_create(&channel("c", &group), 1).await.unwrap();
    let starting = db.channel_wish("c", Wish::Run, 2).await.unwrap();
    assert_eq!(starting.state, ChannelState::Starting);
    db.channel_wish("c", Wish::Rest, 3).await.unwrap();
    db.channel_wish("c", Wish::Run, 4).await.unwrap();
    db.channel_confirm(&starting, ChannelEvent::Started, 5).await.unwrap();
    assert_eq!(db.channel_find("c").await.unwrap().state, ChannelState::Starting);
    let newest = db.channel_find("c").await.unwrap();
    db.channel_confirm(&newest, ChannelEvent::Started, 6).await.unwrap();
    assert_eq!(db.channel_find("c").await.unwrap().state, ChannelState::Running);
    let distribution = db.distribution_of_channel(&newest.id).await.unwrap().unwrap();
    let status = async || db.distribution_find(distribution.id.as_str()).await.unwrap().status;
    db.distribution_confirm(&distribution.id, 1, 7).await.unwrap();
    assert_eq!(status().await, DistributionState::InProgress, "the provider has not heard of it");
    db.distribution_observed(&distribution.id, &distribution.id, 1).await.unwrap();
    db.distribution_confirm(&distribution.id, 2, 7).await.unwrap();
    assert_eq!(status().await, DistributionState::InProgress, "another generation");
    db.distribution_confirm(&distribution.id, 1, 7).await.unwrap();
    assert_eq!(status().await, DistributionState::Deployed);
}

async fn completed_breakouts_stay_in_the_snapshot_for_a_day(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let made = db.channel_create(&channel("c", &group), 1).await.unwrap().into_inner();
    db.local_pipeline_ensure(&journal::spec(&made.id), &std::collections::BTreeMap::new(), 1).await.unwrap();
    for name in ["one", "two"] {
        db.breakout_create(&breakout(name, "c"), 1).await.unwrap();
    }
    assert!(db.snapshot(1).await.unwrap().breakouts.is_empty());
    db.breakout_event("one", BreakoutEvent::Start, 10).await.unwrap();
    let other = db.breakout_event("two", BreakoutEvent::Start, 10).await.unwrap_err();
    assert!(matches!(other, Error::OtherOnAir { other } if other == "one"));
    let session = db.channel_session(&made.id).await.unwrap();
    db.local_pipeline_run(&made.id, true, session.as_ref()).await.unwrap();
    let snapshot = db.snapshot(10).await.unwrap();
    assert!(snapshot.breakouts[0].on_air && snapshot.channels[0].running);
    let row = db.breakout_event("one", BreakoutEvent::Stop, 20).await.unwrap();
    assert_eq!((row.state, row.started_at, row.ended_at), (BreakoutState::Completed, Some(10), Some(20)));
    assert!(db.snapshot(20).await.unwrap().breakouts[0].on_air, "until the pipeline has left it");
    db.local_pipeline_run(&made.id, false, None).await.unwrap();
    let snapshot = db.snapshot(20 + DAY_MS - 1).await.unwrap();
    assert!(!snapshot.breakouts[0].on_air && !snapshot.channels[0].running);
    assert!(db.snapshot(20 + DAY_MS).await.unwrap().breakouts.is_empty());
}

async fn an_idempotency_key_stands_for_one_request(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let keyed = |name: &str, request_hash| NewChannel {
        idempotency: Some(Idempotency { key: "k".into(), request_hash }),
        ..channel(name, &group)
    };
    let Created::New(first) = db.channel_create(&keyed("c", [1; 32]), 1).await.unwrap() else { panic!("replayed") };
    let Created::Replayed(again) = db.channel_create(&keyed("c", [1; 32]), 2).await.unwrap() else { panic!("new") };
    assert_eq!(first, again);
    assert!(matches!(db.channel_create(&keyed("c", [2; 32]), 3).await, Err(Error::KeyReused { .. })));
}

async fn pages_go_on_where_they_ended_even_after_deletes(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    for (time, name) in [(1, "a"), (2, "b"), (3, "c")] {
        db.channel_create(&channel(name, &group), time).await.unwrap();
    }
    let first = db.channel_page(&PageRequest { limit: 2, after: None, order: PageOrder::OldestFirst }).await.unwrap();
    let gone = db.channel_retire("b", 4).await.unwrap();
    db.channel_remove(&gone.id, 5).await.unwrap();
    let second =
        db.channel_page(&PageRequest { limit: 2, after: first.next, order: PageOrder::OldestFirst }).await.unwrap();
    assert_eq!(second.items.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(second.next, None);
}

async fn traffic_of_what_is_gone_is_passed_over(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let new = channel("c", &group);
    db.channel_create(&new, 1).await.unwrap();
    let traffic = |distribution| Traffic { requests: 1, bytes: 10, ..Traffic::none(distribution) };
    let both = [traffic(DistributionId::random()), traffic(new.distribution.id.clone())];
    db.traffic_add(&both, &anabranch_db::Place::default(), 61_000).await.unwrap();
    assert_eq!(db.local_traffic(&new.distribution.id, 1, 1).await.unwrap(), (1, 10));
    let row = db.distribution_find(new.distribution.id.as_str()).await.unwrap();
    assert_eq!((row.requests_total, row.bytes_total), (1, 10));
}

async fn writers_at_once_wait_for_each_other(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (db, new) = (db.clone(), channel(&format!("c{number}"), &group));
            tokio::spawn(async move { db.channel_create(&new, 1).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let page = db.channel_page(&PageRequest { limit: 50, after: None, order: PageOrder::OldestFirst }).await.unwrap();
    assert_eq!(page.items.len(), 20);
}
