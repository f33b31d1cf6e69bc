//! Lists of breakouts.

use anabranch_model::{ChannelId, EventId};

use crate::breakout::read;
use crate::page::paged;
use crate::sql::Query;
use crate::{BreakoutRow, Cursor, Db, Error, Page, PageRequest};

impl Db {
    /// A page of breakouts, of one channel or all, and of one event or all.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_page(
        &self,
        channel: Option<&ChannelId>,
        event: Option<&EventId>,
        page: &PageRequest,
    ) -> Result<Page<BreakoutRow>, Error> {
        let query = page.query(match (channel, event) {
            (None, None) => paged!("SELECT * FROM breakouts WHERE ", "created_at", "id"),
            (Some(_), None) => paged!("SELECT * FROM breakouts WHERE channel_id = $4 AND ", "created_at", "id"),
            (None, Some(_)) => paged!("SELECT * FROM breakouts WHERE event_id = $4 AND ", "created_at", "id"),
            (Some(_), Some(_)) => {
                paged!("SELECT * FROM breakouts WHERE channel_id = $4 AND event_id = $5 AND ", "created_at", "id")
            }
        });
        let chosen = channel.map(ChannelId::as_str).into_iter().chain(event.map(EventId::as_str));
        let rows = chosen.fold(query, Query::bind).fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }
}
