//! The whole document: its wrapping, the fields of a distribution and how they hang together.

use anabranch_model::{AllowedMethods, PriceClass};
use serde_json::{Value, json};

use super::DistributionConfig;
use super::viewer::{self, Certificate, HttpVersion};
use crate::behavior::BehaviorConfig;
use crate::error::ConfigError;
use crate::origin::{OriginConfig, OriginGroupConfig};
use crate::page::{self, is_path};
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::{host, neutral, render};

/// Largest document, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Longest caller reference, in characters.
const MAX_REFERENCE: usize = 255;

/// Longest comment, in characters.
const MAX_COMMENT: usize = 128;

const ALIASES: Limit = Limit { items: 100, code: "TooManyDistributionCNAMEs" };

const ORIGINS: Limit = Limit { items: 100, code: "TooManyOrigins" };

/// Other hosts whose URLs in playlists of this house get the viewer's signature. CloudFront has no such field.
const SIGNED_HOSTS: &str = "SignedHosts";

const ORIGIN_GROUPS: Limit = Limit { items: 10, code: "TooManyOriginGroupsPerDistribution" };

const BEHAVIORS: Limit = Limit { items: 75, code: "TooManyCacheBehaviors" };

const PRICE_CLASSES: &[(&str, PriceClass)] = &[
    ("PriceClass_100", PriceClass::Class100),
    ("PriceClass_200", PriceClass::Class200),
    ("PriceClass_All", PriceClass::All),
];

/// What stands beside the config in calls and answers, and says nothing of it.
const BESIDE: &[&str] = &["ETag", "IfMatch", "Id", "Location", "ResponseMetadata"];

pub(super) fn parse(json: &[u8]) -> Result<DistributionConfig, ConfigError> {
    if json.len() > MAX_BYTES {
        let error = ConfigError::new(INVALID_ARGUMENT, "", "too large").value(json.len());
        return Err(error.fix(format!("at most {MAX_BYTES} bytes")));
    }
    let value: Value = serde_json::from_slice(json)
        .map_err(|fault| ConfigError::new(INVALID_ARGUMENT, "", "not JSON").value(fault))?;
    read(Node::root(unwrapped(&value)?).object()?)
}

/// The config inside what calls and answers wrap it in.
fn unwrapped(value: &Value) -> Result<&Value, ConfigError> {
    let (outer, name) = match (value.get("Distribution"), value.get("DistributionConfig")) {
        (Some(distribution), None) if distribution.get("DistributionConfig").is_some() => (value, "Distribution"),
        (None, Some(_)) => (value, "DistributionConfig"),
        _ => return Ok(value),
    };
    let others = outer.as_object().into_iter().flat_map(serde_json::Map::keys);
    if let Some(key) = others.into_iter().find(|key| *key != name && !BESIDE.contains(&key.as_str())) {
        let shown: String = key.chars().take(64).filter(|c| !c.is_control()).collect();
        return Err(ConfigError::new(INVALID_ARGUMENT, &shown, "unknown field beside the config").fix("take it out"));
    }
    // The answer of get-distribution tells of states beside the config; they are facts, not wishes.
    Ok(if name == "Distribution" { &value[name]["DistributionConfig"] } else { &value[name] })
}

fn read(mut fields: Fields<'_>) -> Result<DistributionConfig, ConfigError> {
    neutral::distribution(&mut fields)?;
    let origins = origins(&mut fields)?;
    let origin_groups = origin_groups(&mut fields, &origins)?;
    let default_behavior = fields.required("DefaultCacheBehavior")?;
    let default_behavior = (default_behavior.path.clone(), BehaviorConfig::read_default(&default_behavior)?);
    let behaviors = behaviors(&mut fields)?;
    for (path, behavior) in behaviors.iter().chain([&default_behavior]) {
        check_target(path, behavior, &origins, &origin_groups)?;
    }
    let config = DistributionConfig {
        caller_reference: caller_reference(&mut fields)?,
        comment: comment(&mut fields)?,
        aliases: aliases(&mut fields)?,
        enabled: fields.required("Enabled")?.flag()?,
        default_root_object: default_root_object(&mut fields)?,
        price_class: fields.optional("PriceClass").map_or(Ok(PriceClass::All), |node| node.word(PRICE_CLASSES))?,
        http_version: HttpVersion::read(&mut fields)?,
        ipv6: fields.flag("IsIPV6Enabled", true)?,
        certificate: Certificate::read(&mut fields)?,
        cache_tag_header: viewer::cache_tag_header(&mut fields)?,
        origins,
        origin_groups,
        default_behavior: default_behavior.1,
        behaviors: behaviors.into_iter().map(|(_, behavior)| behavior).collect(),
        error_responses: page::read(&mut fields)?,
        signed_hosts: signed_hosts(&mut fields)?,
    };
    fields.finish()?;
    Ok(config)
}

fn caller_reference(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    let node = fields.required("CallerReference")?;
    let text = node.text()?;
    if text.is_empty() || text.chars().count() > MAX_REFERENCE {
        return Err(node.invalid("not a reference").fix(format!("1 to {MAX_REFERENCE} characters")));
    }
    Ok(text.to_owned())
}

fn comment(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    fields.required("Comment")?;
    fields.text_within("Comment", MAX_COMMENT)
}

fn aliases(fields: &mut Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(node) = fields.optional("Aliases") else { return Ok(Vec::new()) };
    node.names(ALIASES, |item| {
        let fix = "a host name, one under `*.`, or an address, without a port";
        host::alias(item.text()?).ok_or_else(|| item.invalid("not a host name or address").fix(fix))
    })
}

