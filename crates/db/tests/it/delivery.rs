//! Distributions of their own, keys in groups, invalidations, and the migration to them.

use anabranch_db::{
    Change, Created, Db, DistributionContent, Error, Idempotency, LOG_MAX_ORDERS, LOG_MAX_PATTERNS, LogFilter,
    LogOrder, LogRange, NewInvalidation, NewKey, NewKeyGroup, NewLocalDistribution, NewLocalInvalidation, PageOrder,
    PageRequest, Retire, acting,
};
use anabranch_model::{
    DistributionId, DistributionPhase, DistributionState, InvalidationId, InvalidationState, KeyGroupId, KeyId,
};
use sqlx::Connection as _;

use crate::scratch::{Engine, Rows as _, both, open_on};
use crate::{channel, distribution};

fn key(id: &str, groups: &[&str]) -> NewKey {
    NewKey {
        id: id.parse().unwrap(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        name: format!("name of {id}"),
        private_pem: None,
        public_pem: "p".into(),
        idempotency: None,
    }
}

fn group(name: &str, keys: &[&str]) -> NewKeyGroup {
    let keys = keys.iter().map(|&key| key.to_owned()).collect();
    NewKeyGroup { id: KeyGroupId::random(), name: name.into(), keys, idempotency: None }
}

fn order(distribution: &DistributionId, reference: &str, paths: &[&str]) -> NewInvalidation {
    NewInvalidation {
        id: InvalidationId::random(),
        distribution: distribution.to_string(),
        caller_reference: reference.into(),
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        tags: Vec::new(),
    }
}

both!(
    a_configuration_changes_by_generations,
    what_operators_do_is_written,
    references_and_aliases_belong_to_one_distribution,
    what_a_configuration_names_must_exist_and_stay,
    a_key_may_be_in_several_groups,
    invalidations_are_numbered_and_repeatable,
    a_log_that_is_full_raises_its_floor,
);

async fn what_operators_do_is_written(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    acting("anna", async {
        db.key_create(&key("K1", &["default"]), 1).await.unwrap();
        db.key_create(&key("K2", &[]), 2).await.unwrap();
        db.key_group_create(&group("more", &["K1"]), 3).await.unwrap();
        db.key_group_update("more", &["K2".into()], 4).await.unwrap();
        db.key_group_update("more", &[], 5).await.unwrap();
        db.key_group_delete("more", 6).await.unwrap();
        db.key_delete("K2", 7).await.unwrap();
    })
    .await;
    let new = distribution(&[]);
    db.distribution_create(&new, None, 8).await.unwrap();
    db.distribution_observed(&new.id, &new.id, 1).await.unwrap();
    db.distribution_confirm(&new.id, 1, 9).await.unwrap();
    let one = order(&new.id, "r", &["/a*"]);
    db.invalidation_create(&one, 10).await.unwrap();
    db.invalidation_create(&one, 10).await.unwrap();
    db.invalidations_confirm(std::slice::from_ref(&one.id), 11).await.unwrap();
    db.invalidations_confirm(std::slice::from_ref(&one.id), 11).await.unwrap();
    let off = DistributionContent { enabled: false, config: "off".into(), ..new.content.clone() };
    db.distribution_update(new.id.as_str(), &off, None, 12).await.unwrap();
    db.distribution_update(new.id.as_str(), &off, None, 12).await.unwrap();
    db.distribution_retire(new.id.as_str(), &off, Retire::Asked, None, 13).await.unwrap();
    db.distribution_remove(&new.id, 14).await.unwrap();
    let range = LogRange { after: None, before: None, order: LogOrder::OldestFirst, limit: 100 };
    let entries = db.log_page(&LogFilter::default(), &range).await.unwrap().entries;
    let told: Vec<_> = entries.iter().map(|entry| (entry.at, entry.word.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, "key.created"),
            (2, "key.created"),
            (3, "key_group.created"),
            (4, "key_group.updated"),
            (5, "key_group.updated"),
            (6, "key_group.deleted"),
            (7, "key.deleted"),
            (8, "distribution.created"),
            (9, "distribution.deployed"),
            (10, "invalidation.created"),
            (11, "invalidation.completed"),
            (12, "distribution.updated"),
            (12, "distribution.in_progress"),
            (13, "distribution.stale"),
            (14, "distribution.deleted"),
        ]
    );
    assert!(entries[..7].iter().all(|entry| entry.actor.as_deref() == Some("anna")));
    assert!(entries.iter().all(|entry| !entry.details.to_string().contains("private")));
    assert_eq!(entries[9].details["first"], "/a*");
}

