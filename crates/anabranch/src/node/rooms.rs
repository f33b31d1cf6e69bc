//! All rooms in one process, and what flows between them.
//!
//! ```text
//! encoder ─► ingest ─► packager ─► store ─► origin ─► edge ─► viewer
//!               ▲          ▲                            ▲
//!               └──────────┴──────── Snapshot ──────────┤
//!  operator ─► control ◄───────────── Report ───────────┘
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_control::{
    Config as ControlConfig, Control, EventsConfig, MediaConfig, Place, PrivateAddresses, stand_by,
};
use anabranch_db::Db;
use anabranch_edge::{Edge, Journal, OriginRoom};
use anabranch_ingest::{ChannelFeed, Feeds, Ingest};
use anabranch_model::Report;
use anabranch_net::{Reuse, SharedClock, Shutdown, SystemClock, bind};
use anabranch_origin::Origin;
use anabranch_packager::{Packager, Session};
use anabranch_store::{Buckets, LocalStore};
use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::backends::remotes;
use super::cluster::Clusters;
use super::drop::DropFolders;
use super::metrics_page::MetricsPage;
use super::running::{deliver, join, stop_on_signal};
use super::token::ensure_token;
use super::worker::{Worker, executor};
use super::{alone, counts, database, s3};
use crate::config::{Config, Events, PrivateWebhooks, reachable};
use crate::terminal;

/// Reports that wait for the control plane.
const REPORT_QUEUE: usize = 1024;

/// Encoder sessions that wait for their channel, and channels that wait for the packager.
const SESSION_QUEUE: usize = 64;

/// Changes of buckets that wait to be noted; others are found by looking.
const ARRIVAL_QUEUE: usize = 1024;

/// Name of this process among the nodes, unless the configuration gives one.
const NODE: &str = "local";

/// Why the rooms have ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// A signal, or a room without which there is no sense in going on.
    Stopped,
    /// Another controller acts.
    TakenOver,
}

pub(super) async fn run(config: Config) -> Result<()> {
    let metrics_page = MetricsPage::bind(config.metrics.listen)?;
    let db = database::open(&config).await.context("cannot open the database")?;
    let (stop, end) = (Shutdown::new(), Shutdown::new());
    let mut page = JoinSet::new();
    page.spawn(metrics_page.run(end.clone()));
    let act = async {
        let outcome = act(&config, &db, &stop).await;
        stop.cancel();
        outcome
    };
    let (signalled, acted) = tokio::join!(stop_on_signal(stop.clone()), act);
    end.cancel();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), join(&mut page)).await;
    tracing::info!("stopped");
    signalled.and(acted)
}

/// Acts whenever no other controller does, until `stop`.
async fn act(config: &Config, db: &Db, stop: &Shutdown) -> Result<()> {
    loop {
        let listener = bind(config.api.listen, Reuse::Exclusive)?;
        let Some(listener) = stand_by(listener, db, stop).await.context("cannot stand by")? else { return Ok(()) };
        if rooms(config, db.clone(), listener, stop).await? == Ended::Stopped {
            return Ok(());
        }
    }
}

