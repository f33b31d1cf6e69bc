//! ffmpeg that hangs, fails, lies or is not there.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anabranch_transcode::{CancellationToken, Config, LOG_LINES, Limits, Mp4Job, TranscodeError, Worker};

use crate::support::{PLAIN, Recording};

const LIMIT: Duration = Duration::from_secs(20);

fn worker(script: &str) -> Worker {
    Worker::new(Config { ffmpeg: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(script) })
}

/// A recording with an older MP4, which must stay.
fn recording() -> Recording {
    let recording = Recording::of(&[PLAIN]);
    fs::write(recording.output(), "old").expect("a file");
    recording
}

fn is_untouched(recording: &Recording) -> bool {
    fs::read(recording.output()).is_ok_and(|bytes| bytes == b"old") && recording.leftovers().is_empty()
}

/// The process that `hang.sh` has started.
async fn child(recording: &Recording) -> PathBuf {
    let note = recording.folder().join("child");
    let pid = until(|| fs::read_to_string(&note).ok().filter(|text| text.ends_with('\n'))).await;
    fs::remove_file(&note).expect("a note");
    Path::new("/proc").join(pid.trim())
}

/// Whether that process has ended, waited for or not.
fn has_ended(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let waited = tokio::time::timeout(LIMIT, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the condition in time")
}

#[tokio::test]
async fn what_hangs_is_killed_with_all_that_it_started() {
    let recording = recording();
    let limits = Limits { time: Duration::from_secs(1), reserve_bytes: 0, ..Limits::default() };
    let job = Mp4Job { limits, ..recording.job() };
    let mut told = Vec::new();
    let error =
        worker("hang.sh").mp4(job, |permille| told.push(permille), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, TranscodeError::TimeLimit { .. }), "{error}");
    assert_eq!(
        (error.to_string().as_str(), error.log()),
        ("ffmpeg was killed: it took longer than 1 s", &["it hangs".to_owned()][..])
    );
    assert!(told.len() == 1 && (160..175).contains(&told[0]), "{told:?}");
    let child = child(&recording).await;
    until(|| has_ended(&child).then_some(())).await;
    assert!(is_untouched(&recording));
}

#[tokio::test]
async fn a_job_is_cancelled_or_dropped_without_a_trace() {
    let recording = recording();
    let cancel = CancellationToken::new();
    let job = tokio::spawn({
        let (job, cancel) = (recording.job(), cancel.clone());
        async move { worker("hang.sh").mp4(job, |_| {}, &cancel).await }
    });
    let process = child(&recording).await;
    assert!(!has_ended(&process));
    cancel.cancel();
    assert!(matches!(job.await.unwrap(), Err(TranscodeError::Cancelled)));
    until(|| has_ended(&process).then_some(())).await;
    assert!(is_untouched(&recording));

    let job = tokio::spawn({
        let job = recording.job();
        async move { worker("hang.sh").mp4(job, |_| {}, &CancellationToken::new()).await }
    });
    let process = child(&recording).await;
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    until(|| has_ended(&process).then_some(())).await;
    assert!(is_untouched(&recording));
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed() {
    let recording = recording();
    let folder = recording.folder().join(".recording.mp4.part");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("out.mp4"), "half").unwrap();
    // Two commands: a shell with one may become it, and would lose the words it was started with.
    let mut orphan = Command::new("sh")
        .args(["-c", "sleep 1000; exit"])
        .arg(folder.join("out.mp4"))
        .process_group(0)
        .spawn()
        .unwrap();
    fs::write(folder.join("pid"), orphan.id().to_string()).unwrap();
    let done = Worker::default().mp4(recording.job(), |_| {}, &CancellationToken::new()).await.unwrap();
    assert_eq!(fs::metadata(recording.output()).unwrap().len(), done.bytes);
    assert_eq!(orphan.wait().unwrap().signal(), Some(9));
    assert!(recording.leftovers().is_empty());
    // Another process that has the number meanwhile is left alone.
    fs::create_dir(&folder).unwrap();
    let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    fs::write(folder.join("pid"), stranger.id().to_string()).unwrap();
    Worker::default().mp4(recording.job(), |_| {}, &CancellationToken::new()).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn failures_say_why_and_leave_what_was_there() {
    let recording = recording();
    let run = async |worker: Worker, job: Mp4Job| worker.mp4(job, |_| {}, &CancellationToken::new()).await.unwrap_err();
    let failed = run(worker("fail.sh"), recording.job()).await;
    assert_eq!(failed.to_string(), "ffmpeg failed, exit status: 3: line 49");
    assert_eq!((failed.log().len(), failed.log()[0].as_str()), (LOG_LINES, "line 30"));
    let lied = run(worker("lie.sh"), recording.job()).await;
    assert!(matches!(lied, TranscodeError::Output { .. } | TranscodeError::Io { .. }), "{lied}");
    let missing = run(worker("none.sh"), recording.job()).await;
    assert!(missing.to_string().contains("install the package ffmpeg"), "{missing}");
    let limits = Limits { reserve_bytes: u64::MAX, ..Limits::default() };
    let full = run(Worker::default(), Mp4Job { limits, ..recording.job() }).await;
    assert!(full.to_string().starts_with("disk full: "), "{full}");
    let limits = Limits { memory_bytes: 300 << 20, nice: 7, reserve_bytes: 0, ..Limits::default() };
    let told = run(worker("limits.sh"), Mp4Job { limits, ..recording.job() }).await;
    assert_eq!(told.to_string(), "ffmpeg failed, exit status: 1: 307200 KiB, nice 7");
    assert!(is_untouched(&recording));
}
