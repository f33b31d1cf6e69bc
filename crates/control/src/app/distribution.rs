//! Distributions.

use std::collections::BTreeMap;

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::operation::{DISTRIBUTION_CREATE, DISTRIBUTION_DELETE};
use anabranch_db::{DistributionContent, DistributionRow, Idempotency, NewDistribution, Retire};
use anabranch_model::{ChannelId, DistributionId, DistributionState};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::operation::planned;
use super::page::{PageQuery, list};
use super::view::{Distribution, DistributionWhole, List, OperationNow, Planned};
use super::{App, DeleteQuery, Deleted, Error, config_of, names};
use crate::reconcile::note;
use crate::time;

/// Bytes sent in this time, in milliseconds, mean that somebody watches.
const WATCHED_MS: i64 = 60_000;

/// The configuration of a distribution to make or to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DistributionPut {
    /// CloudFront's DistributionConfig, as `aws cloudfront create-distribution --distribution-config` takes it. A field that is
    /// not honoured is refused by name.
    #[schema(value_type = Object)]
    config: serde_json::Value,
    /// Labels, up to 50, of a distribution that is made; a change leaves them as they are.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// The channel that a distribution is given to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DistributionAttach {
    /// Id or name of a channel that has no distribution.
    channel: String,
}

/// Whether a request is only to say what it would do.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// `true` checks the request and answers the steps that it would begin; nothing is changed.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl DistributionPut {
    fn parse(&self) -> Result<DistributionConfig, Error> {
        Ok(DistributionConfig::parse(self.config.to_string().as_bytes())?)
    }

    /// The error with the field of the configuration that it is about, if the rows did not know that.
    pub(crate) fn place(&self, error: Error) -> Error {
        match (&error, self.parse()) {
            (Error::Db(anabranch_db::Error::Dangling { subject: "key group", wanted }), Ok(config)) => {
                config.unknown_key_group(wanted).into()
            }
            _ => error,
        }
    }
}

impl App {
    /// Makes a distribution of its own, or answers the one of an earlier, equal request.
    pub(crate) async fn distribution_create(
        &self,
        request: &DistributionPut,
        idempotency: Option<Idempotency>,
    ) -> Result<DistributionWhole, Error> {
        let tags = names::tags(&request.tags)?;
        self.distribution_create_from(&request.parse()?, tags, idempotency).await
    }

    /// The same of a configuration that was read.
    pub(super) async fn distribution_create_from(
        &self,
        config: &DistributionConfig,
        tags: BTreeMap<String, String>,
        idempotency: Option<Idempotency>,
    ) -> Result<DistributionWhole, Error> {
        let id = DistributionId::random();
        let content = self.distribution_content(config, &id)?;
        let new = NewDistribution { domain_name: self.domain_name(&id), id, content, tags, idempotency };
        let row = self.db.distribution_create(&new, None, self.clock.now_ms()).await?.into_inner();
        self.changed();
        self.operation_rests(row.id.as_str()).await?;
        self.distribution_show(row.id.as_str()).await
    }

    /// What [`Self::distribution_create`] would do.
    pub(crate) fn distribution_create_planned(&self, request: &DistributionPut) -> Result<Planned, Error> {
        self.distribution_content(&request.parse()?, &DistributionId::random())?;
        names::tags(&request.tags)?;
        Ok(planned(DISTRIBUTION_CREATE, &[]))
    }

    /// Makes a distribution for a channel that has none (V35).
    pub(crate) async fn channel_distribution_create(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let channel = self.db.channel_find(wanted).await?;
        let new = self.channel_distribution(&channel.id)?;
        let row = self.db.distribution_create(&new, Some(&channel.id), self.clock.now_ms()).await?.into_inner();
        self.changed();
        self.operation_rests(row.id.as_str()).await?;
        self.distribution_show(row.id.as_str()).await
    }

    /// Gives a distribution another configuration; `etag` is that of the one which the caller has seen.
    pub(crate) async fn distribution_update(
        &self,
        wanted: &str,
        request: &DistributionPut,
        etag: Option<&str>,
    ) -> Result<DistributionWhole, Error> {
        let found = self.db.distribution_find(wanted).await?;
        let content = self.distribution_content(&request.parse()?, &found.id)?;
        let expected = etag.map(|etag| generation(&found.id, etag));
        let row = self.db.distribution_update(wanted, &content, expected, self.clock.now_ms()).await?;
        self.changed();
        self.operation_rests(row.id.as_str()).await?;
        self.distribution_show(row.id.as_str()).await
    }

