//! Usage and its course, by what the caller asks.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_db::{Delivered, SubjectRow, UsageFilter, Watched};

use super::presence::Attended;
use super::span::{DAY_SECONDS, Span, step};
use super::whose::Whose;
use super::{SeriesQuery, Usage, UsageBy, UsageCounts, UsageItem, UsagePoint, UsageQuery, UsageSeries};
use crate::app::{App, Error};
use crate::billing::{Audience, byte_hours};
use crate::time;

/// Time that is meant when none is asked for, in seconds.
const MONTH_SECONDS: i64 = 30 * 86_400;

impl App {
    pub(crate) async fn usage(&self, query: &UsageQuery) -> Result<Usage, Error> {
        let now_ms = self.clock.now_ms();
        let (from, to) = (query.from.as_deref(), query.to.as_deref());
        let span = match Span::month(query.month.as_deref(), from, to)? {
            Some(month) => month,
            None => Span::of(from, to, MONTH_SECONDS, now_ms)?,
        };
        let wanted = [&query.breakout, &query.distribution, &query.event, &query.account].map(Option::as_deref);
        let whose = self.whose(wanted).await?;
        let (from_ms, to_ms) = span.ms();
        let subjects = self.db.subjects(&whose.breakout, from_ms, to_ms).await?;
        let watched = self.db.watched(&whose.breakout, from_ms, to_ms).await?;
        let delivered = self.db.usage_delivered(&whose.filter(span)).await?;
        let names = self.db.names().await?;
        let sums = Sums { by: query.by, span, now_ms, whose: &whose, names: &names };
        let attended = self.attended(query.by, &whose, span, &subjects).await?;
        let (items, total) = sums.of(&delivered, &subjects, &watched, attended);
        let rendered = |seconds| time::render_seconds(seconds);
        Ok(Usage { from: rendered(span.from), to: rendered(span.to), by: query.by, items, total })
    }

    pub(crate) async fn usage_series(&self, query: &SeriesQuery) -> Result<UsageSeries, Error> {
        let now_ms = self.clock.now_ms();
        let span = Span::of(query.from.as_deref(), query.to.as_deref(), DAY_SECONDS, now_ms)?;
        let step = step(query.step, span)?;
        let wanted = [&query.breakout, &query.distribution, &query.event, &query.account].map(Option::as_deref);
        let whose = self.whose(wanted).await?;
        let from = span.from.div_euclid(step) * step;
        let mut sums: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        let aligned = Span { from, to: span.to };
        let chosen = self.chosen(&whose, aligned).await?;
        let watched = self.watched_by(&whose, &chosen, aligned).await?;
        let breakouts = if whose.is_choosy() { chosen } else { BTreeSet::from([whose.breakout.clone()]) };
        for breakout in breakouts {
            for at in self.db.usage_course(&UsageFilter { breakout, ..whose.filter(aligned) }, step).await? {
                let sum = sums.entry(at.at).or_default();
                *sum = (sum.0.saturating_add(at.counts.bytes), sum.1.saturating_add(at.counts.requests));
            }
        }
        let peaks = peaks(&watched, aligned, step);
        let kept_from = self.attendance_kept_from(now_ms);
        let point = |number: i64| {
            let at = from + number * step;
            let (bytes, requests) = sums.get(&at).copied().unwrap_or_default();
            let viewers = usize::try_from(number).ok().and_then(|number| peaks.get(number).copied());
            let viewers = viewers.filter(|_| at >= kept_from);
            UsagePoint { at: time::render_seconds(at), bytes, requests, viewers }
        };
        let items: Vec<_> = (0..(span.to - from + step - 1) / step).map(point).collect();
        let viewers_missing = if items.iter().any(|point| point.viewers.is_none()) {
            Some(format!("viewer sessions that ended before {} are forgotten", time::render_seconds(kept_from)))
        } else {
            None
        };
        Ok(UsageSeries {
            step: u32::try_from(step).unwrap_or(u32::MAX),
            from: time::render_seconds(from),
            to: time::render_seconds(span.to),
            viewers_missing,
            items,
        })
    }

    /// Viewer sessions of what is chosen.
    async fn watched_by(&self, whose: &Whose, chosen: &BTreeSet<String>, span: Span) -> Result<Vec<Watched>, Error> {
        let is_chosen = |breakout: &String| !whose.is_choosy() || chosen.contains(breakout);
        if !whose.distribution.is_empty() {
            return self.watched_there(&whose.filter(span), is_chosen).await;
        }
        let (from_ms, to_ms) = span.ms();
        let mut watched = self.db.watched(&whose.breakout, from_ms, to_ms).await?;
        watched.retain(|one| is_chosen(&one.breakout));
        Ok(watched)
    }

