//! A provider in memory with a clock of its own. For tests of those who call one.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_model::{
    BreakoutId, ChannelId, ChannelState, ChosenInput, DistributionId, DistributionState, InvalidationId,
    InvalidationState,
};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    DistributionProvider, DistributionStatus, InvalidationProvider, InvalidationStatus, Kind, Listing, MetricsProvider,
    NewDistribution, NewInvalidation, PipelineProvider, PipelineSpec, PipelineStatus, Provider, ProviderError, Reply,
    Tags, TrafficWindow,
};

/// Ids of a page; small, so that a few resources make several pages.
const PAGE: usize = 3;

/// Time until a change is real everywhere, by the provider's own clock.
pub const PROPAGATION: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Pipeline {
    spec: PipelineSpec,
    running: bool,
    session: Option<BreakoutId>,
    chosen: Option<ChosenInput>,
    settled_at: Duration,
}

#[derive(Debug)]
struct Distribution {
    reference: String,
    given: Value,
    domain: String,
    config: Value,
    revision: u64,
    tags: Tags,
    settled_at: Duration,
    traffic: Vec<(i64, u64, u64)>,
    invalidations: Vec<Invalidation>,
}

#[derive(Debug)]
struct Invalidation {
    id: InvalidationId,
    order: NewInvalidation,
    settled_at: Duration,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    pipelines: BTreeMap<ChannelId, Pipeline>,
    distributions: BTreeMap<DistributionId, Distribution>,
}

/// Pipelines and distributions that exist in this value alone.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

impl Memory {
    /// Lets time pass at the provider.
    pub fn advance(&self, time: Duration) {
        self.0.lock().now += time;
    }

    /// Lets every change become real.
    pub fn settle(&self) {
        self.advance(PROPAGATION);
    }

    /// Removes a distribution as somebody at the provider's console would.
    pub fn vanish(&self, id: &DistributionId) {
        self.0.lock().distributions.remove(id);
    }

    /// Changes a configuration as somebody at the provider's console would.
    pub fn meddle(&self, id: &DistributionId, change: impl FnOnce(&mut Value)) {
        if let Some(found) = self.0.lock().distributions.get_mut(id) {
            change(&mut found.config);
            found.revision += 1;
        }
    }

    /// Counts traffic at a time in Unix milliseconds.
    pub fn deliver(&self, id: &DistributionId, at_ms: i64, requests: u64, bytes: u64) {
        if let Some(found) = self.0.lock().distributions.get_mut(id) {
            found.traffic.push((at_ms, requests, bytes));
        }
    }

    fn reply<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut State) -> Result<T, ProviderError> + Send + 'a,
    ) -> Reply<'a, T> {
        Box::pin(async move { work(&mut self.0.lock()) })
    }
}

impl State {
    fn pipeline(&mut self, id: &ChannelId) -> Result<&mut Pipeline, ProviderError> {
        self.pipelines.get_mut(id).ok_or_else(|| ProviderError::not_found("pipeline", id.as_str()))
    }

    fn pipeline_status(&self, id: &ChannelId) -> Option<PipelineStatus> {
        let found = self.pipelines.get(id)?;
        let settled = found.settled_at <= self.now;
        let state = match (found.running, settled) {
            (true, true) => ChannelState::Running,
            (true, false) => ChannelState::Starting,
            (false, true) => ChannelState::Idle,
            (false, false) => ChannelState::Stopping,
        };
        Some(PipelineStatus {
            id: id.clone(),
            state,
            session: found.session.clone(),
            chosen: found.chosen.clone(),
            tags: found.spec.tags.clone(),
            waiting_for: (!settled).then(|| "waiting for time to pass".to_owned()),
        })
    }

    fn pipeline_known(&self, id: &ChannelId) -> Result<PipelineStatus, ProviderError> {
        self.pipeline_status(id).ok_or_else(|| ProviderError::not_found("pipeline", id.as_str()))
    }

    fn distribution_status(&self, id: &DistributionId) -> Option<DistributionStatus> {
        let found = self.distributions.get(id)?;
        let settled = found.settled_at <= self.now;
        Some(DistributionStatus {
            id: id.clone(),
            reference: found.reference.clone(),
            domain: found.domain.clone(),
            etag: format!("E{}", found.revision),
            status: if settled { DistributionState::Deployed } else { DistributionState::InProgress },
            enabled: enabled(&found.config),
            config: found.config.clone(),
            tags: found.tags.clone(),
            waiting_for: (!settled).then(|| "waiting for time to pass".to_owned()),
        })
    }

