//! Shapes of distributions, what is done at their providers, and keys.

use std::collections::BTreeMap;

use anabranch_model::{DistributionPhase, DistributionState, InvalidationState};
use serde::Serialize;
use utoipa::ToSchema;

/// What a host name serves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Distribution {
    /// Identifier.
    pub(crate) id: String,
    /// Channel that it serves and goes with; null for a distribution of its own, and for one that was detached.
    pub(crate) channel: Option<String>,
    /// Whether it is wanted.
    #[schema(value_type = String, example = "active", pattern = "^(active|detached|stale)$")]
    pub(crate) phase: DistributionPhase,
    /// The creator's own mark.
    pub(crate) caller_reference: String,
    /// The operator's note.
    pub(crate) comment: String,
    /// Host name.
    pub(crate) domain_name: String,
    /// Other host names.
    pub(crate) aliases: Vec<String>,
    /// Whether every edge serves by the newest configuration.
    #[schema(value_type = String, example = "Deployed", pattern = "^(InProgress|Deployed)$")]
    pub(crate) status: DistributionState,
    /// What `Deployed` still waits for, in words.
    pub(crate) waiting_for: Option<String>,
    /// Names this configuration for `If-Match`; changes with the configuration only.
    pub(crate) etag: String,
    /// Whether it serves.
    pub(crate) enabled: bool,
    /// Price class, in CloudFront's words.
    pub(crate) price_class: String,
    /// Key groups whose signatures open it; empty when all of it is public.
    pub(crate) key_groups: Vec<String>,
    /// Labels.
    pub(crate) tags: BTreeMap<String, String>,
    /// What makes it real, such as `local`.
    pub(crate) provider: String,
    /// The provider's identifier; null while there is nothing at the provider.
    pub(crate) provider_id: Option<String>,
    /// How what the provider has differs from what is wanted, in words.
    pub(crate) drift: Option<String>,
    /// RFC 3339; when that was looked at last.
    pub(crate) last_checked_at: Option<String>,
    /// What is being done about it, or could not be done.
    pub(crate) operation: Option<OperationNow>,
    /// Requests answered since it was made.
    pub(crate) requests_total: u64,
    /// Bytes sent since it was made.
    pub(crate) bytes_total: u64,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// A distribution with its configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DistributionWhole {
    /// What it is in short.
    #[serde(flatten)]
    pub(crate) distribution: Distribution,
    /// CloudFront's DistributionConfig with every default filled in.
    #[schema(value_type = Object)]
    pub(crate) config: serde_json::Value,
}

/// Something that is done at the provider, where it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct OperationNow {
    /// Identifier.
    pub(crate) id: String,
    /// What is done, such as `channel.create`.
    pub(crate) kind: String,
    /// Where it is.
    #[schema(example = "running", pattern = "^(running|undoing|done|failed|rolled_back|superseded)$")]
    pub(crate) state: String,
    /// The step that is next or under way; empty when there is none.
    pub(crate) step: String,
    /// Failed tries of that step.
    pub(crate) attempts: u32,
    /// Why the last try failed, in words.
    pub(crate) problem: Option<String>,
    /// What the step waits for, in words.
    pub(crate) waiting_for: Option<String>,
    /// RFC 3339; before that it is not tried again.
    pub(crate) next_try_at: Option<String>,
}

/// Something that is or was done at the provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operation {
    /// Where it is.
    #[serde(flatten)]
    pub(crate) now: OperationNow,
    /// Id of the channel, distribution or breakout that it is about.
    pub(crate) subject: String,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339.
    pub(crate) updated_at: String,
    /// RFC 3339.
    pub(crate) finished_at: Option<String>,
}

/// An operation with its steps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationWhole {
    /// What it is in short.
    #[serde(flatten)]
    pub(crate) operation: Operation,
    /// Its steps, in order.
    pub(crate) steps: Vec<Step>,
}

