//! `/v1/uploads`: resumable uploads by tus 1.0 (<https://tus.io/protocols/resumable-upload>).

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::options;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Wanted;
use super::problem::Problem;
use super::tus::{self, Checksum, Resumable};
use crate::app::demand::{Receiving, SIZE_MAX, Upload, UploadCreate, UploadError};
use crate::app::{App, Error};
use anabranch_store::buckets::Inspector;

/// Longest silence of a sender whose bytes are not all there yet.
const SILENCE: Duration = Duration::from_secs(30);

/// Operations that need a token.
pub(super) fn guarded() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(upload_create)).routes(routes!(
        upload_show,
        upload_append,
        upload_delete,
        upload_override
    ))
}

/// What is told without one.
pub(super) fn open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(upload_options)).route("/v1/uploads/{id}", options(upload_options))
}

/// Begins an upload, as tus 1.0 has it: filename, bucket and filetype in `Upload-Metadata`, the bucket `uploads` if none is named. A body
/// of type `application/offset+octet-stream` is its first bytes. The file becomes an object of the bucket with its last byte.
#[utoipa::path(
    post, path = "/v1/uploads", tag = "uploads", security(("bearer" = [])),
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = Option<u64>, Header, description = "Size of the file in bytes"),
        ("Upload-Defer-Length" = Option<u32>, Header, description = "1 if the size is told later"),
        ("Upload-Metadata" = Option<String>, Header, description = "Pairs of a word and a value in base64: filename, bucket, filetype"),
        ("Upload-Checksum" = Option<String>, Header, description = "sha1, sha256 or md5, a space, and the checksum of the body in base64"),
    ),
    responses(
        (status = 201, description = "Begun", headers(
            ("Location" = String, description = "The upload"),
            ("Upload-Offset" = u64, description = "Bytes that are there"),
            ("Upload-Expires" = String, description = "When it is forgotten unless it goes on"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn upload_create(
    State(app): State<Arc<App>>,
    _version: Resumable,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let size = tus::size(&headers)?;
    let checksum = if tus::has_octets(&headers) { Checksum::of(&headers)? } else { None };
    let metadata = headers.get(tus::UPLOAD_METADATA).map_or(Ok(""), HeaderValue::to_str);
    let metadata = metadata.map_err(|_| tus::malformed(&tus::UPLOAD_METADATA, "Upload-Metadata is ASCII"))?.to_owned();
    let receiving = app.upload_create(&UploadCreate { size, metadata }).await?;
    let upload = if tus::has_octets(&headers) {
        received(&app, receiving, checksum, &headers, body).await?
    } else {
        receiving.end().await?
    };
    let mut response = told(StatusCode::CREATED, &upload);
    set(&mut response, &header::LOCATION, &format!("/v1/uploads/{}", upload.id));
    Ok(response)
}

/// Tells where an upload is, in headers.
#[utoipa::path(
    head, path = "/v1/uploads/{id}", tag = "uploads", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
    ),
    responses(
        (status = 200, description = "There it is", headers(
            ("Upload-Offset" = u64, description = "Bytes that are there"),
            ("Upload-Length" = u64, description = "Size of the file in bytes, once it is told"),
            ("Upload-Expires" = String, description = "When it is forgotten unless it goes on"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn upload_show(
    State(app): State<Arc<App>>,
    _version: Resumable,
    Wanted(id): Wanted,
) -> Result<Response, Problem> {
    let upload = app.upload_show(&id).await?;
    let mut response = told(StatusCode::OK, &upload);
    match upload.size {
        Some(size) => set(&mut response, &tus::UPLOAD_LENGTH, &size.to_string()),
        None => set(&mut response, &tus::UPLOAD_DEFER_LENGTH, "1"),
    }
    if !upload.metadata.is_empty() {
        set(&mut response, &tus::UPLOAD_METADATA, &upload.metadata);
    }
    Ok(response)
}

/// Adds bytes to an upload. What arrives of a body that breaks off is kept, unless a checksum was announced for it.
#[utoipa::path(
    patch, path = "/v1/uploads/{id}", tag = "uploads", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Bytes that are there"),
        ("Upload-Length" = Option<u64>, Header, description = "Size of the file in bytes, if it was to be told later"),
        ("Upload-Checksum" = Option<String>, Header, description = "sha1, sha256 or md5, a space, and the checksum of the body in base64"),
    ),
    request_body(content_type = "application/offset+octet-stream", description = "The bytes from the offset on"),
    responses(
        (status = 204, description = "They are there", headers(
            ("Upload-Offset" = u64, description = "Bytes that are there"),
            ("Upload-Expires" = String, description = "When it is forgotten unless it goes on"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn upload_append(
    State(app): State<Arc<App>>,
    _version: Resumable,
    Wanted(id): Wanted,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    tus::check_octets(&headers)?;
    let offset = tus::number(&headers, &tus::UPLOAD_OFFSET)?;
    let offset = offset.ok_or_else(|| tus::malformed(&tus::UPLOAD_OFFSET, "Upload-Offset is missing"))?;
    let size = tus::number(&headers, &tus::UPLOAD_LENGTH)?;
    let checksum = Checksum::of(&headers)?;
    let receiving = app.upload_open(&id, offset, size).await?;
    Ok(told(StatusCode::NO_CONTENT, &received(&app, receiving, checksum, &headers, body).await?))
}

/// Ends an upload; what has come of it is removed. An object that it has become stays.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", tag = "uploads", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
async fn upload_delete(
    State(app): State<Arc<App>>,
    _version: Resumable,
    Wanted(id): Wanted,
) -> Result<StatusCode, Problem> {
    app.upload_delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does what `X-HTTP-Method-Override` says, for senders that cannot send PATCH, DELETE or HEAD.
#[utoipa::path(
    post, path = "/v1/uploads/{id}", tag = "uploads", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Id"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("X-HTTP-Method-Override" = String, Header, description = "PATCH, DELETE or HEAD"),
    ),
    responses((status = 204), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
async fn upload_override(
    state: State<Arc<App>>,
    version: Resumable,
    id: Wanted,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let method = headers.get(tus::METHOD_OVERRIDE).and_then(|method| method.to_str().ok()).unwrap_or_default();
    match method.to_ascii_uppercase().as_str() {
        "PATCH" => upload_append(state, version, id, headers, body).await,
        "DELETE" => upload_delete(state, version, id).await.map(StatusCode::into_response),
        "HEAD" => upload_show(state, version, id).await,
        _ => {
            let detail = format!("{} is possible here with X-HTTP-Method-Override only: {method:?}", Method::POST);
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed", detail))
        }
    }
}

/// Tells what of tus is spoken here.
#[utoipa::path(
    options, path = "/v1/uploads", tag = "uploads",
    responses(
        (status = 204, description = "This is spoken", headers(
            ("Tus-Version" = String, description = "Versions"),
            ("Tus-Extension" = String, description = "Extensions"),
            ("Tus-Max-Size" = u64, description = "Largest file in bytes"),
            ("Tus-Checksum-Algorithm" = String, description = "Checksums"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
fn upload_options() -> Ready<Response> {
    let headers = [
        (tus::TUS_VERSION, tus::VERSION),
        (tus::TUS_EXTENSION, tus::EXTENSIONS),
        (tus::TUS_MAX_SIZE, HeaderValue::from(SIZE_MAX)),
        (tus::TUS_CHECKSUM_ALGORITHM, tus::ALGORITHMS),
    ];
    ready((StatusCode::NO_CONTENT, headers).into_response())
}

/// Takes the body to its end, unless it says to be too long, in a task of its own: what came stays when the connection, and this request with
/// it, goes away.
async fn received(
    app: &Arc<App>,
    mut receiving: Receiving,
    checksum: Option<Box<dyn Inspector>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Upload, Problem> {
    if let Some(length) = tus::number(headers, &header::CONTENT_LENGTH)? {
        receiving.check_length(length)?;
    }
    receiving.begin(checksum).await?;
    let work = receive(app.clone(), receiving, body);
    Ok(app.tasks.spawn(work).await.map_err(Error::from)??)
}

async fn receive(app: Arc<App>, mut receiving: Receiving, mut body: Body) -> Result<Upload, Error> {
    loop {
        let frame = tokio::select! {
            () = app.nodes.stopping.cancelled() => return Err(receiving.broke(UploadError::Stopping).await),
            frame = timeout(SILENCE, body.frame()) => frame,
        };
        match frame {
            Ok(None) => return receiving.end().await,
            Ok(Some(Ok(frame))) => {
                // What is no data are trailers, and they say nothing here.
                let Ok(bytes) = frame.into_data() else { continue };
                metrics::counter!("anabranch_api_uploaded_bytes_total").increment(bytes.len() as u64);
                if let Err(error) = receiving.take(bytes).await {
                    return Err(receiving.broke(error).await);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return Err(receiving.broke(UploadError::Broken).await),
        }
    }
}

fn told(status: StatusCode, upload: &Upload) -> Response {
    let mut response = status.into_response();
    set(&mut response, &tus::UPLOAD_OFFSET, &upload.offset.to_string());
    let expires = Duration::from_millis(u64::try_from(upload.expires_ms).unwrap_or(0));
    set(&mut response, &tus::UPLOAD_EXPIRES, &httpdate::fmt_http_date(UNIX_EPOCH + expires));
    set(&mut response, &header::CACHE_CONTROL, "no-store");
    response
}

fn set(response: &mut Response, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
