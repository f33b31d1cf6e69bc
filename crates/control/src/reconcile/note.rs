//! What happened to a channel, distribution or breakout, told in one place.

/// Tells that something happened. `subject` is `channel`, `distribution`, `breakout` or `pipeline`; `event` a word of the API.
pub(crate) fn note(subject: &'static str, id: &str, event: &str, words: &str) {
    tracing::info!(subject, subject.id = id, event, detail = words, "{subject} {event}");
}
