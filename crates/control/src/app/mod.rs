//! Use cases: one function an operation. Handlers call one of them and nothing else.

pub(crate) mod agent;
mod breakout;
mod channel;
mod cluster;
mod cluster_given;
mod cluster_join;
mod cluster_note;
mod cluster_order;
mod cluster_play;
mod cluster_seen;
mod cluster_view;
mod content;
pub(crate) mod demand;
mod distribution;
mod error;
mod event;
mod grant;
mod invalidation;
mod key;
mod key_group;
pub(crate) mod log;
mod names;
pub(crate) mod node;
mod operation;
mod page;
pub(crate) mod people;
mod play;
mod recording;
mod sign;
mod start;
mod stream;
mod token;
pub(crate) mod usage;
pub(crate) mod view;
pub(crate) mod viewers;
mod watch;
pub(crate) mod watch_view;
mod webhook;
pub(crate) mod work;

use std::sync::Arc;

use anabranch_cloudfront::ViewerOrigins;
use anabranch_db::Db;
use anabranch_model::{DistributionId, KeyGroupId, NodeName};
use anabranch_net::SharedClock;
use anabranch_provider::Provider;
use tokio::sync::{Notify, Semaphore, watch as channel_watch};
use tokio_util::task::TaskTracker;

use crate::cluster::Clusters;
use crate::config::{Config, MediaConfig};
use crate::health::Health;
use crate::nodes::Nodes;
use crate::observe::Observed;
use crate::reconcile::places::Places;
use crate::webhook::Sender;

pub(crate) use breakout::{BreakoutCreate, BreakoutPatch, BreakoutQuery, CurtainPut, Revoke};
pub(crate) use channel::{ChannelCreate, ChannelPatch, DeleteQuery, InputSwitch, StreamKeys};
pub(crate) use cluster::{ClusterCreate, ClusterPatch, VoteGiven};
pub(crate) use cluster_join::{ClusterJoin, ClusterPull};
pub(crate) use cluster_order::{DrillOrder, Order, RegionOrder};
pub(crate) use cluster_play::StreamQuery;
pub(crate) use cluster_seen::{PlaylistQuery, PlaylistsView};
pub(crate) use cluster_view::{
    ClusterView, DecisionQuery, DecisionView, HistoryItem, HistoryQuery, StateQuery, StateView, VoteView,
};
pub(crate) use content::config_of;
pub(crate) use distribution::{DistributionAttach, DistributionPut, DryRun};
pub(crate) use error::{Barred, Error};
pub(crate) use event::{AccountCreate, EventPut};
pub(crate) use grant::{Grant, Scope};
pub(crate) use invalidation::InvalidationCreate;
pub(crate) use key::KeyCreate;
pub(crate) use key_group::{KeyGroupCreate, KeyGroupUpdate};
pub(crate) use names::idempotency;
pub(crate) use operation::{Deleted, OperationQuery};
pub(crate) use page::PageQuery;
use people::People;
pub(crate) use play::PlayUrlCreate;
pub(crate) use recording::{JobQuery, RecordingQuery};
pub(crate) use sign::SignCreate;
pub(crate) use start::start;
pub(crate) use token::{Admission, ApiTokens, TOKEN_MAX, TOKEN_MIN, Token, TokenCreate, TokenCreated};
pub(crate) use webhook::{Webhook, WebhookCreate, WebhookRotate, WebhookSecret, WebhookTest, WebhookUpdate};

/// Key group that channels' distributions trust and new keys join.
const DEFAULT_KEY_GROUP: &str = "default";

/// Account of events that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What use cases work with.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) observed: Arc<Observed>,
    /// Whether the database takes what is wanted.
    pub(crate) health: Health,
    /// Makes wishes real.
    pub(crate) provider: Arc<dyn Provider>,
    /// Wakes the reconciler.
    pub(crate) wake: Notify,
    /// The buckets, and how assets are made.
    pub(crate) media: MediaConfig,
    /// Wakes the look for files that have arrived.
    pub(crate) arrivals_wake: Notify,
    /// When workers were heard of last.
    pub(crate) heard: work::Heard,
    /// Wakes the loop of jobs.
    pub(crate) jobs_wake: Notify,
    /// Wakes the engine of operations.
    pub(crate) drive: Notify,
    /// Where rounds are in the provider's lists; held while one is made.
    pub(crate) sweeping: tokio::sync::Mutex<Places>,
    pub(crate) tokens: ApiTokens,
    /// Sequence of the newest entry of the log, as far as this process has seen.
    pub(crate) log_newest: channel_watch::Sender<u64>,
    /// Says that the log may have grown.
    pub(crate) log_wake: Notify,
    /// Says that an operator has changed a webhook.
    pub(crate) webhooks_changed: Notify,
    /// Event streams that may still be opened.
    pub(crate) streams: Arc<Semaphore>,
    /// What handlers have begun and the room waits for at its end.
    pub(crate) tasks: TaskTracker,
    pub(crate) sender: Sender,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) clusters: Clusters,
    pub(crate) people: People,
    key_group: KeyGroupId,
    /// Pages that play with cookies.
    pub(crate) viewers: ViewerOrigins,
    /// Held while charges are collected.
    pub(crate) collecting: tokio::sync::Mutex<()>,
    /// Since when this process acts.
    pub(crate) began: tokio::time::Instant,
    /// Newest file of the journal of this process's edge that rows have.
    pub(crate) counted: channel_watch::Sender<u64>,
    /// Name of that edge in rows of batches.
    pub(crate) own_edge: NodeName,
    /// The distribution that recordings and the media library share.
    pub(crate) shared: DistributionId,
    /// How many watch, for those who ask again and again.
    counts: viewers::Counts,
}

impl App {
    /// Says that rows have changed.
    pub(crate) fn changed(&self) {
        self.wake.notify_one();
        self.drive.notify_one();
        self.log_wake.notify_one();
    }
}
