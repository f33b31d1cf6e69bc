//! A database for a test, in either engine.

use anabranch_db::Db;
use anabranch_model::KeyGroupId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

pub(crate) use anabranch_testkit::{Engine, Scratch, both};

/// What tests do with a place for rows.
pub(crate) trait Rows {
    /// The database, which this process then leads.
    async fn open(&self) -> Result<Db, anabranch_db::Error>;

    /// Runs statements that the room itself never would; their values are in them.
    async fn run(&self, text: &str);
}

impl Rows for Scratch {
    async fn open(&self) -> Result<Db, anabranch_db::Error> {
        match self {
            Self::File(dir) => Db::open(&dir.path().join("db.sqlite")).await,
            Self::Server(database) => {
                let db = Db::open_url(&database.url()).await?;
                assert!(db.try_lead().await?, "nobody else leads");
                Ok(db)
            }
        }
    }

    async fn run(&self, text: &str) {
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
