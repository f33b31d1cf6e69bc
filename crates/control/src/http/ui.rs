//! The web UI, embedded.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::app::App;

/// Scripts and styles from here only. Media and pictures of it come from the edge, whose address the page learns at run time; media
/// plays from blobs; hls.js works in a worker made of one.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' http: https: data: blob:; font-src 'self'; connect-src 'self' http: https: blob:; media-src 'self' http: https: blob:; \
     worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'";

/// No other site puts a page into a frame of its own.
const FRAMED_BY_ITSELF: &str = "frame-ancestors 'self'";

/// Names of assets carry a hash of what is in them.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[cfg(anabranch_ui)]
#[derive(rust_embed::RustEmbed)]
#[folder = "../../web/dist"]
struct Dist;

#[cfg(anabranch_ui)]
fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

/// Stands in for a UI that has not been built.
#[cfg(not(anabranch_ui))]
fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    (path == "index.html").then_some(Cow::Borrowed(include_bytes!("stub.html").as_slice()))
}

/// The page, which finds its own way by the address.
pub(super) fn page() -> Ready<Response> {
    ready(answer("index.html", "no-cache", FRAMED_BY_ITSELF))
}

/// The same in the frame of another site, as far as the configuration lets it.
pub(super) fn embed(State(app): State<Arc<App>>) -> Ready<Response> {
    ready(answer("index.html", "no-cache", &framed_by(&app.config.embed_frame_ancestors)))
}

/// The directive for these sources; none where anybody may, since `*` would leave out what has no network scheme, such as apps.
fn framed_by(sources: &[String]) -> String {
    match sources {
        [] => "frame-ancestors 'none'".to_owned(),
        _ if sources.iter().any(|source| source == "*") => String::new(),
        _ => format!("frame-ancestors {}", sources.join(" ")),
    }
}

/// A file that the page needs.
pub(super) fn asset(Path(path): Path<String>) -> Ready<Response> {
    ready(answer(&format!("assets/{path}"), IMMUTABLE, FRAMED_BY_ITSELF))
}

fn answer(path: &str, cache_control: &'static str, framed_by: &str) -> Response {
    // A development build reads the folder itself, which would resolve dots.
    let plain = path.split(['/', '\\']).all(|part| !matches!(part, "" | "." | ".."));
    let Some(bytes) = plain.then(|| file(path)).flatten() else {
        let detail = "no such file of the web UI";
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail).into_response();
    };
    let policy = [CONTENT_SECURITY_POLICY, framed_by].join(if framed_by.is_empty() { "" } else { "; " });
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cache_control),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of a watch page holds a signature.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let body = match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    (headers, body).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::framed_by;

    #[test]
    fn anybody_frames_unless_somebody_is_named() {
        for (sources, directive) in [
            (&["*"][..], ""),
            (&["https://a.example", "*"], ""),
            (&["'self'", "https://*.example.com"], "frame-ancestors 'self' https://*.example.com"),
            (&[], "frame-ancestors 'none'"),
        ] {
            let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
            assert_eq!(framed_by(&sources), directive);
        }
    }
}
