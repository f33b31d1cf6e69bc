//! Cache behaviors: rules for path patterns.

use anabranch_model::{
    AllowedMethods, Behavior, COPY_MARK, CachePolicy, KeyGroupId, OriginRequestPolicy, ResponseHeadersPolicy,
    Transform, ViewerProtocol,
};
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::forwarded::ForwardedValues;
use crate::policy::Policy;
use crate::policy::cache::{CachePolicyConfig, TTL};
use crate::policy::origin_request::OriginRequestPolicyConfig;
use crate::policy::response_headers::ResponseHeadersPolicyConfig;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::{neutral, render};

/// Longest path pattern, in bytes.
const MAX_PATTERN: usize = 255;

/// Characters of path patterns beside letters and digits.
const PATTERN_CHARACTERS: &[u8] = b"_-.*$/~\"'@:+&?";

/// Words of this house: CloudFront leaves playlists as they are.
const SIGNED_PLAYLISTS: &str = "SignedPlaylists";
const MARK: &str = "SignatureCopyMark";

/// Longest mark of the copies of a signature, in bytes.
const MAX_MARK: usize = 32;

const KEY_GROUPS: Limit = Limit { items: 100, code: "TooManyKeyGroupsAssociatedToDistribution" };

const METHODS: Limit = Limit { items: 7, code: INVALID_ARGUMENT };

/// Methods, each known by a bit.
const METHOD_WORDS: &[(&str, u8)] =
    &[("GET", 1), ("HEAD", 2), ("OPTIONS", 4), ("PUT", 8), ("POST", 16), ("PATCH", 32), ("DELETE", 64)];

/// Which methods may be allowed together, by their bits.
const METHOD_SETS: &[(u8, AllowedMethods)] =
    &[(3, AllowedMethods::GetHead), (7, AllowedMethods::GetHeadOptions), (127, AllowedMethods::All)];

const VIEWER_PROTOCOLS: &[(&str, ViewerProtocol)] = &[
    ("allow-all", ViewerProtocol::AllowAll),
    ("redirect-to-https", ViewerProtocol::RedirectToHttps),
    ("https-only", ViewerProtocol::HttpsOnly),
];

/// A behavior.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BehaviorConfig {
    /// As written; none for the default behavior.
    pub(crate) path_pattern: Option<String>,
    pub(crate) target: String,
    pub(crate) key_groups: Vec<KeyGroupId>,
    pub(crate) viewer_protocol: ViewerProtocol,
    pub(crate) methods: AllowedMethods,
    pub(crate) cache_options: bool,
    pub(crate) compress: bool,
    pub(crate) caching: Caching,
    pub(crate) response_headers: Option<Policy<ResponseHeadersPolicyConfig>>,
    /// Whether playlists carry signatures on; without a word those of this house do, where a signature is needed.
    pub(crate) signed_playlists: Option<bool>,
    /// Of the copies of a signature, as in `Policy-PREFIX`.
    pub(crate) copy_mark: String,
}

/// By policies, or as it was before them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Caching {
    Policies { cache: Box<Policy<CachePolicyConfig>>, origin_request: Option<Box<Policy<OriginRequestPolicyConfig>>> },
    Forwarded(ForwardedValues),
}

impl BehaviorConfig {
    pub(crate) fn read_default(node: &Node<'_>) -> Result<Self, ConfigError> {
        Self::rest(node.object()?, None)
    }

