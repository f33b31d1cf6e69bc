//! Bend: the cache key.

use crate::authorise::Authorised;

/// A request with its primary key in the caller's buffer.
#[derive(Debug)]
pub(crate) struct Keyed<'t, 'r, 'k> {
    pub(crate) authorised: Authorised<'t, 'r>,
    pub(crate) key: &'k [u8],
}

/// Writes the key of the request: distribution and path. Queries are neither keyed nor forwarded, so that the signatures of
/// different viewers share one object.
pub(crate) fn key<'t, 'r, 'k>(authorised: Authorised<'t, 'r>, buffer: &'k mut Vec<u8>) -> Keyed<'t, 'r, 'k> {
    buffer.clear();
    buffer.extend_from_slice(authorised.routed.site.id.as_str().as_bytes());
    // Identifiers have no slash and paths begin with one, so keys of different distributions never meet.
    buffer.extend_from_slice(authorised.routed.path.as_bytes());
    Keyed { authorised, key: buffer }
}
