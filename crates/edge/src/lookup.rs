//! Bend: what the cache has.

use std::sync::Arc;

use crate::cache::Cache;
use crate::forward::variant_values;
use crate::key::{Keyed, own_query};
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

/// Looks the key up: in memory, and on disk where memory has nothing. Where answers vary by request headers the key becomes that
/// of the variant. What an invalidation has forgotten is not found.
pub(crate) async fn lookup<'t, 'r, 'k>(keyed: Keyed<'t, 'r, 'k>, cache: &Cache, now_ms: i64) -> Found<'t, 'r, 'k> {
    let routed = &keyed.authorised.routed;
    if !routed.rule.caches(routed.request.method) {
        return Found { keyed, lookup: Lookup::Absent };
    }
    let mut object = find(&keyed, cache).await;
    if let Some(varying) = object.as_ref().and_then(|object| object.head.varying.as_ref()) {
        varying.write_key(&variant_values(routed.rule, routed.request, &varying.names), keyed.key);
        object = find(&keyed, cache).await;
    }
    let lookup = match object {
        None => Lookup::Absent,
        Some(object) if object.head.timing.is_fresh(now_ms) => Lookup::Fresh(object),
        Some(object) => Lookup::Stale(object),
    };
    Found { keyed, lookup }
}

async fn find(keyed: &Keyed<'_, '_, '_>, cache: &Cache) -> Option<Arc<Object>> {
    let object = match cache.lookup(keyed.key) {
        Some(object) => object,
        None if cache.on_disk(keyed.key) => cache.load(keyed.key).await?,
        None => return None,
    };
    let routed = &keyed.authorised.routed;
    let orders = &routed.site.orders;
    if object.checked_sequence() < orders.last() {
        let own = own_query(routed.rule, routed.request);
        let query = (!own.is_empty()).then_some(&*own);
        if orders.forget(object.checked_sequence(), routed.path, query, &object.head.tags) {
            cache.purge(keyed.key);
            return None;
        }
        object.check_sequence(orders.last());
    }
    Some(object)
}
