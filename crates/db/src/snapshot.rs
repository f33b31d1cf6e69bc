//! The snapshot: the rows of what the data plane is told, of one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_model::{
    AudienceSpec, BreakoutId, BreakoutSpec, ChannelSpec, DistributionId, EXPELLED_MAX, InvalidationLog, KeyGroupId,
    KeyGroupSpec, KeySpec,
};

use crate::row::{flag, id, text};
use crate::sql::{self, Conn, Row, Tx};
use crate::{Attendance, Db, Error, Idempotency, LocalDistributionRow, LocalPipelineRow};
use crate::{breakout, local, local_invalidation, viewer};

/// How long a completed breakout stays readable.
pub const COMPLETED_READABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the data plane is to do, of one moment; distributions still as rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotRows {
    /// Goes up with every change.
    pub version: u64,
    /// Channels, running or not.
    pub channels: Vec<ChannelSpec>,
    /// Breakouts that are on air, or over but still readable.
    pub breakouts: Vec<BreakoutSpec>,
    /// Distributions, enabled or not, oldest first.
    pub distributions: Vec<LocalDistributionRow>,
    /// What has been ordered out of the caches of each of them.
    pub invalidations: BTreeMap<DistributionId, InvalidationLog>,
    /// Key groups with their keys.
    pub key_groups: Vec<KeyGroupSpec>,
}

impl Db {
    /// What the data plane is to do now.
    ///
    /// # Errors
    /// The query fails, or a row holds an unknown value.
    pub async fn snapshot(&self, now_ms: i64) -> Result<SnapshotRows, Error> {
        // One read transaction, so that version and contents belong together.
        let mut tx = self.read().await?;
        let version = version(&mut tx).await?;
        let breakouts = breakouts(&mut tx, now_ms).await?;
        let channels = local::pipelines(&mut tx).await?.into_iter().map(channel).collect();
        let distributions = local::distributions(&mut tx).await?;
        let invalidations = local_invalidation::logs(&mut tx, &distributions).await?;
        let key_groups = key_groups(&mut tx).await?;
        Ok(SnapshotRows { version, channels, breakouts, distributions, invalidations, key_groups })
    }

    /// The breakouts of the snapshot, which change by time alone.
    ///
    /// # Errors
    /// The query fails, or a row holds an unknown value.
    pub async fn snapshot_breakouts(&self, now_ms: i64) -> Result<Vec<BreakoutSpec>, Error> {
        breakouts(&mut self.readers.acquire().await?, now_ms).await
    }

    /// The newest version, without what it holds.
    ///
    /// # Errors
    /// The query fails.
    pub async fn snapshot_version(&self) -> Result<u64, Error> {
        version(&mut self.readers.acquire().await?).await
    }

    /// Raises the version, for contents that change by time alone.
    ///
    /// # Errors
    /// The query fails.
    pub async fn snapshot_bump(&self) -> Result<(), Error> {
        let (tx, _version) = self.change().await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Idempotency {
    /// Whether the row was made by the same request.
    pub(crate) fn check(&self, row: &Row) -> Result<(), Error> {
        let hash: Option<Vec<u8>> = row.get("request_hash")?;
        let same = hash.as_deref() == Some(self.request_hash.as_slice());
        if same { Ok(()) } else { Err(Error::KeyReused { key: self.key.clone() }) }
    }
}

pub(crate) async fn bump(tx: &mut Tx) -> Result<u64, Error> {
    let version: i64 = sql::scalar("UPDATE meta SET value = value + 1 WHERE key = 'snapshot_version' RETURNING value")
        .fetch_one(&mut **tx)
        .await?;
    checked_version(version)
}

/// The number of a wish.
pub(crate) async fn wish(tx: &mut Tx) -> Result<u64, Error> {
    let number: i64 = sql::scalar("UPDATE meta SET value = value + 1 WHERE key = 'wish_version' RETURNING value")
        .fetch_one(&mut **tx)
        .await?;
    checked_version(number)
}

async fn version(conn: &mut Conn) -> Result<u64, Error> {
    let version: i64 = sql::scalar("SELECT value FROM meta WHERE key = 'snapshot_version'").fetch_one(conn).await?;
    checked_version(version)
}

fn checked_version(version: i64) -> Result<u64, Error> {
    u64::try_from(version).map_err(|_| Error::Value { column: "value", value: version.to_string() })
}

async fn breakouts(conn: &mut Conn, now_ms: i64) -> Result<Vec<BreakoutSpec>, Error> {
    let readable_ms = i64::try_from(COMPLETED_READABLE.as_millis()).unwrap_or(i64::MAX);
    // On air is what a pipeline packages, whatever the breakout's own row says by now.
    let rows = sql::query(
        "SELECT b.*, CASE WHEN p.id IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END AS on_air
         FROM breakouts b LEFT JOIN local_pipelines p ON p.id = b.channel_id AND p.session = b.id
         WHERE p.id IS NOT NULL OR (b.state = 'COMPLETED' AND b.ended_at > $1)
         ORDER BY b.created_at, b.id",
    )
    .bind(now_ms.saturating_sub(readable_ms))
    .fetch_all(&mut *conn)
    .await?;
    let mut shut_out: BTreeMap<BreakoutId, Vec<String>> = BTreeMap::new();
    for (breakout, session) in viewer::expelled(&mut *conn).await? {
        let sessions = shut_out.entry(breakout).or_default();
        if sessions.len() < EXPELLED_MAX {
            sessions.push(session);
        }
    }
    let spec = |row: &Row| {
        let on_air = flag(row, "on_air")?;
        let row = breakout::read(row)?;
        let Some(channel) = row.channel else { return Ok(None) };
        let audience = AudienceSpec {
            curtain_up: row.content.curtain_up,
            revoked_before: row.revoked_before,
            expelled: shut_out.remove(&row.id).unwrap_or_default(),
            attendance: row.content.attendance != Attendance::Off || row.content.device_limit > 0,
        };
        Ok(Some(BreakoutSpec { on_air, id: row.id, channel, session: row.session, audience }))
    };
    rows.iter().map(spec).filter_map(Result::transpose).collect()
}

fn channel(row: LocalPipelineRow) -> ChannelSpec {
    let mut spec = row.spec;
    spec.running = row.running;
    spec.failover.chosen = row.chosen;
    spec
}

async fn key_groups(conn: &mut Conn) -> Result<Vec<KeyGroupSpec>, Error> {
    let mut keys: BTreeMap<KeyGroupId, Vec<KeySpec>> = BTreeMap::new();
    let rows = sql::query(
        "SELECT k.id, m.group_id, k.public_pem FROM key_group_members m JOIN keys k ON k.id = m.key_id
         ORDER BY k.created_at, k.id",
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        let spec = KeySpec { id: id(row, "id")?, public_key_pem: text(row, "public_pem")? };
        keys.entry(id(row, "group_id")?).or_default().push(spec);
    }
    let rows = sql::query("SELECT id FROM key_groups ORDER BY created_at, id").fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let group: KeyGroupId = id(row, "id")?;
            Ok(KeyGroupSpec { keys: keys.remove(&group).unwrap_or_default(), id: group })
        })
        .collect()
}
