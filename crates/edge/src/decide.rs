//! Bend: serve what is there, or ask the origin.

use std::sync::Arc;

use crate::key::Keyed;
use crate::lookup::{Found, Lookup};
use crate::object::Object;

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
}

/// A request and what is done about it.
#[derive(Debug)]
pub(crate) struct Decided<'t, 'r, 'k> {
    pub(crate) keyed: Keyed<'t, 'r, 'k>,
    pub(crate) decision: Decision,
}

/// Decides.
pub(crate) fn decide<'t, 'r, 'k>(found: Found<'t, 'r, 'k>, now_ms: i64) -> Decided<'t, 'r, 'k> {
    let decision = match found.lookup {
        Lookup::Fresh(object) => Decision::Serve(object),
        Lookup::Absent => Decision::Fetch(None),
        Lookup::Stale(object) if now_ms < object.grace_until_ms => Decision::ServeStale(object),
        Lookup::Stale(object) if now_ms < object.head.timing.stale_while_revalidate_until_ms => {
            Decision::ServeAndRefresh(object)
        }
        Lookup::Stale(object) => Decision::Fetch(Some(object)),
    };
    Decided { keyed: found.keyed, decision }
}
