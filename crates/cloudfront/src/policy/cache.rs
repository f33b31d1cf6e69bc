//! Cache policies: CachePolicyConfig.

use std::ops::RangeInclusive;

use anabranch_model::{CachePolicy, Encodings, Selection};
use serde_json::{Value, json};

use super::names::{self, MAX_NAMES, Mode, POLICY_WORDS, Spelling};
use super::{Label, Managed, PolicyConfig};
use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::render;

/// Lifetimes, in seconds: up to 100 years.
pub(crate) const TTL: RangeInclusive<u64> = 0..=3_153_600_000;

/// CloudFront's `DefaultTTL`, in seconds: a day.
const DEFAULT_TTL: u64 = 86_400;

/// CloudFront's `MaxTTL`, in seconds: a year.
const MAX_TTL: u64 = 31_536_000;

const HEADERS: Spelling = Spelling {
    word: "HeaderBehavior",
    list: "Headers",
    words: &[("none", Mode::Nothing), ("whitelist", Mode::Listed)],
    limit: Limit { items: MAX_NAMES, code: "TooManyHeadersInCachePolicy" },
};

const COOKIES: Spelling = Spelling {
    word: "CookieBehavior",
    list: "Cookies",
    words: POLICY_WORDS,
    limit: Limit { items: MAX_NAMES, code: "TooManyCookiesInCachePolicy" },
};

const QUERY: Spelling = Spelling {
    word: "QueryStringBehavior",
    list: "QueryStrings",
    words: POLICY_WORDS,
    limit: Limit { items: MAX_NAMES, code: "TooManyQueryStringsInCachePolicy" },
};

/// How long objects are kept, in seconds, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) min: u64,
    pub(crate) default: u64,
    pub(crate) max: u64,
}

impl Lifetimes {
    /// Reads them with CloudFront's defaults: a day and a year, or what the shorter ones demand.
    pub(crate) fn read(fields: &mut Fields<'_>, min: u64) -> Result<Self, ConfigError> {
        let default = fields.number("DefaultTTL", &TTL, INVALID_ARGUMENT)?;
        let max = fields.number("MaxTTL", &TTL, INVALID_ARGUMENT)?;
        // A maximum alone below a day lowers the default instead of contradicting it.
        let default = default.unwrap_or_else(|| DEFAULT_TTL.min(max.unwrap_or(MAX_TTL)).max(min));
        let max = max.unwrap_or_else(|| MAX_TTL.max(default));
        if min <= default && default <= max {
            return Ok(Self { min, default, max });
        }
        let error = ConfigError::new("InvalidTTLOrder", &fields.at("DefaultTTL"), "out of order").value(default);
        Err(error.fix(format!("from MinTTL {min} to MaxTTL {max}")))
    }

    pub(crate) fn put(self, object: &mut Value) {
        render::put(object, "MinTTL", self.min);
        render::put(object, "DefaultTTL", self.default);
        render::put(object, "MaxTTL", self.max);
    }
}

/// A cache policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachePolicyConfig {
    pub(crate) label: Label,
    pub(crate) lifetimes: Lifetimes,
    /// None or some.
    pub(crate) headers: Selection,
    pub(crate) cookies: Selection,
    pub(crate) query: Selection,
    pub(crate) encodings: Encodings,
    pub(crate) heuristic: bool,
}

impl CachePolicyConfig {
    /// A policy with nothing but the path in its key.
    pub(crate) fn plain(label: Label, min: u64, default: u64, max: u64) -> Self {
        Self {
            label,
            lifetimes: Lifetimes { min, default, max },
            headers: Selection::None,
            cookies: Selection::None,
            query: Selection::None,
            encodings: Encodings::default(),
            heuristic: false,
        }
    }

    pub(crate) fn compile(&self) -> CachePolicy {
        let headers = match &self.headers {
            Selection::Only(names) => names.clone(),
            _ => Vec::new(),
        };
        CachePolicy {
            min_ttl_seconds: self.lifetimes.min,
            default_ttl_seconds: self.lifetimes.default,
            max_ttl_seconds: self.lifetimes.max,
            heuristic: self.heuristic,
            query: self.query.clone(),
            headers,
            cookies: self.cookies.clone(),
            encodings: self.encodings,
        }
    }

    /// CloudFront's rule: what is never cached has no key to put things into.
    fn check(self, parameters: &str) -> Result<Self, ConfigError> {
        let plain = Self::plain(self.label.clone(), 0, 0, 0);
        if self.lifetimes.max > 0 || self == plain {
            return Ok(self);
        }
        let error = ConfigError::new(INVALID_ARGUMENT, parameters, "a cache key with caching disabled");
        Err(error.fix("with MaxTTL 0 nothing may be in the key: forward it by an origin request policy"))
    }
}

impl PolicyConfig for CachePolicyConfig {
    const ID_FIELD: &'static str = "CachePolicyId";
    const OBJECT_FIELD: &'static str = "CachePolicy";
    const MISSING: &'static str = "NoSuchCachePolicy";
    const MANAGED: &'static [Managed<Self>] = MANAGED;

    fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let label = Label::read(&mut fields)?;
        let min = fields.number("MinTTL", &TTL, INVALID_ARGUMENT)?.unwrap_or(0);
        let lifetimes = Lifetimes::read(&mut fields, min)?;
        let mut policy = Self { lifetimes, ..Self::plain(label, 0, 0, 0) };
        policy.heuristic = fields.flag(HEURISTIC, false)?;
        let parameters = fields.at(PARAMETERS);
        if let Some(node) = fields.optional(PARAMETERS) {
            parameters_into(&node, &mut policy)?;
        }
        fields.finish()?;
        policy.check(&parameters)
    }

    fn to_json(&self) -> Value {
        let mut parameters = json!({
            "EnableAcceptEncodingGzip": self.encodings.gzip,
            "EnableAcceptEncodingBrotli": self.encodings.brotli,
            "HeadersConfig": HEADERS.render(&self.headers),
            "CookiesConfig": COOKIES.render(&self.cookies),
            "QueryStringsConfig": QUERY.render(&self.query),
        });
        if self.encodings.zstd {
            render::put(&mut parameters, ZSTD, true);
        }
        let mut object = json!({ PARAMETERS: parameters });
        if self.heuristic {
            render::put(&mut object, HEURISTIC, true);
        }
        self.label.put(&mut object);
        self.lifetimes.put(&mut object);
        object
    }
}

const PARAMETERS: &str = "ParametersInCacheKeyAndForwardedToOrigin";

/// A word of this house: CloudFront has no Zstandard.
const ZSTD: &str = "EnableAcceptEncodingZstd";

/// A word of this house: CloudFront guesses no lifetimes.
const HEURISTIC: &str = "EnableHeuristicFreshness";

fn parameters_into(node: &Node<'_>, policy: &mut CachePolicyConfig) -> Result<(), ConfigError> {
    let mut fields = node.object()?;
    policy.encodings = Encodings {
        gzip: fields.flag("EnableAcceptEncodingGzip", false)?,
        brotli: fields.flag("EnableAcceptEncodingBrotli", false)?,
        zstd: fields.flag(ZSTD, false)?,
    };
    if let Some(node) = fields.optional("HeadersConfig") {
        let mut config = node.object()?;
        policy.headers = HEADERS.read(&mut config, key_header)?;
        config.finish()?;
    }
    if let Some(node) = fields.optional("CookiesConfig") {
        let mut config = node.object()?;
        policy.cookies = COOKIES.read(&mut config, names::cookie)?;
        config.finish()?;
    }
    if let Some(node) = fields.optional("QueryStringsConfig") {
        let mut config = node.object()?;
        policy.query = QUERY.read(&mut config, names::query)?;
        config.finish()?;
    }
    fields.finish()
}

fn key_header(node: &Node<'_>) -> Result<String, ConfigError> {
    let name = names::header(node)?;
    if name == "accept-encoding" {
        return Err(node.invalid("not a header of the key").fix("set EnableAcceptEncodingGzip or Brotli instead"));
    }
    Ok(name)
}

const GZIP: Encodings = Encodings { gzip: true, brotli: false, zstd: false };
pub(crate) const GZIP_BROTLI: Encodings = Encodings { gzip: true, brotli: true, zstd: false };

fn only(names: &[&str]) -> Selection {
    Selection::Only(names.iter().map(|&name| name.to_owned()).collect())
}

fn optimized(name: &str) -> CachePolicyConfig {
    CachePolicyConfig { encodings: GZIP_BROTLI, ..uncompressed(name) }
}

fn uncompressed(name: &str) -> CachePolicyConfig {
    CachePolicyConfig::plain(Label::managed(name), 1, DEFAULT_TTL, MAX_TTL)
}

fn disabled(name: &str) -> CachePolicyConfig {
    CachePolicyConfig::plain(Label::managed(name), 0, 0, 0)
}

fn media_package(name: &str) -> CachePolicyConfig {
    CachePolicyConfig {
        headers: only(&["origin"]),
        query: only(&["aws.manifestfilter", "start", "end", "m"]),
        encodings: GZIP,
        ..CachePolicyConfig::plain(Label::managed(name), 0, DEFAULT_TTL, MAX_TTL)
    }
}

fn origin_decides(name: &str) -> CachePolicyConfig {
    CachePolicyConfig {
        headers: only(&["host", "origin", "x-http-method-override", "x-http-method", "x-method-override"]),
        cookies: Selection::All,
        encodings: GZIP_BROTLI,
        ..CachePolicyConfig::plain(Label::managed(name), 0, 0, MAX_TTL)
    }
}

fn origin_decides_by_query(name: &str) -> CachePolicyConfig {
    CachePolicyConfig { query: Selection::All, ..origin_decides(name) }
}

const MANAGED: &[Managed<CachePolicyConfig>] = &[
    Managed { id: "658327ea-f89d-4fab-a63d-7e88639e58f6", name: "CachingOptimized", content: Ok(optimized) },
    Managed {
        id: "b2884449-e4de-46a7-ac36-70bc7f1ddd6d",
        name: "CachingOptimizedForUncompressedObjects",
        content: Ok(uncompressed),
    },
    Managed { id: "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", name: "CachingDisabled", content: Ok(disabled) },
    Managed { id: "08627262-05a9-4f76-9ded-b50ca2e3a84f", name: "Elemental-MediaPackage", content: Ok(media_package) },
    Managed {
        id: "2e54312d-136d-493c-8eb9-b001f22f67d2",
        name: "Amplify",
        content: Err("has CloudFront-Viewer-Country in its cache key, which is not made here"),
    },
    Managed {
        id: "83da9c7e-98b4-4e11-a168-04f0df8e2c65",
        name: "UseOriginCacheControlHeaders",
        content: Ok(origin_decides),
    },
    Managed {
        id: "4cc15a8a-d715-48a4-82b8-cc0b614638fe",
        name: "UseOriginCacheControlHeaders-QueryStrings",
        content: Ok(origin_decides_by_query),
    },
];