/// A step of an operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// Its name, such as `distribution.create`.
    pub(crate) name: String,
    /// Where it is.
    #[schema(example = "done", pattern = "^(pending|begun|done|undone)$")]
    pub(crate) state: String,
    /// Times that it was begun.
    pub(crate) attempts: u32,
    /// What it found or repaired, in words.
    pub(crate) note: Option<String>,
    /// RFC 3339.
    pub(crate) begun_at: Option<String>,
    /// RFC 3339.
    pub(crate) ended_at: Option<String>,
}

/// What a request would begin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Planned {
    /// Always true: nothing was changed.
    pub(crate) dry_run: bool,
    /// Operation and step, in order, such as `channel.create/pipeline.ensure`.
    pub(crate) steps: Vec<String>,
}

/// What a round through rows and provider found and did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sweep {
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// Stale distributions.
    pub(crate) stale: Vec<SweepRow>,
    /// Distributions that differ at the provider.
    pub(crate) drifted: Vec<SweepRow>,
    /// Resources at the provider that no row knows.
    pub(crate) orphans: Vec<SweepOrphan>,
}

/// A distribution that a round came upon.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SweepRow {
    /// Identifier.
    pub(crate) id: String,
    /// What it is or what becomes of it, in words.
    pub(crate) detail: String,
}

/// A resource at the provider that no row knows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SweepOrphan {
    /// `pipeline` or `distribution`.
    pub(crate) kind: String,
    /// The provider's identifier.
    pub(crate) id: String,
    /// What becomes of it, in words.
    pub(crate) detail: String,
}

/// An order to forget what edges keep.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invalidation {
    /// Identifier.
    pub(crate) id: String,
    /// Its distribution.
    pub(crate) distribution: String,
    /// Whether every edge acts by it.
    #[schema(value_type = String, example = "Completed", pattern = "^(InProgress|Completed)$")]
    pub(crate) status: InvalidationState,
    /// What `Completed` still waits for, in words.
    pub(crate) waiting_for: Option<String>,
    /// Path patterns.
    pub(crate) paths: Vec<String>,
    /// Tags of `Cache-Tag` or `Surrogate-Key`.
    pub(crate) tags: Vec<String>,
    /// The creator's own mark.
    pub(crate) caller_reference: String,
    /// Which order of the distribution it is, from 1.
    pub(crate) sequence: u64,
    /// RFC 3339.
    pub(crate) created_at: String,
    /// RFC 3339.
    pub(crate) completed_at: Option<String>,
}

/// Keys that open what trusts the group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyGroup {
    /// Identifier; what `TrustedKeyGroups` names.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// Ids of its keys, oldest first.
    pub(crate) keys: Vec<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// A signed URL.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignedUrl {
    /// The URL with its signature.
    pub(crate) url: String,
    /// Key that signed it.
    pub(crate) key_id: String,
    /// RFC 3339.
    pub(crate) expires_at: String,
}

/// A key that viewer URLs are signed with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// `Key-Pair-Id`.
    pub(crate) id: String,
    /// Unique name.
    pub(crate) name: String,
    /// Ids of the key groups that have it.
    pub(crate) key_groups: Vec<String>,
    /// SubjectPublicKeyInfo in PEM.
    pub(crate) public_key: String,
    /// Whether this server can sign with it.
    pub(crate) signs: bool,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// A key that was made just now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyCreated {
    /// The key.
    #[serde(flatten)]
    pub(crate) key: Key,
    /// PKCS#8 in PEM. No other answer shows it. Null when the caller gave the public half.
    pub(crate) private_key: Option<String>,
}

/// How many records there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordCounts {
    /// By kind, in the order of their words.
    pub(crate) counts: Vec<RecordCount>,
}

/// How many records of a kind there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordCount {
    /// Kind, such as `channel`.
    #[schema(example = "channel")]
    pub(crate) object: String,
    /// How many.
    pub(crate) count: u64,
}
