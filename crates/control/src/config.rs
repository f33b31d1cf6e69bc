//! What the control room is told of its surroundings when it is built.

use std::net::SocketAddr;
use std::time::Duration;

use anabranch_db::{LogRetention, Place};
use anabranch_store::Buckets;

use crate::app::people::AuthConfig;
use crate::billing::Prices;
use crate::webhook::PrivateAddresses;

/// Time between two rounds that look for what is stale, unknown or different at the provider, if nobody chooses another.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the control room needs to know of its surroundings.
#[derive(Clone)]
pub struct Config {
    /// Address of API and UI; the caller binds it.
    pub listen: SocketAddr,
    /// Admin token of the operator's choice. A new one is added to those that were used before.
    pub admin_token: Option<String>,
    /// Scheme, host and port under which viewers reach the edge, such as `http://127.0.0.1:8888`.
    pub edge_base_url: String,
    /// Port of the edge, for URLs by host name.
    pub edge_port: u16,
    /// Whether viewers reach the edge by HTTPS, and it has the certificates for that itself.
    pub edge_https: bool,
    /// What follows a distribution's id in its host name, such as `cdn.localhost`.
    pub domain_suffix: String,
    /// Where encoders push, without the stream key, such as `rtmp://127.0.0.1:1935/live`.
    pub rtmp_public: String,
    /// Scheme, host and port under which viewers reach the watch page, such as `http://127.0.0.1:9997`.
    pub watch_base_url: String,
    /// Origins of pages, such as `https://app.example.com`, that may have viewers' cookies set. Distributions that are made for
    /// channels name them, with credentials, beside any other.
    pub viewer_origins: Vec<String>,
    /// Origins of pages that may put `/embed/*` into a frame, as sources of `frame-ancestors` (CSP 3); `*` for any. No page may
    /// frame anything else.
    pub embed_frame_ancestors: Vec<String>,
    /// What nodes that are processes of their own must know; without it none is served.
    pub node_token: Option<String>,
    /// Time between two rounds that look for what is stale, unknown or different at the provider.
    pub sweep_every: Duration,
    /// Where a test wants the process to end, as [`crash_points`](crate::crash_points) names it. Builds for use do not look at it.
    pub crash_at: Option<String>,
    /// The log and who is told of it.
    pub events: EventsConfig,
    /// Viewer sessions that ended longer ago go, with the addresses and user agents that were kept of them.
    pub viewers_keep: Duration,
    /// What things cost.
    pub prices: Prices,
    /// Where this process's own edge stands.
    pub place: Place,
    /// The configuration in force, for operators to see.
    pub settings: SettingsTree,
    /// How people log in.
    pub auth: AuthConfig,
    /// Bucket whose files `/videoList` and `/videoLink` tell anybody of; without it there are no such routes.
    pub video_list_bucket: Option<String>,
}

/// The configuration in force, without secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsTree {
    /// The keys, as a tree.
    pub settings: serde_json::Value,
    /// Where those come from that are not defaults, by dotted key.
    pub sources: std::collections::BTreeMap<String, String>,
    /// The file that was read.
    pub file: Option<String>,
}

/// How much of the log is kept, and where webhooks may point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// Older entries of the log go.
    pub keep: Duration,
    /// Entries beyond this many go, the oldest first. A webhook that has not got them keeps up to twice as many.
    pub keep_entries: u64,
    /// Whether webhooks may reach loopback and private networks. Link-local addresses, where clouds tell machines their
    /// secrets, they never reach.
    pub private_addresses: PrivateAddresses,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(90 * 24 * 60 * 60),
            keep_entries: 500_000,
            private_addresses: PrivateAddresses::default(),
        }
    }
}

impl EventsConfig {
    /// How much the database keeps of the log.
    pub(crate) fn retention(&self) -> LogRetention {
        LogRetention {
            keep_ms: i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX),
            keep_entries: self.keep_entries,
            hard_entries: self.keep_entries.saturating_mul(2),
        }
    }
}

impl std::fmt::Debug for Config {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("edge_base_url", &self.edge_base_url)
            .field("rtmp_public", &self.rtmp_public)
            .finish_non_exhaustive()
    }
}

/// Files on demand: where they are, and how assets are made of them.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// The buckets.
    pub buckets: Buckets,
    /// Names of the presets that workers know; the first is that of the bucket which is there from the start.
    pub presets: Vec<String>,
}
