//! What the local provider has: pipelines and distributions as nodes are told of them.

use std::collections::BTreeMap;

use anabranch_model::{BreakoutId, ChannelId, ChannelSpec, ChosenInput, DistributionId, InputId};

use crate::row::{flag, id, integer, json, optional_id, optional_text, signed, text, unsigned};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error};

/// A pipeline of the local provider.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalPipelineRow {
    /// Identifier: the channel's.
    pub id: ChannelId,
    /// What nodes are told of it; whether it runs and the operator's choice are in the fields below.
    pub spec: ChannelSpec,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Whether it is wanted running.
    pub running: bool,
    /// Breakout that it packages.
    pub session: Option<BreakoutId>,
    /// The operator's last choice of an input.
    pub chosen: Option<ChosenInput>,
    /// Snapshot version by which it runs or rests, packaging its session; 0 when it has never run.
    pub changed_version: u64,
}

/// A distribution of the local provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDistributionRow {
    /// Identifier.
    pub id: DistributionId,
    /// The maker's token.
    pub reference: String,
    /// Configuration as JSON.
    pub config: String,
    /// Goes up with each change of the configuration.
    pub revision: u64,
    /// Host name.
    pub domain: String,
    /// Whether it serves.
    pub enabled: bool,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Snapshot version that edges must apply for the newest configuration.
    pub changed_version: u64,
    /// Sequence of the newest invalidation that edges are no longer told of.
    pub invalidation_floor: u64,
}

/// A distribution to make.
#[derive(Clone, Debug)]
pub struct NewLocalDistribution {
    /// Its id.
    pub id: DistributionId,
    /// The maker's token.
    pub reference: String,
    /// Configuration as JSON.
    pub config: String,
    /// Host name.
    pub domain: String,
    /// Whether it serves.
    pub enabled: bool,
    /// Labels.
    pub tags: BTreeMap<String, String>,
}

/// What became of a change at the local provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// It is so now.
    Done(T),
    /// There is no such resource.
    NotFound,
    /// The revision is another one.
    Stale,
    /// Something else has the reference, the id or a name: this one.
    Taken(String),
}