async fn a_configuration_changes_by_generations(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let new = distribution(&[group]);
    let row = db.distribution_create(&new, None, 1).await.unwrap().into_inner();
    assert_eq!((row.generation, row.status, row.channel), (1, DistributionState::InProgress, None));
    db.distribution_observed(&row.id, &row.id, 1).await.unwrap();
    db.distribution_confirm(&row.id, 1, 2).await.unwrap();
    let id = new.id.as_str();
    let same = db.distribution_update(id, &new.content, Some(1), 3).await.unwrap();
    assert_eq!((same.generation, same.status), (1, DistributionState::Deployed), "the same configuration is no change");
    let off =
        DistributionContent { config: "off".into(), enabled: false, key_groups: Vec::new(), ..new.content.clone() };
    let row = db.distribution_update(id, &off, Some(1), 4).await.unwrap();
    assert_eq!((row.generation, row.status, row.enabled), (2, DistributionState::InProgress, false));
    assert!(row.key_groups.is_empty());
    assert!(matches!(db.distribution_update(id, &new.content, Some(1), 5).await, Err(Error::Stale { .. })));
    let renamed = DistributionContent { caller_reference: "other".into(), ..off.clone() };
    assert!(matches!(db.distribution_update(id, &renamed, None, 5).await, Err(Error::ReferenceChanged { .. })));
    let asked = Retire::Asked;
    assert!(matches!(db.distribution_retire(id, &off, asked, Some(1), 6).await, Err(Error::Stale { .. })));
    for _ in 0..2 {
        let stale = db.distribution_retire(id, &off, asked, None, 6).await.unwrap();
        assert_eq!((stale.phase, stale.generation), (DistributionPhase::Stale, 2));
    }
    let open = db.operations_due(7).await.unwrap();
    assert_eq!(open.iter().map(|row| row.plan.kind).collect::<Vec<_>>(), ["distribution.delete"], "newer wishes win");
    assert!(matches!(db.distribution_update(id, &new.content, None, 7).await, Err(Error::NotNow { .. })));
    db.distribution_remove(&new.id, 8).await.unwrap();
    assert!(matches!(db.distribution_find(id).await, Err(Error::NotFound { .. })));
}

async fn references_and_aliases_belong_to_one_distribution(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let mut one = distribution(&[]);
    one.content.aliases = vec!["b.example".into(), "a.example".into()];
    one.idempotency = Some(Idempotency { key: "k".into(), request_hash: [1; 32] });
    let row = db.distribution_create(&one, None, 1).await.unwrap().into_inner();
    assert_eq!(row.aliases, ["b.example", "a.example"]);
    assert!(matches!(db.distribution_create(&one, None, 2).await, Ok(Created::Replayed(again)) if again == row));
    one.idempotency = None;
    assert!(
        matches!(db.distribution_create(&one, None, 2).await, Err(Error::ReferenceUsed { distribution, .. }) if distribution == one.id.as_str())
    );
    let mut two = distribution(&[]);
    two.content.aliases = vec!["a.example".into()];
    let taken = db.distribution_create(&two, None, 3).await.unwrap_err();
    assert!(
        matches!(&taken, Error::AliasTaken { alias, distribution } if alias == "a.example" && distribution == one.id.as_str())
    );
    assert!(matches!(db.distribution_find(two.id.as_str()).await, Err(Error::NotFound { .. })));
    let mut thief = distribution(&[]);
    thief.content.aliases = vec![one.domain_name.clone()];
    assert!(matches!(db.distribution_create(&thief, None, 3).await, Err(Error::AliasTaken { .. })), "its own name");
    let without = DistributionContent { config: "without".into(), aliases: vec!["b.example".into()], ..one.content };
    db.distribution_update(one.id.as_str(), &without, None, 4).await.unwrap();
    db.distribution_create(&two, None, 5).await.unwrap();
}

