//! Who acts: one process of those that have the same PostgreSQL database open.
//!
//! The lock of a session says who may act, and goes when the session does. The epoch in `meta` goes up with each one who comes to
//! act, and every transaction that writes looks at it: a process that was cut off and does not know it yet writes nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout};

use crate::sql::{self, Tx};
use crate::{Db, Error, migrate};

/// The lock of the one who acts: `anablead` in ASCII.
pub(crate) const LEADER_LOCK: i64 = 0x616e_6162_6c65_6164;

/// Time between two looks at the session that holds the lock.
const WATCH: Duration = Duration::from_secs(1);

/// Time that the server has to answer on that session.
const ANSWER: Duration = Duration::from_secs(5);

/// Whether anybody holds the lock `$1`.
pub(crate) const HELD: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
     WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
       AND CAST(l.classid AS BIGINT) << 32 | CAST(l.objid AS BIGINT) = $1)";

/// How long the lock must have been free before a process takes it that has seen another act: that one may only have lost its
/// connection, and encoders are with it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Not leading.
const NONE: i64 = 0;

/// How this process stands.
pub(crate) struct Lead {
    /// The server; none for a file, which one process has by itself.
    server: Option<PgConnectOptions>,
    /// Which epoch is ours.
    epoch: AtomicI64,
    /// A transaction has found another epoch.
    fenced: Notify,
    session: Mutex<Session>,
}

/// The connection that holds the lock, or tries to.
#[derive(Default)]
struct Session {
    conn: Option<PgConnection>,
    /// It holds the lock.
    locked: bool,
    /// Another process has been seen to act.
    other: bool,
    /// Since when nobody has.
    free: Option<Instant>,
}

impl std::fmt::Debug for Lead {
    // Without the server, whose options hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lead").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Lead {
    /// Of a file.
    pub(crate) fn alone() -> Self {
        Self { server: None, epoch: AtomicI64::new(NONE), fenced: Notify::new(), session: Mutex::default() }
    }

    /// Of a server.
    pub(crate) fn of(server: PgConnectOptions) -> Self {
        Self { server: Some(server), ..Self::alone() }
    }

    fn is_held(&self) -> bool {
        self.server.is_none() || self.epoch.load(Ordering::SeqCst) != NONE
    }

    /// Lets the transaction go on if nobody else has come to act.
    pub(crate) async fn check(&self, tx: &mut Tx) -> Result<(), Error> {
        if self.server.is_none() {
            return Ok(());
        }
        let ours = self.epoch.load(Ordering::SeqCst);
        if ours != NONE && stored(&mut *tx).await? == ours {
            return Ok(());
        }
        // From here on nobody is told that this process acts, though what runs in it has yet to end.
        let _ = self.epoch.compare_exchange(ours, NONE, Ordering::SeqCst, Ordering::SeqCst);
        self.fenced.notify_one();
        Err(Error::NotLeader)
    }

    /// Gives the lock up.
    pub(crate) async fn close(&self) {
        self.epoch.store(NONE, Ordering::SeqCst);
        if let Some(conn) = self.session.lock().await.conn.take() {
            // The session ends with the socket, too.
            let _ = timeout(ANSWER, conn.close()).await;
        }
    }
}

impl Session {
    /// Whether the lock is ours now.
    async fn lock(&mut self, server: &PgConnectOptions) -> Result<bool, sqlx::Error> {
        self.locked = self.ask(server, "SELECT pg_try_advisory_lock($1)").await?;
        Ok(self.locked)
    }

    /// Whether the lock has been nobody's for some time.
    async fn is_free(&mut self, server: &PgConnectOptions) -> Result<bool, sqlx::Error> {
        if self.ask(server, HELD).await? {
            self.free = None;
            return Ok(false);
        }
        Ok(self.free.get_or_insert_with(Instant::now).elapsed() >= PATIENCE)
    }

    /// Whether it still holds the lock.
    async fn is_held(&mut self) -> bool {
        let Some(conn) = &mut self.conn else { return false };
        if limited(conn.ping()).await.is_err() {
            self.drop_conn();
        }
        self.locked
    }

