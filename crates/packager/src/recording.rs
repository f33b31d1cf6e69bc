//! What a breakout leaves behind: playlists of all its segments and a list of its gaps, over the very objects that live viewers got.

use std::sync::Arc;

use anabranch_hls::timeline::{Progress, Rendition, Segment, Timeline, peak_bandwidth};
use anabranch_hls::{render, time};
use anabranch_store::{LocalStore, StoreError, key};
use bytes::Bytes;
use serde::Serialize;

use crate::error::PublishError;
use crate::record::{GapRecord, Page, Record, RenditionRecord, SegmentRecord};

/// A page larger than this is not ours.
const MAX_PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// Version of `gaps.json`.
const GAPS_VERSION: u32 = 1;

/// `gaps.json`.
#[derive(Serialize)]
struct Gaps {
    version: u32,
    gaps: Vec<Gap>,
}

#[derive(Serialize)]
struct Gap {
    /// Wall-clock time of its start, RFC 3339.
    start: String,
    #[serde(flatten)]
    record: GapRecord,
}

/// Writes the recording of `record`, which has ended, the index last; one that is there stays as it is.
pub(crate) async fn write(
    store: &LocalStore,
    breakout: &str,
    session: u32,
    record: &Record,
) -> Result<(), PublishError> {
    let object = |name: &str| key::recording_object(breakout, session, name);
    match store.get(&object(key::INDEX)).await {
        Ok(_) => return Ok(()),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut page = Page::default();
    for number in 0..record.whole.pages {
        page.append(read_page(store, &key::record_object(breakout, session, &key::page_name(number))).await?);
    }
    page.append(record.whole.tail.clone());
    let timeline = timeline(session, record, &page);
    for rendition in &timeline.renditions {
        if let Some(playlist) = render::recording(&timeline, &rendition.name) {
            store.put(&object(&key::playlist_name(&rendition.name)), vec![Bytes::from(playlist)]).await?;
        }
    }
    let gaps = page.gaps.into_iter().map(|record| Gap { start: time::render(record.wall_ms), record }).collect();
    let gaps = serde_json::to_vec(&Gaps { version: GAPS_VERSION, gaps })
        .map_err(|source| PublishError::Damaged { key: object(key::GAPS), source })?;
    store.put(&object(key::GAPS), vec![Bytes::from(gaps)]).await?;
    store.put(&object(key::INDEX), vec![Bytes::from(render::multivariant(&timeline))]).await?;
    metrics::counter!("anabranch_packager_recordings_total").increment(1);
    Ok(())
}

async fn read_page(store: &LocalStore, key: &str) -> Result<Page, PublishError> {
    let damaged = |source| PublishError::Damaged { key: key.to_owned(), source };
    if store.get(key).await?.len > MAX_PAGE_BYTES {
        return Err(damaged(serde::de::Error::custom("it is too large")));
    }
    serde_json::from_slice(&store.read(key).await?).map_err(damaged)
}

/// The whole of it: what is in `page`, then the window.
fn timeline(session: u32, record: &Record, page: &Page) -> Timeline {
    let renditions = record.renditions.iter().map(|rendition| {
        let earlier = page.renditions.get(&rendition.name).into_iter().flatten();
        whole(rendition, earlier.chain(&rendition.segments))
    });
    Timeline {
        session,
        progress: Progress::Ended,
        target_duration_seconds: record.target_duration_seconds,
        renditions: renditions.collect(),
    }
}

fn whole<'a>(record: &RenditionRecord, segments: impl Iterator<Item = &'a SegmentRecord>) -> Rendition {
    // What was never there is a gap of the recording, and no segment.
    let there = segments.filter(|record| !record.gap);
    let segments: Vec<Arc<Segment>> = there.map(|record| Arc::new(record.recorded())).collect();
    let (width, height) = record.largest;
    Rendition {
        codecs: record.all_codecs.join(","),
        resolution: (width > 0 && height > 0).then_some((width, height)),
        peak_bandwidth: peak_bandwidth(&segments),
        discontinuity_sequence: record.first_discontinuity,
        segments: segments.into(),
        ..record.rendition()
    }
}
