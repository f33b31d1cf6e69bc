//! One request, one answer.

use std::sync::Arc;

use anabranch_hls::render;
use anabranch_hls::timeline::{Progress, Timeline};
use anabranch_store::{Object, StoreError, key};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, RANGE, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use crate::bucket;
use crate::hold::{Directives, Refusal};
use crate::path::{self, Asked, What};
use crate::response::{Body, IMMUTABLE, NEGATIVE, whole};
use crate::{Shared, TOKEN_HEADER};

/// What is answered.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// How long caches that keep answers to OPTIONS keep them: they are the same for every path.
const METHODS_LIFETIME: &str = "max-age=60";

/// Target durations for which a playlist that was asked for by a segment in it is kept: whoever asks for that segment is answered
/// by this playlist as well as by a newer one, and asks for the next.
const HELD_LIFETIME_TARGETS: u64 = 6;

pub(crate) async fn answer<B>(shared: &Shared, request: &Request<B>) -> Response<Body> {
    let token = request.headers().get(TOKEN_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    if !same(token, shared.token.as_bytes()) {
        return text(StatusCode::FORBIDDEN, "only the edges of this house are answered here\n");
    }
    if request.method() == Method::OPTIONS {
        return methods();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD and OPTIONS only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
        return response;
    }
    let path = request.uri().path();
    let mut response = match (path.strip_prefix("/bucket/"), path::parse(path)) {
        (Some(name), _) => bucket::answer(&shared.buckets, name, request.method(), request.headers()).await,
        (None, Some(asked)) => live(shared, &asked, request).await,
        (None, None) => return text(StatusCode::NOT_FOUND, "no such path\n"),
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::Whole(None);
    }
    metrics::counter!("anabranch_origin_requests_total", "status_class" => class(response.status())).increment(1);
    response
}

async fn live<B>(shared: &Shared, asked: &Asked, request: &Request<B>) -> Response<Body> {
    match &asked.what {
        What::Object(name) => object(shared, asked, name).await,
        What::Multivariant => {
            let Some(published) = published(shared, asked) else { return no_breakout() };
            let timeline = published.borrow().clone();
            let body = timeline.is_playable().then(|| render::multivariant(&timeline));
            playlist(body, lifetime_seconds(&timeline, shared.clock.now_ms()))
        }
        What::Media(rendition) => media(shared, asked, rendition, request).await,
    }
}

/// A media playlist, when the segment is in it that the request names (rfc8216bis §6.2.5.2).
async fn media<B>(shared: &Shared, asked: &Asked, rendition: &str, request: &Request<B>) -> Response<Body> {
    let wanted = match Directives::parse(request.uri().query().unwrap_or("")) {
        Ok(directives) => directives.msn,
        Err(error) => return words(StatusCode::BAD_REQUEST, Bytes::from(format!("{error}\n"))),
    };
    let Some(mut published) = published(shared, asked) else { return no_breakout() };
    // Caches put only whole answers to GET together; others would be held one by one.
    let may_hold = request.method() == Method::GET && !request.headers().contains_key(RANGE);
    let timeline = match wanted.filter(|_| may_hold) {
        None => published.borrow().clone(),
        Some(msn) => match shared.holds.wait(&mut published, rendition, msn).await {
            Ok(timeline) => timeline,
            Err(refusal) => return refused(refusal),
        },
    };
    let body = if timeline.is_playable() { render::media(&timeline, rendition, u32::MAX) } else { None };
    let lifetime = match timeline.progress {
        Progress::Live if wanted.is_some() && may_hold => {
            HELD_LIFETIME_TARGETS * u64::from(timeline.target_duration_seconds)
        }
        Progress::Live | Progress::Ended => lifetime_seconds(&timeline, shared.clock.now_ms()),
    };
    playlist(body, lifetime)
}

fn published(shared: &Shared, asked: &Asked) -> Option<watch::Receiver<Arc<Timeline>>> {
    let timelines = shared.timelines.borrow();
    timelines.get(&(asked.channel.clone(), asked.breakout.clone())).cloned()
}

fn no_breakout() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "no such breakout\n")
}

fn refused(refusal: Refusal) -> Response<Body> {
    let words = match refusal {
        Refusal::TooFar => return text(StatusCode::BAD_REQUEST, "that segment is too far ahead\n"),
        Refusal::TooLate => "the segment has not come in time\n",
        Refusal::Crowded => "too many requests wait for segments\n",
        Refusal::Closing => "nothing more is published here for now\n",
    };
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn playlist(body: Option<String>, lifetime: u64) -> Response<Body> {
    let Some(body) = body else {
        return text(StatusCode::NOT_FOUND, "there is not enough to play yet\n");
    };
    let mut response = whole(StatusCode::OK, Bytes::from(body), "application/vnd.apple.mpegurl");
    if let Ok(value) = HeaderValue::from_str(&format!("max-age={lifetime}")) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

/// Until the next segment is due, at least a second and at most half a segment: a copy at the edge is old for a second at most.
fn lifetime_seconds(timeline: &Timeline, now_ms: i64) -> u64 {
    let half = u64::from(timeline.target_duration_seconds / 2).max(1);
    if timeline.progress == Progress::Ended {
        return half;
    }
    let newest = timeline.renditions.iter().filter_map(|rendition| rendition.segments.back());
    let due_ms = newest.map(|s| s.program_date_time_ms + (2000.0 * s.duration_seconds) as i64).min().unwrap_or(now_ms);
    u64::try_from((due_ms - now_ms) / 1000).unwrap_or(0).clamp(1, half)
}

async fn object(shared: &Shared, asked: &Asked, name: &str) -> Response<Body> {
    // Viewers' paths know no sessions: they show the newest.
    let Some(session) = published(shared, asked).map(|published| published.borrow().session) else {
        return no_breakout();
    };
    let key = key::recording_object(asked.breakout.as_str(), session, name);
    let Object { file, len, .. } = match shared.store.get(&key).await {
        Ok(object) => object,
        Err(StoreError::NotFound { .. } | StoreError::InvalidKey { .. }) => {
            return text(StatusCode::NOT_FOUND, "no such object\n");
        }
        Err(error) => {
            tracing::error!(object.key = %key, error = %error, "an object cannot be read");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the object cannot be read\n");
        }
    };
    let kind = if name.starts_with("audio") { "audio/mp4" } else { "video/mp4" };
    let mut response = Response::new(Body::File { file: Box::new(file), left: len });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    // The name is the version: it is used for one body only.
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{name}\"")) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The answer to OPTIONS (RFC 9110 §9.3.7).
fn methods() -> Response<Body> {
    let mut response = Response::new(Body::Whole(None));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(METHODS_LIFETIME));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    words(status, Bytes::from_static(text.as_bytes()))
}

fn words(status: StatusCode, words: Bytes) -> Response<Body> {
    let mut response = whole(status, words, "text/plain; charset=utf-8");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NEGATIVE));
    response
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
