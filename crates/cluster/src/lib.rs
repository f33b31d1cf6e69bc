//! The cluster room: watches the playlists of every region of a live stream, judges the regions, and keeps which of them are open.
//!
//! In: URLs of streams, settings, words of operators, votes of watchers, what peers tell; a clock, or `now` as an argument.
//! Out: verdicts with their evidence, statistics, notifications to receivers elsewhere; decisions, and the opening of each region in force.
//! Never: rows (that is `db`), HTTP of the API (that is `control`), what an edge answers (that is `edge`), media bytes.
//! Spec: systems.md C1-C46, X4-X6; draft-pantos-hls-rfc8216bis; AWS Signature Version 4 for SNS and SQS.

pub mod decide;
pub mod peer;
pub mod state;
pub mod store;
pub mod watch;

#[cfg(any(test, feature = "contract"))]
pub mod contract;
#[cfg(any(test, feature = "contract"))]
pub mod memory;

#[cfg(test)]
mod tests;
