//! Nodes: the snapshot that they wait for, the reports that they send, and what operators see of both.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_db::Taken;
use anabranch_model::{
    Acknowledged, CLAIM_MAX_CHARS, InstanceId, NodeName, POLL_SECONDS, QUALITY_MAX, Quality, RENDITION_MAX_BYTES,
    REPORT_ROWS_MAX, Report, ReportBatch, STAYS_MAX, SnapshotQuery, Traffic, USER_AGENT_MAX_CHARS, VIEWERS_MAX,
    ViewerSeen,
};
use axum::body::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::view::List;
use super::{App, Error};
use crate::nodes::{Arrival, Refused};
use crate::time;

/// Roles that nodes of their own may have.
const ROLES: [&str; 1] = ["edge"];

/// Reports of a batch at most.
const REPORTS_MAX: usize = 64;

/// Bytes of a location or a path pattern at most.
const TEXT_MAX_BYTES: usize = 256;

/// Bytes of a viewer's address at most: the longest text of an IPv6 address with its zone.
const ADDRESS_MAX_BYTES: usize = 64;

/// Largest count and version that a node may tell: what JSON readers hold exactly.
const COUNT_MAX: u64 = 1 << 53;

/// Breakouts shown with a distribution's traffic: those with the most requests.
const BREAKOUTS_SHOWN: usize = 1000;

/// A node of the data plane.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Node {
    /// Name.
    pub(crate) name: String,
    /// Role.
    #[schema(example = "edge")]
    pub(crate) role: String,
    /// Where it stands, in the operator's words.
    pub(crate) location: String,
    /// Price class of that location; null for nodes of the control plane's own process.
    pub(crate) location_class: Option<String>,
    /// Whether it is heard: `silent` when it has not asked for five seconds. Changes wait for silent nodes, not for those that
    /// have left or are lost.
    #[schema(example = "connected", pattern = "^(connected|silent|lost|left)$")]
    pub(crate) state: String,
    /// Snapshot version that it acts by.
    pub(crate) version: u64,
    /// The newest snapshot version.
    pub(crate) newest_version: u64,
    /// RFC 3339; null for nodes of the control plane's own process.
    pub(crate) seen_at: Option<String>,
}

/// What a distribution has delivered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DistributionTraffic {
    /// The distribution.
    pub(crate) distribution: String,
    /// Everything since it was made.
    pub(crate) totals: Counts,
    /// The same by path pattern of the behavior.
    pub(crate) behaviors: Vec<BehaviorTraffic>,
    /// The same by breakout, as far as paths belong to one; the busiest first.
    pub(crate) breakouts: Vec<BreakoutTraffic>,
}

/// What a behavior has delivered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BehaviorTraffic {
    /// Path pattern; empty where it is not known.
    pub(crate) behavior: String,
    /// What was delivered.
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// What was delivered of a breakout.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakoutTraffic {
    /// The breakout, which may be deleted by now.
    pub(crate) breakout: String,
    /// What was delivered.
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// Counts of answers to viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Bytes sent, heads and bodies.
    pub(crate) bytes: u64,
    /// Answers by status class.
    pub(crate) statuses: Statuses,
    /// Answers from the cache without a word to the origin.
    pub(crate) hits: u64,
    /// Answers for which something was asked of the origin.
    pub(crate) misses: u64,
    /// Share of hits in hits and misses, 0 to 1; null where there is neither.
    pub(crate) hit_ratio: Option<f64>,
}

/// Answers by status class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Statuses {
    /// 100 to 199.
    #[serde(rename = "1xx")]
    pub(crate) informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub(crate) successful: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub(crate) redirection: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    pub(crate) client_error: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub(crate) server_error: u64,
}

impl From<&Traffic> for Counts {
    fn from(traffic: &Traffic) -> Self {
        let [informational, successful, redirection, client_error, server_error] = traffic.statuses;
        let asked = traffic.hits.saturating_add(traffic.misses);
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
        let hit_ratio = (asked > 0).then(|| traffic.hits as f64 / asked as f64);
        Self {
            requests: traffic.requests,
            bytes: traffic.bytes,
            statuses: Statuses { informational, successful, redirection, client_error, server_error },
            hits: traffic.hits,
            misses: traffic.misses,
            hit_ratio,
        }
    }
}

