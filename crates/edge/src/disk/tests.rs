//! The tier on real files.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anabranch_http_cache::Policy;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tempfile::TempDir;

use super::file::{Kind, parse_name, path};
use super::*;
use crate::body::FileBody;
use crate::object_head::Making;

const MIB: usize = 1 << 20;

struct Bench {
    dir: TempDir,
    config: DiskConfig,
    memory: Arc<Memory>,
    disk: Option<Disk>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut DiskConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = DiskConfig::new(dir.path().join("cache"));
        config.reserve_bytes = 0;
        change(&mut config);
        let mut bench = Self { dir, config, memory: Arc::new(Memory::new(64 << 20)), disk: None };
        bench.start();
        bench
    }

    fn start(&mut self) {
        self.memory = Arc::new(Memory::new(64 << 20));
        self.disk = Some(Disk::open_with(&self.config, self.memory.clone(), Duration::from_millis(20)).unwrap());
    }

    fn restart(&mut self) {
        self.disk = None;
        self.start();
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().unwrap()
    }

    /// Names of ours of that kind.
    fn files(&self, kind: Kind) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.config.dir).unwrap().map(|entry| entry.unwrap());
        let of_kind = |name: &str| parse_name(name).is_some_and(|(_, found)| found == kind);
        entries.filter(|entry| of_kind(entry.file_name().to_str().unwrap())).map(|entry| entry.path()).collect()
    }

    fn forget_memory(&self) {
        for object in ["/a", "/b"] {
            self.memory.remove(object.as_bytes());
            self.disk().tier.opened.remove(object.as_bytes());
        }
    }

    async fn store_large(&self, name: &str, length: usize) -> Arc<Object> {
        let file = self.draft(name, length).await.expect("a file");
        let object = Arc::new(Object::new(Arc::new(head("max-age=60")), StoredBody::File(file)));
        self.disk().admit(key(name), object.clone());
        object
    }

    async fn draft(&self, name: &str, length: usize) -> Option<FileBody> {
        let mut draft = self.disk().draft(length as u64)?;
        for piece in body(name, length).chunks(100_000) {
            draft.append(Bytes::copy_from_slice(piece));
        }
        draft.finish(&key(name), &head("max-age=60")).await
    }

    async fn store_small(&self, name: &str, length: usize) -> Arc<Object> {
        let object = small(name, length, "max-age=60");
        self.disk().admit(key(name), object.clone());
        until("written behind", || self.disk().contains(name.as_bytes())).await;
        object
    }

    /// What the disk gives of a name.
    async fn load(&self, name: &str) -> Option<(Vec<u8>, Arc<Object>)> {
        let object = self.disk().load(name.as_bytes()).await?;
        Some((object.body.contiguous().unwrap().to_vec(), object))
    }
}

fn key(name: &str) -> Key {
    name.as_bytes().into()
}

/// Bytes that depend on name and place.
fn body(name: &str, length: usize) -> Vec<u8> {
    let seed = crc32fast::hash(name.as_bytes()) as usize;
    (0..length).map(|at| ((at * 31 + at / 251 + seed) % 256) as u8).collect()
}

fn head(cache_control: &'static str) -> ObjectHead {
    let fields = [("cache-control", cache_control), ("x-name", "x")];
    let pairs = fields.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
    ObjectHead::read(200, &HeaderMap::from_iter(pairs), &Making::plain(&Policy::default(), 0))
}

fn small(name: &str, length: usize, cache_control: &'static str) -> Arc<Object> {
    Arc::new(Object::new(Arc::new(head(cache_control)), StoredBody::one(body(name, length).into())))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never happens: {what}");
}

#[tokio::test]
async fn bodies_survive_a_restart() {
    let mut bench = Bench::new(|_| {});
    let large = bench.store_large("/a", 3 * MIB + 17).await;
    assert_eq!(large.body.contiguous().unwrap(), body("/a", 3 * MIB + 17));
    bench.store_small("/b", 1000).await;
    bench.store_small("/empty", 0).await;
    assert!(bench.disk().opened(b"/a").is_some());
    bench.restart();
    for (name, length) in [("/a", 3 * MIB + 17), ("/b", 1000), ("/empty", 0)] {
        assert!(bench.disk().contains(name.as_bytes()), "{name}");
        let (bytes, object) = bench.load(name).await.unwrap();
        assert_eq!(bytes, body(name, length));
        assert_eq!(format!("{:?}", object.head), format!("{:?}", large.head));
    }
    assert!(bench.disk().opened(b"/a").is_some(), "a load brings the head into memory");
    assert!(bench.memory.peek(b"/b").is_some());
    assert_eq!(bench.disk().objects(), 3);
}

