//! Channels.

use std::collections::HashMap;

use anabranch_db::operation::{CHANNEL_CREATE, CHANNEL_DELETE, DISTRIBUTION_DELETE};
use anabranch_db::{ChannelChange, ChannelRow, Idempotency, InputRow, NewChannel, NewInput, Wish};
use anabranch_model::{ChannelId, FailoverSpec, InputAudio, InputId, InputPreference, InputState, InputVideo};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::operation::planned;
use super::page::{PageQuery, list};
use super::view::{
    AudioNow, Channel, ChannelDistribution, Failover, Input, InputNow, List, OperationNow, Planned, VideoNow,
};
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
    /// Push endpoints, 1 or 2; 1 if it is missing. Two are a failover pair.
    inputs: Option<u32>,
    /// How one of two inputs is chosen.
    failover: Option<FailoverPatch>,
    /// Addresses and blocks that may push; none stands for all.
    #[serde(default)]
    ingest_allow: Vec<String>,
}

/// What may be changed of a channel; what is missing stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelPatch {
    /// Unique name, 1 to 100 characters.
    name: Option<String>,
    /// Words for the operator.
    description: Option<String>,
    /// How one of two inputs is chosen.
    failover: Option<FailoverPatch>,
    /// Addresses and blocks that may push; an empty list for all.
    ingest_allow: Option<Vec<String>>,
}

/// How one of two inputs is chosen; what is missing stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailoverPatch {
    /// Whether the loss of an input switches to the other.
    enabled: Option<bool>,
    /// Silence after which the other takes over, 500 to 60000 milliseconds.
    loss_ms: Option<u32>,
    /// Time without loss after which an input is healthy again, 0 to 600000 milliseconds.
    clear_ms: Option<u32>,
    /// `primary` returns to the first input once it is healthy, `equal` stays.
    #[schema(value_type = Option<String>, example = "primary", pattern = "^(primary|equal)$")]
    preference: Option<InputPreference>,
}

/// Which input is to be in use.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputSwitch {
    /// Its id, or its number from 1.
    input: String,
}

impl FailoverPatch {
    fn apply(&self, mut spec: FailoverSpec) -> Result<FailoverSpec, Error> {
        spec.enabled = self.enabled.unwrap_or(spec.enabled);
        spec.loss_ms = self.loss_ms.unwrap_or(spec.loss_ms);
        spec.clear_ms = self.clear_ms.unwrap_or(spec.clear_ms);
        spec.preference = self.preference.unwrap_or(spec.preference);
        if !(500..=60_000).contains(&spec.loss_ms) {
            let detail = format!("a loss lasts 500 to 60000 milliseconds: {}", spec.loss_ms);
            return Err(Error::invalid("failover.loss_ms", detail));
        }
        if spec.clear_ms > 600_000 {
            let detail = format!("an input is clear after at most 600000 milliseconds: {}", spec.clear_ms);
            return Err(Error::invalid("failover.clear_ms", detail));
        }
        Ok(spec)
    }
}

