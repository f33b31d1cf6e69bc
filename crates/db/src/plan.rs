//! Kinds of operations, and the steps of each.

/// A kind of operation and its steps. Each step may be repeated at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Such as `channel.create`.
    pub kind: &'static str,
    /// Names of its steps, in order.
    pub steps: &'static [&'static str],
}

/// Every plan.
pub const PLANS: &[Plan] = &[
    CHANNEL_CREATE,
    CHANNEL_START,
    CHANNEL_STOP,
    CHANNEL_UPDATE,
    CHANNEL_SWITCH,
    CHANNEL_DELETE,
    BREAKOUT_START,
    BREAKOUT_STOP,
    DISTRIBUTION_CREATE,
    DISTRIBUTION_UPDATE,
    DISTRIBUTION_DETACH,
    DISTRIBUTION_REPAIR,
    DISTRIBUTION_DELETE,
];

/// V20, V30.
pub const CHANNEL_CREATE: Plan =
    Plan { kind: "channel.create", steps: &["pipeline.ensure", "distribution.create", "distribution.deployed"] };
/// The operator wants it running.
pub const CHANNEL_START: Plan = Plan { kind: "channel.start", steps: &["pipeline.run", "pipeline.settled"] };
/// The operator wants it at rest.
pub const CHANNEL_STOP: Plan = Plan { kind: "channel.stop", steps: &["pipeline.run", "pipeline.settled"] };
/// Nodes are told something else of it.
pub const CHANNEL_UPDATE: Plan = Plan { kind: "channel.update", steps: &["pipeline.ensure"] };
/// V93.
pub const CHANNEL_SWITCH: Plan = Plan { kind: "channel.switch", steps: &["pipeline.switch"] };
/// V40, V45.
pub const CHANNEL_DELETE: Plan =
    Plan { kind: "channel.delete", steps: &["distribution.retire", "pipeline.delete", "channel.remove"] };
/// V36, V80.
pub const BREAKOUT_START: Plan = Plan {
    kind: "breakout.start",
    steps: &["pipeline.run", "distribution.ensure", "pipeline.settled", "distribution.deployed", "breakout.run"],
};
/// V81, V82.
pub const BREAKOUT_STOP: Plan = Plan { kind: "breakout.stop", steps: &["pipeline.run", "pipeline.settled"] };
/// V35, and distributions of their own.
pub const DISTRIBUTION_CREATE: Plan =
    Plan { kind: "distribution.create", steps: &["distribution.create", "distribution.deployed"] };
/// Another configuration, or attached again.
pub const DISTRIBUTION_UPDATE: Plan =
    Plan { kind: "distribution.update", steps: &["distribution.update", "distribution.deployed"] };
/// V34.
pub const DISTRIBUTION_DETACH: Plan =
    Plan { kind: "distribution.detach", steps: &["distribution.update", "distribution.deployed"] };
/// What a look at the provider found.
pub const DISTRIBUTION_REPAIR: Plan =
    Plan { kind: "distribution.repair", steps: &["distribution.ensure", "distribution.deployed"] };
/// V41 to V44.
pub const DISTRIBUTION_DELETE: Plan = Plan {
    kind: "distribution.delete",
    steps: &["distribution.disable", "distribution.disabled", "distribution.delete", "distribution.remove"],
};

impl Plan {
    /// The plan of this kind.
    #[must_use]
    pub fn of(kind: &str) -> Option<Self> {
        PLANS.iter().find(|plan| plan.kind == kind).copied()
    }

    /// Kinds of open operations about the same subject that this one takes the place of: those whose work its own steps do.
    pub(crate) fn replaces(self) -> &'static [&'static str] {
        match self.kind {
            // Each makes the pipeline what the channel's row says, and then run or rest.
            "channel.start" | "channel.stop" => &["channel.start", "channel.stop", "channel.update"],
            "channel.update" => &["channel.update"],
            "channel.switch" => &["channel.switch"],
            "breakout.start" | "breakout.stop" => &["breakout.start", "breakout.stop"],
            "distribution.create"
            | "distribution.update"
            | "distribution.detach"
            | "distribution.repair"
            | "distribution.delete" => &[
                "distribution.create",
                "distribution.update",
                "distribution.detach",
                "distribution.repair",
                "distribution.delete",
            ],
            _ => &[],
        }
    }
}
