//! Key groups.

use anabranch_db::{Idempotency, KeyGroupRow, NewKeyGroup};
use anabranch_model::KeyGroupId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{KeyGroup, List};
use super::{App, Error, names};
use crate::time;

/// Keys of a group, or groups of a key, that one request names at most.
const LIST_MAX: usize = 100;

/// A key group to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyGroupCreate {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Its keys, by id or name.
    #[serde(default)]
    keys: Vec<String>,
}

/// Other keys for a key group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyGroupUpdate {
    /// All keys that it has from now on, by id or name.
    keys: Vec<String>,
}

impl App {
    /// Makes a key group, or answers the one of an earlier, equal request.
    pub(crate) async fn key_group_create(
        &self,
        request: KeyGroupCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<KeyGroup, Error> {
        check_length("keys", &request.keys)?;
        let name = names::name(&request.name)?;
        let new = NewKeyGroup { id: KeyGroupId::random(), name, keys: request.keys, idempotency };
        let row = self.db.key_group_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn key_group_update(&self, wanted: &str, request: &KeyGroupUpdate) -> Result<KeyGroup, Error> {
        check_length("keys", &request.keys)?;
        let row = self.db.key_group_update(wanted, &request.keys, self.clock.now_ms()).await?;
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn key_group_delete(&self, wanted: &str) -> Result<(), Error> {
        let row = self.db.key_group_find(wanted).await?;
        if row.id == self.key_group {
            let detail = format!("key group {:?} cannot be deleted: new channels trust it", row.name);
            return Err(Error::Conflict(detail));
        }
        self.db.key_group_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    pub(crate) async fn key_group_list(&self, query: &PageQuery) -> Result<List<KeyGroup>, Error> {
        let page = self.db.key_group_page(&query.request()?).await?;
        Ok(list(page, view))
    }

    pub(crate) async fn key_group_show(&self, wanted: &str) -> Result<KeyGroup, Error> {
        Ok(view(self.db.key_group_find(wanted).await?))
    }
}

pub(super) fn check_length(field: &'static str, list: &[String]) -> Result<(), Error> {
    if list.len() > LIST_MAX {
        return Err(Error::invalid(field, format!("at most {LIST_MAX} can be named at once: {}", list.len())));
    }
    Ok(())
}

fn view(row: KeyGroupRow) -> KeyGroup {
    KeyGroup {
        id: row.id.into(),
        name: row.name,
        keys: row.keys.into_iter().map(String::from).collect(),
        created_at: time::render_ms(row.created_at),
    }
}
