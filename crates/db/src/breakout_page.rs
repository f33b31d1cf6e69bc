//! Lists of breakouts.

use anabranch_model::{ChannelId, EventId};

use crate::breakout::read;
use crate::sql::{self, Query};
use crate::{BreakoutRow, Cursor, Db, Error, Page, PageRequest};

/// Rows behind a place by a condition that an index serves, in order. Each list has a statement of its own: a condition with a
/// choice in it is one that no index serves.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT * FROM breakouts WHERE ",
            $condition,
            "(created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
        )
    };
}

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
        let query = sql::query(match (channel, event) {
            (None, None) => select!(""),
            (Some(_), None) => select!("channel_id = $4 AND "),
            (None, Some(_)) => select!("event_id = $4 AND "),
            (Some(_), Some(_)) => select!("channel_id = $4 AND event_id = $5 AND "),
        });
        let query = query.bind(page.after_time()).bind(page.after_id()).bind(page.fetch());
        let chosen = channel.map(ChannelId::as_str).into_iter().chain(event.map(EventId::as_str));
        let rows = chosen.fold(query, Query::bind).fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }
}
