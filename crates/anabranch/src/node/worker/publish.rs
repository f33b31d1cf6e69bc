//! What viewers and the control plane are told of an asset while it is made, and at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anabranch_model::{AssetMade, AssetReport, AssetRung, AssetSource, AssetTrack, Failure};
use anabranch_packager::vod::{self, Cuts, Kind, Summary};
use anabranch_store::buckets::{Adopt, Attributes};
use anabranch_store::key;
use anabranch_transcode::vod::{DynamicRange, Plan, Unit, UnitKind};
use bytes::Bytes;

use super::failure::{failure, of_bucket};
use super::made::Made;
use super::objects::{self, content_type};
use super::run::{AssetRun, EARLY};

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
        objects::put(self.store, self.buckets, &name, Bytes::from(playlist)).await
    }

    /// Makes objects of what a unit has made beside renditions: pictures, the MP4.
    pub(super) async fn keep_files(&self, unit: &Unit, plan: &Plan, files: &mut Files) -> Result<(), Failure> {
        let done = self.transcode.done(unit, plan, &self.folder).await.map_err(|error| failure(&error))?;
        let Some(done) = done else { return Ok(()) };
        files.notices.extend(done.notes);
        let folder = match unit.kind {
            UnitKind::Pictures => "Thumbnails",
            UnitKind::Mp4 { .. } => "MP4",
            _ => return Ok(()),
        };
        let asset = self.work.asset.as_str();
        for file in &done.files {
            let Some(name) = object_name(&file.path, asset, &unit.kind) else { continue };
            let object = format!("{}{folder}/{name}", key::asset_prefix(asset));
            let kind = content_type(&name);
            let path = self.folder.join(&file.path);
            let adopted = self.buckets.adopt(key::VOD, &object, &path, Adopt::Copy, Attributes::of_type(kind), None);
            adopted.await.map_err(|error| of_bucket(&error))?;
            files.keep(unit, object, name, file.bytes);
        }
        Ok(())
    }

    /// Keeps what captions are added by, now or later.
    pub(super) async fn keep_made(
        &self,
        plan: &Plan,
        made: &BTreeMap<String, Summary>,
        cuts: Cuts,
    ) -> Result<(), Failure> {
        let renditions = shown(plan, made).into_iter().cloned().collect();
        let stem = self.output(plan).stem;
        let known = Made { stem, duration_ms: plan.duration_ms, cuts, renditions };
        known.keep(self.store, self.buckets, &self.work.asset).await
    }

    /// Tells the control plane what there is.
    pub(super) fn tell(&self, plan: &Plan, made: &BTreeMap<String, Summary>, files: &Files) {
        self.progress.report(AssetReport { source: Some(source(plan)), made: report(plan, made, files) });
    }

    /// All is there: what was shown for the time being goes, and what an earlier making has left.
    pub(super) async fn finish(
        &self,
        plan: &Plan,
        made: &BTreeMap<String, Summary>,
        files: &Files,
    ) -> Result<AssetReport, Failure> {
        let mut report = AssetReport { source: Some(source(plan)), made: report(plan, made, files) };
        report.made.partial = false;
        let renditions = made.iter().filter(|(name, _)| !EARLY.contains(&name.as_str())).map(|(_, s)| s.bytes);
        report.made.bytes = files.bytes + renditions.sum::<u64>();
        let segments: u64 = made.values().map(|summary| u64::from(summary.segments)).sum();
        report.made.objects = files.objects.len() as u64 + segments;
        report.made.notices.extend(files.notices.iter().cloned());
        let prefix = key::asset_prefix(self.work.asset.as_str());
        let playlist = format!("{prefix}{}", key::asset_playlist(self.work.asset.as_str()));
        let (known, captions) = (format!("{prefix}{}", key::ASSET_MADE), format!("{prefix}{}", key::ASSET_CAPTIONS));
        let own = format!("{prefix}HLS/{}_", self.output(plan).stem);
        let early = format!("{own}{}", EARLY[0]);
        objects::remove(self.buckets, &prefix, |object| {
            object == playlist
                || object == known
                || object.starts_with(&captions)
                || (object.starts_with(&own) && !object.starts_with(&early))
                || files.objects.contains(object)
        })
        .await?;
        Ok(report)
    }
}

/// What was made beside renditions.
#[derive(Default)]
pub(super) struct Files {
    /// Keys of its objects.
    objects: BTreeSet<String>,
    bytes: u64,
    mp4: Option<(String, u64)>,
    thumbnails: u32,
    poster: bool,
    sprite: bool,
    /// What went less well than wished.
    notices: Vec<String>,
}

impl Files {
    fn keep(&mut self, unit: &Unit, object: String, name: String, bytes: u64) {
        self.bytes += bytes;
        match unit.kind {
            UnitKind::Mp4 { .. } => self.mp4 = Some((name, bytes)),
            _ if name.starts_with("thumb_") => self.thumbnails += 1,
            _ if name == "poster.jpg" => self.poster = true,
            _ if name == "sprite.vtt" => self.sprite = true,
            _ => {}
        }
        self.objects.insert(object);
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

fn report(plan: &Plan, made: &BTreeMap<String, Summary>, files: &Files) -> AssetMade {
    let shown = shown(plan, made);
    let (whole, planned) = rungs(plan, made);
    let of = |kind: Kind| shown.iter().filter(move |summary| summary.kind == kind);
    AssetMade {
        rungs: of(Kind::Video).map(|summary| rung(summary, &shown)).collect(),
        rungs_planned: planned,
        audio: within(&shown).into_iter().chain(of(Kind::Audio).map(|summary| track(summary))).collect(),
        captions: of(Kind::Text).map(|summary| track(summary)).collect(),
        duration_ms: plan.duration_ms,
        mp4_bytes: files.mp4.as_ref().map(|(_, bytes)| *bytes),
        mp4_name: files.mp4.as_ref().map(|(name, _)| name.clone()),
        poster: files.poster,
        thumbnails: files.thumbnails,
        sprite: files.sprite,
        notices: plan.notes.clone(),
        partial: whole < planned,
        ..AssetMade::default()
    }
}

fn rung(summary: &Summary, shown: &[&Summary]) -> AssetRung {
    let beside = shown.iter().find(|other| other.kind == Kind::Audio).filter(|_| summary.sound.is_none());
    let (peak, average) = beside.map_or((0, 0), |sound| (sound.peak_bandwidth, sound.average_bandwidth));
    let within = summary.sound.as_ref().map(|sound| &sound.codecs);
    let codecs = [Some(&summary.codecs), within.or(beside.map(|sound| &sound.codecs))];
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

/// The sound that is in the segments of the pictures.
fn within(shown: &[&Summary]) -> Option<AssetTrack> {
    let sound = shown.iter().find_map(|summary| summary.sound.as_ref())?;
    Some(AssetTrack {
        name: "audio_1".to_owned(),
        language: sound.label.language.clone(),
        label: sound.label.name.clone(),
        channels: sound.channels,
    })
}

/// A rendition of sound or text, as the control plane is told of it.
pub(super) fn track(summary: &Summary) -> AssetTrack {
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
