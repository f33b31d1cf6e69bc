//! The control room: the API, what it changes, and the loop that makes wishes and facts meet.
//!
//! In: requests of operators and watch pages; [`Report`]s of the data plane; the database.
//! Out: answers, `/openapi.json`, the web UI; the newest [`Snapshot`] in a watch channel.
//! Never: media bytes, SQL (that is `db`), how a URL is judged (that is `signing`), process start-up (that is `anabranch`).
//! Spec: RFC 9110, RFC 9457 (problems), RFC 6750 §2.1 (bearer tokens), OpenAPI 3.1, spec/cloudfront.md section 2.
//!
//! A request goes `http` (decode, authorise, one call, encode) → `app` → db; then `reconcile` looks again.

mod app;
mod assemble;
mod billing;
mod chain;
mod cluster;
mod config;
mod health;
mod http;
mod jobs;
mod local;
mod nodes;
mod observe;
mod probe;
mod reconcile;
mod secret;
mod standby;
mod stream;
mod time;
mod webhook;

use std::sync::Arc;

use anabranch_db::{AccessKeyRow, Db};
use anabranch_model::{Report, Snapshot};
use anabranch_net::{ServeConfig, SharedClock, Shutdown, serve_http};
use anabranch_store::buckets::Event as ObjectEvent;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::app::demand::{watch_arrivals, watch_elsewhere};
use crate::app::people;
use crate::app::work::OwnDesk;

use crate::reconcile::{Engine, Reconciler};
use crate::webhook::Driver;

pub use crate::app::demand::PrepareError;
pub use crate::app::people::{AuthConfig, Network, NetworkError, OidcConfig, OidcError};
pub use crate::app::work::LEASE as JOB_LEASE;
pub use crate::cluster::{ClusterDesk, ClusterStream, PEER_FOLDER, Seen, StreamPlace, VoteError, Way};
pub use crate::config::{Config, EventsConfig, MediaConfig, SWEEP_EVERY, SettingsTree};
pub use crate::jobs::{AtOnce, Desk, DeskError, Executor, Jobs, Progress, Task};
pub use crate::webhook::PrivateAddresses;
pub use anabranch_cloudfront::CLUSTER_BUCKET;
pub use anabranch_db::Place;
pub use billing::{Cloud as CloudPrices, Model as PriceModel, Money, Own as OwnPrices, Prices};
pub use standby::stand_by;

/// Knows the access keys of the S3-compatible endpoint. Cheap to clone.
#[derive(Clone)]
pub struct AccessKeys(Arc<App>);

impl std::fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKeys").finish_non_exhaustive()
    }
}

