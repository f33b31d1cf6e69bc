//! What answers to later requests change about stored responses: `304` and HEAD.

use http::header::{AGE, CONTENT_LENGTH, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::hygiene::Nominated;
use crate::{ResponseMeta, weak_match};

/// Fields that tell about the bytes that are stored, which a `304` does not bring.
const OF_THE_BYTES: [&str; 4] = ["content-encoding", "content-length", "content-range", "transfer-encoding"];

/// Fields of the representation that a `304` leaves out (RFC 9110 §15.4.5): who gets one has them.
const NOT_IN_304: [&str; 5] =
    ["content-encoding", "content-language", "content-length", "content-range", "content-type"];

/// The conditional fields with which a stored response is validated (RFC 9111 §4.3.1): both, if both are there, as the origin
/// sent them.
#[must_use]
pub fn validators(stored: &HeaderMap) -> [Option<(HeaderName, HeaderValue)>; 2] {
    let pair = |to: HeaderName, from: &HeaderName| stored.get(from).map(|value| (to, value.clone()));
    [pair(IF_NONE_MATCH, &ETAG), pair(IF_MODIFIED_SINCE, &LAST_MODIFIED)]
}

/// Whether a `304` that came for a stored response is about that response (RFC 9111 §4.3.4). If not, it must be asked for
/// again without validators: the origin has something else in mind.
#[must_use]
pub fn is_validated_by(stored: &ResponseMeta, update: &ResponseMeta) -> bool {
    match (&update.etag, &stored.etag) {
        (Some(new), Some(old)) => weak_match(new, old),
        (Some(_), None) => false,
        (None, _) => match (update.last_modified, stored.last_modified) {
            (Some(new), Some(old)) => new == old,
            _ => true,
        },
    }
}

/// Brings stored fields up to date with those of a `304` or of the answer to HEAD (RFC 9111 §3.2).
///
/// Every end-to-end field that the update has replaces all stored lines of that name, apart from those that describe the
/// stored bytes. `Age`, `Date` and `Warning` of the former answer go in any case: they would age the new one.
pub fn update_fields(stored: &mut HeaderMap, update: &HeaderMap) {
    for former in [AGE, DATE, WARNING] {
        stored.remove(former);
    }
    let nominated = Nominated::read(update);
    for name in update.keys() {
        if OF_THE_BYTES.contains(&name.as_str()) || !nominated.is_end_to_end(name) {
            continue;
        }
        stored.remove(name);
        for value in update.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// Whether a stored field belongs into a `304` made from the cache.
#[must_use]
pub fn belongs_in_304(name: &HeaderName) -> bool {
    !NOT_IN_304.contains(&name.as_str())
}

/// What the answer to a HEAD means for the stored answer to GET (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEffect {
    /// [Update](update_fields) it and give it a new lifetime.
    Update,
    /// It no longer holds: drop it, or validate it before the next use.
    Outdated,
    /// Nothing.
    None,
}

/// Compares the answer to a HEAD with a stored response that is selected for the same request.
///
/// `stored_length` is that of the stored body.
#[must_use]
pub fn head_effect(
    stored: &ResponseMeta,
    stored_length: u64,
    head: &ResponseMeta,
    head_fields: &HeaderMap,
) -> HeadEffect {
    if matches!(head.status, 404 | 410) {
        return if stored.status == head.status { HeadEffect::None } else { HeadEffect::Outdated };
    }
    if head.status != 200 || stored.status != 200 {
        return HeadEffect::None;
    }
    let length = head_fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let same_tag = head.etag.is_none() || head.etag == stored.etag;
    let same_date = head.last_modified.is_none() || head.last_modified == stored.last_modified;
    if !same_tag || !same_date || length.is_some_and(|length| length != stored_length) {
        return HeadEffect::Outdated;
    }
    if head.cache_control.no_store || head.cache_control.private { HeadEffect::None } else { HeadEffect::Update }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::tests::{meta, meta_of};

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_304_replaces_what_does_not_describe_the_bytes() {
        let mut stored = fields(&[
            ("content-length", "36"),
            ("content-encoding", "br"),
            ("content-type", "a/b"),
            ("date", "x"),
            ("age", "9"),
            ("kept", "1"),
            ("test", "old"),
        ]);
        let update = fields(&[
            ("content-length", "10"),
            ("content-encoding", "gzip"),
            ("content-type", "c/d"),
            ("test", "new"),
            ("connection", "close, hop"),
            ("hop", "1"),
            ("keep-alive", "5"),
            ("date", "y"),
        ]);
        update_fields(&mut stored, &update);
        let expected = fields(&[
            ("content-length", "36"),
            ("content-encoding", "br"),
            ("content-type", "c/d"),
            ("kept", "1"),
            ("test", "new"),
            ("date", "y"),
        ]);
        assert_eq!(stored, expected);
    }

    #[test]
    fn a_304_must_be_about_what_is_stored() {
        let modified = ("last-modified", "Thu, 01 Jan 1970 00:00:01 GMT");
        let other = ("last-modified", "Thu, 01 Jan 1970 00:00:02 GMT");
        for (stored, update, answer) in [
            (&[("etag", "\"a\"")][..], &[("etag", "W/\"a\"")][..], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "\"a\""), modified], &[], true),
            (&[modified], &[modified], true),
            (&[modified], &[other], false),
            (&[modified], &[("etag", "\"b\"")], false),
        ] {
            assert_eq!(is_validated_by(&meta(stored), &meta_of(304, update)), answer, "{stored:?} {update:?}");
        }
    }

    #[test]
    fn validators_are_the_stored_ones() {
        let both = fields(&[("etag", "\"a\""), ("last-modified", "whenever")]);
        let sent: Vec<_> = validators(&both).into_iter().flatten().collect();
        assert_eq!(sent[0], (IF_NONE_MATCH, HeaderValue::from_static("\"a\"")));
        assert_eq!(sent[1], (IF_MODIFIED_SINCE, HeaderValue::from_static("whenever")));
        assert!(validators(&HeaderMap::new()).iter().all(Option::is_none));
        assert!(belongs_in_304(&ETAG) && !belongs_in_304(&http::header::CONTENT_TYPE));
    }

    #[test]
    fn a_head_updates_or_outdates() {
        let stored = meta(&[("etag", "\"a\"")]);
        let effect = |status, lines: &[(&'static str, &'static str)]| {
            head_effect(&stored, 5, &meta_of(status, lines), &fields(lines))
        };
        assert_eq!(effect(200, &[]), HeadEffect::Update);
        assert_eq!(effect(200, &[("etag", "\"a\""), ("content-length", "5")]), HeadEffect::Update);
        assert_eq!(effect(200, &[("etag", "\"b\"")]), HeadEffect::Outdated);
        assert_eq!(effect(200, &[("content-length", "6")]), HeadEffect::Outdated);
        assert_eq!(effect(200, &[("cache-control", "no-store")]), HeadEffect::None);
        assert_eq!(effect(410, &[]), HeadEffect::Outdated);
        assert_eq!(effect(503, &[]), HeadEffect::None);
    }
}
