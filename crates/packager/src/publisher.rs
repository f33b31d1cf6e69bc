//! Makes closed segments durable, then names them: a timeline never names what cannot be read yet.
//!
//! Nothing is removed: what leaves the live window stays as part of the recording.

mod seated;

use std::sync::Arc;

use anabranch_hls::timeline::Timeline;
use anabranch_media::fmp4::{init_section, segment_head};
use anabranch_media::{Track, TrackKind};
use anabranch_model::Recorded;
use anabranch_store::{LocalStore, StoreError, key};
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::PublishError;
use crate::frame_rate;
use crate::record::{GapReason, GapRecord, Page, Record, RenditionRecord, SegmentRecord};
use crate::recording;
use crate::segmenter::{Closed, Kept, Part};

/// Segments and gaps of the recording in one object: the record, which is written with each segment, holds less than these.
const PAGE_ENTRIES: usize = 128;

/// Time without media that is a gap, in milliseconds: less is within the precision of the wall clock at the start of a period.
const GAP_MIN_MS: i64 = 200;

/// A record larger than this is not ours.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// The published state of one session of a breakout.
#[derive(Debug)]
pub struct Publisher {
    store: LocalStore,
    breakout: String,
    session: u32,
    window_seconds: f64,
    record: Record,
    /// Part of every name of this process and attempt, so that no name is ever used twice.
    run: String,
    inits: Vec<(Arc<Track>, String)>,
    init_count: u32,
    /// Bytes of init sections that no record has counted.
    init_bytes: u64,
    /// Set after a failure: the segment that failed is missing.
    broken: bool,
    /// Why there may be no media before the next segment.
    interrupted: Option<GapReason>,
    timeline: watch::Sender<Arc<Timeline>>,
}

impl Publisher {
    /// Goes on with what earlier processes published of the session, from 1, of the breakout, or begins.
    ///
    /// # Errors
    /// The record of an earlier process cannot be read.
    pub async fn open(
        store: LocalStore,
        breakout: &str,
        session: u32,
        target_seconds: u32,
        window_seconds: u32,
    ) -> Result<Self, PublishError> {
        let record_key = key::record_object(breakout, session, key::TIMELINE);
        let damaged = |source| PublishError::Damaged { key: record_key.clone(), source };
        let record: Record = match store.get(&record_key).await {
            Ok(object) if object.len > MAX_RECORD_BYTES => {
                return Err(damaged(serde::de::Error::custom("it is too large")));
            }
            Ok(_) => serde_json::from_slice(&store.read(&record_key).await?).map_err(damaged)?,
            Err(StoreError::NotFound { .. }) => Record { target_duration_seconds: target_seconds, ..Record::default() },
            Err(error) => return Err(error.into()),
        };
        let (timeline, _) = watch::channel(Arc::new(record.timeline(session)));
        Ok(Self {
            store,
            breakout: breakout.to_owned(),
            session,
            window_seconds: f64::from(window_seconds),
            interrupted: (record.whole.segments > 0).then_some(GapReason::Restart),
            record,
            run: new_run(),
            inits: Vec::new(),
            init_count: 0,
            init_bytes: 0,
            broken: false,
            timeline,
        })
    }

    /// Makes ready for media what may have been closed: what was aborted begins anew; what had ended goes on, and its recording is
    /// written again.
    ///
    /// # Errors
    /// The store refused.
    pub async fn reopen(&mut self) -> Result<(), PublishError> {
        if self.record.aborted {
            self.store.delete_recording(&self.breakout, self.session).await?;
            let target_duration_seconds = self.record.target_duration_seconds;
            self.record = Record { target_duration_seconds, ..Record::default() };
            self.interrupted = None;
            self.timeline.send_replace(Arc::new(self.record.timeline(self.session)));
        } else if self.record.ended {
            self.store.delete(&key::recording_object(&self.breakout, self.session, key::INDEX)).await?;
            self.commit(Record { ended: false, ..self.record.clone() }).await?;
        }
        Ok(())
    }

    /// The session before this one, if it has media and no recording: it was over and reset before anybody here was told. Nobody
    /// may publish to it any more.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub async fn unfinished_predecessor(&self) -> Result<Option<Self>, PublishError> {
        let Some(session) = self.session.checked_sub(1).filter(|session| *session > 0) else { return Ok(None) };
        let index = key::recording_object(&self.breakout, session, key::INDEX);
        if !matches!(self.store.get(&index).await, Err(StoreError::NotFound { .. })) {
            return Ok(None);
        }
        let mut earlier = Self::open(self.store.clone(), &self.breakout, session, 1, 1).await?;
        // Only what has run is reset, so it was not taken back.
        earlier.record.aborted = false;
        Ok((earlier.record.whole.segments > 0).then_some(earlier))
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

