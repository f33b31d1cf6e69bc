//! Buckets, arrivals, assets and their jobs, collections.

use std::collections::BTreeSet;

use anabranch_db::{
    AccessKeyRow, AssetFilter, Claim, CollectionContent, Db, Entitlement, Error, JOB_ASSET, JOB_INTAKE,
    JOB_REMOVE_ASSET, JobRow, NewArrival, NewBucket, NewCollection, PageOrder, PageRequest, UploadRow,
};
use anabranch_model::{
    AccessKeyId, ArrivalState, AssetId, AssetMade, AssetReport, AssetRung, AssetState, CollectionId, JobEvent,
    JobState, UploadId,
};

use crate::scratch::{Engine, both, open_on};

both!(
    a_file_becomes_an_asset_once,
    an_asset_goes_along_with_its_job,
    a_file_that_is_replaced_takes_its_asset_along_where_that_is_wanted,
    a_job_that_finds_no_room_spends_no_try,
    a_file_may_have_a_preset_of_its_own,
    collections_say_who_may_watch,
    buckets_and_uploads_and_access_keys,
);

const PAGE: PageRequest = PageRequest { limit: 10, after: None, order: PageOrder::OldestFirst };

async fn uploads(db: &Db, mirror: bool) {
    let new = NewBucket { name: "up".into(), preset: Some("standard".into()), mirror, house: false, idempotency: None };
    db.bucket_create(&new, 1).await.unwrap();
}

async fn note(db: &Db, key: &str, version: &str, size: u64, now_ms: i64) -> bool {
    db.arrival_note(&NewArrival { bucket: "up", key, version, size, preset: None }, now_ms).await.unwrap()
}

async fn claim(db: &Db, kind: &'static str) -> JobRow {
    let claim = Claim { kinds: &[kind], worker: "w", held: &[], others_end: true, lease_ms: 950 };
    db.job_claim(&claim, 50).await.unwrap().unwrap()
}

/// The object arrives and is read.
async fn arrive(db: &Db, key: &str, version: &str, content: u8) -> AssetId {
    assert!(note(db, key, version, 7, 2).await);
    let job = claim(db, JOB_INTAKE).await;
    assert_eq!(job.subject, format!("up/{key}"));
    let seen = db.arrival_find("up", key).await.unwrap().unwrap();
    let id = AssetId::of(&[content; 32]);
    let known = db.arrival_recognised(&seen, &id, 3).await.unwrap().unwrap();
    assert_eq!(known.asset.id, id);
    db.job_end(&job, JobEvent::Finish, None, 4, 4).await.unwrap();
    id
}

async fn a_file_becomes_an_asset_once(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, false).await;
    let id = arrive(&db, "a b/holiday.2024.final.mp4", "v1", 1).await;
    assert!(!note(&db, "a b/holiday.2024.final.mp4", "v1", 7, 5).await);
    assert_eq!(arrive(&db, "copy.mp4", "v1", 1).await, id);
    let all = db.asset_page(&AssetFilter::default(), &PAGE).await.unwrap().items;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].name.as_str(), all[0].state, all[0].size), ("holiday.2024.final.mp4", AssetState::Queued, 7));
    let named = |name: &str| AssetFilter { name: Some(name.into()), ..AssetFilter::default() };
    assert_eq!(db.asset_page(&named("2024.FINAL"), &PAGE).await.unwrap().items.len(), 1);
    assert_eq!(db.asset_page(&named("2024_final"), &PAGE).await.unwrap().items.len(), 0);
    let ready = AssetFilter { state: Some(AssetState::Ready), ..AssetFilter::default() };
    assert_eq!(db.asset_page(&ready, &PAGE).await.unwrap().items.len(), 0);
    // What is replaced while it is read is read again.
    let seen = db.arrival_find("up", "copy.mp4").await.unwrap().unwrap();
    assert!(note(&db, "copy.mp4", "v2", 8, 6).await);
    assert_eq!(db.arrival_recognised(&seen, &AssetId::of(&[9; 32]), 7).await.unwrap(), None);
    assert_eq!(db.arrivals_between("up", "a", "copy.mp4").await.unwrap().len(), 2);
}

