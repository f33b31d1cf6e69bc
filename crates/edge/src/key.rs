//! Bend: the cache key.

use anabranch_http_cache::vary_key;
use anabranch_model::{Encodings, Transform};
use anabranch_signing::strip_reserved;

use crate::authorise::Authorised;
use crate::request::{Method, Request};
use crate::rule::Rule;
use crate::select::is_signature_cookie;

/// A request with its primary key in the caller's buffer.
#[derive(Debug)]
pub(crate) struct Keyed<'t, 'r, 'k> {
    pub(crate) authorised: Authorised<'t, 'r>,
    /// Primary key; after lookup perhaps that of a variant.
    pub(crate) key: &'k mut Vec<u8>,
    /// Length of the primary key.
    pub(crate) primary: usize,
    /// Codings that the behavior delivers and the viewer takes; part of the key.
    pub(crate) codings: Encodings,
}

/// Writes the key of the request: distribution and path, and what the behavior's cache policy adds. The parameters and cookies of
/// a signature never count, so that the viewers of one object share it.
pub(crate) fn key<'t, 'r, 'k>(authorised: Authorised<'t, 'r>, buffer: &'k mut Vec<u8>) -> Keyed<'t, 'r, 'k> {
    let (routed, rule) = (&authorised.routed, authorised.routed.rule);
    buffer.clear();
    buffer.extend_from_slice(routed.site.id.as_str().as_bytes());
    // Identifiers have no slash and paths begin with one, so keys of different distributions never meet.
    buffer.extend_from_slice(routed.path.as_bytes());
    let mut codings = Encodings::default();
    if !rule.keying.path_only {
        codings = add_policy(rule, routed.request, buffer);
    }
    if routed.request.method == Method::Options {
        buffer.extend_from_slice(b"\n#OPTIONS");
    }
    let primary = buffer.len();
    Keyed { authorised, key: buffer, primary, codings }
}

/// The query as the behavior's policies see it: without a signature's parameters where one is needed.
pub(crate) fn own_query<'q>(rule: &Rule, request: &Request<'q>) -> std::borrow::Cow<'q, str> {
    let query = request.query.unwrap_or("");
    if rule.gate.is_some() { strip_reserved(query) } else { query.into() }
}

/// Line feeds separate the parts: they stand in no path, query, name or value.
fn add_policy(rule: &Rule, request: &Request<'_>, key: &mut Vec<u8>) -> Encodings {
    let keying = &rule.keying;
    if !keying.query.is_none() {
        let own = own_query(rule, request);
        let selected = keying.query.query(&own);
        if !selected.is_empty() {
            key.push(b'?');
            key.extend_from_slice(selected.as_bytes());
        }
    }
    if !keying.headers.is_empty() {
        let values = |name: &str| text_values(request, name);
        // Their names come from a policy, and `*` is none.
        let _ = vary_key(keying.headers.iter().map(AsRef::as_ref), values, key);
    }
    if !keying.cookies.is_none() {
        key.extend_from_slice(b"\n;");
        let cookies = keying.cookies.cookies(request.lines.all("cookie"), is_signature_cookie);
        key.extend_from_slice(cookies.as_bytes());
    }
    let codings = accepted(rule, request);
    for (named, mark) in [(codings.brotli, b"\n=br"), (codings.gzip, b"\n=gz"), (codings.zstd, b"\n=zs")] {
        if named {
            key.extend_from_slice(mark);
        }
    }
    codings
}

/// The values of a header, lines that are not text left out.
pub(crate) fn text_values<'q>(request: &Request<'q>, name: &str) -> Vec<&'q str> {
    // HTTP/2 has it elsewhere, and an absolute target overrides it.
    if name == "host" {
        return vec![request.host];
    }
    request.lines.all(name).filter_map(|value| std::str::from_utf8(value).ok()).collect()
}

/// The codings of the behavior that `Accept-Encoding` takes (RFC 9110 §12.5.3).
fn accepted(rule: &Rule, request: &Request<'_>) -> Encodings {
    let wanted = rule.keying.encodings;
    // What is rewritten for each viewer has to be stored as plain text.
    if wanted == Encodings::default() || rule.transform != Transform::None {
        return Encodings::default();
    }
    let mut found = Encodings::default();
    for member in text_values(request, "accept-encoding").into_iter().flat_map(|line| line.split(',')) {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = parts.any(|part| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0));
        if refused {
            continue;
        }
        let any = name == "*";
        found.brotli |= wanted.brotli && (any || name.eq_ignore_ascii_case("br"));
        found.gzip |= wanted.gzip && (any || name.eq_ignore_ascii_case("gzip"));
        found.zstd |= wanted.zstd && (any || name.eq_ignore_ascii_case("zstd"));
    }
    found
}
