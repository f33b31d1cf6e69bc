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

use crate::work::Work;
use crate::{LOG_LINES, Limits, TranscodeError};

/// Bytes of a line that are kept.
const LINE_MAX_BYTES: usize = 512;

/// How long pipes are read after the process has ended: a child of its own may hold them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the program in the folder of the job until it ends well; returns its last lines.
pub(crate) async fn run(
    program: &Path,
    arguments: &[String],
    work: &Work,
    limits: &Limits,
    duration_ms: u64,
    mut progress: impl FnMut(u16) + Send,
) -> Result<Vec<String>, TranscodeError> {
    let mut command = Command::new(program);
    // The whole path, by which an orphan is known after a `kill -9` of this process.
    command.args(arguments).arg(work.file()).current_dir(work.folder());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TranscodeError::NoFfmpeg { program: program.to_owned() },
        _ => TranscodeError::io("run", program)(error),
    })?;
    let mut group = Group::of(&child);
    if let Some(pid) = group.0 {
        work.note_process(pid.as_raw_nonzero().get().unsigned_abs());
        limit(pid, limits).map_err(TranscodeError::io("limit", program))?;
    }
    let mut log = Log::default();
    let mut permille = 0;
    let mut told = |line: &str| {
        if let Some(now) = permille_of(line, duration_ms)
            && now > permille
        {
            permille = now;
            progress(now);
        }
    };
    let ended = timeout_at(Instant::now() + limits.time, attend(&mut child, &mut told, &mut log)).await;
    let Ok(ended) = ended else {
        return Err(TranscodeError::TimeLimit { limit: limits.time, log: log.lines() });
    };
    let status = ended.map_err(TranscodeError::io("wait for", program))?;
    group.0 = None;
    if status.success() { Ok(log.lines()) } else { Err(TranscodeError::Failed { status, log: log.lines() }) }
}

fn limit(pid: Pid, limits: &Limits) -> io::Result<()> {
    let bytes = Some(limits.memory_bytes);
    let set = prlimit(Some(pid), Resource::As, Rlimit { current: bytes, maximum: bytes });
    let set = set.and_then(|_| setpriority_process(Some(pid), limits.nice.clamp(0, 19)));
    match set {
        // It has ended already, and says itself why.
        Err(error) if error == rustix::io::Errno::SRCH => Ok(()),
        other => Ok(other?),
    }
}

/// Reads what the process says until it ends.
async fn attend(
    child: &mut Child,
    told: &mut (impl FnMut(&str) + Send),
    log: &mut Log,
) -> io::Result<std::process::ExitStatus> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut keep = |line: &str| log.push(line);
    let reading = async {
        tokio::join!(each_line(stdout, told), each_line(stderr, &mut keep));
    };
    tokio::pin!(reading);
    let status = tokio::select! {
        status = child.wait() => status,
        () = &mut reading => return child.wait().await,
    };
    let _ = timeout(LAST_WORDS, reading).await;
    status
}

/// Hands over each line as it comes. What is longer than a line may be is cut.
async fn each_line(pipe: Option<impl AsyncRead + Unpin>, take: &mut (impl FnMut(&str) + Send)) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = [0; 4096];
    let mut line: Vec<u8> = Vec::with_capacity(LINE_MAX_BYTES);
    let mut hand = |line: &mut Vec<u8>| {
        if !line.is_empty() {
            take(String::from_utf8_lossy(line).trim_end());
            line.clear();
        }
    };
    while let Ok(read) = pipe.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        for byte in &chunk[..read] {
            if matches!(byte, b'\n' | b'\r') {
                hand(&mut line);
            } else if line.len() < LINE_MAX_BYTES {
                line.push(*byte);
            }
        }
    }
    hand(&mut line);
}

/// How far a line of `-progress` says that the output has come; 1000 is left for the moment when the file has its name.
fn permille_of(line: &str, duration_ms: u64) -> Option<u16> {
    let micros: u64 = line.strip_prefix("out_time_us=")?.trim().parse().ok()?;
    let permille = micros / duration_ms.max(1);
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
            assert_eq!(permille_of(line, 3000), permille, "{line}");
        }
        assert_eq!(permille_of("out_time_us=5", 0), Some(5));
    }

    #[tokio::test]
    async fn lines_are_cut_and_the_last_are_kept() {
        let text = format!("{}\n\nlast\rwords", "x".repeat(5000));
        let mut lines = Vec::new();
        each_line(Some(text.as_bytes()), &mut |line: &str| lines.push(line.to_owned())).await;
        assert_eq!(lines, ["x".repeat(LINE_MAX_BYTES), "last".to_owned(), "words".to_owned()]);
        let mut log = Log::default();
        (0..50).for_each(|number| log.push(&number.to_string()));
        assert_eq!((log.0.len(), log.0[0].as_str()), (LOG_LINES, "30"));
    }
}