    pub(crate) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let mut fields = node.object()?;
        let pattern = path_pattern(&fields.required("PathPattern")?)?;
        Self::rest(fields, Some(pattern))
    }

    fn rest(mut fields: Fields<'_>, path_pattern: Option<String>) -> Result<Self, ConfigError> {
        neutral::behavior(&mut fields)?;
        let target = fields.required("TargetOriginId")?.text()?.to_owned();
        let viewer_protocol = fields.required("ViewerProtocolPolicy")?.word(VIEWER_PROTOCOLS)?;
        let (methods, cache_options) = methods(&mut fields)?;
        let behavior = Self {
            path_pattern,
            target,
            key_groups: key_groups(&mut fields)?,
            viewer_protocol,
            methods,
            cache_options,
            compress: fields.flag("Compress", false)?,
            caching: caching(&mut fields)?,
            response_headers: Policy::read(&mut fields)?,
            signed_playlists: fields.optional(SIGNED_PLAYLISTS).map(|node| node.flag()).transpose()?,
            copy_mark: copy_mark(&mut fields)?,
        };
        fields.finish()?;
        Ok(behavior)
    }

    /// The pattern as paths are compared with it: one without a leading slash means the same with it.
    fn pattern(&self) -> String {
        match self.path_pattern.as_deref() {
            None => "*".to_owned(),
            Some(pattern) if pattern.starts_with(['/', '*']) => pattern.to_owned(),
            Some(pattern) => format!("/{pattern}"),
        }
    }

    /// Whether another behavior takes the same paths.
    pub(crate) fn same_paths(&self, other: &Self) -> bool {
        self.pattern() == other.pattern()
    }

    pub(crate) fn to_json(&self) -> Value {
        let protocol = VIEWER_PROTOCOLS.iter().find(|(_, known)| *known == self.viewer_protocol);
        let groups: Vec<&str> = self.key_groups.iter().map(KeyGroupId::as_str).collect();
        let mut key_groups = render::words(&groups);
        render::put(&mut key_groups, "Enabled", !groups.is_empty());
        let mut methods = method_list(self.methods);
        let cached = if self.cache_options { AllowedMethods::GetHeadOptions } else { AllowedMethods::GetHead };
        render::put(&mut methods, "CachedMethods", method_list(cached));
        let mut object = json!({
            "TargetOriginId": self.target,
            "TrustedSigners": { "Enabled": false, "Quantity": 0 },
            "TrustedKeyGroups": key_groups,
            "ViewerProtocolPolicy": protocol.map_or("", |(word, _)| word),
            "AllowedMethods": methods,
            "SmoothStreaming": false,
            "Compress": self.compress,
            "LambdaFunctionAssociations": { "Quantity": 0 },
            "FunctionAssociations": { "Quantity": 0 },
            "FieldLevelEncryptionId": "",
            "GrpcConfig": { "Enabled": false },
        });
        if let Some(pattern) = &self.path_pattern {
            render::put(&mut object, "PathPattern", pattern.as_str());
        }
        match &self.caching {
            Caching::Policies { cache, origin_request } => {
                cache.put(&mut object);
                if let Some(policy) = origin_request {
                    policy.put(&mut object);
                }
            }
            Caching::Forwarded(values) => values.put(&mut object),
        }
        if let Some(policy) = &self.response_headers {
            policy.put(&mut object);
        }
        if let Some(signed) = self.signed_playlists {
            render::put(&mut object, SIGNED_PLAYLISTS, signed);
        }
        if self.copy_mark != COPY_MARK {
            render::put(&mut object, MARK, self.copy_mark.as_str());
        }
        object
    }

    /// What edges are told; without other word playlists of this house carry the viewer's signature on.
    pub(crate) fn compile(&self, has_playlists: bool) -> Behavior {
        let (cache, origin_request) = self.caching.compile();
        let signed = self.signed_playlists.unwrap_or(has_playlists && !self.key_groups.is_empty());
        Behavior {
            path_pattern: self.pattern(),
            origin: self.target.clone(),
            viewer_protocol: self.viewer_protocol,
            allowed_methods: self.methods,
            cache_options: self.cache_options,
            trusted_key_groups: self.key_groups.clone(),
            cache,
            origin_request,
            response_headers: self
                .response_headers
                .as_ref()
                .map_or_else(ResponseHeadersPolicy::default, |policy| policy.content().compile()),
            compress: self.compress,
            transform: if signed { Transform::SignedPlaylist } else { Transform::None },
            copy_mark: self.copy_mark.clone(),
        }
    }
}

impl Caching {
    fn compile(&self) -> (CachePolicy, OriginRequestPolicy) {
        match self {
            Self::Policies { cache, origin_request } => {
                let request = origin_request.as_ref().map(|policy| policy.content().compile());
                (cache.content().compile(), request.unwrap_or_default())
            }
            Self::Forwarded(values) => values.compile(),
        }
    }
}

