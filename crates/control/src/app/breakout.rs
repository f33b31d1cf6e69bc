//! Breakouts and the URLs that open them.

use anabranch_db::{
    Attendance, BreakoutContent, BreakoutFilter, BreakoutRow, DistributionRow, Exit, Idempotency, NewBreakout,
    ViewerRow,
};
use anabranch_model::{BreakoutEvent, BreakoutId, BreakoutState, ChannelId, PackagingState};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::page::{PageQuery, list};
use super::view::{Breakout, List, OperationNow, Packaging, ViewerSession};
use super::viewers::LEFT_AFTER_MS;
use super::{App, Error, names};
use crate::time;

/// Longest breakout, in minutes.
const DURATION_MAX: u32 = 24 * 60;

/// Greatest device limit.
const DEVICE_LIMIT_MAX: u32 = 1000;

/// What may be decided of a breakout.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakoutPatch {
    /// Unique name, 1 to 100 characters.
    name: Option<String>,
    /// Words for the operator.
    description: Option<String>,
    /// Words to find it by, at most 50.
    tags: Option<Vec<String>>,
    /// Event that it belongs to, by id or name; empty for none.
    event: Option<String>,
    /// Addresses and blocks that may push while it is on air, in place of the channel's; an empty list for those.
    ingest_allow: Option<Vec<String>>,
    /// RFC 3339; when it is meant to begin. Empty for no time.
    scheduled_at: Option<String>,
    /// How long it is meant to last, up to a day; 0 for no time.
    duration_minutes: Option<u32>,
    /// `up` or `down`: whether the audience may see it while it is on air. Up, unless it is said.
    curtain: Option<Curtain>,
    /// Sessions of one user at a time, 0 for no limit. 1, unless it is said.
    device_limit: Option<u32>,
    /// What is kept of viewers: `full`, `anonymous` or `off`.
    attendance: Option<String>,
    /// Whether an MP4 of the recording is made by itself.
    mp4: Option<bool>,
    /// Whether the viewers' page says how many watch.
    show_viewers: Option<bool>,
    /// Whether viewers are offered the MP4 of the recording.
    viewer_download: Option<bool>,
}

/// A breakout to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub(crate) struct BreakoutCreate {
    /// Id or name of the channel that feeds it.
    channel: String,
    /// Name of the cluster that it is a stream of: a breakout of the same name in the same cluster has the same id in each region.
    cluster: Option<String>,
    /// What else is decided; the name is needed.
    #[serde(flatten)]
    content: BreakoutPatch,
}

impl TryFrom<serde_json::Map<String, serde_json::Value>> for BreakoutCreate {
    type Error = String;

    // By hand, since a flattened struct would take fields that nobody knows.
    fn try_from(mut fields: serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let channel = match fields.remove("channel") {
            Some(serde_json::Value::String(channel)) => channel,
            Some(other) => return Err(format!("channel: not a text: {other}")),
            None => return Err("missing field `channel`".to_owned()),
        };
        let cluster = match fields.remove("cluster") {
            Some(serde_json::Value::String(cluster)) => Some(cluster),
            None | Some(serde_json::Value::Null) => None,
            Some(other) => return Err(format!("cluster: not a text: {other}")),
        };
        if !fields.contains_key("name") {
            return Err("missing field `name`".to_owned());
        }
        let content = serde_json::from_value(fields.into()).map_err(|error| error.to_string())?;
        Ok(Self { channel, cluster, content })
    }
}

/// Whether the audience may see a breakout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Curtain {
    Up,
    Down,
}

/// Where the curtain is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurtainPut {
    /// `up` or `down`.
    curtain: Curtain,
}

/// Which signatures are to be refused from now on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revoke {
    /// One viewer session; all signatures that have been made so far if it is missing.
    session: Option<String>,
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
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
    /// Breakouts of this channel only, by id or name.
    channel: Option<String>,
    /// Breakouts of this event only, by id or name.
    event: Option<String>,
    /// Breakouts in one of these states only, with commas between: `IDLE`, `STARTING`, `RUNNING` or `COMPLETED`.
    state: Option<String>,
    /// Breakouts whose name holds this text only, whatever its case.
    name: Option<String>,
}

impl BreakoutQuery {
    fn states(&self) -> Result<Vec<BreakoutState>, Error> {
        let Some(states) = &self.state else { return Ok(Vec::new()) };
        let state = |word: &str| {
            BreakoutState::parse(word).ok_or_else(|| {
                let shown: String = word.chars().take(100).collect();
                let detail = format!("IDLE, STARTING, RUNNING or COMPLETED, with commas between: {shown:?}");
                Error::invalid("state", detail)
            })
        };
        states.split(',').map(|word| state(word.trim())).collect()
    }
}

