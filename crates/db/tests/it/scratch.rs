//! A database for a test, in either engine.

use anabranch_db::Db;
use anabranch_model::KeyGroupId;
use anabranch_testkit::Database;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

/// What keeps the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Where a test has its rows; gone when it is dropped.
pub(crate) enum Scratch {
    File(TempDir),
    Server(Database),
}

/// Runs each test on both engines: `both!(one, other)`, where `one` is an `async fn(Engine)`.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::scratch::Engine::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    if $crate::scratch::has_postgres() {
                        super::$name($crate::scratch::Engine::Postgres).await;
                    }
                }
            )+
        }
    };
}

pub(crate) use both;

/// Whether the run has a server. A run that has none must have been told so: see [`Database::create`].
pub(crate) fn has_postgres() -> bool {
    std::env::var("ANABRANCH_TEST_POSTGRES").as_deref() != Ok("none")
}

impl Scratch {
    pub(crate) fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::File(tempfile::tempdir().unwrap()),
            Engine::Postgres => Self::Server(Database::create().unwrap()),
        }
    }

    pub(crate) async fn open(&self) -> Result<Db, anabranch_db::Error> {
        match self {
            Self::File(dir) => Db::open(&dir.path().join("db.sqlite")).await,
            Self::Server(database) => {
                let db = Db::open_url(&database.url()).await?;
                assert!(db.try_lead().await?, "nobody else leads");
                Ok(db)
            }
        }
    }

    /// Runs statements that the room itself never would; their values are in them.
    pub(crate) async fn run(&self, text: &str) {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        match self {
            Self::File(dir) => {
                let options = SqliteConnectOptions::new().filename(dir.path().join("db.sqlite"));
                let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            Self::Server(database) => {
                let mut conn = PgConnection::connect(&database.url()).await.unwrap();
                sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
        }
    }
}

/// An empty database with the default key group.
pub(crate) async fn open_on(engine: Engine) -> (Scratch, Db, KeyGroupId) {
    let scratch = Scratch::new(engine);
    let db = scratch.open().await.unwrap();
    let group = db.key_group_ensure("default", 1).await.unwrap().id;
    (scratch, db, group)
}
