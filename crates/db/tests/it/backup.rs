//! Backups of a file in use, and their way back.

use anabranch_db::{Db, Error, LogFilter, LogOrder, LogRange, NewLocalDistribution, PageOrder, PageRequest, Wish};
use std::collections::BTreeSet;

use anabranch_model::DistributionId;

use crate::channel;
use crate::scratch::{Engine, Scratch, open_on};

fn file_of(scratch: &Scratch) -> std::path::PathBuf {
    match scratch {
        Scratch::File(dir) => dir.path().join("db.sqlite"),
        Scratch::Server(_) => unreachable!("a file"),
    }
}

#[tokio::test]
async fn a_backup_under_writes_is_of_one_moment_and_comes_back_as_the_newest() {
    let (scratch, db, group) = open_on(Engine::Sqlite).await;
    let database = file_of(&scratch);
    db.channel_create(&channel("first", &group), 1).await.unwrap();
    let own = NewLocalDistribution {
        id: DistributionId::random(),
        reference: "own".into(),
        config: "{}".into(),
        domain: "own.cdn.localhost".into(),
        tags: std::collections::BTreeMap::new(),
        enabled: true,
    };
    db.local_distribution_create(&own, 1).await.unwrap();
    let writer = {
        let db = db.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                db.channel_create(&channel(&format!("c{number}"), &group), 1).await.unwrap();
            }
        })
    };
    let copy = database.with_file_name("copy");
    std::fs::write(&copy, []).unwrap();
    let backup = Db::back_up(&database, &copy).await.unwrap();
    writer.await.unwrap();
    assert_eq!(Db::check_backup(&copy).await.unwrap(), backup);
    let before = db.snapshot(1).await.unwrap();
    assert!(backup.snapshot <= before.version);
    let logged = db.log_newest().await.unwrap();
    db.close().await;

    let version = Db::revive(&copy, 9).await.unwrap();
    assert!(!copy.with_file_name("copy-wal").exists(), "all of it is in the one file");
    let db = Db::open(&copy).await.unwrap();
    let after = db.snapshot(1).await.unwrap();
    assert_eq!(after.version, version);
    assert!(after.version > before.version, "edges take it for the newest");
    // What was there at one moment, and nothing of later.
    let page = db.channel_page(&PageRequest { limit: 200, after: None, order: PageOrder::OldestFirst }).await.unwrap();
    let names: BTreeSet<_> = page.items.into_iter().map(|channel| channel.name).collect();
    assert!(names.contains("first"));
    assert!((0..names.len() - 1).all(|number| names.contains(&format!("c{number}"))), "{names:?}");
    let log = &after.invalidations[&own.id];
    assert!(log.floor > before.invalidations[&own.id].last(), "what is cached is of no use any more");
    db.channel_wish("first", Wish::Run, 2).await.unwrap();
    let range = LogRange { after: None, before: None, order: LogOrder::NewestFirst, limit: 3 };
    let entries = db.log_page(&LogFilter::default(), &range).await.unwrap().entries;
    assert_eq!(entries[2].word, "database.restored");
    assert!(entries[2].sequence > logged, "no number stands for two entries");
}

#[tokio::test]
async fn what_is_no_sound_backup_is_refused() {
    let (scratch, db, _) = open_on(Engine::Sqlite).await;
    let database = file_of(&scratch);
    let copy = database.with_file_name("copy");
    std::fs::write(&copy, []).unwrap();
    Db::back_up(&database, &copy).await.unwrap();
    drop(db);
    let sound = std::fs::read(&copy).unwrap();
    // Cut off, overwritten in the middle, something else, nothing, not there.
    let mut broken = sound.clone();
    broken[5000..9000].fill(0xff);
    for (what, bytes) in [
        ("cut", &sound[..sound.len() / 2]),
        ("broken", &broken[..]),
        ("text", b"no database at all, but long enough to be looked at"),
        ("empty", b""),
    ] {
        std::fs::write(&copy, bytes).unwrap();
        let error = Db::check_backup(&copy).await.unwrap_err();
        assert!(matches!(error, Error::Backup { .. } | Error::Open { .. }), "{what}: {error:?}");
    }
    assert!(Db::check_backup(&database.with_file_name("nowhere")).await.is_err());
    assert!(!database.with_file_name("nowhere").exists());
}
