//! Channels.

use anabranch_db::operation::{CHANNEL_CREATE, CHANNEL_DELETE, DISTRIBUTION_DELETE};
use anabranch_db::{ChannelRow, Idempotency, InputRow, NewChannel, NewInput, Wish};
use anabranch_model::{ChannelId, InputId, InputState};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::operation::planned;
use super::page::{PageQuery, list};
use super::view::{Channel, ChannelDistribution, Input, InputNow, List, OperationNow, Planned};
use super::{App, Deleted, Error, names};
use crate::time;

/// Segment target when the caller names none, in seconds.
const SEGMENT_TARGET_DEFAULT: u32 = 6;

/// Window when the caller names none, in seconds.
const WINDOW_DEFAULT: u32 = 60;

/// Longest window, in seconds.
const WINDOW_MAX: u32 = 3600;

/// Segments that a window must hold at least: players begin three target durations before the end (RFC 8216 §6.3.3).
const WINDOW_MIN_SEGMENTS: u32 = 3;

/// A channel to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelCreate {
    /// Unique name, 1 to 100 characters.
    name: String,
    /// Words for the operator.
    #[serde(default)]
    description: String,
    /// Segment target in seconds, 1 to 10; 6 if it is missing.
    segment_target_seconds: Option<u32>,
    /// How much of the past the media playlists name, in seconds, up to 3600; 60 if it is missing.
    window_seconds: Option<u32>,
}

