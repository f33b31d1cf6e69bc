//! Response headers policies: ResponseHeadersPolicyConfig.

use anabranch_model::{HeaderRule, ResponseHeadersPolicy};
use serde_json::{Value, json};

use super::{Label, Managed, PolicyConfig};
use crate::error::ConfigError;
use crate::policy::names::MAX_NAMES;
use crate::read::{Fields, Limit, Node};
use crate::{host, render};

mod cors;
mod security;

pub(crate) use cors::CorsConfig;
pub use cors::ViewerOrigins;
use security::SecurityHeaders;

/// Headers of answers that policies may neither set nor remove: they frame the message or are the edge's own.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "warning",
];

/// Beginnings of such headers.
const RESERVED_PREFIXES: &[&str] = &["x-accel-", "x-amz-cf-", "x-cache", "x-edge-"];

/// A response headers policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResponseHeadersPolicyConfig {
    pub(crate) label: Label,
    pub(crate) cors: Option<CorsConfig>,
    pub(crate) security: SecurityHeaders,
    pub(crate) custom: Vec<HeaderRule>,
    pub(crate) remove: Vec<String>,
    pub(crate) server_timing: Option<f64>,
}

impl ResponseHeadersPolicyConfig {
    pub(crate) fn compile(&self) -> ResponseHeadersPolicy {
        let custom = self.custom.iter().cloned();
        ResponseHeadersPolicy {
            cors: self.cors.as_ref().map(CorsConfig::compile),
            set: self.security.compile().into_iter().chain(custom).collect(),
            remove: self.remove.clone(),
            server_timing_percent: self.server_timing,
        }
    }
}

impl PolicyConfig for ResponseHeadersPolicyConfig {
    const ID_FIELD: &'static str = "ResponseHeadersPolicyId";
    const OBJECT_FIELD: &'static str = "ResponseHeadersPolicy";
    const MISSING: &'static str = "NoSuchResponseHeadersPolicy";
    const MANAGED: &'static [Managed<Self>] = MANAGED;

    fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let label = Label::read(&mut fields)?;
        let cors = match fields.optional("CorsConfig") {
            Some(node) => Some(CorsConfig::read(node.object()?)?),
            None => None,
        };
        let security = match fields.optional("SecurityHeadersConfig") {
            Some(node) => SecurityHeaders::read(node.object()?)?,
            None => SecurityHeaders::default(),
        };
        let policy = Self {
            label,
            cors,
            security,
            custom: custom(&mut fields)?,
            remove: remove(&mut fields)?,
            server_timing: server_timing(&mut fields)?,
        };
        fields.finish()?;
        Ok(policy)
    }

    fn to_json(&self) -> Value {
        let mut object = json!({});
        self.label.put(&mut object);
        if let Some(cors) = &self.cors {
            render::put(&mut object, "CorsConfig", cors.to_json());
        }
        if self.security != SecurityHeaders::default() {
            render::put(&mut object, "SecurityHeadersConfig", self.security.to_json());
        }
        let custom = self
            .custom
            .iter()
            .map(|rule| json!({ "Header": rule.name, "Value": rule.value, "Override": rule.overrides }));
        render::put(&mut object, "CustomHeadersConfig", render::list(custom));
        let remove = self.remove.iter().map(|name| json!({ "Header": name }));
        render::put(&mut object, "RemoveHeadersConfig", render::list(remove));
        let rate = self.server_timing;
        let timing = json!({ "Enabled": rate.is_some(), "SamplingRate": rate.unwrap_or(0.0) });
        render::put(&mut object, "ServerTimingHeadersConfig", timing);
        object
    }
}

