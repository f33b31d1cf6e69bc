//! The http-cache room: the rules of HTTP caching, as functions of headers and a given time.
//!
//! In: header values, a method, a status, the operator's policy, `now` in milliseconds since the Unix epoch.
//! Out: what may be stored and why not, freshness lifetime, age, what is done with a stored response, variant keys, answers to
//! conditions and ranges, updates, invalidated URIs, hop-by-hop fields, `Cache-Status`.
//! Never: I/O, clocks, storage, connections.
//! Spec: RFC 9111 (caching), RFC 9110 (conditions, ranges, Vary), RFC 9213 (CDN-Cache-Control), RFC 5861, RFC 9211, RFC 9651.

mod condition;
mod date;
mod directives;
mod freshness;
mod hygiene;
mod part;
mod policy;
mod range;
mod request;
mod response;
mod status;
mod structured;
mod target;
mod update;
mod vary;

pub use condition::{Condition, evaluate_condition, weak_match};
pub use date::parse_date;
pub use directives::CacheControl;
pub use freshness::{Timing, counts_as_error};
pub use hygiene::{HOP_BY_HOP, Nominated, is_hop_by_hop};
pub use part::{ContentRange, StoredPart};
pub use policy::{Policy, TtlBounds};
pub use range::{RangeAnswer, evaluate_range};
pub use request::{RequestDirectives, RequestMeta, RequestPolicy, Reuse, decide_reuse};
pub use response::{NotStored, ResponseMeta, is_heuristically_cacheable};
pub use status::{CacheStatus, Forward, Served};
pub use target::{Target, is_safe};
pub use update::{HeadEffect, belongs_in_304, head_effect, is_validated_by, update_fields, validators};
pub use vary::{VaryLists, VaryNames, VaryStar, vary_key};
