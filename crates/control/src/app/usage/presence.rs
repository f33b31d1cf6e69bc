//! Who watched, by distribution, rendition and location: of what each viewer session asked for, and when.

use std::collections::BTreeMap;

use anabranch_db::{Presence, StayRow, SubjectRow, UsageFilter, Watched, WatchedBy, WatchedHour, presence, visits};

use super::span::Span;
use super::whose::Whose;
use super::{UsageBy, UsageCounts};
use crate::app::{App, Error};

/// How much was watched.
pub(super) struct Attended {
    /// By key.
    pub(super) items: BTreeMap<String, Presence>,
    /// In all: who watches two of them at once counts once.
    pub(super) total: Presence,
}

impl UsageCounts {
    /// Takes note of who watched.
    pub(super) fn attended(&mut self, presence: Presence) {
        self.viewer_minutes = presence.watched_ms.div_ceil(60_000);
        self.peak_viewers = presence.peak;
    }
}

/// How stays are told apart, and which of them count.
struct Keys<'a> {
    by: UsageBy,
    whose: &'a Whose,
    owners: BTreeMap<&'a str, &'a SubjectRow>,
}

impl Keys<'_> {
    fn takes(&self, breakout: &str) -> bool {
        !self.whose.is_choosy() || self.owners.get(breakout).is_some_and(|owner| self.whose.takes(owner))
    }

    fn dimension(&self) -> WatchedBy {
        match self.by {
            UsageBy::Distribution => WatchedBy::Distribution,
            UsageBy::Rendition => WatchedBy::Rendition,
            UsageBy::Location => WatchedBy::Location,
            UsageBy::Breakout | UsageBy::Event | UsageBy::Account | UsageBy::Asset | UsageBy::Platform => {
                WatchedBy::All
            }
        }
    }

    /// Whether a key may have several breakouts, whose viewers at one moment are those of all of them together.
    fn is_joint(&self) -> bool {
        !self.whose.is_choosy() && !matches!(self.by, UsageBy::Breakout | UsageBy::Event | UsageBy::Account)
    }

    fn key(&self, breakout: &str, which: &str) -> Option<String> {
        let owner = |of: fn(&SubjectRow) -> &String| {
            self.owners.get(breakout).map_or_else(String::new, |owner| of(owner).clone())
        };
        Some(match self.by {
            UsageBy::Distribution | UsageBy::Rendition | UsageBy::Location => which.to_owned(),
            UsageBy::Breakout => breakout.to_owned(),
            UsageBy::Event => owner(|row| &row.event),
            UsageBy::Account => owner(|row| &row.account),
            UsageBy::Platform => "platform".to_owned(),
            UsageBy::Asset => return None,
        })
    }

    fn of_stay(&self, stay: &StayRow) -> Option<String> {
        let which = self.dimension().which(stay);
        self.takes(&stay.breakout).then(|| self.key(&stay.breakout, which)).flatten()
    }

    /// Whether an hour counts, where those of all breakouts together are `joint`.
    fn counts(&self, hour: &WatchedHour, joint: bool) -> bool {
        if joint {
            hour.breakout == self.whose.breakout
        } else {
            !hour.breakout.is_empty() && self.takes(&hour.breakout)
        }
    }
}

impl App {
    /// How much was watched of what is asked for, where that is not known by breakout alone.
    pub(super) async fn attended(
        &self,
        by: UsageBy,
        whose: &Whose,
        span: Span,
        subjects: &[SubjectRow],
    ) -> Result<Option<Attended>, Error> {
        let dimension = matches!(by, UsageBy::Distribution | UsageBy::Rendition | UsageBy::Location);
        if by == UsageBy::Asset || !dimension && whose.distribution.is_empty() {
            return Ok(None);
        }
        let owners = subjects.iter().map(|row| (row.subject.as_str(), row)).collect();
        let (keys, filter) = (Keys { by, whose, owners }, whose.filter(span));
        let (from_ms, to_ms) = span.ms();
        let stays = self.db.stays(&filter).await?;
        let mut items = presence(&stays, from_ms, to_ms, |stay| keys.of_stay(stay));
        let all = presence(&stays, from_ms, to_ms, |stay| keys.takes(&stay.breakout).then_some(()));
        let mut total = all.get(&()).copied().unwrap_or_default();
        let joint = keys.is_joint();
        for hour in self.db.watched_hours(&filter, keys.dimension()).await? {
            if keys.counts(&hour, joint)
                && let Some(key) = keys.key(&hour.breakout, &hour.which)
            {
                add(items.entry(key).or_default(), hour.presence);
            }
        }
        for hour in self.db.watched_hours(&filter, WatchedBy::All).await? {
            if keys.counts(&hour, !whose.is_choosy()) {
                add(&mut total, hour.presence);
            }
        }
        Ok(Some(Attended { items, total }))
    }

    /// Who watched what the filter says, of the breakouts that are chosen.
    pub(super) async fn watched_there(
        &self,
        filter: &UsageFilter,
        is_chosen: impl Fn(&String) -> bool,
    ) -> Result<Vec<Watched>, Error> {
        let stays = self.db.stays(filter).await?;
        let visit = |(entered_at, left_at)| Watched {
            breakout: String::new(),
            who: String::new(),
            entered_at,
            left_at,
            browser: String::new(),
            os: String::new(),
        };
        Ok(visits(stays.iter().filter(|stay| is_chosen(&stay.breakout))).into_iter().map(visit).collect())
    }
}

/// Adds an hour: time is a sum, and most at one moment the highest of all hours.
fn add(sum: &mut Presence, hour: Presence) {
    sum.watched_ms = sum.watched_ms.saturating_add(hour.watched_ms);
    sum.peak = sum.peak.max(hour.peak);
}
