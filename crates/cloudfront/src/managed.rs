//! Managed policies under their well-known ids.

use serde_json::Value;

use crate::policy::PolicyConfig;
use crate::policy::cache::CachePolicyConfig;
use crate::policy::origin_request::OriginRequestPolicyConfig;
use crate::policy::response_headers::ResponseHeadersPolicyConfig;

/// What a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Cache key and lifetimes.
    Cache,
    /// What goes to the origin besides the cache key.
    OriginRequest,
    /// Headers that viewers get.
    ResponseHeaders,
}

/// A policy that is there from the start.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedPolicy {
    /// What it is about.
    pub kind: PolicyKind,
    /// Well-known id.
    pub id: &'static str,
    /// Well-known name, without `Managed-`.
    pub name: &'static str,
    /// CloudFront's CachePolicyConfig, OriginRequestPolicyConfig or ResponseHeadersPolicyConfig.
    pub config: Value,
}

/// All managed policies that are honoured: cache, origin request, response headers.
#[must_use]
pub fn managed_policies() -> Vec<ManagedPolicy> {
    let cache = of::<CachePolicyConfig>(PolicyKind::Cache);
    let origin_request = of::<OriginRequestPolicyConfig>(PolicyKind::OriginRequest);
    let response_headers = of::<ResponseHeadersPolicyConfig>(PolicyKind::ResponseHeaders);
    cache.chain(origin_request).chain(response_headers).collect()
}

fn of<T: PolicyConfig>(kind: PolicyKind) -> impl Iterator<Item = ManagedPolicy> {
    T::MANAGED.iter().filter_map(move |managed| {
        let config = managed.content.ok()?(managed.name).to_json();
        Some(ManagedPolicy { kind, id: managed.id, name: managed.name, config })
    })
}
