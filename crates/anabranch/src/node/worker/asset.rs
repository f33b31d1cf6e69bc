//! Makes an asset: probe, plan, units of ffmpeg, renditions. What is finished is never done again, whenever the process ends.
//!
//! ```text
//! object ─link─► <work>/original ─probe─► plan.json ─units─► <rendition>/<chunk>.mp4 ─package─► store
//!                                                                   └─► <rendition>.summary.json ─► multivariant playlist
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_model::{AssetId, Done, Failure};
use anabranch_packager::vod::{self, Cuts, Input, Kind, Label, Output, Summary, TextPlan};
use anabranch_store::LocalStore;
use anabranch_transcode::vod::{AudioRendition, Container, Early, Plan, ProbeError, ProbeLimits, Unit, plan};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::elsewhere::{self, Staging};
use super::failure::{failure, given_up, lost, of_bucket};
use super::intake;
use super::publish::Files;
use super::run::{AssetRun, EARLY};

/// Plan of the work, in its folder.
const PLAN: &str = "plan.json";

/// The file of which the asset is made, in that folder.
const SOURCE: &str = "original";

/// Where segments of the renditions end, for those of the source as it is and for the others.
#[derive(Default)]
struct Decided {
    early: Option<Cuts>,
    ladder: Option<Cuts>,
}

