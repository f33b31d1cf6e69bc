//! Collections: assets in an order, and who may watch them.

use std::collections::BTreeSet;

use anabranch_model::{AssetId, CollectionId};

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, flag, id, integer, text};
use crate::sql::{self, Conn, Row};
use crate::{AssetRow, Created, Cursor, Db, Error, Idempotency, Page, PageRequest, asset};

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRow {
    /// Identifier.
    pub id: CollectionId,
    /// What it is.
    pub content: CollectionContent,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// What may be changed of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionContent {
    /// Unique name.
    pub name: String,
    /// Words for viewers.
    pub description: String,
    /// Whether every user may watch.
    pub everyone: bool,
    /// Its assets, in order.
    pub assets: Vec<AssetId>,
    /// Users who may watch.
    pub viewers: BTreeSet<String>,
}

/// A collection to make.
#[derive(Clone, Debug)]
pub struct NewCollection {
    /// Its id.
    pub id: CollectionId,
    /// What it is.
    pub content: CollectionContent,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

/// A collection as one user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionFor {
    /// Identifier.
    pub id: CollectionId,
    /// Unique name.
    pub name: String,
    /// Words for viewers.
    pub description: String,
    /// Whether the user may watch.
    pub admitted: bool,
}

/// Whether a user may watch an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// No collection holds it, so nobody is kept from it.
    Free,
    /// A collection admits the user.
    Admitted,
    /// Collections hold it, and none admits the user.
    Refused,
}

