//! Lists of operations.

use crate::operation::read;
use crate::page::paged;
use crate::{Cursor, Db, Error, OperationRow, OperationState, Page, PageRequest, sql};

impl Db {
    /// A page of operations, about one subject or all, and in one state or all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn operation_page(
        &self,
        subject: Option<&str>,
        state: Option<OperationState>,
        page: &PageRequest,
    ) -> Result<Page<OperationRow>, Error> {
        let query = page.query(match (subject, state) {
            (None, None) => paged!("SELECT * FROM operations WHERE ", "number", "id"),
            (Some(_), None) => paged!("SELECT * FROM operations WHERE subject = $4 AND ", "number", "id"),
            (None, Some(_)) => paged!("SELECT * FROM operations WHERE state = $4 AND ", "number", "id"),
            (Some(_), Some(_)) => {
                paged!("SELECT * FROM operations WHERE subject = $4 AND state = $5 AND ", "number", "id")
            }
        });
        let chosen = subject.into_iter().chain(state.map(OperationState::as_str));
        let rows = chosen.fold(query, sql::Query::bind).fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.number, id: row.id.clone() }))
    }
}
