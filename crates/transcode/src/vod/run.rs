//! Units are done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::captions::{self, Kind};
use super::check::{self, Track};
use super::folder::{self, Part, UnitDone, UnitFile};
use super::plan::{Plan, TextRendition, TextSource, Unit, UnitKind};
use super::{command, pictures};
use crate::process::{self, Goal, Order};
use crate::work::check_space;
use crate::{CancellationToken, Limits, TranscodeError, Worker, blocking};

/// A unit may take so much time, and so many times as long as its media.
const TIME_MIN: Duration = Duration::from_secs(300);
const TIME_FACTOR: u32 = 60;

/// Frames that a chunk may lack, as one in so many, and in any case: a source may be damaged.
const LACK_SHARE: u64 = 20;
const LACK_FRAMES: u64 = 2;

/// How far the length of sound may be from that of the timeline.
const SOUND_SLIP_MS: u64 = 250;

/// A file that ffmpeg has written, and what it is to be.
struct Made {
    name: String,
    path: PathBuf,
    track: Option<Track>,
}

impl Made {
    fn plain(name: impl Into<String>, path: PathBuf) -> Self {
        Self { name: name.into(), path, track: None }
    }
}

impl Worker {
    /// Does a unit: its files appear in the work folder when they are whole and durable.
    ///
    /// Once a unit is done it is not done again: the answer is that of [`Worker::done`]. Units may be done at once and by several
    /// processes that share the folder, but one unit by one at a time; those in [`Unit::after`] come first. What a `kill -9` left of an
    /// earlier try, ffmpeg included, is ended and removed. `limits.time` is the most; a short unit has less.
    ///
    /// `progress` is told permille, 999 at most, never less than before.
    ///
    /// # Errors
    /// [`TranscodeError`]; no file of the unit has appeared then, or all have and the next try makes them again.
    pub async fn run(
        &self,
        unit: &Unit,
        plan: &Plan,
        work: &Path,
        limits: &Limits,
        progress: impl FnMut(u16) + Send,
        cancel: &CancellationToken,
    ) -> Result<UnitDone, TranscodeError> {
        if let Some(done) = self.done(unit, plan, work).await? {
            return Ok(done);
        }
        let made = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(TranscodeError::Cancelled),
            made = self.make_unit(unit, plan, work, limits, progress) => made,
        };
        let outcome = if made.is_ok() { "done" } else { "failed" };
        let kind = unit.kind.as_str();
        metrics::counter!("anabranch_transcode_units_total", "kind" => kind, "outcome" => outcome).increment(1);
        made
    }

    /// What a unit has made, when it is done by this very plan and its files are still there.
    ///
    /// A plan is kept with the work: one that is made anew by other settings does not know what the former has made.
    ///
    /// # Errors
    /// [`TranscodeError::Io`] when the folder cannot be read.
    pub async fn done(&self, unit: &Unit, plan: &Plan, work: &Path) -> Result<Option<UnitDone>, TranscodeError> {
        let (unit, plan, work) = (unit.clone(), plan.clone(), work.to_owned());
        blocking(move || folder::done(&unit, &plan, &work)).await
    }

    async fn make_unit(
        &self,
        unit: &Unit,
        plan: &Plan,
        work: &Path,
        limits: &Limits,
        progress: impl FnMut(u16) + Send,
    ) -> Result<UnitDone, TranscodeError> {
        let part = {
            let (unit, work, reserve) = (unit.clone(), work.to_owned(), limits.reserve_bytes);
            blocking(move || {
                let part = Part::begin(&work, &unit)?;
                check_space(part.folder(), unit.bytes, reserve)?;
                Ok(part)
            })
            .await?
        };
        let media = Duration::from_millis(unit.duration_ms).saturating_mul(TIME_FACTOR);
        let limits = Limits { time: limits.time.min(TIME_MIN.saturating_add(media)), ..limits.clone() };
        let mut notes = Vec::new();
        let made = match &unit.kind {
            UnitKind::Captions => self.captions(plan, &part, &limits, &mut notes).await?,
            kind => {
                let arguments = arguments(kind, plan, &part, &limits)?;
                let goal = match kind {
                    UnitKind::Video { first, end, .. } => Goal::Frames(end - first),
                    _ => Goal::Time { duration_ms: unit.duration_ms },
                };
                let log = self.ffmpeg(&arguments, &part, &limits, goal, progress).await?;
                let (kind, plan, folder) = (kind.clone(), plan.clone(), part.folder().to_owned());
                let (made, more) = blocking(move || look(&kind, &plan, &folder, &log)).await?;
                notes.extend(more);
                made
            }
        };
        let (unit, plan) = (unit.clone(), plan.clone());
        blocking(move || {
            let mut files = Vec::with_capacity(made.len());
            for Made { name, path, track } in made {
                let bytes = part.publish(&name, &path)?;
                let (samples, duration_ms) = (track.map(|track| track.samples), track.map(|track| track.duration_ms));
                files.push(UnitFile { path, bytes, samples, duration_ms });
            }
            let done = UnitDone { unit: unit.id.clone(), files, notes };
            part.finish(&unit, &plan, done)
        })
        .await
    }

    async fn ffmpeg(
        &self,
        arguments: &[String],
        part: &Part,
        limits: &Limits,
        goal: Goal,
        progress: impl FnMut(u16) + Send,
    ) -> Result<Vec<String>, TranscodeError> {
        let order = Order {
            program: &self.config.ffmpeg,
            arguments,
            folder: part.folder(),
            memory_bytes: limits.memory_bytes,
            time: limits.time,
            nice: limits.nice,
        };
        process::with_progress(order, goal, progress).await
    }

    /// Captions that cannot be read are left out: they are no reason to have no asset.
    async fn captions(
        &self,
        plan: &Plan,
        part: &Part,
        limits: &Limits,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Made>, TranscodeError> {
        let goal = Goal::Time { duration_ms: plan.duration_ms };
        let (tracks, files): (Vec<&TextRendition>, Vec<&TextRendition>) =
            plan.text.iter().partition(|text| matches!(text.source, TextSource::Track(_)));
        if !tracks.is_empty() {
            let all = command::text_tracks(plan, &tracks, part.folder());
            if let Err(error) = self.ffmpeg(&all, part, limits, goal, |_| {}).await {
                if !matches!(error, TranscodeError::Failed { .. }) {
                    return Err(error);
                }
                for text in tracks {
                    let one = command::text_tracks(plan, &[text], part.folder());
                    let run = self.ffmpeg(&one, part, limits, goal, |_| {}).await;
                    leave_out(run, text, part, notes)?;
                }
            }
        }
        for text in files {
            let TextSource::File(path) = &text.source else { continue };
            let run = self.side_car(path, text, part, limits).await;
            leave_out(run, text, part, notes)?;
        }
        let mut made = Vec::new();
        for text in &plan.text {
            let name = format!("{}.vtt", text.name);
            match fs::read_to_string(part.folder().join(&name)) {
                Ok(words) if captions::has_cues(&words) => {
                    made.push(Made::plain(name, Path::new(&text.name).join("00000.vtt")));
                }
                Ok(_) => notes.push(format!("captions left out: {} has no words", text.label)),
                Err(_) => {}
            }
        }
        Ok(made)
    }

    async fn side_car(
        &self,
        path: &Path,
        text: &TextRendition,
        part: &Part,
        limits: &Limits,
    ) -> Result<Vec<String>, TranscodeError> {
        let fault = |reason: String| TranscodeError::Output { reason, log: Vec::new() };
        let words = captions::read(path).map_err(|error| fault(error.to_string()))?;
        let write = |name: String| {
            let to = part.folder().join(name);
            fs::write(&to, &words).map_err(TranscodeError::io("write", &to)).map(|()| to)
        };
        match captions::kind_of(path) {
            Some(Kind::WebVtt) if captions::is_web_vtt(&words) => {
                write(format!("{}.vtt", text.name))?;
                Ok(Vec::new())
            }
            Some(Kind::SubRip) if captions::has_cues(&words) => {
                let from = write(format!("{}.srt", text.name))?;
                let arguments = command::subrip(&from, &text.name, part.folder());
                self.ffmpeg(&arguments, part, limits, Goal::Frames(0), |_| {}).await
            }
            _ => Err(fault("it holds no captions of the kind that its name says".to_owned())),
        }
    }
}

