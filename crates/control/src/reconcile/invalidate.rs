//! Invalidations that the provider has to hear of, and those that wait for edges.

use anabranch_model::InvalidationState;
use anabranch_provider::{Advice, NewInvalidation};

use super::outcome::in_time;
use crate::app::App;

/// Orders in a row that are still under way, after which younger ones are not asked about.
const PENDING_MAX: usize = 8;

/// Orders asked about in one look.
const LOOK_MAX: usize = 200;

pub(super) async fn invalidations(app: &App) -> Result<(), anabranch_db::Error> {
    let mut done = Vec::new();
    let (mut pending, mut told) = (0, false);
    for (row, distribution) in app.db.invalidations_in_progress().await?.into_iter().take(LOOK_MAX) {
        // Not made yet: its turn comes when there is something to invalidate.
        let Some(distribution) = distribution else { continue };
        let known = row.provider_id.clone();
        let answer = match &known {
            Some(id) => in_time(app.provider.invalidation_describe(&distribution, id)).await,
            None => {
                let order = NewInvalidation {
                    distribution,
                    reference: row.caller_reference.clone(),
                    id: Some(row.id.clone()),
                    paths: row.paths.clone(),
                    tags: row.tags.clone(),
                };
                in_time(app.provider.invalidation_create(&order)).await.map(Some)
            }
        };
        match answer {
            Ok(Some(status)) => {
                if known.is_none() {
                    app.db.invalidation_told(&row.id, &status.id).await?;
                    told = true;
                }
                if status.state == InvalidationState::Completed {
                    done.push(row.id);
                    pending = 0;
                } else {
                    pending += usize::from(known.is_some());
                }
            }
            // Its distribution was made anew since: nothing of before is kept anywhere.
            Ok(None) => done.push(row.id),
            Err(error) => {
                if error.advice() == Advice::GiveUp {
                    tracing::error!(invalidation.id = %row.id, error = %error, "an invalidation cannot be ordered");
                } else {
                    tracing::debug!(invalidation.id = %row.id, error = %error, "an invalidation is asked about again");
                }
                pending += usize::from(known.is_some());
            }
        }
        if pending >= PENDING_MAX {
            break;
        }
    }
    if told {
        app.wake.notify_one();
    }
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
