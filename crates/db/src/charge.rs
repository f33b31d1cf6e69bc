//! What is billed and what it costs.

use anabranch_model::BreakoutId;

use crate::row::{integer, optional_integer, signed, text, unsigned};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error};

/// Rows of an answer at most.
const ROWS_MAX: i64 = 100_000;

/// Viewers of a breakout that are looked at.
const VIEWERS_MAX: i64 = 500_000;

/// A session of a breakout, or an asset, as it is billed. Stays when the breakout or the asset has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    /// `breakout` or `asset`.
    pub kind: String,
    /// Id of the breakout or asset.
    pub subject: String,
    /// Session of the breakout; 0 of assets.
    pub session: u32,
    /// Name of the breakout or asset.
    pub name: String,
    /// Id of its event; empty for none.
    pub event: String,
    /// Id of its account; empty for none.
    pub account: String,
    /// Unix milliseconds.
    pub started_at: i64,
    /// Unix milliseconds; none while it is on air.
    pub ended_at: Option<i64>,
    /// Inputs of the channel.
    pub inputs: u64,
    /// Bytes that are kept: of a recording what was packaged, of an asset what was made.
    pub bytes: u64,
    /// Bytes of an MP4 that was made of the recording.
    pub mp4_bytes: u64,
    /// Objects that were written, of a recording or by the last conversion of an asset; 0 of what was settled before they were counted.
    pub objects: u64,
    /// Playing time.
    pub duration_ms: u64,
    /// Renditions of each conversion.
    pub renditions: u64,
    /// How often it was converted.
    pub conversions: u64,
    /// Unix milliseconds of the last conversion.
    pub converted_at: Option<i64>,
    /// Unix milliseconds from which on it was kept.
    pub kept_from: Option<i64>,
    /// Unix milliseconds from which on it was gone.
    pub kept_until: Option<i64>,
    /// Viewer sessions.
    pub viewers: u64,
    /// Time that they watched, all together.
    pub viewer_ms: u64,
    /// Most of them at one moment.
    pub peak_viewers: u64,
    /// Unix milliseconds since when every edge has told of all that was before its end.
    pub settled_at: Option<i64>,
}

/// A charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRow {
    /// `breakout` or `asset`.
    pub kind: String,
    /// Id of the breakout or asset.
    pub subject: String,
    /// Session of the breakout; 0 of assets.
    pub session: u32,
    /// Service, such as `cdn`.
    pub service: String,
    /// Month such as `2026-11` of what is charged by month; else empty.
    pub month: String,
    /// 0, or the number of a correction.
    pub entry: u32,
    /// `estimate`, `final` or `correction`.
    pub state: String,
    /// Whose prices count.
    pub model: String,
    /// ISO 4217.
    pub currency: String,
    /// Millionths of the currency.
    pub amount: i64,
    /// The same by the other price model.
    pub alternative: i64,
    /// Quantities and prices, as JSON.
    pub parts: String,
    /// Unix milliseconds: in which month it counts.
    pub charged_at: i64,
    /// Unix milliseconds.
    pub written_at: i64,
}

/// A viewer session, as far as statistics go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Breakout.
    pub breakout: String,
    /// Claim `user`, else the session.
    pub who: String,
    /// Unix milliseconds.
    pub entered_at: i64,
    /// Unix milliseconds of the last request or the exit, whichever is earlier.
    pub left_at: i64,
    /// Browser.
    pub browser: String,
    /// Operating system.
    pub os: String,
}

