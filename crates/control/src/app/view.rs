//! What answers look like.

mod delivery;

use anabranch_model::{
    BreakoutState, ChannelState, DistributionPhase, DistributionState, InputPreference, JobState, RecordingState,
};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use delivery::{
    Distribution, DistributionWhole, Invalidation, Key, KeyCreated, KeyGroup, Operation, OperationNow, OperationWhole,
    Planned, RecordCount, RecordCounts, SignedUrl, Step, Sweep, SweepOrphan, SweepRow,
};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// Items, oldest first.
    pub(crate) items: Vec<T>,
    /// Value of `after` for the next page; null on the last.
    pub(crate) next: Option<String>,
}

/// A durable live pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Channel {
    /// Identifier.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// Words for the operator.
    pub(crate) description: String,
    /// Observed state.
    #[schema(value_type = String, example = "Idle", pattern = "^(Idle|Starting|Running|Stopping)$")]
    pub(crate) state: ChannelState,
    /// Whether the operator wants it running, breakout or not.
    pub(crate) desired_running: bool,
    /// Segment target in seconds.
    pub(crate) segment_target_seconds: u32,
    /// How much of the past the media playlists name, in seconds.
    pub(crate) window_seconds: u32,
    /// Addresses and blocks that may push; none stands for all.
    pub(crate) ingest_allow: Vec<String>,
    /// How one of two inputs is chosen.
    pub(crate) failover: Failover,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
    /// Push endpoints.
    pub(crate) inputs: Vec<Input>,
    /// The distribution that serves it; null when it has been detached or could not be made.
    pub(crate) distribution: Option<ChannelDistribution>,
    /// `active`, or `stale` while it is being deleted.
    #[schema(value_type = String, example = "active", pattern = "^(active|stale)$")]
    pub(crate) phase: DistributionPhase,
    /// What is being done about it, or could not be done.
    pub(crate) operation: Option<OperationNow>,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339.
    pub(crate) updated_at: String,
}

/// How one of two inputs is chosen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failover {
    /// Whether the loss of an input switches to the other.
    pub(crate) enabled: bool,
    /// Silence after which the other takes over, in milliseconds.
    pub(crate) loss_ms: u32,
    /// Time without loss after which an input is healthy again, in milliseconds.
    pub(crate) clear_ms: u32,
    /// Which of two healthy inputs is in use.
    #[schema(value_type = String, example = "primary", pattern = "^(primary|equal)$")]
    pub(crate) preference: InputPreference,
    /// Input in use now, as far as it is known.
    pub(crate) active_input: Option<String>,
    /// Why that one.
    pub(crate) reason: Option<String>,
}

/// A push endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Input {
    /// Identifier.
    pub(crate) id: String,
    /// Server for encoders that ask for server and stream key apart.
    pub(crate) push_url: String,
    /// Secret of the encoder; null for tokens without scope `manage`.
    pub(crate) stream_key: Option<String>,
    /// Both as one URL; null for tokens without scope `manage`.
    pub(crate) push_url_with_key: Option<String>,
    /// What it receives now.
    pub(crate) state: InputNow,
}

/// What an input receives now.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct InputNow {
    /// Whether an encoder sends.
    pub(crate) connected: bool,
    /// Its address.
    pub(crate) remote: Option<String>,
    /// The name it gives itself.
    pub(crate) encoder: Option<String>,
    /// Bits per second over the last interval.
    pub(crate) bitrate_bps: Option<u64>,
    /// RFC 3339; since when the encoder is connected.
    pub(crate) connected_since: Option<String>,
    /// The pictures that it sends; null before they are known, and when it sends none.
    pub(crate) video: Option<VideoNow>,
    /// The sound that it sends; null before it is known, and when it sends none.
    pub(crate) audio: Option<AudioNow>,
}

/// Pictures that an encoder sends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideoNow {
    /// Coding format.
    #[schema(example = "h264", pattern = "^(h264|h265|av1)$")]
    pub(crate) codec: String,
    /// RFC 6381 `codecs` value.
    #[schema(example = "avc1.64001f")]
    pub(crate) codecs: String,
    /// Displayed width in pixels.
    pub(crate) width: u32,
    /// Displayed height in pixels.
    pub(crate) height: u32,
    /// Pictures a second by their own times, over the last interval; null before that is known.
    pub(crate) frame_rate: Option<f64>,
}

