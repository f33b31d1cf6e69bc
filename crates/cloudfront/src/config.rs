//! A distribution's configuration, complete.

use anabranch_model::{
    AllowedMethods, COPY_MARK, ChannelId, DistributionId, DistributionSpec, ErrorResponse, InvalidationLog, KeyGroupId,
    PriceClass, Selection, ViewerProtocol,
};
use serde_json::Value;

use crate::behavior::{BehaviorConfig, Caching};
use crate::error::ConfigError;
use crate::host;
use crate::origin::{OriginConfig, OriginGroupConfig};
use crate::policy::cache::{CachePolicyConfig, GZIP_BROTLI};
use crate::policy::response_headers::{CorsConfig, ResponseHeadersPolicyConfig, ViewerOrigins};
use crate::policy::{Label, Policy};
use crate::read::INVALID_ARGUMENT;

mod document;
mod viewer;

pub(crate) use viewer::{Certificate, HttpVersion};

/// Id of the live origin of a channel's own distribution.
const LIVE_ORIGIN: &str = "live";

/// Pattern of playlists.
const PLAYLISTS: &str = "*.m3u8";

/// Longest lifetime of live objects, in seconds: a year.
const LIVE_MAX_TTL: u64 = 31_536_000;

/// Ids of the origins of the shared distribution, and the buckets of this house behind them (V70).
const RECORDINGS_ORIGIN: &str = "recordings";
const LIBRARY_ORIGIN: &str = "media-manager";
const ASSETS_ORIGIN: &str = "vod";

/// The bucket of merged playlists.
pub const CLUSTER_BUCKET: &str = "clusters";

/// The merged playlist that the distribution of a cluster has as its root (C56).
const CLUSTER_ROOT: &str = "index.m3u8";

/// What pages tell of themselves when they ask for a merged playlist (C59).
const CORS_REQUEST: [&str; 3] = ["access-control-request-headers", "access-control-request-method", "origin"];

/// Pattern of what the media library serves (V70).
const LIBRARY: &str = "/media-manager/*";

/// Pattern of what is made of uploaded files (L4).
const ASSETS: &str = "/assets/*";

/// A complete configuration: every default filled in, every reference among its parts resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionConfig {
    pub(crate) caller_reference: String,
    pub(crate) comment: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) default_root_object: String,
    pub(crate) price_class: PriceClass,
    pub(crate) http_version: HttpVersion,
    pub(crate) ipv6: bool,
    pub(crate) certificate: Certificate,
    /// Header of cache tags, as written.
    pub(crate) cache_tag_header: Option<String>,
    pub(crate) origins: Vec<OriginConfig>,
    pub(crate) origin_groups: Vec<OriginGroupConfig>,
    pub(crate) default_behavior: BehaviorConfig,
    pub(crate) behaviors: Vec<BehaviorConfig>,
    pub(crate) error_responses: Vec<ErrorResponse>,
    pub(crate) signed_hosts: Vec<String>,
}

