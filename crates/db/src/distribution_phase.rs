//! Distributions that are made, come to a channel, leave it, or go.

use anabranch_model::{ChannelId, DistributionId, DistributionPhase};

use crate::distribution::{activity, check_generation, find, insert, made_before, put};
use crate::operation::{self, DISTRIBUTION_CREATE, DISTRIBUTION_DELETE, DISTRIBUTION_DETACH, DISTRIBUTION_UPDATE};
use crate::sql::{self, Conn};
use crate::{Created, Db, DistributionContent, DistributionRow, Error, NewDistribution, channel, log};

/// How a distribution is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retire {
    /// If it is disabled and belongs to no channel.
    Asked,
    /// Whatever it is, as long as no breakout is on air by it.
    Forced,
}

impl Db {
    /// Makes a distribution of its own, or for a channel that has none (V35).
    ///
    /// # Errors
    /// The caller reference or an alias is taken, a key group or channel is missing, the channel has a distribution, the
    /// idempotency key was used otherwise, or the query fails.
    pub async fn distribution_create(
        &self,
        new: &NewDistribution,
        channel: Option<&ChannelId>,
        now_ms: i64,
    ) -> Result<Created<DistributionRow>, Error> {
        let (mut tx, version) = self.wish().await?;
        if let Some(idempotency) = &new.idempotency
            && let Some(row) = made_before(&mut tx, idempotency).await?
        {
            return Ok(Created::Replayed(row));
        }
        if let Some(channel) = channel {
            vacant(&mut tx, channel).await?;
        }
        insert(&mut tx, new, channel, version, now_ms).await?;
        let lane = channel.map_or(new.id.as_str(), ChannelId::as_str);
        operation::begin(&mut tx, DISTRIBUTION_CREATE, new.id.as_str(), lane, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Takes a distribution from its channel, with a configuration that disables it (V34).
    ///
    /// # Errors
    /// There is none, it has no channel, a breakout of the channel is on air, or the query fails.
    pub async fn distribution_detach(
        &self,
        wanted: &str,
        content: &DistributionContent,
        now_ms: i64,
    ) -> Result<DistributionRow, Error> {
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        if row.phase == DistributionPhase::Detached {
            return Ok(row);
        }
        let Some(channel) = &row.channel else {
            let remedy = "it belongs to no channel; update it with Enabled false instead".to_owned();
            return Err(Error::NotNow { subject: "distribution", name: row.id.into(), remedy });
        };
        if let Some(other) = channel::on_air(&mut tx, channel).await? {
            return Err(Error::OtherOnAir { other });
        }
        put(&mut tx, &row, content, version, now_ms).await?;
        settle(&mut tx, &row.id, None, DistributionPhase::Detached).await?;
        log::append(&mut tx, &activity("distribution.detached", &row), now_ms).await?;
        operation::begin(&mut tx, DISTRIBUTION_DETACH, row.id.as_str(), row.lane(), now_ms).await?;
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Gives a distribution to a channel that has none, with a configuration that enables it.
    ///
    /// # Errors
    /// There is none, it serves another channel or is being deleted, the channel has one, or the query fails.
    pub async fn distribution_attach(
        &self,
        wanted: &str,
        channel: &ChannelId,
        content: &DistributionContent,
        now_ms: i64,
    ) -> Result<DistributionRow, Error> {
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        let remedy = match (&row.channel, row.phase) {
            (Some(has), _) if has == channel => return Ok(row),
            (Some(has), _) => Some(format!("it serves channel {has}; detach it first")),
            (None, DistributionPhase::Stale) => Some("it is being deleted".to_owned()),
            (None, DistributionPhase::Active | DistributionPhase::Detached) => None,
        };
        if let Some(remedy) = remedy {
            return Err(Error::NotNow { subject: "distribution", name: row.id.into(), remedy });
        }
        vacant(&mut tx, channel).await?;
        put(&mut tx, &row, content, version, now_ms).await?;
        settle(&mut tx, &row.id, Some(channel), DistributionPhase::Active).await?;
        log::append(&mut tx, &activity("distribution.attached", &row).channel(channel), now_ms).await?;
        operation::begin(&mut tx, DISTRIBUTION_UPDATE, row.id.as_str(), channel.as_str(), now_ms).await?;
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Wants a distribution gone: it is stale from now on, with a configuration that disables it (V40).
    ///
    /// # Errors
    /// There is none, its generation is not `expected`, `retire` does not allow it, a breakout is on air, or the query fails.
    pub async fn distribution_retire(
        &self,
        wanted: &str,
        content: &DistributionContent,
        retire: Retire,
        expected: Option<u64>,
        now_ms: i64,
    ) -> Result<DistributionRow, Error> {
        let (mut tx, version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        check_generation(&row, expected)?;
        if row.phase == DistributionPhase::Stale {
            return Ok(row);
        }
        if let Some(channel) = &row.channel
            && let Some(other) = channel::on_air(&mut tx, channel).await?
        {
            return Err(Error::OtherOnAir { other });
        }
        let remedy = match (&row.channel, retire) {
            (_, Retire::Forced) => None,
            (Some(channel), Retire::Asked) => Some(format!(
                "it belongs to channel {channel} and goes with it; detach it first, or delete the channel"
            )),
            (None, Retire::Asked) if row.enabled => {
                Some("it is enabled; update it with Enabled false first (DistributionNotDisabled)".to_owned())
            }
            (None, Retire::Asked) => None,
        };
        if let Some(remedy) = remedy {
            return Err(Error::InUse { subject: "distribution", name: row.id.into(), remedy });
        }
        if row.config.as_ref() != Some(&content.config) {
            put(&mut tx, &row, content, version, now_ms).await?;
        }
        settle(&mut tx, &row.id, None, DistributionPhase::Stale).await?;
        log::append(&mut tx, &activity("distribution.stale", &row), now_ms).await?;
        operation::begin(&mut tx, DISTRIBUTION_DELETE, row.id.as_str(), row.id.as_str(), now_ms).await?;
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes the row of a stale distribution, with its invalidations and traffic.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_remove(&self, wanted: &DistributionId, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = match find(&mut tx, wanted.as_str()).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if row.phase != DistributionPhase::Stale {
            return Ok(());
        }
        sql::query("DELETE FROM distributions WHERE id = $1 AND phase = 'stale'")
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        log::append(&mut tx, &activity("distribution.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Checks that the channel is there, stays and has no distribution.
async fn vacant(conn: &mut Conn, wanted: &ChannelId) -> Result<(), Error> {
    let row = channel::find(&mut *conn, wanted.as_str()).await?;
    row.check_stays()?;
    let has: Option<String> = sql::scalar("SELECT id FROM distributions WHERE channel_id = $1")
        .bind(wanted.as_str())
        .fetch_optional(conn)
        .await?;
    match has {
        None => Ok(()),
        Some(has) => {
            let remedy = format!("it has distribution {has}; detach that first");
            Err(Error::NotNow { subject: "channel", name: row.name, remedy })
        }
    }
}

async fn settle(
    conn: &mut Conn,
    wanted: &DistributionId,
    channel: Option<&ChannelId>,
    phase: DistributionPhase,
) -> Result<(), Error> {
    sql::query("UPDATE distributions SET channel_id = $1, phase = $2 WHERE id = $3")
        .bind(channel.map(ChannelId::as_str))
        .bind(phase.as_str())
        .bind(wanted.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
