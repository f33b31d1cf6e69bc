//! Bend: host to distribution, path to behavior.

use std::borrow::Cow;
use std::sync::Arc;

use anabranch_model::ViewerProtocol;

use crate::refused::{Own, Refused};
use crate::request::{Method, Request, Scheme, host_without_port};
use crate::rule::Rule;
use crate::table::{Site, Table};

/// Prefix of the address form `/d/<DISTRIBUTION ID>/…`, for players that resolve no host names of ours.
const ADDRESS_FORM: &str = "/d/";

/// A request with its distribution and behavior.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed<'t, 'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) site: &'t Site,
    pub(crate) rule: &'t Arc<Rule>,
    /// Path for key and origin: without the prefix of the address form, and the root object in place of `/`.
    pub(crate) path: &'r str,
}

/// Finds who serves the request. An edge that asks for its viewers has looked after their protocol.
///
/// # Errors
/// Nobody does, it is disabled, or scheme or method are not served; preflights are answered here, before any signature is asked for.
pub(crate) fn route<'t: 'r, 'r>(
    table: &'t Table,
    request: &'r Request<'r>,
    for_edge: bool,
) -> Result<Routed<'t, 'r>, Refused<'t>> {
    let (site, path) = find(table, request).ok_or(Refused { own: Own::Misdirected, site: None, rule: None })?;
    if path.is_empty() {
        return Err(Refused { own: Own::ToRoot, site: Some(site), rule: Some(site.rule("/")) });
    }
    let path = site.root_or(path);
    let rule = site.rule(path);
    let refused = |own| Err(Refused { own, site: Some(site), rule: Some(rule) });
    if !site.enabled {
        return refused(Own::Disabled);
    }
    if request.scheme == Scheme::Http && rule.viewer_protocol != ViewerProtocol::AllowAll && !for_edge {
        let redirect = rule.viewer_protocol == ViewerProtocol::RedirectToHttps;
        return refused(if redirect { Own::ToHttps } else { Own::HttpsOnly });
    }
    let preflight = request.method == Method::Options && request.fields.requested_method.is_some();
    if preflight && rule.headers.cors.is_some() {
        return refused(Own::Preflight);
    }
    if !rule.serves(request.method) {
        return refused(Own::MethodNotAllowed);
    }
    Ok(Routed { request, site, rule, path })
}

/// The distribution and the path in it, which is empty for the address form of its root without the last slash.
fn find<'t, 'r>(table: &'t Table, request: &'r Request<'r>) -> Option<(&'t Site, &'r str)> {
    let name = host_without_port(request.host).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    if let Some(site) = table.by_host(&name) {
        return Some((site, request.path));
    }
    if let Some(rest) = request.path.strip_prefix(ADDRESS_FORM) {
        let (id, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if let Some(site) = table.by_id(id) {
            return Some((site, path));
        }
    }
    table.fallback().map(|site| (site, request.path))
}
