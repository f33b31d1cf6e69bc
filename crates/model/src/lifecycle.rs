//! Stored lifecycles: each moves through one `next(event)`.

use serde::{Deserialize, Serialize};

/// An event that the state does not allow, and what would make it legal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is {state} and cannot {event}: {remedy}")]
pub struct InvalidTransition {
    /// `channel`, `breakout`, `distribution` or `invalidation`.
    pub subject: &'static str,
    /// State it is in.
    pub state: &'static str,
    /// What was asked.
    pub event: &'static str,
    /// What to do instead.
    pub remedy: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of the lifecycle.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one spelling for database, API, metrics and pages.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that is spelled so.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(
    /// State of a channel (V5).
    ChannelState {
        /// Not wanted and not packaging; encoders may connect and are measured only.
        Idle = "Idle",
        /// Wanted; the data plane has not confirmed yet.
        Starting = "Starting",
        /// The data plane takes and packages the inputs.
        Running = "Running",
        /// No longer wanted; the data plane has not confirmed yet.
        Stopping = "Stopping",
    }
);

/// What happens to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// An operator or a breakout wants it running.
    Start,
    /// The data plane confirms that it runs.
    Started,
    /// Nobody wants it running any more.
    Stop,
    /// The data plane confirms that it stopped.
    Stopped,
}

impl ChannelEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Started => "become started",
            Self::Stop => "stop",
            Self::Stopped => "become stopped",
        }
    }
}

impl ChannelState {
    /// The state after `event`. Wishes and confirmations that change nothing are accepted.
    ///
    /// # Errors
    /// The confirmation does not belong to this state.
    pub fn next(self, event: ChannelEvent) -> Result<Self, InvalidTransition> {
        use ChannelEvent as E;
        match (self, event) {
            (Self::Idle | Self::Stopping, E::Start) => Ok(Self::Starting),
            (Self::Starting | Self::Running, E::Start) => Ok(self),
            (Self::Starting | Self::Running, E::Started) => Ok(Self::Running),
            (Self::Starting | Self::Running, E::Stop) => Ok(Self::Stopping),
            (Self::Idle | Self::Stopping, E::Stop) => Ok(self),
            (Self::Idle | Self::Stopping, E::Stopped) => Ok(Self::Idle),
            (Self::Idle | Self::Stopping, E::Started) | (Self::Starting | Self::Running, E::Stopped) => {
                Err(InvalidTransition {
                    subject: "channel",
                    state: self.as_str(),
                    event: event.as_str(),
                    remedy: "the confirmation is older than the last wish",
                })
            }
        }
    }
}

words!(
    /// State of a breakout (V7).
    BreakoutState {
        /// Created, not on air.
        Idle = "IDLE",
        /// Start was asked; channel or distribution are not ready yet.
        Starting = "STARTING",
        /// On air.
        Running = "RUNNING",
        /// Over; final.
        Completed = "COMPLETED",
    }
);

/// What happens to a breakout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakoutEvent {
    /// The operator starts it.
    Start,
    /// Channel runs and distribution is deployed.
    Ready,
    /// The operator takes the start back.
    Abort,
    /// The operator ends it.
    Stop,
    /// The operator makes a completed one ready for another session (V7).
    Reset,
}

impl BreakoutEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ready => "become ready",
            Self::Abort => "abort",
            Self::Stop => "stop",
            Self::Reset => "be reset",
        }
    }
}

impl BreakoutState {
    /// The state after `event`. A repeated start or stop changes nothing.
    ///
    /// # Errors
    /// The event is not legal in this state (V80-V82).
    pub fn next(self, event: BreakoutEvent) -> Result<Self, InvalidTransition> {
        use BreakoutEvent as E;
        let refuse = |remedy| {
            Err(InvalidTransition { subject: "breakout", state: self.as_str(), event: event.as_str(), remedy })
        };
        match (self, event) {
            (Self::Idle, E::Start) => Ok(Self::Starting),
            (Self::Starting | Self::Running, E::Start) => Ok(self),
            (Self::Starting | Self::Running, E::Ready) => Ok(Self::Running),
            (Self::Starting, E::Abort) => Ok(Self::Idle),
            (Self::Starting | Self::Running, E::Stop) => Ok(Self::Completed),
            (Self::Completed, E::Stop) => Ok(self),
            (Self::Completed | Self::Idle, E::Reset) => Ok(Self::Idle),
            (Self::Starting, E::Reset) => refuse("abort it first"),
            (Self::Running, E::Reset) => refuse("it is on air; stop it first"),
            (Self::Idle, E::Stop) => refuse("it was never started; delete it if it is not wanted"),
            (Self::Idle, E::Ready) => refuse("start it first"),
            (Self::Idle, E::Abort) => refuse("there is no start to abort"),
            (Self::Running, E::Abort) => refuse("it is on air; stop it"),
            (Self::Completed, _) => refuse("a completed breakout is final; reset it, or create another"),
        }
    }
}

