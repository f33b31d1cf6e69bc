//! Pipelines: what takes the inputs of a channel and makes media of them.

use anabranch_model::{BreakoutId, ChannelId, ChannelState, ChosenInput, FailoverSpec, InputSpec};
use serde::{Deserialize, Serialize};

use crate::{Listing, Reply, Tags};

/// What a pipeline is wanted to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// Identifier: the channel's own, so that a repeated call finds what the first one made.
    pub id: ChannelId,
    /// Operator's name.
    pub name: String,
    /// Segment target in seconds, 1 to 10.
    pub segment_target_seconds: u32,
    /// How much of the past the media playlists name, in seconds.
    pub window_seconds: u32,
    /// Push endpoints, the preferred one first.
    pub inputs: Vec<InputSpec>,
    /// How one of two inputs is chosen. The operator's own choice is not part of it: see [`PipelineProvider::pipeline_switch`].
    pub failover: FailoverSpec,
    /// Labels.
    pub tags: Tags,
}

/// What a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineStatus {
    /// Identifier.
    pub id: ChannelId,
    /// What is true of it now.
    pub state: ChannelState,
    /// Breakout that it packages, or packages as soon as it runs.
    pub session: Option<BreakoutId>,
    /// The operator's last choice of an input.
    pub chosen: Option<ChosenInput>,
    /// Labels.
    pub tags: Tags,
    /// What `Running` or `Idle` still waits for, in words.
    pub waiting_for: Option<String>,
}

/// Makes, runs and deletes pipelines. Every call may be repeated.
pub trait PipelineProvider: Send + Sync {
    /// Makes the pipeline, or makes the one with this id as it is specified. One that runs goes on running.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when it can never be made; any other kind.
    fn pipeline_ensure<'a>(&'a self, spec: &'a PipelineSpec) -> Reply<'a, PipelineStatus>;

    /// Wants it running, packaging `session`; one that runs changes its session. The answer may come long before it runs.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`]; any other kind.
    fn pipeline_start<'a>(&'a self, id: &'a ChannelId, session: Option<&'a BreakoutId>) -> Reply<'a, PipelineStatus>;

    /// Wants it at rest, packaging nothing.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`]; any other kind.
    fn pipeline_stop<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, PipelineStatus>;

    /// Switches to an input, once: a later loss may switch again. A choice whose sequence is not above the last one's changes
    /// nothing, so a call that is repeated late does no harm.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when there is no such pipeline, [`crate::Kind::Invalid`] when it has no such input; any other.
    fn pipeline_switch<'a>(&'a self, id: &'a ChannelId, chosen: &'a ChosenInput) -> Reply<'a, PipelineStatus>;

    /// What it is now; `None` when there is none.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn pipeline_describe<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, Option<PipelineStatus>>;

    /// Deletes a pipeline at rest. One that is not there is deleted.
    ///
    /// # Errors
    /// [`crate::Kind::InUse`] while it is not `Idle`; any other kind.
    fn pipeline_delete<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, ()>;

    /// A page of the ids of all pipelines, of whatever control plane.
    ///
    /// # Errors
    /// Those of any call: throttled, unavailable.
    fn pipeline_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<ChannelId>>;
}