impl UnitKind {
    /// The word of it, for metrics.
    fn as_str(&self) -> &'static str {
        match self {
            Self::SourceCopy => "source_copy",
            Self::Video { .. } => "video",
            Self::Audio { .. } => "audio",
            Self::Captions => "captions",
            Self::Pictures => "pictures",
            Self::Mp4 { .. } => "mp4",
        }
    }
}

/// Notes captions that could not be read; other faults stay faults.
fn leave_out(
    run: Result<Vec<String>, TranscodeError>,
    text: &TextRendition,
    part: &Part,
    notes: &mut Vec<String>,
) -> Result<(), TranscodeError> {
    match run {
        Ok(_) => Ok(()),
        Err(error @ (TranscodeError::Failed { .. } | TranscodeError::Output { .. })) => {
            notes.push(format!("captions left out: {}: {error}", text.label));
            let _ = fs::remove_file(part.folder().join(format!("{}.vtt", text.name)));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn arguments(kind: &UnitKind, plan: &Plan, part: &Part, limits: &Limits) -> Result<Vec<String>, TranscodeError> {
    let folder = part.folder();
    let list = match kind {
        UnitKind::SourceCopy => command::source_copy(plan, limits, folder),
        UnitKind::Video { rungs, first, end, .. } => {
            let rungs: Vec<_> = rungs.iter().filter_map(|name| plan.rung(name)).collect();
            command::video(plan, &rungs, *first, *end, limits, folder)
        }
        UnitKind::Audio { rendition } => {
            let rendition = plan.audio.iter().find(|audio| audio.name == *rendition);
            rendition.map_or_else(Vec::new, |rendition| command::audio(plan, rendition, limits, folder))
        }
        UnitKind::Pictures => pictures::arguments(plan, limits, folder),
        UnitKind::Mp4 { rung } => match plan.rung(rung) {
            Some(rung) => {
                let frames = plan.units.iter().filter_map(|unit| match &unit.kind {
                    UnitKind::Video { rungs, first, end, .. } if rungs.contains(&rung.name) => Some(end - first),
                    _ => None,
                });
                let text = command::chunk_list(rung, frames);
                let list = folder.join(command::LIST);
                fs::write(&list, text).map_err(TranscodeError::io("write", &list))?;
                let sound = plan.audio.first().and_then(|audio| plan.files_of(&audio.name, part.work()).pop());
                command::mp4(plan, rung, sound.as_deref(), limits, folder)
            }
            None => Vec::new(),
        },
        UnitKind::Captions => Vec::new(),
    };
    Ok(list)
}

/// Files that a run has written, examined, and what is odd about them.
fn look(
    kind: &UnitKind,
    plan: &Plan,
    folder: &Path,
    log: &[String],
) -> Result<(Vec<Made>, Vec<String>), TranscodeError> {
    let mut notes = Vec::new();
    let fault = |reason: String| Err(TranscodeError::Output { reason, log: log.to_vec() });
    let one = |name: &str| {
        let path = folder.join(name);
        let tracks = check::tracks(&path).map_err(TranscodeError::io("read", &path))?;
        Ok(tracks.first().copied().unwrap_or_default())
    };
    let made = match kind {
        UnitKind::Video { rungs, chunk, first, end } => {
            let wanted = end - first;
            let mut made = Vec::new();
            for rung in rungs {
                let name = format!("{rung}.mp4");
                let track = one(&name)?;
                let lack = wanted.abs_diff(track.samples);
                if track.samples > wanted || lack > LACK_FRAMES.max(wanted / LACK_SHARE) || track.samples == 0 {
                    return fault(format!("{} of {wanted} frames of rung {rung}", track.samples));
                }
                if lack > 0 {
                    notes.push(format!(
                        "chunk {chunk} of rung {rung} lacks {lack} of {wanted} frames: the source is damaged"
                    ));
                }
                made.push(Made { name, path: Path::new(rung).join(format!("{chunk:05}.mp4")), track: Some(track) });
            }
            made
        }
        UnitKind::Audio { rendition } => {
            let track = one("audio.mp4")?;
            if track.duration_ms.abs_diff(plan.duration_ms) > SOUND_SLIP_MS {
                return fault(format!("sound of {} ms, the timeline has {} ms", track.duration_ms, plan.duration_ms));
            }
            let path = Path::new(rendition).join("00000.mp4");
            vec![Made { name: "audio.mp4".to_owned(), path, track: Some(track) }]
        }
        UnitKind::SourceCopy => {
            let mut made = Vec::new();
            for rendition in ["source", "source_audio"].into_iter().take(1 + usize::from(!plan.source.audio.is_empty()))
            {
                let name = format!("{rendition}.mp4");
                let track = one(&name)?;
                if track.samples == 0 {
                    return fault(format!("{rendition} has no samples"));
                }
                made.push(Made { name, path: Path::new(rendition).join("00000.mp4"), track: Some(track) });
            }
            made
        }
        UnitKind::Mp4 { rung } => {
            let path = folder.join("out.mp4");
            let tracks = check::tracks(&path).map_err(TranscodeError::io("read", &path))?;
            let frames = tracks.iter().map(|track| track.samples).collect::<Vec<_>>();
            if tracks.len() != 1 + usize::from(!plan.audio.is_empty()) || frames.contains(&0) {
                return fault(format!("tracks of {frames:?} samples"));
            }
            vec![Made::plain("out.mp4", Path::new("mp4").join(format!("{rung}.mp4")))]
        }
        UnitKind::Pictures => {
            let Some(made) = pictures(plan, folder)? else { return fault("no picture".to_owned()) };
            made
        }
        UnitKind::Captions => Vec::new(),
    };
    Ok((made, notes))
}

/// All pictures, with a poster among them; none when there is no thumbnail.
fn pictures(plan: &Plan, folder: &Path) -> Result<Option<Vec<Made>>, TranscodeError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(TranscodeError::io("read", folder))? {
        let entry = entry.map_err(TranscodeError::io("read", folder))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| name.ends_with(".jpg")));
    }
    names.sort();
    let thumbnails: Vec<&String> = names.iter().filter(|name| name.starts_with("thumb_")).collect();
    let count = thumbnails.len() as u64;
    let Some(middle) = thumbnails.get(thumbnails.len() / 3).map(|name| folder.join(name)) else { return Ok(None) };
    let (poster, vtt) = (folder.join("poster.jpg"), folder.join("sprite.vtt"));
    if !poster.exists() {
        // All of it is dark.
        fs::copy(&middle, &poster).map_err(TranscodeError::io("write", &poster))?;
        names.push("poster.jpg".to_owned());
    }
    fs::write(&vtt, pictures::sprite_vtt(plan, count)).map_err(TranscodeError::io("write", &vtt))?;
    names.push("sprite.vtt".to_owned());
    Ok(Some(names.into_iter().map(|name| Made::plain(name.clone(), Path::new(pictures::FOLDER).join(name))).collect()))
}
