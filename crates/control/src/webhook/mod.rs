//! Webhooks: entries of the log, told at least once, in order within each subject.

mod address;
mod drive;
mod plan;
mod send;
mod signature;

pub use address::PrivateAddresses;
pub(crate) use drive::Driver;
pub(crate) use send::{Delivery, Outcome, Sender, Target, unanswered};