words!(
    /// Status of a distribution, in CloudFront's words (V8).
    DistributionState {
        /// Some edge does not have the newest configuration yet.
        InProgress = "InProgress",
        /// Every edge serves by the newest configuration.
        Deployed = "Deployed",
    }
);

/// What happens to a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistributionEvent {
    /// Its configuration changed.
    Change,
    /// Every edge confirmed the newest configuration.
    Confirm,
}

impl DistributionState {
    /// The state after `event`; every event is legal.
    #[must_use]
    pub fn next(self, event: DistributionEvent) -> Self {
        match event {
            DistributionEvent::Change => Self::InProgress,
            DistributionEvent::Confirm => Self::Deployed,
        }
    }
}

words!(
    /// Whether a distribution is wanted (V34, V40).
    DistributionPhase {
        /// Wanted, and made again when it is gone.
        Active = "active",
        /// Disabled and taken from its channel; kept until it is attached again or deleted.
        Detached = "detached",
        /// Disabled; deleted once every edge has forgotten it.
        Stale = "stale",
    }
);

words!(
    /// State of a recording (V73).
    RecordingState {
        /// Its breakout is on air.
        Recording = "RECORDING",
        /// Over; its playlists are being written.
        Closing = "CLOSING",
        /// It can be played.
        Available = "AVAILABLE",
        /// Nothing of it can be played.
        Failed = "FAILED",
    }
);

/// What happens to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingEvent {
    /// Its breakout has ended.
    End,
    /// Its playlists are durable.
    Complete,
    /// There was no media, or it cannot be closed.
    Fail,
}

impl RecordingState {
    /// The state after `event`. A repetition changes nothing.
    ///
    /// # Errors
    /// The event is not legal in this state.
    pub fn next(self, event: RecordingEvent) -> Result<Self, InvalidTransition> {
        use RecordingEvent as E;
        match (self, event) {
            (Self::Recording | Self::Closing, E::End) => Ok(Self::Closing),
            (Self::Recording | Self::Closing | Self::Available, E::Complete) => Ok(Self::Available),
            (Self::Recording | Self::Closing | Self::Failed, E::Fail) => Ok(Self::Failed),
            (Self::Available | Self::Failed, E::End) => Ok(self),
            (Self::Failed, E::Complete) => Ok(Self::Available),
            (Self::Available, E::Fail) => Err(InvalidTransition {
                subject: "recording",
                state: self.as_str(),
                event: "fail",
                remedy: "it can be played; delete it if it is not wanted",
            }),
        }
    }
}

words!(
    /// State of a job.
    JobState {
        /// Waits for a worker or for its next try.
        Queued = "QUEUED",
        /// A worker has it.
        Running = "RUNNING",
        /// Done; final.
        Completed = "COMPLETED",
        /// Given up, with its reason; may be tried again by hand.
        Failed = "FAILED",
        /// Taken back by an operator; final.
        Cancelled = "CANCELLED",
    }
);

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// A worker takes it.
    Claim,
    /// It is done.
    Finish,
    /// A try failed and another is due, or its worker died.
    Postpone,
    /// The last try failed.
    GiveUp,
    /// An operator takes it back.
    Cancel,
    /// An operator wants it tried again.
    Retry,
}

impl JobEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "be claimed",
            Self::Finish => "finish",
            Self::Postpone => "be postponed",
            Self::GiveUp => "be given up",
            Self::Cancel => "be cancelled",
            Self::Retry => "be tried again",
        }
    }
}

impl JobState {
    /// The state after `event`.
    ///
    /// # Errors
    /// The event is not legal in this state.
    pub fn next(self, event: JobEvent) -> Result<Self, InvalidTransition> {
        use JobEvent as E;
        let refuse =
            |remedy| Err(InvalidTransition { subject: "job", state: self.as_str(), event: event.as_str(), remedy });
        match (self, event) {
            (Self::Queued, E::Claim) => Ok(Self::Running),
            (Self::Running, E::Finish) => Ok(Self::Completed),
            (Self::Running | Self::Queued, E::Postpone) => Ok(Self::Queued),
            (Self::Running | Self::Queued, E::GiveUp) => Ok(Self::Failed),
            (Self::Queued | Self::Running | Self::Cancelled, E::Cancel) => Ok(Self::Cancelled),
            (Self::Failed | Self::Queued, E::Retry) => Ok(Self::Queued),
            (Self::Running, E::Claim) => refuse("another worker has it"),
            (Self::Running, E::Retry) => refuse("it runs; cancel it first"),
            (Self::Queued, E::Finish) => refuse("no worker has it"),
            (Self::Completed, _) => refuse("it is done"),
            (Self::Failed, _) => refuse("it was given up; retry it"),
            (Self::Cancelled, _) => refuse("it was cancelled; make another"),
        }
    }
}

