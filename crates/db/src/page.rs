//! Lists in pages, oldest first, by a cursor that survives inserts and deletes.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::sql::{self, Pool, Row};

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Creation time of the last row, Unix milliseconds.
    pub created_at: i64,
    /// Its id.
    pub id: String,
}

/// A text that no list has given out as a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that a list has answered as \"next\": {0:?}")]
pub struct CursorError(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at, self.id)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        text.split_once('.')
            .and_then(|(time, id)| Some(Self { created_at: time.parse().ok()?, id: id.to_owned() }))
            .ok_or_else(|| CursorError(text.chars().take(100).collect()))
    }
}

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most; the caller limits it.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// Rows to fetch: one more than wanted tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Time of the place behind which rows are wanted. The first page has one, too, before every row: a condition with a choice
    /// in it is one that no index serves.
    pub(crate) fn after_time(&self) -> i64 {
        self.after.as_ref().map_or(i64::MIN, |cursor| cursor.created_at)
    }

    /// Id of that place.
    pub(crate) fn after_id(&self) -> &str {
        self.after.as_ref().map_or("", |cursor| cursor.id.as_str())
    }

    /// The page of `query`, which has the place at `$1` and `$2`, the number of rows at `$3`, and the columns `id` and `created_at`.
    pub(crate) async fn select<T>(
        &self,
        readers: &Pool,
        query: &'static str,
        read: fn(&Row) -> Result<T, Error>,
        cursor: fn(&T) -> Cursor,
    ) -> Result<Page<T>, Error> {
        let rows = sql::query(query)
            .bind(self.after_time())
            .bind(self.after_id())
            .bind(self.fetch())
            .fetch_all(readers)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(self.cut(items, cursor))
    }

    pub(crate) fn cut<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let limit = self.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Rows, oldest first.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip() {
        let cursor = Cursor { created_at: 17, id: "c0".into() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!("17".parse::<Cursor>().is_err());
        assert!("x.y".parse::<Cursor>().is_err());
    }
}