async fn rooms(config: &Config, db: Db, api_listener: TcpListener, stop: &Shutdown) -> Result<Ended> {
    let clock: SharedClock = Arc::new(SystemClock);
    let api_address = reachable(api_listener.local_addr()?);
    let node = config.node.name.as_ref().map_or_else(|| NODE.to_owned(), ToString::to_string);
    let node_token = ensure_token(config)?;
    let store = LocalStore::open(&config.media(), config.store.reserve)?;
    let (told, arrivals) = mpsc::channel(ARRIVAL_QUEUE);
    let buckets = Buckets::new(store.clone(), Some(Arc::new(told))).with_remotes(remotes(config, &clock, false))?;
    let worker = Worker::new(store.clone(), buckets.clone(), config)?;
    let media = MediaConfig { buckets: buckets.clone(), presets: worker.presets() };

    // Encoders and viewers bind before the control plane is told where they are.
    let (reports, reported) = mpsc::channel(REPORT_QUEUE);
    let edge_url = config.edge.public_url.clone();
    let (mut control, snapshot) = Control::build(
        control_config(config, api_address, &node_token)?,
        media,
        db.clone(),
        clock.clone(),
        reported,
        arrivals,
    )
    .await
    .context("cannot start the control plane")?;

    let journal = counts::open(&config.data);
    let journal_id = counts::identifier(&config.data);
    let kept = counts::kept(journal.as_ref());
    let last = kept.last().map_or(0, |kept| kept.generation);
    let first = db.spool_sequence(&journal_id).await?.max(last) + 1;
    for one in kept {
        let (journal, traffic) = (journal_id.clone(), one.traffic);
        let report = Report::Counted { journal, generation: one.generation, until_ms: 0, traffic, quality: Vec::new() };
        // What finds no room is found again at the next start.
        let _ = reports.try_send(report);
    }

    let (executor, at_once) = executor(worker, config.demand.assets_at_once);
    control.work_by(&executor, &node, at_once);
    let endpoints = s3::bind(config, &buckets, &control.access_keys())?;
    let drop_folders = DropFolders::open(config, &buckets)?;
    let (sessions, sessions_out) = mpsc::channel(SESSION_QUEUE);
    let ingest = Ingest::bind(
        anabranch_ingest::Config {
            max_connections: config.rtmp.max_connections,
            ..anabranch_ingest::Config::new(config.rtmp.listen, node.as_str())
        },
        snapshot.clone(),
        sessions,
        reports.clone(),
    )?;
    let (feeds_in, feeds_out) = mpsc::channel(SESSION_QUEUE);
    let feeds = Feeds::build(clock.clone(), snapshot.clone(), sessions_out, feeds_in, reports.clone());
    let (feed, fed) = mpsc::channel::<Session>(SESSION_QUEUE);
    let (packager, timelines) =
        Packager::build(node.clone(), store.clone(), clock.clone(), snapshot.clone(), fed, reports.clone());
    let (packager, anchors) = packager.in_exchange_with(control.clusters().anchors_heard());
    let clusters = Clusters::new(control.clusters(), node.clone(), buckets.clone(), anchors, clock.clone())?;
    let token = config.origin.token.as_ref().map_or(node_token, |token| token.0.clone());
    let origin_config = anabranch_origin::Config { listen: config.origin.listen, token: token.clone() };
    let origin = Origin::bind(origin_config, store, timelines, clock.clone())?.with_buckets(buckets.clone());
    let origin_address = origin.local_addr()?.to_string();
    // Edges elsewhere are told from the first answer on: nothing is served before this.
    control.origin_room_at(config.origin.public.clone().unwrap_or_else(|| origin_address.clone()));
    let mut edge_config = alone::edge_config(config, node, Some(OriginRoom { authority: origin_address, token }))?;
    edge_config.journal = journal.is_some().then(|| counts::config(&config.data, journal_id, first));
    let edge = Edge::bind(edge_config, snapshot, reports, clock)?;
    tracing::info!(
        api = %api_address,
        metrics = %config.metrics.listen,
        rtmp = %ingest.local_addr(),
        edge = %edge.local_addr(),
        edge.tls = %edge.tls_addr().map_or_else(|| "-".to_owned(), |address| address.to_string()),
        edge.public_url = edge_url.as_deref().unwrap_or("-"),
        data = %config.data.display(),
        "serving"
    );
    if let Some(token) = control.first_token() {
        terminal::announce_first_token(&token);
    }

    // Each stage ends after the one that feeds it, so that what is open is still published and served.
    let (front, back) = (Shutdown::new(), Shutdown::new());
    let mut fronts = JoinSet::new();
    let mut backs = JoinSet::new();
    let counted = control.counted();
    fronts.spawn(ingest.run(front.clone()));
    fronts.spawn(control.run(api_listener, front.clone()));
    fronts.spawn(deliver(edge, front.clone()));
    fronts.spawn(feeds.run());
    fronts.spawn(drop_folders.run(front.clone()));
    fronts.spawn(clusters.run(front.clone()));
    backs.spawn(forget_counted(counted, journal, back.clone()));
    for endpoint in endpoints {
        fronts.spawn(endpoint.run(front.clone()));
    }
    fronts.spawn(carry(feeds_out, feed));
    backs.spawn(packager.run(back.clone()));
    backs.spawn(origin.run(front.clone(), back.clone()));
    let ended = tokio::select! {
        () = stop.cancelled() => Ended::Stopped,
        () = front.cancelled() => Ended::Stopped,
        () = db.lost() => {
            tracing::error!("another controller has taken over; what runs here ends, and this one stands by");
            Ended::TakenOver
        }
    };
    front.cancel();
    let drained = tokio::time::timeout(config.drain, async {
        join(&mut fronts).await;
        back.cancel();
        join(&mut backs).await;
    });
    if drained.await.is_err() {
        tracing::warn!("the drain deadline has passed; what was open is cut");
        back.cancel();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), join(&mut backs)).await;
    }
    Ok(ended)
}