    /// Wants a distribution gone.
    pub(crate) async fn distribution_delete(
        &self,
        wanted: &str,
        etag: Option<&str>,
        query: DeleteQuery,
    ) -> Result<Deleted, Error> {
        let found = self.db.distribution_find(wanted).await?;
        let retire = if query.force { Retire::Forced } else { Retire::Asked };
        if retire == Retire::Asked && found.enabled && found.channel.is_some() {
            self.check_unwatched(&found).await?;
        }
        let content = self.disabled_content(&found)?;
        let expected = etag.map(|etag| generation(&found.id, etag));
        self.db.distribution_retire(wanted, &content, retire, expected, self.clock.now_ms()).await?;
        self.changed();
        self.operation_settles(found.id.as_str()).await
    }

    /// What [`Self::distribution_delete`] would do.
    pub(crate) async fn distribution_delete_planned(&self, wanted: &str) -> Result<Planned, Error> {
        self.db.distribution_find(wanted).await?;
        Ok(planned(DISTRIBUTION_DELETE, &[]))
    }

    /// Disables a distribution and takes it from its channel (V34).
    pub(crate) async fn distribution_detach(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let found = self.db.distribution_find(wanted).await?;
        let content = self.disabled_content(&found)?;
        let row = self.db.distribution_detach(wanted, &content, self.clock.now_ms()).await?;
        note("distribution", row.id.as_str(), "detached", "");
        self.changed();
        self.distribution_whole(row).await
    }

    /// Enables a distribution and gives it to a channel that has none.
    pub(crate) async fn distribution_attach(
        &self,
        wanted: &str,
        request: &DistributionAttach,
    ) -> Result<DistributionWhole, Error> {
        let found = self.db.distribution_find(wanted).await?;
        let channel = match self.db.channel_find(&request.channel).await {
            Err(error @ anabranch_db::Error::NotFound { .. }) => {
                return Err(Error::invalid("channel", error.to_string()));
            }
            channel => channel?,
        };
        let mut config = self.serving(&found, &channel.id)?;
        config.set_enabled(true);
        let content = self.distribution_content(&config, &found.id)?;
        let row = self.db.distribution_attach(wanted, &channel.id, &content, self.clock.now_ms()).await?;
        note("distribution", row.id.as_str(), "attached", channel.id.as_str());
        self.changed();
        self.distribution_whole(row).await
    }

    /// Looks at what the provider has now (V46).
    pub(crate) async fn distribution_sync(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let row = self.db.distribution_find(wanted).await?;
        crate::reconcile::check(self, &row).await?;
        self.changed();
        let row = self.db.distribution_find(wanted).await?;
        self.distribution_whole(row).await
    }

    pub(crate) async fn distribution_list(&self, query: &PageQuery) -> Result<List<Distribution>, Error> {
        let page = self.db.distribution_page(&query.request()?).await?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let mut operations = self.operations_now(&ids).await?;
        Ok(list(page, |row| {
            // One that cannot be read must not hide the others.
            let comment = comment(&row);
            let operation = operations.remove(row.id.as_str());
            self.distribution_view(row, comment, operation)
        }))
    }

    pub(crate) async fn distribution_show(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let row = self.db.distribution_find(wanted).await?;
        self.distribution_whole(row).await
    }

    /// Refuses what would take the picture from somebody (V45).
    pub(super) async fn check_unwatched(&self, row: &DistributionRow) -> Result<(), Error> {
        let Some(id) = &row.provider_id else { return Ok(()) };
        let now_ms = self.clock.now_ms();
        let seen = self.provider.distribution_traffic(id, now_ms - WATCHED_MS, now_ms).await;
        match seen {
            Ok(window) if window.bytes > 0 => {
                let bytes = window.bytes;
                let detail = format!(
                    "distribution {} is being watched, {bytes} bytes in the last minute: try later, or with force",
                    row.id
                );
                Err(Error::Conflict(detail))
            }
            Ok(_) => Ok(()),
            // Who cannot say whether anybody watches does not keep anybody from deleting.
            Err(error) => {
                tracing::warn!(distribution.id = %row.id, error = %error, "whether it is watched is not known");
                Ok(())
            }
        }
    }

