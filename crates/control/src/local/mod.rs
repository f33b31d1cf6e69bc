//! The local provider: pipelines and distributions that the house's own nodes carry.

mod distribution;
mod pipeline;

use std::sync::Arc;

use anabranch_db::Db;
use anabranch_net::SharedClock;
use anabranch_provider::{Kind, Provider, ProviderError, Reply};

use crate::chain::chain;
use crate::nodes::Nodes;
use crate::observe::{Applied, Observed};

/// Ids of a page.
const PAGE: u32 = 100;

/// Roles that make a pipeline run.
const PIPELINE_ROLES: [&str; 2] = ["ingest", "packager"];

/// The local provider. What it has are rows of its own; what is true of them is what nodes report.
pub(crate) struct Local {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) observed: Arc<Observed>,
    pub(crate) nodes: Arc<Nodes>,
    /// What follows a distribution's id in its host name.
    pub(crate) domain_suffix: String,
}

impl Provider for Local {
    fn name(&self) -> &'static str {
        "local"
    }
}

/// The first role that does not act by `version` yet, in words.
fn missing(observed: &Observed, roles: &[&str], version: u64) -> Option<String> {
    roles.iter().find_map(|role| waits(observed, role, &observed.applied(role, version), version))
}

fn waits(observed: &Observed, role: &str, applied: &Applied, version: u64) -> Option<String> {
    match applied {
        Applied::Yes => None,
        Applied::NoNode => Some(format!("waiting for {role}: no such node has reported")),
        Applied::Behind(node) => {
            let remedy = observed.remedy(node);
            Some(format!("waiting for {role} node {node:?} to apply version {version}{remedy}"))
        }
    }
}

/// The database is what this provider may not reach.
fn unavailable(error: &anabranch_db::Error) -> ProviderError {
    ProviderError::new(Kind::Unavailable, format!("the local provider has no database: {}", chain(error)))
}

fn reply<'a, T>(work: impl Future<Output = Result<T, ProviderError>> + Send + 'a) -> Reply<'a, T> {
    Box::pin(work)
}

/// A page of ids, of which one more than wanted was asked for.
fn listing<T: ToString>(mut items: Vec<T>) -> anabranch_provider::Listing<T> {
    let more = items.len() > PAGE as usize;
    items.truncate(PAGE as usize);
    let next = if more { items.last().map(ToString::to_string) } else { None };
    anabranch_provider::Listing { items, next }
}

#[cfg(test)]
pub(crate) mod tests {
    use anabranch_model::Report;
    use anabranch_net::ManualClock;
    use anabranch_provider::contract::{Subject, run};

    use super::*;
    use crate::config::{Config, EventsConfig, MediaConfig, SWEEP_EVERY, SettingsTree};

    const NOW_MS: i64 = 1_767_225_600_000;

    pub(crate) fn config() -> Config {
        Config {
            viewer_origins: Vec::new(),
            events: EventsConfig::default(),
            prices: crate::Prices::default(),
            place: crate::Place::default(),
            settings: SettingsTree::default(),
            auth: crate::AuthConfig::default(),
            video_list_bucket: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            admin_token: None,
            edge_base_url: String::new(),
            edge_port: 0,
            edge_https: false,
            domain_suffix: "cdn.localhost".into(),
            rtmp_public: String::new(),
            watch_base_url: String::new(),
            embed_frame_ancestors: vec!["*".into()],
            viewers_keep: std::time::Duration::from_secs(90 * 24 * 60 * 60),
            node_token: None,
            sweep_every: SWEEP_EVERY,
            crash_at: None,
        }
    }

    pub(crate) fn media(dir: &std::path::Path) -> MediaConfig {
        let store = anabranch_store::LocalStore::open(&dir.join("media"), 0).unwrap();
        MediaConfig { buckets: anabranch_store::Buckets::new(store, None), presets: vec!["standard".into()] }
    }

    #[tokio::test]
    async fn the_contract_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db.sqlite")).await.unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let nodes = Arc::new(Nodes::load(None, &db, clock.clone()).await.unwrap());
        let observed = Arc::new(Observed::default());
        let (applied, reader) = (observed.clone(), db.clone());
        let settle = move || -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
            let (applied, reader) = (applied.clone(), reader.clone());
            Box::pin(async move {
                let version = reader.snapshot_version().await.unwrap();
                for role in ["ingest", "packager", "edge"] {
                    applied.take(Report::Applied { role: role.into(), node: "n".into(), version });
                }
            })
        };
        let local = Local { db: db.clone(), clock, observed, nodes, domain_suffix: "cdn.localhost".into() };
        run(Subject { provider: &local, settle: &settle, now_ms: NOW_MS }).await;
        db.close().await;
    }
}
