//! Makes closed segments durable, then names them: a timeline never names what cannot be read yet.

use std::sync::Arc;

use anabranch_hls::timeline::Timeline;
use anabranch_media::fmp4::{self, init_section, segment_head};
use anabranch_media::{Track, TrackKind};
use anabranch_store::{LocalStore, StoreError, key};
use bytes::Bytes;
use tokio::sync::watch;

use crate::record::{Record, RenditionRecord, Retired, SegmentRecord, bits_per_second};
use crate::segmenter::{Closed, Part};

/// How long an object stays readable after the last playlist that named it, beyond the window itself, in milliseconds.
const RETIRE_AFTER_MS: i64 = 60_000;

/// A record larger than this is not ours.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// Frame rates that measured ones are taken for when they are within 1 %.
const COMMON_FRAME_RATES: [f64; 9] = [23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0];

/// Why a breakout cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A track cannot be written as CMAF.
    #[error("cannot package the encoder's stream")]
    Media(#[from] fmp4::WriteError),
    /// What an earlier process wrote cannot be understood.
    #[error("the timeline record {key} is damaged; move it away to begin anew")]
    Damaged {
        /// Object key.
        key: String,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

/// The published state of one breakout.
#[derive(Debug)]
pub struct Publisher {
    store: LocalStore,
    channel: String,
    breakout: String,
    window_seconds: f64,
    record: Record,
    /// Part of every name of this process and attempt, so that no name is ever used twice.
    run: String,
    inits: Vec<(Arc<Track>, String)>,
    init_count: u32,
    /// Set after a failure: the segment that failed is missing.
    broken: bool,
    timeline: watch::Sender<Arc<Timeline>>,
}

impl Publisher {
    /// Goes on with what earlier processes published of the breakout, or begins.
    ///
    /// # Errors
    /// The record of an earlier process cannot be read.
    pub async fn open(
        store: LocalStore,
        channel: &str,
        breakout: &str,
        target_seconds: u32,
        window_seconds: u32,
    ) -> Result<Self, PublishError> {
        let record_key = key::live_object(channel, breakout, key::TIMELINE);
        let record = match store.get(&record_key).await {
            Ok(object) if object.len > MAX_RECORD_BYTES => Record::default(),
            Ok(_) => serde_json::from_slice(&store.read(&record_key).await?)
                .map_err(|source| PublishError::Damaged { key: record_key, source })?,
            Err(StoreError::NotFound { .. }) => Record { target_duration_seconds: target_seconds, ..Record::default() },
            Err(error) => return Err(error.into()),
        };
        let (timeline, _) = watch::channel(Arc::new(record.timeline()));
        Ok(Self {
            store,
            channel: channel.to_owned(),
            breakout: breakout.to_owned(),
            window_seconds: f64::from(window_seconds),
            record,
            run: new_run(),
            inits: Vec::new(),
            init_count: 0,
            broken: false,
            timeline,
        })
    }

    /// The timeline, newest first value and then each publication.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Timeline>> {
        self.timeline.subscribe()
    }

    /// Where media goes on, in milliseconds of the timeline.
    #[must_use]
    pub fn next_origin_ms(&self) -> i64 {
        self.record.next_origin_ms
    }

    /// Whether players may begin.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        self.timeline.borrow().is_playable()
    }

    /// Stores the segment and then names it in the timeline.
    ///
    /// # Errors
    /// Nothing of the segment is named; what was published before stays as it is. The next segment may be tried.
    pub async fn publish(&mut self, closed: Closed, now_ms: i64) -> Result<(), PublishError> {
        let result = self.try_publish(closed, now_ms).await;
        if result.is_err() {
            // Objects of the failed attempt may exist: their names must not come again.
            self.run = new_run();
            self.inits.clear();
            self.broken = true;
        }
        result
    }

    async fn try_publish(&mut self, closed: Closed, now_ms: i64) -> Result<(), PublishError> {
        let mut record = self.record.clone();
        let mut end_ms = record.next_origin_ms;
        let discontinuity = closed.discontinuity || self.broken;
        for part in closed.parts {
            end_ms = end_ms.max(closed.start_ms + (part.run.duration_seconds * 1000.0).ceil() as i64);
            let init = self.init(&part).await?;
            let rendition = rendition_of(&mut record, &part);
            let first = rendition.next_msn == 0;
            let msn = rendition.next_msn;
            let segment = SegmentRecord {
                msn,
                name: key::segment_name(&rendition.name, msn, &self.run),
                init,
                seconds: part.run.duration_seconds,
                pdt_ms: closed.program_date_time_ms,
                discontinuity: discontinuity && !first,
                bytes: part.run.bytes,
            };
            let body = segment_body(msn, part)?;
            let size: u64 = body.iter().map(|chunk| chunk.len() as u64).sum();
            self.store.put(&key::live_object(&self.channel, &self.breakout, &segment.name), body).await?;
            metrics::counter!("anabranch_packager_segments_total").increment(1);
            metrics::counter!("anabranch_packager_segment_bytes_total").increment(size);
            add(rendition, SegmentRecord { bytes: size, ..segment });
        }
        record.next_origin_ms = end_ms;
        let longest = record.renditions.iter().filter_map(|r| r.segments.back()).map(|s| s.seconds);
        let longest = longest.fold(0.0, f64::max).round() as u32;
        record.target_duration_seconds = record.target_duration_seconds.max(longest);
        let gone = self.evict(&mut record, now_ms);
        self.commit(record).await?;
        self.broken = false;
        self.delete(gone).await;
        Ok(())
    }

    /// Marks the timeline as complete: its playlists end.
    ///
    /// # Errors
    /// The record cannot be written; the timeline stays live.
    pub async fn end(&mut self) -> Result<(), PublishError> {
        if self.record.ended {
            return Ok(());
        }
        self.commit(Record { ended: true, ..self.record.clone() }).await
    }

    /// Makes the record durable and then public.
    async fn commit(&mut self, record: Record) -> Result<(), PublishError> {
        let key = key::live_object(&self.channel, &self.breakout, key::TIMELINE);
        let json = serde_json::to_vec(&record).map_err(|source| PublishError::Damaged { key: key.clone(), source })?;
        self.store.put(&key, vec![Bytes::from(json)]).await?;
        self.timeline.send_replace(Arc::new(record.timeline()));
        self.record = record;
        Ok(())
    }

    /// The name of the init section for this part, stored when it is new.
    async fn init(&mut self, part: &Part) -> Result<String, PublishError> {
        if let Some((_, name)) = self.inits.iter().find(|(track, _)| *track == part.track) {
            return Ok(name.clone());
        }
        let name = key::init_name(rendition_name(part.track.kind), &self.run, self.init_count);
        let body = init_section(&part.track, part.timescale)?;
        self.store.put(&key::live_object(&self.channel, &self.breakout, &name), vec![Bytes::from(body)]).await?;
        self.init_count += 1;
        self.inits.retain(|(track, _)| track.kind != part.track.kind);
        self.inits.push((part.track.clone(), name.clone()));
        Ok(name)
    }

    /// Takes segments that left the window out of the record, and returns the names that may be deleted now.
    fn evict(&self, record: &mut Record, now_ms: i64) -> Vec<String> {
        let keep_ms = (self.window_seconds * 1000.0) as i64 + RETIRE_AFTER_MS;
        for rendition in &mut record.renditions {
            let mut total: f64 = rendition.segments.iter().map(|s| s.seconds).sum();
            while rendition.segments.len() > 3 {
                let Some(oldest) = rendition.segments.front() else { break };
                if total - oldest.seconds < self.window_seconds {
                    break;
                }
                total -= oldest.seconds;
                let Some(oldest) = rendition.segments.pop_front() else { break };
                rendition.discontinuity_sequence += u64::from(oldest.discontinuity);
                record.retired.push_back(Retired { name: oldest.name, after_ms: now_ms + keep_ms });
                let init_in_use = rendition.segments.iter().any(|s| s.init == oldest.init);
                if !init_in_use {
                    record.retired.push_back(Retired { name: oldest.init, after_ms: now_ms + keep_ms });
                }
            }
        }
        let mut gone = Vec::new();
        while record.retired.front().is_some_and(|retired| retired.after_ms <= now_ms) {
            gone.extend(record.retired.pop_front().map(|retired| retired.name));
        }
        gone
    }

    async fn delete(&self, names: Vec<String>) {
        for name in names {
            let key = key::live_object(&self.channel, &self.breakout, &name);
            if let Err(error) = self.store.delete(&key).await {
                tracing::warn!(object.key = %key, error = %error, "an old segment stays on disk");
            }
        }
    }
}