/// Takes note of sessions on air by recordings that fulfil a condition. The recording knows when a session was on air, also of sessions
/// before the one that the breakout is in. A session that was settled before objects were counted stays without: its bill is made.
macro_rules! follow {
    ($condition:literal) => {
        concat!(
            "INSERT INTO usage_subjects (kind, subject, session, name, event_id, account_id, started_at, ended_at, inputs, bytes,
                    mp4_bytes, objects, duration_ms, renditions, conversions, converted_at, kept_from)
             SELECT 'breakout', b.id, r.session, b.name, COALESCE(b.event_id, ''), COALESCE(v.account_id, ''), r.started_at,
                    r.ended_at, (SELECT COUNT(*) FROM inputs i WHERE i.channel_id = b.channel_id), r.bytes,
                    COALESCE(r.mp4_bytes, 0), r.segments, r.duration_ms, 1, CASE WHEN r.mp4_bytes IS NULL THEN 0 ELSE 1 END,
                    (SELECT MAX(j.ended_at) FROM jobs j WHERE j.subject = r.id AND j.kind = 'mp4'), r.started_at
             FROM recordings r JOIN breakouts b ON b.id = r.breakout_id LEFT JOIN events v ON v.id = b.event_id
             WHERE ",
            $condition,
            "
             ON CONFLICT (kind, subject, session) DO UPDATE SET
                 name = excluded.name, event_id = excluded.event_id, account_id = excluded.account_id,
                 started_at = excluded.started_at, ended_at = excluded.ended_at,
                 inputs = CASE WHEN excluded.inputs > usage_subjects.inputs THEN excluded.inputs ELSE usage_subjects.inputs END,
                 bytes = excluded.bytes, mp4_bytes = excluded.mp4_bytes, duration_ms = excluded.duration_ms,
                 objects = CASE WHEN usage_subjects.settled_at IS NULL OR usage_subjects.objects > 0 THEN excluded.objects
                                ELSE usage_subjects.objects END,
                 conversions = CASE WHEN excluded.conversions > usage_subjects.conversions THEN excluded.conversions
                                    ELSE usage_subjects.conversions END,
                 converted_at = COALESCE(excluded.converted_at, usage_subjects.converted_at)
             WHERE usage_subjects.name <> excluded.name OR usage_subjects.event_id <> excluded.event_id
                OR usage_subjects.account_id <> excluded.account_id OR usage_subjects.started_at <> excluded.started_at
                OR COALESCE(usage_subjects.ended_at, -1) <> COALESCE(excluded.ended_at, -1)
                OR usage_subjects.inputs < excluded.inputs OR usage_subjects.bytes <> excluded.bytes
                OR usage_subjects.mp4_bytes <> excluded.mp4_bytes OR usage_subjects.duration_ms <> excluded.duration_ms
                OR (usage_subjects.objects <> excluded.objects
                    AND (usage_subjects.settled_at IS NULL OR usage_subjects.objects > 0))
                OR usage_subjects.conversions < excluded.conversions
                OR COALESCE(usage_subjects.converted_at, -1)
                   <> COALESCE(excluded.converted_at, usage_subjects.converted_at, -1)"
        )
    };
}

