//! The slow round: stale distributions without an operation, resources that no row knows, and rows that differ from what there is.
//! Each part takes pages, so a round costs the same however much there is; one bad row never stops a page.

use std::sync::Arc;

use anabranch_db::operation::{DISTRIBUTION_DELETE, DISTRIBUTION_REPAIR};
use anabranch_db::{DistributionRow, PageOrder, PageRequest};
use anabranch_model::{ChannelId, DistributionId};
use anabranch_net::Shutdown;
use anabranch_provider::{Listing, ProviderError};
use tokio::time::MissedTickBehavior;

use super::outcome::in_time;
use super::places::Places;
use super::{note, realize};
use crate::app::App;
use crate::chain::chain;

/// Stale rows of a page.
const PAGE: u32 = 100;

/// Rows held against the provider in one round.
const CHECKED_MAX: u32 = 100;

/// Time after which a settled row is held against the provider again.
const CHECK_AGAIN_MS: i64 = 10 * 60 * 1000;

/// Time for which a resource must have been unknown before it is removed.
const ORPHAN_GRACE_MS: i64 = 10 * 60 * 1000;

/// Pages of the provider's lists that a round which an operator asked for looks through, each kind.
const ASKED_PAGES_MAX: usize = 100;

/// Time for which finished operations are kept, in milliseconds.
const HISTORY_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Minutes of traffic that the local provider keeps: two weeks.
const TRAFFIC_MINUTES: i64 = 14 * 24 * 60;

/// How a round is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// On schedule: one page of the provider's lists a round.
    Scheduled,
    /// An operator wants it now: everything, and what waits to be tried again is tried now.
    Asked,
    /// The same, and nothing is changed.
    Dry,
}

/// What a round found and did.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Stale distributions: id and what becomes of each, in words.
    pub(crate) stale: Vec<(String, String)>,
    /// Resources at the provider that no row knows: kind, id and what becomes of each.
    pub(crate) orphans: Vec<(&'static str, String, String)>,
    /// Distributions that differ at the provider: id and how.
    pub(crate) drifted: Vec<(String, String)>,
}

/// Makes rounds until `shutdown`.
pub(crate) async fn run(app: Arc<App>, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(app.config.sweep_every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if !app.db.is_leader() {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            swept = sweep(&app, Round::Scheduled) => {
                if let Err(error) = swept
                    && !app.health.met(&error)
                {
                    tracing::warn!(error = chain(&error), "a round could not be finished; the next one goes on");
                }
            }
        }
    }
}

/// One round. Rounds wait for each other.
pub(crate) async fn sweep(app: &App, round: Round) -> Result<Swept, anabranch_db::Error> {
    let mut places = app.sweeping.lock().await;
    let now_ms = app.clock.now_ms();
    let mut swept = Swept::default();
    if round != Round::Dry {
        app.db.operations_heal(now_ms).await?;
        app.db.operations_forget(now_ms - HISTORY_MS).await?;
        app.db.local_traffic_forget(now_ms.div_euclid(60_000) - TRAFFIC_MINUTES).await?;
    }
    stale(app, round, &mut swept).await?;
    drift(app, round, &mut swept).await?;
    let pages = if round == Round::Scheduled { 1 } else { ASKED_PAGES_MAX };
    let mut place = if round == Round::Scheduled { std::mem::take(&mut *places) } else { Places::default() };
    orphans_of_pipelines(app, round, pages, &mut place, &mut swept).await?;
    orphans_of_distributions(app, round, pages, &mut place, &mut swept).await?;
    if round == Round::Scheduled {
        *places = place;
    }
    app.drive.notify_one();
    Ok(swept)
}

/// V42, V44: every stale row has an operation that deletes it.
async fn stale(app: &App, round: Round, swept: &mut Swept) -> Result<(), anabranch_db::Error> {
    if round == Round::Asked {
        app.db.operations_hurry(DISTRIBUTION_DELETE).await?;
    }
    let mut page = PageRequest { limit: PAGE, after: None, order: PageOrder::OldestFirst };
    loop {
        // By a cursor: rows that go while the round is made move no other one out of it.
        let found = app.db.distributions_stale(&page).await?;
        for row in found.items {
            let open = app.db.operation_of(row.id.as_str()).await?.filter(|open| open.finished_at.is_none());
            let words = match open {
                Some(open) => open.problem.or(open.waiting_for).unwrap_or_else(|| "it is being deleted".to_owned()),
                None => {
                    if round != Round::Dry {
                        let id = row.id.as_str();
                        app.db.operation_open(DISTRIBUTION_DELETE, id, id, app.clock.now_ms()).await?;
                    }
                    "it is deleted from now on".to_owned()
                }
            };
            swept.stale.push((row.id.into(), words));
        }
        if found.next.is_none() {
            return Ok(());
        }
        page.after = found.next;
    }
}

async fn drift(app: &App, round: Round, swept: &mut Swept) -> Result<(), anabranch_db::Error> {
    let now_ms = app.clock.now_ms();
    let before_ms = if round == Round::Scheduled { now_ms - CHECK_AGAIN_MS } else { i64::MAX };
    let mut as_wanted = Vec::new();
    for row in app.db.distributions_to_check(before_ms, now_ms, CHECKED_MAX).await? {
        match compare(app, &row).await {
            Ok(None) => as_wanted.push(row.id),
            Ok(Some(words)) => {
                if round != Round::Dry {
                    repair(app, &row, &words).await?;
                }
                swept.drifted.push((row.id.into(), words));
            }
            Err(error) => {
                tracing::debug!(distribution.id = %row.id, error = %error, "a distribution cannot be looked at");
                as_wanted.push(row.id);
            }
        }
    }
    if round != Round::Dry && !as_wanted.is_empty() {
        app.db.distributions_checked(&as_wanted, now_ms).await?;
    }
    Ok(())
}

