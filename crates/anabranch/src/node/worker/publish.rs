//! What viewers and the control plane are told of an asset while it is made, and at its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anabranch_model::{AssetMade, AssetReport, AssetRung, AssetSource, AssetTrack, Failure};
use anabranch_packager::vod::{self, Kind, Summary};
use anabranch_store::buckets::{Adopt, Attributes, Put};
use anabranch_store::key;
use anabranch_transcode::vod::{DynamicRange, Plan, Unit, UnitKind};
use bytes::Bytes;

use super::asset::{AssetRun, EARLY};
use super::{elsewhere, failure, lost, of_bucket, remove};

impl AssetRun<'_> {
    /// The multivariant playlist of what there is.
    pub(super) async fn publish(&self, plan: &Plan, made: &BTreeMap<String, Summary>) -> Result<(), Failure> {
        let shown = shown(plan, made);
        if !shown.iter().any(|summary| summary.kind == reference(plan)) {
            return Ok(());
        }
        let (whole, planned) = rungs(plan, made);
        let partial = (whole < planned).then_some((whole, planned));
        let summaries: Vec<Summary> = shown.into_iter().cloned().collect();
        let playlist = vod::multivariant(&summaries, partial);
        let asset = self.work.asset.as_str();
        let name = format!("{}{}", key::asset_prefix(asset), key::asset_playlist(asset));
        let playlist = Bytes::from(playlist);
        if self.buckets.backend(key::VOD).map_err(|error| of_bucket(&error))?.is_some() {
            let put = Put { attributes: Attributes::of_type(elsewhere::content_type(&name)), ..Put::default() };
            let sent = self.buckets.put_bytes(key::VOD, &name, put, playlist).await;
            return sent.map(drop).map_err(|error| of_bucket(&error));
        }
        let stored = self.store.put(&key::bucket_object(key::VOD, &name), vec![playlist]).await;
        stored.map_err(|error| lost(&error))
    }

    /// Makes objects of what a unit has made beside renditions: pictures, the MP4.
    pub(super) async fn keep_files(&self, unit: &Unit, plan: &Plan) -> Result<(), Failure> {
        let folder = match unit.kind {
            UnitKind::Pictures => "Thumbnails",
            UnitKind::Mp4 { .. } => "MP4",
            _ => return Ok(()),
        };
        let done = self.transcode.done(unit, plan, &self.folder).await.map_err(|error| failure(&error))?;
        for file in done.map(|done| done.files).unwrap_or_default() {
            let Some(name) = object_name(&file.path, self.work.asset.as_str(), &unit.kind) else { continue };
            let object = format!("{}{folder}/{name}", key::asset_prefix(self.work.asset.as_str()));
            let kind = content_type(&name);
            let path = self.folder.join(&file.path);
            let adopted = self.buckets.adopt(key::VOD, &object, &path, Adopt::Copy, Attributes::of_type(kind), None);
            adopted.await.map_err(|error| lost(&error))?;
        }
        Ok(())
    }

    /// Tells the control plane what there is.
    pub(super) fn tell(&self, plan: &Plan, made: &BTreeMap<String, Summary>) {
        self.progress.report(AssetReport { source: Some(source(plan)), made: report(plan, made) });
    }

    /// All is there: what was shown for the time being goes, and what an earlier making has left.
    pub(super) async fn finish(&self, plan: &Plan, made: &BTreeMap<String, Summary>) -> Result<AssetReport, Failure> {
        let mut report = AssetReport { source: Some(source(plan)), made: report(plan, made) };
        report.made.partial = false;
        let mut bytes: u64 =
            made.iter().filter(|(name, _)| !EARLY.contains(&name.as_str())).map(|(_, s)| s.bytes).sum();
        let mut kept: Vec<String> = Vec::new();
        let prefix = key::asset_prefix(self.work.asset.as_str());
        for unit in &plan.units {
            let folder = match unit.kind {
                UnitKind::Pictures => "Thumbnails",
                UnitKind::Mp4 { .. } => "MP4",
                _ => continue,
            };
            let done = self.transcode.done(unit, plan, &self.folder).await.map_err(|error| failure(&error))?;
            for file in done.iter().flat_map(|done| &done.files) {
                let Some(name) = object_name(&file.path, self.work.asset.as_str(), &unit.kind) else { continue };
                bytes += file.bytes;
                match unit.kind {
                    UnitKind::Mp4 { .. } => {
                        report.made.mp4_bytes = Some(file.bytes);
                        report.made.mp4_name = Some(name.clone());
                    }
                    _ if name.starts_with("thumb_") => report.made.thumbnails += 1,
                    _ if name == "poster.jpg" => report.made.poster = true,
                    _ if name == "sprite.vtt" => report.made.sprite = true,
                    _ => {}
                }
                kept.push(format!("{prefix}{folder}/{name}"));
            }
            report.made.notices.extend(done.into_iter().flat_map(|done| done.notes));
        }
        report.made.bytes = bytes;
        let output = self.output();
        let playlist = format!("{prefix}{}", key::asset_playlist(self.work.asset.as_str()));
        let own = format!("{prefix}HLS/{}_", output.stem);
        let early = format!("{own}{}", EARLY[0]);
        remove(self.buckets, &prefix, |object| {
            object == playlist
                || (object.starts_with(&own) && !object.starts_with(&early))
                || kept.iter().any(|kept| kept == object)
        })
        .await?;
        Ok(report)
    }
}

