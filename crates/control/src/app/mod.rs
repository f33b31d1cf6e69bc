//! Use cases: one function an operation. Handlers call one of them and nothing else.

mod breakout;
mod channel;
mod content;
mod distribution;
mod error;
mod invalidation;
mod key;
mod key_group;
pub(crate) mod log;
mod names;
pub(crate) mod node;
mod page;
mod sign;
mod token;
pub(crate) mod view;
mod watch;
mod webhook;

use std::sync::Arc;

use anabranch_db::Db;
use anabranch_model::KeyGroupId;
use anabranch_net::SharedClock;
use tokio::sync::{Notify, Semaphore, watch as channel_watch};
use tokio_util::task::TaskTracker;

use crate::nodes::Nodes;
use crate::observe::Observed;
use crate::stream::STREAMS_MAX;
use crate::webhook::Sender;
use crate::{BuildError, Config};

pub(crate) use breakout::{BreakoutCreate, BreakoutQuery, PlayUrlCreate};
pub(crate) use channel::ChannelCreate;
pub(crate) use content::config_of;
pub(crate) use distribution::DistributionPut;
pub(crate) use error::{Error, chain};
pub(crate) use invalidation::InvalidationCreate;
pub(crate) use key::KeyCreate;
pub(crate) use key_group::{KeyGroupCreate, KeyGroupUpdate};
pub(crate) use names::idempotency;
pub(crate) use page::PageQuery;
pub(crate) use sign::SignCreate;
pub(crate) use token::{
    Admission, ApiTokens, Scope, TOKEN_MAX, TOKEN_MIN, Token, TokenCreate, TokenCreated, Tokens, sha256,
};
pub(crate) use webhook::{Webhook, WebhookCreate, WebhookRotate, WebhookSecret, WebhookTest, WebhookUpdate};

/// Key group that channels' distributions trust and new keys join.
const DEFAULT_KEY_GROUP: &str = "default";

/// What use cases work with.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) observed: Observed,
    /// Wakes the reconciler.
    pub(crate) wake: Notify,
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
    pub(crate) nodes: Nodes,
    key_group: KeyGroupId,
}

/// Prepares what every use case relies on; the second value is the admin token if one had to be made.
pub(crate) async fn start(config: Config, db: Db, clock: SharedClock) -> Result<(App, Option<String>), BuildError> {
    let now_ms = clock.now_ms();
    let (tokens, first_token) = token::prepare(&db, config.admin_token.as_deref(), now_ms).await?;
    let key_group = db.key_group_ensure(DEFAULT_KEY_GROUP, now_ms).await?.id;
    let signs = db.keys_of_group(&key_group).await?.iter().any(|key| key.private_pem.is_some());
    if !signs {
        key::first(&db, now_ms).await?;
    }
    let nodes = Nodes::load(&config, &db, clock.clone()).await?;
    let observed = Observed::default();
    // Nodes that were there before count as there until they have been silent for long.
    nodes.expected().into_iter().for_each(|report| observed.take(report));
    let sender = Sender::new(config.events.private_addresses).map_err(BuildError::Http)?;
    let log_newest = channel_watch::Sender::new(db.log_newest().await?);
    let app = App {
        config,
        db,
        clock,
        observed,
        wake: Notify::new(),
        tokens,
        log_newest,
        log_wake: Notify::new(),
        webhooks_changed: Notify::new(),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        tasks: TaskTracker::new(),
        sender,
        nodes,
        key_group,
    };
    Ok((app, first_token))
}

impl App {
    /// Says that rows have changed.
    fn changed(&self) {
        self.wake.notify_one();
        self.log_wake.notify_one();
    }
}
