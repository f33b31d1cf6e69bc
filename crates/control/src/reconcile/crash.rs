//! Points at which a test ends the process, as a power cut would. Builds for use have none.

/// Before or after a step's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Its begin is recorded, and nothing of it is done.
    Before,
    /// It is done, and its end is not recorded.
    After,
}

/// Ends the process if this is the point that the configuration names: `channel.create/distribution.create:after`.
#[cfg(debug_assertions)]
pub(super) fn crash_point(wanted: Option<&str>, kind: &str, step: &str, side: Side) {
    let side = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    if wanted.is_some_and(|wanted| *wanted == format!("{kind}/{step}:{side}")) {
        tracing::error!(
            crash.kind = kind,
            crash.step = step,
            crash.side = side,
            "the process ends here, as configured"
        );
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn crash_point(_wanted: Option<&str>, _kind: &str, _step: &str, _side: Side) {}

/// Every point, in the order of plans and steps.
pub(crate) fn points() -> Vec<String> {
    let plans = anabranch_db::operation::PLANS.iter();
    let steps = plans.flat_map(|plan| plan.steps.iter().map(move |step| format!("{}/{step}", plan.kind)));
    steps.flat_map(|step| [format!("{step}:before"), format!("{step}:after")]).collect()
}
