//! What a viewer may do that costs us and brings it nothing.

use super::frame::Reason;

/// Streams that a viewer may have reset before they were looked at: rapid resets (CVE-2023-44487).
const MAX_EARLY_RESETS: u32 = 20;

/// Streams that a viewer may have reset before their answer, beyond those that it has let be answered.
const MAX_ABANDONED: u32 = 200;

/// Streams that we have reset for the viewer's errors (CVE-2025-8671).
const MAX_PROVOKED_RESETS: u32 = 256;

/// Frames that bring nothing: pings, settings, empty content, windows, what is meant for streams that are gone. Each that
/// brings something earns some of them back.
const MAX_NOISE: u32 = 4096;
const EARNED_NOISE: u32 = 8;

/// What is left of a connection's allowances. Each call that uses one up fails when there is none: the viewer is told to calm down.
#[derive(Debug)]
pub(super) struct Calm {
    early: u32,
    abandoned: u32,
    provoked: u32,
    noise: u32,
}

fn spend(left: &mut u32) -> Result<(), Reason> {
    *left = left.checked_sub(1).ok_or(Reason::EnhanceYourCalm)?;
    Ok(())
}

impl Calm {
    pub(super) fn new() -> Self {
        Self { early: MAX_EARLY_RESETS, abandoned: MAX_ABANDONED, provoked: MAX_PROVOKED_RESETS, noise: MAX_NOISE }
    }

    /// A request was reset before it was looked at.
    pub(super) fn early(&mut self) -> Result<(), Reason> {
        spend(&mut self.early)
    }

    /// A request was reset before its answer.
    pub(super) fn abandoned(&mut self) -> Result<(), Reason> {
        spend(&mut self.abandoned)
    }

    /// We have reset a stream.
    pub(super) fn provoked(&mut self) -> Result<(), Reason> {
        spend(&mut self.provoked)
    }

    pub(super) fn noise(&mut self) -> Result<(), Reason> {
        spend(&mut self.noise)
    }

    /// A request has its answer.
    pub(super) fn answered(&mut self) {
        self.abandoned = (self.abandoned + 1).min(MAX_ABANDONED);
        self.useful();
    }

    /// Content has gone one way or the other.
    pub(super) fn useful(&mut self) {
        self.noise = (self.noise + EARNED_NOISE).min(MAX_NOISE);
    }
}
