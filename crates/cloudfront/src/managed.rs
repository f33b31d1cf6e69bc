//! Managed policies under their well-known ids.

use serde_json::Value;

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

/// All managed policies that are honoured.
#[must_use]
pub fn managed_policies() -> Vec<ManagedPolicy> {
    Vec::new()
}