impl Db {
    /// Takes note of every session of a breakout that is or was on air, and of every asset, as rows tell of them now; and of those that have
    /// gone. Repeating it changes nothing. Gives how many rows have changed.
    ///
    /// # Errors
    /// The query fails.
    pub async fn subjects_follow(&self, now_ms: i64) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let mut changed = 0;
        changed += sql::query(follow!("1 = 1")).execute(&mut tx).await?;
        for (kind, rows) in [("breakout", "recordings"), ("asset", "assets")] {
            // An asset that came back is kept anew.
            let gone = if rows == "recordings" {
                "UPDATE usage_subjects SET kept_until = $1, ended_at = COALESCE(ended_at, $1)
                 WHERE kind = $2 AND kept_until IS NULL AND NOT EXISTS (
                     SELECT 1 FROM recordings r WHERE r.breakout_id = usage_subjects.subject AND r.session = usage_subjects.session)"
            } else {
                "UPDATE usage_subjects SET kept_until = $1, ended_at = COALESCE(ended_at, $1)
                 WHERE kind = $2 AND kept_until IS NULL AND NOT EXISTS (
                     SELECT 1 FROM assets a WHERE a.id = usage_subjects.subject)"
            };
            changed += sql::query(gone).bind(now_ms).bind(kind).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Takes note of an asset. Gives how many rows have changed.
    ///
    /// # Errors
    /// The query fails.
    pub async fn subject_asset(&self, row: &SubjectRow) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let changed = sql::query(
            "INSERT INTO usage_subjects (kind, subject, session, name, event_id, account_id, started_at, ended_at, inputs, bytes,
                    mp4_bytes, objects, duration_ms, renditions, conversions, converted_at, kept_from)
             VALUES ('asset', $1, 0, $2, '', '', $3, $4, 0, $5, 0, $10, $6, $7, $8, $9, $3)
             ON CONFLICT (kind, subject, session) DO UPDATE SET
                 name = $2, ended_at = $4, bytes = $5, objects = $10, duration_ms = $6, renditions = $7, conversions = $8,
                 converted_at = $9, kept_until = NULL
             WHERE usage_subjects.name <> $2 OR usage_subjects.bytes <> $5 OR usage_subjects.duration_ms <> $6
                OR usage_subjects.renditions <> $7 OR usage_subjects.conversions <> $8 OR usage_subjects.objects <> $10
                OR COALESCE(usage_subjects.ended_at, -1) <> COALESCE($4, -1)
                OR COALESCE(usage_subjects.converted_at, -1) <> COALESCE($9, -1) OR usage_subjects.kept_until IS NOT NULL",
        )
        .bind(row.subject.as_str())
        .bind(row.name.as_str())
        .bind(row.started_at)
        .bind(row.ended_at)
        .bind(signed(row.bytes))
        .bind(signed(row.duration_ms))
        .bind(signed(row.renditions))
        .bind(signed(row.conversions))
        .bind(row.converted_at)
        .bind(signed(row.objects))
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Notes who watched a session of a breakout, and that every edge has told of all of it. What is known already is not written.
    ///
    /// # Errors
    /// The query fails.
    pub async fn subject_watched(&self, row: &SubjectRow) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let changed = sql::query(
            "UPDATE usage_subjects SET viewers = $4, viewer_ms = $5, peak_viewers = $6, settled_at = $7
             WHERE kind = $1 AND subject = $2 AND session = $3
               AND (viewers <> $4 OR viewer_ms <> $5 OR peak_viewers <> $6 OR COALESCE(settled_at, -1) <> COALESCE($7, -1))",
        )
        .bind(row.kind.as_str())
        .bind(row.subject.as_str())
        .bind(i64::from(row.session))
        .bind(signed(row.viewers))
        .bind(signed(row.viewer_ms))
        .bind(signed(row.peak_viewers))
        .bind(row.settled_at)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// What is billed: everything that was there in that time, Unix milliseconds; of one breakout or asset only if `subject` is not empty.
    ///
    /// # Errors
    /// The query fails.
    pub async fn subjects(&self, subject: &str, from_ms: i64, to_ms: i64) -> Result<Vec<SubjectRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM usage_subjects
             WHERE ($1 = '' OR subject = $1) AND started_at < $3 AND (kept_until IS NULL OR kept_until >= $2)
             ORDER BY kind, subject, session LIMIT $4",
        )
        .bind(subject)
        .bind(from_ms)
        .bind(to_ms)
        .bind(ROWS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, ROWS_MAX, "breakouts and assets")?;
        rows.iter().map(read_subject).collect()
    }

    /// Charges that count in that time, Unix milliseconds; of one breakout or asset only if `subject` is not empty.
    ///
    /// # Errors
    /// The query fails.
    pub async fn charges(&self, subject: &str, from_ms: i64, to_ms: i64) -> Result<Vec<ChargeRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM charges WHERE ($1 = '' OR subject = $1) AND charged_at >= $2 AND charged_at < $3
             ORDER BY kind, subject, session, service, month, entry LIMIT $4",
        )
        .bind(subject)
        .bind(from_ms)
        .bind(to_ms)
        .bind(ROWS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, ROWS_MAX, "charges")?;
        rows.iter().map(read_charge).collect()
    }

    /// Writes charges, all or none. An entry that is final, or a correction, is never written over. Gives how many rows have changed.
    ///
    /// # Errors
    /// The query fails.
    pub async fn charges_put(&self, charges: &[ChargeRow]) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let mut changed = 0;
        for charge in charges {
            changed += sql::query(
                "INSERT INTO charges (kind, subject, session, service, month, entry, state, model, currency, amount, alternative,
                                      parts, charged_at, written_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                 ON CONFLICT (kind, subject, session, service, month, entry) DO UPDATE SET
                     state = $7, model = $8, currency = $9, amount = $10, alternative = $11, parts = $12, charged_at = $13,
                     written_at = $14
                 WHERE charges.state = 'estimate'
                   AND (charges.state <> $7 OR charges.model <> $8 OR charges.currency <> $9 OR charges.amount <> $10
                        OR charges.alternative <> $11 OR charges.parts <> $12 OR charges.charged_at <> $13)",
            )
            .bind(charge.kind.as_str())
            .bind(charge.subject.as_str())
            .bind(i64::from(charge.session))
            .bind(charge.service.as_str())
            .bind(charge.month.as_str())
            .bind(i64::from(charge.entry))
            .bind(charge.state.as_str())
            .bind(charge.model.as_str())
            .bind(charge.currency.as_str())
            .bind(charge.amount)
            .bind(charge.alternative)
            .bind(charge.parts.as_str())
            .bind(charge.charged_at)
            .bind(charge.written_at)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Viewer sessions that watched in that time, Unix milliseconds, of one breakout or all; those that entered first first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn watched(&self, breakout: &str, from_ms: i64, to_ms: i64) -> Result<Vec<Watched>, Error> {
        let rows = sql::query(
            "SELECT breakout_id, CASE WHEN user_name = '' THEN session ELSE user_name END AS who, entered_at,
                    CASE WHEN exited_at IS NOT NULL AND exited_at < seen_at THEN exited_at ELSE seen_at END AS left_at, browser, os
             FROM viewers WHERE ($1 = '' OR breakout_id = $1) AND seen_at >= $2 AND entered_at < $3
             ORDER BY entered_at, session LIMIT $4",
        )
        .bind(breakout)
        .bind(from_ms)
        .bind(to_ms)
        .bind(VIEWERS_MAX)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Watched {
                    breakout: text(row, "breakout_id")?,
                    who: text(row, "who")?,
                    entered_at: integer(row, "entered_at")?,
                    left_at: integer(row, "left_at")?,
                    browser: text(row, "browser")?,
                    os: text(row, "os")?,
                })
            })
            .collect()
    }

    /// Sequence of the newest batch of a spool that was counted; 0 for none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn spool_sequence(&self, spool: &anabranch_model::SpoolId) -> Result<u64, Error> {
        let sequence: Option<i64> = sql::scalar("SELECT sequence FROM spools WHERE id = $1")
            .bind(spool.as_str())
            .fetch_optional(&self.readers)
            .await?;
        Ok(sequence.and_then(|sequence| u64::try_from(sequence).ok()).unwrap_or(0))
    }

    /// Names of events and accounts, by id.
    ///
    /// # Errors
    /// The query fails.
    pub async fn names(&self) -> Result<std::collections::BTreeMap<String, String>, Error> {
        let rows = sql::query(
            "SELECT id, name FROM events UNION ALL SELECT id, name FROM accounts UNION ALL SELECT id, domain_name AS name FROM distributions",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((text(row, "id")?, text(row, "name")?))).collect()
    }

    /// How many there are, by what and in which state: `channel`, `breakout`, `job`; of jobs that have failed those that ended since
    /// `since_ms`. The state of a channel or breakout with a problem is `problem`; a
    /// channel with a breakout on air is running.
    ///
    /// # Errors
    /// The query fails.
    pub async fn state_counts(&self, since_ms: i64) -> Result<Vec<(String, String, u64)>, Error> {
        let rows = sql::query(
            "SELECT 'channel' AS kind, CASE WHEN problem IS NOT NULL THEN 'problem'
                        WHEN EXISTS (SELECT 1 FROM breakouts b WHERE b.channel_id = channels.id AND b.state IN ('STARTING', 'RUNNING'))
                        THEN 'RUNNING' ELSE state END AS state,
                    CAST(COUNT(*) AS BIGINT) AS number FROM channels GROUP BY 2
             UNION ALL
             SELECT 'breakout', CASE WHEN problem IS NOT NULL AND state IN ('STARTING', 'RUNNING') THEN 'problem' ELSE state END,
                    CAST(COUNT(*) AS BIGINT) FROM breakouts GROUP BY 2
             UNION ALL
             SELECT 'job', state, CAST(COUNT(*) AS BIGINT) FROM jobs WHERE ended_at IS NULL OR ended_at >= $1 GROUP BY 2",
        )
        .bind(since_ms)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((text(row, "kind")?, text(row, "state")?, unsigned(row, "number")?))).collect()
    }

    /// Viewer sessions that watch now, of all breakouts.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_now(&self, since_ms: i64) -> Result<u64, Error> {
        let row = sql::query(
            "SELECT CAST(COUNT(*) AS BIGINT) AS watching FROM viewers WHERE exited_at IS NULL AND seen_at >= $1",
        )
        .bind(since_ms)
        .fetch_one(&self.readers)
        .await?;
        unsigned(&row, "watching")
    }

    /// Problems of channels, breakouts and jobs: when, kind, id, words; the newest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn problems(&self, since_ms: i64, limit: i64) -> Result<Vec<(i64, String, String, String)>, Error> {
        let rows = sql::query(
            "SELECT * FROM (
                 SELECT updated_at AS at, 'channel' AS kind, id, problem AS words FROM channels WHERE problem IS NOT NULL
                 UNION ALL
                 SELECT updated_at, 'breakout', id, problem FROM breakouts
                 WHERE problem IS NOT NULL AND state IN ('STARTING', 'RUNNING')
                 UNION ALL
                 SELECT updated_at, 'job', id, problem FROM jobs
                 WHERE problem IS NOT NULL AND state = 'FAILED' AND updated_at >= $1) AS found
             ORDER BY at DESC, id LIMIT $2",
        )
        .bind(since_ms)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| Ok((integer(row, "at")?, text(row, "kind")?, text(row, "id")?, text(row, "words")?)))
            .collect()
    }
}

