//! What is kept of clusters' states: the newest words, votes, and the history.

use std::collections::HashMap;

use anabranch_model::{
    ClusterId, FAIL_OPEN, HISTORY_MAX, HistoryEntry, Register, RegisterOf, Voice, VoteOf, WITHHELD, Word,
};
use serde_json::Value;

use crate::cluster::{self, ClusterRow};
use crate::log::{self, NewEntry};
use crate::row::{integer, json, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row, Tx};
use crate::{Db, Error};

/// Longest evidence that the log tells, in bytes; the history has it all.
const LOGGED_EVIDENCE_MAX: usize = 4_096;

impl Db {
    /// The newest words on the regions of a cluster.
    ///
    /// # Errors
    /// There is no such cluster, or the query fails.
    pub async fn cluster_registers(&self, id: &ClusterId) -> Result<Vec<RegisterOf>, Error> {
        let mut tx = self.read().await?;
        cluster::find(&mut tx, id.as_str()).await?;
        registers(&mut tx, id).await
    }

    /// Takes over those words that are newer than what is kept, in the order given, each with its entries in history and log;
    /// answers which.
    ///
    /// # Errors
    /// There is no such cluster, or the query fails; then none was taken over.
    pub async fn cluster_merge(
        &self,
        id: &ClusterId,
        words: &[RegisterOf],
        now_ms: i64,
    ) -> Result<Vec<RegisterOf>, Error> {
        let mut tx = self.begin().await?;
        let of = cluster::find(&mut tx, id.as_str()).await?;
        let mut known: HashMap<(String, Voice), Register> =
            registers(&mut tx, id).await?.into_iter().map(|of| ((of.region, of.voice), of.register)).collect();
        let mut taken = Vec::new();
        let mut history = History::open(&mut tx, id).await?;
        for word in words {
            let key = (word.region.clone(), word.voice);
            if known.get(&key).is_some_and(|known| !word.register.age_cmp(known).is_gt()) {
                continue;
            }
            put(&mut tx, id, word, now_ms).await?;
            if history.add(&mut tx, &HistoryEntry::of(word), now_ms).await? {
                log::append(&mut tx, &transition(&of, word), now_ms).await?;
            }
            known.insert(key, word.register.clone());
            taken.push(word.clone());
        }
        if taken.is_empty() {
            return Ok(taken);
        }
        history.close(&mut tx).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// The votes that are kept, with when they were heard in Unix milliseconds.
    ///
    /// # Errors
    /// The query fails.
    pub async fn cluster_votes(&self, id: &ClusterId) -> Result<Vec<(VoteOf, i64)>, Error> {
        let rows = sql::query("SELECT * FROM cluster_votes WHERE cluster_id = $1 ORDER BY region, watcher")
            .bind(id.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok((json(row, "vote")?, integer(row, "heard_at")?))).collect()
    }

    /// Keeps votes in the place of those before, and writes what is told of them. One of a cluster that is gone is passed over.
    ///
    /// # Errors
    /// The query fails; then none was kept.
    pub async fn cluster_votes_put(
        &self,
        id: &ClusterId,
        votes: &[(VoteOf, i64)],
        gone: &[(String, String)],
        entries: &[NewEntry],
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        match cluster::find(&mut tx, id.as_str()).await {
            Ok(_) => {}
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        for (region, watcher) in gone {
            sql::query("DELETE FROM cluster_votes WHERE cluster_id = $1 AND region = $2 AND watcher = $3")
                .bind(id.as_str())
                .bind(region)
                .bind(watcher)
                .execute(&mut tx)
                .await?;
        }
        for (vote, heard_at) in votes {
            sql::query(
                "INSERT INTO cluster_votes (cluster_id, region, watcher, vote, heard_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (cluster_id, region, watcher) DO UPDATE SET vote = excluded.vote, heard_at = excluded.heard_at",
            )
            .bind(id.as_str())
            .bind(&vote.region)
            .bind(&vote.watcher)
            .bind(serde_json::to_string(vote).unwrap_or_default())
            .bind(*heard_at)
            .execute(&mut tx)
            .await?;
        }
        for entry in entries {
            log::append(&mut tx, entry, now_ms).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Adds entries to the history of a cluster, but for those whose mark is known.
    ///
    /// # Errors
    /// There is no such cluster, or the query fails; then none was added.
    pub async fn cluster_history_append(
        &self,
        id: &ClusterId,
        entries: &[HistoryEntry],
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let of = cluster::find(&mut tx, id.as_str()).await?;
        let mut history = History::open(&mut tx, id).await?;
        for entry in entries {
            if history.add(&mut tx, entry, now_ms).await? {
                log::append(&mut tx, &told(&of, entry), now_ms).await?;
            }
        }
        history.close(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Entries of a cluster's history before a sequence, or the newest; the newest first, with their sequences.
    ///
    /// # Errors
    /// There is no such cluster, or the query fails.
    pub async fn cluster_history(
        &self,
        id: &ClusterId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, HistoryEntry)>, Error> {
        let mut tx = self.read().await?;
        cluster::find(&mut tx, id.as_str()).await?;
        let rows = sql::query(
            "SELECT sequence, entry FROM cluster_history WHERE cluster_id = $1 AND sequence < $2
             ORDER BY sequence DESC LIMIT $3",
        )
        .bind(id.as_str())
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit)
        .fetch_all(&mut tx)
        .await?;
        rows.iter().map(|row| Ok((unsigned(row, "sequence")?, json(row, "entry")?))).collect()
    }
}

/// The end of a history, in a transaction.
struct History {
    cluster: String,
    newest: u64,
}

impl History {
    async fn open(tx: &mut Tx, id: &ClusterId) -> Result<Self, Error> {
        let newest: i64 = sql::scalar("SELECT COALESCE(MAX(sequence), 0) FROM cluster_history WHERE cluster_id = $1")
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await?;
        Ok(Self { cluster: id.to_string(), newest: u64::try_from(newest).unwrap_or(0) })
    }

    /// Whether it is a new one.
    async fn add(&mut self, tx: &mut Tx, entry: &HistoryEntry, now_ms: i64) -> Result<bool, Error> {
        let added = sql::query(
            "INSERT INTO cluster_history (cluster_id, sequence, mark, entry, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (cluster_id, mark) DO NOTHING",
        )
        .bind(&self.cluster)
        .bind(signed(self.newest + 1))
        .bind(&entry.mark)
        .bind(serde_json::to_string(entry).unwrap_or_default())
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        self.newest += added;
        Ok(added > 0)
    }

    /// Lets the oldest go.
    async fn close(self, tx: &mut Tx) -> Result<(), Error> {
        sql::query("DELETE FROM cluster_history WHERE cluster_id = $1 AND sequence <= $2")
            .bind(&self.cluster)
            .bind(signed(self.newest.saturating_sub(HISTORY_MAX)))
            .execute(&mut *tx)
            .await?;
        Ok(())
    }
}

async fn put(tx: &mut Tx, id: &ClusterId, of: &RegisterOf, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO cluster_registers (cluster_id, region, voice, register, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (cluster_id, region, voice) DO UPDATE SET register = excluded.register,
           updated_at = excluded.updated_at",
    )
    .bind(id.as_str())
    .bind(&of.region)
    .bind(of.voice.as_str())
    .bind(serde_json::to_string(&of.register).unwrap_or_default())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn registers(conn: &mut Conn, id: &ClusterId) -> Result<Vec<RegisterOf>, Error> {
    let rows = sql::query("SELECT * FROM cluster_registers WHERE cluster_id = $1 ORDER BY region, voice")
        .bind(id.as_str())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<RegisterOf, Error> {
    Ok(RegisterOf {
        region: text(row, "region")?,
        voice: word(row, "voice", Voice::parse)?,
        register: json(row, "register")?,
    })
}

/// What the log tells of an entry that is no word.
fn told(of: &ClusterRow, entry: &HistoryEntry) -> NewEntry {
    let id = of.cluster.id.as_str();
    let told = match entry.what.as_str() {
        WITHHELD => NewEntry::stream("cluster.region.withheld", "cluster", id),
        FAIL_OPEN => NewEntry::transition("cluster.region.fail_open", "cluster", id),
        _ => NewEntry::transition("cluster.region.closed", "cluster", id),
    };
    told.detail("name", of.cluster.name.as_str())
        .detail("region", entry.region.as_str())
        .detail("by", entry.voice.as_str())
        .detail("who", entry.who.as_str())
        .detail("why", entry.why.as_str())
}

fn transition(of: &ClusterRow, said: &RegisterOf) -> NewEntry {
    let register = &said.register;
    let word = match register.word {
        Word::Closed if register.drill => "cluster.region.drill",
        Word::Closed => "cluster.region.closed",
        Word::Open => "cluster.region.opened",
        Word::Automatic => "cluster.region.automatic",
    };
    let evidence =
        if register.evidence.to_string().len() > LOGGED_EVIDENCE_MAX { Value::Null } else { register.evidence.clone() };
    NewEntry::transition(word, "cluster", of.cluster.id.as_str())
        .detail("name", of.cluster.name.as_str())
        .detail("region", said.region.as_str())
        .detail("by", said.voice.as_str())
        .detail("who", register.who.as_str())
        .detail("why", register.why.as_str())
        .detail("until_ms", register.until_ms)
        .detail("node", register.stamp.node.as_str())
        .detail("evidence", evidence)
}
