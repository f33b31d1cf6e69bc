//! The edge room: HTTP to viewers, as a cache of the origins that distributions name.
//!
//! In: a `Snapshot` (what to serve and who may see it), viewer connections, an origin for each distribution.
//! Out: responses, with `Age`, `X-Cache` and `Cache-Status`; `Report`s of traffic and of the snapshot in force.
//! One request is one river: accept, route, authorise, key, lookup, decide, fetch, admit, deliver, record; a file a bend.
//! Two thin fronts send what the river gives, over TCP or TLS: one for HTTP/1.1 and one for HTTP/2.
//! Never: media (transforms of bodies are handed in), signatures' formats (signing), caching rules (http-cache), certificates' files (net).
//! Spec: RFC 9110, 9111, 9112, 9113, 9114 (feature `http3`), 8446; cloudfront.md section 1.

mod accept;
mod access_log;
mod admit;
mod answer;
mod attendance;
mod audience;
mod authorise;
mod body;
mod buffers;
mod cache;
mod closed;
mod closings;
mod cmcd;
mod coming;
mod compress;
mod config;
mod context;
mod copies;
mod counters;
mod decide;
mod deliver;
mod detail;
mod disk;
mod doors;
mod edge;
mod error;
mod fetch;
mod field_block;
mod flight;
mod forward;
mod h1;
mod h2;
#[cfg(feature = "http3")]
mod h3;
mod head;
mod headers;
mod invalidation;
mod journal;
mod key;
mod ledger;
mod lookup;
mod memory;
mod metrics;
mod object;
mod object_codec;
mod object_head;
mod object_key;
mod outcome;
mod pace;
mod pattern;
mod quality;
mod record;
mod refused;
mod request;
mod request_id;
mod rewrite;
mod river;
mod route;
mod rule;
mod segments;
mod select;
mod series;
mod spool;
mod strikes;
mod table;
mod task;
mod tls;
mod unshielded;
mod upstream;
mod view;
mod viewer;
mod wire;
mod worker;

pub use access_log::AccessLogError;
pub use config::{
    AccessLogConfig, AccessLogFormat, Carried, Config, DiskConfig, JournalConfig, OriginRoom, Rewriting, S3Bucket,
    Shield, Tls, Transforms,
};
pub use edge::Edge;
pub use error::Error;
pub use journal::{Journal, Kept};
pub use upstream::TrustError;

/// Gives any bytes to the HTTP/2 front's protocol, in pieces of these lengths. For fuzzing only.
#[doc(hidden)]
pub fn receive_http2(bytes: &[u8], pieces: &[u8]) {
    h2::receive_any(bytes, pieces);
}