/// Looks at one distribution now, and begins to set right what differs.
pub(crate) async fn check(app: &App, row: &DistributionRow) -> Result<(), anabranch_db::Error> {
    match compare(app, row).await {
        Ok(Some(words)) if row.observed_generation == row.generation => repair(app, row, &words).await,
        Ok(_) => app.db.distributions_checked(std::slice::from_ref(&row.id), app.clock.now_ms()).await,
        Err(error) => {
            tracing::warn!(distribution.id = %row.id, error = %error, "a distribution cannot be looked at");
            Ok(())
        }
    }
}

async fn repair(app: &App, row: &DistributionRow, words: &str) -> Result<(), anabranch_db::Error> {
    tracing::warn!(distribution.id = %row.id, drift = words, "a distribution differs at the provider");
    note("distribution", row.id.as_str(), "drifted", words);
    app.db.distribution_drifted(&row.id, words).await?;
    app.db.operation_open(DISTRIBUTION_REPAIR, row.id.as_str(), row.lane(), app.clock.now_ms()).await?;
    Ok(())
}

async fn compare(app: &App, row: &DistributionRow) -> Result<Option<String>, ProviderError> {
    let found = in_time(realize::find(app, row)).await?;
    Ok(realize::drift(row, found.as_ref()))
}

async fn orphans_of_pipelines(
    app: &App,
    round: Round,
    pages: usize,
    places: &mut Places,
    swept: &mut Swept,
) -> Result<(), anabranch_db::Error> {
    for _ in 0..pages {
        let page = in_time(app.provider.pipeline_list(places.pipelines.as_deref())).await;
        let Some(page) = listed(page, &mut places.pipelines) else { return Ok(()) };
        for id in page {
            let ours = match in_time(app.provider.pipeline_describe(&id)).await {
                Ok(found) => found.is_some_and(|found| realize::is_ours(app, &found.tags)),
                Err(_) => false,
            };
            if !ours || channel_known(app, &id).await? {
                continue;
            }
            let words = if due(app, round, "pipeline", id.as_str()).await? {
                let gone = in_time(realize::tear_down_pipeline(app, &id)).await;
                removed(app, "pipeline", id.as_str(), gone).await?
            } else {
                "it is removed when it has been unknown for ten minutes".to_owned()
            };
            swept.orphans.push(("pipeline", id.into(), words));
        }
        if places.pipelines.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

async fn orphans_of_distributions(
    app: &App,
    round: Round,
    pages: usize,
    places: &mut Places,
    swept: &mut Swept,
) -> Result<(), anabranch_db::Error> {
    for _ in 0..pages {
        let page = in_time(app.provider.distribution_list(places.distributions.as_deref())).await;
        let Some(page) = listed(page, &mut places.distributions) else { return Ok(()) };
        for id in page {
            let Ok(Some(found)) = in_time(app.provider.distribution_describe(&id)).await else { continue };
            if !realize::is_ours(app, &found.tags) || app.db.distribution_known(&id, &found.reference).await? {
                continue;
            }
            let words = if due(app, round, "distribution", id.as_str()).await? {
                removed(app, "distribution", id.as_str(), in_time(tear_down(app, &id)).await).await?
            } else {
                "it is removed when it has been unknown for ten minutes".to_owned()
            };
            swept.orphans.push(("distribution", id.into(), words));
        }
        if places.distributions.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

async fn tear_down(app: &App, id: &DistributionId) -> Result<bool, ProviderError> {
    realize::tear_down(app, id).await
}

/// The items of a page, and the place of the next one; none when there is no page to be had.
fn listed<T>(page: Result<Listing<T>, ProviderError>, place: &mut Option<String>) -> Option<Vec<T>> {
    match page {
        Ok(page) => {
            *place = page.next;
            Some(page.items)
        }
        Err(error) => {
            tracing::debug!(error = %error, "the provider's list cannot be read");
            None
        }
    }
}

async fn channel_known(app: &App, id: &ChannelId) -> Result<bool, anabranch_db::Error> {
    match app.db.channel_find(id.as_str()).await {
        Ok(_) => Ok(true),
        Err(anabranch_db::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an orphan has been one for long enough.
async fn due(app: &App, round: Round, kind: &'static str, id: &str) -> Result<bool, anabranch_db::Error> {
    if round == Round::Dry {
        return Ok(false);
    }
    let now_ms = app.clock.now_ms();
    let seen_ms = app.db.orphan_seen(kind, id, now_ms).await?;
    Ok(now_ms - seen_ms >= ORPHAN_GRACE_MS)
}

async fn removed(
    app: &App,
    kind: &'static str,
    id: &str,
    gone: Result<bool, ProviderError>,
) -> Result<String, anabranch_db::Error> {
    Ok(match gone {
        Ok(true) => {
            tracing::warn!(orphan.kind = kind, orphan.id = id, "what no row knows was removed");
            note(kind, id, "orphan_removed", "no row knows it");
            app.db.orphan_forget(kind, id).await?;
            "it was removed".to_owned()
        }
        Ok(false) => "it is being removed".to_owned(),
        Err(error) => format!("it cannot be removed yet: {error}"),
    })
}
