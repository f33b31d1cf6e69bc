//! Channels that go.

use anabranch_model::{ChannelId, ChannelState, DistributionPhase};

use crate::channel::{activity, find, on_air};
use crate::operation::{self, CHANNEL_DELETE};
use crate::{ChannelRow, Db, Error, breakout, log, sql};

impl Db {
    /// Wants a channel at rest gone: it is stale from now on.
    ///
    /// # Errors
    /// There is none, it is not `Idle`, a breakout of it is on air, or the query fails.
    pub async fn channel_retire(&self, wanted: &str, now_ms: i64) -> Result<ChannelRow, Error> {
        let (mut tx, _version) = self.wish().await?;
        let row = find(&mut tx, wanted).await?;
        let remedy = match (on_air(&mut tx, &row.id).await?, row.state) {
            (Some(other), _) => Some(format!("breakout {other:?} is on air; stop it first")),
            (None, ChannelState::Idle) => None,
            (None, ChannelState::Stopping) => Some("it is Stopping; wait until it is Idle".to_owned()),
            (None, state) => Some(format!("it is {}; stop it first", state.as_str())),
        };
        if let Some(remedy) = remedy {
            return Err(Error::InUse { subject: "channel", name: row.name, remedy });
        }
        if row.phase == DistributionPhase::Stale {
            return Ok(row);
        }
        sql::query("UPDATE channels SET phase = $1, updated_at = $2 WHERE id = $3")
            .bind(DistributionPhase::Stale.as_str())
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut *tx)
            .await?;
        log::append(&mut tx, &activity("channel.retired", &row), now_ms).await?;
        operation::begin(&mut tx, CHANNEL_DELETE, row.id.as_str(), row.id.as_str(), now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes the row of a stale channel with its inputs and breakouts.
    ///
    /// # Errors
    /// The query fails.
    pub async fn channel_remove(&self, wanted: &ChannelId, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = match find(&mut tx, wanted.as_str()).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if row.phase != DistributionPhase::Stale {
            return Ok(());
        }
        breakout::log_deletes(&mut tx, &row.id, now_ms).await?;
        // What never was on air goes with it; what was stays, with its recordings.
        sql::query("DELETE FROM breakouts WHERE channel_id = $1 AND state = 'IDLE' AND session = 1")
            .bind(wanted.as_str())
            .execute(&mut tx)
            .await?;
        sql::query("DELETE FROM channels WHERE id = $1 AND phase = 'stale'")
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        log::append(&mut tx, &activity("channel.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}
