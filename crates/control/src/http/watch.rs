//! `/v1/watch`.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use anabranch_net::PeerAddr;
use axum::Extension;
use axum::extract::{RawQuery, State};

use super::extract::{Answer, Wanted, ok};
use super::problem::Problem;
use crate::app::App;
use crate::app::view::Watch;

/// Tells a watch page what there is to see. The signature of the play URL opens it.
#[utoipa::path(
    get, path = "/v1/watch/{breakout}", tag = "watch",
    params(
        ("breakout" = String, Path, description = "Id or name of the breakout"),
        ("Policy" = Option<String>, Query, description = "As in the play URL"),
        ("Expires" = Option<i64>, Query, description = "As in the play URL"),
        ("Signature" = Option<String>, Query, description = "As in the play URL"),
        ("Key-Pair-Id" = Option<String>, Query, description = "As in the play URL"),
        ("Hash-Algorithm" = Option<String>, Query, description = "As in the play URL"),
    ),
    responses((status = 200, body = Watch), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn watch_show(
    State(app): State<Arc<App>>,
    Wanted(breakout): Wanted,
    RawQuery(query): RawQuery,
    peer: Option<Extension<PeerAddr>>,
) -> Result<Answer<Watch>, Problem> {
    // A front that does not say who asks gets an address that no policy names.
    let client = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(peer)| peer.0.ip());
    Ok(ok(app.watch_show(&breakout, &query.unwrap_or_default(), client).await?))
}