/// Names of files: those of the MP4 begin with the asset's id (L4).
fn object_name(path: &Path, asset: &str, kind: &UnitKind) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(match kind {
        UnitKind::Mp4 { rung } => format!("{asset}_{rung}.mp4"),
        _ => name.to_owned(),
    })
}

fn content_type(name: &str) -> &'static str {
    match PathBuf::from(name).extension().and_then(|extension| extension.to_str()) {
        Some("jpg") => "image/jpeg",
        Some("vtt") => "text/vtt",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// What must be there for anything to be played.
fn reference(plan: &Plan) -> Kind {
    if plan.rungs.is_empty() { Kind::Audio } else { Kind::Video }
}

/// Rungs that are whole, and rungs that there will be.
fn rungs(plan: &Plan, made: &BTreeMap<String, Summary>) -> (u32, u32) {
    let whole = plan.rungs.iter().filter(|rung| made.contains_key(&rung.name)).count();
    (u32::try_from(whole).unwrap_or(u32::MAX), u32::try_from(plan.rungs.len()).unwrap_or(u32::MAX))
}

/// The renditions that viewers are shown: those of the source as it is only while there is no rung.
fn shown<'a>(plan: &Plan, made: &'a BTreeMap<String, Summary>) -> Vec<&'a Summary> {
    let whole = rungs(plan, made).0 > 0 || plan.rungs.is_empty();
    let named = |name: &str| made.get(name);
    let ladder = plan.rungs.iter().filter_map(|rung| named(&rung.name));
    let audio: Vec<&Summary> = plan.audio.iter().filter_map(|audio| named(&audio.name)).collect();
    let text = plan.text.iter().filter_map(|text| named(&text.name));
    if whole {
        ladder.chain(audio).chain(text).collect()
    } else {
        EARLY.iter().filter_map(|name| named(name)).collect()
    }
}

fn report(plan: &Plan, made: &BTreeMap<String, Summary>) -> AssetMade {
    let shown = shown(plan, made);
    let (whole, planned) = rungs(plan, made);
    let of = |kind: Kind| shown.iter().filter(move |summary| summary.kind == kind);
    AssetMade {
        rungs: of(Kind::Video).map(|summary| rung(summary, &shown)).collect(),
        rungs_planned: planned,
        audio: of(Kind::Audio).map(|summary| track(summary)).collect(),
        captions: of(Kind::Text).map(|summary| track(summary)).collect(),
        duration_ms: plan.duration_ms,
        notices: plan.notes.clone(),
        partial: whole < planned,
        ..AssetMade::default()
    }
}

fn rung(summary: &Summary, shown: &[&Summary]) -> AssetRung {
    let sound = shown.iter().find(|other| other.kind == Kind::Audio);
    let (peak, average) = sound.map_or((0, 0), |sound| (sound.peak_bandwidth, sound.average_bandwidth));
    let codecs = [Some(&summary.codecs), sound.map(|sound| &sound.codecs)];
    AssetRung {
        name: summary.name.clone(),
        width: summary.width,
        height: summary.height,
        frame_rate: summary.frame_rate.unwrap_or_default(),
        codecs: codecs.into_iter().flatten().cloned().collect::<Vec<_>>().join(","),
        bandwidth: summary.peak_bandwidth + peak,
        average_bandwidth: summary.average_bandwidth + average,
    }
}

fn track(summary: &Summary) -> AssetTrack {
    AssetTrack {
        name: summary.name.clone(),
        language: summary.label.language.clone(),
        label: summary.label.name.clone(),
        channels: summary.channels,
    }
}

fn source(plan: &Plan) -> AssetSource {
    let source = &plan.source;
    let video = source.video.as_ref();
    AssetSource {
        container: source.format.clone(),
        duration_ms: source.duration_ms,
        video_codec: video.map(|video| video.codec.clone()),
        width: video.map_or(0, |video| video.display.width),
        height: video.map_or(0, |video| video.display.height),
        frame_rate: video.map_or(0.0, |video| video.frame_rate.as_f64()),
        range: video.map_or_else(String::new, |video| range(video.range).to_owned()),
        audio_codecs: source.audio.iter().map(|audio| audio.codec.clone()).collect(),
        subtitles: u32::try_from(source.subtitles.len()).unwrap_or(u32::MAX),
    }
}

fn range(range: DynamicRange) -> &'static str {
    match range {
        DynamicRange::Sdr => "SDR",
        DynamicRange::Hdr10 => "HDR10",
        DynamicRange::Hlg => "HLG",
        _ => "other",
    }
}