    /// Unix seconds since when every viewer session is kept.
    fn attendance_kept_from(&self, now_ms: i64) -> i64 {
        let keep = i64::try_from(self.config.viewers_keep.as_secs()).unwrap_or(i64::MAX);
        now_ms.div_euclid(1000).saturating_sub(keep)
    }

    /// Breakouts of an event or account.
    async fn chosen(&self, whose: &Whose, span: Span) -> Result<BTreeSet<String>, Error> {
        if !whose.is_choosy() {
            return Ok(BTreeSet::new());
        }
        let (from_ms, to_ms) = span.ms();
        let rows = self.db.subjects(&whose.breakout, from_ms, to_ms).await?;
        Ok(rows.into_iter().filter(|row| whose.takes(row)).map(|row| row.subject).collect())
    }
}

/// Most viewers at one moment of each stretch.
pub(super) fn peaks(watched: &[Watched], span: Span, step: i64) -> Vec<u64> {
    let count = usize::try_from((span.to - span.from + step - 1) / step).unwrap_or(0);
    let mut changes: Vec<(i64, i64)> = Vec::with_capacity(watched.len() * 2);
    for one in watched {
        changes.extend([(one.entered_at.div_euclid(1000), 1), (one.left_at.div_euclid(1000), -1)]);
    }
    changes.sort_unstable_by_key(|(at, change)| (*at, -change));
    let mut changes = changes.into_iter().peekable();
    let mut present = 0_i64;
    let mut peaks = Vec::with_capacity(count);
    for number in 0..count {
        let end = span.from + (i64::try_from(number).unwrap_or(0) + 1) * step;
        while let Some((_, change)) = changes.next_if(|(at, _)| *at < span.from && number == 0) {
            present += change;
        }
        let mut peak = present;
        while let Some((_, change)) = changes.next_if(|(at, _)| *at < end) {
            present += change;
            peak = peak.max(present);
        }
        peaks.push(u64::try_from(peak).unwrap_or(0));
    }
    peaks
}

/// How usage is summed.
struct Sums<'a> {
    by: UsageBy,
    span: Span,
    now_ms: i64,
    whose: &'a Whose,
    names: &'a BTreeMap<String, String>,
}

