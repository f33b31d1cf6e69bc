//! Accounts and the events in them (V1).

use anabranch_model::{AccountId, EventId};

use crate::page::paged;
use crate::row::{self, id, integer, optional_integer, text};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, NewEntry, Page, PageRequest, log};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Identifier.
    pub id: AccountId,
    /// Unique name.
    pub name: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// Unique name.
    pub name: String,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Identifier.
    pub id: EventId,
    /// Account that it belongs to.
    pub account: AccountId,
    /// Unique name.
    pub name: String,
    /// Words for the operator.
    pub description: String,
    /// Unix milliseconds.
    pub starts_at: Option<i64>,
    /// Unix milliseconds; breakouts end before.
    pub ends_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// An event to make.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Id or name of its account.
    pub account: String,
    /// What it is.
    pub content: EventContent,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// What may be changed of an event.
#[derive(Clone, Debug)]
pub struct EventContent {
    /// Unique name.
    pub name: String,
    /// Words for the operator.
    pub description: String,
    /// Unix milliseconds.
    pub starts_at: Option<i64>,
    /// Unix milliseconds.
    pub ends_at: Option<i64>,
}

impl Db {
    /// The account of this name, made if it is missing.
    ///
    /// # Errors
    /// The query fails.
    pub async fn account_ensure(&self, name: &str, now_ms: i64) -> Result<AccountRow, Error> {
        let mut tx = self.begin().await?;
        let made = sql::query(
            "INSERT INTO accounts (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3) ON CONFLICT (name) DO NOTHING",
        )
        .bind(AccountId::random().as_str())
        .bind(name)
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        let row = account(&mut tx, name).await?;
        if made == 1 {
            log::append(&mut tx, &of_account("account.created", &row), now_ms).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn account_create(&self, new: &NewAccount, now_ms: i64) -> Result<Created<AccountRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM accounts WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read_account(&row)?));
            }
        }
        sql::query(
            "INSERT INTO accounts (id, name, created_at, updated_at, idempotency_key, request_hash)
             VALUES ($1, $2, $3, $3, $4, $5)",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "account", &new.name))?;
        let row = account(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &of_account("account.created", &row), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// The account with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn account_find(&self, wanted: &str) -> Result<AccountRow, Error> {
        account(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of accounts.
    ///
    /// # Errors
    /// The query fails.
    pub async fn account_page(&self, page: &PageRequest) -> Result<Page<AccountRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM accounts WHERE ", "created_at", "id"), read_account, |row| {
            Cursor { created_at: row.created_at, id: row.id.to_string() }
        })
        .await
    }

    /// Deletes an account without events.
    ///
    /// # Errors
    /// There is none, it has events, or the query fails.
    pub async fn account_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = account(&mut tx, wanted).await?;
        let event: Option<String> = sql::scalar("SELECT name FROM events WHERE account_id = $1 LIMIT 1")
            .bind(row.id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        if let Some(event) = event {
            let remedy = format!("it has events; delete them first, such as {event:?}");
            return Err(Error::InUse { subject: "account", name: row.name, remedy });
        }
        sql::query("DELETE FROM accounts WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &of_account("account.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes an event.
    ///
    /// # Errors
    /// There is no such account, the name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn event_create(&self, new: &NewEvent, now_ms: i64) -> Result<Created<EventRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM events WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read_event(&row)?));
            }
        }
        let account = account(&mut tx, &new.account).await.map_err(Error::dangling)?;
        let content = &new.content;
        sql::query(
            "INSERT INTO events (id, account_id, name, description, starts_at, ends_at, created_at, updated_at,
                                 idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
        )
        .bind(new.id.as_str())
        .bind(account.id.as_str())
        .bind(&content.name)
        .bind(&content.description)
        .bind(content.starts_at)
        .bind(content.ends_at)
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "event", &content.name))?;
        let row = event(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &of_event("event.created", &row), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Changes an event.
    ///
    /// # Errors
    /// There is none, the name is taken, a breakout of it would end after it, or the query fails.
    pub async fn event_update(&self, wanted: &str, content: &EventContent, now_ms: i64) -> Result<EventRow, Error> {
        let mut tx = self.begin().await?;
        let row = event(&mut tx, wanted).await?;
        let late: Option<String> = sql::scalar(
            "SELECT name FROM breakouts
             WHERE event_id = $1 AND scheduled_at IS NOT NULL AND duration_minutes IS NOT NULL
               AND scheduled_at + duration_minutes * 60000 > $2 LIMIT 1",
        )
        .bind(row.id.as_str())
        .bind(content.ends_at.unwrap_or(i64::MAX))
        .fetch_optional(&mut tx)
        .await?;
        if let Some(breakout) = late {
            let remedy = format!("breakout {breakout:?} would end after it; move that first");
            return Err(Error::InUse { subject: "event", name: row.name, remedy });
        }
        sql::query(
            "UPDATE events SET name = $1, description = $2, starts_at = $3, ends_at = $4, updated_at = $5 WHERE id = $6",
        )
        .bind(&content.name)
        .bind(&content.description)
        .bind(content.starts_at)
        .bind(content.ends_at)
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "event", &content.name))?;
        let before = row;
        let row = event(&mut tx, before.id.as_str()).await?;
        if row != before {
            log::append(&mut tx, &of_event("event.changed", &row), now_ms).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// The event with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn event_find(&self, wanted: &str) -> Result<EventRow, Error> {
        event(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of events.
    ///
    /// # Errors
    /// The query fails.
    pub async fn event_page(&self, page: &PageRequest) -> Result<Page<EventRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM events WHERE ", "created_at", "id"), read_event, |row| {
            Cursor { created_at: row.created_at, id: row.id.to_string() }
        })
        .await
    }

    /// Deletes an event without breakouts.
    ///
    /// # Errors
    /// There is none, it has breakouts, or the query fails.
    pub async fn event_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = event(&mut tx, wanted).await?;
        let breakout: Option<String> = sql::scalar("SELECT name FROM breakouts WHERE event_id = $1 LIMIT 1")
            .bind(row.id.as_str())
            .fetch_optional(&mut tx)
            .await?;
        if let Some(breakout) = breakout {
            let remedy = format!("it has breakouts; delete or move them first, such as {breakout:?}");
            return Err(Error::InUse { subject: "event", name: row.name, remedy });
        }
        sql::query("DELETE FROM events WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &of_event("event.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn of_account(word: &'static str, row: &AccountRow) -> NewEntry {
    NewEntry::activity(word, "account", row.id.as_str()).account(&row.id).detail("name", row.name.as_str())
}

fn of_event(word: &'static str, row: &EventRow) -> NewEntry {
    NewEntry::activity(word, "event", row.id.as_str()).account(&row.account).detail("name", row.name.as_str())
}

async fn account(conn: &mut Conn, wanted: &str) -> Result<AccountRow, Error> {
    row::find(
        conn,
        "SELECT * FROM accounts WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1",
        "account",
        wanted,
        read_account,
    )
    .await
}

pub(crate) async fn event(conn: &mut Conn, wanted: &str) -> Result<EventRow, Error> {
    row::find(
        conn,
        "SELECT * FROM events WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1",
        "event",
        wanted,
        read_event,
    )
    .await
}

fn read_account(row: &Row) -> Result<AccountRow, Error> {
    Ok(AccountRow { id: id(row, "id")?, name: text(row, "name")?, created_at: integer(row, "created_at")? })
}

fn read_event(row: &Row) -> Result<EventRow, Error> {
    Ok(EventRow {
        id: id(row, "id")?,
        account: id(row, "account_id")?,
        name: text(row, "name")?,
        description: text(row, "description")?,
        starts_at: optional_integer(row, "starts_at")?,
        ends_at: optional_integer(row, "ends_at")?,
        created_at: integer(row, "created_at")?,
    })
}
