//! Who watches: what edges have seen becomes rows, and sessions above the device limit are shut out (V110-V112).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use anabranch_db::{Attendance, Error, Exit, Sighting, ViewerRow};
use anabranch_model::{BreakoutId, ViewerSeen};

use crate::app::viewers::LEFT_AFTER_MS;
use crate::app::{App, agent};

/// How far ahead of ours the clock of an edge is believed, in milliseconds.
const AHEAD_MS: i64 = 5_000;

/// Time between two looks for those that have left, in milliseconds.
const CLOSE_EVERY_MS: i64 = 5_000;

/// Sessions whose entry has been judged, remembered; a session that is forgotten is judged again.
const KNOWN_MAX: usize = 100_000;

/// Sightings written in one transaction.
const BATCH: usize = 500;

/// Stays are forgotten by the hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// What the loop remembers of audiences.
#[derive(Default)]
pub(crate) struct Audiences {
    known: HashSet<(BreakoutId, String)>,
    order: VecDeque<(BreakoutId, String)>,
    closed_at: i64,
}

impl Audiences {
    /// Writes sightings, and shuts out what is above the limit.
    pub(crate) async fn seen(&mut self, app: &App, seen: Vec<ViewerSeen>) -> Result<(), Error> {
        let mut rules = HashMap::new();
        let mut sightings = Vec::with_capacity(seen.len());
        let mut entered: BTreeSet<(BreakoutId, String)> = BTreeSet::new();
        let now = app.clock.now_ms();
        for mut one in seen {
            // By an edge whose clock is ahead: who enters after it is right again must not count as the older one.
            one.last_ms = one.last_ms.min(now + AHEAD_MS);
            one.first_ms = one.first_ms.min(one.last_ms);
            place(&mut one, app, now);
            if !rules.contains_key(&one.breakout) {
                let rule = match app.db.breakout_find(one.breakout.as_str()).await {
                    Ok(row) => Some((row.content.attendance, row.content.device_limit)),
                    Err(Error::NotFound { .. }) => None,
                    Err(error) => return Err(error),
                };
                rules.insert(one.breakout.clone(), rule);
            }
            let Some(Some((attendance, limit))) = rules.get(&one.breakout) else { continue };
            if *limit > 0 && !one.user.is_empty() && self.is_new(&one) {
                entered.insert((one.breakout.clone(), one.user.clone()));
            }
            sightings.extend(sighting(one, *attendance, *limit));
        }
        for batch in sightings.chunks(BATCH) {
            app.db.viewers_seen(batch).await?;
        }
        for (breakout, user) in entered {
            let limit = rules.get(&breakout).copied().flatten().map_or(0, |(_, limit)| limit);
            let watching = app.db.viewers_watching(&breakout, &user, now - LEFT_AFTER_MS).await?;
            let above = above(&watching, limit);
            if !above.is_empty() {
                let expelled = app.db.viewers_expel(&breakout, &above, Exit::DeviceLimit, now).await?;
                tracing::info!(breakout.id = %breakout, expelled, limit, "sessions above the device limit are shut out");
                app.wake.notify_one();
            }
        }
        Ok(())
    }

    /// Closes sessions that have left.
    pub(crate) async fn close(&mut self, app: &App) -> Result<(), Error> {
        let now = app.clock.now_ms();
        if (0..CLOSE_EVERY_MS).contains(&(now - self.closed_at)) {
            return Ok(());
        }
        self.closed_at = now;
        app.db.viewers_close(now - LEFT_AFTER_MS, now + AHEAD_MS).await.map(drop)
    }

    fn is_new(&mut self, seen: &ViewerSeen) -> bool {
        let key = (seen.breakout.clone(), seen.session.clone());
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// Says where the stays were that this process's own edge tells of. Of a time that is forgotten already, nothing is counted again.
fn place(seen: &mut ViewerSeen, app: &App, now: i64) {
    let keep_ms = i64::try_from(app.config.viewers_keep.as_millis()).unwrap_or(i64::MAX);
    let kept_from = now.saturating_sub(keep_ms).div_euclid(HOUR_MS) * HOUR_MS;
    seen.stays.retain(|stay| stay.last_ms >= kept_from);
    for stay in &mut seen.stays {
        stay.last_ms = stay.last_ms.min(now + AHEAD_MS);
        stay.first_ms = stay.first_ms.min(stay.last_ms).max(kept_from);
        if stay.location.is_empty() {
            stay.location.clone_from(&app.config.place.location);
        }
    }
}

/// What is kept of a sighting; nothing where attendance is off and no limit needs it.
fn sighting(mut seen: ViewerSeen, attendance: Attendance, limit: u32) -> Option<Sighting> {
    let agent = agent::read(&seen.user_agent);
    match attendance {
        Attendance::Full => {}
        Attendance::Anonymous => {
            seen.address.clear();
            seen.user_agent.clear();
        }
        Attendance::Off if limit == 0 || seen.user.is_empty() => return None,
        Attendance::Off => {
            seen.stays.clear();
            seen.address.clear();
            seen.user_agent.clear();
            return Some(Sighting { seen, browser: String::new(), os: String::new() });
        }
    }
    Some(Sighting { seen, browser: agent.browser.to_owned(), os: agent.os.to_owned() })
}

/// The sessions above the limit, of those that watch, newest first.
fn above(watching: &[ViewerRow], limit: u32) -> Vec<String> {
    watching.iter().skip(limit as usize).map(|row| row.session.clone()).collect()
}
