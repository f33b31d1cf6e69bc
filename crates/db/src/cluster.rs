//! Clusters: their definitions, and which breakouts are their streams.

use std::collections::HashMap;

use anabranch_model::{BreakoutId, Cluster, DistributionId};

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, id, integer, json, text};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest};

/// Streams of one cluster that are watched at a time.
const CLUSTER_STREAMS_MAX: i64 = 100;

/// A cluster as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRow {
    /// Its definition, with the tokens of peers.
    pub cluster: Cluster,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; of the definition.
    pub updated_at: i64,
}

impl Db {
    /// Breakouts of a cluster that are on air or about to be, oldest first, 100 at most.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakouts_of_cluster(&self, cluster: &str) -> Result<Vec<BreakoutId>, Error> {
        let rows = sql::query(
            "SELECT id FROM breakouts WHERE cluster = $1 AND state IN ('STARTING', 'RUNNING') ORDER BY created_at, id LIMIT $2",
        )
        .bind(cluster)
        .bind(CLUSTER_STREAMS_MAX)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| id(row, "id")).collect()
    }

    /// Names of clusters by the breakouts that are their streams and not over.
    ///
    /// # Errors
    /// The query fails.
    pub async fn cluster_streams(&self) -> Result<HashMap<BreakoutId, String>, Error> {
        let rows = sql::query(
            "SELECT id, cluster FROM breakouts WHERE cluster IS NOT NULL AND state IN ('STARTING', 'RUNNING')",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((id(row, "id")?, text(row, "cluster")?))).collect()
    }

    /// Makes a cluster.
    ///
    /// # Errors
    /// The name is taken, a distribution is missing, the idempotency key was used otherwise, or the query fails.
    pub async fn cluster_create(
        &self,
        cluster: &Cluster,
        idempotency: Option<&Idempotency>,
        now_ms: i64,
    ) -> Result<Created<ClusterRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = idempotency {
            let row = sql::query("SELECT * FROM clusters WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        check_distributions(&mut tx, cluster).await?;
        sql::query(
            "INSERT INTO clusters (id, name, definition, created_at, updated_at, idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $4, $5, $6)",
        )
        .bind(cluster.id.as_str())
        .bind(&cluster.name)
        .bind(definition(cluster))
        .bind(now_ms)
        .bind(idempotency.map(|i| i.key.as_str()))
        .bind(idempotency.map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "cluster", &cluster.name))?;
        log::append(&mut tx, &activity("cluster.created", cluster), now_ms).await?;
        let row = find(&mut tx, cluster.id.as_str()).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// The cluster with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn cluster_find(&self, wanted: &str) -> Result<ClusterRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of clusters.
    ///
    /// # Errors
    /// The query fails.
    pub async fn cluster_page(&self, page: &PageRequest) -> Result<Page<ClusterRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM clusters WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.cluster.id.to_string(),
        })
        .await
    }

    /// Every cluster, oldest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn clusters(&self) -> Result<Vec<ClusterRow>, Error> {
        let rows = sql::query("SELECT * FROM clusters ORDER BY created_at, id").fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Defines a cluster otherwise. Id and name stay; what is kept of regions that are no longer there goes.
    ///
    /// # Errors
    /// There is none, a distribution is missing, or the query fails.
    pub async fn cluster_update(&self, cluster: &Cluster, now_ms: i64) -> Result<ClusterRow, Error> {
        let mut tx = self.begin().await?;
        let before = find(&mut tx, cluster.id.as_str()).await?;
        let cluster = Cluster { name: before.cluster.name.clone(), ..cluster.clone() };
        check_distributions(&mut tx, &cluster).await?;
        sql::query("UPDATE clusters SET definition = $1, updated_at = $2 WHERE id = $3")
            .bind(definition(&cluster))
            .bind(now_ms)
            .bind(cluster.id.as_str())
            .execute(&mut tx)
            .await?;
        for gone in before.cluster.regions.iter().filter(|region| cluster.region(&region.name).is_none()) {
            for statement in [
                "DELETE FROM cluster_registers WHERE cluster_id = $1 AND region = $2",
                "DELETE FROM cluster_votes WHERE cluster_id = $1 AND region = $2",
            ] {
                sql::query(statement).bind(cluster.id.as_str()).bind(&gone.name).execute(&mut tx).await?;
            }
        }
        log::append(&mut tx, &activity("cluster.changed", &cluster), now_ms).await?;
        let row = find(&mut tx, cluster.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a cluster with all that is kept of it.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn cluster_delete(&self, wanted: &str, now_ms: i64) -> Result<ClusterRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("DELETE FROM clusters WHERE id = $1").bind(row.cluster.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &activity("cluster.deleted", &row.cluster), now_ms).await?;
        tx.commit().await?;
        Ok(row)
    }
}

/// An entry without what is secret of it.
fn activity(word: &'static str, cluster: &Cluster) -> NewEntry {
    let regions: Vec<&str> = cluster.regions.iter().map(|region| region.name.as_str()).collect();
    NewEntry::activity(word, "cluster", cluster.id.as_str())
        .detail("name", cluster.name.as_str())
        .detail("regions", regions)
        .detail("mode", cluster.automat.mode.as_str())
}

fn definition(cluster: &Cluster) -> String {
    // Texts and finite numbers: nothing that JSON has not.
    serde_json::to_string(cluster).unwrap_or_default()
}

async fn check_distributions(conn: &mut Conn, cluster: &Cluster) -> Result<(), Error> {
    for id in cluster.regions.iter().filter_map(|region| region.distribution.as_ref()) {
        let found: Option<String> = sql::scalar("SELECT id FROM distributions WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *conn)
            .await?;
        if found.is_none() {
            return Err(missing(id));
        }
    }
    Ok(())
}

fn missing(id: &DistributionId) -> Error {
    Error::not_found("distribution", id.as_str()).dangling()
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<ClusterRow, Error> {
    row::find(conn, "SELECT * FROM clusters WHERE id = $1 OR name = $1", "cluster", wanted, read).await
}

fn read(row: &Row) -> Result<ClusterRow, Error> {
    Ok(ClusterRow {
        cluster: json(row, "definition")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