fn new_run() -> String {
    // Five random characters of an identifier: enough for one breakout's restarts.
    let id: String = anabranch_model::BreakoutId::random().into();
    id.chars().skip(1).take(6).collect()
}

fn rendition_name(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}

fn segment_body(msn: u64, part: Part) -> Result<Vec<Bytes>, PublishError> {
    let sequence = (msn as u32).wrapping_add(1);
    let head = segment_head(sequence, part.run.base_decode_time, &part.run.samples, &part.track)?;
    let mut body = Vec::with_capacity(part.run.data.len() + 1);
    body.push(Bytes::from(head));
    body.extend(part.run.data);
    Ok(body)
}

fn rendition_of<'a>(record: &'a mut Record, part: &Part) -> &'a mut RenditionRecord {
    let name = rendition_name(part.track.kind);
    let index = match record.renditions.iter().position(|rendition| rendition.name == name) {
        Some(index) => index,
        None => {
            let at = if part.track.kind == TrackKind::Video { 0 } else { record.renditions.len() };
            record.renditions.insert(at, RenditionRecord::new(name, part.track.kind));
            at
        }
    };
    let rendition = &mut record.renditions[index];
    rendition.codecs.clone_from(&part.track.codecs);
    (rendition.width, rendition.height) = (part.track.width, part.track.height);
    rendition.channels = part.track.channels;
    if part.track.kind == TrackKind::Video && part.run.samples.len() > 1 {
        rendition.frame_rate = Some(frame_rate(part.run.samples.len() as f64 / part.run.duration_seconds));
    }
    rendition
}