impl Db {
    /// Makes a collection.
    ///
    /// # Errors
    /// The name is taken, an asset is unknown, the idempotency key was used otherwise, or the query fails.
    pub async fn collection_create(&self, new: &NewCollection, now_ms: i64) -> Result<Created<CollectionRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM collections WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&mut tx, &row).await?));
            }
        }
        sql::query(
            "INSERT INTO collections (id, name, description, everyone, created_at, updated_at, idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7)",
        )
        .bind(new.id.as_str())
        .bind(&new.content.name)
        .bind(&new.content.description)
        .bind(i64::from(new.content.everyone))
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "collection", &new.content.name))?;
        fill(&mut tx, &new.id, &new.content).await?;
        log::append(&mut tx, &NewEntry::activity("collection.created", "collection", new.id.as_str()), now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Replaces what a collection is.
    ///
    /// # Errors
    /// There is none, the name is taken, an asset is unknown, or the query fails.
    pub async fn collection_update(
        &self,
        wanted: &str,
        content: &CollectionContent,
        now_ms: i64,
    ) -> Result<CollectionRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("UPDATE collections SET name = $1, description = $2, everyone = $3, updated_at = $4 WHERE id = $5")
            .bind(&content.name)
            .bind(&content.description)
            .bind(i64::from(content.everyone))
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await
            .map_err(|error| Error::on_insert(error, "collection", &content.name))?;
        fill(&mut tx, &row.id, content).await?;
        log::append(&mut tx, &NewEntry::activity("collection.changed", "collection", row.id.as_str()), now_ms).await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The collection with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn collection_find(&self, wanted: &str) -> Result<CollectionRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// The collection with this id or name as `user` sees it; without a user as everyone does.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn collection_for(&self, wanted: &str, user: Option<&str>) -> Result<CollectionFor, Error> {
        let row = sql::query(
            "SELECT c.id, c.name, c.description,
                    CAST(CASE WHEN c.everyone = 1 OR v.user_name IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS admitted
             FROM collections c LEFT JOIN collection_viewers v ON v.collection_id = c.id AND v.user_name = $2
             WHERE c.id = $1 OR c.name = $1 ORDER BY c.id = $1 DESC LIMIT 1",
        )
        .bind(wanted)
        .bind(user)
        .fetch_optional(&self.readers)
        .await?;
        let row = row.ok_or_else(|| Error::not_found("collection", wanted))?;
        Ok(CollectionFor {
            id: id(&row, "id")?,
            name: text(&row, "name")?,
            description: text(&row, "description")?,
            admitted: flag(&row, "admitted")?,
        })
    }

    /// Assets of a collection in their order: after the first `skip`, `limit` at most.
    ///
    /// # Errors
    /// The query fails.
    pub async fn collection_assets(
        &self,
        collection: &CollectionId,
        skip: u32,
        limit: u32,
    ) -> Result<Vec<AssetRow>, Error> {
        let rows = sql::query(
            "SELECT a.* FROM collection_assets c JOIN assets a ON a.id = c.asset_id
             WHERE c.collection_id = $1 ORDER BY c.place LIMIT $2 OFFSET $3",
        )
        .bind(collection.as_str())
        .bind(i64::from(limit))
        .bind(i64::from(skip))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(asset::read).collect()
    }

    /// A page of collections.
    ///
    /// # Errors
    /// The query fails.
    pub async fn collection_page(&self, page: &PageRequest) -> Result<Page<CollectionRow>, Error> {
        let mut conn = self.readers.acquire().await?;
        let rows =
            page.query(paged!("SELECT * FROM collections WHERE ", "created_at", "id")).fetch_all(&mut conn).await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            items.push(read(&mut conn, row).await?);
        }
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Deletes a collection; its assets stay.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn collection_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("DELETE FROM collections WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &NewEntry::activity("collection.deleted", "collection", row.id.as_str()), now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// Whether `user` may watch an asset; without a user only what is open to everyone.
    ///
    /// # Errors
    /// The query fails.
    pub async fn asset_entitlement(&self, asset: &AssetId, user: Option<&str>) -> Result<Entitlement, Error> {
        let (all, admitting): (i64, i64) = {
            let row = sql::query(
                "SELECT COUNT(*) AS held,
                        COALESCE(SUM(CASE WHEN c.everyone = 1 OR v.user_name IS NOT NULL THEN 1 ELSE 0 END), 0) AS admitting
                 FROM collection_assets a JOIN collections c ON c.id = a.collection_id
                 LEFT JOIN collection_viewers v ON v.collection_id = c.id AND v.user_name = $2
                 WHERE a.asset_id = $1",
            )
            .bind(asset.as_str())
            .bind(user)
            .fetch_one(&self.readers)
            .await?;
            (integer(&row, "held")?, integer(&row, "admitting")?)
        };
        Ok(match (all, admitting) {
            (0, _) => Entitlement::Free,
            (_, 0) => Entitlement::Refused,
            _ => Entitlement::Admitted,
        })
    }
}

/// Puts the assets and viewers of a collection in place of those it had.
async fn fill(conn: &mut Conn, collection: &CollectionId, content: &CollectionContent) -> Result<(), Error> {
    for clear in [
        "DELETE FROM collection_assets WHERE collection_id = $1",
        "DELETE FROM collection_viewers WHERE collection_id = $1",
    ] {
        sql::query(clear).bind(collection.as_str()).execute(&mut *conn).await?;
    }
    for (place, wanted) in content.assets.iter().enumerate() {
        let row = asset::find(conn, wanted.as_str()).await.map_err(Error::dangling)?;
        sql::query(
            "INSERT INTO collection_assets (collection_id, place, asset_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(collection.as_str())
        .bind(row::signed(place as u64))
        .bind(row.id.as_str())
        .execute(&mut *conn)
        .await?;
    }
    for user in &content.viewers {
        sql::query("INSERT INTO collection_viewers (collection_id, user_name) VALUES ($1, $2)")
            .bind(collection.as_str())
            .bind(user)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<CollectionRow, Error> {
    let row = sql::query("SELECT * FROM collections WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1")
        .bind(wanted)
        .fetch_optional(&mut *conn)
        .await?;
    read(conn, &row.ok_or_else(|| Error::not_found("collection", wanted))?).await
}

async fn read(conn: &mut Conn, row: &Row) -> Result<CollectionRow, Error> {
    let own: CollectionId = id(row, "id")?;
    let assets = sql::query("SELECT asset_id FROM collection_assets WHERE collection_id = $1 ORDER BY place")
        .bind(own.as_str())
        .fetch_all(&mut *conn)
        .await?;
    let viewers = sql::query("SELECT user_name FROM collection_viewers WHERE collection_id = $1")
        .bind(own.as_str())
        .fetch_all(conn)
        .await?;
    Ok(CollectionRow {
        content: CollectionContent {
            name: text(row, "name")?,
            description: text(row, "description")?,
            everyone: flag(row, "everyone")?,
            assets: assets.iter().map(|row| id(row, "asset_id")).collect::<Result<_, _>>()?,
            viewers: viewers.iter().map(|row| text(row, "user_name")).collect::<Result<_, _>>()?,
        },
        id: own,
        created_at: integer(row, "created_at")?,
    })
}