impl DistributionConfig {
    /// Reads JSON as `aws cloudfront create-distribution --distribution-config` takes it: the bare config, or wrapped as
    /// `{"DistributionConfig": …}`, or the whole answer of `get-distribution-config` or `get-distribution`. A policy may be given by
    /// name instead of id, and a behavior may hold one as `CachePolicy`, `OriginRequestPolicy` or `ResponseHeadersPolicy`
    /// in place of an id, in the words of CloudFront's CachePolicyConfig and its kin. Null is the same as absent. Names of hosts and
    /// header fields become lower case.
    ///
    /// Origins of this house are `<channel id>.live.anabranch.internal`, the id's case kept, without a `CustomOriginConfig` or
    /// with one that says nothing, and `<bucket>.s3.anabranch.internal` with `S3OriginConfig`.
    ///
    /// # Errors
    /// The first field that is malformed, inconsistent or not honoured. At most 1 MiB is read.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document::parse(json)
    }

    /// The configuration with every default, lists as `Quantity` and `Items`, as CloudFront's API gives it back. [`Self::parse`]
    /// reads it back to the same.
    #[must_use]
    pub fn to_json(&self) -> Value {
        document::render(self)
    }

    /// The creator's own mark of the request; not empty.
    #[must_use]
    pub fn caller_reference(&self) -> &str {
        &self.caller_reference
    }

    /// The operator's note; may be empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Other host names or addresses that it answers to, lower case; `*.` may begin a name, IPv6 addresses stand in brackets.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Whether it serves.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Switches it on or off.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Which edge locations carry it.
    #[must_use]
    pub fn price_class(&self) -> PriceClass {
        self.price_class
    }

    /// Key groups of all behaviors; one may come more than once. Whether they exist is for the caller to know
    /// (`TrustedKeyGroupDoesNotExist`).
    pub fn trusted_key_groups(&self) -> impl Iterator<Item = &KeyGroupId> {
        self.behaviors.iter().chain([&self.default_behavior]).flat_map(|behavior| &behavior.key_groups)
    }

    /// The refusal of a key group that does not exist, by the first field that names it.
    #[must_use]
    pub fn unknown_key_group(&self, id: &str) -> ConfigError {
        let ordered = self.behaviors.iter().enumerate().map(|(at, one)| (format!("CacheBehaviors.Items[{at}]"), one));
        let mut behaviors = std::iter::once(("DefaultCacheBehavior".to_owned(), &self.default_behavior)).chain(ordered);
        let field = behaviors.find_map(|(field, behavior)| {
            let at = behavior.key_groups.iter().position(|group| group.as_str() == id)?;
            Some(format!("{field}.TrustedKeyGroups.Items[{at}]"))
        });
        ConfigError::new("TrustedKeyGroupDoesNotExist", &field.unwrap_or_default(), "no such key group")
            .value(id)
            .fix("make it first, and name it by its id")
    }

    /// Channels that its origins serve; one may come more than once. Whether they exist is for the caller to know.
    pub fn live_channels(&self) -> impl Iterator<Item = ChannelId> {
        self.origins.iter().filter_map(|origin| origin.channel().cloned())
    }

    /// The configuration of a channel's own distribution: the live origin, one key group, CORS for any origin, with credentials for
    /// pages of `viewers`.
    #[must_use]
    pub fn live(caller_reference: &str, channel: &ChannelId, key_group: &KeyGroupId, viewers: &ViewerOrigins) -> Self {
        Self {
            caller_reference: caller_reference.to_owned(),
            comment: String::new(),
            aliases: Vec::new(),
            enabled: true,
            default_root_object: String::new(),
            price_class: PriceClass::Class100,
            http_version: HttpVersion::default(),
            ipv6: true,
            certificate: Certificate::default(),
            cache_tag_header: None,
            origins: vec![OriginConfig::live(LIVE_ORIGIN, channel)],
            origin_groups: Vec::new(),
            default_behavior: live_behavior(None, key_group, viewers),
            behaviors: vec![live_behavior(Some(PLAYLISTS), key_group, viewers)],
            error_responses: Vec::new(),
            signed_hosts: Vec::new(),
        }
    }

    /// The configuration of the distribution that all recordings and the media library share (V70): recordings by default, the
    /// library below `/media-manager/`, assets below `/assets/`, one key group, CORS as on a channel's own.
    #[must_use]
    pub fn library(caller_reference: &str, key_group: &KeyGroupId, viewers: &ViewerOrigins) -> Self {
        let behavior = |pattern: Option<&str>, target: &str| BehaviorConfig {
            target: target.to_owned(),
            ..live_behavior(pattern, key_group, viewers)
        };
        Self {
            caller_reference: caller_reference.to_owned(),
            comment: "recordings and media library".to_owned(),
            aliases: Vec::new(),
            enabled: true,
            default_root_object: String::new(),
            price_class: PriceClass::All,
            http_version: HttpVersion::default(),
            ipv6: true,
            certificate: Certificate::default(),
            cache_tag_header: None,
            origins: [RECORDINGS_ORIGIN, LIBRARY_ORIGIN, ASSETS_ORIGIN].map(OriginConfig::house_bucket).to_vec(),
            origin_groups: Vec::new(),
            default_behavior: behavior(None, RECORDINGS_ORIGIN),
            behaviors: vec![behavior(Some(LIBRARY), LIBRARY_ORIGIN), assets_behavior(key_group, viewers)],
            error_responses: Vec::new(),
            signed_hosts: Vec::new(),
        }
    }

    /// The configuration of a distribution for single files of a bucket, under signature (D2).
    #[must_use]
    pub fn bucket(caller_reference: &str, bucket: &str, key_group: &KeyGroupId, viewers: &ViewerOrigins) -> Self {
        Self {
            comment: format!("files of bucket {bucket}"),
            origins: vec![OriginConfig::house_bucket(bucket)],
            default_behavior: BehaviorConfig { target: bucket.to_owned(), ..live_behavior(None, key_group, viewers) },
            behaviors: Vec::new(),
            ..Self::library(caller_reference, key_group, viewers)
        }
    }

    /// The configuration of the distribution of a cluster's merged playlists, which lie below `path` of the bucket
    /// [`CLUSTER_BUCKET`] (C59). What they name on `hosts` gets the viewer's signature. Its root is the merged playlist that lies there
    /// without a folder (C56). Answers are kept apart by what pages tell of themselves, and by nothing of the query: other CDNs have the bucket
    /// answer preflights, and keep those answers.
    ///
    /// # Errors
    /// A host is no host name or address.
    pub fn cluster(
        caller_reference: &str,
        (name, path): (&str, &str),
        hosts: &[String],
        key_group: &KeyGroupId,
        viewers: &ViewerOrigins,
    ) -> Result<Self, ConfigError> {
        let mut config = Self {
            comment: format!("merged playlists of cluster {name}"),
            default_root_object: CLUSTER_ROOT.to_owned(),
            ..Self::bucket(caller_reference, CLUSTER_BUCKET, key_group, viewers)
        };
        for origin in &mut config.origins {
            origin.path = format!("/{path}");
        }
        let label = Label { name: CLUSTER_BUCKET.to_owned(), comment: String::new() };
        let cache = CachePolicyConfig {
            headers: Selection::Only(CORS_REQUEST.map(str::to_owned).to_vec()),
            ..CachePolicyConfig::plain(label, 0, 0, LIVE_MAX_TTL)
        };
        config.default_behavior.cache_options = true;
        config.default_behavior.caching =
            Caching::Policies { cache: Box::new(Policy::Own(cache)), origin_request: None };
        for host in hosts {
            let known = signed_host(host).ok_or_else(|| {
                ConfigError::new(INVALID_ARGUMENT, "SignedHosts", "not a host name or address").value(host)
            })?;
            if !config.signed_hosts.contains(&known) {
                config.signed_hosts.push(known);
            }
        }
        Ok(config)
    }

    /// Says by which schemes viewers may come, for every behavior.
    pub fn set_viewer_protocol(&mut self, protocol: ViewerProtocol) {
        for behavior in self.behaviors.iter_mut().chain([&mut self.default_behavior]) {
            behavior.viewer_protocol = protocol;
        }
    }

    /// The same with a behavior for assets, as [`DistributionConfig::library`] has one; none when there is one for their paths already.
    #[must_use]
    pub fn with_assets(&self, key_group: &KeyGroupId, viewers: &ViewerOrigins) -> Option<Self> {
        if self.behaviors.iter().any(|behavior| behavior.path_pattern.as_deref() == Some(ASSETS)) {
            return None;
        }
        let mut config = self.clone();
        if !config.origins.iter().any(|origin| origin.id == ASSETS_ORIGIN) {
            config.origins.push(OriginConfig::house_bucket(ASSETS_ORIGIN));
        }
        config.behaviors.push(assets_behavior(key_group, viewers));
        Some(config)
    }

    /// Whether every behavior answers pages of `viewers` by name and with credentials.
    #[must_use]
    pub fn answers_with_credentials(&self, viewers: &ViewerOrigins) -> bool {
        self.behaviors.iter().chain([&self.default_behavior]).all(|behavior| {
            let policy = behavior.response_headers.as_ref().map(Policy::content);
            viewers.are_none()
                || policy.and_then(|policy| policy.cors.as_ref()).is_some_and(|cors| cors.trusts(viewers))
        })
    }

    /// What edges are told. Invalidations are left empty.
    ///
    /// # Errors
    /// `InvalidArgument` when `domain_name` is no host name or address.
    pub fn compile(&self, id: &DistributionId, domain_name: &str) -> Result<DistributionSpec, ConfigError> {
        let domain_name = host::host_or_address(domain_name)
            .ok_or_else(|| ConfigError::new(INVALID_ARGUMENT, "DomainName", "not a host name").value(domain_name))?;
        let behavior = |behavior: &BehaviorConfig| behavior.compile(self.has_playlists(&behavior.target));
        Ok(DistributionSpec {
            id: id.clone(),
            domain_name,
            aliases: self.aliases.clone(),
            enabled: self.enabled,
            default_root_object: self.default_root_object.clone(),
            price_class: self.price_class,
            http3: self.http_version.http3(),
            origins: self.origins.iter().map(OriginConfig::compile).collect(),
            origin_groups: self.origin_groups.iter().map(|group| group.0.clone()).collect(),
            behaviors: self.behaviors.iter().map(behavior).collect(),
            default_behavior: behavior(&self.default_behavior),
            error_responses: self.error_responses.clone(),
            signed_hosts: self.signed_hosts.clone(),
            invalidations: InvalidationLog::default(),
        })
    }

    /// Whether an origin, or one of a group, has playlists of this house: of live breakouts or of recordings.
    fn has_playlists(&self, target: &str) -> bool {
        let group = self.origin_groups.iter().find(|group| group.0.id == target);
        let is_member = |id: &str| group.is_some_and(|group| group.0.primary == id || group.0.secondary == id);
        self.origins.iter().any(|origin| origin.has_playlists() && (origin.id == target || is_member(&origin.id)))
    }
}