words!(
    /// How far an object is of which an asset is to be made.
    ArrivalState {
        /// It is to be read.
        Waiting = "WAITING",
        /// It has become an asset.
        Known = "KNOWN",
        /// It came to nothing; the reason is kept.
        Failed = "FAILED",
    }
);

words!(
    /// State of an asset.
    AssetState {
        /// Waits for a worker.
        Queued = "QUEUED",
        /// A worker is at it; what is finished of it may be watched.
        Processing = "PROCESSING",
        /// All of it is there.
        Ready = "READY",
        /// It came to nothing; the reason is kept.
        Failed = "FAILED",
        /// An operator took it back.
        Cancelled = "CANCELLED",
    }
);

/// What happens to an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetEvent {
    /// A worker begins, or goes on after another.
    Begin,
    /// All of it is there.
    Finish,
    /// The try failed; there will be another.
    Postpone,
    /// It is given up.
    Fail,
    /// An operator takes it back.
    Cancel,
    /// An operator wants it made again.
    Retry,
}

impl AssetEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Finish => "finish",
            Self::Postpone => "be postponed",
            Self::Fail => "fail",
            Self::Cancel => "be cancelled",
            Self::Retry => "be made again",
        }
    }
}

impl AssetState {
    /// The state after `event`.
    ///
    /// # Errors
    /// The event is not legal in this state.
    pub fn next(self, event: AssetEvent) -> Result<Self, InvalidTransition> {
        use AssetEvent as E;
        let refuse =
            |remedy| Err(InvalidTransition { subject: "asset", state: self.as_str(), event: event.as_str(), remedy });
        match (self, event) {
            (Self::Queued | Self::Processing, E::Begin) => Ok(Self::Processing),
            (Self::Processing, E::Finish) => Ok(Self::Ready),
            (Self::Queued | Self::Processing, E::Postpone) => Ok(Self::Queued),
            (Self::Queued | Self::Processing, E::Fail) => Ok(Self::Failed),
            (Self::Queued | Self::Processing | Self::Cancelled, E::Cancel) => Ok(Self::Cancelled),
            (Self::Queued | Self::Ready | Self::Failed | Self::Cancelled, E::Retry) => Ok(Self::Queued),
            (Self::Processing, E::Retry) => refuse("a worker is at it; cancel it first"),
            (Self::Queued, E::Finish) => refuse("no worker has begun"),
            (Self::Ready, _) => refuse("it is complete; retry it to have it made again"),
            (Self::Failed, _) => refuse("it was given up; retry it"),
            (Self::Cancelled, _) => refuse("it was cancelled; retry it"),
        }
    }
}

words!(
    /// Status of an invalidation, in CloudFront's words.
    InvalidationState {
        /// Some edge may still serve what it names.
        InProgress = "InProgress",
        /// No edge serves what it names; final.
        Completed = "Completed",
    }
);

/// What happens to an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidationEvent {
    /// Every edge acts by it.
    Confirm,
}