impl App {
    /// The newest snapshot once it is news for the node; nothing when there is none in time. Asking confirms the version that
    /// the node names, so a node that has just come is waited for.
    pub(crate) async fn node_snapshot(&self, query: &SnapshotQuery) -> Result<Option<Bytes>, Error> {
        check_query(query)?;
        if !self.nodes.knows(&query.node) && self.observed.waits_for(&query.role, query.node.as_str()) {
            // A node of this process has the name, such as "local".
            return Err(Refused::NameInUse.into());
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(POLL_SECONDS);
        let mut snapshots = self.nodes.snapshots.subscribe();
        let newest = snapshots.borrow_and_update().version;
        let ours = query.plane.as_ref() == Some(&self.nodes.plane);
        if ours && query.after > newest {
            // A backup was put in place: what it says must become newer than what nodes have.
            tracing::warn!(
                node.name = %query.node, node.version = query.after, snapshot.version = newest,
                "a node has a newer snapshot than the database, which was evidently restored; the version is raised"
            );
            self.db.snapshot_raise(query.after).await?;
            self.changed();
        }
        let applied = if ours && query.after <= newest { query.after } else { 0 };
        let Arrival { held: _held, write, news } = self.nodes.arrive(query, applied)?;
        self.observed.take(Report::Applied {
            role: query.role.clone(),
            node: query.node.to_string(),
            version: applied,
        });
        if news {
            self.changed();
        }
        if let Some(row) = write {
            self.db.node_put(&row, self.clock.now_ms()).await?;
            self.nodes.written(&row);
        }
        let moved = query.origin.as_ref() != self.nodes.origin.get();
        loop {
            let newest = snapshots.borrow_and_update().clone();
            if newest.version > query.after || !ours || moved {
                return self.nodes.briefing(&newest).map(Some).map_err(Error::Encode);
            }
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return Ok(None) },
                () = self.nodes.stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(deadline) => return Ok(None),
            }
        }
    }

    /// Counts a batch, unless it was counted before.
    pub(crate) async fn node_reports(&self, batch: &ReportBatch) -> Result<Acknowledged, Error> {
        let Batch { traffic, mut viewers, quality } = check_batch(batch)?;
        self.nodes.heard(&batch.node);
        let now_ms = self.clock.now_ms();
        let (counted, place) = ((&traffic[..], &quality[..]), self.nodes.place(&batch.node));
        let taken = self.db.batch_take(&batch.node, &batch.spool, batch.sequence, counted, &place, now_ms).await?;
        let outcome = match taken {
            Taken::Counted => "counted",
            Taken::Repeated => "repeated",
        };
        if taken == Taken::Counted && !viewers.is_empty() {
            for stay in viewers.iter_mut().flat_map(|seen| &mut seen.stays) {
                stay.location.clone_from(&place.location);
            }
            // They wait for the next look, within a second: a look for each batch of each node would be too many.
            self.observed.take(Report::Viewers(viewers));
        }
        metrics::counter!("anabranch_control_report_batches_total", "outcome" => outcome).increment(1);
        tracing::debug!(node.name = %batch.node, spool.id = %batch.spool, batch.sequence, outcome, "report batch");
        Ok(Acknowledged { acknowledged: batch.sequence })
    }

    /// Notes a node's goodbye: nothing waits for it any more. Says nothing of nodes that are not known.
    pub(crate) async fn node_leave(&self, name: &NodeName, instance: &InstanceId) -> Result<(), Error> {
        let Some(row) = self.nodes.leave(name, instance) else { return Ok(()) };
        self.observed.gone(&row.role, row.name.as_str());
        self.changed();
        self.db.node_put(&row, self.clock.now_ms()).await?;
        self.nodes.written(&row);
        Ok(())
    }

    pub(crate) fn node_list(&self) -> List<Node> {
        let newest_version = self.nodes.snapshots.borrow().version;
        let seen = self.nodes.list();
        let remote =
            |role: &str, name: &str| seen.iter().any(|node| node.row.role == role && node.row.name.as_str() == name);
        let own = self.observed.nodes().into_iter().filter(|(role, name, _)| !remote(role, name)).map(
            |(role, name, version)| Node {
                name,
                role,
                location: String::new(),
                location_class: None,
                state: "connected".to_owned(),
                version,
                newest_version,
                seen_at: None,
            },
        );
        let mut items: Vec<Node> = own.collect();
        items.extend(seen.iter().map(|node| Node {
            name: node.row.name.to_string(),
            role: node.row.role.clone(),
            location: node.row.location.clone(),
            location_class: Some(node.row.location_class.clone()),
            state: node.state.to_owned(),
            version: node.row.version,
            newest_version,
            seen_at: Some(time::render_ms(node.row.seen_at)),
        }));
        List { items, next: None }
    }

    pub(crate) async fn node_forget(&self, wanted: &str) -> Result<(), Error> {
        let missing = || anabranch_db::Error::NotFound { subject: "node", wanted: wanted.to_owned() };
        match self.nodes.forget(wanted).ok_or_else(missing)? {
            Err(()) => {
                let remedy = "it is connected; stop it first".to_owned();
                Err(anabranch_db::Error::InUse { subject: "node", name: wanted.to_owned(), remedy }.into())
            }
            Ok(row) => {
                self.observed.gone(&row.role, row.name.as_str());
                self.changed();
                Ok(self.db.node_delete(wanted, self.clock.now_ms()).await?)
            }
        }
    }

    pub(crate) async fn distribution_traffic(&self, wanted: &str) -> Result<DistributionTraffic, Error> {
        let row = self.db.distribution_find(wanted).await?;
        let mut rows = self.db.traffic_of(&row.id).await?;
        rows.extend(self.observed.traffic_of(&row.id));
        rows.iter_mut().for_each(|one| (one.asset, one.minute) = (None, 0));
        let mut totals = Traffic::none(row.id.clone());
        let mut behaviors: BTreeMap<String, Traffic> = BTreeMap::new();
        let mut breakouts: BTreeMap<String, Traffic> = BTreeMap::new();
        for one in &rows {
            totals.absorb(one);
            let none = || Traffic::none(row.id.clone());
            behaviors.entry(one.behavior.clone()).or_insert_with(none).absorb(one);
            if let Some(breakout) = &one.breakout {
                breakouts.entry(breakout.to_string()).or_insert_with(none).absorb(one);
            }
        }
        // Rows by behavior are younger than the distribution's own counts.
        let (requests, bytes) = self.observed.traffic(&row.id);
        totals.requests = totals.requests.max(row.requests_total.saturating_add(requests));
        totals.bytes = totals.bytes.max(row.bytes_total.saturating_add(bytes));
        let behaviors = behaviors
            .into_iter()
            .map(|(behavior, traffic)| BehaviorTraffic { behavior, counts: Counts::from(&traffic) })
            .collect();
        let mut breakouts: Vec<_> = breakouts
            .into_iter()
            .map(|(breakout, traffic)| BreakoutTraffic { breakout, counts: Counts::from(&traffic) })
            .collect();
        breakouts.sort_by_key(|one| std::cmp::Reverse(one.counts.requests));
        breakouts.truncate(BREAKOUTS_SHOWN);
        Ok(DistributionTraffic { distribution: row.id.into(), totals: Counts::from(&totals), behaviors, breakouts })
    }

    /// Waits no longer for nodes that are lost, and writes what rows have to hear. Repeating it changes nothing.
    pub(crate) async fn nodes_look(&self) -> Result<(), anabranch_db::Error> {
        for row in self.nodes.lose() {
            self.observed.gone(&row.role, row.name.as_str());
        }
        self.observed.fall_silent(self.nodes.silent());
        for name in self.nodes.expire() {
            self.db.node_delete(name.as_str(), self.clock.now_ms()).await?;
        }
        self.nodes_write(&self.nodes.unwritten()).await
    }

    /// Writes every row, at the end.
    pub(crate) async fn nodes_close(&self) -> Result<(), anabranch_db::Error> {
        self.nodes_write(&self.nodes.rows()).await
    }

    async fn nodes_write(&self, rows: &[anabranch_db::NodeRow]) -> Result<(), anabranch_db::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        self.db.nodes_put(rows, self.clock.now_ms()).await?;
        rows.iter().for_each(|row| self.nodes.written(row));
        Ok(())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NameInUse | Refused::TooMany => Self::NodeRefused(refused),
            Refused::Busy => Self::Busy(refused.to_string()),
        }
    }
}