/// A host that gets viewers' signatures as distributions name it: in lower case, with its port where there is one; none where it is no host name
/// or address.
#[must_use]
pub fn signed_host(authority: &str) -> Option<String> {
    host::authority(authority)
}

/// The long playlists of assets, whose lines repeat a signature, are compressed.
fn assets_behavior(key_group: &KeyGroupId, viewers: &ViewerOrigins) -> BehaviorConfig {
    let label = Label { name: ASSETS_ORIGIN.to_owned(), comment: String::new() };
    let cache = CachePolicyConfig { encodings: GZIP_BROTLI, ..CachePolicyConfig::plain(label, 0, 0, LIVE_MAX_TTL) };
    BehaviorConfig {
        target: ASSETS_ORIGIN.to_owned(),
        compress: true,
        caching: Caching::Policies { cache: Box::new(Policy::Own(cache)), origin_request: None },
        ..live_behavior(Some(ASSETS), key_group, viewers)
    }
}

fn live_behavior(pattern: Option<&str>, key_group: &KeyGroupId, viewers: &ViewerOrigins) -> BehaviorConfig {
    let label = || Label { name: LIVE_ORIGIN.to_owned(), comment: String::new() };
    let headers = ResponseHeadersPolicyConfig {
        label: label(),
        cors: Some(CorsConfig::viewers(viewers)),
        ..ResponseHeadersPolicyConfig::default()
    };
    BehaviorConfig {
        path_pattern: pattern.map(str::to_owned),
        target: LIVE_ORIGIN.to_owned(),
        key_groups: vec![key_group.clone()],
        viewer_protocol: ViewerProtocol::AllowAll,
        methods: AllowedMethods::GetHeadOptions,
        cache_options: false,
        compress: false,
        caching: Caching::Policies {
            cache: Box::new(Policy::Own(CachePolicyConfig::plain(label(), 0, 0, LIVE_MAX_TTL))),
            origin_request: None,
        },
        response_headers: Some(Policy::Own(headers)),
        signed_playlists: None,
        copy_mark: COPY_MARK.to_owned(),
    }
}
