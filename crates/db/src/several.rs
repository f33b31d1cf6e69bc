//! Rows about each item of a list, by one statement for all of them.

use std::collections::HashMap;

use anabranch_model::{ChannelId, DistributionId, DistributionState};

use crate::row::{flag, id, text, word};
use crate::sql::{self, SEVERAL, several};
use crate::{Db, Error, InputRow, JobRow, OperationRow, channel, job, operation};

/// What lists of channels say of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDistribution {
    /// Identifier.
    pub id: DistributionId,
    /// Its host name, lower case.
    pub domain_name: String,
    /// Whether every edge has the newest configuration.
    pub status: DistributionState,
    /// Whether it is wanted serving.
    pub enabled: bool,
}

impl Db {
    /// Open operations about these subjects; the newest of each.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operations_about(&self, subjects: &[&str]) -> Result<HashMap<String, OperationRow>, Error> {
        let mut open = HashMap::new();
        for some in subjects.chunks(SEVERAL) {
            let rows = sql::query(concat!(
                "SELECT * FROM operations WHERE finished_at IS NULL AND subject IN (",
                several!(),
                ") ORDER BY number"
            ))
            .bind_several(some)
            .fetch_all(&self.readers)
            .await?;
            for row in &rows {
                let row = operation::read(row)?;
                open.insert(row.subject.clone(), row);
            }
        }
        Ok(open)
    }

    /// The newest job of a kind about each of these subjects: the one that is not finished, if there is one, whatever the clock said when
    /// it was made.
    ///
    /// # Errors
    /// The query fails.
    pub async fn jobs_about(&self, kind: &str, subjects: &[&str]) -> Result<HashMap<String, JobRow>, Error> {
        let mut newest = HashMap::new();
        for some in subjects.chunks(SEVERAL) {
            let rows = sql::query(concat!(
                "SELECT * FROM jobs WHERE subject IN (",
                several!(),
                ") AND kind = $51 ORDER BY CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END, created_at, id"
            ))
            .bind_several(some)
            .bind(kind)
            .fetch_all(&self.readers)
            .await?;
            for row in &rows {
                let row = job::read(row)?;
                newest.insert(row.subject.clone(), row);
            }
        }
        Ok(newest)
    }

    /// The inputs of each of these channels, in order.
    ///
    /// # Errors
    /// The query fails.
    pub async fn inputs_of(&self, channels: &[&str]) -> Result<HashMap<ChannelId, Vec<InputRow>>, Error> {
        let mut inputs: HashMap<ChannelId, Vec<InputRow>> = HashMap::new();
        for some in channels.chunks(SEVERAL) {
            let rows = sql::query(concat!(
                "SELECT id, stream_key, channel_id FROM inputs WHERE channel_id IN (",
                several!(),
                ") ORDER BY channel_id, position"
            ))
            .bind_several(some)
            .fetch_all(&self.readers)
            .await?;
            for row in &rows {
                inputs.entry(id(row, "channel_id")?).or_default().push(channel::read_input(row)?);
            }
        }
        Ok(inputs)
    }

    /// The distribution of each of these channels that has one.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_of(&self, channels: &[&str]) -> Result<HashMap<ChannelId, ChannelDistribution>, Error> {
        let mut found = HashMap::new();
        for some in channels.chunks(SEVERAL) {
            let rows = sql::query(concat!(
                "SELECT id, channel_id, domain_name, status, enabled FROM distributions WHERE channel_id IN (",
                several!(),
                ")"
            ))
            .bind_several(some)
            .fetch_all(&self.readers)
            .await?;
            for row in &rows {
                let distribution = ChannelDistribution {
                    id: id(row, "id")?,
                    domain_name: text(row, "domain_name")?,
                    status: word(row, "status", DistributionState::parse)?,
                    enabled: flag(row, "enabled")?,
                };
                found.insert(id(row, "channel_id")?, distribution);
            }
        }
        Ok(found)
    }
}
