//! What goes on at one look, who watched, and the configuration in force.

use std::collections::BTreeMap;

use anabranch_db::{UsageFilter, Watched};
use anabranch_model::Quality as Told;

use super::query::peaks;
use super::span::{Span, attendance_step};
use super::{Analytics, AnalyticsQuery, Bitrate, CountAt, NamedCount, Overview, Percentiles, Quality, Settings};
use crate::app::{App, Error};
use crate::billing::Audience;
use crate::time;

/// Over how many whole minutes rates are means.
const RATE_MINUTES: i64 = 3;

/// Silence after which a viewer does not watch any more, in milliseconds.
const WATCHING_MS: i64 = 60_000;

/// For how long a job that has failed is shown, in milliseconds.
pub(super) const FAILED_MS: i64 = 86_400_000;

/// Names shown of each kind; the rest is `other`.
const NAMES_MAX: usize = 20;

impl App {
    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        let now_ms = self.clock.now_ms();
        let mut overview = Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.began.elapsed().as_secs(),
            viewers_now: self.db.viewers_now(now_ms - WATCHING_MS).await?,
            ..Overview::default()
        };
        for (kind, state, number) in self.db.state_counts(now_ms - FAILED_MS).await? {
            let place = match (kind.as_str(), state.as_str()) {
                ("channel", "problem") => &mut overview.channels.failed,
                ("channel", "RUNNING") => &mut overview.channels.running,
                ("channel", _) => &mut overview.channels.idle,
                ("breakout", "problem") => &mut overview.breakouts.failed,
                ("breakout", "RUNNING") => &mut overview.breakouts.live,
                ("breakout", "STARTING") => &mut overview.breakouts.starting,
                ("job", "QUEUED") => &mut overview.jobs.queued,
                ("job", "RUNNING") => &mut overview.jobs.running,
                ("job", "FAILED") => &mut overview.jobs.failed,
                _ => continue,
            };
            *place += number;
        }
        self.rates(&mut overview, now_ms).await?;
        for node in self.node_list().items {
            let place =
                if node.state == "connected" { &mut overview.nodes.connected } else { &mut overview.nodes.lost };
            // Who has left has said so.
            *place += u64::from(node.state != "left");
        }
        let kept = self.db.subjects("", 0, i64::MAX).await?;
        let kept = kept.iter().filter(|row| row.kept_until.is_none());
        overview.storage_bytes = kept.fold(0, |sum, row| sum.saturating_add(row.bytes).saturating_add(row.mp4_bytes));
        overview.alarms = self.alarms(now_ms).await?;
        Ok(overview)
    }

    /// Means over the last whole minutes; the present one is not told of in full yet.
    async fn rates(&self, overview: &mut Overview, now_ms: i64) -> Result<(), Error> {
        let to = now_ms.div_euclid(60_000) * 60;
        let filter = UsageFilter { from: to - RATE_MINUTES * 60, to: to + 60, ..UsageFilter::default() };
        let mut sum = anabranch_db::DeliveredCounts::default();
        for row in self.db.usage_delivered(&filter).await? {
            sum.absorb(&row.counts);
        }
        let seconds = (now_ms.div_euclid(1000) - filter.from).max(1).unsigned_abs();
        #[expect(clippy::cast_precision_loss, reason = "rates and ratios need no more than 53 bits")]
        {
            overview.bytes_per_second = sum.bytes / seconds;
            overview.requests_per_second = sum.requests as f64 / seconds as f64;
            overview.errors_per_second = sum.statuses[4] as f64 / seconds as f64;
            let asked = sum.hits + sum.misses;
            overview.cache_hit_ratio = (asked > 0).then(|| sum.hits as f64 / asked as f64);
        }
        Ok(())
    }

    pub(crate) async fn analytics(&self, query: &AnalyticsQuery) -> Result<Analytics, Error> {
        let now_ms = self.clock.now_ms();
        let span = Span::of(query.from.as_deref(), query.to.as_deref(), 30 * 86_400, now_ms)?;
        let breakout = match &query.breakout {
            Some(breakout) => self.subject_named(breakout).await?,
            None => String::new(),
        };
        let asset = match &query.asset {
            Some(asset) => self.db.asset_find(asset).await?.id.to_string(),
            None => String::new(),
        };
        // Attendance is of live streams.
        let watched =
            if asset.is_empty() { self.db.watched(&breakout, span.ms().0, span.ms().1).await? } else { Vec::new() };
        let step = attendance_step(span)?;
        let span = Span { from: span.from.div_euclid(step) * step, ..span };
        let audience = Audience::of(&watched, span.ms().0, span.ms().1);
        let filter = UsageFilter { from: span.from, to: span.to, breakout, asset, distribution: String::new() };
        let mut locations: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.db.usage_delivered(&filter).await? {
            *locations.entry(row.place.location).or_default() += row.counts.requests;
        }
        let mut joins = vec![0_u64; peaks(&[], span, step).len()];
        for one in &watched {
            let at = usize::try_from((one.entered_at.div_euclid(1000) - span.from).div_euclid(step));
            if let Some(count) = at.ok().and_then(|at| joins.get_mut(at)) {
                *count += 1;
            }
        }
        let course = |counts: Vec<u64>| -> Vec<CountAt> {
            let at = |at: usize| time::render_seconds(span.from + i64::try_from(at).unwrap_or(0) * step);
            counts.into_iter().enumerate().map(|(number, count)| CountAt { at: at(number), count }).collect()
        };
        let by = |of: fn(&Watched) -> String| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            watched.iter().for_each(|one| *counts.entry(of(one)).or_default() += 1);
            named(counts)
        };
        Ok(Analytics {
            from: time::render_seconds(span.from),
            to: time::render_seconds(span.to),
            viewers: audience.viewers,
            sessions: audience.sessions,
            viewer_minutes: audience.watched_ms.div_ceil(60_000),
            peak_viewers: audience.peak,
            step: u32::try_from(step).unwrap_or(u32::MAX),
            joins: course(joins),
            concurrent: course(peaks(&watched, span, step)),
            platforms: by(|one| platform(&one.os).to_owned()),
            browsers: by(|one| known(&one.browser)),
            systems: by(|one| known(&one.os)),
            locations: named(locations),
            quality: quality(&self.db.usage_quality(&filter).await?),
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        let tree = &self.config.settings;
        let sources = tree.sources.iter().map(|(key, source)| (key.clone(), source.clone().into())).collect();
        Settings {
            settings: tree.settings.clone(),
            sources: serde_json::Value::Object(sources),
            file: tree.file.clone(),
        }
    }
}

