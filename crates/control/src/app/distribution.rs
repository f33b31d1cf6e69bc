//! Distributions.

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{DistributionRow, Idempotency, NewDistribution};
use anabranch_model::{DistributionId, DistributionState};
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{Distribution, DistributionWhole, List};
use super::{App, Error, config_of};
use crate::reconcile::missing;
use crate::time;

/// The configuration of a distribution to make or to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DistributionPut {
    /// CloudFront's DistributionConfig, as `aws cloudfront create-distribution --distribution-config` takes it. A field that is
    /// not honoured is refused by name.
    #[schema(value_type = Object)]
    config: serde_json::Value,
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
        let id = DistributionId::random();
        let content = self.distribution_content(&request.parse()?, &id)?;
        let new = NewDistribution { domain_name: self.domain_name(&id), id, content, idempotency };
        let row = self.db.distribution_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        self.distribution_whole(row)
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
        self.distribution_whole(row)
    }

    pub(crate) async fn distribution_delete(&self, wanted: &str, etag: Option<&str>) -> Result<(), Error> {
        let found = self.db.distribution_find(wanted).await?;
        self.db.distribution_delete(wanted, etag.map(|etag| generation(&found.id, etag))).await?;
        self.changed();
        Ok(())
    }

    pub(crate) async fn distribution_list(&self, query: &PageQuery) -> Result<List<Distribution>, Error> {
        let page = self.db.distribution_page(&query.request()?).await?;
        Ok(list(page, |row| {
            // One that cannot be read must not hide the others.
            let comment = config_of(&row).map(|config| config.comment().to_owned()).unwrap_or_default();
            self.distribution_view(row, comment)
        }))
    }

    pub(crate) async fn distribution_show(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let row = self.db.distribution_find(wanted).await?;
        self.distribution_whole(row)
    }

    fn distribution_whole(&self, row: DistributionRow) -> Result<DistributionWhole, Error> {
        let config = config_of(&row)?;
        let distribution = self.distribution_view(row, config.comment().to_owned());
        Ok(DistributionWhole { distribution, config: config.to_json() })
    }

    fn distribution_view(&self, row: DistributionRow, comment: String) -> Distribution {
        let (requests, bytes) = self.observed.traffic(&row.id);
        let waits = row.status == DistributionState::InProgress;
        Distribution {
            etag: etag(&row),
            waiting_for: if waits { missing(&self.observed, &["edge"], row.changed_version) } else { None },
            id: row.id.into(),
            channel: row.channel.map(String::from),
            caller_reference: row.caller_reference,
            comment,
            domain_name: row.domain_name,
            aliases: row.aliases,
            status: row.status,
            enabled: row.enabled,
            price_class: row.price_class,
            key_groups: row.key_groups.into_iter().map(String::from).collect(),
            requests_total: row.requests_total.saturating_add(requests),
            bytes_total: row.bytes_total.saturating_add(bytes),
            created_at: time::render_ms(row.created_at),
        }
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
