//! Log-ins of users, by the hash of what their cookie holds. The API calls them sessions.

use anabranch_model::{LoginId, UserId};

use crate::page::paged;
use crate::row::{id, integer, text};
use crate::sql::{self, Conn, Row};
use crate::user::{self, UserRow};
use crate::{Cursor, Db, Error, Page, PageRequest};

/// A log-in that has not been ended. Whether its time is over is for the caller to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRow {
    /// Identifier.
    pub id: LoginId,
    /// Whose it is.
    pub user: UserId,
    /// Name of that user.
    pub user_name: String,
    /// Unix milliseconds of the last request; may lag by a minute.
    pub seen_at: i64,
    /// When it ends whatever happens, Unix milliseconds.
    pub expires_at: i64,
    /// Address that it was made from.
    pub remote: String,
    /// What the browser calls itself.
    pub user_agent: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A log-in to keep.
#[derive(Clone)]
pub struct NewLogin {
    /// Its id.
    pub id: LoginId,
    /// SHA-256 of what the cookie holds.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: UserId,
    /// When it ends whatever happens, Unix milliseconds.
    pub expires_at: i64,
    /// Address that it is made from.
    pub remote: String,
    /// What the browser calls itself.
    pub user_agent: String,
}

impl Db {
    /// Keeps a log-in, and ends the oldest of the same user beyond `most`.
    ///
    /// # Errors
    /// The user is gone or disabled, or the query fails.
    pub async fn login_create(&self, new: &NewLogin, most: u32, now_ms: i64) -> Result<LoginRow, Error> {
        let mut tx = self.begin().await?;
        let known = sql::query("UPDATE users SET last_login_at = $1 WHERE id = $2 AND disabled = 0")
            .bind(now_ms)
            .bind(new.user.as_str())
            .execute(&mut tx)
            .await?;
        if known == 0 {
            return Err(Error::not_found("user", new.user.as_str()));
        }
        sql::query(
            "DELETE FROM logins WHERE user_id = $1 AND id NOT IN (
                 SELECT id FROM logins WHERE user_id = $1 ORDER BY seen_at DESC, id LIMIT $2)",
        )
        .bind(new.user.as_str())
        .bind(i64::from(most) - 1)
        .execute(&mut tx)
        .await?;
        sql::query(
            "INSERT INTO logins (id, hash, user_id, seen_at, expires_at, remote, user_agent, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $4)",
        )
        .bind(new.id.as_str())
        .bind(new.hash.as_slice())
        .bind(new.user.as_str())
        .bind(now_ms)
        .bind(new.expires_at)
        .bind(&new.remote)
        .bind(&new.user_agent)
        .execute(&mut tx)
        .await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The log-in whose cookie has this hash, and whose it is.
    ///
    /// # Errors
    /// The query fails.
    pub async fn login_of(&self, hash: &[u8; 32]) -> Result<Option<(LoginRow, UserRow)>, Error> {
        // One read transaction, so that both are of one moment.
        let mut tx = self.readers.read().await?;
        let row = sql::query("SELECT l.*, u.name FROM logins l JOIN users u ON u.id = l.user_id WHERE l.hash = $1")
            .bind(hash.as_slice())
            .fetch_optional(&mut tx)
            .await?;
        let Some(login) = row.as_ref().map(read).transpose()? else { return Ok(None) };
        let row = sql::query("SELECT * FROM users WHERE id = $1").bind(login.user.as_str()).fetch_one(&mut tx).await?;
        Ok(Some((login, user::read(&row)?)))
    }

    /// The log-in with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn login_find(&self, wanted: &str) -> Result<LoginRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of log-ins that have not ended; of one user, or of all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn login_page(
        &self,
        user: Option<&UserId>,
        seen_since: i64,
        page: &PageRequest,
        now_ms: i64,
    ) -> Result<Page<LoginRow>, Error> {
        let rows = page
            .query(paged!(
                "SELECT l.*, u.name FROM logins l JOIN users u ON u.id = l.user_id
                 WHERE ($4 IS NULL OR l.user_id = $4) AND l.expires_at > $5 AND l.seen_at > $6 AND ",
                "l.created_at",
                "l.id"
            ))
            .bind(user.map(UserId::as_str))
            .bind(now_ms)
            .bind(seen_since)
            .fetch_all(&self.readers)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Ends a log-in; false when there was none any more.
    ///
    /// # Errors
    /// The query fails.
    pub async fn login_end(&self, id: &LoginId) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let ended = sql::query("DELETE FROM logins WHERE id = $1").bind(id.as_str()).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(ended > 0)
    }

    /// Ends every log-in of a user, and answers how many there were.
    ///
    /// # Errors
    /// The query fails.
    pub async fn logins_end(&self, user: &UserId) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let ended = user::end_logins(&mut tx, user, "").await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Notes when log-ins were used last.
    ///
    /// # Errors
    /// The query fails; then nothing was noted.
    pub async fn logins_seen(&self, seen: &[(LoginId, i64)]) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for (id, at) in seen {
            sql::query("UPDATE logins SET seen_at = $1 WHERE id = $2 AND seen_at < $1")
                .bind(*at)
                .bind(id.as_str())
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Deletes log-ins whose time is over: those that end by now, and those that were seen last by `seen_until`.
    ///
    /// # Errors
    /// The query fails.
    pub async fn logins_sweep(&self, seen_until: i64, now_ms: i64) -> Result<u64, Error> {
        let over: Option<String> = sql::scalar("SELECT id FROM logins WHERE expires_at <= $1 OR seen_at <= $2 LIMIT 1")
            .bind(now_ms)
            .bind(seen_until)
            .fetch_optional(&self.readers)
            .await?;
        if over.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let ended = sql::query("DELETE FROM logins WHERE expires_at <= $1 OR seen_at <= $2")
            .bind(now_ms)
            .bind(seen_until)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(ended)
    }
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<LoginRow, Error> {
    crate::row::find(
        conn,
        "SELECT l.*, u.name FROM logins l JOIN users u ON u.id = l.user_id WHERE l.id = $1",
        "session",
        wanted,
        read,
    )
    .await
}

fn read(row: &Row) -> Result<LoginRow, Error> {
    Ok(LoginRow {
        id: id(row, "id")?,
        user: id(row, "user_id")?,
        user_name: text(row, "name")?,
        seen_at: integer(row, "seen_at")?,
        expires_at: integer(row, "expires_at")?,
        remote: text(row, "remote")?,
        user_agent: text(row, "user_agent")?,
        created_at: integer(row, "created_at")?,
    })
}
