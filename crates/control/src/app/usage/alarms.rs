//! What needs a look, with the time since when it does.

use anabranch_cluster::state::{Opening, silent, warning};
use anabranch_db::{PageOrder, PageRequest};
use anabranch_model::VerdictState;

use super::Alarm;
use super::overview::FAILED_MS;
use crate::app::{App, Error};
use crate::cluster::Live;
use crate::time;

/// Problems of channels, breakouts and jobs that are shown, and webhooks that are looked at.
const ALARMS_MAX: u32 = 50;

/// Something that needs a look since a time.
fn alarm(at_ms: i64, level: &str, subject: String, words: String) -> Alarm {
    Alarm { at: time::render_ms(at_ms), level: level.to_owned(), subject, words }
}

impl App {
    /// All of them, the newest first.
    pub(super) async fn alarms(&self, now_ms: i64) -> Result<Vec<Alarm>, Error> {
        let mut alarms: Vec<Alarm> = Vec::new();
        for (at, kind, id, words) in self.db.problems(now_ms - FAILED_MS, i64::from(ALARMS_MAX)).await? {
            alarms.push(alarm(at, "error", format!("{kind}/{id}"), words));
        }
        for row in self.db.standing_alarms().await? {
            let words = format!("input {}: {}", row.input, row.kind.as_str().replace('_', " "));
            alarms.push(alarm(row.since, "warning", format!("channel/{}", row.channel), words));
        }
        for node in self.node_list().items.into_iter().filter(|node| matches!(node.state.as_str(), "silent" | "lost")) {
            let at = node.seen_at.unwrap_or_else(|| time::render_ms(now_ms));
            let level = if node.state == "lost" { "error" } else { "warning" };
            let words = format!("{} {} is {}", node.role, node.name, node.state);
            alarms.push(Alarm { at, level: level.to_owned(), subject: format!("node/{}", node.name), words });
        }
        alarms.extend(self.clusters.each(|live| of_cluster(live, now_ms)).into_iter().flatten());
        alarms.extend(self.webhook_alarms().await?);
        alarms.sort_by(|a, b| b.at.cmp(&a.at));
        Ok(alarms)
    }

    /// Webhooks that do not get what happens, since the last time that they did.
    async fn webhook_alarms(&self) -> Result<Vec<Alarm>, Error> {
        let page = PageRequest { limit: ALARMS_MAX, after: None, order: PageOrder::OldestFirst };
        let rows = self.db.webhook_page(&page).await?.items;
        let failing = rows.into_iter().filter_map(|row| {
            let problem = row.problem.as_deref()?;
            let (level, is) = if row.enabled { ("warning", "fails") } else { ("error", "is disabled") };
            let since = row.delivered_at.unwrap_or(row.created_at);
            Some(alarm(since, level, format!("webhook/{}", row.id), format!("{} {is}: {problem}", row.url)))
        });
        Ok(failing.collect())
    }
}

/// Regions that are stale or not open, and watchers that have fallen silent.
fn of_cluster(live: &Live, now_ms: i64) -> Vec<Alarm> {
    let cluster = live.cluster();
    let subject = || format!("cluster/{}", cluster.id);
    let openings = live.openings(now_ms);
    let mut alarms = Vec::new();
    for region in &cluster.regions {
        let judged = live.judge(&region.name, now_ms);
        if judged.state == VerdictState::Stale {
            let words = format!("{}: region {} is stale", cluster.name, region.name);
            alarms.push(alarm(judged.since_ms, "error", subject(), words));
        }
        if let Some(is) = openings.get(&region.name).filter(|is| is.opening != Opening::Open) {
            let by = is.ground.as_str();
            let words =
                format!("{}: region {} is {} by {by}: {}", cluster.name, region.name, is.opening.as_str(), is.why);
            alarms.push(alarm(is.since_ms, "warning", subject(), words));
        }
    }
    if let Some(words) = warning(&openings) {
        let since = openings.values().map(|is| is.since_ms).max().unwrap_or(now_ms);
        alarms.push(alarm(since, "error", subject(), format!("{}: {words}", cluster.name)));
    }
    for watcher in silent(cluster, &live.votes, now_ms) {
        let heard = live.votes.iter().filter(|(_, by, _)| *by == watcher).map(|(.., vote)| vote.heard_ms).max();
        let words = format!("{}: watcher {watcher} is silent", cluster.name);
        alarms.push(alarm(heard.unwrap_or(now_ms), "warning", subject(), words));
    }
    alarms
}
