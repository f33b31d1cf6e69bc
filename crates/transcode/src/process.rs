//! ffmpeg under supervision: polite, bounded in memory and time, gone with the job.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit, setpriority_process};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use crate::work::{self, Work};
use crate::{LOG_LINES, Limits, TranscodeError};

/// Bytes of a line that are kept.
const LINE_MAX_BYTES: usize = 512;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// How long pipes are read after the process has ended: a child of its own may hold them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process that is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    /// Where it runs.
    pub(crate) folder: &'a Path,
    /// Its address space.
    pub(crate) memory_bytes: u64,
    /// From start to end; then it is killed.
    pub(crate) time: Duration,
    /// Politeness, 0 to 19.
    pub(crate) nice: i32,
}

/// Whether more of what a process says is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hear {
    /// Go on.
    On,
    /// It is killed.
    Enough,
}

/// Runs the program in the folder of the job until it ends well; returns its last lines.
pub(crate) async fn run(
    program: &Path,
    arguments: &[String],
    work: &Work,
    limits: &Limits,
    duration_ms: u64,
    progress: impl FnMut(u16) + Send,
) -> Result<Vec<String>, TranscodeError> {
    // The whole path, by which an orphan is known after a `kill -9` of this process.
    let arguments: Vec<String> =
        arguments.iter().cloned().chain([work.file().to_string_lossy().into_owned()]).collect();
    let order = Order {
        program,
        arguments: &arguments,
        folder: work.folder(),
        memory_bytes: limits.memory_bytes,
        time: limits.time,
        nice: limits.nice,
    };
    with_progress(order, Goal::Time { duration_ms }, progress).await
}

/// By what the progress of ffmpeg is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Media time of the output. With `-copyts` it is counted from the first report.
    Time { duration_ms: u64 },
    /// Frames of the first output of pictures.
    Frames(u64),
}

/// Runs an ffmpeg that writes `-progress` to its output, and notes its number in its folder.
pub(crate) async fn with_progress(
    order: Order<'_>,
    goal: Goal,
    mut progress: impl FnMut(u16) + Send,
) -> Result<Vec<String>, TranscodeError> {
    let mut permille = 0;
    let mut lines = Lines::new(LINE_MAX_BYTES);
    let mut told = |line: &str| {
        if let Some(now) = permille_of(line, goal)
            && now > permille
        {
            permille = now;
            progress(now);
        }
        Hear::On
    };
    let folder = order.folder;
    supervise(order, |pid| work::note_process(folder, pid), &mut |bytes| lines.push(bytes, &mut told)).await
}

/// Runs a process until it ends well; returns its last lines of complaint. `started` is told its number, `said` hands over its output.
pub(crate) async fn supervise(
    order: Order<'_>,
    started: impl FnOnce(u32) + Send,
    said: &mut (dyn FnMut(&[u8]) -> Hear + Send),
) -> Result<Vec<String>, TranscodeError> {
    let Order { program, arguments, folder, memory_bytes, time, nice } = order;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TranscodeError::NoFfmpeg { program: program.to_owned() },
        _ => TranscodeError::io("run", program)(error),
    })?;
    let mut group = Group::of(&child);
    if let Some(pid) = group.0 {
        started(pid.as_raw_nonzero().get().unsigned_abs());
        limit(pid, memory_bytes, nice).map_err(TranscodeError::io("limit", program))?;
    }
    let mut log = Log::default();
    let mut lines = Lines::new(LINE_MAX_BYTES);
    let mut complaint = |bytes: &[u8]| {
        lines.push(bytes, &mut |line| {
            log.push(line);
            Hear::On
        })
    };
    let ended = timeout_at(Instant::now() + time, attend(&mut child, said, &mut complaint)).await;
    lines.end(&mut |line| {
        log.push(line);
        Hear::On
    });
    let log = log.lines();
    match ended {
        Err(_) => Err(TranscodeError::TimeLimit { limit: time, log }),
        Ok(Err(error)) => Err(TranscodeError::io("wait for", program)(error)),
        Ok(Ok(None)) => Err(TranscodeError::Output { reason: "it says more than it may".to_owned(), log }),
        Ok(Ok(Some(status))) => {
            group.0 = None;
            if status.success() { Ok(log) } else { Err(TranscodeError::Failed { status, log }) }
        }
    }
}

fn limit(pid: Pid, memory_bytes: u64, nice: i32) -> io::Result<()> {
    let bytes = Some(memory_bytes);
    let set = prlimit(Some(pid), Resource::As, Rlimit { current: bytes, maximum: bytes });
    let set = set.and_then(|_| setpriority_process(Some(pid), nice.clamp(0, 19)));
    match set {
        // It has ended already, and says itself why.
        Err(error) if error == rustix::io::Errno::SRCH => Ok(()),
        other => Ok(other?),
    }
}