/// Whether an answer has stream keys: who has one can push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKeys {
    /// For those who may change channels.
    Shown,
    /// For all others.
    Hidden,
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
        self.channel_show(row.id.as_str(), StreamKeys::Shown).await
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
        let inputs = request.inputs.unwrap_or(1);
        if !(1..=2).contains(&inputs) {
            return Err(Error::invalid("inputs", format!("a channel has 1 or 2 inputs: {inputs}")));
        }
        let id = ChannelId::random();
        Ok(NewChannel {
            distribution: self.channel_distribution(&id)?,
            id,
            name: names::name(&request.name)?,
            description: names::description(&request.description)?,
            segment_target_seconds,
            window_seconds,
            failover: request.failover.as_ref().unwrap_or(&FailoverPatch::default()).apply(FailoverSpec::default())?,
            ingest_allow: names::allow_list(&request.ingest_allow)?,
            inputs: (0..inputs).map(|_| NewInput { id: InputId::random(), stream_key: stream_key() }).collect(),
            idempotency,
        })
    }

    pub(crate) async fn channel_list(&self, query: &PageQuery, keys: StreamKeys) -> Result<List<Channel>, Error> {
        let page = self.db.channel_page(&query.request()?).await?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let mut operations = self.operations_now(&ids).await?;
        let mut inputs = self.db.inputs_of(&ids).await?;
        let mut distributions = self.db.distributions_of(&ids).await?;
        let since = self.db.connected_since(None).await?;
        Ok(list(page, |row| {
            let operation = operations.remove(row.id.as_str());
            let inputs = inputs.remove(&row.id).unwrap_or_default();
            let distribution = distributions.remove(&row.id);
            let inputs = inputs.into_iter().map(|input| self.input_view(input, &since, keys)).collect();
            self.channel_view(row, operation, inputs, distribution)
        }))
    }

    pub(crate) async fn channel_show(&self, wanted: &str, keys: StreamKeys) -> Result<Channel, Error> {
        let row = self.db.channel_find(wanted).await?;
        self.channel_shown(row, keys).await
    }

    /// Changes what is named and leaves the rest.
    pub(crate) async fn channel_update(&self, wanted: &str, request: &ChannelPatch) -> Result<Channel, Error> {
        let before = self.db.channel_find(wanted).await?;
        let failover = request.failover.as_ref().map(|patch| patch.apply(before.failover.clone())).transpose()?;
        let change = ChannelChange {
            name: request.name.as_deref().map(names::name).transpose()?,
            description: request.description.as_deref().map(names::description).transpose()?,
            failover,
            ingest_allow: request.ingest_allow.as_deref().map(names::allow_list).transpose()?,
        };
        let row = self.db.channel_update(before.id.as_str(), &change, self.clock.now_ms()).await?;
        self.changed();
        self.channel_shown(row, StreamKeys::Shown).await
    }

    /// Puts another input in use (V93).
    pub(crate) async fn channel_switch(
        &self,
        wanted: &str,
        request: &InputSwitch,
        keys: StreamKeys,
    ) -> Result<Channel, Error> {
        let (channel, input) = self.input_find(wanted, &request.input).await?;
        let row = self.db.channel_choose(channel.as_str(), input.as_str(), self.clock.now_ms()).await?;
        tracing::info!(channel.id = %row.id, input.id = %input, "input chosen");
        self.changed();
        self.channel_shown(row, keys).await
    }

    /// Gives an input another stream key. An encoder that pushes with the one before is disconnected.
    pub(crate) async fn channel_rotate_key(
        &self,
        wanted: &str,
        input: &str,
        keys: StreamKeys,
    ) -> Result<Channel, Error> {
        let (channel, input) = self.input_find(wanted, input).await?;
        let now_ms = self.clock.now_ms();
        let row = self.db.input_rotate_key(channel.as_str(), input.as_str(), &stream_key(), now_ms).await?;
        tracing::info!(channel.id = %row.id, input.id = %input, "stream key rotated");
        self.changed();
        self.channel_shown(row, keys).await
    }

    /// A channel by id or name, and its input by id or number from 1.
    async fn input_find(&self, wanted: &str, input: &str) -> Result<(ChannelId, InputId), Error> {
        let channel = self.db.channel_find(wanted).await?;
        let inputs = self.db.channel_inputs(&channel.id).await?;
        let by_number = input.parse::<usize>().ok().and_then(|number| inputs.get(number.checked_sub(1)?));
        let Some(found) = by_number.or_else(|| inputs.iter().find(|one| one.id.as_str() == input)) else {
            let detail = format!("the channel has inputs 1 to {}: {input:?}", inputs.len());
            return Err(Error::invalid("input", detail));
        };
        Ok((channel.id, found.id.clone()))
    }

    pub(crate) async fn channel_start(&self, wanted: &str, keys: StreamKeys) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Run, keys).await
    }

    pub(crate) async fn channel_stop(&self, wanted: &str, keys: StreamKeys) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Rest, keys).await
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

    async fn channel_wish(&self, wanted: &str, wish: Wish, keys: StreamKeys) -> Result<Channel, Error> {
        let row = self.db.channel_wish(wanted, wish, self.clock.now_ms()).await?;
        self.changed();
        self.channel_shown(row, keys).await
    }

    async fn channel_shown(&self, row: ChannelRow, keys: StreamKeys) -> Result<Channel, Error> {
        let operation = self.operation_now(row.id.as_str()).await?;
        let inputs = self.db.channel_inputs(&row.id).await?;
        let distribution = self.db.distributions_of(&[row.id.as_str()]).await?.remove(&row.id);
        let since = self.db.connected_since(Some(&row.id)).await?;
        let inputs = inputs.into_iter().map(|input| self.input_view(input, &since, keys)).collect();
        Ok(self.channel_view(row, operation, inputs, distribution))
    }

    fn channel_view(
        &self,
        row: ChannelRow,
        operation: Option<OperationNow>,
        inputs: Vec<Input>,
        distribution: Option<anabranch_db::ChannelDistribution>,
    ) -> Channel {
        let active = self.observed.active_input(&row.id);
        Channel {
            failover: Failover {
                enabled: row.failover.enabled,
                loss_ms: row.failover.loss_ms,
                clear_ms: row.failover.clear_ms,
                preference: row.failover.preference,
                active_input: active.as_ref().and_then(|(input, _)| input.clone()).map(String::from),
                reason: active.map(|(_, reason)| reason),
            },
            ingest_allow: row.ingest_allow,
            inputs,
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
        }
    }

    fn input_view(&self, row: InputRow, since: &HashMap<InputId, i64>, keys: StreamKeys) -> Input {
        let push_url = self.config.rtmp_public.trim_end_matches('/');
        let state = match self.observed.input(&row.id) {
            InputState::Disconnected => InputNow::default(),
            InputState::Connected { remote, encoder, bitrate, media } => {
                let media = media.map(|media| *media).unwrap_or_default();
                InputNow {
                    connected: true,
                    remote: Some(remote),
                    encoder: Some(encoder),
                    bitrate_bps: Some(bitrate),
                    connected_since: since.get(&row.id).map(|since| time::render_ms(*since)),
                    video: media.video.map(video),
                    audio: media.audio.map(audio),
                }
            }
        };
        let stream_key = (keys == StreamKeys::Shown).then_some(row.stream_key);
        Input {
            push_url_with_key: stream_key.as_ref().map(|key| format!("{push_url}/{key}")),
            push_url: push_url.to_owned(),
            id: row.id.into(),
            stream_key,
            state,
        }
    }
}

fn video(sent: InputVideo) -> VideoNow {
    let InputVideo { codec, codecs, width, height, frame_rate } = sent;
    VideoNow { codec, codecs, width, height, frame_rate }
}

fn audio(sent: InputAudio) -> AudioNow {
    let InputAudio { codec, codecs, channels, sample_rate } = sent;
    AudioNow { codec, codecs, channels, sample_rate }
}

/// 128 random bits in hexadecimal: no character that an encoder's form or a shell could change.
fn stream_key() -> String {
    let mut bytes = [0_u8; 16];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out secrets.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
