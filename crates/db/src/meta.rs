//! Numbers of the table `meta`, which go up.

use crate::Error;
use crate::row::unsigned;
use crate::sql::{self, Conn};

/// A number of the table `meta`.
pub(crate) async fn mark(conn: &mut Conn, key: &'static str) -> Result<u64, Error> {
    let row = sql::query("SELECT value FROM meta WHERE key = $1").bind(key).fetch_one(conn).await?;
    unsigned(&row, "value")
}

/// Goes up with each change of what nodes are told: the version that the snapshot gets when the transaction commits.
pub(crate) async fn bump(conn: &mut Conn) -> Result<u64, Error> {
    raised(conn, "UPDATE meta SET value = value + 1 WHERE key = 'snapshot_version' RETURNING value").await
}

/// Goes up with each wish: the number of this one.
pub(crate) async fn wish(conn: &mut Conn) -> Result<u64, Error> {
    raised(conn, "UPDATE meta SET value = value + 1 WHERE key = 'wish_version' RETURNING value").await
}

async fn raised(conn: &mut Conn, update: &'static str) -> Result<u64, Error> {
    let value: i64 = sql::scalar(update).fetch_one(conn).await?;
    u64::try_from(value).map_err(|_| Error::Value { column: "value", value: value.to_string() })
}
