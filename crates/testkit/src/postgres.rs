//! A database of its own for a test, on the PostgreSQL server that the test run was given.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::{Command, Stdio};

/// URL of a PostgreSQL server for tests, by a user who may make databases; `none` to go without.
pub(crate) const VARIABLE: &str = "ANABRANCH_TEST_POSTGRES";

/// An empty database. Dropping it removes it.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes a database; nothing when the run was told to go without PostgreSQL.
    ///
    /// # Panics
    /// The run was told nothing about PostgreSQL, or the server refuses.
    #[must_use]
    pub fn create() -> Option<Self> {
        let server = std::env::var(VARIABLE).unwrap_or_default();
        if server == "none" {
            return None;
        }
        assert!(
            !server.is_empty(),
            "{VARIABLE} names no PostgreSQL server: run `cargo xtask test`, or `cargo xtask postgres cargo nextest run ...`, \
             or set it to \"none\" to go without"
        );
        let name = format!("test_{:016x}", RandomState::new().build_hasher().finish());
        let database = Self { server, name };
        database.command(&format!("CREATE DATABASE {}", database.name)).expect("a new database");
        Some(database)
    }

    /// Its URL, with the password, and without TLS: hundreds of handshakes would take longer than the tests.
    #[must_use]
    pub fn url(&self) -> String {
        let server = self.server.rsplit_once('/').expect("the URL of a database").0;
        format!("{server}/{}?sslmode=disable", self.name)
    }

    /// Ends every connection to it, as a restart of the server would.
    ///
    /// # Panics
    /// The server refuses.
    pub fn cut(&self) {
        let text = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        self.command(&text).expect("cut connections");
    }

    /// Lets nobody in and ends every connection, or lets all in again: a server that is away, as far as this database goes.
    ///
    /// # Panics
    /// The server refuses.
    pub fn away(&self, away: bool) {
        self.command(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS {}", self.name, !away)).expect("a changed database");
        if away {
            self.cut();
        }
    }

    /// Runs statements in it.
    ///
    /// # Panics
    /// The server refuses.
    pub fn run(&self, text: &str) {
        Self::ask(&self.url(), text).expect("statements that the server takes");
    }

    fn command(&self, text: &str) -> Result<(), String> {
        Self::ask(&self.server, text)
    }

    fn ask(url: &str, text: &str) -> Result<(), String> {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname"]).arg(url);
        let output = psql.args(["--command", text]).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server goes with the test run, and so does what could not be removed.
        let _ = self.command(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
