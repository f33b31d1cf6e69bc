//! Buckets through their public face, and what dies in the middle.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::*;

struct House {
    dir: tempfile::TempDir,
    buckets: Buckets,
    events: mpsc::Receiver<Event>,
}

async fn house() -> House {
    house_with(0).await
}

async fn house_with(reserve: u64) -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), reserve).unwrap();
    let (sender, events) = mpsc::channel(1000);
    let buckets = Buckets::new(store, Some(Arc::new(sender)));
    buckets.bucket_create("vod").await.unwrap();
    House { dir, buckets, events }
}

impl House {
    async fn put(&self, key: &str, body: &str) -> ObjectInfo {
        self.buckets.put_bytes("vod", key, Put::default(), Bytes::copy_from_slice(body.as_bytes())).await.unwrap()
    }

    async fn text(&self, key: &str) -> Option<String> {
        let opened = match self.buckets.get("vod", key).await {
            Err(BucketError::NoSuchKey { .. }) => return None,
            other => other.unwrap(),
        };
        let mut text = String::new();
        let Content::File(mut file) = opened.content else { panic!("it is not here") };
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(opened.info.size, text.len() as u64);
        Some(text)
    }

    async fn keys(&self) -> Vec<String> {
        let listing = self.buckets.list("vod", ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap();
        listing.objects.into_iter().map(|object| object.key).collect()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.dir.path().join(".tmp")).unwrap().count()
    }
}

