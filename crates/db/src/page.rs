//! Lists in pages, the oldest or the newest first, by a cursor that survives inserts and deletes.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::sql::{self, Pool, Query, Row};

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

/// In which order rows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageOrder {
    /// As they were made.
    #[default]
    OldestFirst,
    /// The other way.
    NewestFirst,
}

/// The statement of a list in either order; made by [`paged`]. A condition with a choice in it is one that no index serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paged {
    pub(crate) oldest_first: &'static str,
    pub(crate) newest_first: &'static str,
}

/// The statement of a list: up to its conditions, then the columns of the time and of the id that order it, which an index serves in
/// both directions. The place behind which rows are wanted is at `$1` and `$2`, the number of rows at `$3`; what else the
/// conditions ask for is from `$4` on.
macro_rules! paged {
    ($head:expr, $time:literal, $id:literal) => {
        $crate::page::Paged {
            oldest_first: concat!(
                $head,
                "(",
                $time,
                ", ",
                $id,
                ") > ($1, $2) ORDER BY ",
                $time,
                ", ",
                $id,
                " LIMIT $3"
            ),
            newest_first: concat!(
                $head,
                "(",
                $time,
                ", ",
                $id,
                ") < ($1, $2) ORDER BY ",
                $time,
                " DESC, ",
                $id,
                " DESC LIMIT $3"
            ),
        }
    };
}

pub(crate) use paged;

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most; the caller limits it.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// In which order; a page and the next one have the same.
    pub order: PageOrder,
}

impl PageRequest {
    /// The statement in this order, with the place, and the number of rows: one more than wanted tells whether there is a next page.
    /// The first page has a place, too, before every row.
    pub(crate) fn query(&self, paged: Paged) -> Query {
        let (text, first) = match self.order {
            PageOrder::OldestFirst => (paged.oldest_first, i64::MIN),
            PageOrder::NewestFirst => (paged.newest_first, i64::MAX),
        };
        let (time, id) = match &self.after {
            Some(cursor) => (cursor.created_at, cursor.id.as_str()),
            None => (first, ""),
        };
        sql::query(text).bind(time).bind(id).bind(i64::from(self.limit) + 1)
    }

    /// The page of a list that has no conditions of its own.
    pub(crate) async fn select<T>(
        &self,
        readers: &Pool,
        paged: Paged,
        read: fn(&Row) -> Result<T, Error>,
        cursor: fn(&T) -> Cursor,
    ) -> Result<Page<T>, Error> {
        let rows = self.query(paged).fetch_all(readers).await?;
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
    /// Rows in the order that was asked for.
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
