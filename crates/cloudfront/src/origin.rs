//! Origins: where bytes live.

use std::collections::BTreeMap;

use anabranch_model::{BucketOrigin, ChannelId, HttpOrigin, Origin, OriginProtocol, OriginSpec, OriginTimeouts};
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::page::is_path;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::{host, render};

mod custom;
mod group;

pub(crate) use custom::CustomOrigin;
pub(crate) use group::OriginGroupConfig;

/// Code of an origin that cannot be one.
const INVALID_ORIGIN: &str = "InvalidOrigin";

/// Longest id of an origin, in characters.
pub(crate) const MAX_ID: usize = 128;

const HEADERS: Limit = Limit { items: 30, code: "TooManyOriginCustomHeaders" };

/// End of names that mean origins of this house.
const HOUSE: &str = ".anabranch.internal";

/// End of a channel's name; the channel's id stands before it, its case kept.
const LIVE: &str = ".live.anabranch.internal";

/// End of a bucket's name.
const BUCKET: &str = ".s3.anabranch.internal";

/// The buckets in which breakouts that are over lie, assets, and merged playlists of clusters.
const PLAYLISTS: [&str; 3] =
    ["recordings.s3.anabranch.internal", "vod.s3.anabranch.internal", "clusters.s3.anabranch.internal"];

/// Headers that an origin cannot be given: they frame the request or are the edge's own to send.
const NEVER_CUSTOM: &[&str] = &[
    "accept-encoding",
    "cache-control",
    "connection",
    "content-length",
    "cookie",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "request-range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];

/// Beginnings of such headers.
const NEVER_CUSTOM_PREFIXES: &[&str] = &["x-amz-", "x-edge-", "cloudfront-"];

/// An origin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OriginConfig {
    pub(crate) id: String,
    domain_name: String,
    pub(crate) path: String,
    /// By name in lower case.
    headers: BTreeMap<String, String>,
    attempts: u32,
    connect_seconds: u64,
    shield: Option<String>,
    access_control: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Live(ChannelId),
    Bucket { bucket: String, read_seconds: u64 },
    Custom(CustomOrigin),
}

impl OriginConfig {
    /// The origin of a channel's breakouts.
    pub(crate) fn live(id: &str, channel: &ChannelId) -> Self {
        let timeouts = OriginTimeouts::default();
        Self {
            id: id.to_owned(),
            domain_name: format!("{channel}{LIVE}"),
            path: String::new(),
            headers: BTreeMap::new(),
            attempts: timeouts.connect_attempts,
            connect_seconds: timeouts.connect_seconds,
            shield: None,
            access_control: String::new(),
            kind: Kind::Live(channel.clone()),
        }
    }

    /// The origin of a bucket of this house, of the same name as the origin.
    pub(crate) fn house_bucket(name: &str) -> Self {
        let timeouts = OriginTimeouts::default();
        Self {
            id: name.to_owned(),
            domain_name: format!("{name}{BUCKET}"),
            path: String::new(),
            headers: BTreeMap::new(),
            attempts: timeouts.connect_attempts,
            connect_seconds: timeouts.connect_seconds,
            shield: None,
            access_control: String::new(),
            kind: Kind::Bucket { bucket: name.to_owned(), read_seconds: timeouts.response_seconds },
        }
    }

