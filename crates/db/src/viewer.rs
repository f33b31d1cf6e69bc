//! Viewer sessions: who watched, when, and who is shut out.

use anabranch_model::{BreakoutId, ViewerSeen};

use crate::exit::Exit;
use crate::page::paged;
use crate::row::{flag, id, integer, optional_integer, optional_text, signed, text, unsigned};
use crate::sql::{self, Conn, Row};
use crate::{Attendance, Cursor, Db, Error, NewEntry, Page, PageRequest, breakout, log, meta, stay};

/// Sessions that are forgotten at once at most.
const FORGET_BATCH: i64 = 5000;

/// A viewer session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewerRow {
    /// Breakout.
    pub breakout: BreakoutId,
    /// Claim `session` of its signatures; unique within the breakout.
    pub session: String,
    /// Claim `user`; empty without one.
    pub user: String,
    /// `live`.
    pub kind: String,
    /// Address of the last request; empty if it is not kept.
    pub address: String,
    /// User agent; empty if it is not kept.
    pub user_agent: String,
    /// Browser by its user agent.
    pub browser: String,
    /// Operating system by its user agent.
    pub os: String,
    /// Unix milliseconds of the first request.
    pub entered_at: i64,
    /// Unix milliseconds of the last request.
    pub seen_at: i64,
    /// Unix milliseconds; none while it watches.
    pub exited_at: Option<i64>,
    /// Why it does not watch any more.
    pub exit_reason: Option<String>,
    /// Whether edges refuse it.
    pub expelled: bool,
    /// Bytes sent to it.
    pub bytes: u64,
}

/// What a sighting tells beside what the edge saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What the edge saw. Address and user agent are kept as they are here.
    pub seen: ViewerSeen,
    /// Browser by its user agent.
    pub browser: String,
    /// Operating system by its user agent.
    pub os: String,
}