async fn what_a_configuration_names_must_exist_and_stay(engine: Engine) {
    let (_dir, db, group) = open_on(engine).await;
    let unknown = distribution(&[KeyGroupId::random()]);
    let error = db.distribution_create(&unknown, None, 1).await.unwrap_err();
    assert!(
        matches!(&error, Error::Dangling { subject: "key group", wanted } if *wanted == unknown.content.key_groups[0].as_str())
    );
    let mut nowhere = distribution(&[]);
    nowhere.content.channels = vec![anabranch_model::ChannelId::random()];
    assert!(matches!(db.distribution_create(&nowhere, None, 1).await, Err(Error::Dangling { subject: "channel", .. })));
    let new = distribution(&[group.clone(), group.clone()]);
    db.distribution_create(&new, None, 1).await.unwrap();
    let refused = db.key_group_delete("default", 9).await.unwrap_err().to_string();
    assert!(refused.contains(new.id.as_str()), "{refused}");
    let refused =
        db.distribution_retire(new.id.as_str(), &new.content, Retire::Asked, None, 1).await.unwrap_err().to_string();
    assert!(refused.contains("Enabled false"), "{refused}");
    let of_channel = channel("c", &group);
    db.channel_create(&of_channel, 2).await.unwrap();
    let refused = db
        .distribution_retire(
            of_channel.distribution.id.as_str(),
            &of_channel.distribution.content,
            Retire::Asked,
            None,
            2,
        )
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("delete the channel"), "{refused}");
}