impl AssetRun<'_> {
    /// Makes it, from wherever an earlier try has come to.
    pub(super) async fn run(&self) -> Result<Done, Failure> {
        let plan = self.plan().await?;
        let mut made: BTreeMap<String, Summary> = BTreeMap::new();
        let mut decided = Decided::default();
        let mut finished: HashSet<&str> = HashSet::new();
        let mut files = Files::default();
        let all: u64 = plan.units.iter().map(|unit| unit.weight.max(1)).sum();
        let mut past = 0;
        self.tell(&plan, &made, &files);
        for unit in &plan.units {
            self.unit(unit, &plan, past, all).await?;
            past += unit.weight.max(1);
            finished.insert(&unit.id);
            self.keep_files(unit, &plan, &mut files).await?;
            let before = made.len();
            self.renditions(&plan, &finished, &mut made, &mut decided).await?;
            if made.len() > before {
                self.publish(&plan, &made).await?;
            }
            self.tell(&plan, &made, &files);
        }
        let cuts = self.cuts(false, &plan, plan.rungs.first().map(|rung| &rung.name), &mut decided).await?;
        self.keep_made(&plan, &made, cuts).await?;
        let report = self.finish(&plan, &made, &files).await?;
        let bytes = report.made.bytes;
        // What follows needs nothing of it; a folder that stays is removed with the asset.
        let _ = fs::remove_dir_all(&self.folder);
        Ok(Done { bytes, report: Some(report), ..Done::default() })
    }

    /// The plan that was begun with, or a new one.
    async fn plan(&self) -> Result<Plan, Failure> {
        if let Some(plan) = kept(&self.folder.join(PLAN)).map_err(|error| lost(&error))? {
            return Ok(plan);
        }
        let source = self.source().await?;
        let limits = ProbeLimits::default();
        let probed = tokio::select! {
            () = self.cancel.cancelled() => return Err(given_up("cancelled")),
            probed = self.transcode.probe(&source, &limits) => probed,
        };
        let probed = probed.map_err(|error| match &error {
            ProbeError::Rejected(rejected) => {
                // No later try has a use for it.
                let _ = fs::remove_dir_all(&self.folder);
                given_up(rejected.text.clone())
            }
            ProbeError::Failed(failed) => failure(failed),
        })?;
        let planned = plan(probed, self.preset, self.options).map_err(|error| given_up(error.to_string()))?;
        keep(&self.folder.join(PLAN), &planned).map_err(|error| lost(&error))?;
        Ok(planned)
    }

    /// The file of the asset under a name of its own: another may take its key at any time.
    async fn source(&self) -> Result<PathBuf, Failure> {
        let (bucket, key) = (&self.work.bucket, &self.work.key);
        fs::create_dir_all(&self.folder).map_err(|error| lost(&error))?;
        let source = self.folder.join(SOURCE);
        remove_if_there(&source).map_err(|error| lost(&error))?;
        if self.buckets.backend(bucket).map_err(|error| of_bucket(&error))?.is_some() {
            let (info, pieces) = intake::open(self.buckets, bucket, key).await?;
            let store = LocalStore::join(&self.folder, "source", self.limits.reserve_bytes);
            store.and_then(|store| store.room(info.size)).map_err(|error| lost(&error))?;
            let sha256 = elsewhere::receive(pieces, &info, Some(&source), &self.cancel, |_| {}).await?;
            return self.recognised(sha256, source);
        }
        let found = self.buckets.locate(bucket, key).await.map_err(|error| of_bucket(&error))?;
        let (from, to) = (found.path, source.clone());
        let linked =
            tokio::task::spawn_blocking(move || fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)));
        linked.await.map_err(|error| lost(&error))?.map_err(|error| lost(&error))?;
        let sha256 = intake::digest(&source, found.info.size, self.cancel.clone(), |_| {}).await?;
        self.recognised(sha256, source)
    }

    /// Another file may have taken the key since the asset was begun.
    fn recognised(&self, sha256: [u8; 32], source: PathBuf) -> Result<PathBuf, Failure> {
        if AssetId::of(&sha256) != self.work.asset {
            let (bucket, key) = (&self.work.bucket, &self.work.key);
            return Err(given_up(format!("its file is gone: {bucket}/{key} has other content now")));
        }
        Ok(source)
    }

    async fn unit(&self, unit: &Unit, plan: &Plan, past: u64, all: u64) -> Result<(), Failure> {
        let (progress, weight) = (self.progress.clone(), unit.weight.max(1));
        let told = move |permille: u16| {
            let done = (past * 1000 + weight * u64::from(permille)) / all.max(1);
            progress.set(u32::try_from(done).unwrap_or(999).min(999));
        };
        let ran = self.transcode.run(unit, plan, &self.folder, self.limits, told, &self.cancel).await;
        ran.map(drop).map_err(|error| failure(&error))
    }

    /// Packages the renditions that are whole now. What is no picture waits for a rung: that says where segments end.
    async fn renditions(
        &self,
        plan: &Plan,
        finished: &HashSet<&str>,
        made: &mut BTreeMap<String, Summary>,
        decided: &mut Decided,
    ) -> Result<(), Failure> {
        let whole = |name: &str| {
            let units = plan.units_of(name);
            !units.is_empty() && units.iter().all(|unit| finished.contains(unit))
        };
        let reference = plan.rungs.iter().map(|rung| &rung.name).find(|name| whole(name));
        for name in names(plan).filter(|name| !is_within(plan, name)) {
            let early = EARLY.contains(&name);
            let is_whole = whole(name) && sound_within(plan, name).is_none_or(|(sound, _)| whole(sound));
            if made.contains_key(name) || !is_whole || !(early || plan.rungs.is_empty() || reference.is_some()) {
                continue;
            }
            let path = self.folder.join(format!("{name}.summary.json"));
            let summary = match kept(&path).map_err(|error| lost(&error))? {
                Some(summary) => summary,
                None => {
                    let cuts = self.cuts(early, plan, reference, decided).await?;
                    let summary = self.package(name, plan, &cuts).await?;
                    keep(&path, &summary).map_err(|error| lost(&error))?;
                    summary
                }
            };
            made.insert(name.to_owned(), summary);
        }
        Ok(())
    }

    async fn package(&self, name: &str, plan: &Plan, cuts: &Cuts) -> Result<Summary, Failure> {
        let Some(staging) = Staging::open(self.buckets, &self.folder, self.limits.reserve_bytes, self.output(plan))?
        else {
            return self.package_to(&self.output(plan), name, plan, cuts).await;
        };
        let summary = self.package_to(staging.output(), name, plan, cuts).await?;
        staging.send(self.buckets, &summary, &self.cancel).await?;
        Ok(summary)
    }

    async fn package_to(&self, output: &Output, name: &str, plan: &Plan, cuts: &Cuts) -> Result<Summary, Failure> {
        if let Some(text) = plan.text.iter().find(|text| text.name == name) {
            let file = plan.files_of(name, &self.folder).into_iter().next().unwrap_or_default();
            let label = Label {
                language: text.language.clone(),
                name: text.label.clone(),
                is_default: text.is_default,
                is_special: text.is_forced,
            };
            let name = with_language(name, &text.language);
            let plan = TextPlan { name, file, label, duration_seconds: plan.duration_ms as f64 / 1000.0 };
            return vod::package_text(output, &plan, cuts).await.map_err(|error| lost(&error));
        }
        let audio = plan.audio.iter().find(|audio| audio.name == name);
        let label = audio.map_or_else(Label::default, label_of);
        let is_audio = audio.is_some() || name == EARLY[1];
        let plan = vod::Plan {
            name: audio.map_or_else(|| name.to_owned(), |audio| with_language(name, &audio.language)),
            kind: if is_audio { Kind::Audio } else { Kind::Video },
            input: self.input(name, plan),
            label: if is_audio && audio.is_none() { default_label(plan) } else { label },
            sound: sound_within(plan, name).map(|(sound, label)| (self.input(sound, plan), label)),
        };
        let packaged = tokio::select! {
            () = self.cancel.cancelled() => return Err(given_up("cancelled")),
            packaged = vod::package(output, &plan, cuts) => packaged,
        };
        packaged.map_err(|error| lost(&error))
    }

    /// Segments of pictures and sound end together: where a rung may be cut, or the first sound where there are no pictures.
    async fn cuts(
        &self,
        early: bool,
        plan: &Plan,
        rung: Option<&String>,
        decided: &mut Decided,
    ) -> Result<Cuts, Failure> {
        let place = if early { &mut decided.early } else { &mut decided.ladder };
        if let Some(cuts) = place {
            return Ok(cuts.clone());
        }
        let sound = |name: &str| (Kind::Audio, self.input(name, plan));
        let reference = match (early, rung, plan.audio.first()) {
            (true, ..) => (Kind::Video, self.input(EARLY[0], plan)),
            (false, Some(rung), _) => (Kind::Video, self.input(rung, plan)),
            (false, None, Some(audio)) => sound(&audio.name),
            (false, None, None) => return Err(given_up("there is nothing to be packaged")),
        };
        // All begin at zero, so that no sound need be looked at: those that are not there yet are of no account.
        let others = match (early, &plan.early) {
            (true, Early::SourceCopy { has_audio: true, .. }) => vec![sound(EARLY[1])],
            _ => Vec::new(),
        };
        let cuts = Cuts::decide(reference.0, &reference.1, &others, plan.preset.segment_seconds).await;
        Ok(place.insert(cuts.map_err(|error| lost(&error))?).clone())
    }

    fn input(&self, name: &str, plan: &Plan) -> Input {
        Input { chunks: plan.files_of(name, &self.folder), track: 0 }
    }
}

