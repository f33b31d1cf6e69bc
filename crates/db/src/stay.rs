//! Who watched what: viewer sessions by distribution, rendition and location.

use std::collections::BTreeMap;

use anabranch_model::{BreakoutId, STAY_GAP_MS, Stay};

use crate::row::{integer, signed, text, unsigned};
use crate::sql::{self, Conn, Row, Tx};
use crate::{Db, Error, UsageFilter};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Stays of an answer at most.
const STAYS_MAX: i64 = 1_000_000;

/// Rows of hours of an answer at most.
const HOURS_MAX: i64 = 200_000;

/// By what stays are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchedBy {
    /// All of them together.
    All,
    /// By distribution.
    Distribution,
    /// By rendition.
    Rendition,
    /// By where it was sent from.
    Location,
}

impl WatchedBy {
    const ALL: [Self; 4] = [Self::All, Self::Distribution, Self::Rendition, Self::Location];

    /// The one spelling.
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Distribution => "distribution",
            Self::Rendition => "rendition",
            Self::Location => "location",
        }
    }

    /// Which one a stay is of.
    #[must_use]
    pub fn which(self, stay: &StayRow) -> &str {
        match self {
            Self::All => "",
            Self::Distribution => &stay.distribution,
            Self::Rendition => &stay.rendition,
            Self::Location => &stay.location,
        }
    }
}

/// A stay of a viewer session of a breakout; both may be gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StayRow {
    /// Breakout.
    pub breakout: String,
    /// Session.
    pub session: String,
    /// Distribution.
    pub distribution: String,
    /// Rendition; empty for what belongs to none.
    pub rendition: String,
    /// Where it was sent from.
    pub location: String,
    /// Unix milliseconds of the first request.
    pub entered_at: i64,
    /// Unix milliseconds of the last request.
    pub seen_at: i64,
}

/// How much was watched. A viewer is a session; what it watches at once, such as pictures and sound, counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Time that all viewers together have watched.
    pub watched_ms: u64,
    /// Most viewers at one moment.
    pub peak: u64,
}

/// What is kept of an hour whose stays are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedHour {
    /// Unix seconds of its beginning.
    pub at: i64,
    /// Breakout; empty for all of them together.
    pub breakout: String,
    /// Which distribution, rendition or location.
    pub which: String,
    /// How much.
    pub presence: Presence,
}

/// How much was watched from `from_ms` to `to_ms`, by what `key` tells of each stay; those of which it tells nothing do not count. Stays of a
/// session with the same key that follow each other within [`STAY_GAP_MS`] are one.
pub fn presence<K: Ord>(
    stays: &[StayRow],
    from_ms: i64,
    to_ms: i64,
    key: impl Fn(&StayRow) -> Option<K>,
) -> BTreeMap<K, Presence> {
    let mut groups: BTreeMap<K, Vec<&StayRow>> = BTreeMap::new();
    for stay in stays {
        if let Some(key) = key(stay) {
            groups.entry(key).or_default().push(stay);
        }
    }
    let here = |(from, to): (i64, i64)| (from < to_ms && to >= from_ms).then(|| (from.max(from_ms), to.min(to_ms)));
    groups
        .into_iter()
        .filter_map(|(key, stays)| {
            let visits: Vec<_> = visits(stays).into_iter().filter_map(here).collect();
            (!visits.is_empty()).then(|| (key, sum(&visits)))
        })
        .collect()
}

/// From when to when each viewer watched any of these, in Unix milliseconds.
pub fn visits<'s>(stays: impl IntoIterator<Item = &'s StayRow>) -> Vec<(i64, i64)> {
    let mut viewers: BTreeMap<(&str, &str), Vec<(i64, i64)>> = BTreeMap::new();
    for stay in stays {
        let who = (stay.breakout.as_str(), stay.session.as_str());
        viewers.entry(who).or_default().push((stay.entered_at, stay.seen_at));
    }
    viewers.into_values().flat_map(joined).collect()
}

fn sum(visits: &[(i64, i64)]) -> Presence {
    let mut watched_ms = 0_u64;
    let mut steps: Vec<(i64, i64)> = Vec::with_capacity(visits.len() * 2);
    for (from, to) in visits {
        watched_ms = watched_ms.saturating_add(u64::try_from(to - from).unwrap_or(0));
        steps.extend([(*from, 1), (*to, -1)]);
    }
    // Who comes at the moment when another goes was there with them.
    steps.sort_unstable_by_key(|(at, step)| (*at, -step));
    let (mut present, mut peak) = (0_i64, 0_i64);
    for (_, step) in steps {
        present += step;
        peak = peak.max(present);
    }
    Presence { watched_ms, peak: u64::try_from(peak).unwrap_or(0) }
}

