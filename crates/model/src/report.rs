//! What nodes tell the control plane. Facts, not wishes; a report that is lost is told again by the next one.

use serde::{Deserialize, Serialize};

use crate::{AssetId, BreakoutId, ChannelId, DistributionId, InputId, Quality, SpoolId, Stay};

/// One fact from a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The node's role acts by this snapshot version.
    Applied {
        /// `ingest`, `packager`, `origin` or `edge`.
        role: String,
        /// Node name, unique among nodes of that role.
        node: String,
        /// Snapshot version.
        version: u64,
    },
    /// The node's role begins anew: what it said of inputs before holds no more. The first report of its life.
    Begun {
        /// `ingest`.
        role: String,
        /// Node name.
        node: String,
    },
    /// State of an encoder's connection changed.
    Input {
        /// Channel of the input.
        channel: ChannelId,
        /// Input.
        input: InputId,
        /// What is true now.
        state: InputState,
    },
    /// Packaging of a breakout changed.
    Packaging {
        /// Breakout.
        breakout: BreakoutId,
        /// What is true now.
        state: PackagingState,
    },
    /// Bytes and requests since the last such report of this node.
    Traffic(Vec<Traffic>),
    /// Another input of a channel is packaged now.
    ActiveInput {
        /// Channel.
        channel: ChannelId,
        /// The input in use; none while no encoder sends.
        input: Option<InputId>,
        /// Why, in words for the operator.
        reason: String,
    },
    /// Something is wrong with what an input sends, or is so no more.
    Alarm {
        /// Channel.
        channel: ChannelId,
        /// Input.
        input: InputId,
        /// What.
        kind: AlarmKind,
        /// Whether it is so now.
        raised: bool,
        /// In words for the operator.
        detail: String,
    },
    /// What has been recorded of a breakout's session.
    Recorded {
        /// Breakout.
        breakout: BreakoutId,
        /// Its session.
        session: u32,
        /// So far.
        recorded: Recorded,
    },
    /// Who has watched since the last such report of this node; at most [`VIEWERS_MAX`].
    Viewers(Vec<ViewerSeen>),
    /// What players told of playback since the last such report of this node.
    Quality(Vec<Quality>),
    /// Traffic and quality that are in a journal until somebody else has made them last. Stays within a process.
    Counted {
        /// The journal.
        journal: SpoolId,
        /// Number of its file that holds this; files are numbered from 1.
        generation: u64,
        /// When the file was closed, Unix milliseconds by the node's clock: this and earlier files hold all that was sent until then.
        until_ms: i64,
        /// As [`Report::Traffic`].
        traffic: Vec<Traffic>,
        /// As [`Report::Quality`].
        quality: Vec<Quality>,
    },
}

/// Rows of a [`Report::Viewers`] at most.
pub const VIEWERS_MAX: usize = 1024;

/// Characters of the claims `session`, `user` and `breakout` at most, each.
pub const CLAIM_MAX_CHARS: usize = 128;

/// Characters of a reported user agent at most.
pub const USER_AGENT_MAX_CHARS: usize = 256;

/// What may be wrong with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// An encoder is connected and sends nothing, or none is connected while the channel runs.
    Silence,
    /// No keyframe for longer than segments may last.
    NoKeyframes,
    /// The bit rate is far from what it was, or too low for a picture.
    Bitrate,
    /// Frames are missing: the frame rate is far below what it was.
    FrameRate,
    /// An encoder was refused for its address.
    NotAllowed,
}

impl AlarmKind {
    const ALL: [Self; 5] = [Self::Silence, Self::NoKeyframes, Self::Bitrate, Self::FrameRate, Self::NotAllowed];

    /// The one spelling for rows, API and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::NoKeyframes => "no_keyframes",
            Self::Bitrate => "bitrate",
            Self::FrameRate => "frame_rate",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// The kind that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What has been recorded of one session of a breakout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Media, in milliseconds, gaps not counted.
    pub duration_ms: u64,
    /// Segments of all renditions.
    pub segments: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Stretches without media between the first segment and the last.
    pub gaps: u32,
    /// Sum of those, in milliseconds.
    pub gap_ms: u64,
    /// Nothing will be added: the playlists of the recording are there.
    pub complete: bool,
}

/// A viewer session that an edge has served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewerSeen {
    /// Breakout.
    pub breakout: BreakoutId,
    /// Claim `session` of the signature, 1 to [`CLAIM_MAX_CHARS`] characters.
    pub session: String,
    /// Claim `user` of the signature; empty without one.
    #[serde(default)]
    pub user: String,
    /// Address of a request of the stretch.
    #[serde(default)]
    pub address: String,
    /// User agent of that request, at most [`USER_AGENT_MAX_CHARS`] characters.
    #[serde(default)]
    pub user_agent: String,
    /// First request of the stretch that is reported, Unix milliseconds by the edge's clock.
    pub first_ms: i64,
    /// Last request.
    pub last_ms: i64,
    /// Bytes sent in that stretch.
    #[serde(default)]
    pub bytes: u64,
    /// What it watched; told every few seconds, and not in every row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<Stay>,
}

impl ViewerSeen {
    /// Makes this the row of both stretches; `other` is of the same session, earlier or later.
    pub fn absorb(&mut self, other: &Self) {
        if other.last_ms >= self.last_ms {
            self.user.clone_from(&other.user);
            self.address.clone_from(&other.address);
            self.user_agent.clone_from(&other.user_agent);
        }
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.bytes = self.bytes.saturating_add(other.bytes);
        other.stays.iter().for_each(|stay| stay.clone().put(&mut self.stays));
    }
}

