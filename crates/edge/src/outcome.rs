//! How answers are classed where they are counted.

/// How an answer came about, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Hit,
    Stale,
    Revalidated,
    Miss,
    Collapsed,
    Own,
    /// Refused because its region is closed.
    Closed,
}

impl Outcome {
    pub(crate) const COUNT: usize = Self::Closed as usize + 1;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Own => "own",
            Self::Closed => "closed",
        }
    }
}

/// Index of a status class.
pub(crate) fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}
