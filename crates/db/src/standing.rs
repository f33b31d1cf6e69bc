//! What ingest has said of inputs and not taken back. It ends with the ingest that said it.

use std::collections::HashMap;

use anabranch_model::{AlarmKind, ChannelId, InputId};

use crate::row::{id, integer, word};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error, NewEntry, log};

/// What may be said of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An encoder is connected.
    Connected,
    /// It is the one in use.
    Active,
    /// Something is wrong with what it sends.
    Alarm(AlarmKind),
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Active => "active",
            Self::Alarm(kind) => kind.as_str(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "connected" => Some(Self::Connected),
            "active" => Some(Self::Active),
            kind => AlarmKind::parse(kind).map(Self::Alarm),
        }
    }
}

/// Something that was said of an input and holds until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRow {
    /// Channel of the input.
    pub channel: ChannelId,
    /// Input.
    pub input: InputId,
    /// What.
    pub what: Standing,
}

/// An alarm that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingAlarm {
    /// Channel of the input.
    pub channel: ChannelId,
    /// Input.
    pub input: InputId,
    /// What is wrong.
    pub kind: AlarmKind,
    /// Since when, Unix milliseconds.
    pub since: i64,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandingChange {
    /// It holds from now on. One input of a channel is in use at a time.
    Holds(StandingRow),
    /// It holds no more.
    Over(StandingRow),
    /// No input of the channel is in use.
    NoneActive(ChannelId),
}

impl Db {
    /// Writes entries about what was observed of inputs, and what of it holds from now on. Inputs that are gone are passed over.
    ///
    /// # Errors
    /// The query fails; then none was written.
    pub async fn log_observed(&self, observed: &[(NewEntry, StandingChange)], now_ms: i64) -> Result<(), Error> {
        if observed.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for (entry, change) in observed {
            log::append(&mut tx, entry, now_ms).await?;
            put(&mut tx, change, now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Everything that holds, by channel and input.
    ///
    /// # Errors
    /// The query fails.
    pub async fn standing(&self) -> Result<Vec<StandingRow>, Error> {
        let rows =
            sql::query("SELECT * FROM standing ORDER BY channel_id, input_id, what").fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Since when inputs have had an encoder, of one channel or all, in Unix milliseconds; those of which it is not known are left out.
    ///
    /// # Errors
    /// The query fails.
    pub async fn connected_since(&self, channel: Option<&ChannelId>) -> Result<HashMap<InputId, i64>, Error> {
        let rows = sql::query("SELECT * FROM standing WHERE what = $1 AND since > 0 AND ($2 = '' OR channel_id = $2)")
            .bind(Standing::Connected.as_str())
            .bind(channel.map_or("", ChannelId::as_str))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok((id(row, "input_id")?, integer(row, "since")?))).collect()
    }

    /// The alarms that hold, by channel and input.
    ///
    /// # Errors
    /// The query fails.
    pub async fn standing_alarms(&self) -> Result<Vec<StandingAlarm>, Error> {
        let rows =
            sql::query("SELECT * FROM standing ORDER BY channel_id, input_id, what").fetch_all(&self.readers).await?;
        let mut alarms = Vec::new();
        for row in &rows {
            let StandingRow { channel, input, what } = read(row)?;
            if let Standing::Alarm(kind) = what {
                alarms.push(StandingAlarm { channel, input, kind, since: integer(row, "since")? });
            }
        }
        Ok(alarms)
    }
}

async fn put(conn: &mut Conn, change: &StandingChange, now_ms: i64) -> Result<(), Error> {
    match change {
        StandingChange::Holds(row) => {
            if row.what == Standing::Active {
                none_active(&mut *conn, &row.channel).await?;
            }
            sql::query(
                "INSERT INTO standing (input_id, what, channel_id, since)
                 SELECT id, $2, channel_id, $3 FROM inputs WHERE id = $1 ON CONFLICT DO NOTHING",
            )
            .bind(row.input.as_str())
            .bind(row.what.as_str())
            .bind(now_ms)
            .execute(conn)
            .await?;
        }
        StandingChange::Over(row) => {
            sql::query("DELETE FROM standing WHERE input_id = $1 AND what = $2")
                .bind(row.input.as_str())
                .bind(row.what.as_str())
                .execute(conn)
                .await?;
        }
        StandingChange::NoneActive(channel) => none_active(conn, channel).await?,
    }
    Ok(())
}

async fn none_active(conn: &mut Conn, channel: &ChannelId) -> Result<(), Error> {
    sql::query("DELETE FROM standing WHERE channel_id = $1 AND what = $2")
        .bind(channel.as_str())
        .bind(Standing::Active.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn read(row: &Row) -> Result<StandingRow, Error> {
    Ok(StandingRow {
        channel: id(row, "channel_id")?,
        input: id(row, "input_id")?,
        what: word(row, "what", Standing::parse)?,
    })
}
