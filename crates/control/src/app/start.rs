//! What every use case relies on, prepared at the start of the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_cloudfront::{DistributionConfig, ViewerOrigins};
use anabranch_db::{Db, NewDistribution};
use anabranch_model::{DistributionId, KeyGroupId};
use anabranch_net::SharedClock;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::people::People;
use super::viewers::Counts;
use super::{App, DEFAULT_ACCOUNT, DEFAULT_KEY_GROUP, config_of, content, demand, key, token, work};
use crate::BuildError;
use crate::cluster::{Clusters, Pull};
use crate::config::{Config, MediaConfig};
use crate::health::Health;
use crate::local::Local;
use crate::nodes::Nodes;
use crate::observe::Observed;
use crate::webhook::Sender;

/// Name of this process's edge in rows of batches.
const OWN_EDGE: &str = "own";

/// Event streams at once.
const STREAMS_MAX: usize = 64;

/// Caller reference of the distribution that recordings and the media library share.
const LIBRARY_REFERENCE: &str = "recordings-and-media-library";

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
    let log_newest = watch::Sender::new(db.log_newest().await?);
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
        counted: watch::Sender::new(0),
        own_edge: OWN_EDGE.parse().expect("a plain word is a name"),
        shared,
        counts: Counts::default(),
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