/// What an input receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputState {
    /// No encoder.
    Disconnected,
    /// An encoder sends.
    Connected {
        /// Peer address.
        remote: String,
        /// Name that the encoder gives itself, at most 64 characters.
        encoder: String,
        /// Bits per second over the last interval; 0 at first.
        bitrate: u64,
        /// What it sends; none before that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media: Option<Box<InputMedia>>,
    },
}

/// What an encoder sends, as its own headers and times of samples tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputMedia {
    /// Its pictures; none if it sends no picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<InputVideo>,
    /// Its sound; none if it sends no sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<InputAudio>,
}

/// Pictures that an encoder sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputVideo {
    /// Coding format: `h264`, `h265` or `av1`.
    pub codec: String,
    /// RFC 6381 `codecs` value.
    pub codecs: String,
    /// Displayed width in pixels.
    pub width: u32,
    /// Displayed height in pixels.
    pub height: u32,
    /// Pictures a second by their own times over the last interval; none before there are two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_rate: Option<f64>,
}

/// Sound that an encoder sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputAudio {
    /// Coding format: `aac`, `opus`, `ac3` or `eac3`.
    pub codec: String,
    /// RFC 6381 `codecs` value.
    pub codecs: String,
    /// Channel count.
    pub channels: u32,
    /// Samples a second.
    pub sample_rate: u32,
}

/// What became of a breakout's packaging.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PackagingState {
    /// No media has been published yet.
    Waiting,
    /// Segments are being published.
    Live,
    /// Segments cannot be published; everything published before stays readable.
    Blocked {
        /// Why, in words for the operator.
        reason: String,
    },
    /// The breakout is over and its playlists are closed.
    Ended,
}

/// What was delivered: one distribution, behavior, breakout or asset, rendition and minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Distribution.
    pub distribution: DistributionId,
    /// Path pattern of the behavior.
    #[serde(default)]
    pub behavior: String,
    /// Breakout, if the path belongs to one.
    #[serde(default)]
    pub breakout: Option<BreakoutId>,
    /// Session of the breakout; 0 if it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub session: u32,
    /// Whether it is of the recording of that session and not of the live stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// Asset, if the path belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
    /// Rendition, if the path belongs to one; at most [`RENDITION_MAX_BYTES`] bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rendition: String,
    /// The minute, as Unix seconds of its beginning by the edge's clock; 0 if it is not known.
    #[serde(default, skip_serializing_if = "is_zero_time")]
    pub minute: i64,
    /// Requests answered.
    pub requests: u64,
    /// Bytes sent to viewers, heads and bodies.
    pub bytes: u64,
    /// Answers by status class, 1xx to 5xx.
    #[serde(default)]
    pub statuses: [u64; 5],
    /// Answers from the cache without a word to the origin: fresh or allowed stale.
    #[serde(default)]
    pub hits: u64,
    /// Answers for which something was asked of the origin, alone or together with others. Own answers are neither.
    #[serde(default)]
    pub misses: u64,
    /// Bytes of answers for which the origin was asked alone: what has come from there.
    #[serde(default)]
    pub fetched: u64,
    /// Answers for which the origin was asked alone, whatever it said: requests that it was asked.
    #[serde(default)]
    pub fetches: u64,
}

/// Bytes of [`Traffic::rendition`] at most.
pub const RENDITION_MAX_BYTES: usize = 64;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero_time(value: &i64) -> bool {
    *value == 0
}

/// Whose traffic it is, in all detail.
pub type TrafficKey = (DistributionId, String, Option<BreakoutId>, (u32, bool), Option<AssetId>, String, i64);

impl Traffic {
    /// Nothing yet of this distribution.
    #[must_use]
    pub fn none(distribution: DistributionId) -> Self {
        Self {
            distribution,
            behavior: String::new(),
            breakout: None,
            session: 0,
            recorded: false,
            asset: None,
            rendition: String::new(),
            minute: 0,
            requests: 0,
            bytes: 0,
            statuses: [0; 5],
            hits: 0,
            misses: 0,
            fetched: 0,
            fetches: 0,
        }
    }

    /// What tells it apart from others.
    #[must_use]
    pub fn key(&self) -> TrafficKey {
        (
            self.distribution.clone(),
            self.behavior.clone(),
            self.breakout.clone(),
            (self.session, self.recorded),
            self.asset.clone(),
            self.rendition.clone(),
            self.minute,
        )
    }

    /// Adds the counts of `other`, whatever it is of.
    pub fn absorb(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (sum, more) in self.statuses.iter_mut().zip(other.statuses) {
            *sum = sum.saturating_add(more);
        }
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.fetched = self.fetched.saturating_add(other.fetched);
        self.fetches = self.fetches.saturating_add(other.fetches);
    }

    /// Takes away the counts of `other`, which was absorbed before.
    pub fn discharge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        for (sum, less) in self.statuses.iter_mut().zip(other.statuses) {
            *sum = sum.saturating_sub(less);
        }
        self.hits = self.hits.saturating_sub(other.hits);
        self.misses = self.misses.saturating_sub(other.misses);
        self.fetched = self.fetched.saturating_sub(other.fetched);
        self.fetches = self.fetches.saturating_sub(other.fetches);
    }

    /// Every count: requests, bytes, statuses from 1xx to 5xx, hits, misses, fetched bytes, fetches.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        let rest = [self.hits, self.misses, self.fetched, self.fetches];
        [self.requests, self.bytes].into_iter().chain(self.statuses).chain(rest)
    }
}