fn caching(fields: &mut Fields<'_>) -> Result<Caching, ConfigError> {
    let cache = Policy::<CachePolicyConfig>::read(fields)?;
    let origin_request = Policy::<OriginRequestPolicyConfig>::read(fields)?;
    let forwarded = fields.optional("ForwardedValues");
    match (cache, forwarded) {
        (None, None) => Err(fields.invalid("no caching").fix("give CachePolicyId, CachePolicy or ForwardedValues")),
        (Some(_), Some(node)) => Err(node.invalid("beside a cache policy").fix("leave it out")),
        (None, Some(_)) if origin_request.is_some() => {
            let error = ConfigError::new(INVALID_ARGUMENT, &fields.at("OriginRequestPolicyId"), "no cache policy");
            Err(error.fix("an origin request policy needs a cache policy instead of ForwardedValues"))
        }
        (None, Some(node)) => Ok(Caching::Forwarded(ForwardedValues::read(&node, fields)?)),
        (Some(cache), None) => {
            for name in ["MinTTL", "DefaultTTL", "MaxTTL"] {
                // Tools that know no absence write 0.
                if let Some(node) = fields.optional(name)
                    && node.number(&TTL, INVALID_ARGUMENT)? != 0
                {
                    return Err(node.invalid("beside a cache policy").fix("the policy says it; leave it out"));
                }
            }
            Ok(Caching::Policies { cache: Box::new(cache), origin_request: origin_request.map(Box::new) })
        }
    }
}

fn copy_mark(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    let Some(node) = fields.optional(MARK) else { return Ok(COPY_MARK.to_owned()) };
    let text = node.text()?;
    if text.len() <= MAX_MARK && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Ok(text.to_owned());
    }
    let fix = format!("at most {MAX_MARK} letters, digits and any of -._, or nothing for no copies");
    Err(node.invalid("not a mark of copies").fix(fix))
}

fn path_pattern(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    let valid = (1..=MAX_PATTERN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || PATTERN_CHARACTERS.contains(&b));
    if valid {
        return Ok(text.to_owned());
    }
    let fix = format!("1 to {MAX_PATTERN} letters, digits and any of _-.*$/~\"'@:+&?");
    Err(node.invalid("not a path pattern").fix(fix))
}

fn key_groups(fields: &mut Fields<'_>) -> Result<Vec<KeyGroupId>, ConfigError> {
    let Some(node) = fields.optional("TrustedKeyGroups") else { return Ok(Vec::new()) };
    let mut groups = node.object()?;
    let enabled = groups.required("Enabled")?;
    let items = groups.items(KEY_GROUPS)?;
    let ids = crate::read::distinct(&items, |item| {
        item.text()?.parse().map_err(|_| item.refuse("TrustedKeyGroupDoesNotExist", "not the id of a key group"))
    })?;
    groups.finish()?;
    match (enabled.flag()?, ids.is_empty()) {
        (true, false) | (false, true) => Ok(ids),
        (true, true) => Err(enabled.invalid("no key groups").fix("name them in Items, or set it to false")),
        (false, false) => Err(enabled.invalid("key groups that are not trusted").fix("set it to true")),
    }
}

/// Allowed methods, and whether OPTIONS is cached.
fn methods(fields: &mut Fields<'_>) -> Result<(AllowedMethods, bool), ConfigError> {
    let Some(node) = fields.optional("AllowedMethods") else { return Ok((AllowedMethods::GetHead, false)) };
    let mut allowed = node.object()?;
    let items = allowed.items(METHODS)?;
    let bits = method_bits(&items)?;
    let Some((_, methods)) = METHOD_SETS.iter().find(|(known, _)| *known == bits) else {
        return Err(node.invalid("not a set of methods").fix("GET and HEAD, OPTIONS with them, or all seven"));
    };
    let mut cache_options = false;
    if let Some(node) = allowed.optional("CachedMethods") {
        let cached = method_bits(&node.list(METHODS)?)?;
        cache_options = cached == 7;
        if !(cached == 3 || cached == 7) || cached & !bits != 0 {
            let fix = "GET and HEAD, and OPTIONS with them where it is allowed";
            return Err(node.invalid("not a set of cached methods").fix(fix));
        }
    }
    allowed.finish()?;
    Ok((*methods, cache_options))
}

fn method_bits(items: &[Node<'_>]) -> Result<u8, ConfigError> {
    let bits = crate::read::distinct(items, |item| item.word(METHOD_WORDS))?;
    Ok(bits.into_iter().fold(0, |all, bit| all | bit))
}

fn method_list(methods: AllowedMethods) -> Value {
    let bits = METHOD_SETS.iter().find(|(_, known)| *known == methods).map_or(0, |(bits, _)| *bits);
    render::list(METHOD_WORDS.iter().filter(|(_, bit)| bits & bit != 0).map(|(word, _)| *word))
}
