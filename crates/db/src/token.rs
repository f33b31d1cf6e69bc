//! API tokens, by hash only.

use anabranch_model::TokenId;

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{id, integer, optional_integer, text};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, Page, PageRequest, meta};

/// SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// Tokens that are kept, revoked ones included; of those the oldest go first.
const TOKENS_MAX: i64 = 1000;

/// The scope without which nobody could make tokens.
const ADMIN: &str = "admin";

/// A token without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Identifier.
    pub id: TokenId,
    /// Hash of the secret.
    pub hash: TokenHash,
    /// Name; that of one token that is not revoked, except for those that came from configurations.
    pub name: String,
    /// What it may do, in the words of the API.
    pub scopes: Vec<String>,
    /// From when on it is refused, Unix milliseconds.
    pub expires_at: Option<i64>,
    /// Unix milliseconds; may lag by a minute.
    pub last_used_at: Option<i64>,
    /// Since when it is refused, Unix milliseconds.
    pub revoked_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl std::fmt::Debug for TokenRow {
    // Without the hash: it is of no use in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A token to keep.
#[derive(Clone)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// Hash of the secret.
    pub hash: TokenHash,
    /// Name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// From when on it is refused, Unix milliseconds.
    pub expires_at: Option<i64>,
}

impl Db {
    /// Keeps the hash of a token that may do everything; false when it was there, revoked or not.
    ///
    /// # Errors
    /// The query fails.
    pub async fn token_add(&self, name: &str, hash: &TokenHash, now_ms: i64) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let known: Option<String> =
            sql::scalar("SELECT id FROM tokens WHERE hash = $1").bind(hash.as_slice()).fetch_optional(&mut tx).await?;
        if known.is_some() {
            return Ok(false);
        }
        let new = NewToken {
            id: TokenId::random(),
            hash: *hash,
            name: name.to_owned(),
            scopes: vec![ADMIN.to_owned()],
            expires_at: None,
        };
        insert(&mut tx, &new, now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Keeps a token.
    ///
    /// # Errors
    /// A token that is not revoked has the name, or the query fails.
    pub async fn token_create(&self, new: &NewToken, now_ms: i64) -> Result<TokenRow, Error> {
        let mut tx = self.begin().await?;
        let taken: Option<String> = sql::scalar("SELECT id FROM tokens WHERE name = $1 AND revoked_at IS NULL LIMIT 1")
            .bind(&new.name)
            .fetch_optional(&mut tx)
            .await?;
        if taken.is_some() {
            return Err(Error::NameTaken { subject: "token", name: new.name.clone() });
        }
        sql::query(
            "DELETE FROM tokens WHERE revoked_at IS NOT NULL AND id NOT IN (
                 SELECT id FROM tokens ORDER BY COALESCE(revoked_at, $1) DESC, created_at DESC LIMIT $2)",
        )
        .bind(i64::MAX)
        .bind(TOKENS_MAX - 1)
        .execute(&mut tx)
        .await?;
        insert(&mut tx, new, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Refuses a token from now on. A revoked one stays so, even when a configuration names it again.
    ///
    /// # Errors
    /// There is none with this id or name, it is the last that may do everything, or the query fails.
    pub async fn token_revoke(&self, wanted: &str, now_ms: i64) -> Result<TokenRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        if row.revoked_at.is_some() {
            return Ok(row);
        }
        let others: Vec<TokenRow> = live(&mut tx).await?.into_iter().filter(|other| other.id != row.id).collect();
        let admin = |token: &TokenRow| {
            token.scopes.iter().any(|scope| scope == ADMIN) && token.expires_at.is_none_or(|expires| expires > now_ms)
        };
        if !others.iter().any(admin) {
            let remedy = "it is the last that may do everything; make another with scope admin first".to_owned();
            return Err(Error::InUse { subject: "token", name: row.name, remedy });
        }
        sql::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2")
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        changed(&mut tx).await?;
        let entry = NewEntry::activity("token.revoked", "token", row.id.as_str()).detail("name", row.name.as_str());
        log::append(&mut tx, &entry, now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Tokens that are not revoked, and what went up when they last changed; of one moment.
    ///
    /// # Errors
    /// The query fails.
    pub async fn tokens_live(&self) -> Result<(u64, Vec<TokenRow>), Error> {
        let mut tx = self.readers.read().await?;
        let version = meta::mark(&mut tx, "tokens_version").await?;
        Ok((version, live(&mut tx).await?))
    }

    /// What goes up when tokens change.
    ///
    /// # Errors
    /// The query fails.
    pub async fn tokens_version(&self) -> Result<u64, Error> {
        meta::mark(&mut self.readers.acquire().await?, "tokens_version").await
    }

    /// A page of tokens, revoked ones included.
    ///
    /// # Errors
    /// The query fails.
    pub async fn token_page(&self, page: &PageRequest) -> Result<Page<TokenRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM tokens WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }

    /// Notes when tokens were used last.
    ///
    /// # Errors
    /// The query fails; then nothing was noted.
    pub async fn tokens_used(&self, used: &[(TokenId, i64)]) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for (token, at) in used {
            sql::query("UPDATE tokens SET last_used_at = $1 WHERE id = $2")
                .bind(*at)
                .bind(token.as_str())
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn insert(tx: &mut Conn, new: &NewToken, now_ms: i64) -> Result<(), Error> {
    sql::query("INSERT INTO tokens (id, hash, name, scopes, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(new.id.as_str())
        .bind(new.hash.as_slice())
        .bind(&new.name)
        .bind(new.scopes.join(","))
        .bind(new.expires_at)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    changed(tx).await?;
    let entry = NewEntry::activity("token.created", "token", new.id.as_str())
        .detail("name", new.name.as_str())
        .detail("scopes", new.scopes.clone());
    log::append(tx, &entry, now_ms).await?;
    Ok(())
}

async fn changed(tx: &mut Conn) -> Result<(), Error> {
    sql::query("UPDATE meta SET value = value + 1 WHERE key = 'tokens_version'").execute(tx).await?;
    Ok(())
}

async fn live(conn: &mut Conn) -> Result<Vec<TokenRow>, Error> {
    let rows =
        sql::query("SELECT * FROM tokens WHERE revoked_at IS NULL ORDER BY created_at, id").fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// By id, or by the name of one that is not revoked.
async fn find(conn: &mut Conn, wanted: &str) -> Result<TokenRow, Error> {
    crate::row::find(
        conn,
        "SELECT * FROM tokens WHERE id = $1 OR (name = $1 AND revoked_at IS NULL)
         ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END, created_at DESC LIMIT 1",
        "token",
        wanted,
        read,
    )
    .await
}

fn read(row: &Row) -> Result<TokenRow, Error> {
    let hash: Vec<u8> = row.get("hash")?;
    let hash = TokenHash::try_from(hash.as_slice())
        .map_err(|_| Error::Value { column: "hash", value: format!("{} bytes", hash.len()) })?;
    Ok(TokenRow {
        id: id(row, "id")?,
        hash,
        name: text(row, "name")?,
        scopes: text(row, "scopes")?.split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        expires_at: optional_integer(row, "expires_at")?,
        last_used_at: optional_integer(row, "last_used_at")?,
        revoked_at: optional_integer(row, "revoked_at")?,
        created_at: integer(row, "created_at")?,
    })
}
