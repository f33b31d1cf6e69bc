//! ForwardedValues and lifetimes of a behavior: what CloudFront had before policies.

use anabranch_model::{CachePolicy, Encodings, OriginRequestPolicy, Selection};
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::policy::cache::{Lifetimes, TTL};
use crate::policy::names::{self, MAX_NAMES, Mode, Spelling};
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::render;

const COOKIES: Spelling = Spelling {
    word: "Forward",
    list: "WhitelistedNames",
    words: &[("none", Mode::Nothing), ("whitelist", Mode::Listed), ("all", Mode::Everything)],
    limit: Limit { items: MAX_NAMES, code: "TooManyCookieNamesInWhiteList" },
};

const HEADERS: Limit = Limit { items: MAX_NAMES, code: "TooManyHeadersInForwardedValues" };

const QUERY: Limit = Limit { items: MAX_NAMES, code: "TooManyQueryStringParameters" };

/// What goes to the origin and into the key, and how long objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForwardedValues {
    lifetimes: Lifetimes,
    query: Query,
    cookies: Selection,
    /// `All` is everything and no caching.
    headers: Selection,
}

/// Query parameters; with a list all of them go to the origin and those make the key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Query {
    None,
    All,
    Keys(Vec<String>),
}

impl ForwardedValues {
    /// Reads the object and, from the behavior around it, the lifetimes.
    pub(crate) fn read(node: &Node<'_>, behavior: &mut Fields<'_>) -> Result<Self, ConfigError> {
        let mut fields = node.object()?;
        let query = query(&mut fields)?;
        let mut cookies_config = fields.required("Cookies")?.object()?;
        let cookies = COOKIES.read(&mut cookies_config, names::cookie)?;
        cookies_config.finish()?;
        let headers = headers(&mut fields)?;
        fields.finish()?;
        let min = match behavior.optional("MinTTL") {
            Some(node) => node.number(&TTL, INVALID_ARGUMENT).and_then(|min| match (&headers, min) {
                (Selection::All, 1..) => Err(node.invalid("not 0 with all headers forwarded").fix("set it to 0")),
                _ => Ok(min),
            })?,
            None => 0,
        };
        let lifetimes = Lifetimes::read(behavior, min)?;
        Ok(Self { lifetimes, query, cookies, headers })
    }

    pub(crate) fn put(&self, behavior: &mut Value) {
        let (query, keys) = match &self.query {
            Query::None => (false, [].as_slice()),
            Query::All => (true, [].as_slice()),
            Query::Keys(names) => (true, names.as_slice()),
        };
        let headers = match &self.headers {
            Selection::All => render::list(["*"]),
            Selection::Only(names) => render::words(names),
            _ => render::words::<&str>(&[]),
        };
        let forwarded = json!({
            "QueryString": query,
            "QueryStringCacheKeys": render::words(keys),
            "Cookies": COOKIES.render(&self.cookies),
            "Headers": headers,
        });
        render::put(behavior, "ForwardedValues", forwarded);
        self.lifetimes.put(behavior);
    }

    pub(crate) fn compile(&self) -> (CachePolicy, OriginRequestPolicy) {
        let named = match &self.headers {
            Selection::Only(names) => names.clone(),
            _ => Vec::new(),
        };
        // Who takes viewers' Accept-Encoding into the key wants the origin to see it as it came.
        let gzip = !named.iter().any(|name| name == "accept-encoding");
        let mut cache = CachePolicy {
            min_ttl_seconds: self.lifetimes.min,
            default_ttl_seconds: self.lifetimes.default,
            max_ttl_seconds: self.lifetimes.max,
            heuristic: false,
            query: match &self.query {
                Query::None => Selection::None,
                Query::All => Selection::All,
                Query::Keys(names) => Selection::Only(names.clone()),
            },
            headers: named,
            cookies: self.cookies.clone(),
            encodings: Encodings { gzip, ..Encodings::default() },
        };
        let mut request = OriginRequestPolicy::default();
        if matches!(self.query, Query::Keys(_)) {
            request.query = Selection::All;
        }
        if self.headers == Selection::All {
            request.headers = Selection::All;
            (cache.min_ttl_seconds, cache.default_ttl_seconds, cache.max_ttl_seconds) = (0, 0, 0);
            cache.encodings.gzip = false;
        }
        (cache, request)
    }
}

fn query(fields: &mut Fields<'_>) -> Result<Query, ConfigError> {
    let wanted = fields.required("QueryString")?.flag()?;
    let Some(node) = fields.optional("QueryStringCacheKeys") else {
        return Ok(if wanted { Query::All } else { Query::None });
    };
    let keys = node.names(QUERY, names::query)?;
    match (wanted, keys.is_empty()) {
        (false, true) => Ok(Query::None),
        (true, true) => Ok(Query::All),
        (true, false) => Ok(Query::Keys(keys)),
        (false, false) => {
            let error = node.refuse("InvalidQueryStringParameters", "keys without QueryString");
            Err(error.fix("set QueryString to true"))
        }
    }
}

fn headers(fields: &mut Fields<'_>) -> Result<Selection, ConfigError> {
    let Some(node) = fields.optional("Headers") else { return Ok(Selection::None) };
    let names =
        node.names(HEADERS, |item| if item.text()? == "*" { Ok("*".to_owned()) } else { names::header(item) })?;
    match names.as_slice() {
        [] => Ok(Selection::None),
        [all] if all == "*" => Ok(Selection::All),
        some if some.iter().any(|name| name == "*") => Err(node.invalid("`*` among others").fix("give `*` alone")),
        _ => Ok(Selection::Only(names)),
    }
}
