//! Creates that may be repeated without harm.

use crate::Error;
use crate::sql::Row;

/// A row that was made, or that an earlier request with the same idempotency key had made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<T> {
    /// Made now.
    New(T),
    /// Made by an earlier, equal request.
    Replayed(T),
}

impl<T> Created<T> {
    /// The row, whenever it was made.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(row) | Self::Replayed(row) => row,
        }
    }
}

/// What makes a repeated create harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key; unique among rows of one table.
    pub key: String,
    /// Hash of the request; the same key with another hash is refused.
    pub request_hash: [u8; 32],
}

impl Idempotency {
    /// Whether the row was made by the same request.
    pub(crate) fn check(&self, row: &Row) -> Result<(), Error> {
        let hash: Option<Vec<u8>> = row.get("request_hash")?;
        let same = hash.as_deref() == Some(self.request_hash.as_slice());
        if same { Ok(()) } else { Err(Error::KeyReused { key: self.key.clone() }) }
    }
}
