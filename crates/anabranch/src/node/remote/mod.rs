//! `anabranch serve --role edge`: an edge that a control plane elsewhere tells what to serve (ADR 11).
//!
//! ```text
//!   control plane ──Briefing──► pull ──Snapshot──► edge ──► viewer
//!         ▲                      │ ▲                │
//!         │              snapshot.json └──Applied── push ◄── Report
//!         └──────────ReportBatch──────── reports/ ◄─┘
//!   origin room ◄── relay ◄── edge
//! ```

mod known;
mod name;
mod pull;
mod push;
mod relay;
mod spool;
mod uplink;
mod viewers;
mod work;

use std::sync::Arc;

use anabranch_edge::{Edge, OriginRoom};
use anabranch_model::Briefing;
use anabranch_net::{SharedClock, Shutdown, SystemClock};
use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::name::default_name;
use self::pull::Pull;
use self::push::Push;
use self::relay::Relay;
use self::spool::Spool;
use self::uplink::Uplink;
use super::metrics_page::MetricsPage;
use super::running::{deliver, join, stop_on_signal};
use super::{alone, counts};
use crate::config::Config;

pub(super) use self::work::run as work;

/// Reports that wait for the spool.
const REPORT_QUEUE: usize = 1024;

/// The last good snapshot, in the data directory.
const SNAPSHOT_FILE: &str = "snapshot.json";

/// Report batches that wait, in the data directory.
const SPOOL_FOLDER: &str = "reports";

pub(super) async fn run(config: Config) -> Result<()> {
    let clock: SharedClock = Arc::new(SystemClock);
    let metrics_page = MetricsPage::bind(config.metrics.listen)?;
    let spool = Spool::open(&config.data.join(SPOOL_FOLDER))?;
    let name = config.node.name.clone().unwrap_or_else(|| default_name("edge", spool.id()));
    let uplink = Arc::new(Uplink::new(&config, name.clone())?);
    let (front, back) = (Shutdown::new(), Shutdown::new());
    let signals = tokio::spawn(stop_on_signal(front.clone()));

    let path = config.data.join(SNAPSHOT_FILE);
    let Some(current) = starting_point(&path, &uplink, &front).await else { return Ok(()) };
    let (snapshots, snapshot) = watch::channel(Arc::new(current.0.snapshot.clone()));
    let (room, told) = watch::channel(pull::room(&current.0, &uplink));
    let relay = if config.edge.origin.is_none() { Some(Relay::bind(told)?) } else { None };
    let origin = match (&config.edge.origin, &relay) {
        (None, Some(relay)) => relay.local_addr()?.to_string(),
        (origin, _) => origin.clone().unwrap_or_default(),
    };
    let origin_room = OriginRoom { authority: origin, token: origin_token(&config) };
    let (reports, reported) = mpsc::channel(REPORT_QUEUE);
    let (applied, in_force) = watch::channel(0);
    let journal = counts::open(&config.data);
    let has_journal = journal.is_some();
    let spool_id = spool.id().clone();
    let mut push = Push::new(uplink.clone(), spool, reported, applied, journal);
    let first = push.recover();
    let mut edge_config = alone::edge_config(&config, name.to_string(), Some(origin_room))?;
    edge_config.journal = has_journal.then(|| counts::config(&config.data, spool_id, first));
    let edge = Edge::bind(edge_config, snapshot, reports, clock)?;
    tracing::info!(
        node.name = %name,
        edge = %edge.local_addr(),
        metrics = %config.metrics.listen,
        control.url = config.control.url.as_deref().unwrap_or_default(),
        data = %config.data.display(),
        "serving"
    );

    let pull = Pull::new(uplink, snapshots, room, in_force, path, current);
    let (mut fronts, mut backs) = (JoinSet::new(), JoinSet::new());
    fronts.spawn(deliver(edge, front.clone()));
    fronts.spawn(pull.run(front.clone()));
    // Ends by itself when the edge, which holds the other end of the reports, has ended.
    fronts.spawn(push.run());
    backs.spawn(metrics_page.run(back.clone()));
    if let Some(relay) = relay {
        backs.spawn(relay.run(back.clone()));
    }
    front.cancelled().await;
    // The edge drains by its own deadline, and the last reports have one, too.
    join(&mut fronts).await;
    back.cancel();
    join(&mut backs).await;
    signals.await.context("the signal handler ended by a fault")??;
    tracing::info!("stopped");
    Ok(())
}

/// The kept snapshot, else the control plane's, and whether the disk has it; nothing when the node is stopped before.
async fn starting_point(path: &std::path::Path, uplink: &Uplink, shutdown: &Shutdown) -> Option<(Briefing, bool)> {
    if let Some(briefing) = pull::kept(path) {
        tracing::info!(
            snapshot.version = briefing.snapshot.version,
            distributions = briefing.snapshot.distributions.len(),
            "starting by the snapshot that is kept here"
        );
        return Some((briefing, true));
    }
    pull::first(uplink, shutdown).await.map(|briefing| (briefing, false))
}

/// The secret of the origin room, as far as an edge knows it.
fn origin_token(config: &Config) -> String {
    config.origin.token.as_ref().or(config.node.token.as_ref()).map_or_else(String::new, |token| token.0.clone())
}
