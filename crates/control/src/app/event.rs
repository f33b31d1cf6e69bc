//! Accounts and events.

use anabranch_db::{AccountRow, EventContent, EventRow, Idempotency, NewAccount, NewEvent};
use anabranch_model::{AccountId, EventId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{Account, Event, List};
use super::{App, DEFAULT_ACCOUNT, Error, names};
use crate::time;

/// An account to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountCreate {
    /// Unique name, 1 to 100 characters.
    name: String,
}

/// An event to make, or what it is to become.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventPut {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Words for the operator.
    #[serde(default)]
    description: String,
    /// Id or name of its account, the default one if it is missing; only when it is made.
    account: Option<String>,
    /// RFC 3339.
    starts_at: Option<String>,
    /// RFC 3339; breakouts must end before.
    ends_at: Option<String>,
}

impl EventPut {
    fn content(&self) -> Result<EventContent, Error> {
        let starts_at = names::time("starts_at", self.starts_at.as_deref())?;
        let ends_at = names::time("ends_at", self.ends_at.as_deref())?;
        if let (Some(start), Some(end)) = (starts_at, ends_at)
            && end <= start
        {
            return Err(Error::invalid("ends_at", "an event ends after it has started"));
        }
        let (name, description) = (names::name(&self.name)?, names::description(&self.description)?);
        Ok(EventContent { name, description, starts_at, ends_at })
    }
}

impl App {
    /// Makes an account, or answers the one of an earlier, equal request.
    pub(crate) async fn account_create(
        &self,
        request: &AccountCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Account, Error> {
        let new = NewAccount { id: AccountId::random(), name: names::name(&request.name)?, idempotency };
        let row = self.db.account_create(&new, self.clock.now_ms()).await?.into_inner();
        self.log_wake.notify_one();
        Ok(account(row))
    }

    pub(crate) async fn account_list(&self, query: &PageQuery) -> Result<List<Account>, Error> {
        Ok(list(self.db.account_page(&query.request()?).await?, account))
    }

    pub(crate) async fn account_show(&self, wanted: &str) -> Result<Account, Error> {
        self.db.account_find(wanted).await.map(account).map_err(Error::from)
    }

    pub(crate) async fn account_delete(&self, wanted: &str) -> Result<(), Error> {
        let row = self.db.account_find(wanted).await?;
        if row.name == DEFAULT_ACCOUNT {
            return Err(Error::Conflict(
                "the default account cannot be deleted: events without another belong to it".into(),
            ));
        }
        self.db.account_delete(row.id.as_str(), self.clock.now_ms()).await?;
        self.log_wake.notify_one();
        Ok(())
    }

    /// Makes an event, or answers the one of an earlier, equal request.
    pub(crate) async fn event_create(
        &self,
        request: &EventPut,
        idempotency: Option<Idempotency>,
    ) -> Result<Event, Error> {
        let account = request.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
        let new = NewEvent { id: EventId::random(), account, content: request.content()?, idempotency };
        let row = self.db.event_create(&new, self.clock.now_ms()).await?.into_inner();
        self.log_wake.notify_one();
        Ok(event(row))
    }

    pub(crate) async fn event_update(&self, wanted: &str, request: &EventPut) -> Result<Event, Error> {
        if request.account.is_some() {
            return Err(Error::invalid("account", "an event keeps its account"));
        }
        let row = self.db.event_update(wanted, &request.content()?, self.clock.now_ms()).await?;
        self.log_wake.notify_one();
        Ok(event(row))
    }

    pub(crate) async fn event_list(&self, query: &PageQuery) -> Result<List<Event>, Error> {
        Ok(list(self.db.event_page(&query.request()?).await?, event))
    }

    pub(crate) async fn event_show(&self, wanted: &str) -> Result<Event, Error> {
        self.db.event_find(wanted).await.map(event).map_err(Error::from)
    }

    pub(crate) async fn event_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.event_delete(wanted, self.clock.now_ms()).await?;
        self.log_wake.notify_one();
        Ok(())
    }
}

fn account(row: AccountRow) -> Account {
    Account { id: row.id.into(), name: row.name, created_at: time::render_ms(row.created_at) }
}

fn event(row: EventRow) -> Event {
    Event {
        id: row.id.into(),
        account: row.account.into(),
        name: row.name,
        description: row.description,
        starts_at: row.starts_at.map(time::render_ms),
        ends_at: row.ends_at.map(time::render_ms),
        created_at: time::render_ms(row.created_at),
    }
}
