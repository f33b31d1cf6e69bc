//! The transcode room: file jobs by a supervised ffmpeg. A recording becomes one MP4 file; an uploaded file becomes a ladder.
//!
//! In: the path of a recording's multivariant playlist, or of an uploaded file and a preset; limits, a token that cancels.
//! Out: files that appear under their names when they are whole and durable, or an error with ffmpeg's last words; progress. For an
//! uploaded file before that: what it is or why it is refused, and the plan of the work.
//! Never: rows of jobs, tries and schedules (`control`), segments and playlists (`packager`), network: ffmpeg reads and writes files only.
//! Spec: systems.md V25, V73, L5 to L7; rfc8216bis; ISO/IEC 14496-12; `docs/adr/0017`, `docs/adr/0021`.

mod arguments;
mod output;
mod plan;
mod process;
pub mod vod;
mod work;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

pub use tokio_util::sync::CancellationToken;

use plan::Plan;
use work::Work;

/// How jobs are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program; a name without a slash is looked for in `PATH`.
    pub ffmpeg: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { ffmpeg: PathBuf::from("ffmpeg") }
    }
}

/// What a job may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Address space of ffmpeg, in bytes (`RLIMIT_AS`).
    pub memory_bytes: u64,
    /// From start to end; then ffmpeg is killed.
    pub time: Duration,
    /// Politeness towards live work, as `nice` counts: 0 to 19.
    pub nice: i32,
    /// Threads of ffmpeg when pictures are encoded.
    pub threads: u32,
    /// Bytes of the file system that stay free.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            time: Duration::from_secs(6 * 3600),
            nice: 10,
            threads: 2,
            reserve_bytes: 1 << 30,
        }
    }
}

/// An order for one MP4.
#[derive(Clone, Debug)]
pub struct Mp4Job {
    /// Multivariant playlist of the recording; its media playlists and segments lie beside and below it.
    pub input_playlist: PathBuf,
    /// Where the file is to appear; one that is there is replaced at the end. One job at a time may make the same file. While it runs
    /// there is a folder beside it, with a dot before its name and `.part` after it.
    pub output: PathBuf,
    /// What it may use.
    pub limits: Limits,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mp4Done {
    /// Size of the file.
    pub bytes: u64,
    /// Its duration.
    pub duration_ms: u64,
    /// How it was made, for people.
    pub method: Method,
}

/// How a file was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The coded media are those of the recording.
    Copied,
    /// All was decoded and encoded again, as one file has one set of parameters.
    Encoded {
        /// How often they changed.
        changes: usize,
    },
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copied => f.write_str("copied without encoding again"),
            Self::Encoded { changes: 1 } => f.write_str("encoded again: the encoder's settings changed once"),
            Self::Encoded { changes } => write!(f, "encoded again: the encoder's settings changed {changes} times"),
        }
    }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The program is not there.
    #[error("cannot run {}: install the package ffmpeg, or name the program in the configuration", program.display())]
    NoFfmpeg {
        /// What was looked for.
        program: PathBuf,
    },
    /// The recording cannot be understood.
    #[error("not a recording: {}: {reason}", path.display())]
    Recording {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The encoder's settings changed more often than one run can join.
    #[error("the encoder's settings changed {changes} times, more than {most} cannot be joined in one file")]
    TooManyChanges {
        /// How often.
        changes: usize,
        /// How often they may.
        most: usize,
    },
    /// There is not enough room for the file.
    #[error("disk full: {free} bytes free at {}, {needed} are needed; free some space", folder.display())]
    Space {
        /// Bytes that the file system offers.
        free: u64,
        /// Bytes that the file and the reserve take.
        needed: u64,
        /// Where the file was to be.
        folder: PathBuf,
    },
    /// ffmpeg gave up.
    #[error("ffmpeg failed, {status}: {}", log.last().map_or("it said nothing", String::as_str))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// Its last lines, oldest first; at most [`LOG_LINES`].
        log: Vec<String>,
    },
    /// ffmpeg took too long, and was killed.
    #[error("ffmpeg was killed: it took longer than {} s", limit.as_secs())]
    TimeLimit {
        /// The limit.
        limit: Duration,
        /// Its last lines, oldest first; at most [`LOG_LINES`].
        log: Vec<String>,
    },
    /// The token was cancelled, and ffmpeg was killed.
    #[error("cancelled")]
    Cancelled,
    /// ffmpeg said that all is well, and it is not.
    #[error("what ffmpeg made cannot be used: {reason}")]
    Output {
        /// What is wrong.
        reason: String,
        /// Its last lines, oldest first; at most [`LOG_LINES`].
        log: Vec<String>,
    },
    /// The file system failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Lines of ffmpeg's that an error keeps.
