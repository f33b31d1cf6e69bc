//! The web UI, embedded.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, no_route};
use crate::app::App;

/// Scripts and styles from here only. Media and pictures of it come from the edge, whose address the page learns at run time; media
/// plays from blobs; hls.js works in a worker made of one. Who may frame a page is said by [`Frames`].
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' http: https: data: blob:; font-src 'self'; connect-src 'self' http: https: blob:; media-src 'self' http: https: blob:; \
     worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'";

/// What no page of ours needs.
const PERMISSIONS_POLICY: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
                                  microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=(), \
                                  autoplay=(self), fullscreen=(self), picture-in-picture=(self)";

/// First parts of paths that are no pages: what is not there is a problem, whoever asks.
const NO_PAGES: &[&str] =
    &["v1", "api", "public", "cluster", "edge", "livez", "readyz", "openapi.json", "metrics", "videoList", "videoLink"];

/// Who may show a page in a frame.
#[derive(Clone, Copy, Debug)]
enum Frames<'a> {
    /// Nobody: whoever could would have operators click on what they do not see.
    Nobody,
    /// Pages of this server.
    Own,
    /// These sources, or anybody by `*`.
    These(&'a [String]),
}

impl Frames<'_> {
    /// The directive that the policy ends with; none where anybody may, since `*` would leave out what has no network scheme, such as apps.
    fn directive(self) -> String {
        match self {
            Self::Nobody | Self::These([]) => "; frame-ancestors 'none'".to_owned(),
            Self::Own => "; frame-ancestors 'self'".to_owned(),
            Self::These(sources) if sources.iter().any(|source| source == "*") => String::new(),
            Self::These(sources) => format!("; frame-ancestors {}", sources.join(" ")),
        }
    }

    /// The same for browsers that do not know the policy, as far as it can be said to them.
    fn options(self) -> Option<HeaderValue> {
        match self {
            Self::Nobody | Self::These([]) => Some(HeaderValue::from_static("DENY")),
            Self::Own => Some(HeaderValue::from_static("SAMEORIGIN")),
            Self::These(_) => None,
        }
    }
}

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

/// A page of operators, which finds its own way by the address.
pub(super) fn desk() -> Ready<Response> {
    ready(answer("index.html", "no-cache", Frames::Nobody))
}

/// A page of viewers, which finds its own way by the address.
pub(super) fn watch() -> Ready<Response> {
    ready(answer("index.html", "no-cache", Frames::Own))
}

/// The same in the frame of another site, as far as the configuration lets it.
pub(super) fn embed(State(app): State<Arc<App>>) -> Ready<Response> {
    ready(answer("index.html", "no-cache", Frames::These(&app.config.embed_frame_ancestors)))
}

/// Any other address: a page of operators for a browser that walks there, a problem for everybody else.
#[expect(clippy::needless_pass_by_value, reason = "the router hands arguments over by value")]
pub(super) fn elsewhere(method: Method, uri: Uri, headers: HeaderMap) -> Ready<Response> {
    let walks = method == Method::GET || method == Method::HEAD;
    let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    if walks && wants_page(&headers) && !NO_PAGES.contains(&first) {
        return desk();
    }
    ready(no_route(&uri).into_response())
}

fn wants_page(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    })
}

/// A file that the page needs. Names of those have a dot; what has none is an asset of the library, whose page it is.
pub(super) fn asset(Path(path): Path<String>) -> Ready<Response> {
    if !path.contains('.') {
        return desk();
    }
    ready(answer(&format!("assets/{path}"), IMMUTABLE, Frames::Nobody))
}

fn answer(path: &str, cache_control: &'static str, frames: Frames<'_>) -> Response {
    // A development build reads the folder itself, which would resolve dots.
    let plain = path.split(['/', '\\']).all(|part| !matches!(part, "" | "." | ".."));
    let Some(bytes) = plain.then(|| file(path)).flatten() else {
        let detail = "no such file of the web UI";
        return Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail).into_response();
    };
    let policy = format!("{CONTENT_SECURITY_POLICY}{}", frames.directive());
    let headers: [(HeaderName, &str); 7] = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CACHE_CONTROL, cache_control),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of a watch page holds a signature.
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let body = match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = (headers, body).into_response();
    if let Some(options) = frames.options() {
        response.headers_mut().insert(header::X_FRAME_OPTIONS, options);
    }
    response
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
    use super::Frames;

    #[test]
    fn anybody_frames_unless_somebody_is_named() {
        for (sources, directive) in [
            (&["*"][..], ""),
            (&["https://a.example", "*"], ""),
            (&["'self'", "https://*.example.com"], "; frame-ancestors 'self' https://*.example.com"),
            (&[], "; frame-ancestors 'none'"),
        ] {
            let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
            assert_eq!(Frames::These(&sources).directive(), directive);
        }
    }
}
