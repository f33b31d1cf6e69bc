//! What every place of a bucket's objects has to do: the disk, and a service elsewhere, which here is this endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anabranch_net::{Clock as _, SystemClock};
use anabranch_store::buckets::{
    Adopt, Attributes, Backend, BucketError, Condition, Connection, Content, CopyAttributes, Credentials, Event,
    Likely, ListQuery, NamedPart, Patience, Put, Remotes,
};
use anabranch_store::{Buckets, LocalStore};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use crate::house::{House, NAMES, OWNER, noise};

const MIB: usize = 1024 * 1024;

/// Larger than one request, and no multiple of a part.
const LARGE: usize = 20 * MIB + 7;

/// The bucket of the contract.
const BUCKET: &str = "films";

pub(crate) fn connection(endpoint: &str) -> Connection {
    let (access_key_id, secret_access_key) = (OWNER.0.to_owned(), OWNER.1.to_owned());
    let credentials = Some(Credentials { access_key_id, secret_access_key, session_token: None });
    Connection { endpoint: Some(endpoint.to_owned()), region: None, path_style: None, credentials }
}

pub(crate) fn remotes(endpoint: &str, patience: Patience) -> Remotes {
    Remotes {
        connections: BTreeMap::from([("there".to_owned(), connection(endpoint))]),
        credentials: None,
        fixed: BTreeMap::new(),
        shared: false,
        patience,
        now: Arc::new(|| {
            let ms = u64::try_from(SystemClock.now_ms()).expect("a time after 1970");
            SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
        }),
    }
}

pub(crate) fn backend(url: &str) -> Backend {
    Backend { url: url.to_owned(), remote: Some("there".to_owned()), ..Backend::default() }
}

