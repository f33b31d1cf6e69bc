//! The db room: the control plane's tables, queries and migrations. The only SQL of the house.
//!
//! In: rows to create, wishes of operators, confirmations of the data plane; `now` as an argument.
//! Out: typed rows; [`SnapshotRows`], whose version goes up in the transaction of each change.
//! Never: HTTP, keys or tokens in clear text that are not rows, clocks, decisions about nodes, what a configuration means
//! (that is `control`).
//! Spec: SQLite in WAL mode, one writer, migrations in `migrations/sqlite`.

mod breakout;
mod channel;
mod distribution;
mod error;
mod invalidation;
mod key;
mod key_group;
mod log;
mod migrate;
mod node;
mod page;
mod row;
mod snapshot;
mod sql;
mod token;
mod traffic;
mod webhook;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use breakout::{BreakoutRow, NewBreakout};
pub use channel::{ChannelRow, InputRow, NewChannel, NewInput, Wish};
pub use distribution::{DistributionContent, DistributionRow, NewDistribution};
pub use error::Error;
pub use invalidation::{InvalidationRow, LOG_MAX_ORDERS, LOG_MAX_PATTERNS, NewInvalidation};
pub use key::{KeyRow, NewKey};
pub use key_group::{KeyGroupRow, NewKeyGroup};
pub use log::{LogEntry, LogFilter, LogKind, LogOrder, LogPage, LogRange, LogRetention, NewEntry, acting};
pub use node::NodeRow;
pub use page::{Cursor, CursorError, Page, PageRequest};
pub use snapshot::{COMPLETED_READABLE, SnapshotRows};
pub use token::{NewToken, TokenHash, TokenRow};
pub use traffic::Taken;
pub use webhook::{BacklogRow, GaveUp, NewWebhook, WebhookChange, WebhookProgress, WebhookRow};

use sql::{Pool, Tx};

/// Connections that read. Writers have one of their own, since SQLite has one writer anyway.
const READERS: u32 = 4;

/// Time that a connection waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a caller waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: Pool,
    readers: Pool,
}

/// A row that was made, or that an earlier request with the same idempotency key had made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<T> {
    /// Made now.
    New(T),
    /// Made by an earlier, equal request.
    Replayed(T),
}

impl<T> Created<T> {
    /// The row, whenever it was made.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(row) | Self::Replayed(row) => row,
        }
    }
}

/// What makes a repeated create harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key; unique among rows of one table.
    pub key: String,
    /// Hash of the request; the same key with another hash is refused.
    pub request_hash: [u8; 32],
}

impl Db {
    /// Opens the file, makes it if it is missing, and brings it to this binary's schema.
    ///
    /// # Errors
    /// The file cannot be opened or written, was written by a newer binary, or its history differs from ours.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A create that was answered must be there after a power cut, too.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let open = |source| Error::Open { path: path.to_owned(), source };
        let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).max_lifetime(None).idle_timeout(None);
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        migrate::run(&writer).await?;
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true)).await.map_err(open)?;
        Ok(Self { writer: Pool::Sqlite(writer), readers: Pool::Sqlite(readers) })
    }

    /// Ends every connection; open queries finish first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// It does not give one.
    pub async fn ping(&self) -> Result<(), Error> {
        sql::query("SELECT value FROM meta LIMIT 1").fetch_one(&self.readers).await?;
        Ok(())
    }

    /// A transaction that changes rows without telling the data plane.
    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        Ok(self.writer.write().await?)
    }

    /// A transaction that reads what was there at one moment.
    pub(crate) async fn read(&self) -> Result<Tx, Error> {
        Ok(self.readers.read().await?)
    }

    /// A transaction that changes the snapshot, and the version that it gets when the transaction commits.
    pub(crate) async fn change(&self) -> Result<(Tx, u64), Error> {
        let mut tx = self.begin().await?;
        let version = snapshot::bump(&mut tx).await?;
        Ok((tx, version))
    }
}
