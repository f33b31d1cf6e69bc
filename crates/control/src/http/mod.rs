//! HTTP: decode, authorise, one call of the app, encode.

mod asset;
mod audit;
mod auth;
mod breakout;
mod bucket;
mod came;
mod caption;
mod channel;
mod cluster;
mod cookie;
mod distribution;
mod event;
mod extract;
mod health;
mod invalidation;
mod key;
mod key_group;
mod log;
mod login;
mod node;
mod oidc;
mod operation;
mod problem;
mod record;
mod recording;
mod scope;
mod session;
mod sign;
mod signature;
pub(crate) mod standby;
mod token;
mod tus;
mod ui;
mod upload;
mod usage;
mod user;
mod video;
mod watch;
mod watch_asset;
mod webhook;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
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
    modifiers(&Security)
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let session = ApiKeyValue::with_description(
            "anabranch_session",
            "The session of a user who has logged in; over TLS the cookie is __Host-anabranch. What changes something shows \
             X-Anabranch-CSRF as well, with what GET /v1/me answers as csrf.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// Operations that need a token or a session.
fn guarded() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(channel::channel_create, channel::channel_list))
        .routes(routes!(channel::channel_show, channel::channel_update, channel::channel_delete))
        .routes(routes!(channel::channel_switch))
        .routes(routes!(channel::channel_rotate_key))
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
        .routes(routes!(operation::counts_show))
        .routes(routes!(invalidation::invalidation_create, invalidation::invalidation_list))
        .routes(routes!(invalidation::invalidation_show))
        .routes(routes!(node::distribution_traffic))
        .routes(routes!(node::node_list))
        .routes(routes!(node::node_forget))
        .routes(routes!(breakout::breakout_create, breakout::breakout_list))
        .routes(routes!(breakout::breakout_show, breakout::breakout_update, breakout::breakout_delete))
        .routes(routes!(breakout::breakout_reset))
        .routes(routes!(breakout::breakout_curtain))
        .routes(routes!(breakout::breakout_refresh))
        .routes(routes!(breakout::breakout_revoke))
        .routes(routes!(breakout::viewer_list))
        .routes(routes!(breakout::breakout_start))
        .routes(routes!(breakout::breakout_stop))
        .routes(routes!(breakout::breakout_abort))
        .routes(routes!(breakout::breakout_play_url))
        .routes(routes!(key::key_create, key::key_list))
        .routes(routes!(key::key_delete))
        .routes(routes!(key_group::key_group_create, key_group::key_group_list))
        .routes(routes!(key_group::key_group_show, key_group::key_group_update, key_group::key_group_delete))
        .routes(routes!(sign::sign))
        .routes(routes!(event::account_create, event::account_list))
        .routes(routes!(event::account_show, event::account_delete))
        .routes(routes!(event::event_create, event::event_list))
        .routes(routes!(event::event_show, event::event_update, event::event_delete))
        .routes(routes!(recording::recording_list))
        .routes(routes!(recording::recording_show, recording::recording_delete))
        .routes(routes!(recording::recording_mp4))
        .routes(routes!(recording::recording_play_url))
        .routes(routes!(recording::job_list))
        .routes(routes!(recording::job_show))
        .routes(routes!(recording::job_cancel))
        .routes(routes!(recording::job_retry))
        .routes(routes!(bucket::bucket_create, bucket::bucket_list))
        .routes(routes!(bucket::bucket_show, bucket::bucket_update, bucket::bucket_delete))
        .routes(routes!(bucket::bucket_publish))
        .routes(routes!(bucket::object_list, bucket::object_delete))
        .routes(routes!(bucket::object_link))
        .routes(routes!(bucket::access_key_create, bucket::access_key_list))
        .routes(routes!(bucket::access_key_delete))
        .routes(routes!(asset::asset_create, asset::asset_list))
        .routes(routes!(asset::asset_show, asset::asset_update, asset::asset_delete))
        .routes(routes!(asset::asset_retry))
        .routes(routes!(asset::asset_cancel))
        .routes(routes!(asset::asset_play_url))
        .routes(routes!(caption::caption_list))
        .routes(routes!(caption::caption_put, caption::caption_delete))
        .routes(routes!(asset::collection_create, asset::collection_list))
        .routes(routes!(asset::collection_show, asset::collection_update, asset::collection_delete))
        .routes(routes!(asset::collection_play_url))
        .routes(routes!(cluster::cluster_create, cluster::cluster_list))
        .routes(routes!(cluster::cluster_show, cluster::cluster_update, cluster::cluster_delete))
        .routes(routes!(cluster::cluster_join))
        .routes(routes!(cluster::cluster_pull))
        .routes(routes!(cluster::cluster_playlists))
        .routes(routes!(cluster::cluster_stream))
        .routes(routes!(cluster::cluster_close))
        .routes(routes!(cluster::cluster_open))
        .routes(routes!(cluster::cluster_automatic))
        .routes(routes!(cluster::cluster_drill))
        .routes(routes!(cluster::cluster_history))
        .routes(routes!(cluster::cluster_publish))
        .routes(routes!(cluster::cluster_play_url))
        .routes(routes!(cluster::cluster_state))
        .routes(routes!(cluster::cluster_vote, cluster::cluster_vote_list))
        .routes(routes!(cluster::cluster_notification))
        .routes(routes!(log::log_list))
        .routes(routes!(log::log_stream))
        .routes(routes!(webhook::webhook_create, webhook::webhook_list))
        .routes(routes!(webhook::webhook_show, webhook::webhook_update, webhook::webhook_delete))
        .routes(routes!(webhook::webhook_rotate_secret))
        .routes(routes!(webhook::webhook_test))
        .routes(routes!(token::token_create, token::token_list))
        .routes(routes!(token::token_revoke))
        .routes(routes!(usage::usage_show))
        .routes(routes!(usage::usage_series))
        .routes(routes!(usage::charges_show))
        .routes(routes!(usage::breakout_charges))
        .routes(routes!(usage::charges_collect))
        .routes(routes!(usage::prices_show))
        .routes(routes!(usage::analytics_show))
        .routes(routes!(usage::overview_show))
        .routes(routes!(usage::settings_show))
        .routes(routes!(login::login_delete))
        .routes(routes!(login::setup_create))
        .routes(routes!(login::me_show, login::me_update))
        .routes(routes!(login::me_password))
        .routes(routes!(user::user_create, user::user_list))
        .routes(routes!(user::user_show, user::user_update, user::user_delete))
        .routes(routes!(user::user_sessions_end))
        .routes(routes!(session::session_list))
        .routes(routes!(session::session_end))
        .routes(routes!(audit::audit_list))
}