pub const LOG_LINES: usize = 20;

impl TranscodeError {
    /// ffmpeg's last lines, oldest first; none when it did not run.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::Failed { log, .. } | Self::TimeLimit { log, .. } | Self::Output { log, .. } => log,
            _ => &[],
        }
    }

    /// Whether another try may do better without somebody changing something.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Space { .. } | Self::Failed { .. } | Self::TimeLimit { .. } | Self::Output { .. } => true,
            Self::Io { .. } | Self::NoFfmpeg { .. } => true,
            Self::Recording { .. } | Self::TooManyChanges { .. } | Self::Cancelled => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Runs jobs. Cheap to clone; each call of [`Worker::mp4`] is a process of its own.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    config: Config,
}

impl Worker {
    /// A worker.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Makes one MP4 of a recording, its index before its media, and gives it its name when it is whole and durable.
    ///
    /// Media time of the file has no holes: stretches of the recording follow each other at once, whatever was lost between them. Coded
    /// media are copied when all stretches have the same init sections; else all are decoded and encoded again, smaller pictures
    /// within black borders.
    ///
    /// `progress` is told permille, 999 at most, never less than before. A job that is cancelled or killed leaves what was under the
    /// output's name, and so does one that is dropped, unless it was about to end; a job after a `kill -9` removes what the former left.
    ///
    /// # Errors
    /// [`TranscodeError`]; there is no new file then.
    pub async fn mp4(
        &self,
        job: Mp4Job,
        progress: impl FnMut(u16) + Send,
        cancel: &CancellationToken,
    ) -> Result<Mp4Done, TranscodeError> {
        let made = self.make(job, progress, cancel).await;
        let outcome = if made.is_ok() { "done" } else { "failed" };
        metrics::counter!("anabranch_transcode_jobs_total", "outcome" => outcome).increment(1);
        made
    }

    async fn make(
        &self,
        job: Mp4Job,
        progress: impl FnMut(u16) + Send,
        cancel: &CancellationToken,
    ) -> Result<Mp4Done, TranscodeError> {
        let Mp4Job { input_playlist, output, limits } = job;
        let (plan, work) = {
            let (input, output, reserve) = (input_playlist, output.clone(), limits.reserve_bytes);
            blocking(move || {
                let plan = Plan::read(&input)?;
                let work = Work::begin(&output)?;
                work.check_space(plan.bytes, reserve)?;
                work.write(&plan)?;
                Ok((plan, work))
            })
            .await?
        };
        let arguments = arguments::of(&plan, &limits);
        let log = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(TranscodeError::Cancelled),
            log = process::run(&self.config.ffmpeg, &arguments, &work, &limits, plan.duration_ms(), progress) => log?,
        };
        let method = plan.method();
        blocking(move || {
            let (bytes, duration_ms) =
                output::check(&work.file(), &plan).map_err(|fault| fault.into_error(&work.file(), log))?;
            work.publish(&output)?;
            Ok(Mp4Done { bytes, duration_ms, method })
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, TranscodeError> + Send + 'static,
) -> Result<T, TranscodeError> {
    match tokio::task::spawn_blocking(task).await {
        Ok(result) => result,
        Err(error) => Err(TranscodeError::io("finish work on", Path::new("a job"))(io::Error::other(error))),
    }
}