#[tokio::test]
async fn an_object_comes_back_with_what_belongs_to_it() {
    let mut house = house().await;
    let mut attributes = Attributes::of_type("video/mp4");
    attributes.headers.insert("cache-control".to_owned(), "max-age=5".to_owned());
    attributes.user.insert("mtime".to_owned(), "1.5".to_owned());
    let put = Put { attributes: attributes.clone(), size: Some(5), ..Put::default() };
    let key = "ordner/Grüße an … 100%/holiday.2024.final.mp4";
    let info = house.buckets.put_bytes("vod", key, put, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(info.etag, "5d41402abc4b2a76b9719d911017c592");
    let opened = house.buckets.get("vod", key).await.unwrap();
    assert_eq!((opened.info.clone(), opened.info.attributes), (info.clone(), attributes));
    assert_eq!(house.buckets.head("vod", key).await.unwrap(), info);
    assert_eq!(house.text(key).await.unwrap(), "hello");
    assert!(house.buckets.delete("vod", key, Condition::None).await.unwrap());
    assert!(!house.buckets.delete("vod", key, Condition::None).await.unwrap());
    assert_eq!(house.text(key).await, None);
    assert_eq!(fs::read_dir(house.dir.path().join("bucket/vod")).unwrap().count(), 0, "empty folders go");
    let (bucket, key) = ("vod".to_owned(), key.to_owned());
    let created = Event::ObjectCreated { bucket: bucket.clone(), key: key.clone(), size: 5, etag: info.etag };
    assert_eq!(house.events.try_recv().unwrap(), created);
    assert_eq!(house.events.try_recv().unwrap(), Event::ObjectRemoved { bucket, key });
    assert!(house.events.try_recv().is_err());
}

#[tokio::test]
async fn plain_keys_are_the_stores_own_objects() {
    let house = house().await;
    let store = LocalStore::open(house.dir.path(), 0).unwrap();
    house.put("assets/m1/HLS/a.m3u8", "one").await;
    assert_eq!(store.read("bucket/vod/assets/m1/HLS/a.m3u8").await.unwrap(), "one");
    store.put("bucket/vod/assets/m1/HLS/a.m3u8", vec![Bytes::from_static(b"two!")]).await.unwrap();
    let info = house.buckets.head("vod", "assets/m1/HLS/a.m3u8").await.unwrap();
    assert_eq!((info.size, info.etag.matches('-').count()), (4, 2), "the record is of other bytes: {}", info.etag);
    store.put("bucket/vod/assets/m1/HLS/b.m4s", vec![Bytes::from_static(b"x")]).await.unwrap();
    assert_eq!(house.keys().await, ["assets/m1/HLS/a.m3u8", "assets/m1/HLS/b.m4s"]);
    assert_eq!(store.list("bucket/vod/", None, 9).await.unwrap().len(), 2, "records are no objects");
}

#[tokio::test]
async fn objects_and_folders_of_one_name_live_together() {
    let house = house().await;
    let long = "x".repeat(600);
    let keys = ["a", "a/", "a/b", "a/b/c", "a//", "/", "/a", ".", "..", "../a", &long, "%o", "a/%o", "a-", "a0"];
    for turn in 0..2 {
        let order: Vec<&str> = if turn == 0 { keys.to_vec() } else { keys.iter().rev().copied().collect() };
        for key in &order {
            house.put(key, key).await;
        }
        for key in keys {
            assert_eq!(house.text(key).await.as_deref(), Some(key));
            assert_eq!(house.buckets.head("vod", key).await.unwrap().etag.len(), 32, "{key:?} has its record");
        }
        let mut sorted = keys.map(str::to_owned).to_vec();
        sorted.sort();
        assert_eq!(house.keys().await, sorted);
        for (at, key) in order.iter().enumerate() {
            assert!(house.buckets.delete("vod", key, Condition::None).await.unwrap());
            assert_eq!(house.keys().await.len(), keys.len() - at - 1);
        }
        assert_eq!(fs::read_dir(house.dir.path().join("bucket/vod")).unwrap().count(), 0);
    }
    assert_eq!(house.leftovers(), 0);
}

#[tokio::test]
async fn what_is_not_as_announced_is_not_stored() {
    let house = house().await;
    house.put("kept", "old").await;
    let body = Bytes::from_static(b"new");
    struct Refuses;
    impl Inspector for Refuses {
        fn update(&mut self, _: &[u8]) {}
        fn finish(self: Box<Self>) -> Result<BTreeMap<String, String>, BucketError> {
            Err(BucketError::Digest { digest: "crc32" })
        }
    }
    let wrong = [
        Put { size: Some(2), ..Put::default() },
        Put { size: Some(4), ..Put::default() },
        Put { md5: Some([0; 16]), ..Put::default() },
        Put { inspector: Some(Box::new(Refuses)), ..Put::default() },
        Put { condition: Condition::Absent, ..Put::default() },
        Put { condition: Condition::Matches("x".to_owned()), ..Put::default() },
    ];
    for put in wrong {
        let what = format!("{put:?}");
        assert!(house.buckets.put_bytes("vod", "kept", put, body.clone()).await.is_err(), "{what}");
        assert_eq!(house.text("kept").await.unwrap(), "old", "{what}");
    }
    let mut dropped = house.buckets.put("vod", "kept", Put::default()).await.unwrap();
    dropped.write(body.clone()).await.unwrap();
    drop(dropped);
    let present = Put { condition: Condition::Present, ..Put::default() };
    let absent = house.buckets.put_bytes("vod", "other", present, body.clone()).await;
    assert!(matches!(absent, Err(BucketError::Precondition { condition: "if-match" })));
    let etag = house.buckets.head("vod", "kept").await.unwrap().etag;
    let matching = Put { condition: Condition::Matches(etag), ..Put::default() };
    house.buckets.put_bytes("vod", "kept", matching, body.clone()).await.unwrap();
    assert_eq!(house.text("kept").await.unwrap(), "new");
    for (bucket, key) in [("none", "a"), ("..", "a"), ("vod", ""), ("vod", &"x".repeat(1025))] {
        assert!(house.buckets.put_bytes(bucket, key, Put::default(), body.clone()).await.is_err());
    }
    let mut long = Attributes::default();
    long.user.insert("x".to_owned(), "y".repeat(MAX_ATTRIBUTES_BYTES));
    let put = Put { attributes: long, ..Put::default() };
    let refused = house.buckets.put_bytes("vod", "a", put, body).await;
    assert!(matches!(refused, Err(BucketError::AttributesTooLong { .. })));
}

#[tokio::test]
async fn of_many_who_want_to_be_first_one_is() {
    let house = house().await;
    let all: Vec<_> = (0..16)
        .map(|n: u32| {
            let buckets = house.buckets.clone();
            tokio::spawn(async move {
                let put = Put { condition: Condition::Absent, ..Put::default() };
                buckets.put_bytes("vod", "once", put, Bytes::from(n.to_string())).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for one in all {
        won += usize::from(one.await.unwrap());
    }
    assert_eq!((won, house.leftovers()), (1, 0));
}

#[tokio::test]
async fn writers_and_removers_of_a_folder_do_not_lose_objects() {
    let house = house().await;
    let all: Vec<_> = (0..8)
        .map(|n: u32| {
            let buckets = house.buckets.clone();
            tokio::spawn(async move {
                for round in 0..40 {
                    let key = ["f/a", "f", "f/a/b", "f/x y"][(n % 4) as usize];
                    buckets.put_bytes("vod", key, Put::default(), Bytes::from(format!("{n} {round}"))).await.unwrap();
                    if n >= 4 {
                        buckets.delete("vod", key, Condition::None).await.unwrap();
                    }
                }
                let key = format!("f/a/{n}");
                buckets.put_bytes("vod", &key, Put::default(), Bytes::from("end")).await.unwrap();
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    for n in 0..8 {
        assert_eq!(house.text(&format!("f/a/{n}")).await.unwrap(), "end");
    }
    for object in house.buckets.list("vod", ListQuery { limit: 99, ..ListQuery::default() }).await.unwrap().objects {
        assert_eq!(object.etag.len(), 32, "{}", object.key);
    }
    assert_eq!(house.leftovers(), 0);
}

#[tokio::test]
async fn a_record_counts_for_its_own_bytes_only() {
    let house = house().await;
    let old = house.put("a", "old").await;
    let path = house.buckets.locate("vod", "a").await.unwrap().path;
    // The writer died between the record and the bytes.
    let ghost = record::Record {
        version: "1-2-3".to_owned(),
        etag: "0".repeat(32),
        attributes: Attributes::of_type("wrong/type"),
        checksums: BTreeMap::new(),
    };
    let own = record::find(&path, &record::version(&fs::metadata(&path).unwrap())).unwrap();
    record::write(&path, &[&ghost, &own], &house.dir.path().join(".tmp/x")).unwrap();
    assert_eq!(house.buckets.head("vod", "a").await.unwrap(), old);
    // Someone wrote into the file.
    fs::File::options().append(true).open(&path).unwrap().write_all(b"er").unwrap();
    let changed = house.buckets.head("vod", "a").await.unwrap();
    assert_eq!((changed.size, changed.attributes.content_type), (5, None));
    assert_ne!(changed.etag, old.etag);
    // The records are rubbish.
    fs::write(record::path(&path), b"[{").unwrap();
    assert_eq!(house.buckets.head("vod", "a").await.unwrap().size, 5);
    let new = house.put("a", "new").await;
    assert_eq!(house.buckets.head("vod", "a").await.unwrap(), new);
}

#[tokio::test]
async fn the_reserve_is_kept() {
    let house = house_with(u64::MAX).await;
    let put = house.buckets.put_bytes("vod", "a", Put::default(), Bytes::from_static(b"x")).await;
    assert!(matches!(put, Err(BucketError::Store(crate::StoreError::Full { .. }))));
    assert_eq!((house.keys().await.len(), house.leftovers()), (0, 0));
}

#[tokio::test]
async fn buckets_are_made_listed_and_removed() {
    let house = house().await;
    let again = house.buckets.bucket_create("vod").await;
    assert!(matches!(again, Err(BucketError::BucketExists { .. })));
    house.buckets.bucket_create("a.b").await.unwrap();
    fs::create_dir(house.dir.path().join("bucket/No_Bucket")).unwrap();
    let names: Vec<String> = house.buckets.bucket_list().await.unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["a.b", "vod"]);
    house.put("x/y z", "1").await;
    let full = house.buckets.bucket_delete("vod").await;
    assert!(matches!(full, Err(BucketError::BucketNotEmpty { .. })));
    house.buckets.upload_create("vod", "x", Attributes::default()).await.unwrap();
    house.buckets.delete("vod", "x/y z", Condition::None).await.unwrap();
    house.buckets.bucket_delete("vod").await.unwrap();
    assert!(matches!(house.buckets.bucket_head("vod").await, Err(BucketError::NoSuchBucket { .. })));
    assert!(matches!(house.buckets.bucket_delete("vod").await, Err(BucketError::NoSuchBucket { .. })));
}

#[tokio::test]
async fn an_upload_in_parts_becomes_one_object() {
    let house = house().await;
    let buckets = &house.buckets;
    let id = buckets.upload_create("vod", "big file", Attributes::of_type("video/mp4")).await.unwrap();
    let part = |number: u32, byte: u8, len: u64| {
        let (buckets, id) = (buckets.clone(), id.clone());
        async move {
            let mut writer = buckets.upload_part("vod", "big file", &id, number, Put::default()).await.unwrap();
            writer.write(Bytes::from(vec![byte; usize::try_from(len).unwrap()])).await.unwrap();
            writer.finish().await.unwrap()
        }
    };
    part(1, b'x', 7).await;
    let one = part(1, b'a', MIN_PART_BYTES).await;
    let seven = part(7, b'b', 3).await;
    assert_eq!(buckets.upload_parts("vod", "big file", &id, 0, 9).await.unwrap(), [one.clone(), seven.clone()]);
    assert_eq!(buckets.upload_parts("vod", "big file", &id, 1, 9).await.unwrap(), std::slice::from_ref(&seven));
    let name =
        |part: &PartInfo| NamedPart { number: part.number, etag: Some(part.etag.clone()), checksums: BTreeMap::new() };
    let complete = |parts: Vec<NamedPart>| {
        buckets.upload_complete("vod", "big file", &id, parts, Condition::None, BTreeMap::new())
    };
    assert!(matches!(complete(vec![]).await, Err(BucketError::PartOrder)));
    assert!(matches!(complete(vec![name(&seven), name(&one)]).await, Err(BucketError::PartOrder)));
    let unknown = NamedPart { number: 3, ..name(&one) };
    assert!(matches!(complete(vec![name(&one), unknown]).await, Err(BucketError::InvalidPart { number: 3 })));
    let other = NamedPart { etag: Some("0".repeat(32)), ..name(&one) };
    assert!(matches!(complete(vec![other]).await, Err(BucketError::InvalidPart { number: 1 })));
    let eight = part(8, b'c', 1).await;
    let small = complete(vec![name(&one), name(&seven), name(&eight)]).await;
    assert!(matches!(small, Err(BucketError::PartTooSmall { number: 7, size: 3 })));
    assert_eq!(buckets.upload_list("vod").await.unwrap().len(), 1);
    let info = complete(vec![name(&one), name(&seven)]).await.unwrap();
    assert_eq!((info.size, info.attributes.content_type.as_deref()), (MIN_PART_BYTES + 3, Some("video/mp4")));
    assert!(info.etag.ends_with("-2") && info.etag.len() == 34, "{}", info.etag);
    assert!(house.text("big file").await.unwrap().ends_with("aabbb"));
    assert!(matches!(complete(vec![name(&one)]).await, Err(BucketError::NoSuchUpload { .. })));
    assert!(buckets.upload_list("vod").await.unwrap().is_empty());
    assert_eq!(house.leftovers(), 0);
}

#[tokio::test]
async fn abandoned_uploads_expire() {
    let house = house().await;
    let buckets = &house.buckets;
    let id = buckets.upload_create("vod", "a", Attributes::default()).await.unwrap();
    let aborted = buckets.upload_create("vod", "a", Attributes::default()).await.unwrap();
    buckets.upload_abort("vod", "a", &aborted).await.unwrap();
    let upload = buckets.upload_list("vod").await.unwrap().remove(0);
    assert_eq!((&upload.id, upload.key.as_str()), (&id, "a"));
    let day = Duration::from_secs(86_400);
    assert_eq!(buckets.uploads_expire(upload.active + day, day).await.unwrap(), 0);
    assert_eq!(buckets.uploads_expire(upload.active + 2 * day, day).await.unwrap(), 1);
    for id in [&id, &aborted, "..", "/etc", ""] {
        let part = buckets.upload_part("vod", "a", id, 1, Put::default()).await;
        assert!(matches!(part, Err(BucketError::NoSuchUpload { .. })), "{id}");
    }
}

#[tokio::test]
async fn copies_and_adopted_files_are_objects() {
    let house = house().await;
    let put = Put { attributes: Attributes::of_type("text/plain"), ..Put::default() };
    let info = house.buckets.put_bytes("vod", "a", put, Bytes::from_static(b"0123456789")).await.unwrap();
    let copy = (("vod", "a"), ("vod", "copy of a"));
    let copied = house.buckets.copy(copy.0, copy.1, CopyAttributes::Keep, Condition::None).await.unwrap();
    assert_eq!((&copied.etag, &copied.attributes), (&info.etag, &info.attributes));
    let replaced = CopyAttributes::Replace(Attributes::of_type("video/mp4"));
    house.buckets.copy(("vod", "a"), ("vod", "a"), replaced, Condition::None).await.unwrap();
    let head = house.buckets.head("vod", "a").await.unwrap();
    assert_eq!(head.attributes.content_type.as_deref(), Some("video/mp4"));

    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("film.mp4");
    fs::write(&file, b"film").unwrap();
    for how in [Adopt::Link, Adopt::Copy, Adopt::Link] {
        house.buckets.adopt("vod", "in/film.mp4", &file, how, Attributes::default(), None).await.unwrap();
        assert_eq!(house.text("in/film.mp4").await.unwrap(), "film");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(house.text("in/film.mp4").await.unwrap(), "film");
    let gone = house.buckets.adopt("vod", "x", &file, Adopt::Link, Attributes::default(), None).await;
    assert!(gone.is_err());

    let id = house.buckets.upload_create("vod", "p", Attributes::default()).await.unwrap();
    let part = house.buckets.upload_part_copy(("vod", "a"), Some(2..=4), ("vod", "p"), &id, 1).await.unwrap();
    assert_eq!(part.size, 3);
    let beyond = house.buckets.upload_part_copy(("vod", "a"), Some(2..=10), ("vod", "p"), &id, 1).await;
    assert!(matches!(beyond, Err(BucketError::Range { .. })));
    let named = vec![NamedPart { number: 1, etag: None, checksums: BTreeMap::new() }];
    house.buckets.upload_complete("vod", "p", &id, named, Condition::None, BTreeMap::new()).await.unwrap();
    assert_eq!(house.text("p").await.unwrap(), "234");
    assert_eq!(house.leftovers(), 0);
}

/// What a listing has to say, by the simplest means.
fn expected(keys: &BTreeSet<String>, query: &ListQuery) -> (Vec<String>, Vec<String>) {
    let (mut objects, mut prefixes) = (Vec::new(), BTreeSet::new());
    for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
        let rest = &key[query.prefix.len()..];
        match rest.find(&query.delimiter).filter(|_| !query.delimiter.is_empty()) {
            Some(at) => drop(prefixes.insert(key[..query.prefix.len() + at + query.delimiter.len()].to_owned())),
            None => objects.push(key.clone()),
        }
    }
    (objects, prefixes.into_iter().collect())
}

fn listed_key() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just(String::new()), "[ab]{1,2}", "[a.%/ -]{1,3}", "x{250,258}[a/.0-]{0,2}", "[ä.]{1,2}"];
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/")).prop_filter("a key", |key| !key.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn pages_of_any_size_are_the_listing(
        keys in prop::collection::btree_set(listed_key(), 0..25),
        prefix in prop_oneof![Just(String::new()), "[ab/]{1,3}", "x{250,256}", listed_key()],
        delimiter in prop_oneof![Just(String::new()), Just("/".to_owned()), Just("a".to_owned()), Just("/a".to_owned())],
        limit in 1_usize..6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for key in &keys {
            // As the store would have made it, without its costs.
            let mut path = dir.path().to_owned();
            path.extend(spelling::spell(key));
            let is_folder = keys.iter().any(|other| other.starts_with(&format!("{key}/")));
            let path = if is_folder { path.join(spelling::BESIDE) } else { path };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"").unwrap();
        }
        let mut query = ListQuery { prefix, delimiter, after: None, limit };
        let wanted = expected(&keys, &query);
        let mut found = (Vec::new(), Vec::new());
        loop {
            let page = list::list(dir.path(), &query).unwrap();
            prop_assert!(page.objects.len() + page.prefixes.len() <= limit);
            found.0.extend(page.objects.into_iter().map(|object| object.key));
            found.1.extend(page.prefixes);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        prop_assert_eq!(&found, &wanted);
        // From any key on.
        for after in &keys {
            let query = ListQuery { after: Some(after.clone()), limit: 1000, delimiter: String::new(), ..query.clone() };
            let page = list::list(dir.path(), &query).unwrap();
            let rest: Vec<String> = keys.iter().filter(|key| *key > after && key.starts_with(&query.prefix)).cloned().collect();
            prop_assert_eq!(page.objects.into_iter().map(|object| object.key).collect::<Vec<_>>(), rest);
        }
    }
}

#[test]
fn a_folder_of_many_is_listed_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = Vec::new();
    for n in 0..9_000 {
        let key = format!("f/{:05} x", (n * 7919) % 9_000);
        let mut path = dir.path().to_owned();
        path.extend(spelling::spell(&key));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
        wanted.push(key);
    }
    for n in 0..5_000 {
        fs::create_dir_all(dir.path().join(format!("e/{n}/empty"))).unwrap();
    }
    wanted.sort();
    let mut query = ListQuery { limit: 1000, ..ListQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = list::list(dir.path(), &query).unwrap();
        found.extend(page.objects.into_iter().map(|object| object.key));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(found, wanted);
}