async fn a_key_may_be_in_several_groups(engine: Engine) {
    let (_dir, db, default) = open_on(engine).await;
    db.key_create(&key("K1", &["default"]), 1).await.unwrap();
    assert!(matches!(db.key_create(&key("K1", &[]), 2).await, Err(Error::IdTaken { .. })));
    let named = NewKey { name: "name of K1".into(), ..key("K9", &[]) };
    assert!(matches!(db.key_create(&named, 2).await, Err(Error::NameTaken { .. })));
    let missing = db.key_create(&key("K2", &["nothing"]), 2).await.unwrap_err();
    assert!(matches!(missing, Error::Dangling { subject: "key group", .. }));
    db.key_create(&key("K2", &[]), 2).await.unwrap();
    let made = db.key_group_create(&group("more", &["K2", "name of K1"]), 3).await.unwrap().into_inner();
    assert_eq!(made.keys.iter().map(KeyId::as_str).collect::<Vec<_>>(), ["K1", "K2"]);
    assert!(matches!(db.key_group_create(&group("more", &[]), 3).await, Err(Error::NameTaken { .. })));
    assert!(matches!(
        db.key_group_create(&group("bad", &["K3"]), 3).await,
        Err(Error::Dangling { subject: "key", .. })
    ));
    let groups = db.key_find("K1").await.unwrap().groups;
    assert!(groups.len() == 2 && groups.contains(&default) && groups.contains(&made.id));
    assert_eq!(db.keys_of_group(&made.id).await.unwrap().len(), 2);
    let refused = db.key_delete("K1", 9).await.unwrap_err().to_string();
    assert!(refused.contains("default, more"), "{refused}");
    let version = db.snapshot_version().await.unwrap();
    db.key_group_update("more", &["K1".into(), "K2".into()], 9).await.unwrap();
    assert_eq!(db.snapshot_version().await.unwrap(), version, "the same keys are no change");
    db.key_group_update("more", &["K1".into()], 9).await.unwrap();
    assert!(db.snapshot_version().await.unwrap() > version);
    db.key_delete("K2", 9).await.unwrap();
    db.key_group_delete("more", 9).await.unwrap();
    assert_eq!(db.key_find("K1").await.unwrap().groups, [default]);
    assert_eq!(
        db.key_group_page(&PageRequest { limit: 5, after: None, order: PageOrder::OldestFirst })
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn invalidations_are_numbered_and_repeatable(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    let new = distribution(&[]);
    db.distribution_create(&new, None, 1).await.unwrap();
    let id = &new.id;
    let first = db.invalidation_create(&order(id, "r1", &["/a"]), 2).await.unwrap().into_inner();
    assert_eq!((first.sequence, first.state), (1, InvalidationState::InProgress));
    let again = db.invalidation_create(&order(id, "r1", &["/a"]), 3).await.unwrap();
    assert!(matches!(again, Created::Replayed(again) if again == first));
    let differs = db.invalidation_create(&order(id, "r1", &["/b"]), 3).await.unwrap_err();
    assert!(matches!(&differs, Error::BatchDiffers { invalidation, .. } if *invalidation == first.id.as_str()));
    let second = db.invalidation_create(&order(id, "r2", &["/b"]), 3).await.unwrap().into_inner();
    assert_eq!(second.sequence, 2);
    assert!(first.provider_id.is_none());
    let waiting = db.invalidations_in_progress().await.unwrap();
    assert_eq!((waiting.len(), &waiting[0].0, &waiting[0].1), (2, &first, &None), "the distribution is not made yet");
    db.distribution_observed(id, id, 1).await.unwrap();
    db.invalidation_told(&first.id, &first.id).await.unwrap();
    let waiting = db.invalidations_in_progress().await.unwrap();
    assert_eq!((&waiting[0].0.id, &waiting[0].1), (&second.id, &Some(id.clone())), "who is not told comes first");
    db.invalidations_confirm(std::slice::from_ref(&first.id), 5).await.unwrap();
    let shown = db.invalidation_find(id.as_str(), first.id.as_str()).await.unwrap();
    assert_eq!((shown.state, shown.completed_at), (InvalidationState::Completed, Some(5)));
    assert_eq!(db.invalidations_in_progress().await.unwrap().len(), 1);
    let page = db
        .invalidation_page(id.as_str(), &PageRequest { limit: 1, after: None, order: PageOrder::OldestFirst })
        .await
        .unwrap();
    assert!(page.items[0].id == first.id && page.next.is_some());
    assert!(matches!(db.invalidation_find("E0", "I0").await, Err(Error::NotFound { subject: "distribution", .. })));
    assert!(matches!(
        db.invalidation_find(id.as_str(), "I0").await,
        Err(Error::NotFound { subject: "invalidation", .. })
    ));
}

async fn a_log_that_is_full_raises_its_floor(engine: Engine) {
    let (scratch, db, _) = open_on(engine).await;
    let id = DistributionId::random();
    let made = NewLocalDistribution {
        id: id.clone(),
        reference: "r".into(),
        config: "{}".into(),
        domain: "e.cdn.localhost".into(),
        enabled: true,
        tags: std::collections::BTreeMap::new(),
    };
    db.local_distribution_create(&made, 1).await.unwrap();
    // As many as there may be, without a thousand commits.
    let text = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LOG_MAX_ORDERS})
         INSERT INTO local_invalidations (id, distribution_id, sequence, reference, paths, tags, patterns, changed_version)
         SELECT 'I' || i, '{id}', i, 'r' || i, '[\"/x\"]', '[]', 1, 1 FROM n;
         UPDATE local_distributions SET invalidation_sequence = {LOG_MAX_ORDERS}"
    );
    scratch.run(&text).await;
    let log = |rows: anabranch_db::SnapshotRows| rows.invalidations[&id].clone();
    assert_eq!(log(db.snapshot(2).await.unwrap()).floor, 0);
    let told = |reference: &str, paths: Vec<String>| NewLocalInvalidation {
        id: InvalidationId::random(),
        distribution: id.clone(),
        reference: reference.into(),
        paths,
        tags: Vec::new(),
    };
    let next = told("next", vec!["/y".into()]);
    let Change::Done((known, version)) = db.local_invalidation_create(&next).await.unwrap() else { panic!("not told") };
    assert_eq!((&known, db.local_invalidation(&id, &known).await.unwrap()), (&next.id, Some(version)));
    assert_eq!(db.local_invalidation_create(&next).await.unwrap(), Change::Done((known.clone(), version)));
    let differs = told("next", vec!["/z".into()]);
    assert_eq!(db.local_invalidation_create(&differs).await.unwrap(), Change::Taken(known.to_string()));
    let next = log(db.snapshot(3).await.unwrap());
    assert_eq!((next.floor, next.entries.len(), next.entries[0].sequence), (1, LOG_MAX_ORDERS as usize, 2));
    // An order as large as all others may be together leaves nothing but itself.
    let paths: Vec<String> = (0..LOG_MAX_PATTERNS).map(|number| format!("/{number}")).collect();
    db.local_invalidation_create(&told("large", paths)).await.unwrap();
    let last = log(db.snapshot(4).await.unwrap());
    assert_eq!((last.floor, last.entries.len(), last.last()), (1001, 1, 1002));
}