#[tokio::test]
async fn what_does_not_last_is_not_written() {
    let bench = Bench::new(|_| {});
    bench.disk().admit(key("/live"), small("/live", 100, "max-age=1"));
    assert!(bench.disk().draft(32 << 10).is_none(), "small bodies are no drafts");
    bench.store_small("/b", 100).await;
    assert!(!bench.disk().contains(b"/live"));
    assert_eq!(bench.files(Kind::Object).len(), 1);
}

#[tokio::test]
async fn leftovers_go_and_files_of_others_stay() {
    let mut bench = Bench::new(|_| {});
    bench.store_large("/a", MIB).await;
    bench.store_large("/b", MIB).await;
    let dir = bench.config.dir.clone();
    bench.disk = None;
    let cut = bench.files(Kind::Object).remove(0);
    std::fs::File::options().write(true).open(&cut).unwrap().set_len(MIB as u64 / 2).unwrap();
    std::fs::write(path(&dir, 77, Kind::Part), b"half").unwrap();
    std::fs::write(path(&dir, 78, Kind::Head), b"of no object").unwrap();
    std::fs::write(path(&dir, 79, Kind::Object), b"").unwrap();
    std::fs::create_dir(path(&dir, 80, Kind::Object)).unwrap();
    std::fs::write(dir.join("notes.txt"), b"mine").unwrap();
    bench.start();
    until("leftovers are removed", || bench.files(Kind::Object).len() == 2).await;
    assert_eq!(bench.disk().objects(), 1);
    assert!(bench.files(Kind::Part).is_empty() && bench.files(Kind::Head).is_empty());
    assert!(dir.join("notes.txt").exists() && path(&dir, 80, Kind::Object).is_dir());
    assert!(bench.disk().tier.serial() > 79, "no name comes again");
}

#[tokio::test]
async fn a_damaged_body_is_a_miss_once_and_for_all() {
    let mut bench = Bench::new(|_| {});
    bench.store_large("/a", MIB).await;
    bench.store_small("/b", 1000).await;
    bench.disk = None;
    for file in bench.files(Kind::Object) {
        let file = std::fs::File::options().write(true).read(true).open(file).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 500).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 500).unwrap();
    }
    bench.start();
    for name in ["/a", "/b"] {
        assert!(bench.disk().contains(name.as_bytes()));
        assert!(bench.load(name).await.is_none(), "{name}");
        assert!(!bench.disk().contains(name.as_bytes()));
    }
    until("damaged files are removed", || bench.files(Kind::Object).is_empty()).await;
    assert!(!bench.disk().tier.health.has_failed(), "one bad file is no failed disk");
}

#[tokio::test]
async fn the_limit_holds_also_at_a_start() {
    let mut bench = Bench::new(|config| config.limit_bytes = 10 << 20);
    for index in 0..40 {
        bench.store_large(&format!("/{index}"), MIB).await;
    }
    let on_disk = |bench: &Bench| {
        let sizes = bench.files(Kind::Object).into_iter().map(|file| std::fs::metadata(file).map_or(0, |m| m.len()));
        sizes.sum::<u64>()
    };
    until("evicted files are removed", || on_disk(&bench) == bench.disk().bytes()).await;
    assert!(bench.disk().bytes() <= 10 << 20 && bench.disk().objects() >= 5);
    assert!(bench.disk().opened_objects() <= bench.disk().objects(), "evicted files are closed");
    bench.config.limit_bytes = 3 << 20;
    bench.restart();
    until("what is over the limit is removed", || on_disk(&bench) <= 3 << 20).await;
    assert!(bench.disk().objects() >= 1);
}

