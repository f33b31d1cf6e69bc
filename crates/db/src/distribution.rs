//! Distributions: a channel's own, and those of their own.

use anabranch_model::{ChannelId, DistributionEvent, DistributionId, DistributionState, KeyGroupId};

use crate::log::{self, NewEntry};
use crate::row::{self, flag, id, integer, list, optional_id, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest};

/// Rows with what belongs to them, by a condition and an order.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT d.*,
                    (SELECT string_agg(alias, ',' ORDER BY position) FROM distribution_aliases
                     WHERE distribution_id = d.id) AS aliases,
                    (SELECT string_agg(group_id, ',' ORDER BY position) FROM distribution_key_groups
                     WHERE distribution_id = d.id) AS group_ids
             FROM distributions d ",
            $tail
        )
    };
}

/// A distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionRow {
    /// Identifier.
    pub id: DistributionId,
    /// Channel that it was made with, if any.
    pub channel: Option<ChannelId>,
    /// Configuration as JSON. None: a channel's own that has never been changed, from before configurations were kept.
    pub config: Option<String>,
    /// The creator's own mark; unique.
    pub caller_reference: String,
    /// Goes up with each change of the configuration.
    pub generation: u64,
    /// Key groups that its configuration trusts, in order.
    pub key_groups: Vec<KeyGroupId>,
    /// Its own host name, lower case, without a port.
    pub domain_name: String,
    /// Other host names.
    pub aliases: Vec<String>,
    /// Whether it serves.
    pub enabled: bool,
    /// Price class, in CloudFront's words.
    pub price_class: String,
    /// Observed: whether every edge has the newest configuration.
    pub status: DistributionState,
    /// Snapshot version that edges must apply for `Deployed`.
    pub changed_version: u64,
    /// Sequence of the newest invalidation that edges are no longer told of.
    pub invalidation_floor: u64,
    /// Requests answered since it was made.
    pub requests_total: u64,
    /// Bytes sent since it was made.
    pub bytes_total: u64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; of the configuration or the status.
    pub updated_at: i64,
}

/// A configuration, and of it what rows are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionContent {
    /// The whole as JSON.
    pub config: String,
    /// The creator's own mark.
    pub caller_reference: String,
    /// Whether it serves.
    pub enabled: bool,
    /// Price class, in CloudFront's words.
    pub price_class: String,
    /// Other host names; each belongs to one distribution.
    pub aliases: Vec<String>,
    /// Key groups that it trusts; must exist. Repetitions do no harm.
    pub key_groups: Vec<KeyGroupId>,
    /// Channels that its origins serve; must exist.
    pub channels: Vec<ChannelId>,
}

