//! Bend: what is closed answers nothing, whatever the cache has (C40-C46, X6). Judged right after routing: so a closing takes effect with
//! the next request, and what is opened again is served from the cache at once. Watchers and operators look behind it by signatures with the
//! claim `preview`, and other edges judge their viewers themselves.

use std::sync::Arc;

use anabranch_model::{ClosedSpec, DistributionId};

use crate::authorise::Authorised;
use crate::deliver::{Own, Refused};
use crate::head::Head;
use crate::headers::ResponseHeaders;
use crate::pattern::Pattern;
use crate::request::{Method, Request};
use crate::route::Routed;
use crate::table::Table;
use crate::worker::Worker;

/// Header by which players and operators learn which region is closed.
pub(crate) const CLOSED_HEADER: &str = "x-anabranch-closed";

/// What of a distribution is closed; mostly nothing, which is known by a length.
#[derive(Debug, Default)]
pub(crate) struct Closed(Box<[Closing]>);

/// Some paths, closed for a region.
#[derive(Debug)]
struct Closing {
    paths: Box<[Pattern]>,
    region: Arc<str>,
}

impl Closed {
    /// What a snapshot says of a distribution.
    pub(crate) fn compile(all: &[ClosedSpec], distribution: &DistributionId) -> Self {
        let closing = |spec: &ClosedSpec| Closing {
            paths: if spec.paths.is_empty() {
                [Pattern::Any].into()
            } else {
                spec.paths.iter().map(|path| Pattern::compile(path)).collect()
            },
            // It becomes a header.
            region: spec.region.chars().filter(char::is_ascii_graphic).collect::<String>().into(),
        };
        Self(all.iter().filter(|spec| spec.distribution == *distribution).map(closing).collect())
    }

    /// Whether a request for `path` may be answered. Scripts may go on asking what they may ask.
    ///
    /// # Errors
    /// It is closed.
    pub(crate) fn admits(&self, method: Method, path: &str) -> Result<(), Own> {
        if self.0.is_empty() || method == Method::Options {
            return Ok(());
        }
        match self.0.iter().find(|closing| closing.paths.iter().any(|pattern| pattern.matches(path))) {
            Some(closing) => Err(Own::Closed(closing.region.clone())),
            None => Ok(()),
        }
    }
}

/// Lets pass what is open, and of what is closed who may look behind it; others are told that it is closed, whatever their signature says.
///
/// # Errors
/// It is closed, or `authorise` refuses.
pub(crate) fn admit<'t, 'r>(
    routed: Routed<'t, 'r>,
    authorise: impl FnOnce(Routed<'t, 'r>) -> Result<Authorised<'t, 'r>, Refused<'t>>,
) -> Result<Authorised<'t, 'r>, Refused<'t>> {
    let Err(own) = routed.site.closed.admits(routed.request.method, routed.path) else { return authorise(routed) };
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
        Some(site) if is_reading(method) => site.closed.admits(method, asked.path),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(paths: &[&str]) -> Closed {
        let spec = |distribution: &str, region: &str| ClosedSpec {
            distribution: distribution.parse().unwrap(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            cluster: "news".to_owned(),
            region: region.to_owned(),
        };
        Closed::compile(&[spec("E2", "nyc"), spec("E1", "fr\r\na")], &"E1".parse().unwrap())
    }

    #[test]
    fn closings_are_of_a_distribution_and_its_paths() {
        let refused = || Err(Own::Closed("fra".into()));
        let all = closed(&[]);
        assert_eq!(all.admits(Method::Get, "/any"), refused());
        assert_eq!(all.admits(Method::Post, "/any"), refused());
        assert_eq!(all.admits(Method::Options, "/any"), Ok(()));
        let some = closed(&["/b1/*", "*.m3u8"]);
        assert_eq!(some.admits(Method::Head, "/b1/a.m4s"), refused());
        assert_eq!(some.admits(Method::Get, "/b2/index.m3u8"), refused());
        assert_eq!(some.admits(Method::Get, "/b2/a.m4s"), Ok(()));
        assert_eq!(Closed::default().admits(Method::Get, "/b1/a.m4s"), Ok(()));
    }
}