#[tokio::test]
async fn a_newer_head_survives_and_costs_no_body() {
    let mut bench = Bench::new(|_| {});
    for (object, name, length) in
        [(bench.store_large("/a", MIB).await, "/a", MIB), (bench.store_small("/b", 1000).await, "/b", 1000)]
    {
        let update = HeaderMap::from_iter([
            (http::header::CACHE_CONTROL, HeaderValue::from_static("max-age=500")),
            (HeaderName::from_static("x-name"), HeaderValue::from_static("new")),
        ]);
        let fresh = Arc::new(object.freshened(&update, &Making::plain(&Policy::default(), 9000)));
        bench.disk().admit(key(name), fresh);
        assert!(bench.disk().contains(name.as_bytes()), "{length} bytes are not written again");
    }
    until("heads are written", || bench.files(Kind::Head).len() == 2).await;
    assert_eq!(bench.files(Kind::Object).len(), 2);
    bench.restart();
    for (name, length) in [("/a", MIB), ("/b", 1000)] {
        let (bytes, object) = bench.load(name).await.unwrap();
        assert_eq!(bytes, body(name, length));
        assert_eq!(object.head.timing.fresh_until_ms, 509_000);
        assert!(String::from_utf8_lossy(&object.head.lines).contains("x-name: new\r\n"));
    }
    // A head that is cut off is as good as none.
    bench.disk = None;
    for file in bench.files(Kind::Head) {
        std::fs::write(file, b"half").unwrap();
    }
    bench.start();
    assert_eq!(bench.load("/a").await.unwrap().1.head.timing.fresh_until_ms, 60_000);
}

#[tokio::test]
async fn a_grace_writes_nothing() {
    let bench = Bench::new(|_| {});
    let object = bench.store_large("/a", MIB).await;
    bench.disk().admit(key("/a"), Arc::new(object.with_grace(5)));
    assert_eq!(bench.disk().opened(b"/a").unwrap().grace_until_ms, 5);
    bench.store_small("/b", 10).await;
    assert!(bench.files(Kind::Head).is_empty());
}

#[tokio::test]
async fn a_purged_body_is_readable_to_its_end_and_gone_for_all_others() {
    let mut bench = Bench::new(|_| {});
    let object = bench.store_large("/a", MIB).await;
    bench.store_small("/b", 1000).await;
    bench.disk().purge(b"/a");
    bench.disk().purge(b"/b");
    assert!(bench.disk().opened(b"/a").is_none() && !bench.disk().contains(b"/a"));
    assert!(bench.load("/a").await.is_none() && bench.load("/b").await.is_none());
    until("purged files are removed", || bench.files(Kind::Object).is_empty()).await;
    assert_eq!(object.body.contiguous().unwrap(), body("/a", MIB));
    bench.restart();
    assert_eq!(bench.disk().objects(), 0);
}

#[tokio::test]
async fn a_purge_overtakes_what_is_still_to_be_written() {
    let bench = Bench::new(|_| {});
    for round in 0..50 {
        bench.disk().admit(key("/a"), small("/a", 1000 + round, "max-age=60"));
        bench.disk().purge(b"/a");
    }
    bench.store_small("/b", 10).await;
    assert!(!bench.disk().contains(b"/a"));
    until("only the other is there", || bench.files(Kind::Object).len() == 1).await;
    assert!(bench.files(Kind::Part).is_empty());
}

#[tokio::test]
async fn the_newest_of_a_key_is_the_one() {
    let mut bench = Bench::new(|_| {});
    let first = bench.store_large("/a", MIB).await;
    bench.store_large("/a", 2 * MIB).await;
    bench.disk().admit(key("/b"), small("/b", 10, "max-age=60"));
    bench.disk().admit(key("/b"), small("/b", 20, "max-age=60"));
    until("both are there", || bench.disk().contains(b"/b") && bench.files(Kind::Object).len() == 2).await;
    // One whose file has gone is not brought back by a confirmation.
    bench.disk().purge(b"/a");
    bench.disk().admit(key("/a"), first);
    assert!(bench.disk().opened(b"/a").is_none());
    bench.store_large("/a", 3 * MIB).await;
    // A small one takes the place of a large one and the other way about.
    bench.disk().admit(key("/b"), small("/b", 30, "max-age=1"));
    assert!(!bench.disk().contains(b"/b"), "nothing older is left on disk");
    bench.store_small("/a", 40).await;
    assert!(bench.disk().opened(b"/a").is_none());
    bench.store_large("/b", MIB).await;
    assert!(bench.memory.peek(b"/b").is_none());
    bench.restart();
    assert_eq!(bench.load("/a").await.unwrap().0.len(), 40);
    assert_eq!(bench.load("/b").await.unwrap().0.len(), MIB);
}

