//! Two controllers on one database: one acts.

use std::time::Duration;

use anabranch_db::{Db, Error, Wish};
use anabranch_testkit::Database;
use tokio::time::timeout;

use crate::channel;
use crate::scratch::{Engine, Rows as _, Scratch, open_on};

/// Longer than any takeover may take.
const LONG: Duration = Duration::from_secs(30);

async fn lead(db: &Db) {
    let leading = async {
        while !db.try_lead().await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, leading).await.expect("the lead");
}

#[tokio::test]
async fn a_file_is_led_at_once() {
    let (_scratch, db, _) = open_on(Engine::Sqlite).await;
    assert!(db.is_leader() && db.try_lead().await.unwrap());
    assert!(timeout(Duration::from_millis(50), db.lost()).await.is_err(), "and for good");
}

#[tokio::test]
async fn one_of_two_acts_and_the_other_takes_over() {
    let Some(database) = Database::create() else { return };
    let one = Db::open_url(&database.url()).await.unwrap();
    assert!(!one.is_leader());
    assert!(matches!(one.key_group_ensure("default", 1).await, Err(Error::NotLeader)), "nobody acts unasked");
    assert!(one.try_lead().await.unwrap() && one.is_leader());
    let group = one.key_group_ensure("default", 1).await.unwrap().id;
    let two = Db::open_url(&database.url()).await.unwrap();
    assert!(!two.try_lead().await.unwrap() && !two.is_leader());
    let refused = two.channel_create(&channel("c", &group), 1).await.unwrap_err();
    assert!(matches!(refused, Error::NotLeader) && refused.is_passing(), "{refused:?}");
    assert!(two.snapshot(1).await.is_ok(), "reading is free");
    one.close().await;
    lead(&two).await;
    two.channel_create(&channel("c", &group), 1).await.unwrap();
}

#[tokio::test]
async fn who_was_cut_off_keeps_the_lead_if_nobody_else_came() {
    let Some(database) = Database::create() else { return };
    let db = Db::open_url(&database.url()).await.unwrap();
    lead(&db).await;
    let group = db.key_group_ensure("default", 1).await.unwrap().id;
    let standby = Db::open_url(&database.url()).await.unwrap();
    assert!(!standby.try_lead().await.unwrap());
    for round in 0..2 {
        database.cut();
        let watched = timeout(Duration::from_millis(1500), async {
            // The standby asks as often as it can, and still lets the other come back.
            let ask = async {
                loop {
                    assert!(!standby.try_lead().await.unwrap_or(false));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! { () = db.lost() => {}, () = ask => {} }
        });
        assert!(watched.await.is_err(), "the lead is not lost");
        db.channel_create(&channel(&format!("c{round}"), &group), 1).await.unwrap();
    }
}

#[tokio::test]
async fn who_was_away_for_too_long_writes_nothing_more() {
    let Some(database) = Database::create() else { return };
    let old = Db::open_url(&database.url()).await.unwrap();
    lead(&old).await;
    let group = old.key_group_ensure("default", 1).await.unwrap().id;
    old.channel_create(&channel("c", &group), 1).await.unwrap();
    let new = Db::open_url(&database.url()).await.unwrap();
    assert!(!new.try_lead().await.unwrap());
    // The old one does not look after its session, as if its machine stood still.
    database.cut();
    lead(&new).await;
    assert!(old.is_leader(), "it does not know yet");
    let before = new.snapshot_version().await.unwrap();
    assert!(matches!(old.channel_wish("c", Wish::Run, 2).await, Err(Error::NotLeader)));
    assert_eq!(new.snapshot_version().await.unwrap(), before, "nothing was written");
    assert!(!old.is_leader(), "it knows from the first refusal on");
    timeout(LONG, old.lost()).await.expect("it learns of it");
    assert!(!old.is_leader() && !old.try_lead().await.unwrap());
    new.channel_wish("c", Wish::Run, 2).await.unwrap();
    new.close().await;
    lead(&old).await;
    old.channel_wish("c", Wish::Rest, 3).await.unwrap();
}

#[tokio::test]
async fn many_who_start_at_once_agree_on_one() {
    let Some(database) = Database::create() else { return };
    let open: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move {
                let db = Db::open_url(&url).await.unwrap();
                let leads = db.try_lead().await.unwrap();
                (db, leads)
            })
        })
        .collect();
    let mut dbs = Vec::new();
    for task in open {
        dbs.push(task.await.unwrap());
    }
    assert_eq!(dbs.iter().filter(|(_, leads)| *leads).count(), 1);
    for (db, leads) in &dbs {
        assert_eq!(db.key_group_ensure("default", 1).await.is_ok(), *leads);
    }
}

#[tokio::test]
async fn binaries_of_two_versions_keep_out_of_each_others_way() {
    let Some(database) = Database::create() else { return };
    let scratch = Scratch::Server(database);
    let old = scratch.open().await.unwrap();
    // As the older one knows it.
    scratch.run("CREATE TABLE kept AS SELECT * FROM _sqlx_migrations WHERE version > 1").await;
    scratch.run("DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let error = scratch.open().await.unwrap_err();
    assert!(matches!(error, Error::Older { found: 1, .. }), "{error:?}");
    scratch.run("INSERT INTO _sqlx_migrations SELECT * FROM kept").await;
    let Scratch::Server(database) = &scratch else { unreachable!("a server") };
    let standby = Db::open_url(&database.url()).await.unwrap();
    assert!(!standby.try_lead().await.unwrap());
    // Then a newer one comes while this one stands by.
    old.close().await;
    scratch
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, '', 0)",
        )
        .await;
    let refused = async {
        loop {
            match standby.try_lead().await {
                Ok(led) => assert!(!led, "it does not know the schema"),
                Err(error) => return error,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let error = timeout(LONG, refused).await.expect("a refusal");
    assert!(matches!(error, Error::Newer { found: 9999, .. }), "{error:?}");
    assert!(!standby.is_leader());
}
