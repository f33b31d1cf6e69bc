//! CorsConfig.

use anabranch_model::CorsPolicy;
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::host;
use crate::policy::names::MAX_NAMES;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::render;

const LIMIT: Limit = Limit { items: MAX_NAMES, code: INVALID_ARGUMENT };

/// What a list of viewers' origins is called where it is refused.
const VIEWER_ORIGINS: &str = "viewer_origins";

/// `AccessControlMaxAgeSec` when nothing is said, in seconds.
const DEFAULT_MAX_AGE: u64 = 600;

/// Methods that CORS may allow; `ALL` is all of the others.
const METHODS: &[(&str, &str)] = &[
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
    ("PUT", "PUT"),
    ("POST", "POST"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("ALL", "ALL"),
];

/// Origins of pages whose players send cookies to the edge: scheme, host and port as browsers write them (V61, X2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerOrigins(Vec<String>);

impl ViewerOrigins {
    /// Reads origins such as `https://app.example.com`, at most 99. Case does not count, nor does the port of the scheme.
    ///
    /// # Errors
    /// The first that is none. `*` is none: browsers send no cookies where it is answered.
    pub fn parse(origins: &[String]) -> Result<Self, ConfigError> {
        if origins.len() >= MAX_NAMES {
            let problem = format!("at most {} origins", MAX_NAMES - 1);
            return Err(ConfigError::new(INVALID_ARGUMENT, VIEWER_ORIGINS, problem).value(origins.len()));
        }
        let mut all = Vec::with_capacity(origins.len());
        for text in origins {
            let origin = viewer_origin(text).ok_or_else(|| {
                ConfigError::new(INVALID_ARGUMENT, VIEWER_ORIGINS, "not an origin")
                    .value(text)
                    .fix("scheme, host and port, as https://app.example.com")
            })?;
            if !all.contains(&origin) {
                all.push(origin);
            }
        }
        Ok(Self(all))
    }

    /// Whether there is none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a page of this origin, as its browser says it, is one of them.
    #[must_use]
    pub fn has(&self, origin: &str) -> bool {
        self.0.iter().any(|one| one == origin)
    }
}

fn viewer_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, rest, port) = match text.strip_prefix("https://") {
        Some(rest) => ("https", rest, ":443"),
        None => ("http", text.strip_prefix("http://")?, ":80"),
    };
    let rest = rest.strip_suffix(port).unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = port.map(|port| port.parse::<u16>().ok().map(|port| format!(":{port}")));
    let port = match port {
        Some(port) => port?,
        None => String::new(),
    };
    host::host_or_address(host).map(|host| format!("{scheme}://{host}{port}"))
}

/// CORS of a policy, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CorsConfig(CorsPolicy);

impl CorsConfig {
    /// Any origin may read; the edge's answer to GET and HEAD only.
    pub(crate) fn simple() -> Self {
        Self::open(&["GET", "HEAD"], &[], false)
    }

    /// Any origin may do anything.
    pub(crate) fn preflight() -> Self {
        Self::open(&["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"], &["*"], false)
    }

    /// Any origin, with any header, without credentials.
    pub(crate) fn open(methods: &[&str], expose: &[&str], overrides: bool) -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self(CorsPolicy {
            allow_origins: words(&["*"]),
            allow_headers: words(&["*"]),
            allow_methods: words(methods),
            allow_credentials: false,
            expose_headers: words(expose),
            max_age_seconds: DEFAULT_MAX_AGE,
            overrides,
        })
    }

    /// Whoever plays: `viewers` with cookies, any other origin without.
    pub(crate) fn viewers(viewers: &ViewerOrigins) -> Self {
        let mut open = Self::open(&["GET", "HEAD", "OPTIONS"], &[], true);
        if !viewers.are_none() {
            open.0.allow_origins.splice(0..0, viewers.0.iter().cloned());
            open.0.allow_credentials = true;
        }
        open
    }

    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let origins = fields.required("AccessControlAllowOrigins")?;
        let headers = fields.required("AccessControlAllowHeaders")?;
        let methods = fields.required("AccessControlAllowMethods")?;
        let method = |node: &Node<'_>| node.word(METHODS).map(str::to_owned);
        let policy = CorsPolicy {
            allow_origins: some(&origins, origins.names(LIMIT, origin)?)?,
            allow_headers: some(&headers, headers.names(LIMIT, header)?)?,
            allow_methods: some(&methods, methods.names(LIMIT, method)?)?,
            allow_credentials: fields.required("AccessControlAllowCredentials")?.flag()?,
            expose_headers: match fields.optional("AccessControlExposeHeaders") {
                Some(node) => node.names(LIMIT, header)?,
                None => Vec::new(),
            },
            max_age_seconds: fields
                .number("AccessControlMaxAgeSec", &(0..=u64::from(u32::MAX)), INVALID_ARGUMENT)?
                .unwrap_or(DEFAULT_MAX_AGE),
            overrides: fields.required("OriginOverride")?.flag()?,
        };
        fields.finish()?;
        Ok(Self(policy))
    }

    pub(crate) fn to_json(&self) -> Value {
        let cors = &self.0;
        json!({
            "AccessControlAllowOrigins": render::words(&cors.allow_origins),
            "AccessControlAllowHeaders": render::words(&cors.allow_headers),
            "AccessControlAllowMethods": render::words(&cors.allow_methods),
            "AccessControlAllowCredentials": cors.allow_credentials,
            "AccessControlExposeHeaders": render::words(&cors.expose_headers),
            "AccessControlMaxAgeSec": cors.max_age_seconds,
            "OriginOverride": cors.overrides,
        })
    }

    /// Whether all of `viewers` are named and get credentials.
    pub(crate) fn trusts(&self, viewers: &ViewerOrigins) -> bool {
        let named = self.compile().allow_origins;
        self.0.allow_credentials && viewers.0.iter().all(|origin| named.contains(origin))
    }

    /// A bare host stands for both schemes.
    pub(crate) fn compile(&self) -> CorsPolicy {
        let mut policy = self.0.clone();
        policy.allow_origins = policy.allow_origins.into_iter().flat_map(both_schemes).collect();
        policy
    }
}

fn both_schemes(origin: String) -> Vec<String> {
    if origin == "*" || origin.contains("://") {
        return vec![origin];
    }
    vec![format!("http://{origin}"), format!("https://{origin}")]
}

fn some<T>(node: &Node<'_>, items: Vec<T>) -> Result<Vec<T>, ConfigError> {
    if items.is_empty() { Err(node.invalid("empty").fix("name one, or `*`")) } else { Ok(items) }
}

/// `*`, or scheme, host and port, of which the scheme may be left out and the first label may be `*`.
fn origin(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (rest, None),
    };
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if text == "*" || (port && host::alias(name).is_some()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(node.invalid("not an origin").fix("`*`, or as https://www.example.com or https://*.example.com"))
}

fn header(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    if host::is_field_name(text) { Ok(text.to_owned()) } else { Err(node.invalid("not a header name")) }
}
