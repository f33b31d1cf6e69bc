//! What an origin is told of a viewer's request.

use std::fmt::Write as _;

use anabranch_http_cache::{VaryNames, is_hop_by_hop};
use anabranch_model::{Encodings, Transform};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, IF_RANGE, RANGE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authorise::Authorised;
use crate::cmcd::HEADER_PREFIX;
use crate::key::{own_query, text_values};
use crate::request::{Method, Request};
use crate::rule::Rule;
use crate::select::is_signature_cookie;
use crate::upstream::Ask;

/// Name by which origins know the edge, where the viewer's own is not forwarded.
const USER_AGENT_VALUE: &str = "anabranch";

/// Address of the viewer, after those that came with the request.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Fields that the edge makes itself or answers to.
const OWN: [&str; 7] = ["expect", "content-length", "cookie", "accept-encoding", "host", "x-forwarded-for", "via"];

/// Fields that a cache answers itself: they go to the origin only with requests that it passes on.
const CONDITIONAL: [&str; 7] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range", "cache-control"];

/// How much of the request the cache answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Conditions and ranges are the cache's business.
    Nothing,
    /// The range goes along: its answer is not stored.
    Range,
    /// Everything goes along.
    Everything,
}

/// A request to the origin, and the part of it that is the viewer's own.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) ask: Ask,
    /// Fields that answers may vary by.
    pub(crate) told: HeaderMap,
}

/// The request to the origin, by the behavior's policies.
pub(crate) fn forward(authorised: &Authorised<'_, '_>, codings: Encodings, passing: Passing, body: Bytes) -> Forwarded {
    let (request, rule) = (authorised.routed.request, authorised.routed.rule);
    let own = own_query(rule, request);
    let query = rule.telling.query.query(&own);
    let target = if query.is_empty() {
        authorised.routed.path.to_owned()
    } else {
        format!("{}?{query}", authorised.routed.path)
    };
    // A whole object is fetched for every kind of request that the cache answers from it.
    let method = match (passing, request.method) {
        (Passing::Everything, method) => method.as_str(),
        (_, Method::Options) => "OPTIONS",
        (Passing::Nothing | Passing::Range, _) => "GET",
    };
    let method = http::Method::from_bytes(method.as_bytes()).unwrap_or(http::Method::GET);
    let told = told(rule, request, codings, passing);
    let mut headers = told.clone();
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    }
    if let Some(chain) = address_chain(request) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    if !body.is_empty() {
        // They say what the body is.
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            let value = request.lines.all(name.as_str()).next().and_then(|value| HeaderValue::from_bytes(value).ok());
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
    Forwarded { ask: Ask { method, target, headers, body, scheme: authorised.scheme }, told }
}

/// The values that a request's variant is told apart by, as [`VaryNames::append_key`] writes them: of what the origin is told, and of nothing else.
pub(crate) fn variant_values(rule: &Rule, request: &Request<'_>, names: &VaryNames) -> Vec<u8> {
    let cookies = if names.iter().any(|name| name == "cookie") { cookies(rule, request) } else { String::new() };
    let values = |name: &str| match name {
        "cookie" if cookies.is_empty() => Vec::new(),
        "cookie" => vec![cookies.as_str()],
        "accept-encoding" | "host" if rule.telling.headers.has(name) => text_values(request, name),
        name if is_told(rule, name, Passing::Nothing) => text_values(request, name),
        _ => Vec::new(),
    };
    let mut out = Vec::new();
    names.append_key(values, &mut out);
    out
}

/// Whether the origin is told a field as it came.
fn is_told(rule: &Rule, name: &str, passing: Passing) -> bool {
    let held = is_hop_by_hop(name)
        || OWN.contains(&name)
        || name.starts_with("x-anabranch-")
        || name.starts_with(HEADER_PREFIX)
        || (CONDITIONAL.contains(&name) && passing != Passing::Everything);
    !held && rule.telling.headers.has(name)
}

fn told(rule: &Rule, request: &Request<'_>, codings: Encodings, passing: Passing) -> HeaderMap {
    let mut told = HeaderMap::new();
    if !rule.telling.headers.is_none() {
        copy(rule, request, passing, &mut told);
    }
    if let (true, Ok(host)) = (rule.telling.headers.has("host"), HeaderValue::from_str(request.host)) {
        told.insert(HOST, host);
    }
    if passing == Passing::Range {
        for (name, value) in [(RANGE, request.fields.range), (IF_RANGE, request.fields.if_range)] {
            if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
                told.insert(name, value);
            }
        }
    }
    let cookies = cookies(rule, request);
    if let (false, Ok(cookies)) = (cookies.is_empty(), HeaderValue::from_str(&cookies)) {
        told.insert(COOKIE, cookies);
    }
    if let Some(wanted) = encoding(codings) {
        told.insert(ACCEPT_ENCODING, wanted);
    } else if rule.telling.headers.has("accept-encoding") && rule.transform == Transform::None {
        for value in request.lines.all("accept-encoding").filter_map(|value| HeaderValue::from_bytes(value).ok()) {
            told.append(ACCEPT_ENCODING, value);
        }
    }
    told
}

fn cookies(rule: &Rule, request: &Request<'_>) -> String {
    let reserved: fn(&str) -> bool = if rule.gate.is_some() { is_signature_cookie } else { |_| false };
    rule.telling.cookies.cookies(request.lines.all("cookie"), reserved)
}

fn address_chain(request: &Request<'_>) -> Option<HeaderValue> {
    let mut chain = String::new();
    for value in request.lines.all("x-forwarded-for").filter_map(|value| std::str::from_utf8(value).ok()) {
        // Writing to a string does not fail.
        let _ = write!(chain, "{value}, ");
    }
    let _ = write!(chain, "{}", request.peer);
    HeaderValue::from_str(&chain).ok()
}

fn copy(rule: &Rule, request: &Request<'_>, passing: Passing, told: &mut HeaderMap) {
    let nominated: Vec<String> = request
        .lines
        .all("connection")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect();
    for (name, value) in request.lines.iter() {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) else { continue };
        if is_told(rule, name.as_str(), passing) && !nominated.iter().any(|option| option == name.as_str()) {
            told.append(name, value);
        }
    }
}

fn encoding(codings: Encodings) -> Option<HeaderValue> {
    let names = [(codings.brotli, "br"), (codings.gzip, "gzip"), (codings.zstd, "zstd")];
    let wanted: Vec<&str> = names.into_iter().filter_map(|(wanted, name)| wanted.then_some(name)).collect();
    if wanted.is_empty() { None } else { HeaderValue::from_str(&wanted.join(", ")).ok() }
}
