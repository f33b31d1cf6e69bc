//! The cloudfront room: CloudFront's language for distributions.
//!
//! In: a DistributionConfig as JSON, as `aws cloudfront create-distribution --distribution-config` takes it.
//! Out: the same with every default filled in, as CloudFront gives it back; [`anabranch_model::DistributionSpec`].
//! Never: I/O, clocks, ETags, states. A field that is not honoured is refused by its name, never ignored.
//! Spec: CloudFront API 2020-05-31, spec/cloudfront.md section 2.

mod behavior;
mod config;
mod error;
mod forwarded;
mod host;
mod managed;
mod neutral;
mod origin;
mod page;
mod policy;
mod read;
mod render;

pub use config::{CLUSTER_BUCKET, DistributionConfig, signed_host};
pub use error::ConfigError;
pub use managed::{ManagedPolicy, PolicyKind, managed_policies};
pub use origin::origin_header;
pub use policy::response_headers::ViewerOrigins;