impl InvalidationState {
    /// The state after `event`; every event is legal.
    #[must_use]
    pub fn next(self, event: InvalidationEvent) -> Self {
        match event {
            InvalidationEvent::Confirm => Self::Completed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_table() {
        use ChannelEvent as E;
        use ChannelState::{Idle, Running, Starting, Stopping};
        let table = [
            (Idle, E::Start, Some(Starting)),
            (Idle, E::Started, None),
            (Idle, E::Stop, Some(Idle)),
            (Idle, E::Stopped, Some(Idle)),
            (Starting, E::Start, Some(Starting)),
            (Starting, E::Started, Some(Running)),
            (Starting, E::Stop, Some(Stopping)),
            (Starting, E::Stopped, None),
            (Running, E::Start, Some(Running)),
            (Running, E::Started, Some(Running)),
            (Running, E::Stop, Some(Stopping)),
            (Running, E::Stopped, None),
            (Stopping, E::Start, Some(Starting)),
            (Stopping, E::Started, None),
            (Stopping, E::Stop, Some(Stopping)),
            (Stopping, E::Stopped, Some(Idle)),
        ];
        for (from, event, to) in table {
            assert_eq!(from.next(event).ok(), to, "{from:?} {event:?}");
        }
    }

    #[test]
    fn breakout_table() {
        use BreakoutEvent as E;
        use BreakoutState::{Completed, Idle, Running, Starting};
        let table = [
            (Idle, E::Start, Some(Starting)),
            (Idle, E::Ready, None),
            (Idle, E::Abort, None),
            (Idle, E::Stop, None),
            (Starting, E::Start, Some(Starting)),
            (Starting, E::Ready, Some(Running)),
            (Starting, E::Abort, Some(Idle)),
            (Starting, E::Stop, Some(Completed)),
            (Running, E::Start, Some(Running)),
            (Running, E::Ready, Some(Running)),
            (Running, E::Abort, None),
            (Running, E::Stop, Some(Completed)),
            (Completed, E::Start, None),
            (Completed, E::Ready, None),
            (Completed, E::Abort, None),
            (Completed, E::Stop, Some(Completed)),
            (Idle, E::Reset, Some(Idle)),
            (Starting, E::Reset, None),
            (Running, E::Reset, None),
            (Completed, E::Reset, Some(Idle)),
        ];
        for (from, event, to) in table {
            assert_eq!(from.next(event).ok(), to, "{from:?} {event:?}");
        }
    }

    #[test]
    fn distribution_and_invalidation_tables() {
        use DistributionState::{Deployed, InProgress};
        for (from, event, to) in [
            (InProgress, DistributionEvent::Change, InProgress),
            (InProgress, DistributionEvent::Confirm, Deployed),
            (Deployed, DistributionEvent::Change, InProgress),
            (Deployed, DistributionEvent::Confirm, Deployed),
        ] {
            assert_eq!(from.next(event), to, "{from:?} {event:?}");
        }
        for from in InvalidationState::ALL {
            assert_eq!(from.next(InvalidationEvent::Confirm), InvalidationState::Completed, "{from:?}");
        }
    }

    #[test]
    fn recording_table() {
        use RecordingEvent as E;
        use RecordingState::{Available, Closing, Failed, Recording};
        let table = [
            (Recording, [Some(Closing), Some(Available), Some(Failed)]),
            (Closing, [Some(Closing), Some(Available), Some(Failed)]),
            (Available, [Some(Available), Some(Available), None]),
            (Failed, [Some(Failed), Some(Available), Some(Failed)]),
        ];
        for (from, to) in table {
            let next = [E::End, E::Complete, E::Fail].map(|event| from.next(event).ok());
            assert_eq!(next, to, "{from:?}");
        }
    }

    #[test]
    fn job_table() {
        use JobEvent as E;
        use JobState::{Cancelled, Completed, Failed, Queued, Running};
        let events = [E::Claim, E::Finish, E::Postpone, E::GiveUp, E::Cancel, E::Retry];
        let table = [
            (Queued, [Some(Running), None, Some(Queued), Some(Failed), Some(Cancelled), Some(Queued)]),
            (Running, [None, Some(Completed), Some(Queued), Some(Failed), Some(Cancelled), None]),
            (Completed, [None; 6]),
            (Failed, [None, None, None, None, None, Some(Queued)]),
            (Cancelled, [None, None, None, None, Some(Cancelled), None]),
        ];
        for (from, to) in table {
            assert_eq!(events.map(|event| from.next(event).ok()), to, "{from:?}");
        }
    }

    #[test]
    fn asset_table() {
        use AssetEvent as E;
        use AssetState::{Cancelled, Failed, Processing, Queued, Ready};
        let events = [E::Begin, E::Finish, E::Postpone, E::Fail, E::Cancel, E::Retry];
        let table = [
            (Queued, [Some(Processing), None, Some(Queued), Some(Failed), Some(Cancelled), Some(Queued)]),
            (Processing, [Some(Processing), Some(Ready), Some(Queued), Some(Failed), Some(Cancelled), None]),
            (Ready, [None, None, None, None, None, Some(Queued)]),
            (Failed, [None, None, None, None, None, Some(Queued)]),
            (Cancelled, [None, None, None, None, Some(Cancelled), Some(Queued)]),
        ];
        for (from, to) in table {
            assert_eq!(events.map(|event| from.next(event).ok()), to, "{from:?}");
        }
    }

    #[test]
    fn words_round_trip() {
        for state in BreakoutState::ALL {
            assert_eq!(BreakoutState::parse(state.as_str()), Some(*state));
        }
        assert_eq!(BreakoutState::parse("running"), None);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let error = BreakoutState::Completed.next(BreakoutEvent::Start).unwrap_err();
        assert_eq!(
            error.to_string(),
            "breakout is COMPLETED and cannot start: a completed breakout is final; reset it, or create another"
        );
    }
}
