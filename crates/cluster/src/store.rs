//! Where the state of clusters is kept.

use std::future::Future;
use std::pin::Pin;

use anabranch_model::{ClusterId, HistoryEntry, RegisterOf};

pub use anabranch_model::HISTORY_MAX;

use crate::state::Registers;

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such cluster.
    #[error("there is no cluster with this id: {0}")]
    NotFound(ClusterId),
    /// It has failed; the same may succeed later.
    #[error("the store of clusters has failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a store answers, in time.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// An entry of a history with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Goes up with each entry of the cluster.
    pub sequence: u64,
    /// The entry.
    pub entry: HistoryEntry,
}

/// Keeps registers and history of clusters. Every implementation passes [`crate::contract`].
pub trait StateStore: Send + Sync {
    /// The newest words.
    fn load<'a>(&'a self, cluster: &'a ClusterId) -> Reply<'a, Registers>;

    /// Takes over those of the words that are newer than what is kept, each with its entry in the history, all of them or none;
    /// answers which. Who merges at the same time loses nothing.
    fn merge<'a>(&'a self, cluster: &'a ClusterId, words: &'a [RegisterOf], now_ms: i64) -> Reply<'a, Vec<RegisterOf>>;

    /// Adds entries to the history, but for those whose mark is known. Entries beyond [`HISTORY_MAX`] go, the oldest first.
    fn history_append<'a>(&'a self, cluster: &'a ClusterId, entries: &'a [HistoryEntry], now_ms: i64) -> Reply<'a, ()>;

    /// Entries before a sequence, or the newest; the newest first, `limit` at most.
    fn history_list<'a>(&'a self, cluster: &'a ClusterId, before: Option<u64>, limit: u32) -> Reply<'a, Vec<Kept>>;
}
