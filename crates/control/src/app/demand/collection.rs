//! Collections: assets in an order, and who may watch them.

use anabranch_db::{CollectionContent, CollectionRow, Idempotency, NewCollection};
use anabranch_model::CollectionId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::Collection;
use crate::app::page::{PageQuery, list};
use crate::app::play::claim;
use crate::app::view::List;
use crate::app::{App, Error, names};
use crate::time;

/// Assets of a collection at most.
const ASSETS_MAX: usize = 1_000;

/// Viewers of a collection at most.
const VIEWERS_MAX: usize = 10_000;

/// A collection to make, or what it is to become.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionPut {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Words for viewers.
    #[serde(default)]
    description: String,
    /// Whether every user may watch.
    #[serde(default)]
    everyone: bool,
    /// Ids of its assets, in order.
    #[serde(default)]
    assets: Vec<String>,
    /// Users who may watch, in the words of play URLs.
    #[serde(default)]
    viewers: Vec<String>,
}

impl CollectionPut {
    fn content(&self) -> Result<CollectionContent, Error> {
        if self.assets.len() > ASSETS_MAX {
            return Err(Error::invalid("assets", format!("a collection has at most {ASSETS_MAX} assets")));
        }
        if self.viewers.len() > VIEWERS_MAX {
            return Err(Error::invalid("viewers", format!("a collection names at most {VIEWERS_MAX} viewers")));
        }
        let assets = self.assets.iter().map(|id| {
            id.parse().map_err(|error: anabranch_model::IdError| Error::invalid("assets", error.to_string()))
        });
        Ok(CollectionContent {
            name: names::name(&self.name)?,
            description: names::description(&self.description)?,
            everyone: self.everyone,
            assets: assets.collect::<Result<_, _>>()?,
            viewers: self.viewers.iter().map(|user| claim("viewers", user)).collect::<Result<_, _>>()?,
        })
    }
}

impl App {
    /// Makes a collection, or answers the one of an earlier, equal request.
    pub(crate) async fn collection_create(
        &self,
        request: &CollectionPut,
        idempotency: Option<Idempotency>,
    ) -> Result<Collection, Error> {
        let new = NewCollection { id: CollectionId::random(), content: request.content()?, idempotency };
        let row = self.db.collection_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn collection_list(&self, query: &PageQuery) -> Result<List<Collection>, Error> {
        Ok(list(self.db.collection_page(&query.request()?).await?, view))
    }

    pub(crate) async fn collection_show(&self, wanted: &str) -> Result<Collection, Error> {
        Ok(view(self.db.collection_find(wanted).await?))
    }

    pub(crate) async fn collection_update(&self, wanted: &str, request: &CollectionPut) -> Result<Collection, Error> {
        let row = self.db.collection_update(wanted, &request.content()?, self.clock.now_ms()).await?;
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn collection_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.collection_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }
}

fn view(row: CollectionRow) -> Collection {
    let content = row.content;
    Collection {
        id: row.id.into(),
        name: content.name,
        description: content.description,
        everyone: content.everyone,
        assets: content.assets.into_iter().map(String::from).collect(),
        viewers: content.viewers.into_iter().collect(),
        created_at: time::render_ms(row.created_at),
    }
}
