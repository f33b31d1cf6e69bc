//! Invalidations that wait for edges.

use anabranch_db::Error;

use crate::app::App;
use crate::observe::Applied;

pub(crate) async fn invalidations(app: &App) -> Result<(), Error> {
    let waiting = app.db.invalidations_in_progress().await?;
    let done: Vec<_> = waiting
        .into_iter()
        .filter(|(_, version)| app.observed.applied("edge", *version) == Applied::Yes)
        .map(|(id, _)| id)
        .collect();
    if !done.is_empty() {
        app.db.invalidations_confirm(&done, app.clock.now_ms()).await?;
        tracing::info!(
            invalidations = done.len(),
            newest = done.last().map(tracing::field::display),
            "invalidations completed"
        );
    }
    Ok(())
}
