use std::fs;
use std::io::Read as _;

use anabranch_net::ManualClock;
use flate2::read::GzDecoder;

use super::*;
use crate::access_log::files::Name;

const HOUR_MS: i64 = 3_600_000;

/// 2023-11-14T22:13:20Z.
const NOW_MS: i64 = 1_700_000_000_000;

struct Setup {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    config: AccessLogConfig,
}

impl Setup {
    fn new(change: impl FnOnce(&mut AccessLogConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = AccessLogConfig::new(dir.path().join("logs"));
        change(&mut config);
        Self { dir, clock: Arc::new(ManualClock::new(NOW_MS)), config }
    }

    fn open(&self) -> AccessLog {
        AccessLog::open(&self.config, "FRA1", self.clock.clone()).unwrap()
    }

    /// Names and texts of the log's files of a distribution, by name.
    fn files(&self, distribution: &str) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.config.dir.join(distribution)) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                assert!(Name::read(distribution, &name).is_some(), "{name}");
                // It may have been compressed since it was listed.
                let bytes = fs::read(&path).ok()?;
                let mut text = String::new();
                if name.ends_with(".gz") {
                    GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
                } else if !name.ends_with(".part") {
                    text = String::from_utf8(bytes).unwrap();
                }
                Some((name, text))
            })
            .collect();
        found.sort();
        found
    }
}

fn entry(distribution: &str, w3c: &str, json: &str) -> Entry {
    Entry { distribution: distribution.into(), w3c: w3c.into(), json: json.into() }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("it never happens: {what}");
}

#[tokio::test]
async fn lines_are_in_the_files_of_their_distributions() {
    let setup = Setup::new(|config| config.format = AccessLogFormat::Both);
    let log = setup.open();
    log.hand_over(entry("E1", "one\n", "{1}\n"));
    log.hand_over(entry("E1", "two\n", "{2}\n"));
    log.hand_over(entry("", "who\n", ""));
    // Within a second, and without any other line that pushes these.
    until("the lines are written", || setup.files("none").len() == 1 && setup.files("E1").len() == 2);
    until("all of them", || setup.files("E1").iter().all(|(_, text)| text.contains('2') || text.contains("two")));
    let files = setup.files("E1");
    assert!(files.iter().all(|(name, _)| name.starts_with("E1.2023-11-14-22.")), "{files:?}");
    let text = |suffix| files.iter().find(|(name, _)| name.ends_with(suffix)).unwrap().1.clone();
    assert_eq!(text(".log"), format!("{}one\ntwo\n", text::W3C_HEADER));
    assert_eq!(text(".jsonl"), "{1}\n{2}\n");
    log.stop().await;
}

#[tokio::test]
async fn what_is_queued_is_written_before_the_end() {
    let setup = Setup::new(|_| {});
    let log = setup.open();
    for number in 0..1000 {
        log.hand_over(entry("E1", &format!("{number}\n"), ""));
    }
    log.stop().await;
    let files = setup.files("E1");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].1.lines().count(), 1002);
    assert_eq!(log.common.dropped.load(Ordering::Relaxed), 0);
    // A line that comes too late is lost, and counted.
    log.hand_over(entry("E1", "late\n", ""));
    assert_eq!(log.common.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let setup = Setup::new(|_| {});
    let (log, lines) = AccessLog::closed(&setup.config, "FRA1", setup.clock.clone());
    for _ in 0..QUEUE_LINES + 5 {
        log.hand_over(entry("E1", "x\n", ""));
    }
    assert_eq!(log.common.dropped.load(Ordering::Relaxed), 5);
    assert_eq!(log.common.queued.load(Ordering::Relaxed), 2 * QUEUE_LINES);
    drop(lines);
    // Few lines can be many bytes.
    let (log, _lines) = AccessLog::closed(&setup.config, "FRA1", setup.clock.clone());
    for _ in 0..20 {
        log.hand_over(entry("E1", &"x".repeat(1 << 20), ""));
    }
    assert_eq!(log.common.dropped.load(Ordering::Relaxed), 4);
    assert_eq!(log.common.queued.load(Ordering::Relaxed), QUEUE_BYTES);
}

#[tokio::test]
async fn files_change_with_the_hour_and_are_compressed() {
    let setup = Setup::new(|_| {});
    let log = setup.open();
    log.hand_over(entry("E1", "before\n", ""));
    until("the first hour's file", || setup.files("E1").len() == 1);
    setup.clock.set_ms(NOW_MS + HOUR_MS);
    log.hand_over(entry("E1", "after\n", ""));
    until("the second hour's file", || {
        let files = setup.files("E1");
        files.len() == 2 && files[0].0.ends_with(".log.gz") && files[1].1.ends_with("after\n")
    });
    let files = setup.files("E1");
    assert!(files[0].0.starts_with("E1.2023-11-14-22.") && files[1].0.starts_with("E1.2023-11-14-23."), "{files:?}");
    assert_eq!(files[0].1, format!("{}before\n", text::W3C_HEADER));
    assert_eq!(files[1].1, format!("{}after\n", text::W3C_HEADER));
    log.stop().await;
}

