//! Writes what people leave in memory, and sweeps what is old.

use std::time::Duration;

use anabranch_net::Shutdown;
use tokio::time::Instant;

use super::audit::{BATCH, Waiting};
use crate::app::App;
use crate::chain::chain;

/// Time between two writes of when sessions were used.
const SEEN_EVERY: Duration = Duration::from_secs(10);

/// Time between two sweeps of what is old.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// Pause after a write that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Passes of one sweep of the audit.
const PASSES: usize = 20;

/// Time that the last write has at the end.
const LAST: Duration = Duration::from_secs(5);

/// Writes and sweeps until `shutdown`.
pub(crate) async fn keep(app: &App, shutdown: &Shutdown) {
    let mut waiting = app.people.audit.waiting.lock().await;
    let mut seen = tokio::time::interval(SEEN_EVERY);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let mut failing = false;
    loop {
        let Waiting { receiver, batch } = &mut *waiting;
        tokio::select! {
            () = shutdown.cancelled() => return,
            taken = receiver.recv_many(batch, BATCH), if batch.is_empty() => {
                if taken == 0 {
                    return;
                }
            }
            () = tokio::time::sleep(AGAIN), if !batch.is_empty() => {}
            _ = seen.tick() => {
                // A database that does not answer is the reconciler's to report; what was not written stays.
                let _ = app.seen_write().await;
                continue;
            }
            _ = sweep.tick() => {
                let _ = sweep_old(app).await;
                continue;
            }
        }
        match app.db.audit_add(batch).await {
            Ok(()) => {
                batch.clear();
                failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(error = chain(&error), "the audit cannot be written; it is tried again");
                }
            }
        }
    }
}

/// Writes what is left when nothing is served any more.
pub(crate) async fn keep_last(app: &App) {
    let mut waiting = app.people.audit.waiting.lock().await;
    let Waiting { receiver, batch } = &mut *waiting;
    while let Ok(entry) = receiver.try_recv() {
        batch.push(entry);
    }
    let until = Instant::now() + LAST;
    let written = tokio::time::timeout_at(until, async {
        app.db.audit_add(batch).await?;
        app.seen_write().await
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => lost(batch.len(), &chain(&error)),
        Err(_) => lost(batch.len(), "the database did not answer in time"),
    }
}

fn lost(rows: usize, error: &str) {
    metrics::counter!("anabranch_control_audit_lost_total").increment(rows as u64);
    tracing::error!(audit.rows = rows, error, "the last rows of the audit could not be written");
}

async fn sweep_old(app: &App) -> Result<(), anabranch_db::Error> {
    app.sessions_sweep().await?;
    let keep_ms = i64::try_from(app.config.auth.audit_keep.as_millis()).unwrap_or(i64::MAX);
    let until = app.clock.now_ms().saturating_sub(keep_ms);
    for _ in 0..PASSES {
        if app.db.audit_prune(until).await? == 0 {
            break;
        }
    }
    Ok(())
}