fn control_config(config: &Config, api: SocketAddr, node_token: &str) -> Result<ControlConfig> {
    let edge = reachable(config.edge.listen.first());
    let rtmp = reachable(config.rtmp.listen);
    Ok(ControlConfig {
        listen: api,
        admin_token: config.api.token.as_ref().map(|token| token.0.clone()),
        edge_base_url: config.edge.public_url.clone().unwrap_or_else(|| format!("http://{edge}")),
        edge_port: edge.port(),
        edge_https: config.edge.is_reached_by_https(),
        domain_suffix: config.edge.domain_suffix.clone(),
        rtmp_public: config.rtmp.public_url.clone().unwrap_or_else(|| format!("rtmp://{rtmp}/live")),
        watch_base_url: config.api.public_url.clone().unwrap_or_else(|| format!("http://{api}")),
        viewer_origins: config.api.viewer_origins.0.clone(),
        embed_frame_ancestors: config.embed.frame_ancestors.0.clone(),
        node_token: Some(node_token.to_owned()),
        sweep_every: config.provider.sweep,
        crash_at: std::env::var("ANABRANCH_CRASH_AT").ok(),
        events: events_config(&config.events),
        viewers_keep: Duration::from_secs(u64::from(config.viewers.keep_days) * 24 * 60 * 60),
        prices: config.prices.clone(),
        place: place(config),
        settings: config.shown.clone(),
        video_list_bucket: config.demand.video_list_bucket.clone(),
        auth: config.auth.resolve()?,
    })
}

/// Where the edge of this process stands.
fn place(config: &Config) -> Place {
    let location = if config.edge.location.is_empty() {
        config.node.name.as_ref().map_or_else(|| NODE.to_owned(), ToString::to_string)
    } else {
        config.edge.location.clone()
    };
    let class = serde_json::to_value(config.edge.location_class).unwrap_or_default();
    Place { location, class: class.as_str().unwrap_or_default().to_owned() }
}

fn events_config(events: &Events) -> EventsConfig {
    EventsConfig {
        keep: Duration::from_secs(u64::from(events.keep_days) * 24 * 60 * 60),
        keep_entries: events.keep_entries,
        private_addresses: match events.private_webhooks {
            PrivateWebhooks::Allowed => PrivateAddresses::Allowed,
            PrivateWebhooks::Refused => PrivateAddresses::Refused,
        },
    }
}

/// Removes counts from the journal that the database has. What is left at the end is known by its number at the next start.
async fn forget_counted(mut counted: watch::Receiver<u64>, journal: Option<Journal>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = counted.changed() => if changed.is_err() { return },
        }
        let generation = *counted.borrow_and_update();
        tokio::task::block_in_place(|| counts::forget(journal.as_ref(), generation));
    }
}

/// Hands the channels' media from ingest to packager.
async fn carry(mut from: mpsc::Receiver<ChannelFeed>, to: mpsc::Sender<Session>) {
    while let Some(ChannelFeed { channel, events }) = from.recv().await {
        if to.send(Session { channel, events }).await.is_err() {
            break;
        }
    }
}