impl App {
    pub(crate) async fn breakout_create(
        &self,
        request: BreakoutCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Breakout, Error> {
        let name = request.content.name.clone().unwrap_or_default();
        let content = self.content(BreakoutContent::named(name), &request.content).await?;
        let id = match &request.cluster {
            Some(cluster) => self.stream_id(cluster, &content.name)?,
            None => BreakoutId::random(),
        };
        let new = NewBreakout { id, channel: request.channel, cluster: request.cluster, content, idempotency };
        let row = match self.db.breakout_create(&new, self.clock.now_ms()).await {
            // The address of the request exists; what it names does not.
            Err(error @ anabranch_db::Error::NotFound { .. }) => {
                return Err(Error::invalid("channel", error.to_string()));
            }
            created => created?.into_inner(),
        };
        self.changed();
        self.breakout_view(row).await
    }

    /// Changes what is named and leaves the rest.
    pub(crate) async fn breakout_update(&self, wanted: &str, request: &BreakoutPatch) -> Result<Breakout, Error> {
        let before = self.db.breakout_find(wanted).await?;
        let content = self.content(before.content, request).await?;
        let row = self.db.breakout_update(before.id.as_str(), &content, self.clock.now_ms()).await?;
        self.changed();
        self.breakout_view(row).await
    }

    pub(crate) async fn breakout_curtain(&self, wanted: &str, request: &CurtainPut) -> Result<Breakout, Error> {
        let up = request.curtain == Curtain::Up;
        let row = self.db.breakout_curtain(wanted, up, self.clock.now_ms()).await?;
        tracing::info!(breakout.id = %row.id, curtain.up = up, "curtain moved");
        self.changed();
        self.breakout_view(row).await
    }

    /// Has the pages of all viewers begin anew (V122).
    pub(crate) async fn breakout_refresh(&self, wanted: &str) -> Result<Breakout, Error> {
        let row = self.db.breakout_refresh(wanted, self.clock.now_ms()).await?;
        tracing::info!(breakout.id = %row.id, breakout.refreshes = row.refreshes, "pages of viewers begin anew");
        self.breakout_view(row).await
    }

    /// Refuses what has been signed so far: of one session, or of everybody.
    pub(crate) async fn breakout_revoke(&self, wanted: &str, request: &Revoke) -> Result<Breakout, Error> {
        let (now, row) = (self.clock.now_ms(), self.db.breakout_find(wanted).await?);
        let row = match &request.session {
            Some(session) => {
                let gone = self.db.viewers_expel(&row.id, std::slice::from_ref(session), Exit::Revoked, now).await?;
                if gone == 0 {
                    let detail = format!("no session of this breakout has this name, or it is shut out: {session:?}");
                    return Err(Error::invalid("session", detail));
                }
                row
            }
            // Signatures of this second may have been made before the order.
            None => self.db.breakout_revoke(row.id.as_str(), now.div_euclid(1000) + 1, now).await?,
        };
        self.changed();
        self.breakout_view(row).await
    }

    pub(crate) async fn viewer_list(&self, wanted: &str, query: &PageQuery) -> Result<List<ViewerSession>, Error> {
        let breakout = self.db.breakout_find(wanted).await?;
        let page = self.db.viewer_page(&breakout.id, &query.request()?).await?;
        Ok(list(page, viewer))
    }

    async fn content(&self, base: BreakoutContent, patch: &BreakoutPatch) -> Result<BreakoutContent, Error> {
        let mut content = base;
        if let Some(name) = &patch.name {
            content.name = names::name(name)?;
        } else {
            content.name = names::name(&content.name)?;
        }
        if let Some(description) = &patch.description {
            content.description = names::description(description)?;
        }
        if let Some(tags) = &patch.tags {
            content.tags = names::words(tags)?;
        }
        if let Some(event) = &patch.event {
            content.event = match event.as_str() {
                "" => None,
                wanted => match self.db.event_find(wanted).await {
                    Err(error @ anabranch_db::Error::NotFound { .. }) => {
                        return Err(Error::invalid("event", error.to_string()));
                    }
                    found => Some(found?.id),
                },
            };
        }
        if let Some(allow) = &patch.ingest_allow {
            content.ingest_allow = names::allow_list(allow)?;
        }
        if let Some(time) = &patch.scheduled_at {
            content.scheduled_at = names::time("scheduled_at", Some(time.as_str()).filter(|time| !time.is_empty()))?;
        }
        if let Some(minutes) = patch.duration_minutes {
            if minutes > DURATION_MAX {
                let detail = format!("a breakout lasts at most {DURATION_MAX} minutes: {minutes}");
                return Err(Error::invalid("duration_minutes", detail));
            }
            content.duration_minutes = Some(minutes).filter(|minutes| *minutes > 0);
        }
        if let Some(curtain) = patch.curtain {
            content.curtain_up = curtain == Curtain::Up;
        }
        if let Some(limit) = patch.device_limit {
            if limit > DEVICE_LIMIT_MAX {
                let detail = format!("a device limit is at most {DEVICE_LIMIT_MAX}, or 0 for none: {limit}");
                return Err(Error::invalid("device_limit", detail));
            }
            content.device_limit = limit;
        }
        if let Some(attendance) = &patch.attendance {
            content.attendance = Attendance::parse(attendance)
                .ok_or_else(|| Error::invalid("attendance", format!("full, anonymous or off: {attendance:?}")))?;
        }
        content.mp4 = patch.mp4.unwrap_or(content.mp4);
        content.show_viewers = patch.show_viewers.unwrap_or(content.show_viewers);
        content.viewer_download = patch.viewer_download.unwrap_or(content.viewer_download);
        Ok(content)
    }

    pub(crate) async fn breakout_list(&self, query: BreakoutQuery) -> Result<List<Breakout>, Error> {
        let channel = match &query.channel {
            Some(wanted) => Some(self.db.channel_find(wanted).await?.id),
            None => None,
        };
        let event = match &query.event {
            Some(wanted) => Some(self.db.event_find(wanted).await?.id),
            None => None,
        };
        let filter = BreakoutFilter { channel, event, states: query.states()?, name: query.name };
        let page = PageQuery { limit: query.limit, after: query.after, order: query.order }.request()?;
        let page = self.db.breakout_page(&filter, &page).await?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let mut operations = self.operations_now(&ids).await?;
        Ok(list(page, |row| {
            let operation = operations.remove(row.id.as_str());
            self.breakout_seen(row, None, operation)
        }))
    }

    pub(crate) async fn breakout_show(&self, wanted: &str) -> Result<Breakout, Error> {
        let row = self.db.breakout_find(wanted).await?;
        self.breakout_view(row).await
    }

    pub(crate) async fn breakout_event(&self, wanted: &str, event: BreakoutEvent) -> Result<Breakout, Error> {
        let row = self.db.breakout_event(wanted, event, self.clock.now_ms()).await?;
        tracing::info!(
            breakout.id = %row.id, breakout.name = row.content.name, state = row.state.as_str(), "breakout changed"
        );
        self.changed();
        self.breakout_view(row).await
    }

    pub(crate) async fn breakout_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.breakout_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        self.jobs_wake.notify_one();
        Ok(())
    }

