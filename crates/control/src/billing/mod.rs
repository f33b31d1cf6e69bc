//! What is billed: sessions of breakouts and assets, charged by the prices of the configuration.

pub(crate) mod charge;
mod collect;
pub(crate) mod prices;

pub(crate) use collect::{Audience, Scope, byte_hours, collect, run};
pub use prices::{Cloud, Model, Money, Own, Prices};
