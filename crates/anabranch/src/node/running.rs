//! What every node does while it runs: its edge delivers, a signal ends it, what it has started is waited for.

use anabranch_edge::Edge;
use anabranch_net::Shutdown;
use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Waits for SIGTERM or SIGINT and then asks everything to stop. A second signal ends the process at once.
pub(super) async fn stop_on_signal(shutdown: Shutdown) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    tracing::info!("stopping");
    shutdown.cancel();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(130);
    });
    Ok(())
}

/// Serves viewers until `shutdown`, which an edge that fails asks for itself.
pub(super) async fn deliver(edge: Edge, shutdown: Shutdown) {
    if let Err(error) = edge.run(shutdown.clone()).await {
        tracing::error!(error = %error, "the edge has stopped");
        // A node that cannot deliver must not look alive.
        shutdown.cancel();
    }
}

/// Waits for all tasks. One that ended by a fault is logged.
pub(super) async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a room ended by a fault");
        }
    }
}
