//! HTTP: decode, authorise, one call of the app, encode.

mod auth;
mod breakout;
mod channel;
mod distribution;
mod extract;
mod health;
mod invalidation;
mod key;
mod key_group;
mod node;
mod operation;
mod problem;
mod record;
mod sign;
pub(crate) mod standby;
mod ui;
mod watch;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use problem::Problem;

/// Longest body of a request, in bytes.
const BODY_MAX_BYTES: usize = 1024 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(title = "Anabranch", description = "Live video in, HLS out, under signed access."),
    components(schemas(Problem)),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Operations that need a token.
fn guarded() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(channel::channel_create, channel::channel_list))
        .routes(routes!(channel::channel_show, channel::channel_delete))
        .routes(routes!(channel::channel_start))
        .routes(routes!(channel::channel_stop))
        .routes(routes!(channel::channel_distribution_create))
        .routes(routes!(distribution::distribution_create, distribution::distribution_list))
        .routes(routes!(
            distribution::distribution_show,
            distribution::distribution_update,
            distribution::distribution_delete
        ))
        .routes(routes!(distribution::distribution_sweep))
        .routes(routes!(distribution::distribution_detach))
        .routes(routes!(distribution::distribution_attach))
        .routes(routes!(distribution::distribution_sync))
        .routes(routes!(operation::operation_list))
        .routes(routes!(operation::operation_show))
        .routes(routes!(invalidation::invalidation_create, invalidation::invalidation_list))
        .routes(routes!(invalidation::invalidation_show))
        .routes(routes!(node::distribution_traffic))
        .routes(routes!(node::node_list))
        .routes(routes!(node::node_forget))
        .routes(routes!(breakout::breakout_create, breakout::breakout_list))
        .routes(routes!(breakout::breakout_show, breakout::breakout_delete))
        .routes(routes!(breakout::breakout_start))
        .routes(routes!(breakout::breakout_stop))
        .routes(routes!(breakout::breakout_abort))
        .routes(routes!(breakout::breakout_play_url))
        .routes(routes!(key::key_create, key::key_list))
        .routes(routes!(key::key_delete))
        .routes(routes!(key_group::key_group_create, key_group::key_group_list))
        .routes(routes!(key_group::key_group_show, key_group::key_group_update, key_group::key_group_delete))
        .routes(routes!(sign::sign))
}

/// Operations that anybody may call.
fn open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(watch::watch_show))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
}

/// Everything that is served, and the document of the API.
pub(crate) fn router(app: &Arc<App>) -> (axum::Router, utoipa::openapi::OpenApi) {
    let guarded = guarded().route_layer(from_fn_with_state(app.clone(), auth::require));
    let (router, document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(guarded).merge(open()).split_for_parts();
    let operations = Arc::new(record::Operations::of(&document));
    let router = router
        .merge(node::router(app))
        .route("/", get(ui::page))
        .route("/watch/{breakout}", get(ui::page))
        .route("/assets/{*path}", get(ui::asset))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn_with_state(app.clone(), standby::require_lead))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn(move |request, next| record::record(operations.clone(), request, next)))
        .with_state(app.clone());
    (router, document)
}

/// The document as it is served and committed.
pub(crate) fn openapi_json() -> String {
    let router = OpenApiRouter::with_openapi(Document::openapi()).merge(guarded()).merge(open());
    let mut json = router.into_openapi().to_pretty_json().expect("a document made of strings is json");
    json.push('\n');
    json
}