    /// The distribution that a channel is made with (V30 to V33).
    pub(crate) fn channel_distribution(&self, channel: &ChannelId) -> Result<NewDistribution, Error> {
        let id = DistributionId::random();
        let config = DistributionConfig::live(id.as_str(), channel, &self.key_group, &self.viewers);
        Ok(NewDistribution {
            domain_name: self.domain_name(&id),
            content: self.distribution_content(&config, &id)?,
            id,
            tags: BTreeMap::new(),
            idempotency: None,
        })
    }

    /// What rows keep of the same configuration, disabled.
    pub(crate) fn disabled_content(&self, row: &DistributionRow) -> Result<DistributionContent, Error> {
        let mut config = config_of(row)?;
        config.set_enabled(false);
        self.distribution_content(&config, &row.id)
    }

    /// The configuration of a row with an origin that serves the channel.
    fn serving(&self, row: &DistributionRow, channel: &ChannelId) -> Result<DistributionConfig, Error> {
        let config = config_of(row)?;
        let serves: Vec<ChannelId> = config.live_channels().collect();
        if serves.contains(channel) {
            return Ok(config);
        }
        let mut json = config.to_json();
        let origins = json["Origins"]["Items"].as_array().map_or(0, Vec::len);
        if serves.is_empty() || origins != 1 {
            let detail =
                format!("distribution {} has no origin that serves channel {channel}: update it first", row.id);
            return Err(Error::invalid("channel", detail));
        }
        // The one origin is another channel's: behaviors name it by an id that stays.
        let name = json["Origins"]["Items"][0]["Id"].clone();
        let fresh =
            DistributionConfig::live(config.caller_reference(), channel, &self.key_group, &self.viewers).to_json();
        json["Origins"] = fresh["Origins"].clone();
        json["Origins"]["Items"][0]["Id"] = name;
        Ok(DistributionConfig::parse(json.to_string().as_bytes())?)
    }

    async fn distribution_whole(&self, row: DistributionRow) -> Result<DistributionWhole, Error> {
        let config = config_of(&row)?;
        let operation = self.operation_now(row.id.as_str()).await?;
        let operation = match (operation, &row.channel) {
            (None, Some(channel)) if row.status == DistributionState::InProgress => {
                self.operation_now(channel.as_str()).await?
            }
            (operation, _) => operation,
        };
        let distribution = self.distribution_view(row, config.comment().to_owned(), operation);
        Ok(DistributionWhole { distribution, config: config.to_json() })
    }

    fn distribution_view(
        &self,
        row: DistributionRow,
        comment: String,
        operation: Option<OperationNow>,
    ) -> Distribution {
        let (requests, bytes) = self.observed.traffic(&row.id);
        let waits = row.status == DistributionState::InProgress;
        let waiting_for = operation.as_ref().and_then(|operation| operation.waiting_for.clone());
        Distribution {
            etag: etag(&row),
            waiting_for: if waits { waiting_for.or_else(|| Some("waiting for the provider".to_owned())) } else { None },
            id: row.id.into(),
            channel: row.channel.map(String::from),
            phase: row.phase,
            caller_reference: row.caller_reference,
            comment,
            domain_name: row.domain_name,
            aliases: row.aliases,
            status: row.status,
            enabled: row.enabled,
            price_class: row.price_class,
            key_groups: row.key_groups.into_iter().map(String::from).collect(),
            tags: row.tags,
            provider: self.provider.name().to_owned(),
            provider_id: row.provider_id.map(String::from),
            drift: row.drift,
            last_checked_at: (row.last_checked_at > 0).then(|| time::render_ms(row.last_checked_at)),
            operation,
            requests_total: row.requests_total.saturating_add(requests),
            bytes_total: row.bytes_total.saturating_add(bytes),
            created_at: time::render_ms(row.created_at),
        }
    }
}

/// The comment of a configuration, for lists: nothing else of it is looked at.
fn comment(row: &DistributionRow) -> String {
    #[derive(Default, Deserialize)]
    struct Commented {
        #[serde(rename = "Comment", default)]
        comment: String,
    }
    match &row.config {
        Some(config) => serde_json::from_str::<Commented>(config).unwrap_or_default().comment,
        None => config_of(row).map(|config| config.comment().to_owned()).unwrap_or_default(),
    }
}

fn etag(row: &DistributionRow) -> String {
    format!("{}-{}", row.id, row.generation)
}

/// The generation that an ETag names; 0, which no row has, when it is not one of this distribution.
fn generation(id: &DistributionId, etag: &str) -> u64 {
    let number = etag.strip_prefix(id.as_str()).and_then(|rest| rest.strip_prefix('-'));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