    /// Asks a question about the lock, on a new connection if the one before is gone.
    async fn ask(&mut self, server: &PgConnectOptions, question: &'static str) -> Result<bool, sqlx::Error> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(limited(PgConnection::connect_with(server)).await?),
        };
        let answer = limited(sqlx::query(question).bind(LEADER_LOCK).fetch_one(conn)).await;
        let answer = answer.and_then(|row| row.try_get(0));
        if answer.is_err() {
            self.drop_conn();
        }
        answer
    }

    fn drop_conn(&mut self) {
        *self = Self { other: self.other, ..Self::default() };
    }
}

impl Db {
    /// Whether this process may act: it has taken the lead, and nobody is known to have taken it over. Always for a file.
    pub fn is_leader(&self) -> bool {
        self.lead.is_held()
    }

    /// One attempt to be the one that acts; to be repeated every half second or so. Until it succeeds, every change fails with
    /// [`Error::NotLeader`]. A file is led at once, since only one process has it.
    ///
    /// # Errors
    /// The server does not answer, try again; or a newer binary has brought the database to its schema meanwhile.
    pub async fn try_lead(&self) -> Result<bool, Error> {
        let Some(server) = &self.lead.server else { return Ok(true) };
        if self.lead.is_held() {
            return Ok(true);
        }
        let mut session = self.lead.session.lock().await;
        if session.other && !session.is_free(server).await? {
            return Ok(false);
        }
        if !session.lock(server).await? {
            session.other = true;
            session.free = None;
            return Ok(false);
        }
        let mut tx = self.writer.write().await?;
        // A newer binary may have been here while this one stood by.
        let found: i64 = sql::scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut tx).await?;
        let known = migrate::newest();
        if found > known {
            session.drop_conn();
            return Err(Error::Newer { found, known });
        }
        let epoch: i64 = sql::scalar(
            "INSERT INTO meta (key, value) VALUES ('leader_epoch', 1)
             ON CONFLICT (key) DO UPDATE SET value = meta.value + 1 RETURNING value",
        )
        .fetch_one(&mut tx)
        .await?;
        tx.commit().await?;
        self.lead.epoch.store(epoch, Ordering::SeqCst);
        Ok(true)
    }

    /// Ends when another process has come to act, never before; a server that is away for a while changes nothing. Then
    /// [`Db::try_lead`] starts anew, and what was kept in memory of the rows is stale. Never ends for a file.
    pub async fn lost(&self) {
        let Some(server) = &self.lead.server else { return std::future::pending().await };
        loop {
            let fenced = tokio::select! {
                () = self.lead.fenced.notified() => true,
                () = sleep(WATCH) => false,
            };
            let mut session = self.lead.session.lock().await;
            if session.is_held().await && !fenced {
                continue;
            }
            if !session.locked {
                // Whoever gets it: the epoch tells whether somebody else has acted meanwhile.
                let _ = session.lock(server).await;
            }
            let stored = match self.readers.acquire().await {
                Ok(mut conn) => stored(&mut conn).await,
                Err(error) => Err(error),
            };
            if stored.is_ok_and(|stored| stored != self.lead.epoch.load(Ordering::SeqCst)) {
                self.lead.epoch.store(NONE, Ordering::SeqCst);
                // The lock may have come to us after another has acted; then it is free again for all.
                *session = Session { other: true, ..Session::default() };
                return;
            }
        }
    }
}

/// The epoch of the one who came last; 0 before anybody has.
async fn stored(conn: &mut sql::Conn) -> Result<i64, sqlx::Error> {
    let stored = sql::scalar("SELECT value FROM meta WHERE key = 'leader_epoch'").fetch_optional(conn).await?;
    Ok(stored.unwrap_or(NONE))
}

async fn limited<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match timeout(ANSWER, answer).await {
        Ok(answered) => answered,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database does not answer").into()),
    }
}