fn known(name: &str) -> String {
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

/// Kind of device by its operating system.
fn platform(os: &str) -> &'static str {
    match os {
        "Android" | "iOS" | "iPadOS" => "mobile",
        "Windows" | "macOS" | "Linux" | "ChromeOS" => "desktop",
        "" => "unknown",
        _ => "other",
    }
}

/// The most frequent names, and the others together.
fn named(counts: BTreeMap<String, u64>) -> Vec<NamedCount> {
    let mut all: Vec<_> = counts.into_iter().map(|(name, count)| NamedCount { name, count }).collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    if all.len() > NAMES_MAX {
        let rest = all.split_off(NAMES_MAX).iter().map(|one| one.count).sum();
        all.push(NamedCount { name: "other".to_owned(), count: rest });
    }
    all
}

fn quality(rows: &[Told]) -> Quality {
    let mut sum = Told::default();
    rows.iter().for_each(|row| sum.absorb(row));
    let percentiles = |histogram: &anabranch_model::Histogram| {
        Some(Percentiles { p50: histogram.percentile(50)?, p95: histogram.percentile(95)? })
    };
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    let rebuffer_ratio = (sum.watched_ms > 0).then(|| (sum.stalled_ms as f64 / sum.watched_ms as f64).min(1.0));
    Quality {
        sessions: sum.sessions,
        startup_ms: percentiles(&sum.startup_ms),
        rebuffer_ratio,
        rebuffer_count: sum.stalls,
        bitrate_kbps: sum
            .bitrate_kbps
            .mean()
            .zip(sum.bitrate_kbps.percentile(50))
            .map(|(mean, p50)| Bitrate { mean, p50 }),
        buffer_starved: sum.starved,
        buffer_ms: percentiles(&sum.buffer_ms),
        throughput_kbps: percentiles(&sum.throughput_kbps),
    }
}