/// Reads what the process says until it ends; none when enough was heard before.
async fn attend(
    child: &mut Child,
    said: &mut (dyn FnMut(&[u8]) -> Hear + Send),
    complained: &mut (dyn FnMut(&[u8]) -> Hear + Send),
) -> io::Result<Option<std::process::ExitStatus>> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reading = async { tokio::try_join!(each_chunk(stdout, said), each_chunk(stderr, complained)) };
    tokio::pin!(reading);
    let status = tokio::select! {
        // What was said comes before how it ended, or the end of what a quick process says would be lost.
        biased;
        heard = &mut reading => return match heard {
            Ok(_) => child.wait().await.map(Some),
            Err(Enough) => Ok(None),
        },
        status = child.wait() => status?,
    };
    match timeout(LAST_WORDS, reading).await {
        Ok(Err(Enough)) => Ok(None),
        _ => Ok(Some(status)),
    }
}

struct Enough;

async fn each_chunk(
    pipe: Option<impl AsyncRead + Unpin>,
    take: &mut (dyn FnMut(&[u8]) -> Hear + Send),
) -> Result<(), Enough> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(read) = pipe.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        if take(&chunk[..read]) == Hear::Enough {
            return Err(Enough);
        }
    }
    Ok(())
}

/// Cuts what comes into lines. What is longer than a line may be is cut.
#[derive(Debug)]
pub(crate) struct Lines {
    line: Vec<u8>,
    most: usize,
}

impl Lines {
    pub(crate) fn new(most: usize) -> Self {
        Self { line: Vec::with_capacity(most), most }
    }

    /// Hands over each line that has ended, without its end; empty ones are left out.
    pub(crate) fn push(&mut self, bytes: &[u8], take: &mut (dyn FnMut(&str) -> Hear + Send)) -> Hear {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                if self.end(take) == Hear::Enough {
                    return Hear::Enough;
                }
            } else if self.line.len() < self.most {
                self.line.push(*byte);
            }
        }
        Hear::On
    }

    /// Hands over the last line, which need not have ended.
    pub(crate) fn end(&mut self, take: &mut (dyn FnMut(&str) -> Hear + Send)) -> Hear {
        if self.line.is_empty() {
            return Hear::On;
        }
        let hear = take(String::from_utf8_lossy(&self.line).trim_end());
        self.line.clear();
        hear
    }
}

/// How far a line of `-progress` says that the output has come; 1000 is left for the moment when the file has its name.
fn permille_of(line: &str, goal: Goal) -> Option<u16> {
    let permille = match goal {
        Goal::Time { duration_ms } => {
            let micros: u64 = line.strip_prefix("out_time_us=")?.trim().parse().ok()?;
            micros / duration_ms.max(1)
        }
        Goal::Frames(frames) => {
            let made: u64 = line.strip_prefix("frame=")?.trim().parse().ok()?;
            made.saturating_mul(1000) / frames.max(1)
        }
    };
    Some(u16::try_from(permille.min(999)).unwrap_or(999))
}

/// The last lines.
#[derive(Debug, Default)]
struct Log(VecDeque<String>);

impl Log {
    fn push(&mut self, line: &str) {
        if self.0.len() == LOG_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    fn lines(self) -> Vec<String> {
        self.0.into()
    }
}

/// The process and what it started. They are killed when this is dropped, unless it has ended.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Nobody has waited for the process yet, so its number is still its own.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read() {
        for (line, permille) in [
            ("out_time_us=1500000", Some(500)),
            ("out_time_us=0", Some(0)),
            ("out_time_us=999999999999", Some(999)),
            ("out_time_us=N/A", None),
            ("out_time_us=-5", None),
            ("frame=1", None),
        ] {
            assert_eq!(permille_of(line, Goal::Time { duration_ms: 3000 }), permille, "{line}");
        }
        assert_eq!(permille_of("out_time_us=5", Goal::Time { duration_ms: 0 }), Some(5));
        assert_eq!(permille_of("frame= 30", Goal::Frames(120)), Some(250));
    }

    #[test]
    fn lines_are_cut_and_the_last_are_kept() {
        let text = format!("{}\n\nlast\rwords", "x".repeat(5000));
        let mut lines = Vec::new();
        let mut keep = |line: &str| {
            lines.push(line.to_owned());
            Hear::On
        };
        let mut cut = Lines::new(LINE_MAX_BYTES);
        for chunk in text.as_bytes().chunks(7) {
            assert_eq!(cut.push(chunk, &mut keep), Hear::On);
        }
        cut.end(&mut keep);
        assert_eq!(lines, ["x".repeat(LINE_MAX_BYTES), "last".to_owned(), "words".to_owned()]);
        let mut log = Log::default();
        (0..50).for_each(|number| log.push(&number.to_string()));
        assert_eq!((log.0.len(), log.0[0].as_str()), (LOG_LINES, "30"));
    }
}