#[tokio::test]
async fn a_draft_that_is_dropped_or_never_admitted_leaves_nothing() {
    let bench = Bench::new(|_| {});
    let mut draft = bench.disk().draft(1 << 20).unwrap();
    draft.append(Bytes::from(vec![1; 300_000]));
    until("it is begun", || bench.files(Kind::Part).len() == 1).await;
    drop(draft);
    let unused = bench.draft("/a", MIB).await.unwrap();
    assert_eq!(bench.files(Kind::Object).len(), 0, "not before it is admitted");
    drop(unused);
    until("nothing is left", || bench.files(Kind::Part).is_empty()).await;
    assert_eq!(bench.disk().objects(), 0);
}

#[tokio::test]
async fn a_full_queue_abandons_the_draft() {
    let bench = Bench::new(|_| {});
    let mut draft = bench.disk().draft(1 << 29).unwrap();
    draft.append(Bytes::from_static(b"begun"));
    draft.append(Bytes::from(vec![0; 65 << 20]));
    draft.append(Bytes::from_static(b"more"));
    assert!(draft.finish(&key("/a"), &head("max-age=60")).await.is_none());
    until("nothing is left", || bench.files(Kind::Part).is_empty()).await;
    bench.store_large("/a", MIB).await;
}

#[tokio::test]
async fn drafts_are_bounded() {
    let bench = Bench::new(|_| {});
    let drafts: Vec<_> = std::iter::from_fn(|| bench.disk().draft(MIB as u64)).take(1000).collect();
    assert_eq!(drafts.len(), 256);
    drop(drafts);
    assert!(bench.disk().draft(MIB as u64).is_some());
}

#[tokio::test]
async fn a_directory_that_vanishes_degrades_the_tier_until_it_is_back() {
    let bench = Bench::new(|_| {});
    let open = bench.store_large("/a", MIB).await;
    bench.store_small("/b", 100).await;
    std::fs::remove_dir_all(&bench.config.dir).unwrap();
    assert!(bench.draft("/c", MIB).await.is_none());
    assert!(bench.disk().tier.health.has_failed());
    assert!(bench.disk().draft(MIB as u64).is_none(), "no more is tried");
    bench.disk().admit(key("/d"), small("/d", 10, "max-age=60"));
    assert!(bench.memory.peek(b"/d").is_some(), "memory goes on");
    assert_eq!(open.body.contiguous().unwrap().len(), MIB, "open files too");
    bench.forget_memory();
    assert!(bench.load("/a").await.is_none() && bench.load("/b").await.is_none());
    std::fs::create_dir(&bench.config.dir).unwrap();
    until("it recovers", || !bench.disk().tier.health.has_failed()).await;
    bench.store_large("/c", MIB).await;
    assert!(Disk::open(&bench.config, bench.memory.clone()).is_err(), "it is locked again");
}

#[tokio::test]
async fn the_reserve_is_never_used() {
    let mut bench = Bench::new(|_| {});
    bench.store_large("/a", MIB).await;
    bench.disk = None;
    bench.config.reserve_bytes = 1 << 60;
    bench.start();
    assert!(bench.draft("/b", MIB).await.is_none());
    assert!(bench.disk().tier.health.has_failed());
    until("what is there gives way", || bench.files(Kind::Object).is_empty()).await;
    assert_eq!(bench.disk().objects(), 0);
}

#[tokio::test]
async fn loads_of_one_key_are_one_reading() {
    let mut bench = Bench::new(|_| {});
    bench.store_large("/a", 8 * MIB).await;
    bench.restart();
    let (one, other) = tokio::join!(bench.disk().load(b"/a"), bench.disk().load(b"/a"));
    assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
    assert!(bench.disk().tier.loads.lock().is_empty());
    assert!(bench.disk().load(b"/none").await.is_none());
}

