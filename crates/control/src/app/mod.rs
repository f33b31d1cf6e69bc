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
mod stream;
mod token;
pub(crate) mod usage;
pub(crate) mod view;
pub(crate) mod viewers;
mod watch;
pub(crate) mod watch_view;
mod webhook;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_cloudfront::{DistributionConfig, ViewerOrigins};
use anabranch_db::{Db, NewDistribution};
use anabranch_model::{DistributionId, KeyGroupId, NodeName};
use anabranch_net::SharedClock;
use anabranch_provider::Provider;
use tokio::sync::{Notify, Semaphore, watch as channel_watch};
use tokio_util::task::TaskTracker;

use crate::BuildError;
use crate::cluster::{Clusters, Pull};
use crate::config::{Config, MediaConfig};
use crate::health::Health;
use crate::local::Local;
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
pub(crate) use token::{Admission, ApiTokens, TOKEN_MAX, TOKEN_MIN, Token, TokenCreate, TokenCreated};
pub(crate) use webhook::{Webhook, WebhookCreate, WebhookRotate, WebhookSecret, WebhookTest, WebhookUpdate};

/// Key group that channels' distributions trust and new keys join.
const DEFAULT_KEY_GROUP: &str = "default";

/// Name of this process's edge in rows of batches.
const OWN_EDGE: &str = "own";

/// Event streams at once.
const STREAMS_MAX: usize = 64;

/// Account of events that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// Caller reference of the distribution that recordings and the media library share.
const LIBRARY_REFERENCE: &str = "recordings-and-media-library";

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

/// Prepares what every use case relies on; the second value is the admin token if one had to be made.
pub(crate) async fn start(
    config: Config,
    media: MediaConfig,
    db: Db,
    clock: SharedClock,
) -> Result<(App, Option<String>), BuildError> {
    let now_ms = clock.now_ms();
    let viewers = ViewerOrigins::parse(&config.viewer_origins)?;
    let (tokens, first_token) = token::prepare(&db, config.admin_token.as_deref(), now_ms).await?;
    let key_group = db.key_group_ensure(DEFAULT_KEY_GROUP, now_ms).await?.id;
    let signs = db.keys_of_group(&key_group).await?.iter().any(|key| key.private_pem.is_some());
    if !signs {
        key::first(&db, now_ms).await?;
    }
    db.account_ensure(DEFAULT_ACCOUNT, now_ms).await?;
    demand::prepare(&db, &media, now_ms).await.map_err(BuildError::Buckets)?;
    let shared = shared(&config, &db, &key_group, &viewers, now_ms).await?;
    content::fill(&db, &key_group, &viewers).await?;
    let nodes = Arc::new(Nodes::load(config.node_token.as_deref(), &db, clock.clone()).await?);
    let pull = Pull::new(config.events.private_addresses).map_err(BuildError::Http)?;
    let clusters = Clusters::load(&db, nodes.plane.to_string(), clock.clone(), pull).await?;
    let observed = Arc::new(Observed::default());
    // Nodes that were there before count as there until they have been silent for long.
    nodes.expected().into_iter().for_each(|report| observed.take(report));
    let provider = Arc::new(Local {
        db: db.clone(),
        clock: clock.clone(),
        observed: observed.clone(),
        nodes: nodes.clone(),
        domain_suffix: config.domain_suffix.clone(),
    });
    let people = People::new(&config.auth, &config.watch_base_url)?;
    let sender = Sender::new(config.events.private_addresses).map_err(BuildError::Http)?;
    let log_newest = channel_watch::Sender::new(db.log_newest().await?);
    let app = App {
        config,
        db,
        clock,
        observed,
        health: Health::default(),
        provider,
        wake: Notify::new(),
        media,
        arrivals_wake: Notify::new(),
        heard: work::Heard::default(),
        jobs_wake: Notify::new(),
        drive: Notify::new(),
        sweeping: tokio::sync::Mutex::default(),
        key_group,
        viewers,
        collecting: tokio::sync::Mutex::default(),
        began: tokio::time::Instant::now(),
        counted: channel_watch::Sender::new(0),
        own_edge: OWN_EDGE.parse().expect("a plain word is a name"),
        shared,
        counts: viewers::Counts::default(),
        tokens,
        log_newest,
        log_wake: Notify::new(),
        webhooks_changed: Notify::new(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        tasks: TaskTracker::new(),
        sender,
        nodes,
        clusters,
        people,
    };
    Ok((app, first_token))
}

/// The distribution that recordings and the media library share, made if there is none (V70).
async fn shared(
    config: &Config,
    db: &Db,
    group: &KeyGroupId,
    viewers: &ViewerOrigins,
    now_ms: i64,
) -> Result<DistributionId, BuildError> {
    if let Some(row) = db.distribution_by_reference(LIBRARY_REFERENCE).await? {
        // Its configuration is the operator's since it was made: it is not changed behind their back.
        if config_of(&row).is_ok_and(|known| !known.answers_with_credentials(viewers)) {
            tracing::warn!(
                distribution.id = %row.id,
                "the distribution of recordings does not name every origin of api.viewer_origins with credentials: update it"
            );
        }
        // One that an earlier version has made knows no assets; nothing of what it had changes.
        if let Some(config) = config_of(&row).ok().and_then(|known| known.with_assets(group, viewers)) {
            db.distribution_update(row.id.as_str(), &content::of(&config), None, now_ms).await?;
        }
        return Ok(row.id);
    }
    let id = DistributionId::random();
    let content = DistributionConfig::library(LIBRARY_REFERENCE, group, viewers);
    let new = NewDistribution {
        domain_name: format!("{}.{}", id.as_str().to_ascii_lowercase(), config.domain_suffix),
        content: content::of(&content),
        id,
        tags: BTreeMap::new(),
        idempotency: None,
    };
    Ok(db.distribution_create(&new, None, now_ms).await?.into_inner().id)
}

impl App {
    /// Says that rows have changed.
    pub(crate) fn changed(&self) {
        self.wake.notify_one();
        self.drive.notify_one();
        self.log_wake.notify_one();
    }
}
