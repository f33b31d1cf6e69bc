//! Bend: what is closed answers nothing, whatever the cache has (C40-C46, X6). Judged right after routing: so a closing takes effect with
//! the next request, and what is opened again is served from the cache at once. Watchers and operators look behind it by signatures with the
//! claim `preview`, and other edges judge their viewers themselves.

use crate::authorise::Authorised;
use crate::head::Head;
use crate::headers::ResponseHeaders;
use crate::refused::{Own, Refused};
use crate::request::{Method, Request};
use crate::route::Routed;
use crate::table::{Site, Table};
use crate::worker::Worker;

/// Header by which players and operators learn which region is closed.
pub(crate) const CLOSED_HEADER: &str = "x-anabranch-closed";

/// Lets pass what is open, and of what is closed who may look behind it; others are told that it is closed, whatever their signature says.
///
/// # Errors
/// It is closed, or `authorise` refuses.
pub(crate) fn admit<'t, 'r>(
    routed: Routed<'t, 'r>,
    authorise: impl FnOnce(Routed<'t, 'r>) -> Result<Authorised<'t, 'r>, Refused<'t>>,
) -> Result<Authorised<'t, 'r>, Refused<'t>> {
    let Err(own) = open(routed.site, routed.request.method, routed.path) else { return authorise(routed) };
    let (site, rule) = (routed.site, routed.rule);
    match authorise(routed) {
        Ok(authorised) if authorised.previews() => Ok(authorised),
        Ok(_) | Err(_) => Err(Refused { own, site: Some(site), rule: Some(rule) }),
    }
}

/// Whether a request that has been under way may still be answered by what `table` says. One that may have changed something gets its
/// answer.
///
/// # Errors
/// It is closed now.
pub(crate) fn still_open(table: &Table, asked: &Routed<'_, '_>) -> Result<(), Own> {
    let method = asked.request.method;
    match table.by_id(asked.site.id.as_str()) {
        Some(site) if is_reading(method) => open(site, method, asked.path),
        _ => Ok(()),
    }
}

/// Ends when what is asked for is closed, for requests that wait for an origin. One that finds all it needs never gets here.
pub(crate) async fn closes(worker: &Worker, asked: &Routed<'_, '_>, previews: bool) -> Own {
    if previews || !is_reading(asked.request.method) {
        return std::future::pending().await;
    }
    loop {
        // Made before the look at the table: what is closed after that look wakes it.
        let changed = worker.closings().notified();
        if let Err(own) = still_open(&worker.table().load(), asked) {
            return own;
        }
        changed.await;
    }
}

/// Whether a request for `path` may be answered.
fn open(site: &Site, method: Method, path: &str) -> Result<(), Own> {
    site.closed.region(method, path).map_or(Ok(()), |region| Err(Own::Closed(region.clone())))
}

fn is_reading(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

/// The header lines of a refusal besides the edge's own: browsers must see a `404` and not an error of the network (C46), and nobody may
/// keep it, so that no other line of the behavior's policy is added.
pub(crate) fn write(region: &str, headers: Option<&ResponseHeaders>, request: &Request<'_>, head: &mut Head) {
    head.field(CLOSED_HEADER, region);
    match headers.and_then(|headers| headers.cors.as_ref()) {
        Some(cors) => cors.write(request.fields.origin, head),
        None => head.lines(b"access-control-allow-origin: *\r\n"),
    }
    // Pages of other origins see no header that is not named; a second line of this name adds to the first.
    head.field("access-control-expose-headers", CLOSED_HEADER);
}