/// A distribution to make.
#[derive(Clone, Debug)]
pub struct NewDistribution {
    /// Its id.
    pub id: DistributionId,
    /// Its host name, lower case.
    pub domain_name: String,
    /// Its configuration.
    pub content: DistributionContent,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// Makes a distribution of its own.
    ///
    /// # Errors
    /// The caller reference or an alias is taken, a key group or channel is missing, the idempotency key was used otherwise, or
    /// the query fails.
    pub async fn distribution_create(
        &self,
        new: &NewDistribution,
        now_ms: i64,
    ) -> Result<Created<DistributionRow>, Error> {
        let (mut tx, version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query(select!("WHERE d.idempotency_key = $1"))
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        insert(&mut tx, new, None, version, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Gives a distribution another configuration; it is then `InProgress`. The one that it has changes nothing.
    ///
    /// # Errors
    /// There is none, its generation is not `expected`, its caller reference would change, an alias is taken, a key group or
    /// channel is missing, or the query fails.
    pub async fn distribution_update(
        &self,
        wanted: &str,
        content: &DistributionContent,
        expected: Option<u64>,
        now_ms: i64,
    ) -> Result<DistributionRow, Error> {
        let (mut tx, version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        check_generation(&row, expected)?;
        if row.caller_reference != content.caller_reference {
            let given = content.caller_reference.clone();
            return Err(Error::ReferenceChanged { has: row.caller_reference, given });
        }
        if row.config.as_ref() == Some(&content.config) {
            return Ok(row);
        }
        sql::query(
            "UPDATE distributions SET config = $1, enabled = $2, price_class = $3, generation = generation + 1, status = $4,
                                      changed_version = $5, updated_at = $6
             WHERE id = $7",
        )
        .bind(&content.config)
        .bind(i64::from(content.enabled))
        .bind(&content.price_class)
        .bind(row.status.next(DistributionEvent::Change).as_str())
        .bind(signed(version))
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut *tx)
        .await?;
        put_parts(&mut tx, &row.id, content).await?;
        let before = row;
        let row = find(&mut tx, wanted).await?;
        let entry = activity("distribution.updated", &row).detail("generation", row.generation);
        log::append(&mut tx, &entry.detail("enabled", row.enabled), now_ms).await?;
        if before.status != row.status {
            log::append(&mut tx, &moved(&before, row.status), now_ms).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a distribution of its own that is disabled, with its invalidations.
    ///
    /// # Errors
    /// There is none, its generation is not `expected`, it serves or belongs to a channel, or the query fails.
    pub async fn distribution_delete(&self, wanted: &str, expected: Option<u64>, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        check_generation(&row, expected)?;
        let remedy = match &row.channel {
            Some(channel) => Some(format!("it belongs to channel {channel} and goes with it; delete the channel")),
            None if row.enabled => {
                Some("it is enabled; update it with Enabled false first (DistributionNotDisabled)".to_owned())
            }
            None => None,
        };
        if let Some(remedy) = remedy {
            return Err(Error::InUse { subject: "distribution", name: row.id.into(), remedy });
        }
        sql::query("DELETE FROM distributions WHERE id = $1").bind(row.id.as_str()).execute(&mut *tx).await?;
        log::append(&mut tx, &activity("distribution.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The distribution with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn distribution_find(&self, wanted: &str) -> Result<DistributionRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// The distribution of a channel.
    ///
    /// # Errors
    /// The channel is gone, or the query fails.
    pub async fn distribution_of_channel(&self, channel: &ChannelId) -> Result<DistributionRow, Error> {
        let row = sql::query(select!("WHERE d.channel_id = $1"))
            .bind(channel.as_str())
            .fetch_optional(&self.readers)
            .await?
            .ok_or_else(|| Error::not_found("channel", channel.as_str()))?;
        read(&row)
    }

    /// A page of distributions.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_page(&self, page: &PageRequest) -> Result<Page<DistributionRow>, Error> {
        page.select(
            &self.readers,
            select!("WHERE $1 IS NULL OR (d.created_at, d.id) > ($1, $2) ORDER BY d.created_at, d.id LIMIT $3"),
            read,
            |row| Cursor { created_at: row.created_at, id: row.id.to_string() },
        )
        .await
    }

    /// Distributions that wait for edges.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_in_progress(&self) -> Result<Vec<DistributionRow>, Error> {
        let rows = sql::query(select!("WHERE d.status = $1"))
            .bind(DistributionState::InProgress.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that every edge acts by `version`. Does nothing when the distribution has changed since.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_confirm(&self, wanted: &DistributionId, version: u64, now_ms: i64) -> Result<(), Error> {
        let status = DistributionState::InProgress.next(DistributionEvent::Confirm);
        let mut tx = self.begin().await?;
        let before = match find(&mut tx, wanted.as_str()).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if before.changed_version != version || before.status == status {
            return Ok(());
        }
        sql::query("UPDATE distributions SET status = $1, updated_at = $2 WHERE id = $3 AND changed_version = $4")
            .bind(status.as_str())
            .bind(now_ms)
            .bind(wanted.as_str())
            .bind(signed(version))
            .execute(&mut *tx)
            .await?;
        log::append(&mut tx, &moved(&before, status), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Makes the row and what belongs to it.
pub(crate) async fn insert(
    conn: &mut Conn,
    new: &NewDistribution,
    channel: Option<&ChannelId>,
    version: u64,
    now_ms: i64,
) -> Result<(), Error> {
    let content = &new.content;
    let other: Option<String> = sql::scalar("SELECT id FROM distributions WHERE caller_reference = $1")
        .bind(&content.caller_reference)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(distribution) = other {
        return Err(Error::ReferenceUsed { reference: content.caller_reference.clone(), distribution });
    }
    sql::query(
        "INSERT INTO distributions (id, channel_id, config, caller_reference, domain_name, enabled, price_class, status,
                                    changed_version, created_at, updated_at, idempotency_key, request_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)",
    )
    .bind(new.id.as_str())
    .bind(channel.map(ChannelId::as_str))
    .bind(&content.config)
    .bind(&content.caller_reference)
    .bind(&new.domain_name)
    .bind(i64::from(content.enabled))
    .bind(&content.price_class)
    .bind(DistributionState::InProgress.as_str())
    .bind(signed(version))
    .bind(now_ms)
    .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
    .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
    .execute(&mut *conn)
    .await?;
    put_parts(&mut *conn, &new.id, content).await?;
    let row = find(&mut *conn, new.id.as_str()).await?;
    log::append(conn, &activity("distribution.created", &row).detail("status", row.status.as_str()), now_ms).await?;
    Ok(())
}

/// Writes that the distribution of a channel goes with it.
pub(crate) async fn log_delete_of_channel(tx: &mut Conn, channel: &ChannelId, now_ms: i64) -> Result<(), Error> {
    let row = sql::query(select!("WHERE d.channel_id = $1")).bind(channel.as_str()).fetch_optional(&mut *tx).await?;
    if let Some(row) = row {
        log::append(tx, &activity("distribution.deleted", &read(&row)?), now_ms).await?;
    }
    Ok(())
}

fn activity(word: &'static str, row: &DistributionRow) -> NewEntry {
    about(NewEntry::activity(word, "distribution", row.id.as_str()), row)
}

/// The entry of a distribution that is `row` and becomes `status`.
fn moved(row: &DistributionRow, status: DistributionState) -> NewEntry {
    let word = match status {
        DistributionState::InProgress => "distribution.in_progress",
        DistributionState::Deployed => "distribution.deployed",
    };
    about(NewEntry::transition(word, "distribution", row.id.as_str()), row)
        .detail("from", row.status.as_str())
        .detail("to", status.as_str())
}

fn about(entry: NewEntry, row: &DistributionRow) -> NewEntry {
    let entry = entry.detail("domain_name", row.domain_name.as_str());
    match &row.channel {
        Some(channel) => entry.channel(channel),
        None => entry,
    }
}

/// Replaces aliases and key groups by those of the configuration.
async fn put_parts(conn: &mut Conn, distribution: &DistributionId, content: &DistributionContent) -> Result<(), Error> {
    for table in [
        "DELETE FROM distribution_aliases WHERE distribution_id = $1",
        "DELETE FROM distribution_key_groups WHERE distribution_id = $1",
    ] {
        sql::query(table).bind(distribution.as_str()).execute(&mut *conn).await?;
    }
    for (position, alias) in (0_i64..).zip(&content.aliases) {
        // The name that a distribution has by itself is nobody else's alias.
        let other: Option<String> = sql::scalar(
            "SELECT distribution_id FROM distribution_aliases WHERE alias = $1
             UNION ALL SELECT id FROM distributions WHERE domain_name = $1 AND id <> $2 LIMIT 1",
        )
        .bind(alias)
        .bind(distribution.as_str())
        .fetch_optional(&mut *conn)
        .await?;
        match other {
            Some(other) if other == distribution.as_str() => continue,
            Some(other) => return Err(Error::AliasTaken { alias: alias.clone(), distribution: other }),
            None => {}
        }
        sql::query("INSERT INTO distribution_aliases (alias, distribution_id, position) VALUES ($1, $2, $3)")
            .bind(alias)
            .bind(distribution.as_str())
            .bind(position)
            .execute(&mut *conn)
            .await?;
    }
    for (position, group) in (0_i64..).zip(&content.key_groups) {
        exists(conn, "SELECT id FROM key_groups WHERE id = $1", "key group", group.as_str()).await?;
        sql::query(
            "INSERT INTO distribution_key_groups (distribution_id, group_id, position) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(distribution.as_str())
        .bind(group.as_str())
        .bind(position)
        .execute(&mut *conn)
        .await?;
    }
    for channel in &content.channels {
        exists(conn, "SELECT id FROM channels WHERE id = $1", "channel", channel.as_str()).await?;
    }
    Ok(())
}

async fn exists(conn: &mut Conn, query: &'static str, subject: &'static str, wanted: &str) -> Result<(), Error> {
    let found: Option<String> = sql::scalar(query).bind(wanted).fetch_optional(conn).await?;
    found.map(|_| ()).ok_or_else(|| Error::Dangling { subject, wanted: wanted.to_owned() })
}

fn check_generation(row: &DistributionRow, expected: Option<u64>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != row.generation => Err(Error::Stale { distribution: row.id.to_string() }),
        _ => Ok(()),
    }
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<DistributionRow, Error> {
    row::find(conn, select!("WHERE d.id = $1"), "distribution", wanted, read).await
}

pub(crate) async fn all(conn: &mut Conn) -> Result<Vec<DistributionRow>, Error> {
    let rows = sql::query(select!("ORDER BY d.created_at, d.id")).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<DistributionRow, Error> {
    Ok(DistributionRow {
        id: id(row, "id")?,
        channel: optional_id(row, "channel_id")?,
        config: optional_text(row, "config")?,
        caller_reference: text(row, "caller_reference")?,
        generation: unsigned(row, "generation")?,
        key_groups: list(row, "group_ids")?,
        domain_name: text(row, "domain_name")?,
        aliases: list(row, "aliases")?,
        enabled: flag(row, "enabled")?,
        price_class: text(row, "price_class")?,
        status: word(row, "status", DistributionState::parse)?,
        changed_version: unsigned(row, "changed_version")?,
        invalidation_floor: unsigned(row, "invalidation_floor")?,
        requests_total: unsigned(row, "requests_total")?,
        bytes_total: unsigned(row, "bytes_total")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
