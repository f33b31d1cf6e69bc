//! The cluster room: judges regions of clustered streams, and keeps which of them are open.
//!
//! In: words of operators, votes of watchers, what peers tell; `now` as an argument.
//! Out: verdicts, decisions with their evidence, the opening of each region in force.
//! Never: rows (that is `db`), HTTP of the API (that is `control`), what an edge answers (that is `edge`).
//! Spec: systems.md C1-C5, C20-C46, X4-X6.

pub mod decide;
pub mod peer;
pub mod state;
pub mod store;

#[cfg(any(test, feature = "contract"))]
pub mod contract;
#[cfg(any(test, feature = "contract"))]
pub mod memory;

#[cfg(test)]
mod tests;
