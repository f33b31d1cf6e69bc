//! One way to ask both engines.
//!
//! Every statement is written once, in what SQLite and PostgreSQL share: placeholders `$1`, `$2`, ...; integers are `BIGINT`,
//! times too; flags are 0 and 1; ids are text. A column that is computed must be a text, a blob or a `BIGINT`:
//! `CAST(SUM(x) AS BIGINT)`, `CAST(1 AS BIGINT)`. Columns of the row that `ON CONFLICT ... DO UPDATE` changes are named with
//! their table; a query in `FROM` has a name. Lists of ids in one column: `string_agg(id, ',' ORDER BY ...)`, read by
//! [`list`](crate::row::list).

mod conn;
mod limit;
mod query;
mod row;
mod several;
mod value;

pub(crate) use conn::{Conn, Pool, Tx};
pub(crate) use query::{Query, query, scalar};
pub(crate) use row::Row;
pub(crate) use several::{SEVERAL, several};
