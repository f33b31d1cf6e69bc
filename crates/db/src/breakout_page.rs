//! Lists of breakouts.

use anabranch_model::{BreakoutState, ChannelId, EventId};

use crate::breakout::read;
use crate::like::{exact_pattern, pattern};
use crate::page::paged;
use crate::sql::Query;
use crate::{BreakoutRow, Cursor, Db, Error, Page, PageRequest};

/// Which breakouts are wanted. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BreakoutFilter {
    /// Of this channel.
    pub channel: Option<ChannelId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// In one of these states; none stands for all.
    pub states: Vec<BreakoutState>,
    /// Whose name holds this text, whatever its case.
    pub name: Option<String>,
}

impl Db {
    /// A page of breakouts.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_page(&self, filter: &BreakoutFilter, page: &PageRequest) -> Result<Page<BreakoutRow>, Error> {
        let (channel, event) = (filter.channel.as_ref(), filter.event.as_ref());
        let query = if filter.states.is_empty() && filter.name.is_none() {
            let query = page.query(match (channel, event) {
                (None, None) => paged!("SELECT * FROM breakouts WHERE ", "created_at", "id"),
                (Some(_), None) => paged!("SELECT * FROM breakouts WHERE channel_id = $4 AND ", "created_at", "id"),
                (None, Some(_)) => paged!("SELECT * FROM breakouts WHERE event_id = $4 AND ", "created_at", "id"),
                (Some(_), Some(_)) => {
                    paged!("SELECT * FROM breakouts WHERE channel_id = $4 AND event_id = $5 AND ", "created_at", "id")
                }
            });
            let chosen = channel.map(ChannelId::as_str).into_iter().chain(event.map(EventId::as_str));
            chosen.fold(query, Query::bind)
        } else {
            // Words between commas, so that none is found in another.
            let states: String = filter.states.iter().map(|state| format!(",{},", state.as_str())).collect();
            page.query(paged!(
                "SELECT * FROM breakouts
                 WHERE (CAST($4 AS TEXT) IS NULL OR channel_id = $4) AND (CAST($5 AS TEXT) IS NULL OR event_id = $5)
                   AND ($6 = '' OR $6 LIKE '%,' || state || ',%')
                   AND (CAST($7 AS TEXT) IS NULL OR LOWER(name) LIKE $7 ESCAPE '!' OR name LIKE $8 ESCAPE '!') AND ",
                "created_at",
                "id"
            ))
            .bind(channel.map(ChannelId::as_str))
            .bind(event.map(EventId::as_str))
            .bind(states)
            .bind(filter.name.as_deref().map(pattern))
            .bind(filter.name.as_deref().map(exact_pattern))
        };
        let rows = query.fetch_all(&self.readers).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }
}
