//! Backups of a file in use, and their way back.

use std::collections::BTreeMap;

use anabranch_db::{Db, Error, NewLocalDistribution, Wish};
use anabranch_model::{ChannelId, ChannelSpec, DistributionId};

use crate::channel;
use crate::journal::spec;
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
    let told = ChannelSpec { name: "first".into(), ..spec(&ChannelId::random()) };
    db.local_pipeline_ensure(&told, &BTreeMap::new(), 1).await.unwrap();
    let own = NewLocalDistribution {
        id: DistributionId::random(),
        reference: "r".into(),
        config: "{}".into(),
        domain: "e.cdn.localhost".into(),
        enabled: true,
        tags: BTreeMap::new(),
    };
    db.local_distribution_create(&own, 1).await.unwrap();
    let writer = {
        let db = db.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                let spec = ChannelSpec { name: format!("c{number}"), ..spec(&ChannelId::random()) };
                db.local_pipeline_ensure(&spec, &BTreeMap::new(), 1).await.unwrap();
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
    db.close().await;

    let version = Db::revive(&copy).await.unwrap();
    assert!(!copy.with_file_name("copy-wal").exists(), "all of it is in the one file");
    let db = Db::open(&copy).await.unwrap();
    let after = db.snapshot(1).await.unwrap();
    assert_eq!(after.version, version);
    assert!(after.version > before.version, "edges take it for the newest");
    // Every change is one version: what was there at that version, and nothing of later.
    assert_eq!(after.channels.len() as u64, backup.snapshot - 2);
    assert!(after.channels.iter().any(|channel| channel.name == "first"));
    let log = &after.invalidations[&own.id];
    assert!(log.floor > before.invalidations[&own.id].last(), "what is cached is of no use any more");
    db.channel_wish("first", Wish::Run, 2).await.unwrap();
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