    fn create(&mut self, new: &NewDistribution) -> Result<DistributionStatus, ProviderError> {
        check(&new.config, &new.reference)?;
        if let Some((id, found)) = self.distributions.iter().find(|(_, found)| found.reference == new.reference) {
            let id = id.clone();
            if found.given != new.config {
                let words = format!("caller reference {:?} made distribution {id}", new.reference);
                return Err(ProviderError::new(Kind::Conflict, words));
            }
            return Ok(self.distribution_status(&id).expect("it was found just now"));
        }
        let id = new.id.clone().unwrap_or_else(DistributionId::random);
        if self.distributions.contains_key(&id) {
            return Err(ProviderError::new(
                Kind::Conflict,
                format!("there is already a distribution with this id: {id}"),
            ));
        }
        let domain = format!("{}.memory.invalid", id.as_str().to_ascii_lowercase());
        let made = Distribution {
            reference: new.reference.clone(),
            given: new.config.clone(),
            domain: new.domain.clone().unwrap_or(domain),
            config: new.config.clone(),
            revision: 1,
            tags: new.tags.clone(),
            settled_at: self.now + PROPAGATION,
            traffic: Vec::new(),
            invalidations: Vec::new(),
        };
        self.distributions.insert(id.clone(), made);
        Ok(self.distribution_status(&id).expect("it was made just now"))
    }

    fn update(
        &mut self,
        id: &DistributionId,
        if_match: &str,
        config: &Value,
    ) -> Result<DistributionStatus, ProviderError> {
        let status = self.current(id, if_match)?;
        check(config, &status.reference)?;
        let settled_at = self.now + PROPAGATION;
        let found = self.distributions.get_mut(id).expect("it was described just now");
        found.config = config.clone();
        found.revision += 1;
        found.settled_at = settled_at;
        Ok(self.distribution_status(id).expect("it was described just now"))
    }

    fn current(&self, id: &DistributionId, if_match: &str) -> Result<DistributionStatus, ProviderError> {
        let status =
            self.distribution_status(id).ok_or_else(|| ProviderError::not_found("distribution", id.as_str()))?;
        if status.etag != if_match {
            let words = format!("distribution {id} has changed since");
            return Err(ProviderError::new(Kind::PreconditionFailed, words));
        }
        Ok(status)
    }

    fn delete(&mut self, id: &DistributionId, if_match: &str) -> Result<(), ProviderError> {
        if !self.distributions.contains_key(id) {
            return Ok(());
        }
        let status = self.current(id, if_match)?;
        if status.enabled || status.status == DistributionState::InProgress {
            let words = format!("distribution {id} is enabled, or its disabling has not reached every edge");
            return Err(ProviderError::new(Kind::NotDisabled, words));
        }
        self.distributions.remove(id);
        Ok(())
    }

    fn order(&mut self, new: &NewInvalidation) -> Result<InvalidationStatus, ProviderError> {
        let now = self.now;
        let found = self
            .distributions
            .get_mut(&new.distribution)
            .ok_or_else(|| ProviderError::not_found("distribution", new.distribution.as_str()))?;
        if let Some(earlier) = found.invalidations.iter().find(|one| one.order.reference == new.reference) {
            if earlier.order.paths != new.paths || earlier.order.tags != new.tags {
                let words = format!("caller reference {:?} stands for another order", new.reference);
                return Err(ProviderError::new(Kind::Conflict, words));
            }
            return Ok(earlier.status(now));
        }
        let id = new.id.clone().unwrap_or_else(InvalidationId::random);
        let made = Invalidation { id, order: new.clone(), settled_at: now + PROPAGATION };
        let status = made.status(now);
        found.invalidations.push(made);
        Ok(status)
    }
}

impl Invalidation {
    fn status(&self, now: Duration) -> InvalidationStatus {
        let settled = self.settled_at <= now;
        InvalidationStatus {
            id: self.id.clone(),
            state: if settled { InvalidationState::Completed } else { InvalidationState::InProgress },
            waiting_for: (!settled).then(|| "waiting for time to pass".to_owned()),
        }
    }
}

fn enabled(config: &Value) -> bool {
    config["Enabled"].as_bool().unwrap_or(false)
}

fn check(config: &Value, reference: &str) -> Result<(), ProviderError> {
    let invalid = |words: &str| Err(ProviderError::new(Kind::Invalid, words));
    if config["CallerReference"].as_str() != Some(reference) {
        return invalid("CallerReference may not differ from the reference");
    }
    if config["Origins"]["Items"].as_array().is_none_or(Vec::is_empty) {
        return invalid("a distribution has at least one origin");
    }
    Ok(())
}

fn page<T: Ord + Clone + ToString>(all: impl Iterator<Item = T>, after: Option<&str>) -> Listing<T> {
    let mut items: Vec<T> =
        all.filter(|id| after.is_none_or(|after| id.to_string().as_str() > after)).take(PAGE + 1).collect();
    let more = items.len() > PAGE;
    items.truncate(PAGE);
    let next = if more { items.last().map(ToString::to_string) } else { None };
    Listing { items, next }
}