fn add(rendition: &mut RenditionRecord, segment: SegmentRecord) {
    // Very short last segments would claim absurd peaks: their bits count against one second at least.
    rendition.peak_bandwidth = rendition.peak_bandwidth.max(bits_per_second(segment.bytes, segment.seconds.max(1.0)));
    rendition.total_bytes += segment.bytes;
    rendition.total_seconds += segment.seconds;
    rendition.next_msn += 1;
    rendition.segments.push_back(segment);
}

fn frame_rate(measured: f64) -> f64 {
    let nearest =
        COMMON_FRAME_RATES.iter().copied().min_by(|a, b| (a - measured).abs().total_cmp(&(b - measured).abs()));
    match nearest {
        Some(common) if (common - measured).abs() <= common * 0.01 => common,
        _ => (measured * 1000.0).round() / 1000.0,
    }
}

impl RenditionRecord {
    fn new(name: &str, kind: TrackKind) -> Self {
        Self {
            name: name.to_owned(),
            video: kind == TrackKind::Video,
            codecs: String::new(),
            width: 0,
            height: 0,
            frame_rate: None,
            channels: 0,
            next_msn: 0,
            discontinuity_sequence: 0,
            peak_bandwidth: 0,
            total_bytes: 0,
            total_seconds: 0.0,
            segments: std::collections::VecDeque::new(),
        }
    }
}