impl Sums<'_> {
    fn of(
        &self,
        delivered: &[Delivered],
        subjects: &[SubjectRow],
        watched: &[Watched],
        attended: Option<Attended>,
    ) -> (Vec<UsageItem>, UsageCounts) {
        let mut items: BTreeMap<String, UsageItem> = BTreeMap::new();
        let mut total = UsageCounts::default();
        let owners: BTreeMap<&str, &SubjectRow> = subjects.iter().map(|row| (row.subject.as_str(), row)).collect();
        for row in delivered {
            let subject = if row.breakout.is_empty() { &row.asset } else { &row.breakout };
            let owner = owners.get(subject.as_str()).copied();
            if self.whose.is_choosy() && !owner.is_some_and(|owner| self.whose.takes(owner)) {
                continue;
            }
            let Some(key) = self.key_of(row, owner) else { continue };
            let item = self.item(&mut items, key, owner);
            for counts in [&mut item.counts, &mut total] {
                counts.bytes += row.counts.bytes;
                counts.requests += row.counts.requests;
                counts.hits += row.counts.hits;
                counts.misses += row.counts.misses;
                counts.errors += row.counts.statuses[3] + row.counts.statuses[4];
            }
        }
        // What else is known of breakouts and assets belongs to no distribution, rendition or place.
        match attended {
            Some(attended) => {
                total.attended(attended.total);
                for (key, presence) in attended.items {
                    let owner = owners.get(key.as_str()).copied();
                    self.item(&mut items, key, owner).counts.attended(presence);
                }
            }
            None if self.whose.distribution.is_empty() => self.subjects(subjects, watched, &mut items, &mut total),
            None => {}
        }
        let mut items: Vec<_> = items.into_values().collect();
        items.sort_by(|a, b| b.counts.bytes.cmp(&a.counts.bytes).then_with(|| a.key.cmp(&b.key)));
        (items, total)
    }

    fn subjects(
        &self,
        subjects: &[SubjectRow],
        watched: &[Watched],
        items: &mut BTreeMap<String, UsageItem>,
        total: &mut UsageCounts,
    ) {
        let (from_ms, to_ms) = self.span.ms();
        let to_ms = to_ms.min(self.now_ms);
        let mut by_breakout: BTreeMap<&str, Vec<Watched>> = BTreeMap::new();
        for one in watched {
            by_breakout.entry(one.breakout.as_str()).or_default().push(one.clone());
        }
        for row in subjects.iter().filter(|row| self.whose.takes(row)) {
            let Some(key) = self.key_of_subject(row) else { continue };
            let on_air = row.ended_at.unwrap_or(self.now_ms).min(to_ms) - row.started_at.max(from_ms);
            let begins_here = (from_ms..to_ms).contains(&row.started_at);
            let converted_here = row.converted_at.is_some_and(|at| (from_ms..to_ms).contains(&at));
            let breakout = row.kind == "breakout";
            let sessions = by_breakout.get(row.subject.as_str()).map_or(&[][..], Vec::as_slice);
            let until = row.ended_at.map_or(to_ms, |ended| (ended + 60_000).min(to_ms));
            let audience = Audience::of(sessions, row.started_at.max(from_ms), until);
            // Of viewers that are forgotten the sums are kept.
            let whole =
                begins_here && row.ended_at.is_some_and(|ended| ended < to_ms) && row.viewers > audience.sessions;
            let (viewers, watched_ms, peak) = if whole {
                (row.viewers, row.viewer_ms, row.peak_viewers)
            } else {
                (audience.sessions, audience.watched_ms, audience.peak)
            };
            let item = self.item(items, key, Some(row));
            for counts in [&mut item.counts, total] {
                if breakout {
                    counts.stream_seconds += u64::try_from(on_air).unwrap_or(0) / 1000;
                    counts.ingest_bytes += if begins_here { row.bytes } else { 0 };
                    counts.viewers += viewers;
                    counts.viewer_minutes += watched_ms.div_ceil(60_000);
                    counts.peak_viewers = counts.peak_viewers.max(peak);
                }
                if converted_here {
                    counts.conversion_seconds += row.duration_ms / 1000 * row.renditions.max(1) * row.conversions;
                }
                counts.storage_byte_hours = counts.storage_byte_hours.saturating_add(byte_hours(row, from_ms, to_ms));
            }
        }
    }

    fn item<'i>(
        &self,
        items: &'i mut BTreeMap<String, UsageItem>,
        key: String,
        owner: Option<&SubjectRow>,
    ) -> &'i mut UsageItem {
        items.entry(key).or_insert_with_key(|key| {
            let own = owner.filter(|owner| owner.subject == *key).map(|owner| owner.name.clone());
            let name = own.or_else(|| self.names.get(key).cloned()).unwrap_or_else(|| key.clone());
            UsageItem { key: key.clone(), name, counts: UsageCounts::default() }
        })
    }

    fn key_of(&self, row: &Delivered, owner: Option<&SubjectRow>) -> Option<String> {
        Some(match self.by {
            UsageBy::Breakout => row.breakout.clone(),
            UsageBy::Asset if row.asset.is_empty() => return None,
            UsageBy::Asset => row.asset.clone(),
            UsageBy::Distribution => row.distribution.clone(),
            UsageBy::Rendition => row.rendition.clone(),
            UsageBy::Location => row.place.location.clone(),
            UsageBy::Event => owner.map_or_else(String::new, |owner| owner.event.clone()),
            UsageBy::Account => owner.map_or_else(String::new, |owner| owner.account.clone()),
            UsageBy::Platform => "platform".to_owned(),
        })
    }

    fn key_of_subject(&self, row: &SubjectRow) -> Option<String> {
        Some(match self.by {
            UsageBy::Breakout if row.kind == "breakout" => row.subject.clone(),
            UsageBy::Asset if row.kind == "asset" => row.subject.clone(),
            UsageBy::Event => row.event.clone(),
            UsageBy::Account => row.account.clone(),
            UsageBy::Platform => "platform".to_owned(),
            UsageBy::Breakout | UsageBy::Asset | UsageBy::Distribution | UsageBy::Rendition | UsageBy::Location => {
                return None;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_of_viewers_knows_who_came_before() {
        let one = |from: i64, to: i64| Watched {
            breakout: "b1".to_owned(),
            who: String::new(),
            entered_at: from * 1000,
            left_at: to * 1000,
            browser: String::new(),
            os: String::new(),
        };
        let watched = [one(50, 130), one(70, 80), one(90, 200)];
        assert_eq!(peaks(&watched, Span { from: 60, to: 300 }, 60), [2, 2, 1, 0]);
    }
}
