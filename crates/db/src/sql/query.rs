//! Statements with their values.

use std::marker::PhantomData;

use sqlx::postgres::Postgres;
use sqlx::sqlite::Sqlite;

use super::conn::{Conn, On, Raw};
use super::limit::limited;
use super::row::{Field, Row};
use super::value::{self, Value};

/// A statement.
#[must_use = "a statement does nothing until it is executed or fetched"]
pub(crate) struct Query {
    text: &'static str,
    values: Vec<Value>,
}

/// A statement that answers one column.
#[must_use = "a statement does nothing until it is fetched"]
pub(crate) struct Scalar<T> {
    query: Query,
    field: PhantomData<fn() -> T>,
}

/// A statement; kept prepared by each connection that has run it.
pub(crate) fn query(text: &'static str) -> Query {
    Query { text, values: Vec::new() }
}

/// A statement of whose rows the first column is wanted.
pub(crate) fn scalar<T: Field>(text: &'static str) -> Scalar<T> {
    Scalar { query: query(text), field: PhantomData }
}

impl Query {
    /// The value of the next placeholder.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it has changed.
    pub(crate) async fn execute<'e>(self, on: impl Into<On<'e>>) -> Result<u64, sqlx::Error> {
        let mut held = None;
        match raw(on.into(), &mut held).await? {
            Raw::Sqlite(conn) => Ok(counted(self.sqlite()?.execute(conn).await?.rows_affected())),
            Raw::Postgres(conn) => Ok(counted(limited(self.postgres()?.execute(conn)).await?.rows_affected())),
        }
    }

    /// Its rows.
    pub(crate) async fn fetch_all<'e>(self, on: impl Into<On<'e>>) -> Result<Vec<Row>, sqlx::Error> {
        let mut held = None;
        let rows: Vec<Row> = match raw(on.into(), &mut held).await? {
            Raw::Sqlite(conn) => self.sqlite()?.fetch_all(conn).await?.into_iter().map(Row::Sqlite).collect(),
            Raw::Postgres(conn) => {
                limited(self.postgres()?.fetch_all(conn)).await?.into_iter().map(Row::Postgres).collect()
            }
        };
        counted(rows.len() as u64);
        Ok(rows)
    }

    /// Its first row, if it has one.
    pub(crate) async fn fetch_optional<'e>(self, on: impl Into<On<'e>>) -> Result<Option<Row>, sqlx::Error> {
        let mut held = None;
        let row = match raw(on.into(), &mut held).await? {
            Raw::Sqlite(conn) => self.sqlite()?.fetch_optional(conn).await?.map(Row::Sqlite),
            Raw::Postgres(conn) => limited(self.postgres()?.fetch_optional(conn)).await?.map(Row::Postgres),
        };
        counted(u64::from(row.is_some()));
        Ok(row)
    }

    /// Its first row; [`sqlx::Error::RowNotFound`] without one.
    pub(crate) async fn fetch_one<'e>(self, on: impl Into<On<'e>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    fn sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.text, value::sqlite(self.values).map_err(sqlx::Error::Encode)?))
    }

    fn postgres(self) -> Result<sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.text, value::postgres(self.values).map_err(sqlx::Error::Encode)?))
    }
}

impl<T: Field> Scalar<T> {
    /// The value of the next placeholder.
    pub(crate) fn bind(self, value: impl Into<Value>) -> Self {
        Self { query: self.query.bind(value), ..self }
    }

    /// The column of every row.
    pub(crate) async fn fetch_all<'e>(self, on: impl Into<On<'e>>) -> Result<Vec<T>, sqlx::Error> {
        self.query.fetch_all(on).await?.iter().map(Row::first).collect()
    }

    /// The column of the first row, if there is one.
    pub(crate) async fn fetch_optional<'e>(self, on: impl Into<On<'e>>) -> Result<Option<T>, sqlx::Error> {
        self.query.fetch_optional(on).await?.as_ref().map(Row::first).transpose()
    }

    /// The column of the first row; [`sqlx::Error::RowNotFound`] without one.
    pub(crate) async fn fetch_one<'e>(self, on: impl Into<On<'e>>) -> Result<T, sqlx::Error> {
        self.query.fetch_one(on).await?.first()
    }
}

/// Counts a statement and the rows that it has answered or changed.
fn counted(rows: u64) -> u64 {
    metrics::counter!("anabranch_db_statements_total").increment(1);
    metrics::counter!("anabranch_db_rows_total").increment(rows);
    rows
}

/// The connection of `on`; one of a pool stays in `held` meanwhile.
async fn raw<'a>(on: On<'a>, held: &'a mut Option<Conn>) -> Result<Raw<'a>, sqlx::Error> {
    match on {
        On::Conn(conn) => Ok(conn.raw()),
        On::Pool(pool) => Ok(held.insert(pool.acquire().await?).raw()),
    }
}
