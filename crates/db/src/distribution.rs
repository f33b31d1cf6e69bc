//! Distributions: a channel's own, and those of their own.

use std::collections::BTreeMap;

use anabranch_model::{ChannelId, DistributionEvent, DistributionId, DistributionPhase, DistributionState, KeyGroupId};

use crate::log::{self, NewEntry};
use crate::operation::{self, DISTRIBUTION_UPDATE};
use crate::page::paged;
use crate::row::{self, flag, id, integer, json, list, optional_id, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, Idempotency, Page, PageRequest};

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
    /// Channel that it serves, if any.
    pub channel: Option<ChannelId>,
    /// Whether it is wanted.
    pub phase: DistributionPhase,
    /// The provider's id; none while there is nothing at the provider.
    pub provider_id: Option<DistributionId>,
    /// Configuration as JSON. None: a channel's own that has never been changed, from before configurations were kept.
    pub config: Option<String>,
    /// The creator's own mark; unique.
    pub caller_reference: String,
    /// Goes up with each change of the configuration.
    pub generation: u64,
    /// The generation that the provider has been given.
    pub observed_generation: u64,
    /// How what the provider has differs from what is wanted, in words.
    pub drift: Option<String>,
    /// When that was looked at last, Unix milliseconds; 0 for never.
    pub last_checked_at: i64,
    /// Labels.
    pub tags: BTreeMap<String, String>,
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
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
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
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        check_generation(&row, expected)?;
        if row.caller_reference != content.caller_reference {
            let given = content.caller_reference.clone();
            return Err(Error::ReferenceChanged { has: row.caller_reference, given });
        }
        if row.config.as_ref() == Some(&content.config) {
            return Ok(row);
        }
        let remedy = match row.phase {
            DistributionPhase::Stale => Some("it is being deleted"),
            DistributionPhase::Detached if content.enabled => {
                Some("it is detached; attach it to a channel to enable it")
            }
            DistributionPhase::Detached | DistributionPhase::Active => None,
        };
        if let Some(remedy) = remedy {
            return Err(Error::NotNow { subject: "distribution", name: row.id.into(), remedy: remedy.to_owned() });
        }
        put(&mut tx, &row, content, version, now_ms).await?;
        let before = row.clone();
        operation::begin(&mut tx, DISTRIBUTION_UPDATE, row.id.as_str(), row.lane(), now_ms).await?;
        let row = find(&mut tx, wanted).await?;
        let entry = activity("distribution.updated", &row).detail("generation", row.generation);
        log::append(&mut tx, &entry.detail("enabled", row.enabled), now_ms).await?;
        if before.status != row.status {
            log::append(&mut tx, &moved(&before, row.status), now_ms).await?;
        }
        tx.commit().await?;
        Ok(row)
    }

    /// Notes what the provider has: its id, and the generation that it was given.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_observed(
        &self,
        wanted: &DistributionId,
        provider_id: &DistributionId,
        generation: u64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE distributions SET provider_id = $1, observed_generation = $2, drift = NULL WHERE id = $3")
            .bind(provider_id.as_str())
            .bind(signed(generation))
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the provider's differs from what is wanted, or has gone, and is to be made so again.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_drifted(&self, wanted: &DistributionId, drift: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE distributions SET observed_generation = 0, status = $1, drift = $2 WHERE id = $3")
            .bind(DistributionState::InProgress.as_str())
            .bind(drift)
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Active distributions that are settled and were looked at before `before_ms`, or later than now by a clock that was set back;
    /// the ones first that have not been looked at for longest.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_to_check(
        &self,
        before_ms: i64,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<DistributionRow>, Error> {
        let rows = sql::query(select!(
            "WHERE d.phase <> 'stale' AND d.status = 'Deployed' AND (d.last_checked_at < $1 OR d.last_checked_at > $3)
             ORDER BY d.last_checked_at, d.id LIMIT $2"
        ))
        .bind(before_ms)
        .bind(i64::from(limit))
        .bind(now_ms)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that these have been looked at and are as they are wanted.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_checked(&self, checked: &[DistributionId], now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for one in checked {
            sql::query("UPDATE distributions SET last_checked_at = $1 WHERE id = $2")
                .bind(now_ms)
                .bind(one.as_str())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A page of stale distributions, oldest first, after a place in that order.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_stale(&self, page: &PageRequest) -> Result<Page<DistributionRow>, Error> {
        page.select(
            &self.readers,
            paged!(select!("WHERE d.phase = 'stale' AND "), "d.created_at", "d.id"),
            read,
            |row| Cursor { created_at: row.created_at, id: row.id.to_string() },
        )
        .await
    }

    /// Whether a row stands for this resource of the provider.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_known(&self, provider_id: &DistributionId, reference: &str) -> Result<bool, Error> {
        let found: Option<String> = sql::scalar(
            "SELECT id FROM distributions WHERE provider_id = $1 OR id = $1 OR caller_reference = $2 LIMIT 1",
        )
        .bind(provider_id.as_str())
        .bind(reference)
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.is_some())
    }

    /// The distribution with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn distribution_find(&self, wanted: &str) -> Result<DistributionRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// The distribution with this caller reference, if there is one.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_by_reference(&self, reference: &str) -> Result<Option<DistributionRow>, Error> {
        let mut conn = self.readers.acquire().await?;
        let id: Option<String> = sql::scalar("SELECT id FROM distributions WHERE caller_reference = $1")
            .bind(reference)
            .fetch_optional(&mut conn)
            .await?;
        match id {
            Some(id) => find(&mut conn, &id).await.map(Some),
            None => Ok(None),
        }
    }

    /// The distribution of a channel; none when it has been detached or could not be made.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_of_channel(&self, channel: &ChannelId) -> Result<Option<DistributionRow>, Error> {
        let row =
            sql::query(select!("WHERE d.channel_id = $1")).bind(channel.as_str()).fetch_optional(&self.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of distributions.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_page(&self, page: &PageRequest) -> Result<Page<DistributionRow>, Error> {
        page.select(&self.readers, paged!(select!("WHERE "), "d.created_at", "d.id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }

    /// Notes that every edge acts by `generation`. Does nothing when the distribution has changed since.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_confirm(
        &self,
        wanted: &DistributionId,
        generation: u64,
        now_ms: i64,
    ) -> Result<(), Error> {
        let status = DistributionState::InProgress.next(DistributionEvent::Confirm);
        let mut tx = self.begin().await?;
        let before = match find(&mut tx, wanted.as_str()).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        let confirms = before.generation == generation && before.observed_generation == generation;
        sql::query(
            "UPDATE distributions SET status = $1, updated_at = $2, last_checked_at = $2
             WHERE id = $3 AND generation = $4 AND observed_generation = $4",
        )
        .bind(status.as_str())
        .bind(now_ms)
        .bind(wanted.as_str())
        .bind(signed(generation))
        .execute(&mut *tx)
        .await?;
        if confirms && before.status != status {
            log::append(&mut tx, &moved(&before, status), now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

impl DistributionRow {
    /// Where its operations stand in line: with its channel's, or alone.
    #[must_use]
    pub fn lane(&self) -> &str {
        self.channel.as_ref().map_or(self.id.as_str(), ChannelId::as_str)
    }
}

/// The distribution that an earlier, equal request has made, if there was one.
pub(crate) async fn made_before(conn: &mut Conn, request: &Idempotency) -> Result<Option<DistributionRow>, Error> {
    let row = sql::query(select!("WHERE d.idempotency_key = $1")).bind(&request.key).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    request.check(&row)?;
    read(&row).map(Some)
}

/// Gives the row another configuration.
pub(crate) async fn put(
    conn: &mut Conn,
    row: &DistributionRow,
    content: &DistributionContent,
    version: u64,
    now_ms: i64,
) -> Result<(), Error> {
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
    .execute(&mut *conn)
    .await?;
    put_parts(conn, &row.id, content).await
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
                                    changed_version, created_at, updated_at, idempotency_key, request_hash, tags)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13)",
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
    .bind(serde_json::json!(new.tags).to_string())
    .execute(&mut *conn)
    .await?;
    put_parts(&mut *conn, &new.id, content).await?;
    let row = find(&mut *conn, new.id.as_str()).await?;
    log::append(conn, &activity("distribution.created", &row).detail("status", row.status.as_str()), now_ms).await?;
    Ok(())
}

pub(crate) fn activity(word: &'static str, row: &DistributionRow) -> NewEntry {
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

pub(crate) fn check_generation(row: &DistributionRow, expected: Option<u64>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != row.generation => Err(Error::Stale { distribution: row.id.to_string() }),
        _ => Ok(()),
    }
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<DistributionRow, Error> {
    row::find(conn, select!("WHERE d.id = $1"), "distribution", wanted, read).await
}

fn read(row: &Row) -> Result<DistributionRow, Error> {
    Ok(DistributionRow {
        id: id(row, "id")?,
        channel: optional_id(row, "channel_id")?,
        phase: word(row, "phase", DistributionPhase::parse)?,
        provider_id: optional_id(row, "provider_id")?,
        config: optional_text(row, "config")?,
        caller_reference: text(row, "caller_reference")?,
        generation: unsigned(row, "generation")?,
        observed_generation: unsigned(row, "observed_generation")?,
        drift: optional_text(row, "drift")?,
        last_checked_at: integer(row, "last_checked_at")?,
        tags: json(row, "tags")?,
        key_groups: list(row, "group_ids")?,
        domain_name: text(row, "domain_name")?,
        aliases: list(row, "aliases")?,
        enabled: flag(row, "enabled")?,
        price_class: text(row, "price_class")?,
        status: word(row, "status", DistributionState::parse)?,
        requests_total: unsigned(row, "requests_total")?,
        bytes_total: unsigned(row, "bytes_total")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
