//! The http-cache room: the rules of HTTP caching, as functions of headers and a given time.
//!
//! In: header values, a status, TTL bounds, `now` in milliseconds since the Unix epoch.
//! Out: freshness lifetime, age, what may be stored and why not, answers to conditions and ranges, `Cache-Status`.
//! Never: I/O, clocks, storage, connections.
//! Spec: RFC 9111 (caching), RFC 9110 (conditions, ranges, Vary), RFC 9213 (CDN-Cache-Control), RFC 5861, RFC 9211.

mod condition;
mod directives;
mod freshness;
mod range;
mod status;
mod vary;

pub use condition::{Condition, evaluate_condition, weak_match};
pub use directives::CacheControl;
pub use freshness::{NotStored, ResponseMeta, Timing, TtlBounds, parse_date};
pub use range::{RangeAnswer, evaluate_range};
pub use status::{CacheStatus, Forward, Served};
pub use vary::{VaryStar, vary_key};
