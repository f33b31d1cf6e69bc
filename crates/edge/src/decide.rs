//! Bend: serve what is there, or ask the origin.

use std::sync::Arc;

use crate::key::Keyed;
use crate::lookup::{Found, Lookup};
use crate::object::Object;
use crate::request::Method;

/// A range that begins further into an object than this is asked of the origin by itself: fetching everything before it would keep
/// the viewer waiting.
const FAR_RANGE_BYTES: u64 = 4 << 20;

/// What is done about a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Answer from the cache.
    Serve(Arc<Object>),
    /// Answer stale from the cache and ask the origin beside it (RFC 5861 §3).
    ServeAndRefresh(Arc<Object>),
    /// Answer stale from the cache: the origin has failed a moment ago.
    ServeStale(Arc<Object>),
    /// Ask the origin; what is stored may be confirmed by it.
    Fetch(Option<Arc<Object>>),
    /// Ask the origin for this request alone; only the range or everything of it goes along.
    Pass(Pass),
}

/// Why a request goes past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Its behavior or method is never cached.
    Uncached,
    /// Its range is far into an object that is not stored.
    Range,
    /// It asks for the head of an object that is not stored.
    Head,
}

/// A request and what is done about it.
#[derive(Debug)]
pub(crate) struct Decided<'t, 'r, 'k> {
    pub(crate) keyed: Keyed<'t, 'r, 'k>,
    pub(crate) decision: Decision,
}

/// Decides.
pub(crate) fn decide<'t, 'r, 'k>(found: Found<'t, 'r, 'k>, now_ms: i64) -> Decided<'t, 'r, 'k> {
    let request = found.keyed.authorised.routed.request;
    let rule = found.keyed.authorised.routed.rule;
    let decision = match found.lookup {
        _ if !rule.caches(request.method) => Decision::Pass(Pass::Uncached),
        Lookup::Fresh(object) => Decision::Serve(object),
        Lookup::Absent if request.method == Method::Head => Decision::Pass(Pass::Head),
        Lookup::Absent if request.fields.range.is_some_and(is_far) => Decision::Pass(Pass::Range),
        Lookup::Absent => Decision::Fetch(None),
        Lookup::Stale(object) if now_ms < object.grace_until_ms => Decision::ServeStale(object),
        Lookup::Stale(object) if now_ms < object.head.timing.stale_while_revalidate_until_ms => {
            Decision::ServeAndRefresh(object)
        }
        Lookup::Stale(object) => Decision::Fetch(Some(object)),
    };
    Decided { keyed: found.keyed, decision }
}

/// Whether a single range begins far into the object, or is counted from its end.
fn is_far(range: &str) -> bool {
    let Some((_, set)) = range.split_once('=') else { return false };
    if set.contains(',') {
        return false;
    }
    match set.trim().split_once('-') {
        Some(("", _)) => true,
        Some((first, _)) => first.parse::<u64>().is_ok_and(|first| first > FAR_RANGE_BYTES),
        None => false,
    }
}
