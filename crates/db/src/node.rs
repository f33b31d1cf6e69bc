//! Nodes that are processes of their own.

use anabranch_model::{NodeName, NodeState, PlaneId};

use crate::log::{self, NewEntry};
use crate::row::{id, integer, signed, text, unsigned, word};
use crate::sql::{self, Row};
use crate::{Db, Error};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub name: NodeName,
    /// `edge`.
    pub role: String,
    /// Where it stands, in the operator's words.
    pub location: String,
    /// Price class of that location, in CloudFront's words.
    pub location_class: String,
    /// Whether it is waited for.
    pub state: NodeState,
    /// Snapshot version that it has confirmed last.
    pub version: u64,
    /// When it was first heard of, in Unix milliseconds.
    pub joined_at: i64,
    /// When it was last heard of, in Unix milliseconds; may lag by a minute.
    pub seen_at: i64,
}

impl Db {
    /// Who this control plane is. The same as long as the database lives, in backups too.
    ///
    /// # Errors
    /// The query fails.
    pub async fn plane_id(&self) -> Result<PlaneId, Error> {
        let row = sql::query("SELECT id FROM plane").fetch_one(&self.readers).await?;
        id(&row, "id")
    }

    /// Raises the snapshot version above `version`, if it is not yet.
    ///
    /// # Errors
    /// The query fails.
    pub async fn snapshot_raise(&self, version: u64) -> Result<(), Error> {
        let (mut tx, now) = self.change().await?;
        if now <= version {
            sql::query("UPDATE meta SET value = $1 WHERE key = 'snapshot_version'")
                .bind(signed(version.saturating_add(1)))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Makes the node's row, or replaces what it says.
    ///
    /// # Errors
    /// The query fails.
    pub async fn node_put(&self, node: &NodeRow, now_ms: i64) -> Result<(), Error> {
        self.nodes_put(std::slice::from_ref(node), now_ms).await
    }

    /// The same for several.
    ///
    /// # Errors
    /// The query fails; then none was written.
    pub async fn nodes_put(&self, nodes: &[NodeRow], now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for node in nodes {
            let before: Option<String> = sql::scalar("SELECT state FROM nodes WHERE name = $1")
                .bind(node.name.as_str())
                .fetch_optional(&mut *tx)
                .await?;
            if before.as_deref() != Some(node.state.as_str()) {
                log::append(&mut tx, &moved(node, before), now_ms).await?;
            }
            sql::query(
                "INSERT INTO nodes (name, role, location, location_class, state, version, joined_at, seen_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (name) DO UPDATE SET role = $2, location = $3, location_class = $4, state = $5,
                                                  version = $6, seen_at = $8",
            )
            .bind(node.name.as_str())
            .bind(&node.role)
            .bind(&node.location)
            .bind(&node.location_class)
            .bind(node.state.as_str())
            .bind(signed(node.version))
            .bind(node.joined_at)
            .bind(node.seen_at)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Every node, by name.
    ///
    /// # Errors
    /// The query fails.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        let rows = sql::query("SELECT * FROM nodes ORDER BY name").fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Deletes a node's row. What its spools have counted stays.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn node_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let done = sql::query("DELETE FROM nodes WHERE name = $1").bind(wanted).execute(&mut *tx).await?;
        if done == 0 {
            return Err(Error::not_found("node", wanted));
        }
        log::append(&mut tx, &NewEntry::transition("node.forgotten", "node", wanted), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The entry of a node that was `before` and is as the row says.
fn moved(node: &NodeRow, before: Option<String>) -> NewEntry {
    let word = match node.state {
        NodeState::Present => "node.joined",
        NodeState::Left => "node.left",
        NodeState::Lost => "node.lost",
    };
    NewEntry::transition(word, "node", node.name.as_str())
        .detail("role", node.role.as_str())
        .detail("location", node.location.as_str())
        .detail("from", before)
        .detail("to", node.state.as_str())
}

fn read(row: &Row) -> Result<NodeRow, Error> {
    Ok(NodeRow {
        name: id(row, "name")?,
        role: text(row, "role")?,
        location: text(row, "location")?,
        location_class: text(row, "location_class")?,
        state: word(row, "state", NodeState::parse)?,
        version: unsigned(row, "version")?,
        joined_at: integer(row, "joined_at")?,
        seen_at: integer(row, "seen_at")?,
    })
}