/// Sound that an encoder sends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AudioNow {
    /// Coding format.
    #[schema(example = "aac", pattern = "^(aac|opus|ac3|eac3)$")]
    pub(crate) codec: String,
    /// RFC 6381 `codecs` value.
    #[schema(example = "mp4a.40.2")]
    pub(crate) codecs: String,
    /// Channel count.
    pub(crate) channels: u32,
    /// Samples a second.
    pub(crate) sample_rate: u32,
}

/// The distribution of a channel, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelDistribution {
    /// Identifier.
    pub(crate) id: String,
    /// Host name.
    pub(crate) domain_name: String,
    /// Whether every edge serves by the newest configuration.
    #[schema(value_type = String, example = "Deployed", pattern = "^(InProgress|Deployed)$")]
    pub(crate) status: DistributionState,
    /// Whether it serves.
    pub(crate) enabled: bool,
}

/// One live session of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Breakout {
    /// Identifier; the first segment of every viewer path.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// Channel that feeds it; null once that was deleted.
    pub(crate) channel: Option<String>,
    /// Name of the cluster that it is a stream of.
    pub(crate) cluster: Option<String>,
    /// Where it is in its life.
    #[schema(value_type = String, example = "IDLE", pattern = "^(IDLE|STARTING|RUNNING|COMPLETED)$")]
    pub(crate) state: BreakoutState,
    /// What becomes of its media.
    pub(crate) packaging: Packaging,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
    /// Event that it belongs to.
    pub(crate) event: Option<String>,
    /// Words for the operator.
    pub(crate) description: String,
    /// Words to find it by.
    pub(crate) tags: Vec<String>,
    /// Which session of it this is, from 1; it goes up with every reset.
    pub(crate) session: u32,
    /// Whether the audience may see it while it is on air.
    #[schema(value_type = String, example = "up", pattern = "^(up|down)$")]
    pub(crate) curtain: &'static str,
    /// Goes up by one each time that the pages of all viewers are told to begin anew; 0 at first.
    pub(crate) refresh: u64,
    /// Sessions that watch it now; null in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) viewers: Option<u64>,
    /// Sessions of one user at a time; 0 is no limit.
    pub(crate) device_limit: u32,
    /// What is kept of viewers.
    #[schema(value_type = String, example = "full", pattern = "^(full|anonymous|off)$")]
    pub(crate) attendance: &'static str,
    /// Whether an MP4 of the recording is made by itself.
    pub(crate) mp4: bool,
    /// Whether the viewers' page says how many watch.
    pub(crate) show_viewers: bool,
    /// Whether viewers are offered the MP4 of the recording.
    pub(crate) viewer_download: bool,
    /// Addresses and blocks that may push while it is on air, in place of the channel's; none stands for those.
    pub(crate) ingest_allow: Vec<String>,
    /// RFC 3339; when it is meant to begin.
    pub(crate) scheduled_at: Option<String>,
    /// How long it is meant to last.
    pub(crate) duration_minutes: Option<u32>,
    /// What had to be repaired when it started, in words.
    pub(crate) notice: Option<String>,
    /// What is being done about it, or could not be done.
    pub(crate) operation: Option<OperationNow>,
    /// RFC 3339; when its start was asked.
    pub(crate) started_at: Option<String>,
    /// RFC 3339.
    pub(crate) ended_at: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// Whose events and breakouts are billed together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// Identifier.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// What several breakouts belong to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// Identifier.
    pub(crate) id: String,
    /// Account that it belongs to.
    pub(crate) account: String,
    /// Unique name.
    pub(crate) name: String,
    /// Words for the operator.
    pub(crate) description: String,
    /// RFC 3339.
    pub(crate) starts_at: Option<String>,
    /// RFC 3339; breakouts end before.
    pub(crate) ends_at: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// What the archive keeps of one session of a breakout.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Recording {
    /// Identifier.
    pub(crate) id: String,
    /// Breakout.
    pub(crate) breakout: String,
    /// Session of the breakout, from 1.
    pub(crate) session: u32,
    /// Where it is in its life.
    #[schema(value_type = String, example = "AVAILABLE", pattern = "^(RECORDING|CLOSING|AVAILABLE|FAILED)$")]
    pub(crate) state: RecordingState,
    /// Media, gaps not counted.
    pub(crate) duration_seconds: f64,
    /// Segments of all renditions.
    pub(crate) segments: u64,
    /// Bytes of all objects.
    pub(crate) bytes: u64,
    /// Stretches without media; `gaps.json` beside the playlist tells when.
    pub(crate) gaps: u32,
    /// Sum of those.
    pub(crate) gap_seconds: f64,
    /// Multivariant playlist on the shared distribution.
    pub(crate) path: String,
    /// Size of the MP4; null until there is one.
    pub(crate) mp4_bytes: Option<u64>,
    /// The newest job that makes the MP4.
    pub(crate) mp4_job: Option<Job>,
    /// What is wrong, in words.
    pub(crate) problem: Option<String>,
    /// RFC 3339.
    pub(crate) started_at: String,
    /// RFC 3339.
    pub(crate) ended_at: Option<String>,
}

