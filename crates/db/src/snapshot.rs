//! The snapshot: the rows of what the data plane is told, of one moment.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anabranch_model::{
    AudienceSpec, BreakoutId, BreakoutSpec, ChannelSpec, DistributionId, EXPELLED_MAX, InvalidationLog, KeyGroupId,
    KeyGroupSpec, KeySpec,
};

use crate::row::{flag, id, integer, json, optional_text, text, unsigned};
use crate::sql::{self, Conn, Row, SEVERAL, several};
use crate::{Db, Error, local_invalidation, meta, viewer};

/// Where the version is kept.
const VERSION: &str = "snapshot_version";

/// How long a completed breakout stays readable.
pub const COMPLETED_READABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of the newest change of what nodes are told, and that of the newest wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Version of the snapshot.
    pub snapshot: u64,
    /// Goes up with each wish: what is wanted may be otherwise, and nodes may not have been told yet.
    pub wish: u64,
}

/// A distribution of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDistribution {
    /// Identifier.
    pub id: DistributionId,
    /// Snapshot version of the newest configuration.
    pub changed_version: u64,
    /// Configuration as JSON, and host name; none when the caller has those of this version.
    pub text: Option<(String, String)>,
}

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
    pub distributions: Vec<SnapshotDistribution>,
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
        self.snapshot_beyond(now_ms, |_, _| false).await
    }

    /// The same without the configurations that are `known`, by the id of the distribution and the version of its change.
    ///
    /// # Errors
    /// The query fails, or a row holds an unknown value.
    pub async fn snapshot_beyond(
        &self,
        now_ms: i64,
        known: impl Fn(&DistributionId, u64) -> bool,
    ) -> Result<SnapshotRows, Error> {
        // One read transaction, so that version and contents belong together.
        let mut tx = self.read().await?;
        let version = meta::mark(&mut tx, VERSION).await?;
        let breakouts = breakouts(&mut tx, now_ms).await?;
        let channels = channels(&mut tx).await?;
        let (distributions, floors) = distributions(&mut tx, known).await?;
        let invalidations = local_invalidation::logs(&mut tx, floors).await?;
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

    /// Whether time alone, from one moment to the other or back, changes the breakouts of the snapshot.
    ///
    /// # Errors
    /// The query fails.
    pub async fn snapshot_expires(&self, from_ms: i64, until_ms: i64) -> Result<bool, Error> {
        let (from, until) = (readable_since(from_ms.min(until_ms)), readable_since(from_ms.max(until_ms)));
        let found: Option<String> = sql::scalar(
            "SELECT id FROM breakouts WHERE state = 'COMPLETED' AND ended_at > $1 AND ended_at <= $2 LIMIT 1",
        )
        .bind(from)
        .bind(until)
        .fetch_optional(&self.readers)
        .await?;
        Ok(found.is_some())
    }

    /// The numbers of the newest changes, without what they are.
    ///
    /// # Errors
    /// The query fails.
    pub async fn marks(&self) -> Result<Marks, Error> {
        let row = sql::query(
            "SELECT (SELECT value FROM meta WHERE key = 'snapshot_version') AS snapshot,
                    (SELECT value FROM meta WHERE key = 'wish_version') AS wish",
        )
        .fetch_one(&self.readers)
        .await?;
        Ok(Marks { snapshot: unsigned(&row, "snapshot")?, wish: unsigned(&row, "wish")? })
    }

    /// The newest version, without what it holds.
    ///
    /// # Errors
    /// The query fails.
    pub async fn snapshot_version(&self) -> Result<u64, Error> {
        meta::mark(&mut self.readers.acquire().await?, VERSION).await
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

/// Breakouts that ended later are readable.
fn readable_since(now_ms: i64) -> i64 {
    now_ms.saturating_sub(i64::try_from(COMPLETED_READABLE.as_millis()).unwrap_or(i64::MAX))
}

/// No more columns than nodes are told of: there may be thousands of rows, and each is read at each change.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT b.id, b.channel_id, b.session, b.curtain_up, b.revoked_before, b.created_at,
                    CASE WHEN b.attendance = 'off' AND b.device_limit = 0 THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END
                        AS attendance
             FROM ",
            $from
        )
    };
}

