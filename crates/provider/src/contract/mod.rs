//! The suite that every provider passes. An implementation's test calls [`run`] with a [`Subject`].

mod distribution;
mod pipeline;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use anabranch_model::{ChannelId, DistributionId, FailoverSpec, InputId, InputSpec};
use serde_json::{Value, json};

use crate::{Kind, NewDistribution, PipelineSpec, Provider, ProviderError, TAG_PLANE, Tags};

/// Makes everything that was asked before it real: nodes confirm, time passes.
pub type Settle<'a> = &'a (dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> + Send + Sync);

/// What is tested.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The provider. It may hold resources that the suite did not make.
    pub provider: &'a dyn Provider,
    /// Makes changes real.
    pub settle: Settle<'a>,
    /// The Unix time of its clock in milliseconds.
    pub now_ms: i64,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

/// A test of the suite, by name.
pub type Case<'a> = (&'static str, Pin<Box<dyn Future<Output = ()> + Send + 'a>>);

/// Every test, one after the other. A failure names its test.
///
/// # Panics
/// The provider breaks a rule.
pub async fn run(subject: Subject<'_>) {
    for (_name, case) in cases(subject) {
        case.await;
    }
}

/// The tests, not begun yet.
#[must_use]
pub fn cases(subject: Subject<'_>) -> Vec<Case<'_>> {
    let mut all = pipeline::cases(subject);
    all.extend(distribution::cases(subject));
    all
}

/// A pipeline that nobody has made.
#[must_use]
pub fn pipeline_spec() -> PipelineSpec {
    let id = ChannelId::random();
    let input = || {
        let id = InputId::random();
        InputSpec { stream_key: format!("key-{id}"), id, allow: Vec::new() }
    };
    PipelineSpec {
        name: format!("contract {id}"),
        id,
        segment_target_seconds: 6,
        window_seconds: 60,
        inputs: vec![input(), input()],
        failover: FailoverSpec::default(),
        tags: tags(),
    }
}

/// A distribution that nobody has made: one custom origin, enabled.
#[must_use]
pub fn distribution_order() -> NewDistribution {
    let id = DistributionId::random();
    let reference = format!("contract-{id}");
    NewDistribution {
        config: config(&reference, true),
        domain: Some(format!("{}.cdn.localhost", id.as_str().to_ascii_lowercase())),
        reference,
        id: Some(id),
        tags: tags(),
    }
}

/// A configuration of CloudFront with one custom origin.
#[must_use]
pub fn config(reference: &str, enabled: bool) -> Value {
    json!({
        "CallerReference": reference,
        "Comment": "contract",
        "Enabled": enabled,
        "Origins": { "Quantity": 1, "Items": [{
            "Id": "origin",
            "DomainName": "origin.example.com",
            "CustomOriginConfig": { "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "match-viewer" }
        }] },
        "DefaultCacheBehavior": {
            "TargetOriginId": "origin",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
        }
    })
}

fn tags() -> Tags {
    Tags::from([(TAG_PLANE.to_owned(), "contract".to_owned())])
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ProviderError>, kind: &Kind) -> ProviderError {
    let error = answer.expect_err("the call must be refused");
    assert_eq!(error.kind, *kind, "{error}");
    assert!(!error.words.is_empty(), "a refusal says why");
    error
}

fn done<T>(answer: Result<T, ProviderError>) -> T {
    answer.unwrap_or_else(|error| panic!("the call must be done, not refused as {:?}: {error}", error.kind))
}

/// Checks that no id comes twice.
fn all_differ<T: Ord + std::fmt::Debug>(ids: Vec<T>) -> BTreeSet<T> {
    let count = ids.len();
    let set: BTreeSet<T> = ids.into_iter().collect();
    assert_eq!(set.len(), count, "an id came on two pages");
    set
}