fn check_query(query: &SnapshotQuery) -> Result<(), Error> {
    if !ROLES.contains(&query.role.as_str()) {
        return Err(Error::invalid("role", format!("a node of its own is an edge: {:?}", query.role)));
    }
    if query.location.len() > TEXT_MAX_BYTES || query.location.chars().any(char::is_control) {
        return Err(Error::invalid("location", format!("a location has at most {TEXT_MAX_BYTES} printable bytes")));
    }
    if query.after > COUNT_MAX {
        return Err(Error::invalid("after", format!("no snapshot has this version: {}", query.after)));
    }
    Ok(())
}

/// What a batch holds.
struct Batch {
    traffic: Vec<Traffic>,
    viewers: Vec<ViewerSeen>,
    quality: Vec<Quality>,
}

/// All that a batch holds, within its limits.
fn check_batch(batch: &ReportBatch) -> Result<Batch, Error> {
    if batch.sequence == 0 || batch.sequence > COUNT_MAX {
        return Err(Error::invalid("sequence", format!("batches are numbered from 1: {}", batch.sequence)));
    }
    if batch.reports.len() > REPORTS_MAX {
        return Err(Error::invalid("reports", format!("a batch has at most {REPORTS_MAX} reports")));
    }
    let (mut traffic, mut viewers, mut quality) = (Vec::new(), Vec::new(), Vec::new());
    for report in &batch.reports {
        match report {
            Report::Traffic(rows) => traffic.extend_from_slice(rows),
            Report::Viewers(rows) => viewers.extend_from_slice(rows),
            Report::Quality(rows) => quality.extend_from_slice(rows),
            _ => return Err(Error::invalid("reports", "a batch holds reports of traffic, viewers and quality only")),
        }
    }
    if traffic.len() > REPORT_ROWS_MAX || viewers.len() > VIEWERS_MAX || quality.len() > QUALITY_MAX {
        return Err(Error::invalid("reports", format!("a batch has at most {REPORT_ROWS_MAX} rows")));
    }
    for one in &traffic {
        if one.behavior.len() > TEXT_MAX_BYTES {
            return Err(Error::invalid("reports", format!("a path pattern has at most {TEXT_MAX_BYTES} bytes")));
        }
        if one.rendition.len() > RENDITION_MAX_BYTES || one.rendition.chars().any(char::is_control) {
            return Err(Error::invalid(
                "reports",
                format!("a rendition has at most {RENDITION_MAX_BYTES} printable bytes"),
            ));
        }
        if !(0..=i64::MAX / 1_000_000).contains(&one.minute) {
            return Err(Error::invalid("reports", "a minute is a Unix time in seconds"));
        }
        if one.counts().any(|count| count > COUNT_MAX) {
            return Err(Error::invalid("reports", format!("a count is at most {COUNT_MAX}")));
        }
    }
    viewers.iter().try_for_each(check_viewer)?;
    let told = |one: &Quality| one.is_within(COUNT_MAX) && (0..=i64::MAX / 1_000_000).contains(&one.at);
    if !quality.iter().all(told) {
        return Err(Error::invalid("reports", "counts of quality are too large or have no time"));
    }
    Ok(Batch { traffic, viewers, quality })
}