impl Db {
    /// Notes sightings, and what was watched. Sessions of breakouts that are gone are passed over; one that had exited, and was not expelled, watches again.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_seen(&self, sightings: &[Sighting]) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for Sighting { seen, browser, os } in sightings {
            let known = sql::query(
                "INSERT INTO viewers (breakout_id, session, user_name, kind, address, user_agent, browser, os, entered_at,
                                      seen_at, bytes)
                 SELECT b.id, $2, $3, 'live', $4, $5, $6, $7, $8, $9, $10 FROM breakouts b WHERE b.id = $1
                 ON CONFLICT (breakout_id, session) DO UPDATE SET
                     address = excluded.address, user_agent = excluded.user_agent, browser = excluded.browser,
                     os = excluded.os, bytes = viewers.bytes + excluded.bytes,
                     entered_at = CASE WHEN excluded.entered_at < viewers.entered_at THEN excluded.entered_at
                                       ELSE viewers.entered_at END,
                     seen_at = CASE WHEN excluded.seen_at > viewers.seen_at THEN excluded.seen_at ELSE viewers.seen_at END,
                     exited_at = CASE WHEN viewers.expelled = 1 OR excluded.seen_at <= viewers.seen_at THEN viewers.exited_at
                                      ELSE NULL END,
                     exit_reason = CASE WHEN viewers.expelled = 1 OR excluded.seen_at <= viewers.seen_at
                                        THEN viewers.exit_reason ELSE NULL END",
            )
            .bind(seen.breakout.as_str())
            .bind(seen.session.as_str())
            .bind(seen.user.as_str())
            .bind(seen.address.as_str())
            .bind(seen.user_agent.as_str())
            .bind(browser.as_str())
            .bind(os.as_str())
            .bind(seen.first_ms)
            .bind(seen.last_ms)
            .bind(signed(seen.bytes))
            .execute(&mut tx)
            .await?;
            if known > 0 {
                for one in &seen.stays {
                    stay::put(&mut tx, &seen.breakout, &seen.session, one).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Sessions of the user that watch the breakout now: not exited, and seen since `since_ms`. The newest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_watching(
        &self,
        breakout: &BreakoutId,
        user: &str,
        since_ms: i64,
    ) -> Result<Vec<ViewerRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM viewers
             WHERE breakout_id = $1 AND user_name = $2 AND exited_at IS NULL AND expelled = 0 AND seen_at >= $3
             ORDER BY entered_at DESC, session DESC LIMIT 1000",
        )
        .bind(breakout.as_str())
        .bind(user)
        .bind(since_ms)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Why edges refuse the session; none when they do not.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewer_expelled(&self, breakout: &BreakoutId, session: &str) -> Result<Option<Exit>, Error> {
        let row = sql::query("SELECT * FROM viewers WHERE breakout_id = $1 AND session = $2 AND expelled = 1")
            .bind(breakout.as_str())
            .bind(session)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let limit = read(&row)?.exit_reason.as_deref() == Some(Exit::DeviceLimit.as_str());
        Ok(Some(if limit { Exit::DeviceLimit } else { Exit::Revoked }))
    }

    /// How many sessions watch the breakout now.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_count(&self, breakout: &BreakoutId, since_ms: i64) -> Result<u64, Error> {
        let row = sql::query(
            "SELECT COUNT(*) AS watching FROM viewers WHERE breakout_id = $1 AND exited_at IS NULL AND seen_at >= $2",
        )
        .bind(breakout.as_str())
        .bind(since_ms)
        .fetch_one(&self.readers)
        .await?;
        unsigned(&row, "watching")
    }

    /// Shuts sessions out: edges are told at once. Those that do not exist, or are shut out already, are passed over. The log says
    /// which, unless the breakout keeps nothing of its viewers; then it says how many.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_expel(
        &self,
        breakout: &BreakoutId,
        sessions: &[String],
        reason: Exit,
        now_ms: i64,
    ) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let mut expelled = Vec::new();
        for session in sessions {
            let row = sql::query(
                "UPDATE viewers SET expelled = 1, exited_at = $1, exit_reason = $2
                 WHERE breakout_id = $3 AND session = $4 AND expelled = 0 RETURNING *",
            )
            .bind(now_ms)
            .bind(reason.as_str())
            .bind(breakout.as_str())
            .bind(session.as_str())
            .fetch_optional(&mut tx)
            .await?;
            if let Some(row) = row {
                expelled.push(read(&row)?);
            }
        }
        if !expelled.is_empty() {
            meta::bump(&mut tx).await?;
            for entry in expulsions(&mut tx, breakout, &expelled, reason).await? {
                log::append(&mut tx, &entry, now_ms).await?;
            }
            tx.commit().await?;
        }
        Ok(expelled.len() as u64)
    }

    /// Notes that a session has left of its own will.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewer_left(
        &self,
        breakout: &BreakoutId,
        session: &str,
        reason: Exit,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE viewers SET exited_at = $1, exit_reason = $2
             WHERE breakout_id = $3 AND session = $4 AND exited_at IS NULL",
        )
        .bind(now_ms)
        .bind(reason.as_str())
        .bind(breakout.as_str())
        .bind(session)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Closes sessions that have not been seen since `since_ms`, at the time when they were seen last. Those that were seen later
    /// than `until_ms`, by a clock that was set back, count as seen and entered then.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewers_close(&self, since_ms: i64, until_ms: i64) -> Result<u64, Error> {
        let silent = sql::query(
            "SELECT COUNT(*) AS silent FROM viewers WHERE exited_at IS NULL AND (seen_at < $1 OR seen_at > $2)",
        )
        .bind(since_ms)
        .bind(until_ms)
        .fetch_one(&self.readers)
        .await?;
        if integer(&silent, "silent")? == 0 {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        sql::query(
            "UPDATE viewers SET seen_at = $1, entered_at = CASE WHEN entered_at > $1 THEN $1 ELSE entered_at END
             WHERE exited_at IS NULL AND seen_at > $1",
        )
        .bind(until_ms)
        .execute(&mut tx)
        .await?;
        let closed = sql::query(
            "UPDATE viewers SET exited_at = seen_at, exit_reason = $1 WHERE exited_at IS NULL AND seen_at < $2",
        )
        .bind(Exit::Left.as_str())
        .bind(since_ms)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(closed)
    }

    /// A page of the sessions of a breakout, in the order in which they entered.
    ///
    /// # Errors
    /// The query fails.
    pub async fn viewer_page(&self, breakout: &BreakoutId, page: &PageRequest) -> Result<Page<ViewerRow>, Error> {
        let rows = page
            .query(paged!("SELECT * FROM viewers WHERE breakout_id = $4 AND ", "entered_at", "session"))
            .bind(breakout.as_str())
            .fetch_all(&self.readers)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.entered_at, id: row.session.clone() }))
    }

    /// Forgets sessions that exited before `before_ms`, a batch of them, and answers how many. Those that are shut out stay so: of
    /// them goes who they were.
    ///
    /// # Errors
    /// The query fails; then none was forgotten.
    pub async fn viewers_forget(&self, before_ms: i64) -> Result<u64, Error> {
        let old: Option<String> = sql::scalar(
            "SELECT session FROM viewers
             WHERE exited_at < $1 AND (expelled = 0 OR user_name <> '' OR address <> '' OR user_agent <> '') LIMIT 1",
        )
        .bind(before_ms)
        .fetch_optional(&self.readers)
        .await?;
        if old.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let shut_out = sql::query(
            "UPDATE viewers SET user_name = '', address = '', user_agent = '', browser = '', os = ''
             WHERE exited_at < $1 AND expelled = 1 AND (user_name <> '' OR address <> '' OR user_agent <> '')",
        )
        .bind(before_ms)
        .execute(&mut tx)
        .await?;
        let gone = sql::query(
            "DELETE FROM viewers WHERE (breakout_id, session) IN (
                 SELECT breakout_id, session FROM viewers WHERE exited_at < $1 AND expelled = 0 ORDER BY exited_at LIMIT $2)",
        )
        .bind(before_ms)
        .bind(FORGET_BATCH)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(gone + shut_out)
    }
}