/// The sound that MPEG-TS has in the segments of this picture.
fn sound_within<'a>(plan: &'a Plan, name: &str) -> Option<(&'a str, Label)> {
    if plan.preset.container == Container::Cmaf {
        None
    } else if name == EARLY[0] {
        matches!(plan.early, Early::SourceCopy { has_audio: true, .. }).then(|| (EARLY[1], default_label(plan)))
    } else {
        plan.rung(name).and(plan.audio.first()).map(|audio| (audio.name.as_str(), label_of(audio)))
    }
}

/// Whether a sound is in the segments of pictures, and so no rendition of its own.
fn is_within(plan: &Plan, name: &str) -> bool {
    let pictures = plan.rungs.iter().map(|rung| rung.name.as_str()).chain([EARLY[0]]);
    pictures.filter_map(|picture| sound_within(plan, picture)).any(|(sound, _)| sound == name)
}

fn label_of(audio: &AudioRendition) -> Label {
    Label {
        language: audio.language.clone(),
        name: audio.label.clone(),
        is_default: audio.is_default,
        is_special: false,
    }
}

/// All renditions, in the order in which they are wanted.
fn names(plan: &Plan) -> impl Iterator<Item = &str> {
    let rungs = plan.rungs.iter().map(|rung| rung.name.as_str());
    let sounds = plan.audio.iter().map(|audio| audio.name.as_str());
    EARLY.into_iter().chain(rungs).chain(sounds).chain(plan.text.iter().map(|text| text.name.as_str()))
}

/// What the first sound is called.
fn default_label(plan: &Plan) -> Label {
    let label = plan
        .audio
        .first()
        .map_or_else(|| Label { language: "und".to_owned(), name: "Audio 1".to_owned(), ..Label::default() }, label_of);
    Label { is_default: true, ..label }
}

/// `audio_1` and `en` become `audio_1_en`.
fn with_language(name: &str, language: &str) -> String {
    let tag: String = language.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if tag.is_empty() { name.to_owned() } else { format!("{name}_{tag}") }
}

/// What was kept in a file; none when there is none, or it was cut off.
fn kept<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps it, whole or not at all.
fn keep(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let part = path.with_extension("part");
    let bytes = serde_json::to_vec(value)?;
    fs::write(&part, bytes)?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