/// How something is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteQuery {
    /// `true` deletes what is being watched, and a distribution that is enabled or belongs to a channel.
    #[serde(default)]
    pub(crate) force: bool,
    /// `true` checks the request and answers the steps that it would begin; nothing is changed.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl App {
    /// Makes a channel with an input and a distribution, or answers the one of an earlier, equal request.
    pub(crate) async fn channel_create(
        &self,
        request: ChannelCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Channel, Error> {
        let new = self.channel_new(&request, idempotency)?;
        let row = self.db.channel_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        self.operation_rests(row.id.as_str()).await?;
        self.channel_show(row.id.as_str()).await
    }

    /// What [`Self::channel_create`] would do.
    pub(crate) fn channel_create_planned(&self, request: &ChannelCreate) -> Result<Planned, Error> {
        self.channel_new(request, None)?;
        Ok(planned(CHANNEL_CREATE, &[]))
    }

    fn channel_new(&self, request: &ChannelCreate, idempotency: Option<Idempotency>) -> Result<NewChannel, Error> {
        let segment_target_seconds = request.segment_target_seconds.unwrap_or(SEGMENT_TARGET_DEFAULT);
        if !(1..=10).contains(&segment_target_seconds) {
            let detail = format!("a segment target is 1 to 10 seconds: {segment_target_seconds}");
            return Err(Error::invalid("segment_target_seconds", detail));
        }
        let window_seconds = request.window_seconds.unwrap_or(WINDOW_DEFAULT);
        let window_min = WINDOW_MIN_SEGMENTS * segment_target_seconds;
        if !(window_min..=WINDOW_MAX).contains(&window_seconds) {
            let detail = format!("a window is {window_min} (three segments) to {WINDOW_MAX} seconds: {window_seconds}");
            return Err(Error::invalid("window_seconds", detail));
        }
        let id = ChannelId::random();
        Ok(NewChannel {
            distribution: self.channel_distribution(&id)?,
            id,
            name: names::name(&request.name)?,
            description: names::description(&request.description)?,
            segment_target_seconds,
            window_seconds,
            inputs: vec![NewInput { id: InputId::random(), stream_key: stream_key() }],
            idempotency,
        })
    }

    pub(crate) async fn channel_list(&self, query: &PageQuery) -> Result<List<Channel>, Error> {
        let page = self.db.channel_page(&query.request()?).await?;
        let list = list(page, |row| row);
        let mut operations = self.operations_now().await?;
        let mut items = Vec::with_capacity(list.items.len());
        for row in list.items {
            let operation = operations.remove(row.id.as_str());
            items.push(self.channel_view(row, operation).await?);
        }
        Ok(List { items, next: list.next })
    }

    pub(crate) async fn channel_show(&self, wanted: &str) -> Result<Channel, Error> {
        let row = self.db.channel_find(wanted).await?;
        self.channel_shown(row).await
    }

    pub(crate) async fn channel_start(&self, wanted: &str) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Run).await
    }

    pub(crate) async fn channel_stop(&self, wanted: &str) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Rest).await
    }

    /// Wants a channel gone, with its distribution and breakouts (V40, V45).
    pub(crate) async fn channel_delete(&self, wanted: &str, query: DeleteQuery) -> Result<Deleted, Error> {
        let found = self.db.channel_find(wanted).await?;
        if !query.force
            && let Some(distribution) = self.db.distribution_of_channel(&found.id).await?
        {
            self.check_unwatched(&distribution).await?;
        }
        let row = self.db.channel_retire(wanted, self.clock.now_ms()).await?;
        self.changed();
        self.operation_settles(row.id.as_str()).await
    }

    /// What [`Self::channel_delete`] would do.
    pub(crate) async fn channel_delete_planned(&self, wanted: &str) -> Result<Planned, Error> {
        let found = self.db.channel_find(wanted).await?;
        let also: &[_] =
            if self.db.distribution_of_channel(&found.id).await?.is_some() { &[DISTRIBUTION_DELETE] } else { &[] };
        Ok(planned(CHANNEL_DELETE, also))
    }

    async fn channel_wish(&self, wanted: &str, wish: Wish) -> Result<Channel, Error> {
        let row = self.db.channel_wish(wanted, wish, self.clock.now_ms()).await?;
        self.changed();
        self.channel_shown(row).await
    }

    async fn channel_shown(&self, row: ChannelRow) -> Result<Channel, Error> {
        let operation = self.operation_now(row.id.as_str()).await?;
        self.channel_view(row, operation).await
    }

    async fn channel_view(&self, row: ChannelRow, operation: Option<OperationNow>) -> Result<Channel, Error> {
        let distribution = self.db.distribution_of_channel(&row.id).await?;
        let inputs = self.db.channel_inputs(&row.id).await?;
        Ok(Channel {
            inputs: inputs.into_iter().map(|input| self.input_view(input)).collect(),
            distribution: distribution.map(|distribution| ChannelDistribution {
                id: distribution.id.into(),
                domain_name: distribution.domain_name,
                status: distribution.status,
                enabled: distribution.enabled,
            }),
            phase: row.phase,
            operation,
            id: row.id.into(),
            name: row.name,
            description: row.description,
            state: row.state,
            desired_running: row.desired_running,
            segment_target_seconds: row.segment_target_seconds,
            window_seconds: row.window_seconds,
            problem: row.problem,
            created_at: time::render_ms(row.created_at),
            updated_at: time::render_ms(row.updated_at),
        })
    }

    fn input_view(&self, row: InputRow) -> Input {
        let push_url = self.config.rtmp_public.trim_end_matches('/');
        let state = match self.observed.input(&row.id) {
            InputState::Disconnected => InputNow { connected: false, remote: None, encoder: None, bitrate_bps: None },
            InputState::Connected { remote, encoder, bitrate } => {
                InputNow { connected: true, remote: Some(remote), encoder: Some(encoder), bitrate_bps: Some(bitrate) }
            }
        };
        Input {
            push_url_with_key: format!("{push_url}/{}", row.stream_key),
            push_url: push_url.to_owned(),
            id: row.id.into(),
            stream_key: row.stream_key,
            state,
        }
    }
}

/// 128 random bits in hexadecimal: no character that an encoder's form or a shell could change.
fn stream_key() -> String {
    let mut bytes = [0_u8; 16];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out secrets.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