impl PipelineProvider for Memory {
    fn pipeline_ensure<'a>(&'a self, spec: &'a PipelineSpec) -> Reply<'a, PipelineStatus> {
        self.reply(move |state| {
            if spec.inputs.is_empty() {
                return Err(ProviderError::new(Kind::Invalid, "a pipeline has at least one input"));
            }
            let settled_at = state.now;
            let found = state.pipelines.entry(spec.id.clone()).or_insert_with(|| Pipeline {
                spec: spec.clone(),
                running: false,
                session: None,
                chosen: None,
                settled_at,
            });
            found.spec = spec.clone();
            state.pipeline_known(&spec.id)
        })
    }

    fn pipeline_start<'a>(&'a self, id: &'a ChannelId, session: Option<&'a BreakoutId>) -> Reply<'a, PipelineStatus> {
        self.reply(move |state| {
            let settled_at = state.now + PROPAGATION;
            let found = state.pipeline(id)?;
            if !found.running || found.session.as_ref() != session {
                found.settled_at = settled_at;
            }
            found.running = true;
            found.session = session.cloned();
            state.pipeline_known(id)
        })
    }

    fn pipeline_stop<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, PipelineStatus> {
        self.reply(move |state| {
            let settled_at = state.now + PROPAGATION;
            let found = state.pipeline(id)?;
            if found.running {
                found.settled_at = settled_at;
            }
            found.running = false;
            found.session = None;
            state.pipeline_known(id)
        })
    }

    fn pipeline_switch<'a>(&'a self, id: &'a ChannelId, chosen: &'a ChosenInput) -> Reply<'a, PipelineStatus> {
        self.reply(move |state| {
            let found = state.pipeline(id)?;
            if !found.spec.inputs.iter().any(|one| one.id == chosen.input) {
                let words = format!("pipeline {id} has no such input: {}", chosen.input);
                return Err(ProviderError::new(Kind::Invalid, words));
            }
            if found.chosen.as_ref().is_none_or(|last| last.sequence < chosen.sequence) {
                found.chosen = Some(chosen.clone());
            }
            state.pipeline_known(id)
        })
    }

    fn pipeline_describe<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, Option<PipelineStatus>> {
        self.reply(move |state| Ok(state.pipeline_status(id)))
    }

    fn pipeline_delete<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, ()> {
        self.reply(move |state| match state.pipeline_status(id) {
            Some(status) if status.state != ChannelState::Idle => {
                let words = format!("pipeline {id} is {}; stop it first", status.state.as_str());
                Err(ProviderError::new(Kind::InUse, words))
            }
            _ => {
                state.pipelines.remove(id);
                Ok(())
            }
        })
    }

    fn pipeline_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<ChannelId>> {
        self.reply(move |state| Ok(page(state.pipelines.keys().cloned(), after)))
    }
}

impl DistributionProvider for Memory {
    fn distribution_create<'a>(&'a self, new: &'a NewDistribution) -> Reply<'a, DistributionStatus> {
        self.reply(move |state| state.create(new))
    }

    fn distribution_describe<'a>(&'a self, id: &'a DistributionId) -> Reply<'a, Option<DistributionStatus>> {
        self.reply(move |state| Ok(state.distribution_status(id)))
    }

    fn distribution_update<'a>(
        &'a self,
        id: &'a DistributionId,
        if_match: &'a str,
        config: &'a Value,
    ) -> Reply<'a, DistributionStatus> {
        self.reply(move |state| state.update(id, if_match, config))
    }

    fn distribution_delete<'a>(&'a self, id: &'a DistributionId, if_match: &'a str) -> Reply<'a, ()> {
        self.reply(move |state| state.delete(id, if_match))
    }

    fn distribution_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<DistributionId>> {
        self.reply(move |state| Ok(page(state.distributions.keys().cloned(), after)))
    }
}

impl InvalidationProvider for Memory {
    fn invalidation_create<'a>(&'a self, new: &'a NewInvalidation) -> Reply<'a, InvalidationStatus> {
        self.reply(move |state| state.order(new))
    }

    fn invalidation_describe<'a>(
        &'a self,
        distribution: &'a DistributionId,
        id: &'a InvalidationId,
    ) -> Reply<'a, Option<InvalidationStatus>> {
        self.reply(move |state| {
            let now = state.now;
            let found = state.distributions.get(distribution);
            Ok(found.and_then(|found| found.invalidations.iter().find(|one| one.id == *id)).map(|one| one.status(now)))
        })
    }
}

impl MetricsProvider for Memory {
    fn distribution_traffic<'a>(
        &'a self,
        id: &'a DistributionId,
        from_ms: i64,
        until_ms: i64,
    ) -> Reply<'a, TrafficWindow> {
        self.reply(move |state| {
            let mut sum = TrafficWindow { complete_until_ms: until_ms, ..TrafficWindow::default() };
            let traffic = state.distributions.get(id).map_or(&[][..], |found| &found.traffic);
            for (_, requests, bytes) in traffic.iter().filter(|(at, ..)| (from_ms..until_ms).contains(at)) {
                sum.requests += requests;
                sum.bytes += bytes;
            }
            Ok(sum)
        })
    }
}

impl Provider for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }
}