/// A store with the bucket of the contract, here or elsewhere.
pub(crate) struct Place {
    pub(crate) buckets: Buckets,
    events: mpsc::Receiver<Event>,
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn open(endpoint: Option<&str>, url: &str, patience: Patience) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let store = LocalStore::open(&dir.path().join("store"), 0).expect("a store");
        let (sender, events) = mpsc::channel(10_000);
        let mut buckets = Buckets::new(store, Some(Arc::new(sender)));
        if let Some(endpoint) = endpoint {
            buckets = buckets.with_remotes(remotes(endpoint, patience)).expect("a service");
        }
        buckets.bucket_create(BUCKET).await.expect("a bucket");
        buckets.bucket_create("here").await.expect("a bucket");
        if endpoint.is_some() {
            buckets.backend_set(BUCKET, &backend(url)).await.expect("a backend");
        }
        Self { buckets, events, dir }
    }

    async fn put(&self, key: &str, put: Put, body: &[u8]) -> Result<anabranch_store::buckets::ObjectInfo, BucketError> {
        let mut writer = self.buckets.put(BUCKET, key, put).await?;
        for piece in body.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        writer.finish().await
    }

    async fn text(&self, key: &str, body: &str) {
        self.put(key, Put::default(), body.as_bytes()).await.expect("an object");
    }

    async fn part(&self, key: &str, likely: Likely, first: u64, len: Option<u64>) -> Result<Vec<u8>, BucketError> {
        let opened = self.buckets.get_likely(BUCKET, key, likely).await?;
        let len = len.unwrap_or(opened.info.size - first);
        let mut all = Vec::new();
        match opened.content {
            Content::File(mut file) => {
                file.seek(std::io::SeekFrom::Start(first)).await.expect("a file");
                file.take(len).read_to_end(&mut all).await.expect("a file");
            }
            Content::Remote(object) => {
                let mut pieces = object.pieces(first, len).await?;
                assert_eq!(pieces.left(), len);
                while let Some(piece) = pieces.next().await {
                    all.extend_from_slice(&piece?);
                }
                assert_eq!(pieces.left(), 0);
            }
        }
        Ok(all)
    }

    async fn whole(&self, key: &str) -> Result<Vec<u8>, BucketError> {
        self.part(key, Likely::Whole, 0, None).await
    }

    async fn all(&self, query: ListQuery) -> (Vec<String>, Vec<String>) {
        let (mut keys, mut prefixes, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page =
                self.buckets.list(BUCKET, ListQuery { after: after.clone(), ..query.clone() }).await.expect("a page");
            assert!(page.objects.len() + page.prefixes.len() <= query.limit);
            keys.extend(page.objects.into_iter().map(|object| object.key));
            prefixes.extend(page.prefixes);
            let Some(next) = page.next else { return (keys, prefixes) };
            assert!(after.as_ref().is_none_or(|after| *after < next), "{after:?} {next}");
            after = Some(next);
        }
    }

    async fn contract(&mut self) {
        self.objects_come_back().await;
        self.conditions_hold().await;
        self.nothing_is_half_there().await;
        self.listings_are_whole().await;
        self.large_objects_come_back().await;
        self.copies_are_made().await;
        self.uploads_in_parts_become_objects().await;
        self.what_is_removed_is_gone().await;
        assert!(matches!(self.buckets.put(BUCKET, "", Put::default()).await, Err(BucketError::InvalidKey { len: 0 })));
    }

    async fn objects_come_back(&mut self) {
        let attributes = Attributes {
            content_type: Some("text/x-note".to_owned()),
            headers: BTreeMap::from([("cache-control".to_owned(), "max-age=7".to_owned())]),
            user: BTreeMap::from([("from".to_owned(), "me".to_owned())]),
        };
        let put = Put { attributes: attributes.clone(), ..Put::default() };
        let stored = self.put("a/note", put, b"0123456789").await.expect("an object");
        assert_eq!((stored.size, stored.etag.as_str()), (10, "781e5e245d69b566979b86e28d23f2c7"));
        let told = self.events.recv().await.expect("an event");
        let Event::ObjectCreated { bucket, key, size: 10, etag } = &told else { panic!("{told:?}") };
        assert_eq!((bucket.as_str(), key.as_str(), etag), (BUCKET, "a/note", &stored.etag));
        let info = self.buckets.head(BUCKET, "a/note").await.expect("an object");
        assert_eq!((info.key.as_str(), info.size, &info.etag), ("a/note", 10, &stored.etag));
        assert_eq!(info.attributes, attributes);
        assert_eq!(self.whole("a/note").await.expect("bytes"), b"0123456789");
        for likely in [Likely::Whole, Likely::Nothing, Likely::Last(3), Likely::From { first: 2, last: Some(4) }] {
            assert_eq!(self.part("a/note", likely, 2, Some(3)).await.expect("bytes"), b"234", "{likely:?}");
            assert_eq!(self.part("a/note", likely, 7, None).await.expect("bytes"), b"789", "{likely:?}");
        }
        let beyond = Likely::From { first: 10, last: None };
        assert_eq!(self.part("a/note", beyond, 9, None).await.expect("bytes"), b"9");
        self.text("empty", "").await;
        assert_eq!(self.whole("empty").await.expect("bytes"), b"");
        for missing in ["nothing", "a", "a/note/x"] {
            assert!(matches!(self.whole(missing).await, Err(BucketError::NoSuchKey { .. })), "{missing}");
            let head = self.buckets.head(BUCKET, missing).await;
            assert!(matches!(head, Err(BucketError::NoSuchKey { .. })), "{missing}: {head:?}");
        }
    }

    async fn conditions_hold(&self) {
        let on = |condition| Put { condition, ..Put::default() };
        let failed = |result| matches!(result, Err(BucketError::Precondition { .. }));
        assert!(failed(self.put("once", on(Condition::Present), b"0").await));
        let first = self.put("once", on(Condition::Absent), b"1").await.expect("the first");
        assert!(failed(self.put("once", on(Condition::Absent), b"2").await));
        assert!(failed(self.put("once", on(Condition::Matches("other".to_owned())), b"2").await));
        self.put("once", on(Condition::Matches(first.etag)), b"3").await.expect("a second");
        self.put("once", on(Condition::Present), b"4").await.expect("a third");
        assert_eq!(self.whole("once").await.expect("bytes"), b"4");
        let many: Vec<_> = (0..8)
            .map(|number: u8| {
                let buckets = self.buckets.clone();
                let put = on(Condition::Absent);
                tokio::spawn(async move { buckets.put_bytes(BUCKET, "race", put, Bytes::from(vec![number])).await })
            })
            .collect();
        let mut won = 0;
        for one in many {
            match one.await.expect("a task") {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, BucketError::Precondition { .. }), "{error}"),
            }
        }
        assert_eq!(won, 1);
    }

    async fn nothing_is_half_there(&self) {
        let size = |size| Put { size: Some(size), ..Put::default() };
        let long = noise(LARGE);
        assert!(matches!(self.put("half", size(5), b"four").await, Err(BucketError::Length { announced: 5, got: 4 })));
        assert!(matches!(self.put("half", size(3), b"four").await, Err(BucketError::Length { announced: 3, .. })));
        let wrong = Put { md5: Some([1; 16]), ..Put::default() };
        assert!(matches!(self.put("half", wrong, b"four").await, Err(BucketError::Digest { .. })));
        let wrong = Put { md5: Some([1; 16]), ..Put::default() };
        assert!(matches!(self.put("half", wrong, &long).await, Err(BucketError::Digest { .. })));
        let mut writer = self.buckets.put(BUCKET, "half", Put::default()).await.expect("a writer");
        for piece in long.chunks(MIB) {
            writer.write(Bytes::copy_from_slice(piece)).await.expect("room");
            assert!(matches!(self.buckets.head(BUCKET, "half").await, Err(BucketError::NoSuchKey { .. })));
        }
        drop(writer);
        assert!(matches!(self.buckets.head(BUCKET, "half").await, Err(BucketError::NoSuchKey { .. })));
    }

    async fn listings_are_whole(&self) {
        for key in NAMES {
            self.text(&format!("list/{key}"), key).await;
        }
        let mut wanted: Vec<String> = NAMES.iter().map(|key| format!("list/{key}")).collect();
        wanted.sort_unstable();
        for limit in [1, 2, 1000] {
            let query = ListQuery { prefix: "list/".to_owned(), limit, ..ListQuery::default() };
            assert_eq!(self.all(query).await, (wanted.clone(), Vec::new()), "{limit}");
            let query =
                ListQuery { prefix: "list/".to_owned(), delimiter: "/".to_owned(), limit, ..ListQuery::default() };
            let (keys, prefixes) = self.all(query).await;
            let folders: BTreeSet<String> = NAMES
                .iter()
                .filter_map(|key| key.split_once('/').map(|(folder, _)| format!("list/{folder}/")))
                .collect();
            assert_eq!(prefixes, folders.into_iter().collect::<Vec<_>>(), "{limit}");
            let plain = wanted.iter().filter(|key| key.matches('/').count() == 1).cloned();
            assert_eq!(keys, plain.collect::<Vec<_>>(), "{limit}");
        }
        let query = ListQuery { prefix: "list/plain/".to_owned(), limit: 9, ..ListQuery::default() };
        let page = self.buckets.list(BUCKET, query).await.expect("a page");
        let head = self.buckets.head(BUCKET, "list/plain/a.txt").await.expect("an object");
        assert_eq!((&page.objects[0].etag, page.objects[0].size), (&head.etag, head.size));
        for key in NAMES {
            assert_eq!(self.whole(&format!("list/{key}")).await.expect("bytes"), key.as_bytes());
        }
        let none = ListQuery { prefix: "nothing/".to_owned(), limit: 9, ..ListQuery::default() };
        assert_eq!(self.all(none).await, (Vec::new(), Vec::new()));
    }

    async fn large_objects_come_back(&self) {
        let long = noise(LARGE);
        for size in [None, Some(LARGE as u64)] {
            let put = Put { size, attributes: Attributes::of_type("video/mp4"), ..Put::default() };
            let stored = self.put("large", put, &long).await.expect("an object");
            let info = self.buckets.head(BUCKET, "large").await.expect("an object");
            assert_eq!((stored.size, &stored.etag), (LARGE as u64, &info.etag));
            assert_eq!(info.attributes.content_type.as_deref(), Some("video/mp4"));
            assert!(self.whole("large").await.expect("bytes") == long);
            let middle = self.part("large", Likely::Nothing, 9 * MIB as u64, Some(77)).await.expect("bytes");
            assert!(middle == long[9 * MIB..9 * MIB + 77]);
        }
        let put = Put { condition: Condition::Absent, ..Put::default() };
        assert!(matches!(self.put("large", put, &long).await, Err(BucketError::Precondition { .. })));
        let file = self.dir.path().join("film");
        std::fs::write(&file, &long).expect("a file");
        let attributes = Attributes::of_type("video/mp4");
        self.buckets.adopt(BUCKET, "adopted", &file, Adopt::Copy, attributes, None).await.expect("an object");
        assert!(self.whole("adopted").await.expect("bytes") == long && file.is_file());
    }

    async fn copies_are_made(&self) {
        let keep = CopyAttributes::Keep;
        self.buckets.copy((BUCKET, "a/note"), (BUCKET, "b/note"), keep.clone(), Condition::None).await.expect("a copy");
        let copied = self.buckets.head(BUCKET, "b/note").await.expect("an object");
        assert_eq!(copied.attributes.content_type.as_deref(), Some("text/x-note"));
        let other = CopyAttributes::Replace(Attributes::of_type("text/plain"));
        self.buckets.copy((BUCKET, "a/note"), (BUCKET, "a/note"), other, Condition::None).await.expect("a change");
        let changed = self.buckets.head(BUCKET, "a/note").await.expect("an object");
        assert_eq!((changed.attributes.content_type.as_deref(), changed.size), (Some("text/plain"), 10));
        let none = self.buckets.copy((BUCKET, "nothing"), (BUCKET, "x"), keep.clone(), Condition::None).await;
        assert!(matches!(none, Err(BucketError::NoSuchKey { .. })), "{none:?}");
        let taken = self.buckets.copy((BUCKET, "a/note"), (BUCKET, "b/note"), keep.clone(), Condition::Absent).await;
        assert!(matches!(taken, Err(BucketError::Precondition { .. })), "{taken:?}");
        // Out of the place and into it.
        self.buckets.copy((BUCKET, "large"), ("here", "large"), keep.clone(), Condition::None).await.expect("a copy");
        self.buckets.copy(("here", "large"), (BUCKET, "back"), keep, Condition::None).await.expect("a copy");
        assert!(self.whole("back").await.expect("bytes") == noise(LARGE));
    }

    async fn uploads_in_parts_become_objects(&self) {
        let attributes = Attributes::of_type("video/mp4");
        let id = self.buckets.upload_create(BUCKET, "parts", attributes).await.expect("an upload");
        let mut named = Vec::new();
        for (number, body) in [(1, noise(5 * MIB)), (2, b"end".to_vec())] {
            let mut writer =
                self.buckets.upload_part(BUCKET, "parts", &id, number, Put::default()).await.expect("a writer");
            writer.write(Bytes::from(body)).await.expect("room");
            let part = writer.finish().await.expect("a part");
            named.push(NamedPart { number, etag: Some(part.etag), checksums: BTreeMap::new() });
        }
        let range = Some(2..=4);
        let copied = self.buckets.upload_part_copy((BUCKET, "b/note"), range, (BUCKET, "parts"), &id, 2).await;
        named[1].etag = Some(copied.expect("a part").etag);
        let made = self.buckets.upload_complete(BUCKET, "parts", &id, named, Condition::None, BTreeMap::new()).await;
        assert_eq!(made.expect("an object").size, 5 * MIB as u64 + 3);
        let whole = self.whole("parts").await.expect("bytes");
        assert!(whole[..5 * MIB] == noise(5 * MIB) && whole.ends_with(b"234"));
        assert!(self.buckets.upload_list(BUCKET).await.expect("uploads").is_empty());
        let head = self.buckets.head(BUCKET, "parts").await.expect("an object");
        assert_eq!(head.attributes.content_type.as_deref(), Some("video/mp4"));
    }

    async fn what_is_removed_is_gone(&self) {
        let failed = self.buckets.delete(BUCKET, "once", Condition::Matches("other".to_owned())).await;
        assert!(matches!(failed, Err(BucketError::Precondition { .. })));
        assert!(self.buckets.delete(BUCKET, "once", Condition::None).await.expect("an answer"));
        assert!(!self.buckets.delete(BUCKET, "once", Condition::None).await.expect("an answer"));
        assert!(matches!(self.whole("once").await, Err(BucketError::NoSuchKey { .. })));
        let query = ListQuery { limit: 1000, ..ListQuery::default() };
        let (mut keys, _) = self.all(query.clone()).await;
        assert!(keys.len() > NAMES.len());
        keys.push("never there".to_owned());
        self.buckets.delete_many(BUCKET, &keys).await.expect("they go");
        assert_eq!(self.all(query).await, (Vec::new(), Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_keeps_the_contract() {
    Place::open(None, "", Patience::default()).await.contract().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_elsewhere_keeps_the_contract() {
    let house = House::open(|_| {}).await;
    // What is beside the prefix is nobody's business.
    let beside = house.buckets.put_bytes("inbox", "deep/erx", Put::default(), Bytes::from_static(b"x")).await;
    beside.expect("an object");
    let mut place = Place::open(Some(&house.url()), "s3://inbox/deep/er", Patience::default()).await;
    place.contract().await;
    let left = house.buckets.list("inbox", ListQuery { limit: 9, ..ListQuery::default() }).await.expect("a page");
    assert_eq!(left.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["deep/erx"]);
    // What was begun by a writer that was dropped is ended.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !house.buckets.upload_list("inbox").await.expect("uploads").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "an upload is left");
        tokio::task::yield_now().await;
    }
    let info = place.buckets.backend(BUCKET).expect("a backend").expect("it is elsewhere");
    assert_eq!(
        (info.url.as_str(), info.endpoint, info.problem, info.outages),
        ("s3://inbox/deep/er/", house.url(), None, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_of_a_bucket_is_kept() {
    let house = House::open(|_| {}).await;
    let mut place = Place::open(Some(&house.url()), "s3://inbox", Patience::default()).await;
    place.text("a", "1").await;
    let reopened = |shared| {
        let store = LocalStore::join(&place.dir.path().join("store"), "other", 0).expect("a store");
        let remotes = Remotes { shared, ..remotes(&house.url(), Patience::default()) };
        Buckets::new(store, None).with_remotes(remotes).expect("a service")
    };
    let again = reopened(false);
    assert_eq!(again.remote_names(), [BUCKET]);
    assert_eq!(again.head(BUCKET, "a").await.expect("an object").size, 1);
    // One that is made later is found by who shares the store.
    let (alone, sharing) = (reopened(false), reopened(true));
    place.buckets.bucket_create("later").await.expect("a bucket");
    place.buckets.backend_set("later", &backend("s3://inbox")).await.expect("a backend");
    assert_eq!(sharing.head("later", "a").await.expect("an object").size, 1);
    assert!(matches!(alone.head("later", "a").await, Err(BucketError::NoSuchKey { .. })));
    // Nothing is lost when it is forgotten here.
    let refused = place.buckets.bucket_delete("later").await;
    assert!(matches!(refused, Err(BucketError::BucketNotEmpty { .. })), "{refused:?}");
    place.buckets.bucket_detach("later").await.expect("it is forgotten");
    assert!(matches!(place.buckets.head("later", "a").await, Err(BucketError::NoSuchBucket { .. })));
    assert_eq!(place.buckets.head(BUCKET, "a").await.expect("an object").size, 1);
    // What has files here stays here.
    place.buckets.put_bytes("here", "x", Put::default(), Bytes::new()).await.expect("an object");
    let full = place.buckets.backend_set("here", &backend("s3://inbox")).await;
    assert!(matches!(full, Err(BucketError::BucketNotEmpty { .. })), "{full:?}");
    while place.events.try_recv().is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_wins() {
    let house = House::open(|_| {}).await;
    let dir = tempfile::tempdir().expect("a scratch directory");
    let store = LocalStore::open(dir.path(), 0).expect("a store");
    let fixed = BTreeMap::from([("vod".to_owned(), backend("s3://other"))]);
    let buckets = Buckets::new(store.clone(), None);
    let buckets =
        buckets.with_remotes(Remotes { fixed, ..remotes(&house.url(), Patience::default()) }).expect("a service");
    buckets.put_bytes("vod", "a", Put::default(), Bytes::from_static(b"1")).await.expect("an object");
    assert_eq!(house.buckets.head("other", "a").await.expect("an object").size, 1);
    for refused in [buckets.backend_set("vod", &backend("s3://inbox")).await, buckets.bucket_detach("vod").await] {
        assert!(refused.expect_err("it is configured").to_string().contains("[store.remote.vod]"));
    }
    let fixed = BTreeMap::from([("recordings".to_owned(), backend("s3://other"))]);
    let wrong = Buckets::new(store, None).with_remotes(Remotes { fixed, ..remotes(&house.url(), Patience::default()) });
    assert!(wrong.expect_err("packagers write there").to_string().contains("recordings"));
}
