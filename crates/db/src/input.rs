//! Stream keys of inputs.

use crate::operation::{self, CHANNEL_UPDATE};
use crate::{ChannelRow, Db, Error, NewEntry, channel, log, sql};

impl Db {
    /// Gives an input of a channel another stream key; nodes are told at once. The key before admits nobody from then on.
    ///
    /// # Errors
    /// There is no such channel or input, the channel is being deleted, or the query fails.
    pub async fn input_rotate_key(
        &self,
        wanted: &str,
        input: &str,
        stream_key: &str,
        now_ms: i64,
    ) -> Result<ChannelRow, Error> {
        let (mut tx, _version) = self.wish().await?;
        let row = channel::find(&mut tx, wanted).await?;
        row.check_stays()?;
        let rotated = sql::query("UPDATE inputs SET stream_key = $1 WHERE id = $2 AND channel_id = $3")
            .bind(stream_key)
            .bind(input)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        if rotated == 0 {
            return Err(Error::Dangling { subject: "input", wanted: input.to_owned() });
        }
        channel::touch(&mut tx, &row.id, now_ms).await?;
        let entry = NewEntry::activity("channel.key_rotated", "channel", row.id.as_str()).channel(&row.id);
        let entry = entry.detail("name", row.name.as_str()).detail("input", input);
        log::append(&mut tx, &entry, now_ms).await?;
        operation::begin(&mut tx, CHANNEL_UPDATE, row.id.as_str(), row.id.as_str(), now_ms).await?;
        let row = channel::find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }
}
