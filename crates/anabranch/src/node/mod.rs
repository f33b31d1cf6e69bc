//! A node: build every room, join them, run until a signal, drain.

mod alone;
mod backends;
mod backup;
mod cluster;
mod counts;
mod database;
mod disk;
mod drop;
mod lock;
mod metrics_help;
mod metrics_page;
mod remote;
mod rooms;
mod running;
mod s3;
mod secure;
mod token;
mod worker;

pub(crate) use alone::{EdgeArguments, edge};
pub(crate) use backup::{BackupArguments, back_up, restore};
pub(crate) use metrics_page::MetricsPage;
pub(crate) use token::show as node_token;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::config::{Config, Role, ServeArguments, check_variables};
use crate::logs;

/// Runs `anabranch serve` to its end.
pub(crate) fn serve(arguments: &ServeArguments) -> Result<()> {
    check_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
    let config = Config::load(arguments, &|name| std::env::var(name).ok())?;
    logs::install(config.log.format, &config.log.filter)?;
    // Private keys and stream keys live in it.
    let mut private = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private
        .recursive(true)
        .create(&config.data)
        .with_context(|| format!("cannot create the data directory {}", config.data.display()))?;
    std::fs::set_permissions(&config.data, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .with_context(|| format!("cannot make the data directory private: {}", config.data.display()))?;
    let _lock = lock::acquire(&config.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(1, 8))
        .max_blocking_threads(32)
        .build()
        .context("cannot start the runtime")?;
    let drain = config.drain;
    let outcome = match config.role {
        Role::All => runtime.block_on(rooms::run(config)),
        Role::Edge => runtime.block_on(remote::run(config)),
        Role::Worker => runtime.block_on(remote::work(config)),
    };
    // What still runs had its chance to drain.
    runtime.shutdown_timeout(drain.min(Duration::from_secs(2)));
    outcome
}