impl Db {
    /// Makes a pipeline, or makes it as `spec` says. Whether it runs stays as it is.
    ///
    /// # Errors
    /// A stream key is that of another channel, or the query fails.
    pub async fn local_pipeline_ensure(
        &self,
        spec: &ChannelSpec,
        tags: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Result<LocalPipelineRow, Error> {
        let (mut tx, _version) = self.change().await?;
        let known = pipeline(&mut tx, &spec.id).await?;
        if let Some(known) = &known
            && known.spec == *spec
            && known.tags == *tags
        {
            return Ok(known.clone());
        }
        sql::query(
            "INSERT INTO local_pipelines (id, spec, tags, running, changed_version, created_at)
             VALUES ($1, $2, $3, 0, 0, $4)
             ON CONFLICT (id) DO UPDATE SET spec = $2, tags = $3",
        )
        .bind(spec.id.as_str())
        .bind(encoded(spec))
        .bind(encoded(tags))
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        let row = pipeline(&mut tx, &spec.id).await?.ok_or_else(|| Error::not_found("pipeline", spec.id.as_str()))?;
        tx.commit().await?;
        Ok(row)
    }

    /// Wants a pipeline running or not, packaging `session`; `None` when there is none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_pipeline_run(
        &self,
        wanted: &ChannelId,
        running: bool,
        session: Option<&BreakoutId>,
    ) -> Result<Option<LocalPipelineRow>, Error> {
        let (mut tx, version) = self.change().await?;
        let Some(row) = pipeline(&mut tx, wanted).await? else { return Ok(None) };
        if row.running == running && row.session.as_ref() == session {
            return Ok(Some(row));
        }
        sql::query("UPDATE local_pipelines SET running = $1, session = $2, changed_version = $3 WHERE id = $4")
            .bind(i64::from(running))
            .bind(session.map(BreakoutId::as_str))
            .bind(signed(version))
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        let row = pipeline(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Keeps the operator's choice of an input unless a newer one is known; `None` when there is no such pipeline.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_pipeline_choose(
        &self,
        wanted: &ChannelId,
        chosen: &ChosenInput,
    ) -> Result<Option<LocalPipelineRow>, Error> {
        let (mut tx, _version) = self.change().await?;
        let Some(row) = pipeline(&mut tx, wanted).await? else { return Ok(None) };
        if row.chosen.as_ref().is_some_and(|last| last.sequence >= chosen.sequence) {
            return Ok(Some(row));
        }
        sql::query("UPDATE local_pipelines SET chosen = $1 WHERE id = $2")
            .bind(encoded(chosen))
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        let row = pipeline(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The pipeline with this id.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_pipeline(&self, wanted: &ChannelId) -> Result<Option<LocalPipelineRow>, Error> {
        pipeline(&mut self.readers.acquire().await?, wanted).await
    }

    /// Deletes a pipeline that nobody wants running; says whether it is gone.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_pipeline_delete(&self, wanted: &ChannelId) -> Result<bool, Error> {
        let (mut tx, _version) = self.change().await?;
        match pipeline(&mut tx, wanted).await? {
            None => return Ok(true),
            Some(row) if row.running => return Ok(false),
            Some(_) => {}
        }
        sql::query("DELETE FROM local_pipelines WHERE id = $1").bind(wanted.as_str()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ids of pipelines after `after`, in order.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_pipeline_ids(&self, after: &str, limit: u32) -> Result<Vec<ChannelId>, Error> {
        let rows = sql::query("SELECT id FROM local_pipelines WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// Makes a distribution, or answers the one that the reference made with the same configuration.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution_create(
        &self,
        new: &NewLocalDistribution,
        now_ms: i64,
    ) -> Result<Change<LocalDistributionRow>, Error> {
        let (mut tx, version) = self.change().await?;
        let known = sql::query("SELECT * FROM local_distributions WHERE reference = $1")
            .bind(&new.reference)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(known) = known {
            let same = text(&known, "given")? == new.config;
            let row = read_distribution(&known)?;
            return Ok(if same { Change::Done(row) } else { Change::Taken(row.id.into()) });
        }
        let other: Option<String> = sql::scalar("SELECT id FROM local_distributions WHERE id = $1 OR domain = $2")
            .bind(new.id.as_str())
            .bind(&new.domain)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(other) = other {
            return Ok(Change::Taken(other));
        }
        // Edges may still keep objects of one with the same id: numbers of its invalidations are not given again.
        sql::query(
            "INSERT INTO local_distributions (id, reference, given, config, revision, domain, enabled, tags, changed_version,
                                              invalidation_sequence, invalidation_floor, created_at)
             VALUES ($1, $2, $3, $3, 1, $4, $5, $6, $7,
                     (SELECT COALESCE(MAX(sequence), 0) FROM invalidations WHERE distribution_id = $1),
                     (SELECT COALESCE(MAX(sequence), 0) FROM invalidations WHERE distribution_id = $1), $8)",
        )
        .bind(new.id.as_str())
        .bind(&new.reference)
        .bind(&new.config)
        .bind(&new.domain)
        .bind(i64::from(new.enabled))
        .bind(encoded(&new.tags))
        .bind(signed(version))
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        let row =
            distribution(&mut tx, &new.id).await?.ok_or_else(|| Error::not_found("distribution", new.id.as_str()))?;
        tx.commit().await?;
        Ok(Change::Done(row))
    }

    /// The distribution with this id.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution(&self, wanted: &DistributionId) -> Result<Option<LocalDistributionRow>, Error> {
        distribution(&mut self.readers.acquire().await?, wanted).await
    }

    /// Gives a distribution of this revision another configuration.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution_update(
        &self,
        wanted: &DistributionId,
        revision: Option<u64>,
        config: &str,
        enabled: bool,
    ) -> Result<Change<LocalDistributionRow>, Error> {
        let (mut tx, version) = self.change().await?;
        let Some(row) = distribution(&mut tx, wanted).await? else { return Ok(Change::NotFound) };
        if revision.is_some_and(|revision| revision != row.revision) {
            return Ok(Change::Stale);
        }
        sql::query(
            "UPDATE local_distributions SET config = $1, enabled = $2, revision = revision + 1, changed_version = $3
             WHERE id = $4",
        )
        .bind(config)
        .bind(i64::from(enabled))
        .bind(signed(version))
        .bind(wanted.as_str())
        .execute(&mut *tx)
        .await?;
        let row = distribution(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row.map_or(Change::NotFound, Change::Done))
    }

    /// Deletes a distribution of this revision.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution_delete(
        &self,
        wanted: &DistributionId,
        revision: Option<u64>,
    ) -> Result<Change<()>, Error> {
        let (mut tx, _version) = self.change().await?;
        let Some(row) = distribution(&mut tx, wanted).await? else { return Ok(Change::NotFound) };
        if revision.is_some_and(|revision| revision != row.revision) {
            return Ok(Change::Stale);
        }
        sql::query("DELETE FROM local_distributions WHERE id = $1").bind(wanted.as_str()).execute(&mut *tx).await?;
        sql::query("DELETE FROM local_traffic WHERE distribution_id = $1")
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Change::Done(()))
    }