/// Takes note of a session that goes on air: whatever becomes of it and of its recording, it is billed.
pub(crate) async fn begun(conn: &mut Conn, breakout: &BreakoutId, session: u32) -> Result<(), Error> {
    sql::query(follow!("r.breakout_id = $1 AND r.session = $2"))
        .bind(breakout.as_str())
        .bind(i64::from(session))
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes note of all that a recording tells of its session before it goes, and that the session is over.
pub(crate) async fn gone(conn: &mut Conn, breakout: &BreakoutId, session: u32, now_ms: i64) -> Result<(), Error> {
    begun(&mut *conn, breakout, session).await?;
    sql::query(
        "UPDATE usage_subjects SET kept_until = COALESCE(kept_until, $1), ended_at = COALESCE(ended_at, $1)
         WHERE kind = 'breakout' AND subject = $2 AND session = $3",
    )
    .bind(now_ms)
    .bind(breakout.as_str())
    .bind(i64::from(session))
    .execute(conn)
    .await?;
    Ok(())
}

fn read_subject(row: &Row) -> Result<SubjectRow, Error> {
    Ok(SubjectRow {
        kind: text(row, "kind")?,
        subject: text(row, "subject")?,
        session: unsigned(row, "session")?,
        name: text(row, "name")?,
        event: text(row, "event_id")?,
        account: text(row, "account_id")?,
        started_at: integer(row, "started_at")?,
        ended_at: optional_integer(row, "ended_at")?,
        inputs: unsigned(row, "inputs")?,
        bytes: unsigned(row, "bytes")?,
        mp4_bytes: unsigned(row, "mp4_bytes")?,
        objects: unsigned(row, "objects")?,
        duration_ms: unsigned(row, "duration_ms")?,
        renditions: unsigned(row, "renditions")?,
        conversions: unsigned(row, "conversions")?,
        converted_at: optional_integer(row, "converted_at")?,
        kept_from: optional_integer(row, "kept_from")?,
        kept_until: optional_integer(row, "kept_until")?,
        viewers: unsigned(row, "viewers")?,
        viewer_ms: unsigned(row, "viewer_ms")?,
        peak_viewers: unsigned(row, "peak_viewers")?,
        settled_at: optional_integer(row, "settled_at")?,
    })
}

fn read_charge(row: &Row) -> Result<ChargeRow, Error> {
    Ok(ChargeRow {
        kind: text(row, "kind")?,
        subject: text(row, "subject")?,
        session: unsigned(row, "session")?,
        service: text(row, "service")?,
        month: text(row, "month")?,
        entry: unsigned(row, "entry")?,
        state: text(row, "state")?,
        model: text(row, "model")?,
        currency: text(row, "currency")?,
        amount: integer(row, "amount")?,
        alternative: integer(row, "alternative")?,
        parts: text(row, "parts")?,
        charged_at: integer(row, "charged_at")?,
        written_at: integer(row, "written_at")?,
    })
}