#[tokio::test]
async fn rows_of_the_first_schema_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sqlite");
    let first = include_str!("../../migrations/sqlite/0001_init.sql");
    let mut conn = raw_new(&path).await;
    sqlx::raw_sql(first).execute(&mut conn).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO tokens VALUES (zeroblob(32), 'admin', 1);
         INSERT INTO key_groups VALUES ('g1', 'default', 1);
         INSERT INTO keys VALUES ('K1', 'g1', 'first', 'private', 'public', 1, NULL, NULL);
         INSERT INTO channels VALUES ('c1', 'c', '', 0, 'Idle', 1, 6, 60, NULL, 1, 1, NULL, NULL);
         INSERT INTO inputs VALUES ('i1', 'c1', 0, 'secret');
         INSERT INTO distributions VALUES ('E1', 'c1', 'g1', 'e1.cdn.localhost', '[]', 1, 'PriceClass_100', 'Deployed', 1, 7, 70, 1, 1);
         INSERT INTO breakouts VALUES ('b1', 'b', 'c1', 'IDLE', 1, NULL, NULL, NULL, 1, 1, NULL, NULL);",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    mark_applied(&mut conn, first).await;
    conn.close().await.unwrap();
    let db = Db::open(&path).await.unwrap();
    let row = db.distribution_of_channel(&"c1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((row.id.as_str(), row.config.as_deref(), row.caller_reference.as_str()), ("E1", None, "E1"));
    assert_eq!((row.requests_total, row.bytes_total, row.generation), (7, 70, 1));
    assert_eq!(row.key_groups.iter().map(KeyGroupId::as_str).collect::<Vec<_>>(), ["g1"]);
    let key = db.key_find("first").await.unwrap();
    assert_eq!((key.private_pem.as_deref(), key.groups.len()), (Some("private"), 1));
    assert_eq!(db.snapshot(2).await.unwrap().key_groups[0].keys.len(), 1);
    let told = db.snapshot(2).await.unwrap();
    let config = told.distributions[0].text.as_ref().map(|(config, _)| config.as_str());
    assert_eq!((told.distributions[0].id.as_str(), config), ("E1", Some("")));
    let version = told.distributions[0].changed_version;
    let told = db.snapshot_beyond(2, |id, known| id.as_str() == "E1" && known == version).await.unwrap();
    assert_eq!((told.distributions.len(), &told.distributions[0].text), (1, &None), "what is known is not read again");
    assert_eq!(told.channels[0].inputs[0].stream_key, "secret");
    assert_eq!(db.local_distributions_empty().await.unwrap(), std::slice::from_ref(&row.id));
    db.local_distribution_fill(&row.id, "{}").await.unwrap();
    assert_eq!(db.distribution_find("E1").await.unwrap().config.as_deref(), Some("{}"));
    assert!(db.operations_due(3).await.unwrap().is_empty() && db.operations_heal(3).await.unwrap() == 0);
    let (_, tokens) = db.tokens_live().await.unwrap();
    assert_eq!((tokens[0].hash, tokens[0].name.as_str()), ([0; 32], "admin"));
    assert_eq!(tokens[0].scopes, ["admin"], "tokens of before may do everything");
}

async fn raw_new(path: &std::path::Path) -> sqlx::sqlite::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    sqlx::sqlite::SqliteConnection::connect_with(&options).await.unwrap()
}

/// Writes what the migrator would have written, with its own checksum of the text.
async fn mark_applied(conn: &mut sqlx::sqlite::SqliteConnection, sql: &'static str) {
    use sqlx::SqlSafeStr as _;
    let kind = sqlx::migrate::MigrationType::Simple;
    let migration = sqlx::migrate::Migration::new(1, "init".into(), kind, sql.into_sql_str(), false);
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
             execution_time BIGINT NOT NULL)",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (1, 'init', 1, ?1, 0)")
        .bind(migration.checksum.as_ref())
        .execute(conn)
        .await
        .unwrap();
}
