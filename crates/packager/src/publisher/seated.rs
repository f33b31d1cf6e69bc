//! Segments that have their place on a timeline that regions share: numbered by time and named by content.
//!
//! A number whose slot has no segment here is listed as a gap when one after it is there. The live timeline has discontinuities only where
//! init sections change, which every region sees alike; its times go on over holes, as they are those of the day. A recording,
//! which has no holes, is broken at each.

use anabranch_media::fmp4::init_section;
use anabranch_store::key;
use bytes::Bytes;

use super::{GAP_MIN_MS, Publisher, rendition_name, rendition_of, segment_body};
use crate::digest;
use crate::error::PublishError;
use crate::record::{INITS_MAX, Record, RenditionRecord, SegmentRecord};
use crate::segmenter::{Closed, Part, Seat};

/// Gaps that are listed beyond those that fill the window: a playlist keeps some segments however long they are.
const GAPS_BEYOND_WINDOW: u64 = 4;

/// A stretch of the timeline before a segment.
struct Hole {
    msn: u64,
    target_ms: i64,
    /// Where the segment begins, milliseconds since the Unix epoch.
    until_ms: i64,
    most: u64,
}

impl Publisher {
    /// Stores the parts, each under the number that `seat` has.
    pub(super) async fn put_seated(
        &mut self,
        record: &mut Record,
        closed: Closed,
        seat: Seat,
    ) -> Result<(), PublishError> {
        let date_ms = closed.program_date_time_ms;
        let before = record.aligned.as_ref().map_or(seat.kept.discontinuities, |kept| kept.discontinuities);
        let changes = seat.kept.discontinuities.saturating_sub(before);
        let has_hole = date_ms - record.whole.until_ms >= GAP_MIN_MS;
        let cut = record.whole.segments > 0 && (changes > 0 || has_hole);
        if cut {
            self.note_gap(record, date_ms);
        }
        let window_ms = (self.window_seconds * 1000.0) as i64;
        let most = u64::try_from(window_ms / seat.kept.target_ms.max(1)).unwrap_or(0) + GAPS_BEYOND_WINDOW;
        let hole = Hole { msn: seat.msn, target_ms: seat.kept.target_ms, until_ms: date_ms, most };
        for part in closed.parts {
            let init = self.shared_init(record, &part).await?;
            let rendition = rendition_of(record, &part);
            let name = rendition.name.clone();
            let seconds = part.run.duration_seconds;
            let body = segment_body(seat.msn, part)?;
            let segment_name = key::segment_name(&name, seat.msn, &digest::of(&body));
            let bytes = self.put_segment(&segment_name, body).await?;
            let first = rendition.next_msn == 0;
            let segment = SegmentRecord {
                msn: seat.msn,
                name: segment_name,
                init,
                seconds,
                pdt_ms: date_ms,
                discontinuity: false,
                cut: Some(cut && !first),
                gap: false,
                bytes,
            };
            let known = rendition.segments.len();
            if first {
                rendition.discontinuity_sequence = seat.kept.discontinuities;
            } else {
                list_gaps(rendition, &hole);
            }
            rendition.next_msn = seat.msn;
            rendition.add(segment);
            count_discontinuities(rendition, known, seat.kept.discontinuities);
            record.whole.segments += 1;
            record.whole.bytes += bytes;
        }
        record.aligned = Some(seat.kept);
        Ok(())
    }

    /// The name of the init section for this part, which follows from its content; stored when it is new.
    async fn shared_init(&mut self, record: &mut Record, part: &Part) -> Result<String, PublishError> {
        if let Some((_, name)) = self.inits.iter().find(|(track, _)| *track == part.track) {
            return Ok(name.clone());
        }
        let rendition = rendition_name(part.track.kind);
        let body = Bytes::from(init_section(&part.track, part.timescale)?);
        let name = key::shared_init_name(rendition, &digest::of(std::slice::from_ref(&body)));
        if !record.inits.contains(&name) {
            let size = body.len() as u64;
            self.store.put(&key::recording_object(&self.breakout, self.session, &name), vec![body]).await?;
            record.whole.bytes += size;
            if record.inits.len() < INITS_MAX {
                record.inits.push(name.clone());
            }
        }
        self.inits.retain(|(track, _)| track.kind != part.track.kind);
        self.inits.push((part.track.clone(), name.clone()));
        Ok(name)
    }
}

/// Lists the numbers between the newest segment and that of `hole` as gaps, the newest of them if they are too many.
fn list_gaps(rendition: &mut RenditionRecord, hole: &Hole) {
    let Some(newest) = rendition.segments.back() else { return };
    let from_ms = newest.pdt_ms + (newest.seconds * 1000.0).round() as i64;
    let init = newest.init.clone();
    let first = rendition.next_msn.max(hole.msn.saturating_sub(hole.most));
    for msn in first..hole.msn {
        // A keyframe interval above the target skips numbers, but no time: those gaps have no length.
        let ahead = i64::try_from(hole.msn - msn).unwrap_or(i64::MAX);
        let start_ms = hole
            .until_ms
            .saturating_sub(ahead.saturating_mul(hole.target_ms))
            .clamp(from_ms.min(hole.until_ms), hole.until_ms);
        let end_ms = (hole.until_ms - (ahead - 1) * hole.target_ms).clamp(start_ms, hole.until_ms);
        rendition.segments.push_back(SegmentRecord {
            msn,
            name: key::gap_name(&rendition.name, msn),
            init: init.clone(),
            seconds: (end_ms - start_ms) as f64 / 1000.0,
            pdt_ms: start_ms,
            discontinuity: false,
            cut: None,
            gap: true,
            bytes: 0,
        });
        metrics::counter!("anabranch_packager_gap_segments_total").increment(1);
    }
}

/// Marks as many of the segments after the first `known` as discontinuities, the last of them, that the newest is the `sequence`th. What
/// changed while this region was away stands before its last gaps.
fn count_discontinuities(rendition: &mut RenditionRecord, known: usize, sequence: u64) {
    let marked = |rendition: &RenditionRecord| {
        u64::try_from(rendition.segments.iter().filter(|segment| segment.discontinuity).count()).unwrap_or(u64::MAX)
    };
    let changes = sequence.saturating_sub(rendition.discontinuity_sequence.saturating_add(marked(rendition)));
    let changes = usize::try_from(changes).unwrap_or(usize::MAX);
    let first = rendition.segments.len().saturating_sub(changes).max(known);
    rendition.segments.range_mut(first..).for_each(|segment| segment.discontinuity = true);
    rendition.discontinuity_sequence = sequence.saturating_sub(marked(rendition));
}