#[tokio::test]
async fn a_directory_is_one_process_s_and_the_error_names_it() {
    let bench = Bench::new(|_| {});
    let error = Disk::open(&bench.config, bench.memory.clone()).unwrap_err().to_string();
    assert!(error.contains(bench.config.dir.to_str().unwrap()) && error.contains("another process"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_at_the_start_is_tried_again() {
    let mut bench = Bench::new(|_| {});
    bench.store_large("/a", MIB).await;
    bench.store_small("/b", 100).await;
    bench.disk = None;
    let away = bench.dir.path().join("away");
    std::fs::rename(&bench.config.dir, &away).unwrap();
    std::fs::write(&bench.config.dir, b"no directory").unwrap();
    bench.start();
    assert!(bench.disk().tier.health.has_failed());
    assert!(bench.disk().draft(MIB as u64).is_none(), "nothing is tried meanwhile");
    bench.disk().admit(key("/b"), small("/b", 10, "max-age=60"));
    assert!(bench.memory.peek(b"/b").is_some(), "memory serves");
    std::fs::remove_file(&bench.config.dir).unwrap();
    std::fs::rename(&away, &bench.config.dir).unwrap();
    until("it recovers", || !bench.disk().tier.health.has_failed()).await;
    assert_eq!(bench.load("/a").await.unwrap().0, body("/a", MIB), "what an earlier process has left is taken in");
    assert!(!bench.disk().contains(b"/b"), "but for what is newer in memory");
    bench.store_large("/c", MIB).await;
    assert!(Disk::open(&bench.config, bench.memory.clone()).is_err(), "it is locked");
}

#[tokio::test]
async fn what_can_never_fit_stays_in_memory() {
    let bench = Bench::new(|config| config.limit_bytes = 4 << 20);
    assert!(bench.disk().draft(5 << 20).is_none());
    assert!(bench.disk().draft(1 << 20).is_some());
}

/// A key's changes come one after another, as flights see to; those of different keys in any order.
async fn churn(bench: &Bench, name: &str, seed: usize, rounds: usize) -> Option<usize> {
    let mut newest = None;
    for round in 0..rounds {
        let length = 1000 * (seed + round + 1) % 300_000 + round;
        match (seed * 7 + round * 5) % 6 {
            0 => {
                bench.disk().purge(name.as_bytes());
                newest = None;
            }
            1 | 2 => {
                let lifetime = if round % 2 == 0 { "max-age=60" } else { "max-age=1" };
                bench.disk().admit(key(name), small(name, length % 60_000, lifetime));
                newest = Some(length % 60_000);
            }
            3 | 4 => {
                if let Some(file) = bench.draft(name, 70_000 + length).await {
                    let object = Object::new(Arc::new(head("max-age=60")), StoredBody::File(file));
                    bench.disk().admit(key(name), Arc::new(object));
                    newest = Some(70_000 + length);
                }
            }
            _ => {
                bench.memory.remove(name.as_bytes());
                bench.disk().tier.opened.remove(name.as_bytes());
            }
        }
        if let Some((bytes, _)) = bench.load(name).await {
            assert_eq!(Some(bytes.len()), newest, "{name} in round {round}");
            assert_eq!(bytes, body(name, bytes.len()));
        }
    }
    newest
}

#[test]
fn whatever_happens_nothing_older_comes_back() {
    let mut bench = Bench::new(|config| config.limit_bytes = 8 << 20);
    for start in 0..3 {
        let names: Vec<_> = (0..24).map(|index| format!("/{index}")).collect();
        let newest: Vec<Option<usize>> = thread::scope(|scope| {
            let of_threads = names.chunks(6).enumerate().map(|(thread, names)| {
                let bench = &bench;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let churned = names
                        .iter()
                        .enumerate()
                        .map(|(index, name)| runtime.block_on(churn(bench, name, start * 31 + thread * 6 + index, 60)));
                    churned.collect::<Vec<_>>()
                })
            });
            let of_threads: Vec<_> = of_threads.collect();
            of_threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        bench.restart();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut survived = 0;
        for (name, newest) in names.iter().zip(newest) {
            if let Some((bytes, _)) = runtime.block_on(bench.load(name)) {
                assert_eq!(Some(bytes.len()), newest, "{name} after a restart");
                assert_eq!(bytes, body(name, bytes.len()));
                survived += 1;
            }
        }
        assert!(survived > 0, "something survives");
    }
}
