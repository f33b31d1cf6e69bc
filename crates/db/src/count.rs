//! How many records there are.

use crate::row::unsigned;
use crate::sql;
use crate::{Db, Error};

/// What is counted, with its word.
const COUNTED: &[(&str, &str)] = &[
    ("access_key", "SELECT COUNT(*) AS count FROM access_keys"),
    ("account", "SELECT COUNT(*) AS count FROM accounts"),
    ("asset", "SELECT COUNT(*) AS count FROM assets"),
    ("audit", "SELECT COUNT(*) AS count FROM audit"),
    ("breakout", "SELECT COUNT(*) AS count FROM breakouts"),
    ("bucket", "SELECT COUNT(*) AS count FROM buckets"),
    ("channel", "SELECT COUNT(*) AS count FROM channels"),
    ("charge", "SELECT COUNT(*) AS count FROM charges"),
    ("cluster", "SELECT COUNT(*) AS count FROM clusters"),
    ("collection", "SELECT COUNT(*) AS count FROM collections"),
    ("distribution", "SELECT COUNT(*) AS count FROM distributions"),
    ("event", "SELECT COUNT(*) AS count FROM events"),
    ("invalidation", "SELECT COUNT(*) AS count FROM invalidations"),
    ("job", "SELECT COUNT(*) AS count FROM jobs"),
    ("key", "SELECT COUNT(*) AS count FROM keys"),
    ("key_group", "SELECT COUNT(*) AS count FROM key_groups"),
    ("log", "SELECT COUNT(*) AS count FROM log"),
    ("node", "SELECT COUNT(*) AS count FROM nodes"),
    ("operation", "SELECT COUNT(*) AS count FROM operations"),
    ("recording", "SELECT COUNT(*) AS count FROM recordings"),
    ("token", "SELECT COUNT(*) AS count FROM tokens"),
    ("user", "SELECT COUNT(*) AS count FROM users"),
    ("viewer", "SELECT COUNT(*) AS count FROM viewers"),
    ("webhook", "SELECT COUNT(*) AS count FROM webhooks"),
];

impl Db {
    /// How many records of each kind there are, by the word of the kind. A viewer is a session of one; those that are forgotten do not count.
    ///
    /// # Errors
    /// A query fails.
    pub async fn counts(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let mut tx = self.read().await?;
        let mut counts = Vec::with_capacity(COUNTED.len());
        for (word, query) in COUNTED {
            let row = sql::query(query).fetch_one(&mut *tx).await?;
            counts.push((*word, unsigned(&row, "count")?));
        }
        Ok(counts)
    }
}
