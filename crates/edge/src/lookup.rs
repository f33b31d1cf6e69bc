//! Bend: what the cache has.

use std::sync::Arc;

use crate::cache::Cache;
use crate::key::Keyed;
use crate::object::Object;

/// What is stored under a key.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Fresh at the given moment.
    Fresh(Arc<Object>),
    /// Not fresh any more.
    Stale(Arc<Object>),
    /// Nothing.
    Absent,
}

/// A request and what the cache has for it.
#[derive(Debug)]
pub(crate) struct Found<'t, 'r, 'k> {
    pub(crate) keyed: Keyed<'t, 'r, 'k>,
    pub(crate) lookup: Lookup,
}

/// Looks the key up.
pub(crate) fn lookup<'t, 'r, 'k>(keyed: Keyed<'t, 'r, 'k>, cache: &Cache, now_ms: i64) -> Found<'t, 'r, 'k> {
    let lookup = match cache.lookup(keyed.key) {
        None => Lookup::Absent,
        Some(object) if object.head.timing.is_fresh(now_ms) => Lookup::Fresh(object),
        Some(object) => Lookup::Stale(object),
    };
    Found { keyed, lookup }
}