    /// What is kept of a timeline that regions share, for [`Segmenter::aligned`](crate::segmenter::Segmenter::aligned).
    #[must_use]
    pub fn kept(&self) -> Kept {
        let next_msn = self.record.renditions.iter().map(|rendition| rendition.next_msn).max();
        let fresh = Kept { until_ms: self.record.whole.until_ms, ..Kept::default() };
        let kept = self.record.aligned.clone().unwrap_or(fresh);
        Kept { next_msn: next_msn.unwrap_or(0).max(kept.next_msn), ..kept }
    }

    /// Whether players may begin.
    #[must_use]
    pub fn is_playable(&self) -> bool {
        self.timeline.borrow().is_playable()
    }

    /// What has been recorded so far.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        let whole = &self.record.whole;
        Recorded {
            duration_ms: (whole.media_seconds * 1000.0).round() as u64,
            segments: whole.segments,
            bytes: whole.bytes,
            gaps: whole.gaps,
            gap_ms: whole.gap_ms,
            complete: false,
        }
    }

    /// Notes why the next segment may not follow the one before.
    pub fn interrupt(&mut self, reason: GapReason) {
        self.interrupted = self.interrupted.max(Some(reason));
    }

    /// Stores the segment and then names it in the timeline.
    ///
    /// # Errors
    /// Nothing of the segment is named; what was published before stays as it is. The next segment may be tried.
    pub async fn publish(&mut self, closed: Closed) -> Result<(), PublishError> {
        let result = self.try_publish(closed).await;
        if let Err(error) = &result {
            // Objects of the failed attempt may exist: their names must not come again.
            self.run = new_run();
            self.inits.clear();
            self.init_bytes = 0;
            self.broken = true;
            let is_full = matches!(error, PublishError::Store(StoreError::Full { .. }));
            self.interrupt(if is_full { GapReason::DiskFull } else { GapReason::Blocked });
        }
        result
    }

    async fn try_publish(&mut self, mut closed: Closed) -> Result<(), PublishError> {
        let mut record = self.record.clone();
        let (start_ms, date_ms) = (closed.start_ms, closed.program_date_time_ms);
        let lead_seconds = closed.parts.first().map_or(0.0, |lead| lead.run.duration_seconds);
        let ends = closed.parts.iter().map(|part| start_ms + (part.run.duration_seconds * 1000.0).ceil() as i64);
        let end_ms = ends.fold(record.next_origin_ms, i64::max);
        match closed.seat.take() {
            Some(seat) => self.put_seated(&mut record, closed, seat).await?,
            None => self.put_parts(&mut record, closed).await?,
        }
        record.whole.bytes += self.init_bytes;
        record.whole.media_seconds += lead_seconds;
        record.whole.until_ms = date_ms + (lead_seconds * 1000.0).round() as i64;
        record.next_origin_ms = end_ms;
        let longest = record.renditions.iter().filter_map(|r| r.segments.back()).map(|s| s.seconds);
        let longest = longest.fold(0.0, f64::max).round() as u32;
        record.target_duration_seconds = record.target_duration_seconds.max(longest);
        self.evict(&mut record).await?;
        self.commit(record).await?;
        (self.broken, self.interrupted, self.init_bytes) = (false, None, 0);
        Ok(())
    }

    /// Stores the parts as the next of their renditions.
    async fn put_parts(&mut self, record: &mut Record, closed: Closed) -> Result<(), PublishError> {
        let discontinuity = (closed.discontinuity || self.broken) && record.whole.segments > 0;
        if discontinuity {
            self.note_gap(record, closed.program_date_time_ms);
        }
        for part in closed.parts {
            let init = self.init(&part).await?;
            let rendition = rendition_of(record, &part);
            let first = rendition.next_msn == 0;
            let msn = rendition.next_msn;
            let segment = SegmentRecord {
                msn,
                name: key::segment_name(&rendition.name, msn, &self.run),
                init,
                seconds: part.run.duration_seconds,
                pdt_ms: closed.program_date_time_ms,
                discontinuity: discontinuity && !first,
                cut: None,
                gap: false,
                bytes: part.run.bytes,
            };
            let size = self.put_segment(&segment.name, segment_body(msn, part)?).await?;
            rendition.add(SegmentRecord { bytes: size, ..segment });
            record.whole.segments += 1;
            record.whole.bytes += size;
        }
        Ok(())
    }

    /// Stores a segment. Returns its size.
    async fn put_segment(&self, name: &str, body: Vec<Bytes>) -> Result<u64, PublishError> {
        let size: u64 = body.iter().map(|chunk| chunk.len() as u64).sum();
        self.store.put(&key::recording_object(&self.breakout, self.session, name), body).await?;
        metrics::counter!("anabranch_packager_segments_total").increment(1);
        metrics::counter!("anabranch_packager_segment_bytes_total").increment(size);
        Ok(size)
    }

    /// Marks the timeline as complete, so that its playlists end, and writes the recording. What was done before is not done again.
    ///
    /// # Errors
    /// The record or the recording cannot be written; whoever calls again goes on there.
    pub async fn finish(&mut self) -> Result<Recorded, PublishError> {
        if self.record.whole.segments == 0 {
            // Of nothing there is no record.
            self.record.ended = true;
            self.timeline.send_replace(Arc::new(self.record.timeline(self.session)));
        } else {
            if !self.record.ended {
                self.commit(Record { ended: true, ..self.record.clone() }).await?;
            }
            if !self.record.aborted {
                let (breakout, session) = (&self.breakout, self.session);
                recording::write(&self.store, breakout, session, &self.record).await?;
            }
        }
        Ok(Recorded { complete: true, ..self.recorded() })
    }

    /// Ends the timeline without a recording. The media stay until they are removed, or the session begins anew.
    ///
    /// # Errors
    /// The record cannot be written.
    pub async fn abort(&mut self) -> Result<(), PublishError> {
        if self.record.whole.segments == 0 {
            return Ok(());
        }
        self.commit(Record { ended: true, aborted: true, ..self.record.clone() }).await
    }

    /// Makes the record durable and then public.
    async fn commit(&mut self, record: Record) -> Result<(), PublishError> {
        let key = key::record_object(&self.breakout, self.session, key::TIMELINE);
        let json = serde_json::to_vec(&record).map_err(|source| PublishError::Damaged { key: key.clone(), source })?;
        self.store.put(&key, vec![Bytes::from(json)]).await?;
        self.timeline.send_replace(Arc::new(record.timeline(self.session)));
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
        let size = body.len() as u64;
        let key = key::recording_object(&self.breakout, self.session, &name);
        self.store.put(&key, vec![Bytes::from(body)]).await?;
        self.init_bytes += size;
        self.init_count += 1;
        self.inits.retain(|(track, _)| track.kind != part.track.kind);
        self.inits.push((part.track.clone(), name.clone()));
        Ok(name)
    }

    /// Notes the time between the newest segment and one that begins at `from_ms` of the wall clock.
    fn note_gap(&self, record: &mut Record, from_ms: i64) {
        let whole = &mut record.whole;
        whole.discontinuities += 1;
        let length_ms = from_ms - whole.until_ms;
        if length_ms < GAP_MIN_MS {
            return;
        }
        let reason = self.interrupted.unwrap_or(GapReason::StreamChanged);
        let length_ms = length_ms.unsigned_abs();
        let media_ms = (whole.media_seconds * 1000.0).round() as u64;
        whole.tail.gaps.push(GapRecord { wall_ms: whole.until_ms, media_ms, length_ms, reason });
        whole.gaps += 1;
        whole.gap_ms += length_ms;
        metrics::counter!("anabranch_packager_gaps_total", "reason" => reason.as_str()).increment(1);
    }

    /// Moves segments that left the window to the tail, and stores the tail as a page once it is one.
    async fn evict(&self, record: &mut Record) -> Result<(), PublishError> {
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
                if oldest.gap {
                    continue;
                }
                record.whole.tail.renditions.entry(rendition.name.clone()).or_default().push(oldest);
            }
        }
        if record.whole.tail.len() < PAGE_ENTRIES {
            return Ok(());
        }
        // Until the record counts it the page may be written again, with more in it.
        let key = key::record_object(&self.breakout, self.session, &key::page_name(record.whole.pages));
        let page = serde_json::to_vec(&record.whole.tail)
            .map_err(|source| PublishError::Damaged { key: key.clone(), source })?;
        self.store.put(&key, vec![Bytes::from(page)]).await?;
        record.whole.pages += 1;
        record.whole.tail = Page::default();
        Ok(())
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

