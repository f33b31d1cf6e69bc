//! The snapshot: rows turned into what the data plane is told.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anabranch_model::{
    AllowedMethods, Behavior, BreakoutSpec, BreakoutState, CachePolicy, ChannelId, ChannelSpec, CorsPolicy,
    DistributionSpec, InputSpec, InvalidationLog, KeyGroupId, KeyGroupSpec, KeySpec, Origin, OriginRequestPolicy,
    OriginSpec, PriceClass, ResponseHeadersPolicy, Snapshot, Transform, ViewerProtocol,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::row::{id, text};
use crate::{BreakoutRow, ChannelRow, Db, DistributionRow, Error, Idempotency, breakout, channel, distribution};

/// How long a completed breakout stays readable.
pub const COMPLETED_READABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Name of the one origin of a channel's distribution.
const LIVE_ORIGIN: &str = "live";

impl Db {
    /// What the data plane is to do now.
    ///
    /// # Errors
    /// The query fails, or a row holds an unknown value.
    pub async fn snapshot(&self, now_ms: i64) -> Result<Snapshot, Error> {
        // One read transaction, so that version and contents belong together.
        let mut tx = self.readers.begin().await?;
        let version = version(&mut tx).await?;
        let breakouts = breakouts(&mut tx, now_ms).await?;
        let channels = channels(&mut tx, &breakouts).await?;
        let distributions = distributions(&mut tx).await?;
        let key_groups = key_groups(&mut tx).await?;
        Ok(Snapshot { version, channels, breakouts, distributions, key_groups })
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
    pub(crate) fn check(&self, row: &SqliteRow) -> Result<(), Error> {
        let hash: Option<Vec<u8>> = sqlx::Row::try_get(row, "request_hash")?;
        let same = hash.as_deref() == Some(self.request_hash.as_slice());
        if same { Ok(()) } else { Err(Error::KeyReused { key: self.key.clone() }) }
    }
}

pub(crate) async fn bump(tx: &mut Transaction<'static, Sqlite>) -> Result<u64, Error> {
    let version: i64 =
        sqlx::query_scalar("UPDATE meta SET value = value + 1 WHERE key = 'snapshot_version' RETURNING value")
            .fetch_one(&mut **tx)
            .await?;
    checked_version(version)
}

async fn version(conn: &mut SqliteConnection) -> Result<u64, Error> {
    let version: i64 =
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'snapshot_version'").fetch_one(conn).await?;
    checked_version(version)
}

fn checked_version(version: i64) -> Result<u64, Error> {
    u64::try_from(version).map_err(|_| Error::Value { column: "value", value: version.to_string() })
}

async fn breakouts(conn: &mut SqliteConnection, now_ms: i64) -> Result<Vec<BreakoutSpec>, Error> {
    let readable_ms = i64::try_from(COMPLETED_READABLE.as_millis()).unwrap_or(i64::MAX);
    let rows = sqlx::query(
        "SELECT * FROM breakouts WHERE state IN ('STARTING', 'RUNNING') OR (state = 'COMPLETED' AND ended_at > ?1)
         ORDER BY created_at, id",
    )
    .bind(now_ms.saturating_sub(readable_ms))
    .fetch_all(conn)
    .await?;
    let spec = |row: BreakoutRow| BreakoutSpec {
        on_air: row.state != BreakoutState::Completed,
        id: row.id,
        channel: row.channel,
    };
    rows.iter().map(|row| breakout::read(row).map(spec)).collect()
}

async fn channels(conn: &mut SqliteConnection, breakouts: &[BreakoutSpec]) -> Result<Vec<ChannelSpec>, Error> {
    let on_air: HashSet<&ChannelId> = breakouts.iter().filter(|b| b.on_air).map(|b| &b.channel).collect();
    let mut inputs: BTreeMap<ChannelId, Vec<InputSpec>> = BTreeMap::new();
    for row in sqlx::query("SELECT * FROM inputs ORDER BY channel_id, position").fetch_all(&mut *conn).await? {
        let input = channel::read_input(&row)?;
        let spec = InputSpec { id: input.id, stream_key: input.stream_key };
        inputs.entry(id(&row, "channel_id")?).or_default().push(spec);
    }
    let rows = sqlx::query("SELECT * FROM channels ORDER BY created_at, id").fetch_all(conn).await?;
    let mut spec = |row: ChannelRow| ChannelSpec {
        running: row.desired_running || on_air.contains(&row.id),
        segment_target_seconds: row.segment_target_seconds,
        window_seconds: row.window_seconds,
        inputs: inputs.remove(&row.id).unwrap_or_default(),
        id: row.id,
        name: row.name,
    };
    rows.iter().map(|row| channel::read(row).map(&mut spec)).collect()
}

async fn distributions(conn: &mut SqliteConnection) -> Result<Vec<DistributionSpec>, Error> {
    let rows = sqlx::query("SELECT * FROM distributions ORDER BY created_at, id").fetch_all(conn).await?;
    rows.iter().map(|row| distribution::read(row).map(distribution_spec)).collect()
}

fn distribution_spec(row: DistributionRow) -> DistributionSpec {
    let behavior = |path_pattern: &str, transform| Behavior {
        path_pattern: path_pattern.to_owned(),
        origin: LIVE_ORIGIN.to_owned(),
        viewer_protocol: ViewerProtocol::AllowAll,
        allowed_methods: AllowedMethods::GetHeadOptions,
        cache_options: false,
        trusted_key_groups: vec![row.key_group.clone()],
        cache: CachePolicy::default(),
        origin_request: OriginRequestPolicy::default(),
        response_headers: ResponseHeadersPolicy { cors: Some(open_cors()), ..ResponseHeadersPolicy::default() },
        compress: false,
        transform,
    };
    DistributionSpec {
        behaviors: vec![behavior("*.m3u8", Transform::SignedPlaylist)],
        default_behavior: behavior("*", Transform::None),
        origins: vec![OriginSpec {
            id: LIVE_ORIGIN.to_owned(),
            origin: Origin::Live { channel: row.channel },
            shield: None,
        }],
        origin_groups: Vec::new(),
        error_responses: Vec::new(),
        invalidations: InvalidationLog::default(),
        default_root_object: String::new(),
        price_class: PriceClass::default(),
        http2: true,
        http3: false,
        id: row.id,
        domain_name: row.domain_name,
        aliases: row.aliases,
        enabled: row.enabled,
    }
}

/// Any page may play: the signature in the URL is what opens it, so credentials are not needed.
fn open_cors() -> CorsPolicy {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    CorsPolicy {
        allow_origins: words(&["*"]),
        allow_headers: words(&["*"]),
        allow_methods: words(&["GET", "HEAD", "OPTIONS"]),
        allow_credentials: false,
        expose_headers: Vec::new(),
        max_age_seconds: 600,
        overrides: true,
    }
}

async fn key_groups(conn: &mut SqliteConnection) -> Result<Vec<KeyGroupSpec>, Error> {
    let mut keys: BTreeMap<KeyGroupId, Vec<KeySpec>> = BTreeMap::new();
    let rows =
        sqlx::query("SELECT id, group_id, public_pem FROM keys ORDER BY created_at, id").fetch_all(&mut *conn).await?;
    for row in &rows {
        let spec = KeySpec { id: id(row, "id")?, public_key_pem: text(row, "public_pem")? };
        keys.entry(id(row, "group_id")?).or_default().push(spec);
    }
    let rows = sqlx::query("SELECT id FROM key_groups ORDER BY created_at, id").fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let group: KeyGroupId = id(row, "id")?;
            Ok(KeyGroupSpec { keys: keys.remove(&group).unwrap_or_default(), id: group })
        })
        .collect()
}
