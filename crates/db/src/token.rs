//! Bearer tokens, by hash only.

use crate::{Db, Error, sql};

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

impl Db {
    /// Keeps the hash of a token; false when it was there.
    ///
    /// # Errors
    /// The query fails.
    pub async fn token_add(&self, name: &str, hash: &TokenHash, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = sql::query("INSERT INTO tokens (hash, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(hash.as_slice())
            .bind(name)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done == 1)
    }

    /// Hashes of every token.
    ///
    /// # Errors
    /// The query fails, or a hash is not 32 bytes.
    pub async fn token_hashes(&self) -> Result<Vec<TokenHash>, Error> {
        let hashes: Vec<Vec<u8>> =
            sql::scalar("SELECT hash FROM tokens ORDER BY created_at").fetch_all(&self.readers).await?;
        hashes
            .into_iter()
            .map(|hash| {
                TokenHash::try_from(hash.as_slice())
                    .map_err(|_| Error::Value { column: "hash", value: format!("{} bytes", hash.len()) })
            })
            .collect()
    }
}