/// Breakouts on air, and those that may still be read; oldest first.
async fn breakouts(conn: &mut Conn, now_ms: i64) -> Result<Vec<BreakoutSpec>, Error> {
    // On air is what a pipeline packages, whatever the breakout's own row says by now.
    let on_air = sql::query(select!("local_pipelines p JOIN breakouts b ON b.id = p.session AND b.channel_id = p.id"))
        .fetch_all(&mut *conn)
        .await?;
    let readable =
        sql::query(select!("breakouts b WHERE b.state = 'COMPLETED' AND b.ended_at > $1 AND b.channel_id IS NOT NULL"))
            .bind(readable_since(now_ms))
            .fetch_all(&mut *conn)
            .await?;
    let mut shut_out: BTreeMap<BreakoutId, Vec<String>> = BTreeMap::new();
    for (breakout, session) in viewer::expelled(&mut *conn).await? {
        let sessions = shut_out.entry(breakout).or_default();
        if sessions.len() < EXPELLED_MAX {
            sessions.push(session);
        }
    }
    let spec = |row: &Row, on_air: bool| {
        let breakout: BreakoutId = id(row, "id")?;
        let audience = AudienceSpec {
            curtain_up: flag(row, "curtain_up")?,
            revoked_before: integer(row, "revoked_before")?,
            expelled: shut_out.get(&breakout).cloned().unwrap_or_default(),
            attendance: flag(row, "attendance")?,
        };
        let (channel, session) = (id(row, "channel_id")?, unsigned(row, "session")?);
        let spec = BreakoutSpec { on_air, channel, session, id: breakout, audience, aligned: None };
        Ok::<_, Error>((integer(row, "created_at")?, spec))
    };
    let mut specs = Vec::with_capacity(on_air.len() + readable.len());
    for (rows, on_air) in [(&on_air, true), (&readable, false)] {
        for row in rows {
            specs.push(spec(row, on_air)?);
        }
    }
    // The same breakout twice is one that its pipeline has not left yet: that one counts, and comes first.
    specs.sort_by(|(one_at, one), (other_at, other)| {
        (one_at, one.id.as_str(), !one.on_air).cmp(&(other_at, other.id.as_str(), !other.on_air))
    });
    specs.dedup_by(|(_, later), (_, first)| later.id == first.id);
    Ok(specs.into_iter().map(|(_, spec)| spec).collect())
}

async fn channels(conn: &mut Conn) -> Result<Vec<ChannelSpec>, Error> {
    let rows =
        sql::query("SELECT spec, running, chosen FROM local_pipelines ORDER BY created_at, id").fetch_all(conn).await?;
    let spec = |row: &Row| {
        let mut spec: ChannelSpec = json(row, "spec")?;
        spec.running = flag(row, "running")?;
        spec.failover.chosen = match optional_text(row, "chosen")? {
            None => None,
            Some(_) => Some(json(row, "chosen")?),
        };
        Ok(spec)
    };
    rows.iter().map(spec).collect()
}

/// Distributions, oldest first, and of which invalidations edges are told no longer.
async fn distributions(
    conn: &mut Conn,
    known: impl Fn(&DistributionId, u64) -> bool,
) -> Result<(Vec<SnapshotDistribution>, Vec<(DistributionId, u64)>), Error> {
    let rows =
        sql::query("SELECT id, changed_version, invalidation_floor FROM local_distributions ORDER BY created_at, id")
            .fetch_all(&mut *conn)
            .await?;
    let (mut found, mut floors) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in &rows {
        let id: DistributionId = id(row, "id")?;
        floors.push((id.clone(), unsigned(row, "invalidation_floor")?));
        found.push(SnapshotDistribution { id, changed_version: unsigned(row, "changed_version")?, text: None });
    }
    let unknown: Vec<&str> =
        found.iter().filter(|row| !known(&row.id, row.changed_version)).map(|row| row.id.as_str()).collect();
    let mut texts = HashMap::new();
    for some in unknown.chunks(SEVERAL) {
        let rows =
            sql::query(concat!("SELECT id, config, domain FROM local_distributions WHERE id IN (", several!(), ")"))
                .bind_several(some)
                .fetch_all(&mut *conn)
                .await?;
        for row in &rows {
            let id: DistributionId = id(row, "id")?;
            texts.insert(id, (text(row, "config")?, text(row, "domain")?));
        }
    }
    for row in &mut found {
        row.text = texts.remove(&row.id);
    }
    Ok((found, floors))
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