#[tokio::test]
async fn full_files_are_replaced_and_the_oldest_removed() {
    let setup = Setup::new(|config| {
        config.format = AccessLogFormat::Json;
        config.rotate_bytes = 1000;
        config.keep_bytes = 4000;
    });
    let log = setup.open();
    // Lines that do not become much smaller by compressing.
    let line = |number: u32| {
        let mut random = [0; 400];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{{number}:{text}}}\n")
    };
    for number in 0..40 {
        log.hand_over(entry("E1", "", &line(number)));
        log.hand_over(entry("E1", "", &line(number)));
        let written =
            |files: Vec<(String, String)>| files.iter().any(|(_, text)| text.contains(&format!("{{{number}:")));
        until("the line is written", || written(setup.files("E1")));
    }
    let size = || -> u64 {
        let entries = fs::read_dir(setup.config.dir.join("E1")).unwrap();
        entries.map(|entry| entry.unwrap().metadata().map_or(0, |metadata| metadata.len())).sum()
    };
    until("old files are gone", || size() <= 4000 && setup.files("E1").iter().all(|(name, _)| name.ends_with(".gz")));
    let files = setup.files("E1");
    assert!(files.last().unwrap().1.contains("{39:"), "{files:?}");
    assert!(files.len() > 1 && !files.iter().any(|(_, text)| text.contains("{0:")));
    log.stop().await;
}

#[tokio::test]
async fn files_of_an_earlier_life_are_compressed_and_others_left_alone() {
    let setup = Setup::new(|config| config.keep_bytes = 10_000);
    let dir = setup.config.dir.join("E1");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("E1.2023-11-14-20.AAAAAAAA0000.log"), "old\n").unwrap();
    fs::write(dir.join("E1.2023-11-14-21.AAAAAAAA0001.log.gz.part"), "half").unwrap();
    fs::write(setup.config.dir.join("notes.txt"), vec![b'x'; 20_000]).unwrap();
    let log = setup.open();
    until("the old file is compressed", || {
        setup
            .files("E1")
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .eq([("E1.2023-11-14-20.AAAAAAAA0000.log.gz", "old\n")])
    });
    assert!(setup.config.dir.join("notes.txt").exists());
    log.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_is_tried_again_and_nothing_is_lost() {
    let setup = Setup::new(|_| {});
    fs::create_dir_all(&setup.config.dir).unwrap();
    // A file where the distribution's directory has to be.
    fs::write(setup.config.dir.join("E1"), "").unwrap();
    let log = setup.open();
    log.hand_over(entry("E1", "one\n", ""));
    log.hand_over(entry("E2", "other\n", ""));
    until("other files are written", || setup.files("E2").iter().any(|(_, text)| text.ends_with("other\n")));
    fs::remove_file(setup.config.dir.join("E1")).unwrap();
    log.hand_over(entry("E1", "two\n", ""));
    until("it is written", || setup.files("E1").iter().any(|(_, text)| text.ends_with("one\ntwo\n")));
    assert_eq!(log.common.dropped.load(Ordering::Relaxed), 0);
    log.stop().await;
}

#[tokio::test]
async fn more_distributions_than_open_files_lose_nothing() {
    let setup = Setup::new(|_| {});
    let log = setup.open();
    for round in 0..3 {
        for number in 0..100 {
            log.hand_over(entry(&format!("E{number}"), &format!("{round}\n"), ""));
        }
        let ends = format!("{round}\n");
        until("the round is written", || {
            (0..100).all(|number| setup.files(&format!("E{number}")).iter().any(|(_, text)| text.ends_with(&ends)))
        });
    }
    log.stop().await;
    for number in 0..100 {
        let files = setup.files(&format!("E{number}"));
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].1, format!("{}0\n1\n2\n", text::W3C_HEADER));
    }
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let setup = Setup::new(|_| {});
    let log = setup.open();
    let second = AccessLog::open(&setup.config, "FRA1", setup.clock.clone());
    assert!(matches!(second, Err(AccessLogError::InUse(_))), "{second:?}");
    log.stop().await;
    setup.open().stop().await;
    let inside = setup.dir.path().join("file");
    fs::write(&inside, "").unwrap();
    let config = AccessLogConfig::new(inside.join("logs"));
    let refused = AccessLog::open(&config, "FRA1", setup.clock.clone());
    assert!(matches!(refused, Err(AccessLogError::Directory { .. })), "{refused:?}");
}