async fn an_asset_goes_along_with_its_job(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, false).await;
    let id = arrive(&db, "a.mp4", "v1", 1).await;
    let asset = async || db.asset_find(id.as_str()).await.unwrap();
    let job = claim(&db, JOB_ASSET).await;
    assert_eq!(asset().await.state, AssetState::Processing);
    let rung = AssetRung { name: "360".into(), ..AssetRung::default() };
    let mut report = AssetReport {
        made: AssetMade { rungs: vec![rung], rungs_planned: 2, partial: true, ..AssetMade::default() },
        ..AssetReport::default()
    };
    assert!(db.asset_report(&id, &report, 5).await.unwrap().unwrap().playable);
    report.made.partial = false;
    assert_eq!(db.asset_report(&id, &report, 6).await.unwrap(), None);
    assert_eq!(asset().await.report, report);
    db.job_end(&job, JobEvent::Postpone, Some("no room"), 40, 7).await.unwrap();
    assert_eq!((asset().await.state, asset().await.problem.as_deref()), (AssetState::Queued, Some("no room")));
    let job = claim(&db, JOB_ASSET).await;
    db.job_end(&job, JobEvent::Finish, None, 8, 8).await.unwrap();
    assert_eq!((asset().await.state, asset().await.ready_at), (AssetState::Ready, Some(8)));
    assert!(matches!(db.asset_cancel(id.as_str(), 9).await, Err(Error::Transition(_))));

    let again = db.asset_retry(id.as_str(), Some("lms"), 10).await.unwrap();
    assert_eq!((again.state, again.preset.as_str(), again.generation), (AssetState::Queued, "lms", 2));
    let cancelled = db.asset_cancel(id.as_str(), 11).await.unwrap();
    assert_eq!((cancelled.state, cancelled.playable), (AssetState::Cancelled, true));
    assert_eq!(db.jobs_about(JOB_ASSET, &[id.as_str()]).await.unwrap()[id.as_str()].state, JobState::Cancelled);
    db.asset_retry(id.as_str(), None, 12).await.unwrap();
    let job = claim(&db, JOB_ASSET).await;
    db.job_end(&job, JobEvent::GiveUp, Some("not a video"), 13, 13).await.unwrap();
    assert_eq!((asset().await.state, asset().await.problem.as_deref()), (AssetState::Failed, Some("not a video")));
    db.asset_delete(id.as_str(), 14).await.unwrap();
    assert!(matches!(db.asset_find(id.as_str()).await, Err(Error::NotFound { .. })));
    assert_eq!(claim(&db, JOB_REMOVE_ASSET).await.subject, id.as_str());
    // Its file is still there, and is no news.
    assert!(!note(&db, "a.mp4", "v1", 7, 15).await);
}

async fn a_file_that_is_replaced_takes_its_asset_along_where_that_is_wanted(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, true).await;
    let first = arrive(&db, "a.mp4", "v1", 1).await;
    arrive(&db, "b.mp4", "v1", 1).await;
    let second = arrive(&db, "a.mp4", "v2", 2).await;
    // Another file is still the first asset.
    db.asset_find(first.as_str()).await.unwrap();
    assert_eq!(db.arrival_gone("up", "b.mp4", 9).await.unwrap().unwrap().id, first);
    assert!(matches!(db.asset_find(first.as_str()).await, Err(Error::NotFound { .. })));
    db.bucket_update("up", Some("standard"), false, 10).await.unwrap();
    assert_eq!(db.arrival_gone("up", "a.mp4", 11).await.unwrap(), None);
    db.asset_find(second.as_str()).await.unwrap();
    assert_eq!(db.arrival_gone("up", "a.mp4", 12).await.unwrap(), None);
}

async fn collections_say_who_may_watch(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, false).await;
    let (one, two) = (arrive(&db, "1.mp4", "v", 1).await, arrive(&db, "2.mp4", "v", 2).await);
    let may = async |user: Option<&str>| db.asset_entitlement(&one, user).await.unwrap();
    assert_eq!(may(None).await, Entitlement::Free);
    let mut content = CollectionContent {
        name: "course".into(),
        description: String::new(),
        everyone: false,
        assets: vec![two.clone(), one.clone()],
        viewers: BTreeSet::from(["anna".to_owned()]),
    };
    let new = NewCollection { id: CollectionId::random(), content: content.clone(), idempotency: None };
    db.collection_create(&new, 5).await.unwrap();
    assert_eq!(db.collection_find("course").await.unwrap().content, content);
    assert_eq!(may(None).await, Entitlement::Refused);
    assert_eq!(may(Some("anna")).await, Entitlement::Admitted);
    assert_eq!(may(Some("ben")).await, Entitlement::Refused);
    content.everyone = true;
    content.assets.reverse();
    db.collection_update("course", &content, 6).await.unwrap();
    assert_eq!(db.collection_page(&PAGE).await.unwrap().items[0].content, content);
    assert_eq!(may(Some("ben")).await, Entitlement::Admitted);
    content.assets.push(AssetId::of(&[7; 32]));
    assert!(matches!(db.collection_update("course", &content, 7).await, Err(Error::Dangling { .. })));
    db.asset_delete(one.as_str(), 8).await.unwrap();
    assert_eq!(db.collection_find("course").await.unwrap().content.assets, [two]);
    db.collection_delete("course", 9).await.unwrap();
    assert!(matches!(db.collection_find("course").await, Err(Error::NotFound { .. })));
}