    /// Whether its playlists are this house's, so that edges may sign what they name.
    pub(crate) fn has_playlists(&self) -> bool {
        matches!(self.kind, Kind::Live(_)) || PLAYLISTS.iter().any(|name| self.domain_name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn channel(&self) -> Option<&ChannelId> {
        match &self.kind {
            Kind::Live(channel) => Some(channel),
            Kind::Bucket { .. } | Kind::Custom(_) => None,
        }
    }

    pub(crate) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let mut fields = node.object()?;
        let id = id(&mut fields)?;
        fields.only_absent("VpcOriginConfig", "there are no VPC origins")?;
        fields.only_absent("ResponseCompletionTimeout", "a response takes as long as its bytes keep coming")?;
        let timeouts = OriginTimeouts::default();
        let attempts = fields.number("ConnectionAttempts", &(1..=3), INVALID_ARGUMENT)?;
        let connect = fields.number("ConnectionTimeout", &(1..=10), INVALID_ARGUMENT)?;
        let domain = fields.required("DomainName")?;
        let kind = kind(&domain, &mut fields)?;
        let origin = Self {
            id,
            domain_name: domain.text()?.to_owned(),
            path: path(&mut fields)?,
            headers: headers(&mut fields)?,
            attempts: attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(timeouts.connect_attempts),
            connect_seconds: connect.unwrap_or(timeouts.connect_seconds),
            shield: shield(&mut fields)?,
            access_control: access_control(&mut fields, &kind)?,
            kind,
        };
        fields.finish()?;
        origin.check_live(node)?;
        Ok(origin)
    }

    /// The edge's own configuration says how the house's origin is reached.
    fn check_live(&self, node: &Node<'_>) -> Result<(), ConfigError> {
        let Kind::Live(channel) = &self.kind else { return Ok(()) };
        let plain = Self { shield: self.shield.clone(), ..Self::live(&self.id, channel) };
        let field = if self.path != plain.path {
            "OriginPath"
        } else if self.headers != plain.headers {
            "CustomHeaders"
        } else if self.attempts != plain.attempts {
            "ConnectionAttempts"
        } else if self.connect_seconds != plain.connect_seconds {
            "ConnectionTimeout"
        } else {
            return Ok(());
        };
        Err(ConfigError::new(INVALID_ORIGIN, &format!("{}.{field}", node.path), "not honoured for a live origin")
            .fix("the edge's own configuration says how that is reached; leave it out"))
    }

    pub(crate) fn to_json(&self) -> Value {
        let headers = self.headers.iter().map(|(name, value)| json!({ "HeaderName": name, "HeaderValue": value }));
        let mut shield = json!({ "Enabled": self.shield.is_some() });
        if let Some(name) = &self.shield {
            render::put(&mut shield, "OriginShieldRegion", name.as_str());
        }
        let mut object = json!({
            "Id": self.id,
            "DomainName": self.domain_name,
            "OriginPath": self.path,
            "CustomHeaders": render::list(headers),
            "ConnectionAttempts": self.attempts,
            "ConnectionTimeout": self.connect_seconds,
            "OriginShield": shield,
            "OriginAccessControlId": self.access_control,
        });
        match &self.kind {
            Kind::Live(_) => render::put(&mut object, "CustomOriginConfig", CustomOrigin::default().to_json()),
            Kind::Custom(custom) => render::put(&mut object, "CustomOriginConfig", custom.to_json()),
            Kind::Bucket { read_seconds, .. } => {
                let config = json!({ "OriginAccessIdentity": "", "OriginReadTimeout": read_seconds });
                render::put(&mut object, "S3OriginConfig", config);
            }
        }
        object
    }

    pub(crate) fn compile(&self) -> OriginSpec {
        let timeouts = OriginTimeouts {
            connect_seconds: self.connect_seconds,
            connect_attempts: self.attempts,
            ..OriginTimeouts::default()
        };
        let (path, headers) = (self.path.clone(), self.headers.clone());
        let origin = match &self.kind {
            Kind::Live(channel) => Origin::Live { channel: channel.clone() },
            Kind::Bucket { bucket, read_seconds } => {
                let timeouts = OriginTimeouts { response_seconds: *read_seconds, ..timeouts };
                Origin::Bucket(BucketOrigin { bucket: bucket.clone(), path, headers, timeouts })
            }
            Kind::Custom(custom) => Origin::Http(HttpOrigin {
                host: host::host_or_address(&self.domain_name).unwrap_or_else(|| self.domain_name.clone()),
                http_port: custom.http_port,
                https_port: custom.https_port,
                protocol: custom.protocol,
                path,
                headers,
                timeouts: OriginTimeouts {
                    response_seconds: custom.read_seconds,
                    keepalive_seconds: custom.keepalive_seconds,
                    ..timeouts
                },
            }),
        };
        OriginSpec { id: self.id.clone(), origin, shield: self.shield.clone() }
    }
}

/// The id of an origin or a group.
pub(crate) fn id(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    let node = fields.required("Id")?;
    let text = node.text()?;
    if text.is_empty() || text.chars().count() > MAX_ID {
        return Err(node.invalid("not an id").fix(format!("1 to {MAX_ID} characters")));
    }
    Ok(text.to_owned())
}

fn kind(domain: &Node<'_>, fields: &mut Fields<'_>) -> Result<Kind, ConfigError> {
    let text = domain.text()?;
    let lower = text.to_ascii_lowercase();
    let custom = fields.optional("CustomOriginConfig");
    let bucket = fields.optional("S3OriginConfig");
    if lower.ends_with(LIVE) {
        return live(domain, &text[..text.len() - LIVE.len()], custom.as_ref(), bucket.as_ref());
    }
    let fault = |problem: &str, fix: &str| Err(domain.refuse(INVALID_ORIGIN, problem).fix(fix));
    match (custom, bucket) {
        (Some(_), Some(_)) => fault("two kinds of origin", "give CustomOriginConfig or S3OriginConfig, not both"),
        (None, None) => fault("no kind of origin", "give CustomOriginConfig or S3OriginConfig"),
        (Some(_), None) if lower.ends_with(HOUSE) => fault(
            "not a custom origin",
            "<bucket>.s3.anabranch.internal with S3OriginConfig, or <channel>.live.anabranch.internal",
        ),
        (Some(node), None) => match host::host_or_address(text) {
            Some(_) => Ok(Kind::Custom(CustomOrigin::read(&node)?)),
            None => fault("not a host name or address", "without scheme, port and path"),
        },
        (None, Some(node)) => match bucket_name(&lower) {
            Some(bucket) => Ok(Kind::Bucket { bucket: bucket.to_owned(), read_seconds: custom::bucket_read(&node)? }),
            None => fault("not a bucket", "<bucket>.s3.anabranch.internal or <bucket>.s3.<region>.amazonaws.com"),
        },
    }
}

fn live(
    domain: &Node<'_>,
    label: &str,
    custom: Option<&Node<'_>>,
    bucket: Option<&Node<'_>>,
) -> Result<Kind, ConfigError> {
    const WHY: &str = "the edge's own configuration says how a live origin is reached; leave it out";
    let channel = label
        .parse()
        .map_err(|_| domain.refuse(INVALID_ORIGIN, "no channel").fix("<channel id>.live.anabranch.internal"))?;
    if let Some(node) = custom
        && !CustomOrigin::read(node)?.is_default()
    {
        return Err(node.refuse(INVALID_ORIGIN, "not honoured for a live origin").fix(WHY));
    }
    if let Some(node) = bucket {
        return Err(node.refuse(INVALID_ORIGIN, "not honoured for a live origin").fix(WHY));
    }
    Ok(Kind::Live(channel))
}

/// The bucket in a name of ours or of AWS, given in lower case.
fn bucket_name(domain: &str) -> Option<&str> {
    let bucket = match domain.strip_suffix(BUCKET) {
        Some(bucket) => bucket,
        None => {
            let rest = domain.strip_suffix(".amazonaws.com")?;
            let (bucket, service) = rest.rsplit_once(".s3")?;
            let region = service.strip_prefix('.').or_else(|| service.strip_prefix('-'));
            // An endpoint of websites speaks another protocol than buckets do.
            let named = |region: &str| {
                !region.starts_with("website") && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            (service.is_empty() || region.is_some_and(|region| !region.is_empty() && named(region)))
                .then_some(bucket)?
        }
    };
    host::host_name(bucket).filter(|_| (3..=63).contains(&bucket.len()) && !bucket.contains('_')).map(|_| bucket)
}

fn path(fields: &mut Fields<'_>) -> Result<String, ConfigError> {
    let Some((node, text)) = fields.some_text("OriginPath")? else { return Ok(String::new()) };
    if text.starts_with('/') && !text.ends_with('/') && is_path(text) {
        return Ok(text.to_owned());
    }
    Err(node.refuse("InvalidRelativePath", "not a path").fix("begin it with / and end it without"))
}

fn headers(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut headers = BTreeMap::new();
    let Some(node) = fields.optional("CustomHeaders") else { return Ok(headers) };
    for item in node.list(HEADERS)? {
        let mut header = item.object()?;
        let name = header.required("HeaderName")?;
        // The value may be a secret that origins know edges by: no error repeats it.
        let fault = ConfigError::new(INVALID_ARGUMENT, &header.at("HeaderValue"), "not a header value");
        let value =
            header.required("HeaderValue")?.text().ok().filter(|text| host::is_field_value(text)).ok_or(fault)?;
        let text = name.text()?;
        let lower = text.to_ascii_lowercase();
        if !host::is_field_name(text) {
            return Err(name.invalid("not a header name"));
        }
        if is_never_custom(&lower) {
            return Err(name.invalid("a header that no origin can be given").fix("take it out"));
        }
        header.finish()?;
        if headers.insert(lower, value.to_owned()).is_some() {
            return Err(name.invalid("listed twice"));
        }
    }
    Ok(headers)
}

fn is_never_custom(lower: &str) -> bool {
    NEVER_CUSTOM.contains(&lower) || NEVER_CUSTOM_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

/// The name in lower case of a header that an origin may be given, as `CustomHeaders` of an origin are.
///
/// # Errors
/// What is wrong with it, in words that have neither the name nor the value, which may be a secret.
pub fn origin_header(name: &str, value: &str) -> Result<String, &'static str> {
    let lower = name.to_ascii_lowercase();
    if !host::is_field_name(name) {
        Err("not a header name")
    } else if is_never_custom(&lower) {
        Err("a header that no origin can be given")
    } else if !host::is_field_value(value) {
        Err("not a header value")
    } else {
        Ok(lower)
    }
}

fn shield(fields: &mut Fields<'_>) -> Result<Option<String>, ConfigError> {
    let Some(node) = fields.optional("OriginShield") else { return Ok(None) };
    let mut shield = node.object()?;
    let enabled = shield.required("Enabled")?.flag()?;
    let region = shield.some_text("OriginShieldRegion")?;
    let named = |text: &str| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let name = match (enabled, region) {
        (false, None) => None,
        (false, Some((node, _))) => return Err(node.invalid("a shield that is not enabled").fix("leave it out")),
        (true, None) => return Err(shield.invalid("no OriginShieldRegion").fix("give the shield's name")),
        (true, Some((_, text))) if named(text) => Some(text.to_owned()),
        (true, Some((node, _))) => {
            return Err(node.invalid("not a shield's name").fix("at most 32 letters, digits and hyphens"));
        }
    };
    shield.finish()?;
    Ok(name)
}

/// Buckets are always read with the edge's own right, so that any access control is the same one.
fn access_control(fields: &mut Fields<'_>, kind: &Kind) -> Result<String, ConfigError> {
    const CODE: &str = "InvalidOriginAccessControl";
    let Some((node, text)) = fields.some_text("OriginAccessControlId")? else { return Ok(String::new()) };
    if !matches!(kind, Kind::Bucket { .. }) {
        return Err(node.refuse(CODE, "not honoured for this origin").fix("only S3OriginConfig has it; leave it out"));
    }
    if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        Ok(text.to_owned())
    } else {
        Err(node.refuse(CODE, "not an id"))
    }
}

/// Words of `OriginProtocolPolicy`.
pub(crate) const PROTOCOLS: &[(&str, OriginProtocol)] = &[
    ("http-only", OriginProtocol::HttpOnly),
    ("https-only", OriginProtocol::HttpsOnly),
    ("match-viewer", OriginProtocol::MatchViewer),
];
