//! Channels.

use anabranch_cloudfront::DistributionConfig;
use anabranch_db::{ChannelRow, Idempotency, InputRow, NewChannel, NewDistribution, NewInput, Wish};
use anabranch_model::{ChannelId, DistributionId, InputId, InputState};
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{Channel, ChannelDistribution, Input, InputNow, List};
use super::{App, Error, names};
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

impl App {
    /// Makes a channel with an input and a distribution, or answers the one of an earlier, equal request.
    pub(crate) async fn channel_create(
        &self,
        request: ChannelCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Channel, Error> {
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
        let distribution = DistributionId::random();
        let config = DistributionConfig::live(distribution.as_str(), &id, &self.key_group);
        let new = NewChannel {
            id,
            name: names::name(&request.name)?,
            description: names::description(&request.description)?,
            segment_target_seconds,
            window_seconds,
            inputs: vec![NewInput { id: InputId::random(), stream_key: stream_key() }],
            distribution: NewDistribution {
                domain_name: self.domain_name(&distribution),
                content: self.distribution_content(&config, &distribution)?,
                id: distribution,
                idempotency: None,
            },
            idempotency,
        };
        let row = self.db.channel_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        self.channel_view(row).await
    }

    pub(crate) async fn channel_list(&self, query: &PageQuery) -> Result<List<Channel>, Error> {
        let page = self.db.channel_page(&query.request()?).await?;
        let list = list(page, |row| row);
        let mut items = Vec::with_capacity(list.items.len());
        for row in list.items {
            match self.channel_view(row).await {
                // Deleted since the page was read.
                Err(Error::Db(anabranch_db::Error::NotFound { .. })) => {}
                view => items.push(view?),
            }
        }
        Ok(List { items, next: list.next })
    }

    pub(crate) async fn channel_show(&self, wanted: &str) -> Result<Channel, Error> {
        let row = self.db.channel_find(wanted).await?;
        self.channel_view(row).await
    }

    pub(crate) async fn channel_start(&self, wanted: &str) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Run).await
    }

    pub(crate) async fn channel_stop(&self, wanted: &str) -> Result<Channel, Error> {
        self.channel_wish(wanted, Wish::Rest).await
    }

    pub(crate) async fn channel_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.channel_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    async fn channel_wish(&self, wanted: &str, wish: Wish) -> Result<Channel, Error> {
        let row = self.db.channel_wish(wanted, wish, self.clock.now_ms()).await?;
        self.changed();
        self.channel_view(row).await
    }

    async fn channel_view(&self, row: ChannelRow) -> Result<Channel, Error> {
        let distribution = self.db.distribution_of_channel(&row.id).await?;
        let inputs = self.db.channel_inputs(&row.id).await?;
        Ok(Channel {
            inputs: inputs.into_iter().map(|input| self.input_view(input)).collect(),
            distribution: ChannelDistribution {
                id: distribution.id.into(),
                domain_name: distribution.domain_name,
                status: distribution.status,
                enabled: distribution.enabled,
            },
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