async fn buckets_and_uploads_and_access_keys(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    db.bucket_ensure("vod", None, true, 1).await.unwrap();
    db.bucket_ensure("vod", Some("x"), false, 1).await.unwrap();
    uploads(&db, false).await;
    assert!(matches!(db.bucket_delete("vod", 2).await, Err(Error::InUse { .. })));
    assert_eq!(db.buckets_watched().await.unwrap().len(), 1);
    let upload = UploadRow {
        id: UploadId::random(),
        bucket: "up".into(),
        key: "a.mp4".into(),
        size: None,
        metadata: "filename YQ==".into(),
        created_at: 3,
        expires_at: 10,
    };
    db.upload_create(&upload).await.unwrap();
    db.upload_touch(&upload.id, Some(5), 20).await.unwrap();
    assert_eq!(db.upload_find(upload.id.as_str()).await.unwrap().size, Some(5));
    assert!(matches!(db.bucket_delete("up", 4).await, Err(Error::InUse { .. })));
    assert_eq!(db.uploads_expired(20).await.unwrap().len(), 0);
    assert_eq!(db.uploads_expired(21).await.unwrap().len(), 1);
    db.upload_delete(&upload.id).await.unwrap();
    db.bucket_delete("up", 5).await.unwrap();
    assert_eq!(db.bucket_page(&PAGE).await.unwrap().items.len(), 1);

    let key = AccessKeyRow {
        id: AccessKeyId::random(),
        name: "cam".into(),
        secret: "s".into(),
        buckets: vec!["up".into()],
        may_write: true,
        created_at: 6,
    };
    db.access_key_create(&key, 6).await.unwrap();
    assert_eq!(db.access_key_page(&PAGE).await.unwrap().items, std::slice::from_ref(&key));
    db.access_key_delete(key.id.as_str(), 7).await.unwrap();
    assert!(matches!(db.access_key_find(key.id.as_str()).await, Err(Error::NotFound { .. })));
}

async fn a_job_that_finds_no_room_spends_no_try(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, false).await;
    let id = arrive(&db, "a.mp4", "v1", 1).await;
    for waits in 1..=9 {
        let job = claim(&db, JOB_ASSET).await;
        assert_eq!((job.attempts, job.waits, job.spent()), (waits, waits - 1, 1));
        let job = db.job_wait(&job, "disk full", 45, 5).await.unwrap();
        assert_eq!((job.state, job.spent(), job.next_try_at), (JobState::Queued, 0, 45));
        // Told twice it is the same.
        assert_eq!(db.job_wait(&job, "disk full", 46, 6).await.unwrap(), job);
        let asset = db.asset_find(id.as_str()).await.unwrap();
        assert_eq!((asset.state, asset.problem.as_deref()), (AssetState::Queued, Some("disk full")));
    }
    // Tries that fail otherwise are counted as ever, those of dead workers too.
    for spent in 1..=5 {
        let claim = Claim { kinds: &[JOB_ASSET], worker: "w", held: &[], others_end: true, lease_ms: 10 };
        let job = db.job_claim(&claim, 100 * i64::from(spent)).await.unwrap().unwrap();
        assert_eq!((job.spent(), job.attempts), (spent, 9 + spent));
    }
    let claim = Claim { kinds: &[JOB_ASSET], worker: "w", held: &[], others_end: true, lease_ms: 10 };
    assert_eq!(db.job_claim(&claim, 1000).await.unwrap(), None);
    assert_eq!(db.asset_find(id.as_str()).await.unwrap().state, AssetState::Failed);
    db.asset_retry(id.as_str(), None, 1001).await.unwrap();
    assert_eq!(db.job_claim(&claim, 1002).await.unwrap().unwrap().spent(), 1);
}

async fn a_file_may_have_a_preset_of_its_own(engine: Engine) {
    let (_dir, db, _) = open_on(engine).await;
    uploads(&db, false).await;
    db.bucket_update("up", None, false, 2).await.unwrap();
    let new = NewArrival { bucket: "up", key: "a.mp4", version: "v1", size: 7, preset: None };
    assert!(!db.arrival_note(&new, 2).await.unwrap(), "no assets are made in this bucket");
    assert!(db.arrival_note(&NewArrival { preset: Some("lms"), ..new }, 3).await.unwrap());
    let seen = db.arrival_find("up", "a.mp4").await.unwrap().unwrap();
    assert_eq!((seen.state, seen.preset.as_deref()), (ArrivalState::Waiting, Some("lms")));
    let known = db.arrival_recognised(&seen, &AssetId::of(&[1; 32]), 4).await.unwrap().unwrap();
    assert_eq!(known.asset.preset, "lms");
    assert_eq!(db.arrival_find("up", "a.mp4").await.unwrap().unwrap().state, ArrivalState::Known);
}
