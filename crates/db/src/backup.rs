//! Copies of a file while it is in use, and what makes one of them the database again.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::{Db, Error, NewEntry, log, migrate, sql};

/// How far versions and sequences go up when a backup takes the place of the database: further than they can have gone since it
/// was made, so that no edge takes what it is told for what it has.
const LEAP: i64 = 1 << 20;

/// Numbers of invalidations, as edges know them, and those that numbers are taken from when a distribution is made again.
const LEAPS: [&str; 4] = [
    "UPDATE local_distributions SET invalidation_sequence = invalidation_sequence + $1,
                                    invalidation_floor = invalidation_sequence + $1",
    "UPDATE distributions SET invalidation_sequence = invalidation_sequence + $1",
    "UPDATE invalidations SET sequence = sequence + $1",
    // Readers know entries by their numbers: none may stand for two.
    "UPDATE meta SET value = value + $1 WHERE key = 'log_sequence'",
];

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Version of its schema.
    pub schema: i64,
    /// Version of its snapshot.
    pub snapshot: u64,
}

impl Db {
    /// Copies the database at `from`, as it is at one moment, into the empty file `to`; another process may write meanwhile. The
    /// copy is read again before it counts as one. The caller makes `to`, and removes it after an error.
    ///
    /// # Errors
    /// Either file cannot be read or written, or the copy is not sound.
    pub async fn back_up(from: &Path, to: &Path) -> Result<Backup, Error> {
        let mut conn = connect(from, false).await?;
        let target = to.to_str().ok_or_else(|| unusable(to, "the path is not UTF-8"))?;
        let copied = sqlx::query("VACUUM INTO ?1").bind(target).execute(&mut conn).await;
        conn.close().await?;
        copied?;
        Self::check_backup(to).await
    }

    /// Reads a backup from end to end.
    ///
    /// # Errors
    /// It is no database of ours, it is damaged, or a newer binary wrote it.
    pub async fn check_backup(file: &Path) -> Result<Backup, Error> {
        let mut conn = connect(file, true).await?;
        let checked = check(&mut conn, file).await;
        conn.close().await?;
        checked
    }

    /// Makes a copy of a backup ready to be the database: brings it to this binary's schema, and raises what edges go by above
    /// all that they can have been told since the backup was made. They take its snapshot for the newest, and keep nothing that
    /// a forgotten invalidation may have ordered out. The version of its snapshot.
    ///
    /// # Errors
    /// As [`Db::open`], or a query fails.
    pub async fn revive(copy: &Path, now_ms: i64) -> Result<u64, Error> {
        let db = Self::open(copy).await?;
        let revived = db.leap(now_ms).await;
        // Writes everything into the one file.
        db.close().await;
        revived
    }

    async fn leap(&self, now_ms: i64) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let version: i64 =
            sql::scalar("UPDATE meta SET value = value + $1 WHERE key = 'snapshot_version' RETURNING value")
                .bind(LEAP)
                .fetch_one(&mut tx)
                .await?;
        for statement in LEAPS {
            sql::query(statement).bind(LEAP).execute(&mut tx).await?;
        }
        let plane: String = sql::scalar("SELECT id FROM plane").fetch_one(&mut tx).await?;
        log::append(&mut tx, &NewEntry::transition("database.restored", "plane", plane), now_ms).await?;
        tx.commit().await?;
        u64::try_from(version).map_err(|_| Error::Value { column: "value", value: version.to_string() })
    }
}

/// Opens an existing file to read it. One that is `still` is in no use, and gets no files of a log beside it.
async fn connect(path: &Path, still: bool) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).read_only(true).immutable(still);
    options.connect().await.map_err(|source| Error::Open { path: path.to_owned(), source })
}

async fn check(conn: &mut SqliteConnection, file: &Path) -> Result<Backup, Error> {
    let damaged = |error: sqlx::Error| unusable(file, &error);
    // The first fault is enough.
    let row = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut *conn).await.map_err(damaged)?;
    let found: String = row.try_get(0)?;
    if found != "ok" {
        return Err(unusable(file, &found));
    }
    if sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut *conn).await.map_err(damaged)?.is_some() {
        return Err(unusable(file, "a row refers to one that is not there"));
    }
    let row = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations WHERE success").fetch_one(&mut *conn).await;
    let schema: i64 = row.and_then(|row| row.try_get(0)).map_err(damaged)?;
    if schema > migrate::newest() {
        return Err(Error::Newer { found: schema, known: migrate::newest() });
    }
    let row = sqlx::query("SELECT value FROM meta WHERE key = 'snapshot_version'").fetch_one(conn).await;
    let snapshot: i64 = row.and_then(|row| row.try_get(0)).map_err(damaged)?;
    let snapshot = u64::try_from(snapshot).map_err(|_| unusable(file, "its snapshot version is negative"))?;
    Ok(Backup { schema, snapshot })
}

fn unusable(path: &Path, reason: &(impl ToString + ?Sized)) -> Error {
    Error::Backup { path: PathBuf::from(path), reason: reason.to_string() }
}
