//! Opening a database of either engine.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _};

use crate::file::File;
use crate::lead::{HELD, LEADER_LOCK, Lead};
use crate::sql::Pool;
use crate::{Db, Error, migrate};

/// Connections to a file that read. Writers have one of their own, since there is one writer at a time anyway.
const SQLITE_READERS: u32 = 4;

/// Connections to a server that read.
const POSTGRES_READERS: u32 = 8;

/// Time that a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a caller waits for a connection of the pool, or for the server to answer a connection attempt.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that a connection may take to say that it is usable before it goes back to the pool.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server limits for each of our connections: how long a statement and a lock may take, how long a transaction may
/// say nothing, and how soon a client whose machine is gone is noticed and its locks are let go.
const SERVER_SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "30s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// A process that stands still gives up the lead: one that runs says something on that session every second.
const LEAD_SETTING: (&str, &str) = ("idle_session_timeout", "10s");

impl Db {
    /// Opens the file, makes it if it is missing, and brings it to this binary's schema. One process has it open at a time; the
    /// caller sees to that.
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
        let first = SqliteConnection::connect_with(&options).await.map_err(open)?;
        // A connection that is made later must not make an empty database where one was taken away.
        let options = options.create_if_missing(false);
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(open)?;
        first.close().await.map_err(open)?;
        migrate::sqlite(&writer).await?;
        let readers =
            pool().max_connections(SQLITE_READERS).connect_with(options.read_only(true)).await.map_err(open)?;
        Ok(Self::new(Pool::Sqlite(writer), Pool::Sqlite(readers), Lead::alone(), Some(File::opened(path))))
    }

    /// Opens a database of a PostgreSQL server (14 or newer), `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`, and
    /// brings it to this binary's schema. Several processes may have it open; one acts, see [`Db::try_lead`]. The database must
    /// exist; the user must be allowed to create tables in it.
    ///
    /// # Errors
    /// The URL is none, the server does not answer or refuses, the database was written by a newer binary or is in use by an older
    /// one, or its history differs from ours. No message holds the password.
    pub async fn open_url(url: &str) -> Result<Self, Error> {
        let options = server(url)?;
        let connect = |source| Error::Connect { place: place(&options), source };
        let conn = reach(&options).await.map_err(connect)?;
        refuse_under_older(conn).await?;
        // By a connection of its own: a migration may take longer than any other statement.
        let unlimited = options.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
        let migrations = pool().max_connections(1).connect_with(unlimited).await.map_err(connect)?;
        migrate::postgres(&migrations).await?;
        migrations.close().await;
        let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(connect)?;
        let readers = pool().max_connections(POSTGRES_READERS).connect_with(options.clone()).await.map_err(connect)?;
        Ok(Self::new(Pool::Postgres(writer), Pool::Postgres(readers), Lead::of(options.options([LEAD_SETTING])), None))
    }
}

/// Where a URL leads and how, with our limits.
fn server(url: &str) -> Result<PgConnectOptions, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Scheme);
    }
    let options = PgConnectOptions::from_str(url).map_err(Error::Url)?;
    Ok(options.application_name("anabranch").options(SERVER_SETTINGS))
}

/// Connects once: a pool tries again for long and then says only that time is up.
async fn reach(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer").into()),
    }
}

/// Leaves the schema alone under a controller that acts by an older one: its statements are prepared for that.
async fn refuse_under_older(mut conn: PgConnection) -> Result<(), Error> {
    let acts = sqlx::query(HELD).bind(LEADER_LOCK).fetch_one(&mut conn).await?;
    if acts.try_get(0)? {
        let newest = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut conn).await?;
        let (found, known): (i64, i64) = (newest.try_get(0)?, migrate::newest());
        if found < known {
            return Err(Error::Older { found, known });
        }
    }
    Ok(conn.close().await?)
}

/// The place that a URL leads to, without the password.
fn place(options: &PgConnectOptions) -> String {
    let host = options.get_socket().map_or_else(|| options.get_host().into(), |socket| socket.to_string_lossy());
    let database = options.get_database().unwrap_or(options.get_username());
    format!("postgres://{}@{host}:{}/{database}", options.get_username(), options.get_port())
}

fn pool() -> PgPoolOptions {
    PgPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).after_release(|conn, _| {
        // A server that has vanished must not keep the place of the connection for as long as TCP hopes.
        Box::pin(async move {
            match tokio::time::timeout(RELEASE_TIMEOUT, conn.ping()).await {
                Ok(answered) => answered.map(|()| true),
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, NewEntry};

    /// Lets the file of the database have so many pages, or as many as it has.
    async fn limit(db: &Db, pages: u32) {
        let Pool::Sqlite(writer) = &db.writer else { panic!("a file") };
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(pragma).fetch_one(writer).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_cannot_grow_takes_nothing_half_and_goes_on_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db.sqlite")).await.unwrap();
        limit(&db, 1).await;
        let mut written = db.log_newest().await.unwrap();
        let entry = || NewEntry::stream("input.alarm", "input", "i").detail("why", "x".repeat(1000));
        let entries = [entry(), entry(), entry()];
        let error = loop {
            match db.log_add(&entries, 1).await {
                Ok(()) => written += 3,
                Err(error) => break error,
            }
        };
        assert_eq!(error.fault(), Some(Fault::Full), "{error:?}");
        assert_eq!(db.log_newest().await.unwrap(), written, "all of a change or nothing");
        // The limit was that of the connection, which SQLite has left in a state of its own: the next change has another one.
        db.log_add(&entries, 1).await.unwrap();
        assert_eq!(db.log_newest().await.unwrap(), written + 3);
        db.close().await;
    }
}