    /// Ids of distributions after `after`, in order.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution_ids(&self, after: &str, limit: u32) -> Result<Vec<DistributionId>, Error> {
        let rows = sql::query("SELECT id FROM local_distributions WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// Distributions whose configuration is still to be filled in: made by a version that kept none.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distributions_empty(&self) -> Result<Vec<DistributionId>, Error> {
        let rows = sql::query("SELECT id FROM local_distributions WHERE config = ''").fetch_all(&self.readers).await?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// Fills in the configuration of such a distribution, here and in what is wanted of it.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_distribution_fill(&self, wanted: &DistributionId, config: &str) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for update in [
            "UPDATE local_distributions SET config = $1, given = $1 WHERE id = $2 AND config = ''",
            "UPDATE distributions SET config = $1 WHERE id = $2 AND config IS NULL",
        ] {
            sql::query(update).bind(config).bind(wanted.as_str()).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Requests and bytes of a distribution in whole minutes since the Unix epoch, the last one included.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_traffic(&self, wanted: &DistributionId, from: i64, until: i64) -> Result<(u64, u64), Error> {
        let row = sql::query(
            "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS requests, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes
             FROM local_traffic WHERE distribution_id = $1 AND minute BETWEEN $2 AND $3",
        )
        .bind(wanted.as_str())
        .bind(from)
        .bind(until)
        .fetch_one(&self.readers)
        .await?;
        Ok((unsigned(&row, "requests")?, unsigned(&row, "bytes")?))
    }

    /// Forgets traffic of minutes before `minute`.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_traffic_forget(&self, minute: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("DELETE FROM local_traffic WHERE minute < $1").bind(minute).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl LocalPipelineRow {
    /// Whether it has this input.
    #[must_use]
    pub fn has_input(&self, input: &InputId) -> bool {
        self.spec.inputs.iter().any(|one| one.id == *input)
    }
}

fn encoded<T: serde::Serialize>(value: &T) -> String {
    // Maps with text keys and plain structs always encode.
    serde_json::to_string(value).expect("rows encode as json")
}

async fn pipeline(conn: &mut Conn, wanted: &ChannelId) -> Result<Option<LocalPipelineRow>, Error> {
    let row =
        sql::query("SELECT * FROM local_pipelines WHERE id = $1").bind(wanted.as_str()).fetch_optional(conn).await?;
    row.as_ref().map(read_pipeline).transpose()
}

async fn distribution(conn: &mut Conn, wanted: &DistributionId) -> Result<Option<LocalDistributionRow>, Error> {
    let row = sql::query("SELECT * FROM local_distributions WHERE id = $1")
        .bind(wanted.as_str())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read_distribution).transpose()
}

fn read_pipeline(row: &Row) -> Result<LocalPipelineRow, Error> {
    let chosen = optional_text(row, "chosen")?;
    let chosen = match chosen {
        None => None,
        Some(value) => {
            Some(serde_json::from_str(&value).map_err(|_| Error::Value { column: "chosen", value: value.clone() })?)
        }
    };
    Ok(LocalPipelineRow {
        id: id(row, "id")?,
        spec: json(row, "spec")?,
        tags: json(row, "tags")?,
        running: flag(row, "running")?,
        session: optional_id(row, "session")?,
        chosen,
        changed_version: unsigned(row, "changed_version")?,
    })
}

fn read_distribution(row: &Row) -> Result<LocalDistributionRow, Error> {
    Ok(LocalDistributionRow {
        id: id(row, "id")?,
        reference: text(row, "reference")?,
        config: text(row, "config")?,
        revision: unsigned(row, "revision")?,
        domain: text(row, "domain")?,
        enabled: integer(row, "enabled")? != 0,
        tags: json(row, "tags")?,
        changed_version: unsigned(row, "changed_version")?,
        invalidation_floor: unsigned(row, "invalidation_floor")?,
    })
}