/// Operations that anybody may call.
fn open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(cluster::cluster_decision))
        .routes(routes!(watch::watch_show))
        .routes(routes!(watch::watch_renew))
        .routes(routes!(watch::watch_takeover))
        .routes(routes!(watch_asset::asset_watch))
        .routes(routes!(watch_asset::asset_watch_renew))
        .routes(routes!(watch_asset::collection_watch))
        .routes(routes!(watch_asset::collection_watch_renew))
        .routes(routes!(watch::stream_auth))
        .routes(routes!(watch::recordings_auth))
        .routes(routes!(watch::stream_signout))
        .routes(routes!(login::login_show, login::login_create))
        .routes(routes!(oidc::oidc_begin))
        .routes(routes!(oidc::oidc_end))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
}

/// Everything that is served, and the document of the API.
pub(crate) fn router(app: &Arc<App>) -> (axum::Router, utoipa::openapi::OpenApi) {
    let document = document();
    let operations = Arc::new(record::Operations::of(&document));
    let guard = Arc::new(auth::Guard { app: app.clone(), operations: operations.clone() });
    let guarded = guarded().route_layer(from_fn_with_state(guard.clone(), auth::require));
    let uploads = upload::guarded().route_layer(from_fn_with_state(guard, auth::require));
    let uploads = uploads.merge(upload::open()).route_layer(from_fn_with_state(app.clone(), tus::frame));
    let (router, _) = OpenApiRouter::new().merge(guarded).merge(uploads).merge(open()).split_for_parts();
    let recorder = Arc::new(record::Recorder { app: app.clone(), operations });
    let compatible = app.config.video_list_bucket.is_some();
    let router = router
        .merge(node::router(app))
        .merge(if compatible { video::router() } else { axum::Router::new() })
        .route("/", get(ui::desk))
        .route("/watch/{breakout}", get(ui::watch))
        .route("/watch/asset/{asset}", get(ui::watch))
        .route("/watch/collection/{collection}", get(ui::watch))
        .route("/embed/{breakout}", get(ui::embed))
        .route("/embed/asset/{asset}", get(ui::embed))
        .route("/embed/collection/{collection}", get(ui::embed))
        .route("/assets/{*path}", get(ui::asset))
        .fallback(ui::elsewhere)
        .method_not_allowed_fallback(problem::no_method)
        .layer(from_fn_with_state(app.clone(), standby::require_lead))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn(move |request, next| record::record(recorder.clone(), request, next)))
        .with_state(app.clone());
    (router, document)
}

/// The document as it is served and committed.
pub(crate) fn openapi_json() -> String {
    let mut json = document().to_pretty_json().expect("a document made of strings is json");
    json.push('\n');
    json
}

fn document() -> utoipa::openapi::OpenApi {
    let router = OpenApiRouter::<Arc<App>>::with_openapi(Document::openapi());
    let router = router.merge(guarded()).merge(upload::guarded()).merge(upload::open()).merge(open());
    let mut document = router.into_openapi();
    scope::annotate(&mut document);
    document
}