/// Work that a worker does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Identifier.
    pub(crate) id: String,
    /// What is done.
    #[schema(example = "mp4")]
    pub(crate) kind: String,
    /// What it is about.
    pub(crate) subject: String,
    /// Where it is in its life.
    #[schema(value_type = String, example = "RUNNING", pattern = "^(QUEUED|RUNNING|COMPLETED|FAILED|CANCELLED)$")]
    pub(crate) state: JobState,
    /// How much is done.
    pub(crate) progress_percent: f64,
    /// Tries begun.
    pub(crate) attempts: u32,
    /// Tries at most, without those of `waits`.
    pub(crate) attempts_max: u32,
    /// Tries that found no room on a disk: they do not count, and it goes on when there is room.
    pub(crate) waits: u32,
    /// Why the last try failed, in words.
    pub(crate) problem: Option<String>,
    /// RFC 3339; null when none is due.
    pub(crate) next_try_at: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339; of the last try.
    pub(crate) started_at: Option<String>,
    /// RFC 3339.
    pub(crate) ended_at: Option<String>,
}

/// A viewer's session of a breakout.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ViewerSession {
    /// Session, as in the signature.
    pub(crate) session: String,
    /// User, as in the signature.
    pub(crate) user: Option<String>,
    /// Address of the last request; null if it is not kept.
    pub(crate) address: Option<String>,
    /// User agent; null if it is not kept.
    pub(crate) user_agent: Option<String>,
    /// Browser by its user agent.
    pub(crate) browser: Option<String>,
    /// Operating system by its user agent.
    pub(crate) os: Option<String>,
    /// Bytes sent to it.
    pub(crate) bytes: u64,
    /// RFC 3339.
    pub(crate) entered_at: String,
    /// RFC 3339; of the last request.
    pub(crate) seen_at: String,
    /// RFC 3339; null while it watches.
    pub(crate) exited_at: Option<String>,
    /// Why it does not watch any more.
    #[schema(example = "device-limit")]
    pub(crate) exit_reason: Option<String>,
}

/// What becomes of a breakout's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Packaging {
    /// Nothing has been published yet.
    Waiting,
    /// Segments are being published.
    Live,
    /// Segments cannot be published.
    Blocked,
    /// It is over.
    Ended,
}

/// URLs that open one breakout, and nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlayUrl {
    /// Opens in any player.
    pub(crate) url: String,
    /// By the distribution's host name, for players that resolve it.
    pub(crate) host_url: String,
    /// Opens in a browser.
    pub(crate) watch_url: String,
    /// The MP4 of a recording, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mp4_url: Option<String>,
    /// The same as cookies, for `host_url` without its query.
    pub(crate) cookies: Vec<ViewerCookie>,
    /// The viewer's session: give it again to renew the signature.
    pub(crate) session: String,
    /// The viewer.
    pub(crate) user: Option<String>,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

/// A signed cookie.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ViewerCookie {
    /// Name.
    pub(crate) name: String,
    /// Value.
    pub(crate) value: String,
    /// Both with the attributes that a browser needs, as the value of a `Set-Cookie` field.
    pub(crate) set_cookie: String,
}