/// What the log is told of sessions that were shut out.
async fn expulsions(
    conn: &mut Conn,
    breakout: &BreakoutId,
    expelled: &[ViewerRow],
    reason: Exit,
) -> Result<Vec<NewEntry>, Error> {
    let row = breakout::find(conn, breakout.as_str()).await?;
    let entry = || {
        let entry = match reason {
            Exit::Revoked => NewEntry::activity("viewer.expelled", "breakout", breakout.as_str()),
            _ => NewEntry::transition("viewer.expelled", "breakout", breakout.as_str()),
        };
        breakout::about(entry, &row).detail("reason", reason.as_str())
    };
    Ok(match row.content.attendance {
        Attendance::Full | Attendance::Anonymous => expelled
            .iter()
            .map(|viewer| {
                let entry = entry().detail("session", viewer.session.as_str());
                if viewer.user.is_empty() { entry } else { entry.detail("user", viewer.user.as_str()) }
            })
            .collect(),
        Attendance::Off => vec![entry().detail("sessions", expelled.len())],
    })
}

/// Sessions that are shut out of breakouts that may be watched, by breakout.
pub(crate) async fn expelled(conn: &mut Conn) -> Result<Vec<(BreakoutId, String)>, Error> {
    let rows = sql::query(
        "SELECT v.breakout_id, v.session FROM viewers v JOIN breakouts b ON b.id = v.breakout_id
         WHERE v.expelled = 1 ORDER BY v.breakout_id, v.exited_at DESC, v.session",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((id(row, "breakout_id")?, text(row, "session")?))).collect()
}

fn read(row: &Row) -> Result<ViewerRow, Error> {
    Ok(ViewerRow {
        breakout: id(row, "breakout_id")?,
        session: text(row, "session")?,
        user: text(row, "user_name")?,
        kind: text(row, "kind")?,
        address: text(row, "address")?,
        user_agent: text(row, "user_agent")?,
        browser: text(row, "browser")?,
        os: text(row, "os")?,
        entered_at: integer(row, "entered_at")?,
        seen_at: integer(row, "seen_at")?,
        exited_at: optional_integer(row, "exited_at")?,
        exit_reason: optional_text(row, "exit_reason")?,
        expelled: flag(row, "expelled")?,
        bytes: unsigned(row, "bytes")?,
    })
}