/// The same stretches without overlaps and short gaps, earliest first.
fn joined(mut stretches: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    stretches.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(stretches.len());
    for (from, to) in stretches {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(STAY_GAP_MS) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

impl Db {
    /// Stays that have any of that time, of one breakout or all, and of one distribution or all. An asset has none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn stays(&self, filter: &UsageFilter) -> Result<Vec<StayRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM viewer_stays
             WHERE seen_at >= $1 AND entered_at < $2 AND ($3 = '' OR breakout = $3) AND ($4 = '' OR distribution_id = $4)
             ORDER BY entered_at LIMIT $5",
        )
        .bind(filter.from.saturating_mul(1000))
        .bind(filter.to.saturating_mul(1000))
        .bind(filter.breakout.as_str())
        .bind(filter.distribution.as_str())
        .bind(STAYS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, STAYS_MAX, "stays of viewers")?;
        rows.iter().map(read).collect()
    }

    /// Hours that begin in that time and whose stays are forgotten: of one distribution if the filter names one, else of all of them together.
    /// Of one breakout if the filter names one; else of each breakout, and of all of them together.
    ///
    /// # Errors
    /// The query fails.
    pub async fn watched_hours(&self, filter: &UsageFilter, by: WatchedBy) -> Result<Vec<WatchedHour>, Error> {
        let rows = sql::query(
            "SELECT * FROM usage_watched
             WHERE at >= $1 AND at < $2 AND ($3 = '' OR breakout = $3) AND distribution_id = $4 AND dimension = $5
             ORDER BY at, breakout, which LIMIT $6",
        )
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.breakout.as_str())
        .bind(filter.distribution.as_str())
        .bind(by.as_str())
        .bind(HOURS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, HOURS_MAX, "hours of viewers")?;
        rows.iter()
            .map(|row| {
                Ok(WatchedHour {
                    at: integer(row, "at")?,
                    breakout: text(row, "breakout")?,
                    which: text(row, "which")?,
                    presence: Presence { watched_ms: unsigned(row, "watched_ms")?, peak: unsigned(row, "peak")? },
                })
            })
            .collect()
    }

    /// Adds up the oldest hour that has stays and is over by `before_ms`, and forgets those; false when there is none. Repeating it changes
    /// nothing.
    ///
    /// # Errors
    /// The query fails; then nothing was forgotten.
    pub async fn stays_forget(&self, before_ms: i64) -> Result<bool, Error> {
        let oldest: Option<i64> = sql::scalar("SELECT entered_at FROM viewer_stays ORDER BY entered_at LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        let Some(oldest) = oldest else { return Ok(false) };
        let from = oldest.div_euclid(HOUR_MS) * HOUR_MS;
        let to = from + HOUR_MS;
        if to > before_ms {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        let rows = sql::query("SELECT * FROM viewer_stays WHERE entered_at < $1").bind(to).fetch_all(&mut tx).await?;
        let stays = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for by in WatchedBy::ALL {
            for (breakouts_apart, distributions_apart) in [(true, true), (true, false), (false, true), (false, false)] {
                let sums = presence(&stays, from, to, |stay| {
                    let breakout = if breakouts_apart { stay.breakout.clone() } else { String::new() };
                    let distribution = if distributions_apart { stay.distribution.clone() } else { String::new() };
                    Some((breakout, distribution, by.which(stay).to_owned()))
                });
                for (key, presence) in sums {
                    hour_add(&mut tx, from.div_euclid(1000), by, &key, presence).await?;
                }
            }
        }
        sql::query("DELETE FROM viewer_stays WHERE entered_at < $1").bind(to).execute(&mut tx).await?;
        for stay in stays.into_iter().filter(|stay| stay.seen_at >= to) {
            insert(&mut tx, &StayRow { entered_at: to, ..stay }).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

async fn hour_add(
    tx: &mut Tx,
    at: i64,
    by: WatchedBy,
    (breakout, distribution, which): &(String, String, String),
    presence: Presence,
) -> Result<(), Error> {
    // What was told too late for its hour is added to it.
    sql::query(
        "INSERT INTO usage_watched (at, breakout, distribution_id, dimension, which, watched_ms, peak)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (at, breakout, distribution_id, dimension, which) DO UPDATE SET
             watched_ms = usage_watched.watched_ms + $6,
             peak = CASE WHEN usage_watched.peak > $7 THEN usage_watched.peak ELSE $7 END",
    )
    .bind(at)
    .bind(breakout.as_str())
    .bind(distribution.as_str())
    .bind(by.as_str())
    .bind(which.as_str())
    .bind(signed(presence.watched_ms))
    .bind(signed(presence.peak))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes what a session watched. What is known already changes nothing, in whichever order it is told.
pub(crate) async fn put(conn: &mut Conn, breakout: &BreakoutId, session: &str, stay: &Stay) -> Result<(), Error> {
    // Mostly it goes on where it was.
    let longer = sql::query(
        "UPDATE viewer_stays SET seen_at = $7
         WHERE breakout = $1 AND session = $2 AND distribution_id = $3 AND rendition = $4 AND location = $5
           AND entered_at <= $6 AND seen_at >= $6 - $8 AND seen_at < $7",
    )
    .bind(breakout.as_str())
    .bind(session)
    .bind(stay.distribution.as_str())
    .bind(stay.rendition.as_str())
    .bind(stay.location.as_str())
    .bind(stay.first_ms)
    .bind(stay.last_ms)
    .bind(STAY_GAP_MS)
    .execute(&mut *conn)
    .await?;
    if longer > 0 {
        return Ok(());
    }
    let touched = sql::query(
        "SELECT * FROM viewer_stays
         WHERE breakout = $1 AND session = $2 AND distribution_id = $3 AND rendition = $4 AND location = $5
           AND entered_at <= $7 + $8 AND seen_at >= $6 - $8",
    )
    .bind(breakout.as_str())
    .bind(session)
    .bind(stay.distribution.as_str())
    .bind(stay.rendition.as_str())
    .bind(stay.location.as_str())
    .bind(stay.first_ms)
    .bind(stay.last_ms)
    .bind(STAY_GAP_MS)
    .fetch_all(&mut *conn)
    .await?;
    let mut whole = StayRow {
        breakout: breakout.to_string(),
        session: session.to_owned(),
        distribution: stay.distribution.to_string(),
        rendition: stay.rendition.clone(),
        location: stay.location.clone(),
        entered_at: stay.first_ms,
        seen_at: stay.last_ms,
    };
    for row in &touched {
        let known = read(row)?;
        if known.entered_at <= stay.first_ms && known.seen_at >= stay.last_ms {
            return Ok(());
        }
        whole.entered_at = whole.entered_at.min(known.entered_at);
        whole.seen_at = whole.seen_at.max(known.seen_at);
        remove(conn, &known).await?;
    }
    insert(conn, &whole).await
}

async fn remove(conn: &mut Conn, row: &StayRow) -> Result<(), Error> {
    sql::query(
        "DELETE FROM viewer_stays
         WHERE breakout = $1 AND session = $2 AND distribution_id = $3 AND rendition = $4 AND location = $5
           AND entered_at = $6",
    )
    .bind(row.breakout.as_str())
    .bind(row.session.as_str())
    .bind(row.distribution.as_str())
    .bind(row.rendition.as_str())
    .bind(row.location.as_str())
    .bind(row.entered_at)
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert(conn: &mut Conn, row: &StayRow) -> Result<(), Error> {
    sql::query(
        "INSERT INTO viewer_stays (breakout, session, distribution_id, rendition, location, entered_at, seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (breakout, session, distribution_id, rendition, location, entered_at) DO UPDATE SET
             seen_at = CASE WHEN viewer_stays.seen_at > $7 THEN viewer_stays.seen_at ELSE $7 END",
    )
    .bind(row.breakout.as_str())
    .bind(row.session.as_str())
    .bind(row.distribution.as_str())
    .bind(row.rendition.as_str())
    .bind(row.location.as_str())
    .bind(row.entered_at)
    .bind(row.seen_at)
    .execute(conn)
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<StayRow, Error> {
    Ok(StayRow {
        breakout: text(row, "breakout")?,
        session: text(row, "session")?,
        distribution: text(row, "distribution_id")?,
        rendition: text(row, "rendition")?,
        location: text(row, "location")?,
        entered_at: integer(row, "entered_at")?,
        seen_at: integer(row, "seen_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(session: &str, rendition: &str, seconds: (i64, i64)) -> StayRow {
        StayRow {
            breakout: "b1".to_owned(),
            session: session.to_owned(),
            distribution: "E1".to_owned(),
            rendition: rendition.to_owned(),
            location: "Basel".to_owned(),
            entered_at: seconds.0 * 1000,
            seen_at: seconds.1 * 1000,
        }
    }

    #[test]
    fn a_viewer_counts_once_however_much_it_watches_at_once() {
        let stays = [
            stay("s1", "video", (0, 60)),
            stay("s1", "audio", (0, 100)),
            // It switches, and there is a little time between two requests.
            stay("s1", "low", (66, 100)),
            // It has been away.
            stay("s1", "video", (200, 260)),
            stay("s2", "video", (50, 60)),
        ];
        let whole = presence(&stays, 0, 1_000_000, |stay| Some(stay.distribution.clone()));
        assert_eq!(whole["E1"], Presence { watched_ms: 170_000, peak: 2 });
        let by = presence(&stays, 0, 1_000_000, |stay| Some(stay.rendition.clone()));
        assert_eq!(by["video"], Presence { watched_ms: 130_000, peak: 2 });
        assert_eq!(by["low"], Presence { watched_ms: 34_000, peak: 1 });
        assert!(by.values().map(|one| one.watched_ms).sum::<u64>() > whole["E1"].watched_ms);
        let part = presence(&stays, 80_000, 210_000, |stay| Some(stay.distribution.clone()));
        assert_eq!(part["E1"], Presence { watched_ms: 30_000, peak: 1 });
        assert!(presence(&stays, 0, 1_000_000, |_| None::<()>).is_empty());
    }
}
