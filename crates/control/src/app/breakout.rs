//! Breakouts and the URLs that open them.

use anabranch_db::{BreakoutRow, Idempotency, NewBreakout};
use anabranch_model::{BreakoutEvent, BreakoutId, BreakoutState, PackagingState};
use anabranch_signing::{Policy, SignSpec};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::page::{PageQuery, list};
use super::sign::{expiry, source_ip};
use super::view::{Breakout, List, Packaging, PlayUrl};
use super::{App, Error, names};
use crate::time;

/// How long a play URL opens when the caller names no time, in seconds.
const PLAY_EXPIRES_DEFAULT: u64 = 12 * 60 * 60;

/// A breakout to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakoutCreate {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Id or name of the channel that feeds it.
    channel: String,
}

/// Which page of the breakouts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BreakoutQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// Breakouts of this channel only, by id or name.
    channel: Option<String>,
}

/// For whom and how long a play URL opens.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlayUrlCreate {
    /// Seconds from now; 43200 if it is missing.
    expires_in_seconds: Option<u64>,
    /// IPv4 address or block of the viewer; any if it is missing.
    ip: Option<String>,
}

impl App {
    pub(crate) async fn breakout_create(
        &self,
        request: BreakoutCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Breakout, Error> {
        let new = NewBreakout {
            id: BreakoutId::random(),
            name: names::name(&request.name)?,
            channel: request.channel,
            idempotency,
        };
        let row = match self.db.breakout_create(&new, self.clock.now_ms()).await {
            // The address of the request exists; what it names does not.
            Err(error @ anabranch_db::Error::NotFound { .. }) => {
                return Err(Error::invalid("channel", error.to_string()));
            }
            created => created?.into_inner(),
        };
        self.changed();
        Ok(self.breakout_view(row))
    }

    pub(crate) async fn breakout_list(&self, query: BreakoutQuery) -> Result<List<Breakout>, Error> {
        let channel = match &query.channel {
            Some(wanted) => Some(self.db.channel_find(wanted).await?.id),
            None => None,
        };
        let page = PageQuery { limit: query.limit, after: query.after }.request()?;
        let page = self.db.breakout_page(channel.as_ref(), &page).await?;
        Ok(list(page, |row| self.breakout_view(row)))
    }

    pub(crate) async fn breakout_show(&self, wanted: &str) -> Result<Breakout, Error> {
        let row = self.db.breakout_find(wanted).await?;
        Ok(self.breakout_view(row))
    }

    pub(crate) async fn breakout_event(&self, wanted: &str, event: BreakoutEvent) -> Result<Breakout, Error> {
        let row = self.db.breakout_event(wanted, event, self.clock.now_ms()).await?;
        tracing::info!(breakout.id = %row.id, breakout.name = row.name, state = row.state.as_str(), "breakout changed");
        self.changed();
        Ok(self.breakout_view(row))
    }

    pub(crate) async fn breakout_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.breakout_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    pub(crate) async fn breakout_play_url(&self, wanted: &str, request: &PlayUrlCreate) -> Result<PlayUrl, Error> {
        let expires = expiry(&self.clock, request.expires_in_seconds.unwrap_or(PLAY_EXPIRES_DEFAULT))?;
        let block = source_ip(request.ip.as_deref())?;
        let breakout = self.db.breakout_find(wanted).await?;
        let distribution = self.db.distribution_of_channel(&breakout.channel).await?;
        let key = self.signing_key(&distribution.key_groups).await?;
        let spec = |resource: String| {
            let policy = Policy::new(resource, expires);
            SignSpec::Custom(match block {
                Some(block) => policy.source_ip(block),
                None => policy,
            })
        };
        let (id, breakout) = (&distribution.id, &breakout.id);
        // The policies cover just this breakout, at whatever address the edge is reached.
        let url = key.sign(&self.play_address(id, breakout), &spec(format!("*://*/d/{id}/{breakout}/*")))?;
        let host = format!("http://{}:{}/{breakout}/index.m3u8", distribution.domain_name, self.config.edge_port);
        let host_url = key.sign(&host, &spec(format!("*://*/{breakout}/*")))?;
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let watch_url = format!("{}/watch/{breakout}?{query}", self.config.watch_base_url.trim_end_matches('/'));
        Ok(PlayUrl { watch_url, url, host_url, expires_at: time::render_seconds(expires) })
    }

    /// The play URL without its signature, in the form that needs no name to be resolved.
    pub(super) fn play_address(&self, distribution: &anabranch_model::DistributionId, breakout: &BreakoutId) -> String {
        let edge = self.config.edge_base_url.trim_end_matches('/');
        format!("{edge}/d/{distribution}/{breakout}/index.m3u8")
    }

    fn breakout_view(&self, row: BreakoutRow) -> Breakout {
        Breakout {
            packaging: self.packaging_view(&row),
            problem: self.breakout_problem(&row, "no encoder is connected to the channel: push to its input"),
            id: row.id.into(),
            name: row.name,
            channel: row.channel.into(),
            state: row.state,
            started_at: row.started_at.map(time::render_ms),
            ended_at: row.ended_at.map(time::render_ms),
            created_at: time::render_ms(row.created_at),
        }
    }

    /// The problem of the row, or that a breakout on air has no encoder, in the words of who is told.
    pub(super) fn breakout_problem(&self, row: &BreakoutRow, without_encoder: &str) -> Option<String> {
        let silent = row.state == BreakoutState::Running && !self.observed.has_encoder(&row.channel);
        row.problem.clone().or_else(|| silent.then(|| without_encoder.to_owned()))
    }

    fn packaging_view(&self, row: &BreakoutRow) -> Packaging {
        match (row.state, self.observed.packaging(&row.id).map(|packaging| packaging.state)) {
            (BreakoutState::Completed, _) | (_, Some(PackagingState::Ended)) => Packaging::Ended,
            (_, Some(PackagingState::Live)) => Packaging::Live,
            (_, Some(PackagingState::Blocked { .. })) => Packaging::Blocked,
            (_, Some(PackagingState::Waiting) | None) => Packaging::Waiting,
        }
    }
}
