//! Trials of the database, which its health is known by.

use std::time::Duration;

use anabranch_db::{Error, Fault};
use anabranch_net::Shutdown;

use crate::app::App;
use crate::chain::chain;

/// Time between two trials of a database that works.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Time between two trials of one that does not.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Tries the database until `shutdown`, and wakes everybody who waits for it when it works again.
pub(crate) async fn run(app: &App, shutdown: &Shutdown) {
    loop {
        let pause = if app.health.is_failing() { TRY_AGAIN } else { TRY_EVERY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = app.health.doubted() => tokio::time::sleep(TRY_AGAIN).await,
        }
        let tried = tokio::select! {
            () = shutdown.cancelled() => return,
            tried = app.db.probe() => tried,
        };
        match tried {
            Ok(()) | Err(Error::NotLeader) => {
                if app.health.took() {
                    app.jobs_wake.notify_one();
                    app.webhooks_changed.notify_one();
                    app.changed();
                }
            }
            // Whatever else a trial meets, such as a damaged file, is no request's fault.
            Err(error) => app.health.met_as(error.fault().unwrap_or(Fault::Disk), &chain(&error)),
        }
    }
}
