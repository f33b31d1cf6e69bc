//! A provider that answers late, twice, wrongly or never, by a plan. For tests of those who call one.

use std::collections::VecDeque;
use std::time::Duration;

use anabranch_model::{BreakoutId, ChannelId, ChosenInput, DistributionId, InvalidationId};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    DistributionProvider, DistributionStatus, InvalidationProvider, InvalidationStatus, Listing, MetricsProvider,
    NewDistribution, NewInvalidation, PipelineProvider, PipelineSpec, PipelineStatus, Provider, ProviderError, Reply,
    TrafficWindow,
};

/// What goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and answered after this time.
    Late(Duration),
    /// It is done twice; the second answer counts.
    Twice,
    /// It is not done, and refused.
    Before(ProviderError),
    /// It is done, and refused nevertheless.
    After(ProviderError),
    /// It is not done, and never answered.
    NeverBefore,
    /// It is done, and never answered.
    NeverAfter,
}

/// A provider with faults.
#[derive(Debug, Default)]
pub struct Faulty<P> {
    inner: P,
    plan: Mutex<VecDeque<(&'static str, Fault)>>,
    calls: Mutex<Vec<&'static str>>,
}

impl<P> Faulty<P> {
    /// `inner`, without faults yet.
    pub fn new(inner: P) -> Self {
        Self { inner, plan: Mutex::default(), calls: Mutex::default() }
    }

    /// What does the work.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// Lets the next call of `operation` (such as `distribution_create`) that has no earlier plan go wrong.
    pub fn plan(&self, operation: &'static str, fault: Fault) {
        self.plan.lock().push_back((operation, fault));
    }

    /// Faults that no call has met yet.
    pub fn planned(&self) -> usize {
        self.plan.lock().len()
    }

    /// Names of the operations that were called, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().clone()
    }

    fn next(&self, operation: &'static str) -> Option<Fault> {
        self.calls.lock().push(operation);
        let mut plan = self.plan.lock();
        let at = plan.iter().position(|(of, _)| *of == operation)?;
        plan.remove(at).map(|(_, fault)| fault)
    }

    fn through<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        call: impl Fn(&'a P) -> Reply<'a, T> + Send + Sync + 'a,
    ) -> Reply<'a, T>
    where
        P: Sync,
    {
        Box::pin(async move {
            match self.next(operation) {
                None => call(&self.inner).await,
                Some(Fault::Late(time)) => {
                    let answer = call(&self.inner).await;
                    tokio::time::sleep(time).await;
                    answer
                }
                Some(Fault::Twice) => {
                    // Whoever repeats a call does not know what the first one answered.
                    let _first = call(&self.inner).await;
                    call(&self.inner).await
                }
                Some(Fault::Before(error)) => Err(error),
                Some(Fault::After(error)) => call(&self.inner).await.and(Err(error)),
                Some(Fault::NeverBefore) => std::future::pending().await,
                Some(Fault::NeverAfter) => {
                    call(&self.inner).await?;
                    std::future::pending().await
                }
            }
        })
    }
}

impl<P: Provider> PipelineProvider for Faulty<P> {
    fn pipeline_ensure<'a>(&'a self, spec: &'a PipelineSpec) -> Reply<'a, PipelineStatus> {
        self.through("pipeline_ensure", |inner| inner.pipeline_ensure(spec))
    }

    fn pipeline_start<'a>(&'a self, id: &'a ChannelId, session: Option<&'a BreakoutId>) -> Reply<'a, PipelineStatus> {
        self.through("pipeline_start", move |inner| inner.pipeline_start(id, session))
    }

    fn pipeline_stop<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, PipelineStatus> {
        self.through("pipeline_stop", |inner| inner.pipeline_stop(id))
    }

    fn pipeline_switch<'a>(&'a self, id: &'a ChannelId, chosen: &'a ChosenInput) -> Reply<'a, PipelineStatus> {
        self.through("pipeline_switch", move |inner| inner.pipeline_switch(id, chosen))
    }

    fn pipeline_describe<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, Option<PipelineStatus>> {
        self.through("pipeline_describe", |inner| inner.pipeline_describe(id))
    }

    fn pipeline_delete<'a>(&'a self, id: &'a ChannelId) -> Reply<'a, ()> {
        self.through("pipeline_delete", |inner| inner.pipeline_delete(id))
    }

    fn pipeline_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<ChannelId>> {
        self.through("pipeline_list", move |inner| inner.pipeline_list(after))
    }
}

impl<P: Provider> DistributionProvider for Faulty<P> {
    fn distribution_create<'a>(&'a self, new: &'a NewDistribution) -> Reply<'a, DistributionStatus> {
        self.through("distribution_create", |inner| inner.distribution_create(new))
    }

    fn distribution_describe<'a>(&'a self, id: &'a DistributionId) -> Reply<'a, Option<DistributionStatus>> {
        self.through("distribution_describe", |inner| inner.distribution_describe(id))
    }

    fn distribution_update<'a>(
        &'a self,
        id: &'a DistributionId,
        if_match: &'a str,
        config: &'a Value,
    ) -> Reply<'a, DistributionStatus> {
        self.through("distribution_update", move |inner| inner.distribution_update(id, if_match, config))
    }

    fn distribution_delete<'a>(&'a self, id: &'a DistributionId, if_match: &'a str) -> Reply<'a, ()> {
        self.through("distribution_delete", move |inner| inner.distribution_delete(id, if_match))
    }

    fn distribution_list<'a>(&'a self, after: Option<&'a str>) -> Reply<'a, Listing<DistributionId>> {
        self.through("distribution_list", move |inner| inner.distribution_list(after))
    }
}

impl<P: Provider> InvalidationProvider for Faulty<P> {
    fn invalidation_create<'a>(&'a self, new: &'a NewInvalidation) -> Reply<'a, InvalidationStatus> {
        self.through("invalidation_create", |inner| inner.invalidation_create(new))
    }

    fn invalidation_describe<'a>(
        &'a self,
        distribution: &'a DistributionId,
        id: &'a InvalidationId,
    ) -> Reply<'a, Option<InvalidationStatus>> {
        self.through("invalidation_describe", move |inner| inner.invalidation_describe(distribution, id))
    }
}

impl<P: Provider> MetricsProvider for Faulty<P> {
    fn distribution_traffic<'a>(
        &'a self,
        id: &'a DistributionId,
        from_ms: i64,
        until_ms: i64,
    ) -> Reply<'a, TrafficWindow> {
        self.through("distribution_traffic", move |inner| inner.distribution_traffic(id, from_ms, until_ms))
    }
}

impl<P: Provider> Provider for Faulty<P> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
