//! Connections, pools and transactions of either engine.

use std::ops::{Deref, DerefMut};

use sqlx::Transaction;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqlitePool};

use super::limit::limited;

/// All that write transactions of one PostgreSQL database wait for, whichever process they are of: `anabranc` in ASCII.
const WRITER_LOCK: i64 = 0x616e_6162_7261_6e63;

/// Connections to the database.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// Of SQLite.
    Sqlite(SqlitePool),
    /// Of PostgreSQL.
    Postgres(PgPool),
}

/// A connection, in a transaction or not.
#[derive(Debug)]
pub(crate) enum Conn {
    /// Of SQLite.
    Sqlite(PoolConnection<Sqlite>),
    /// Of SQLite, in a transaction.
    SqliteTx(Transaction<'static, Sqlite>),
    /// Of PostgreSQL.
    Postgres(PoolConnection<Postgres>),
    /// Of PostgreSQL, in a transaction.
    PostgresTx(Transaction<'static, Postgres>),
}

/// A transaction; rolled back when it is dropped. Wherever a connection is wanted it serves as one.
#[derive(Debug)]
pub(crate) struct Tx(Conn);

/// What a statement runs on.
pub(crate) enum On<'e> {
    /// A connection or a transaction.
    Conn(&'e mut Conn),
    /// Any connection of a pool.
    Pool(&'e Pool),
}

/// A connection as sqlx knows it.
pub(super) enum Raw<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Pool {
    /// A connection; waits until there is one.
    pub(crate) async fn acquire(&self) -> Result<Conn, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => Conn::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
    }

    /// A transaction that reads what was there at one moment.
    pub(crate) async fn read(&self) -> Result<Tx, sqlx::Error> {
        Ok(Tx(match self {
            Self::Sqlite(pool) => Conn::SqliteTx(pool.begin().await?),
            Self::Postgres(pool) => {
                Conn::PostgresTx(limited(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?)
            }
        }))
    }

    /// A transaction that writes. There is one at a time in the whole database; others wait for it.
    pub(crate) async fn write(&self) -> Result<Tx, sqlx::Error> {
        Ok(Tx(match self {
            // Asking for the lock at once: a deferred transaction that turns writer late can fail without a retry.
            Self::Sqlite(pool) => Conn::SqliteTx(match pool.begin_with("BEGIN IMMEDIATE").await {
                // When the disk is full or fails SQLite ends the transaction by itself, which the connection does not know: it
                // would refuse every later one. Another one takes its place.
                Err(sqlx::Error::InvalidSavePointStatement) => {
                    pool.acquire().await?.close().await?;
                    pool.begin_with("BEGIN IMMEDIATE").await?
                }
                begun => begun?,
            }),
            Self::Postgres(pool) => {
                // Each statement after the lock must see what the writer before has committed, whatever default is set.
                let mut tx = limited(pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")).await?;
                let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK);
                limited(lock.execute(&mut *tx)).await?;
                Conn::PostgresTx(tx)
            }
        }))
    }

    /// Ends every connection; open queries finish first.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Conn {
    pub(super) fn raw(&mut self) -> Raw<'_> {
        match self {
            Self::Sqlite(conn) => Raw::Sqlite(&mut *conn),
            Self::SqliteTx(tx) => Raw::Sqlite(&mut *tx),
            Self::Postgres(conn) => Raw::Postgres(&mut *conn),
            Self::PostgresTx(tx) => Raw::Postgres(&mut *tx),
        }
    }
}

impl Tx {
    /// Makes what was written last.
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Conn::SqliteTx(tx) => tx.commit().await,
            Conn::PostgresTx(tx) => limited(tx.commit()).await,
            Conn::Sqlite(_) | Conn::Postgres(_) => Ok(()),
        }
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl<'e> From<&'e mut Conn> for On<'e> {
    fn from(conn: &'e mut Conn) -> Self {
        Self::Conn(conn)
    }
}

impl<'e> From<&'e mut Tx> for On<'e> {
    fn from(tx: &'e mut Tx) -> Self {
        Self::Conn(&mut tx.0)
    }
}

impl<'e> From<&'e Pool> for On<'e> {
    fn from(pool: &'e Pool) -> Self {
        Self::Pool(pool)
    }
}
