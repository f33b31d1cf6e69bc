//! Usage, charges, prices, quality of experience, and what the first page shows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::extract::{Answer, OptionalBody, Query, Wanted, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::usage::{
    Analytics, AnalyticsQuery, BreakoutCharges, Charges, ChargesCollect, ChargesQuery, Collected, Format, Overview,
    PriceTable, SeriesQuery, Settings, Usage, UsageQuery, UsageSeries,
};

/// Shows what was used: bytes, requests, viewers, time on air, conversion and storage.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage", security(("bearer" = [])), params(UsageQuery),
    responses((status = 200, body = Usage), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn usage_show(State(app): State<Arc<App>>, Query(query): Query<UsageQuery>) -> Result<Response, Problem> {
    let usage = app.usage(&query).await?;
    Ok(match query.format {
        Format::Json => ok(usage).into_response(),
        Format::Csv => csv("usage.csv", usage.csv()),
    })
}

/// Shows the course of bytes, requests and viewers.
#[utoipa::path(
    get, path = "/v1/usage/series", tag = "usage", security(("bearer" = [])), params(SeriesQuery),
    responses((status = 200, body = UsageSeries), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn usage_series(
    State(app): State<Arc<App>>,
    Query(query): Query<SeriesQuery>,
) -> Result<Answer<UsageSeries>, Problem> {
    Ok(ok(app.usage_series(&query).await?))
}

/// Shows what it costs, by breakout, service, event, account or in all.
#[utoipa::path(
    get, path = "/v1/charges", tag = "usage", security(("bearer" = [])), params(ChargesQuery),
    responses((status = 200, body = Charges), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn charges_show(
    State(app): State<Arc<App>>,
    Query(query): Query<ChargesQuery>,
) -> Result<Response, Problem> {
    let charges = app.charges(&query).await?;
    Ok(match query.format {
        Format::Json => ok(charges).into_response(),
        Format::Csv => csv("charges.csv", charges.csv()),
    })
}

/// Shows what a breakout costs, session by session.
#[utoipa::path(
    get, path = "/v1/breakouts/{id}/charges", tag = "usage", security(("bearer" = [])),
    params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, body = BreakoutCharges), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn breakout_charges(
    State(app): State<Arc<App>>,
    Wanted(id): Wanted,
) -> Result<Answer<BreakoutCharges>, Problem> {
    Ok(ok(app.breakout_charges(&id).await?))
}

/// Collects charges at once. It happens by itself, too; to repeat it changes nothing.
#[utoipa::path(
    post, path = "/v1/charges/collect", tag = "usage", security(("bearer" = [])), request_body = ChargesCollect,
    responses((status = 200, body = Collected), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn charges_collect(
    State(app): State<Arc<App>>,
    OptionalBody(body): OptionalBody<ChargesCollect>,
) -> Result<Answer<Collected>, Problem> {
    Ok(ok(app.charges_collect(&body).await?))
}

/// Shows the prices in force, and where each comes from.
#[utoipa::path(
    get, path = "/v1/prices", tag = "usage", security(("bearer" = [])),
    responses((status = 200, body = PriceTable), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn prices_show(State(app): State<Arc<App>>) -> Answer<PriceTable> {
    std::future::ready(ok(app.prices())).await
}

/// Shows who watched, by what means, and how well.
#[utoipa::path(
    get, path = "/v1/analytics", tag = "usage", security(("bearer" = [])), params(AnalyticsQuery),
    responses((status = 200, body = Analytics), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn analytics_show(
    State(app): State<Arc<App>>,
    Query(query): Query<AnalyticsQuery>,
) -> Result<Answer<Analytics>, Problem> {
    Ok(ok(app.analytics(&query).await?))
}

/// Shows what is going on, at one look.
#[utoipa::path(
    get, path = "/v1/overview", tag = "usage", security(("bearer" = [])),
    responses((status = 200, body = Overview), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn overview_show(State(app): State<Arc<App>>) -> Result<Answer<Overview>, Problem> {
    Ok(ok(app.overview().await?))
}

/// Shows the configuration in force, without secrets.
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings", security(("bearer" = [])),
    responses((status = 200, body = Settings), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn settings_show(State(app): State<Arc<App>>) -> Answer<Settings> {
    std::future::ready(ok(app.settings())).await
}

/// A file of comma-separated values that no cache keeps.
fn csv(name: &'static str, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
