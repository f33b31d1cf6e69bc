//! Reading columns into the model's types.

use std::str::FromStr;

use crate::Error;
use crate::sql::{self, Conn, Row};

pub(crate) fn text(row: &Row, column: &'static str) -> Result<String, Error> {
    Ok(row.get(column)?)
}

pub(crate) fn optional_text(row: &Row, column: &'static str) -> Result<Option<String>, Error> {
    Ok(row.get(column)?)
}

pub(crate) fn integer(row: &Row, column: &'static str) -> Result<i64, Error> {
    Ok(row.get(column)?)
}

pub(crate) fn optional_integer(row: &Row, column: &'static str) -> Result<Option<i64>, Error> {
    Ok(row.get(column)?)
}

pub(crate) fn unsigned<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, Error> {
    let value = integer(row, column)?;
    T::try_from(value).map_err(|_| Error::Value { column, value: value.to_string() })
}

pub(crate) fn flag(row: &Row, column: &'static str) -> Result<bool, Error> {
    Ok(integer(row, column)? != 0)
}

pub(crate) fn id<T: FromStr>(row: &Row, column: &'static str) -> Result<T, Error> {
    word(row, column, |text| text.parse().ok())
}

pub(crate) fn optional_id<T: FromStr>(row: &Row, column: &'static str) -> Result<Option<T>, Error> {
    let Some(value) = optional_text(row, column)? else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Error::Value { column, value })
}

pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, Error> {
    word(row, column, |text| serde_json::from_str(text).ok())
}

pub(crate) fn word<T>(row: &Row, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    let value = text(row, column)?;
    parse(&value).ok_or(Error::Value { column, value })
}

/// Ids or host names that the query has put together with commas; none of them holds one.
pub(crate) fn list<T: FromStr>(row: &Row, column: &'static str) -> Result<Vec<T>, Error> {
    let Some(value) = optional_text(row, column)? else { return Ok(Vec::new()) };
    let items: Option<Vec<T>> = value.split(',').map(|item| item.parse().ok()).collect();
    items.ok_or(Error::Value { column, value })
}

/// Integers of both engines are signed; versions and counters stay far below the limit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The one row of `query`, which has `wanted` at `$1`.
///
/// # Errors
/// There is none, named as the `subject` that it would be, or the query fails.
pub(crate) async fn find<T>(
    conn: &mut Conn,
    query: &'static str,
    subject: &'static str,
    wanted: &str,
    read: fn(&Row) -> Result<T, Error>,
) -> Result<T, Error> {
    let row = sql::query(query).bind(wanted).fetch_optional(conn).await?;
    read(&row.ok_or_else(|| Error::not_found(subject, wanted))?)
}
