//! Bend: the cache key.

use std::borrow::Cow;

use anabranch_http_cache::vary_key;
use anabranch_model::{Encodings, Transform};
use anabranch_signing::strip_reserved;

use crate::authorise::Authorised;
use crate::cmcd;
use crate::request::{Method, Request};
use crate::rule::Rule;
use crate::select::is_signature_cookie;
use crate::table::Site;

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

/// The query as the behavior's policies see it: without a signature's parameters where one is needed, and without copies of them and
/// what players tell of themselves (CTA-5004), unless a policy names those.
pub(crate) fn own_query<'q>(rule: &Rule, request: &Request<'q>) -> Cow<'q, str> {
    own(rule, request.query.unwrap_or(""))
}

fn own<'q>(rule: &Rule, query: &'q str) -> Cow<'q, str> {
    let own = if rule.gate.is_some() { strip_reserved(query) } else { query.into() };
    let own = if rule.names_cmcd { own } else { cmcd::strip(own) };
    match &rule.copies {
        Some(copies) => copies.strip(own),
        None => own,
    }
}

/// What stands for a resource of `site` in the keys of its objects, given its path and query.
pub(crate) fn resource_key(site: &Site, path_and_query: &str) -> Vec<u8> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = site.root_or(path);
    let rule = site.rule(path);
    let own = own(rule, query);
    let selected = rule.keying.query.query(&own);
    let mut key = [site.id.as_str().as_bytes(), path.as_bytes()].concat();
    if !selected.is_empty() {
        key.push(b'?');
        key.extend_from_slice(selected.as_bytes());
    }
    key
}

/// The part of the query that is in the key.
pub(crate) fn keyed_query(rule: &Rule, request: &Request<'_>) -> String {
    rule.keying.query.query(&own_query(rule, request)).into_owned()
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
    let codings = stored(rule, request);
    for (named, mark) in [(codings.brotli, b"\n=br"), (codings.gzip, b"\n=gz"), (codings.zstd, b"\n=zs")] {
        if named {
            key.extend_from_slice(mark);
        }
    }
    codings
}

/// The values of a header, lines that are not text left out.
pub(crate) fn text_values<'q>(request: &Request<'q>, name: &str) -> Vec<&'q str> {
    // HTTP/2 and absolute targets give it elsewhere.
    if name == "host" {
        return vec![request.host];
    }
    request.lines.all(name).filter_map(|value| std::str::from_utf8(value).ok()).collect()
}

/// The codings that the object is stored under.
fn stored(rule: &Rule, request: &Request<'_>) -> Encodings {
    // What is rewritten for each viewer has to be stored as plain text.
    if rule.transform == Transform::None { accepted(rule, request) } else { Encodings::default() }
}

/// The codings of the behavior that `Accept-Encoding` takes (RFC 9110 §12.5.3).
pub(crate) fn accepted(rule: &Rule, request: &Request<'_>) -> Encodings {
    let wanted = rule.keying.encodings;
    if wanted == Encodings::default() {
        return Encodings::default();
    }
    let (mut named, mut refused) = (Encodings::default(), Encodings::default());
    let mut others = false;
    for member in text_values(request, "accept-encoding").into_iter().flat_map(|line| line.split(',')) {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let zero = parts.any(|part| {
            part.trim_start_matches(['q', 'Q']).strip_prefix('=').and_then(|q| q.parse::<f32>().ok()) == Some(0.0)
        });
        others |= name == "*" && !zero;
        let list = if zero { &mut refused } else { &mut named };
        list.brotli |= name.eq_ignore_ascii_case("br");
        list.gzip |= name.eq_ignore_ascii_case("gzip");
        list.zstd |= name.eq_ignore_ascii_case("zstd");
    }
    // A star stands for what is not listed.
    let takes = |wanted: bool, named: bool, refused: bool| wanted && (named || (others && !refused));
    Encodings {
        gzip: takes(wanted.gzip, named.gzip, refused.gzip),
        brotli: takes(wanted.brotli, named.brotli, refused.brotli),
        zstd: takes(wanted.zstd, named.zstd, refused.zstd),
    }
}
