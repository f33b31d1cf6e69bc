//! Conditional requests to stored responses.

use crate::parse_date;

/// What a condition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Send the representation.
    Send,
    /// `304`: the asker has it.
    NotModified,
}

/// Evaluates `If-None-Match`, and only without it `If-Modified-Since` (RFC 9110 §13.2.2), for GET and HEAD and a stored status
/// of 200.
///
/// `etag` is the stored one as sent; `last_modified` is in seconds since the Unix epoch, and where there is none
/// [`crate::ResponseMeta::modified_at_latest`] gives what stands in for it. `If-Match` and `If-Unmodified-Since` are the
/// origin's to evaluate: a cache ignores them (RFC 9110 §13.1.1).
#[must_use]
pub fn evaluate_condition(
    if_none_match: Option<&str>,
    if_modified_since: Option<&str>,
    etag: Option<&str>,
    last_modified: Option<i64>,
) -> Condition {
    if let Some(wanted) = if_none_match {
        let matched =
            wanted.trim() == "*" || etag.is_some_and(|etag| entity_tags(wanted).any(|tag| weak_match(tag, etag)));
        return if matched { Condition::NotModified } else { Condition::Send };
    }
    match (if_modified_since.and_then(parse_date), last_modified) {
        (Some(since), Some(modified)) if modified <= since => Condition::NotModified,
        _ => Condition::Send,
    }
}

/// Weak comparison of two entity tags (RFC 9110 §8.8.3.2).
#[must_use]
pub fn weak_match(a: &str, b: &str) -> bool {
    a.strip_prefix("W/").unwrap_or(a) == b.strip_prefix("W/").unwrap_or(b)
}

/// The entity tags of a list; commas may stand within the quotes.
fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find('"')?;
        let begin = if rest[..start].ends_with("W/") { start - 2 } else { start };
        let end = start + 1 + rest[start + 1..].find('"')?;
        let tag = &rest[begin..=end];
        rest = &rest[end + 1..];
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_match_weakly() {
        let stored = Some("\"a,b\"");
        for (wanted, answer) in [
            ("\"a,b\"", Condition::NotModified),
            ("W/\"a,b\"", Condition::NotModified),
            ("\"x\", W/\"a,b\"", Condition::NotModified),
            ("*", Condition::NotModified),
            ("\"a\"", Condition::Send),
            ("a,b", Condition::Send),
            ("\"", Condition::Send),
            ("", Condition::Send),
        ] {
            assert_eq!(evaluate_condition(Some(wanted), None, stored, None), answer, "{wanted}");
        }
    }

    #[test]
    fn dates_count_only_without_entity_tags() {
        let date = "Thu, 01 Jan 1970 00:16:40 GMT";
        assert_eq!(evaluate_condition(None, Some(date), None, Some(1000)), Condition::NotModified);
        assert_eq!(evaluate_condition(None, Some(date), None, Some(1001)), Condition::Send);
        assert_eq!(evaluate_condition(None, Some("yesterday"), None, Some(1)), Condition::Send);
        assert_eq!(evaluate_condition(Some("\"x\""), Some(date), Some("\"y\""), Some(1000)), Condition::Send);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(a in "\\PC{0,40}", b in "[W/\", a]{0,20}", c in "\\PC{0,20}", d: Option<i64>) {
            let _ = evaluate_condition(Some(&a), Some(&c), Some(&b), d);
            let _ = evaluate_condition(Some(&b), None, Some(&a), d);
            let _ = evaluate_condition(None, Some(&c), Some(&b), d);
        }
    }
}
