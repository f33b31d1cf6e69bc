//! Distributions of edges, their invalidations and their traffic.

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{Change, LocalDistributionRow, NewLocalDistribution, NewLocalInvalidation};
use anabranch_model::{DistributionId, DistributionState, InvalidationId, InvalidationState, PriceClass};
use anabranch_provider::{
    DistributionProvider, DistributionStatus, InvalidationProvider, InvalidationStatus, Kind, Listing, MetricsProvider,
    NewDistribution, NewInvalidation, ProviderError, Reply, TrafficWindow,
};
use serde_json::Value;

use super::{Local, PAGE, listing, reply, unavailable, waits};

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

impl Local {
    fn status(&self, row: LocalDistributionRow) -> Result<DistributionStatus, ProviderError> {
        let waiting_for = self.waits_for_edges(price_class(&row.config), row.changed_version);
        let config: Value = serde_json::from_str(&row.config).map_err(|error| {
            let words = format!("the configuration of distribution {} cannot be read: {error}", row.id);
            ProviderError::new(Kind::Unavailable, words)
        })?;
        Ok(DistributionStatus {
            etag: etag(&row.id, row.revision),
            status: if waiting_for.is_none() { DistributionState::Deployed } else { DistributionState::InProgress },
            id: row.id,
            reference: row.reference,
            domain: row.domain,
            enabled: row.enabled,
            config,
            tags: row.tags,
            waiting_for,
        })
    }

    /// What a change of this version waits for: every edge that carries the class.
    fn waits_for_edges(&self, class: PriceClass, version: u64) -> Option<String> {
        let applied = self.observed.applied_where("edge", version, |node| self.nodes.carries(node, class));
        waits(&self.observed, "edge", &applied, version)
    }

    fn invalidation_status(&self, id: InvalidationId, class: PriceClass, version: u64) -> InvalidationStatus {
        let waiting_for = self.waits_for_edges(class, version);
        let state = if waiting_for.is_none() { InvalidationState::Completed } else { InvalidationState::InProgress };
        InvalidationStatus { id, state, waiting_for }
    }

    async fn row(&self, id: &DistributionId) -> Result<Option<LocalDistributionRow>, ProviderError> {
        self.db.local_distribution(id).await.map_err(|error| unavailable(&error))
    }
}

impl DistributionProvider for Local {
    fn distribution_create<'a>(&'a self, new: &'a NewDistribution) -> Reply<'a, DistributionStatus> {
        reply(async move {
            let id = new.id.clone().unwrap_or_else(DistributionId::random);
            let domain = new.domain.clone();
            let domain =
                domain.unwrap_or_else(|| format!("{}.{}", id.as_str().to_ascii_lowercase(), self.domain_suffix));
            let config = checked(&new.config, &new.reference, &id, &domain)?;
            let made = NewLocalDistribution {
                reference: new.reference.clone(),
                config: config.to_json().to_string(),
                domain,
                enabled: config.enabled(),
                tags: new.tags.clone(),
                id,
            };
            let made = self.db.local_distribution_create(&made, self.clock.now_ms()).await;
            match made.map_err(|error| unavailable(&error))? {
                Change::Done(row) => self.status(row),
                Change::Taken(other) => {
                    let words = format!(
                        "distribution {other} has the caller reference {:?}, the id or the host name, and other content",
                        new.reference
                    );
                    Err(ProviderError::new(Kind::Conflict, words))
                }
                Change::NotFound | Change::Stale => Err(ProviderError::not_found("distribution", &new.reference)),
            }
        })
    }

    fn distribution_describe<'a>(&'a self, id: &'a DistributionId) -> Reply<'a, Option<DistributionStatus>> {
        reply(async move { self.row(id).await?.map(|row| self.status(row)).transpose() })
    }

    fn distribution_update<'a>(
        &'a self,
        id: &'a DistributionId,
        if_match: &'a str,
        config: &'a Value,
    ) -> Reply<'a, DistributionStatus> {
        reply(async move {
            let Some(row) = self.row(id).await? else {
                return Err(ProviderError::not_found("distribution", id.as_str()));
            };
            if etag(id, row.revision) != if_match {
                return Err(changed_since(id));
            }
            let config = checked(config, &row.reference, id, &row.domain)?;
            let text = config.to_json().to_string();
            let updated = self.db.local_distribution_update(id, Some(row.revision), &text, config.enabled()).await;
            match updated.map_err(|error| unavailable(&error))? {
                Change::Done(row) => self.status(row),
                Change::Stale => Err(changed_since(id)),
                Change::NotFound | Change::Taken(_) => Err(ProviderError::not_found("distribution", id.as_str())),
            }
        })
    }

    fn distribution_delete<'a>(&'a self, id: &'a DistributionId, if_match: &'a str) -> Reply<'a, ()> {
        reply(async move {
            let Some(row) = self.row(id).await? else { return Ok(()) };
            if etag(id, row.revision) != if_match {
                return Err(changed_since(id));
            }
            let waits = self.waits_for_edges(price_class(&row.config), row.changed_version);
            if row.enabled || waits.is_some() {
                let why = waits.unwrap_or_else(|| "it is enabled".to_owned());
                let words = format!("distribution {id} cannot be deleted yet (DistributionNotDisabled): {why}");
                return Err(ProviderError::new(Kind::NotDisabled, words));
            }
            let deleted = self.db.local_distribution_delete(id, Some(row.revision)).await;
            match deleted.map_err(|error| unavailable(&error))? {
                Change::Stale => Err(changed_since(id)),
                Change::Done(()) | Change::NotFound | Change::Taken(_) => Ok(()),
            }
        })
    }

    fn distribution_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<DistributionId>> {
        reply(async move {
            let ids = self.db.local_distribution_ids(after.unwrap_or_default(), PAGE + 1).await;
            Ok(listing(ids.map_err(|error| unavailable(&error))?))
        })
    }
}

