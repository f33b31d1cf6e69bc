//! The two databases that a test may have its rows in.

use tempfile::TempDir;

use crate::Database;

/// What keeps the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// The PostgreSQL server that the test run was given.
    Postgres,
}

/// Where a test has its rows; gone when it is dropped.
#[derive(Debug)]
pub enum Scratch {
    /// A folder for a file.
    File(TempDir),
    /// A database of a server.
    Server(Database),
}

impl Engine {
    /// Whether the run has it. One that has no PostgreSQL must have been told so: see [`Database::create`].
    #[must_use]
    pub fn is_there(self) -> bool {
        self == Self::Sqlite || std::env::var(crate::postgres::VARIABLE).as_deref() != Ok("none")
    }
}

impl Scratch {
    /// An empty place.
    ///
    /// # Panics
    /// There is no room for it, or the run has no such engine.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::File(tempfile::tempdir().expect("a scratch directory")),
            Engine::Postgres => Self::Server(Database::create().expect("a run with PostgreSQL")),
        }
    }
}

/// Runs each test on both engines: `both!(one, other)`, where `one` is an `async fn(Engine)`.
#[macro_export]
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::Engine::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    if $crate::Engine::Postgres.is_there() {
                        super::$name($crate::Engine::Postgres).await;
                    }
                }
            )+
        }
    };
}