pub(crate) fn segment_body(msn: u64, part: Part) -> Result<Vec<Bytes>, PublishError> {
    let sequence = (msn as u32).wrapping_add(1);
    let head = segment_head(sequence, part.run.base_decode_time, &part.run.samples, &part.track)?;
    let mut body = Vec::with_capacity(part.run.data.len() + 1);
    body.push(Bytes::from(head));
    body.extend(part.run.data);
    Ok(body)
}

fn rendition_of<'a>(record: &'a mut Record, part: &Part) -> &'a mut RenditionRecord {
    let name = rendition_name(part.track.kind);
    let is_video = part.track.kind == TrackKind::Video;
    let index = match record.renditions.iter().position(|rendition| rendition.name == name) {
        Some(index) => index,
        None => {
            let at = if is_video { 0 } else { record.renditions.len() };
            record.renditions.insert(at, RenditionRecord::new(name, is_video, record.whole.discontinuities));
            at
        }
    };
    let rendition = &mut record.renditions[index];
    rendition.describe(&part.track.codecs, (part.track.width, part.track.height), part.track.channels);
    if is_video && part.run.samples.len() > 1 {
        rendition.frame_rate = Some(frame_rate::nearest(part.run.samples.len() as f64 / part.run.duration_seconds));
    }
    rendition
}