impl InvalidationProvider for Local {
    fn invalidation_create<'a>(&'a self, new: &'a NewInvalidation) -> Reply<'a, InvalidationStatus> {
        reply(async move {
            let Some(row) = self.row(&new.distribution).await? else {
                return Err(ProviderError::not_found("distribution", new.distribution.as_str()));
            };
            let order = NewLocalInvalidation {
                id: new.id.clone().unwrap_or_else(InvalidationId::random),
                distribution: new.distribution.clone(),
                reference: new.reference.clone(),
                paths: new.paths.clone(),
                tags: new.tags.clone(),
            };
            let told = self.db.local_invalidation_create(&order).await.map_err(|error| unavailable(&error))?;
            match told {
                Change::Done((id, version)) => Ok(self.invalidation_status(id, price_class(&row.config), version)),
                Change::Taken(other) => {
                    let words = format!("caller reference {:?} stands for invalidation {other}", new.reference);
                    Err(ProviderError::new(Kind::Conflict, words))
                }
                Change::NotFound | Change::Stale => {
                    Err(ProviderError::not_found("distribution", new.distribution.as_str()))
                }
            }
        })
    }

    fn invalidation_describe<'a>(
        &'a self,
        distribution: &'a DistributionId,
        id: &'a InvalidationId,
    ) -> Reply<'a, Option<InvalidationStatus>> {
        reply(async move {
            let version = self.db.local_invalidation(distribution, id).await.map_err(|error| unavailable(&error))?;
            let (Some(version), Some(row)) = (version, self.row(distribution).await?) else { return Ok(None) };
            Ok(Some(self.invalidation_status(id.clone(), price_class(&row.config), version)))
        })
    }
}

impl MetricsProvider for Local {
    fn distribution_traffic<'a>(
        &'a self,
        id: &'a DistributionId,
        from_ms: i64,
        until_ms: i64,
    ) -> Reply<'a, TrafficWindow> {
        reply(async move {
            let (from, until) = (from_ms.div_euclid(MINUTE_MS), (until_ms - 1).div_euclid(MINUTE_MS));
            let counted = self.db.local_traffic(id, from, until).await.map_err(|error| unavailable(&error))?;
            let (mut requests, mut bytes) = counted;
            if until_ms >= self.clock.now_ms() {
                // What edges have reported and the rows do not count yet.
                let (more_requests, more_bytes) = self.observed.traffic(id);
                requests = requests.saturating_add(more_requests);
                bytes = bytes.saturating_add(more_bytes);
            }
            Ok(TrafficWindow { requests, bytes, complete_until_ms: until_ms.min(self.clock.now_ms()) })
        })
    }
}

/// The configuration, if edges can be told of it.
fn checked(
    config: &Value,
    reference: &str,
    id: &DistributionId,
    domain: &str,
) -> Result<DistributionConfig, ProviderError> {
    let invalid = |words: String| ProviderError::new(Kind::Invalid, words);
    let parsed =
        DistributionConfig::parse(config.to_string().as_bytes()).map_err(|error| invalid(error.to_string()))?;
    parsed.compile(id, domain).map_err(|error| invalid(error.to_string()))?;
    if parsed.caller_reference() != reference {
        let words = format!("CallerReference may not differ from {reference:?}: {:?}", parsed.caller_reference());
        return Err(invalid(words));
    }
    Ok(parsed)
}

fn price_class(config: &str) -> PriceClass {
    #[derive(serde::Deserialize)]
    struct Class {
        #[serde(rename = "PriceClass", default)]
        class: PriceClass,
    }
    serde_json::from_str::<Class>(config).map(|class| class.class).unwrap_or_default()
}

fn etag(id: &DistributionId, revision: u64) -> String {
    format!("{id}-{revision}")
}

fn changed_since(id: &DistributionId) -> ProviderError {
    ProviderError::new(Kind::PreconditionFailed, format!("distribution {id} has changed since"))
}
