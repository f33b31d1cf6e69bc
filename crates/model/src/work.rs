//! What passes between the control plane, which keeps jobs, and workers, who do them: in one process or by HTTP.

use serde::{Deserialize, Serialize};

use crate::{AssetId, AssetReport, BreakoutId, JobId};

/// Where a worker of its own asks for a job: POST of a [`JobClaim`], answered 200 with [`Claimed`] or 204.
pub const JOB_CLAIM_PATH: &str = "/edge/v1/jobs/claim";

/// Where it says that it is at it: POST of a [`JobBeat`], answered 204, or 410 when the job is no longer its own.
pub const JOB_BEAT_PATH: &str = "/edge/v1/jobs/beat";

/// Where it says how a try ended: POST of a [`JobEnd`], answered 204.
pub const JOB_END_PATH: &str = "/edge/v1/jobs/end";

/// Where it asks what of the unfinished work that lies with it is of no use any more: POST of [`JobLeft`], answered 200 with another.
pub const JOB_LEFT_PATH: &str = "/edge/v1/jobs/left";

/// Pieces of work in one [`JobLeft`] at most.
pub const JOB_LEFT_MAX: usize = 500;

/// What a worker is asked to do. Work may come again after a crash: what is done already is done quickly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Make one MP4 of a recording.
    Mp4 {
        /// Breakout.
        breakout: BreakoutId,
        /// Its session.
        session: u32,
    },
    /// Remove every object of a recording.
    RemoveRecording {
        /// Breakout.
        breakout: BreakoutId,
        /// Its session.
        session: u32,
    },
    /// Read a file that has arrived: what is told is the SHA-256 of its bytes.
    Intake {
        /// Bucket.
        bucket: String,
        /// Key.
        key: String,
    },
    /// Make an asset.
    Asset(AssetWork),
    /// Publish captions that were added to an asset, and no others.
    Captions(CaptionsWork),
    /// Remove everything that was made of an asset.
    RemoveAsset {
        /// The asset.
        asset: AssetId,
    },
}

/// An asset to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetWork {
    /// Its id.
    pub asset: AssetId,
    /// Bucket of its file.
    pub bucket: String,
    /// Key of its file.
    pub key: String,
    /// Name of the preset.
    pub preset: String,
    /// From 1; goes up each time it is made again.
    pub generation: u32,
}

/// Captions that an asset is to have beside those of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptionsWork {
    /// Id of the asset.
    pub asset: AssetId,
    /// Its captions.
    pub tracks: Vec<CaptionTrack>,
}

/// Captions in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptionTrack {
    /// Names them by their content: the WebVTT lies below `Captions/` of the asset under this name.
    pub mark: String,
    /// Language tag.
    pub language: String,
    /// For people.
    pub label: String,
    /// Whether viewers who do not choose get them.
    #[serde(default)]
    pub preferred: bool,
    /// Whether they translate only what every viewer needs.
    #[serde(default)]
    pub forced: bool,
}

/// Who asks for a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobClaim {
    /// Name of the node.
    pub node: String,
    /// This life of its process: what an earlier one had is free at once.
    pub instance: String,
    /// Kinds of jobs that it does, by their words.
    pub kinds: Vec<String>,
}

impl JobClaim {
    /// What stands on the rows of its jobs.
    #[must_use]
    pub fn worker(&self) -> String {
        format!("{}/{}", self.node, self.instance)
    }
}

/// A job that is this worker's until its lease is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The job.
    pub id: JobId,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// What to do.
    pub work: Work,
}

/// A worker is at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobBeat {
    /// The job.
    pub id: JobId,
    /// [`JobClaim::worker`].
    pub worker: String,
    /// Which try it is.
    pub attempt: u32,
    /// Thousandths done.
    pub progress: u32,
    /// What there is of the asset, when that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AssetReport>,
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The job.
    pub id: JobId,
    /// [`JobClaim::worker`].
    pub worker: String,
    /// Which try it was.
    pub attempt: u32,
    /// What came of it.
    pub outcome: JobOutcome,
}

/// Unfinished work that lies with a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLeft {
    /// Of these assets.
    pub work: Vec<LeftWork>,
}

/// Unfinished work on one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftWork {
    /// The asset.
    pub asset: AssetId,
    /// [`AssetWork::generation`].
    pub generation: u32,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// It is done.
    Done(Box<Done>),
    /// It failed.
    Failed(Failure),
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Bytes that were written.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 of a file that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<[u8; 32]>,
    /// What there is of the asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AssetReport>,
    /// Captions that were published, by their marks, and in the report all that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captions: Option<Vec<String>>,
}

/// Why a try failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{reason}")]
pub struct Failure {
    /// In words for the operator.
    pub reason: String,
    /// Whether another try could end otherwise.
    pub again: bool,
    /// Whether all that was missing is room on a disk: the job waits for it, and this try was none.
    #[serde(default)]
    pub no_room: bool,
}

impl Failure {
    /// No other try would end otherwise.
    #[must_use]
    pub fn last(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: false, no_room: false }
    }

    /// Another try could end otherwise.
    #[must_use]
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { again: true, ..Self::last(reason) }
    }

    /// A disk is full.
    #[must_use]
    pub fn no_room(reason: impl Into<String>) -> Self {
        Self { no_room: true, ..Self::passing(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_keeps_its_words() {
        let work = Work::Asset(AssetWork {
            asset: AssetId::of(&[0; 32]),
            bucket: "up".into(),
            key: "a b.mp4".into(),
            preset: "standard".into(),
            generation: 1,
        });
        let text = serde_json::to_string(&work).unwrap();
        assert!(text.starts_with(r#"{"kind":"asset","asset":"m000"#), "{text}");
        assert_eq!(serde_json::from_str::<Work>(&text).unwrap(), work);
    }
}