impl AccessKeys {
    /// The key with this id; none when there is none any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn find(&self, id: &str) -> Result<Option<AccessKeyRow>, anabranch_db::Error> {
        match self.0.db.access_key_find(id).await {
            Ok(row) => Ok(Some(row)),
            Err(anabranch_db::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Why the control room cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database does not answer or holds what this code does not know.
    #[error("cannot read the control plane's state")]
    Db(#[from] anabranch_db::Error),
    /// The first buckets cannot be made.
    #[error("cannot make the first buckets")]
    Buckets(#[source] PrepareError),
    /// The origins of pages that play with cookies cannot be used.
    #[error(transparent)]
    Viewers(#[from] anabranch_cloudfront::ConfigError),
    /// The first signing key cannot be made.
    #[error("cannot make the first signing key")]
    Key(#[from] anabranch_signing::KeyError),
    /// HTTP for webhooks and peers cannot be set up.
    #[error("cannot set up HTTP for webhooks and peers")]
    Http(#[source] reqwest::Error),
    /// A provider of identities cannot be used.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The admin token of the configuration cannot be used.
    #[error("the admin token must have {min} to {max} visible characters without spaces", min = app::TOKEN_MIN, max = app::TOKEN_MAX)]
    Token,
}

/// The control room, ready to run.
pub struct Control {
    app: Arc<App>,
    reconciler: Reconciler,
    jobs: Option<[Jobs; 2]>,
    arrivals: mpsc::Receiver<ObjectEvent>,
    first_token: Option<String>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// Prepares tokens, the default key group and its first key, the first buckets, and the first snapshot. `arrivals` is what the buckets
    /// of `media` tell of their objects.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(
        config: Config,
        media: MediaConfig,
        db: Db,
        clock: SharedClock,
        reports: mpsc::Receiver<Report>,
        arrivals: mpsc::Receiver<ObjectEvent>,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), BuildError> {
        let (app, first_token) = app::start(config, media, db, clock).await?;
        let app = Arc::new(app);
        let (reconciler, snapshots) = Reconciler::build(app.clone(), reports).await?;
        Ok((Self { app, reconciler, jobs: None, arrivals, first_token }, snapshots))
    }

    /// The admin token that was made because there was none, to be shown once.
    #[must_use]
    pub fn first_token(&self) -> Option<String> {
        self.first_token.clone()
    }

    /// Tells nodes that are processes of their own where the origin room is: `host:port`, where an unspecified address stands for
    /// the host by which they reach this control plane. The first call counts, and must come before anything is served.
    pub fn origin_room_at(&self, authority: String) {
        // A second call is harmless: the process has one origin room.
        let _ = self.app.nodes.origin.set(authority);
    }

    /// Has jobs done in this process by `executor`, so many at once, in the name of this node.
    pub fn work_by(&mut self, executor: &Arc<dyn Executor>, node: &str, at_once: AtOnce) {
        let desk: Arc<dyn Desk> = Arc::new(OwnDesk(self.app.clone()));
        self.jobs = Some(Jobs::pair(&desk, executor, node, at_once));
    }

    /// The access keys of the S3-compatible endpoint.
    #[must_use]
    pub fn access_keys(&self) -> AccessKeys {
        AccessKeys(self.app.clone())
    }

    /// Where watchers of this process vote on clusters, and others learn which regions are open.
    #[must_use]
    pub fn clusters(&self) -> ClusterDesk {
        ClusterDesk(self.app.clone())
    }

    /// Newest file of the journal of this process's edge that the database has: it and older ones may go.
    #[must_use]
    pub fn counted(&self) -> watch::Receiver<u64> {
        self.app.counted.subscribe()
    }

    /// Everything that is served: API, UI, health.
    pub fn router(&self) -> axum::Router {
        http::router(&self.app).0
    }

    /// Serves `listener` and keeps wishes and facts together until `shutdown`; then drains and writes what is only in memory.
    pub async fn run(self, listener: TcpListener, shutdown: Shutdown) {
        let service = TowerToHyperService::new(self.router());
        let serve = serve_http(listener, service, ServeConfig::default(), shutdown.clone());
        // Held requests would keep the listener from draining.
        let release = async {
            shutdown.cancelled().await;
            self.app.nodes.stopping.cancel();
        };
        let jobs = async {
            if let Some([light, heavy]) = self.jobs {
                tokio::join!(light.run(shutdown.clone()), heavy.run(shutdown.clone()));
            }
        };
        let engine = Engine::new(self.app.clone()).run(shutdown.clone());
        let sweeps = reconcile::run_sweeps(self.app.clone(), shutdown.clone());
        let webhooks = Driver::new(self.app.clone());
        tokio::join!(
            serve,
            release,
            jobs,
            watch_arrivals(self.app.clone(), self.arrivals, shutdown.clone()),
            watch_elsewhere(self.app.clone(), shutdown.clone()),
            engine,
            sweeps,
            probe::run(&self.app, &shutdown),
            stream::follow(&self.app, &shutdown),
            webhooks.run(shutdown.clone()),
            billing::run(&self.app, &shutdown),
            people::keep(&self.app, &shutdown),
            cluster::automat::run(&self.app, &shutdown),
            cluster::peers::run(self.app.clone(), shutdown.clone()),
            self.reconciler.run(shutdown.clone()),
        );
        self.app.tasks.close();
        self.app.tasks.wait().await;
        people::keep_last(&self.app).await;
    }
}

/// Every point at which a test may end the process: before and after each recorded step.
#[must_use]
pub fn crash_points() -> Vec<String> {
    reconcile::points()
}

/// The OpenAPI 3.1 document of the API, as pretty JSON with a line end.
#[must_use]
pub fn openapi_json() -> String {
    http::openapi_json()
}