fn custom(fields: &mut Fields<'_>) -> Result<Vec<HeaderRule>, ConfigError> {
    const LIMIT: Limit = Limit { items: MAX_NAMES, code: "TooManyCustomHeadersInResponseHeadersPolicy" };
    let Some(node) = fields.optional("CustomHeadersConfig") else { return Ok(Vec::new()) };
    let mut rules: Vec<HeaderRule> = Vec::new();
    for item in node.list(LIMIT)? {
        let mut header = item.object()?;
        let name = header.required("Header")?;
        let rule = HeaderRule {
            name: response_header(&name)?,
            value: value(&header.required("Value")?)?,
            overrides: header.required("Override")?.flag()?,
        };
        header.finish()?;
        if security::NAMES.contains(&rule.name.as_str()) {
            return Err(name.invalid("a security header").fix("set it in SecurityHeadersConfig"));
        }
        if rule.name.starts_with("access-control-") {
            return Err(name.invalid("a CORS header").fix("set it in CorsConfig"));
        }
        if rules.iter().any(|known| known.name == rule.name) {
            return Err(name.invalid("listed twice"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn remove(fields: &mut Fields<'_>) -> Result<Vec<String>, ConfigError> {
    const LIMIT: Limit = Limit { items: MAX_NAMES, code: "TooManyRemoveHeadersInResponseHeadersPolicy" };
    let Some(node) = fields.optional("RemoveHeadersConfig") else { return Ok(Vec::new()) };
    node.names(LIMIT, |item| {
        let mut header = item.object()?;
        let name = response_header(&header.required("Header")?)?;
        header.finish()?;
        Ok(name)
    })
}

fn server_timing(fields: &mut Fields<'_>) -> Result<Option<f64>, ConfigError> {
    let Some(node) = fields.optional("ServerTimingHeadersConfig") else { return Ok(None) };
    let mut timing = node.object()?;
    let enabled = timing.required("Enabled")?.flag()?;
    let rate = timing.optional("SamplingRate").map(|node| node.percent()).transpose()?;
    timing.finish()?;
    Ok(enabled.then(|| rate.unwrap_or(0.0)))
}

/// A header that the edge may set or remove, in lower case.
fn response_header(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    if !host::is_field_name(text) {
        return Err(node.invalid("not a header name"));
    }
    let name = text.to_ascii_lowercase();
    let reserved = RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|start| name.starts_with(start));
    if reserved { Err(node.invalid("a header that no policy may name").fix("take it out")) } else { Ok(name) }
}

/// A header's value.
fn value(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    if host::is_field_value(text) { Ok(text.to_owned()) } else { Err(node.invalid("not a header value")) }
}

fn managed(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { label: Label::managed(name), ..ResponseHeadersPolicyConfig::default() }
}

fn simple_cors(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { cors: Some(CorsConfig::simple()), ..managed(name) }
}

fn preflight(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { cors: Some(CorsConfig::preflight()), ..managed(name) }
}

fn secure(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { security: SecurityHeaders::managed(), ..managed(name) }
}

fn simple_cors_secure(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { cors: Some(CorsConfig::simple()), ..secure(name) }
}

fn preflight_secure(name: &str) -> ResponseHeadersPolicyConfig {
    ResponseHeadersPolicyConfig { cors: Some(CorsConfig::preflight()), ..secure(name) }
}

const MANAGED: &[Managed<ResponseHeadersPolicyConfig>] = &[
    Managed { id: "60669652-455b-4ae9-85a4-c4c02393f86c", name: "SimpleCORS", content: Ok(simple_cors) },
    Managed { id: "5cc3b908-e619-4b99-88e5-2cf7f45965bd", name: "CORS-With-Preflight", content: Ok(preflight) },
    Managed { id: "67f7725c-6f97-4210-82d7-5512b31e9d03", name: "SecurityHeadersPolicy", content: Ok(secure) },
    Managed {
        id: "e61eb60c-9c35-4d20-a928-2b84e02af89c",
        name: "CORS-and-SecurityHeadersPolicy",
        content: Ok(simple_cors_secure),
    },
    Managed {
        id: "eaab4381-ed33-4a86-88ca-d9558dc6cd63",
        name: "CORS-with-preflight-and-SecurityHeadersPolicy",
        content: Ok(preflight_secure),
    },
];
