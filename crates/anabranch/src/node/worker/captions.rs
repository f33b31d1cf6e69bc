//! Captions that were added to an asset: published beside what was made of its file, and taken back.

use std::collections::HashSet;

use anabranch_control::Progress;
use anabranch_model::{AssetMade, AssetReport, CaptionTrack, CaptionsWork, Done, Failure};
use anabranch_packager::vod::{self, Kind, Label, Output, Summary, TextPlan};
use anabranch_store::buckets::BucketError;
use anabranch_store::{Buckets, LocalStore, key};
use bytes::Bytes;

use super::failure::{given_up, lost, of_bucket};
use super::made::Made;
use super::objects;
use super::publish::track;

/// What the names of their renditions begin with; those of the file are `text_<number>`.
const NAME: &str = "text_x";

/// Publishes these captions and no others: their renditions, then the multivariant playlist; then what is named no more goes.
pub(super) async fn publish(
    store: &LocalStore,
    buckets: &Buckets,
    work: &CaptionsWork,
    progress: Progress,
) -> Result<Done, Failure> {
    if buckets.backend(key::VOD).map_err(|error| of_bucket(&error))?.is_some() {
        let why = "captions cannot be added while assets are at a service elsewhere: have them in the file itself";
        return Err(given_up(why));
    }
    let mut made = Made::read(buckets, &work.asset).await?;
    let prefix = key::asset_prefix(work.asset.as_str());
    let hls = format!("{prefix}HLS/");
    // Form of the segments does not matter to text.
    let container = made.renditions.first().map_or(vod::Container::Cmaf, |summary| summary.container);
    let prefix_key = format!("bucket/{}/{hls}", key::VOD);
    let output = Output { store: store.clone(), prefix: prefix_key, stem: made.stem.clone(), container };
    let mut stay = HashSet::new();
    let mut bytes = 0;
    for (at, caption) in work.tracks.iter().enumerate() {
        let words = format!("{prefix}{}", key::asset_captions(&caption.mark));
        let file = buckets.locate(key::VOD, &words).await.map_err(|error| passing(&error))?.path;
        let plan = TextPlan {
            name: format!("{NAME}{}_{}", caption.mark, caption.language),
            file,
            label: label(caption, &made.renditions),
            duration_seconds: made.duration_ms as f64 / 1000.0,
        };
        let summary = vod::package_text(&output, &plan, &made.cuts).await.map_err(|error| lost(&error))?;
        stay.extend(["m3u8", "vtt"].map(|form| format!("{hls}{}_{}.{form}", made.stem, plan.name)));
        bytes += summary.bytes;
        made.renditions.push(summary);
        progress.set(u32::try_from((at + 1) * 900 / work.tracks.len()).unwrap_or(900));
    }
    let playlist = vod::multivariant(&made.renditions, None);
    let name = format!("{prefix}{}", key::asset_playlist(work.asset.as_str()));
    let stored = store.put(&key::bucket_object(key::VOD, &name), vec![Bytes::from(playlist)]).await;
    stored.map_err(|error| lost(&error))?;
    let added = format!("{hls}{}_{NAME}", made.stem);
    objects::remove(buckets, &added, |object| stay.contains(object)).await?;
    let captions = made.renditions.iter().filter(|summary| summary.kind == Kind::Text).map(track).collect();
    let report = AssetReport { source: None, made: AssetMade { captions, ..AssetMade::default() } };
    let marks = work.tracks.iter().map(|caption| caption.mark.clone()).collect();
    Ok(Done { bytes, report: Some(report), captions: Some(marks), ..Done::default() })
}

/// What viewers are told; no two renditions have the same name (rfc8216bis §4.4.6.1.1).
fn label(caption: &CaptionTrack, others: &[Summary]) -> Label {
    let is_taken = |name: &str| others.iter().any(|other| other.kind == Kind::Text && other.label.name == name);
    let mut name = caption.label.clone();
    let mut number = 2;
    while is_taken(&name) {
        name = format!("{} ({number})", caption.label);
        number += 1;
    }
    Label { language: caption.language.clone(), name, is_default: caption.preferred, is_special: caption.forced }
}

/// Words that are gone were replaced since: the next try is told which there are.
fn passing(error: &BucketError) -> Failure {
    match error {
        BucketError::NoSuchKey { .. } => Failure::passing(error.to_string()),
        _ => of_bucket(error),
    }
}