fn signed_hosts(fields: &mut Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(node) = fields.optional(SIGNED_HOSTS) else { return Ok(Vec::new()) };
    node.names(ALIASES, |item| {
        let fix = "a host name or address, with its port where URLs have one";
        host::authority(item.text()?).ok_or_else(|| item.invalid("not a host name or address").fix(fix))
    })
}

fn default_root_object(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    let Some((node, text)) = fields.some_text("DefaultRootObject")? else { return Ok(String::new()) };
    if text.starts_with('/') || !is_path(text) {
        let error = node.refuse("InvalidDefaultRootObject", "not the name of an object");
        return Err(error.fix("as index.html, without a leading /"));
    }
    Ok(text.to_owned())
}

fn origins(fields: &mut Fields<'_>) -> Result<Vec<OriginConfig>, ConfigError> {
    let node = fields.required("Origins")?;
    let mut origins: Vec<OriginConfig> = Vec::new();
    for item in node.list(ORIGINS)? {
        let origin = OriginConfig::read(&item)?;
        if origins.iter().any(|known| known.id == origin.id) {
            return Err(twice(&item, "Id", &origin.id));
        }
        origins.push(origin);
    }
    if origins.is_empty() { Err(node.invalid("empty").fix("name at least one origin")) } else { Ok(origins) }
}

fn origin_groups(fields: &mut Fields<'_>, origins: &[OriginConfig]) -> Result<Vec<OriginGroupConfig>, ConfigError> {
    let Some(node) = fields.optional("OriginGroups") else { return Ok(Vec::new()) };
    let mut groups: Vec<OriginGroupConfig> = Vec::new();
    for item in node.list(ORIGIN_GROUPS)? {
        let group = OriginGroupConfig::read(&item, origins)?;
        let id = &group.0.id;
        if groups.iter().any(|known| known.0.id == *id) || origins.iter().any(|known| known.id == *id) {
            return Err(twice(&item, "Id", id));
        }
        groups.push(group);
    }
    Ok(groups)
}

/// Ordered behaviors, each with its path in the document.
fn behaviors(fields: &mut Fields<'_>) -> Result<Vec<(String, BehaviorConfig)>, ConfigError> {
    let Some(node) = fields.optional("CacheBehaviors") else { return Ok(Vec::new()) };
    let mut behaviors: Vec<(String, BehaviorConfig)> = Vec::new();
    for item in node.list(BEHAVIORS)? {
        let behavior = BehaviorConfig::read(&item)?;
        if behaviors.iter().any(|(_, known)| known.same_paths(&behavior)) {
            return Err(twice(&item, "PathPattern", behavior.path_pattern.as_deref().unwrap_or_default()));
        }
        behaviors.push((item.path, behavior));
    }
    Ok(behaviors)
}

fn check_target(
    path: &str,
    behavior: &BehaviorConfig,
    origins: &[OriginConfig],
    groups: &[OriginGroupConfig],
) -> Result<(), ConfigError> {
    if origins.iter().any(|origin| origin.id == behavior.target) {
        return Ok(());
    }
    if !groups.iter().any(|group| group.0.id == behavior.target) {
        let error = ConfigError::new("NoSuchOrigin", &format!("{path}.TargetOriginId"), "no such origin");
        return Err(error.value(&behavior.target).fix("the Id of one of Origins or OriginGroups"));
    }
    if behavior.methods == AllowedMethods::All {
        let error =
            ConfigError::new(INVALID_ARGUMENT, &format!("{path}.AllowedMethods"), "not those of an origin group");
        return Err(error.fix("only GET, HEAD and OPTIONS fail over; allow those, or name an origin"));
    }
    Ok(())
}

fn twice(item: &Node<'_>, field: &str, value: &str) -> ConfigError {
    ConfigError::new(INVALID_ARGUMENT, &format!("{}.{field}", item.path), "used twice").value(value)
}

pub(super) fn render(config: &DistributionConfig) -> Value {
    let price_class = PRICE_CLASSES.iter().find(|(_, known)| *known == config.price_class);
    let mut object = json!({
        "CallerReference": config.caller_reference,
        "Aliases": render::words(&config.aliases),
        "DefaultRootObject": config.default_root_object,
        "Origins": render::list(config.origins.iter().map(OriginConfig::to_json)),
        "OriginGroups": render::list(config.origin_groups.iter().map(OriginGroupConfig::to_json)),
        "DefaultCacheBehavior": config.default_behavior.to_json(),
        "CacheBehaviors": render::list(config.behaviors.iter().map(BehaviorConfig::to_json)),
        "CustomErrorResponses": page::to_json(&config.error_responses),
        "Comment": config.comment,
        "Logging": { "Enabled": false, "IncludeCookies": false, "Bucket": "", "Prefix": "" },
        "PriceClass": price_class.map_or("", |(word, _)| word),
        "Enabled": config.enabled,
        "ViewerCertificate": config.certificate.to_json(),
        "Restrictions": { "GeoRestriction": { "RestrictionType": "none", "Quantity": 0 } },
        "WebACLId": "",
        "HttpVersion": config.http_version.word(),
        "IsIPV6Enabled": config.ipv6,
        "ContinuousDeploymentPolicyId": "",
        "Staging": false,
        "ConnectionMode": "direct",
    });
    if let Some(name) = &config.cache_tag_header {
        render::put(&mut object, "CacheTagConfig", json!({ "HeaderName": name }));
    }
    if !config.signed_hosts.is_empty() {
        render::put(&mut object, SIGNED_HOSTS, render::words(&config.signed_hosts));
    }
    object
}