    /// The distribution of a channel, which is needed for what is asked.
    pub(super) async fn distribution_serving(&self, channel: &ChannelId) -> Result<DistributionRow, Error> {
        let found = self.db.distribution_of_channel(channel).await?;
        found.ok_or_else(|| {
            let detail = format!("channel {channel} has no distribution: make one for it, or attach one");
            Error::Conflict(detail)
        })
    }

    async fn breakout_view(&self, row: BreakoutRow) -> Result<Breakout, Error> {
        let watching = self.db.viewers_count(&row.id, self.clock.now_ms() - LEFT_AFTER_MS).await?;
        let operation = self.operation_now(row.id.as_str()).await?;
        Ok(self.breakout_seen(row, Some(watching), operation))
    }

    fn breakout_seen(&self, row: BreakoutRow, viewers: Option<u64>, operation: Option<OperationNow>) -> Breakout {
        let (packaging, content) = (self.packaging_view(&row), &row.content);
        Breakout {
            packaging,
            problem: self.breakout_problem(&row, "no encoder is connected to the channel: push to its input"),
            event: content.event.clone().map(String::from),
            description: content.description.clone(),
            tags: content.tags.clone(),
            session: row.session,
            curtain: if content.curtain_up { "up" } else { "down" },
            refresh: row.refreshes,
            device_limit: content.device_limit,
            attendance: content.attendance.as_str(),
            mp4: content.mp4,
            show_viewers: content.show_viewers,
            viewer_download: content.viewer_download,
            ingest_allow: content.ingest_allow.clone(),
            scheduled_at: content.scheduled_at.map(time::render_ms),
            duration_minutes: content.duration_minutes,
            viewers,
            name: row.content.name,
            id: row.id.into(),
            channel: row.channel.map(String::from),
            cluster: row.cluster,
            state: row.state,
            notice: row.notice,
            operation,
            started_at: row.started_at.map(time::render_ms),
            ended_at: row.ended_at.map(time::render_ms),
            created_at: time::render_ms(row.created_at),
        }
    }

    /// The problem of the row, or that a breakout on air has no encoder, in the words of who is told.
    pub(super) fn breakout_problem(&self, row: &BreakoutRow, without_encoder: &str) -> Option<String> {
        let silent = row.state == BreakoutState::Running
            && !row.channel.as_ref().is_some_and(|channel| self.observed.has_encoder(channel));
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

fn viewer(row: ViewerRow) -> ViewerSession {
    let kept = |text: String| Some(text).filter(|text| !text.is_empty());
    ViewerSession {
        session: row.session,
        user: kept(row.user),
        address: kept(row.address),
        user_agent: kept(row.user_agent),
        browser: kept(row.browser),
        os: kept(row.os),
        bytes: row.bytes,
        entered_at: time::render_ms(row.entered_at),
        seen_at: time::render_ms(row.seen_at),
        exited_at: row.exited_at.map(time::render_ms),
        exit_reason: row.exit_reason,
    }
}
