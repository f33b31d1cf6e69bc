//! `anabranch edge`: an edge without a control plane, by a snapshot in a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anabranch_edge::{
    AccessLogConfig, AccessLogFormat, Carried, DiskConfig, Edge, OriginRoom, Rewriting, S3Bucket, Shield, Transforms,
};
use anabranch_hls::rewrite::{Queries, Rewriter};
use anabranch_model::Snapshot;
use anabranch_net::{Shutdown, SystemClock};
use anyhow::{Context, Result};
use clap::Args;
use tokio::sync::{mpsc, watch};

use super::running::stop_on_signal;
use crate::config::{Bucket, Config, EdgeLogFormat, LogFormat, ShieldAt};
use crate::logs;

/// Flags of `anabranch edge`.
#[derive(Debug, Args)]
pub(crate) struct EdgeArguments {
    /// Snapshot to serve by (JSON)
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// Address for viewers; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8888")]
    listen: Vec<SocketAddr>,
    /// Address for viewers with TLS; may be given several times
    #[arg(long, value_name = "ADDRESS", requires = "cert")]
    tls_listen: Vec<SocketAddr>,
    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["key", "tls_listen"])]
    cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Threads; 0 is one for each processor
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Cached bodies in memory, in MiB
    #[arg(long, default_value_t = 256)]
    memory_mib: u64,
    /// Directory of cached bodies on disk, for this edge alone; without it bodies are cached in memory only
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Cached bodies on disk, in MiB
    #[arg(long, default_value_t = 10_240, requires = "cache_dir")]
    disk_mib: u64,
}

/// The number of threads: as asked, or one for each processor.
fn workers(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// What the edge may be told to do with bodies.
fn transforms() -> Transforms {
    Transforms { signed_playlist: |carried| Box::new(SignedPlaylist(playlist_rewriter(carried))) }
}

/// The edge room of a node.
pub(super) fn edge_config(
    config: &Config,
    node: String,
    origin_room: Option<OriginRoom>,
) -> Result<anabranch_edge::Config> {
    Ok(anabranch_edge::Config {
        listen: config.edge.listen.0.clone(),
        tls: super::secure::tls(config)?,
        https_port: config.edge.tls.public_port,
        workers: workers(config.edge.workers),
        cache_bytes: config.edge.memory,
        disk: cache_on_disk(config),
        access_log: access_log(config),
        max_connections: config.edge.max_connections,
        origin_room,
        drain_timeout: config.drain,
        node,
        location: config.edge.location.clone(),
        transforms: transforms(),
        default_distribution: config.edge.default_distribution.clone(),
        origin_ca: config.edge.origin_ca.clone(),
        shield_token: config.edge.shield_token.as_ref().map(|token| token.0.clone()),
        shields: config.edge.shields.iter().map(shield).collect(),
        buckets: config.edge.buckets.iter().map(bucket).collect(),
        ..anabranch_edge::Config::default()
    })
}

fn shield(at: &ShieldAt) -> (String, Shield) {
    (at.name.clone(), Shield { authority: at.authority.clone(), tls: at.tls, token: at.token.0.clone() })
}

fn bucket(bucket: &Bucket) -> S3Bucket {
    S3Bucket {
        bucket: bucket.bucket.clone(),
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        access_key_id: bucket.access_key_id.clone(),
        secret_access_key: bucket.secret_access_key.0.clone(),
        path_style: bucket.path_style,
    }
}

/// The edge's access log, if it is to have one.
fn access_log(config: &Config) -> Option<AccessLogConfig> {
    let log = &config.edge.log;
    let format = match log.format {
        EdgeLogFormat::W3c => AccessLogFormat::W3c,
        EdgeLogFormat::Json => AccessLogFormat::Json,
        EdgeLogFormat::Both => AccessLogFormat::Both,
    };
    let dir = log.dir.clone()?;
    Some(AccessLogConfig { dir, format, rotate_bytes: log.rotate, keep_bytes: log.keep })
}

/// The edge's disk tier: where it is told to be, or beside the other data.
fn cache_on_disk(config: &Config) -> Option<DiskConfig> {
    let disk = &config.edge.disk;
    let dir = disk.path.clone().unwrap_or_else(|| config.data.join("cache"));
    (disk.limit > 0).then(|| DiskConfig {
        limit_bytes: disk.limit,
        reserve_bytes: disk.reserve,
        ..DiskConfig::new(dir)
    })
}

/// Playlists whose URIs carry a viewer's signature, as the edge asks for them.
#[derive(Debug)]
struct SignedPlaylist(Rewriter);

impl Rewriting for SignedPlaylist {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, enough: usize) -> Option<usize> {
        self.0.push(bytes, out, enough).ok()
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.0.finish(out);
    }
}

fn playlist_rewriter(carried: &Carried<'_>) -> Rewriter {
    let queries = Queries { playlists: carried.playlists, others: carried.others };
    Rewriter::new(&queries, Some(carried.authority)).and_hosts(carried.signed_hosts)
}

/// Runs `anabranch edge` to its end.
pub(crate) fn edge(arguments: &EdgeArguments) -> Result<()> {
    logs::install(LogFormat::Auto, "info")?;
    let text = std::fs::read_to_string(&arguments.snapshot)
        .with_context(|| format!("cannot read {}", arguments.snapshot.display()))?;
    let snapshot: Snapshot =
        serde_json::from_str(&text).with_context(|| format!("{} is not a snapshot", arguments.snapshot.display()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(run(arguments, snapshot))
}

async fn run(arguments: &EdgeArguments, snapshot: Snapshot) -> Result<()> {
    let (_keep, snapshot) = watch::channel(Arc::new(snapshot));
    // Nobody collects the reports of an edge that runs alone; the edge keeps its counts until it ends.
    let (reports, mut reported) = mpsc::channel(16);
    let drop_reports = tokio::spawn(async move { while reported.recv().await.is_some() {} });
    let tls = match (&arguments.cert, &arguments.key) {
        (Some(cert), Some(key)) => Some(super::secure::by_flags(arguments.tls_listen.clone(), cert, key)?),
        _ => None,
    };
    let config = anabranch_edge::Config {
        listen: arguments.listen.clone(),
        tls,
        workers: workers(arguments.workers),
        cache_bytes: arguments.memory_mib << 20,
        disk: arguments
            .cache_dir
            .clone()
            .map(|dir| DiskConfig { limit_bytes: arguments.disk_mib << 20, ..DiskConfig::new(dir) }),
        transforms: transforms(),
        ..anabranch_edge::Config::default()
    };
    let edge = Edge::bind(config, snapshot, reports, Arc::new(SystemClock))?;
    tracing::info!(edge = %edge.local_addr(), "serving");
    let shutdown = Shutdown::new();
    let running = tokio::spawn(edge.run(shutdown.clone()));
    stop_on_signal(shutdown).await?;
    running.await.context("the edge ended by a fault")??;
    drop_reports.abort();
    Ok(())
}