fn check_viewer(seen: &ViewerSeen) -> Result<(), Error> {
    let longer = |text: &str, most: usize| text.chars().nth(most).is_some();
    if seen.session.is_empty() || longer(&seen.session, CLAIM_MAX_CHARS) || longer(&seen.user, CLAIM_MAX_CHARS) {
        return Err(Error::invalid("reports", format!("a session or user has at most {CLAIM_MAX_CHARS} characters")));
    }
    if longer(&seen.user_agent, USER_AGENT_MAX_CHARS) || seen.address.len() > ADDRESS_MAX_BYTES {
        return Err(Error::invalid("reports", "a user agent or address is too long"));
    }
    let times = 0..=i64::try_from(COUNT_MAX).unwrap_or(i64::MAX);
    if !times.contains(&seen.first_ms) || !times.contains(&seen.last_ms) || seen.first_ms > seen.last_ms {
        return Err(Error::invalid("reports", "a viewer is seen first and then last"));
    }
    if seen.stays.len() > 2 * STAYS_MAX {
        return Err(Error::invalid("reports", format!("a viewer has at most {} stays", 2 * STAYS_MAX)));
    }
    for stay in &seen.stays {
        if stay.rendition.len() > RENDITION_MAX_BYTES || stay.rendition.chars().any(char::is_control) {
            let detail = format!("a rendition has at most {RENDITION_MAX_BYTES} printable bytes");
            return Err(Error::invalid("reports", detail));
        }
        if !times.contains(&stay.first_ms) || !times.contains(&stay.last_ms) || stay.first_ms > stay.last_ms {
            return Err(Error::invalid("reports", "a stay begins first and then ends"));
        }
    }
    if seen.bytes > COUNT_MAX {
        return Err(Error::invalid("reports", format!("a count is at most {COUNT_MAX}")));
    }
    Ok(())
}
