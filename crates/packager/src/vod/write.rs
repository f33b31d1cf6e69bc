//! Stores what is produced, and sums it up.

use std::sync::Arc;

use anabranch_hls::playlist::ByteRange;
use anabranch_hls::vod::{ListedSegment, MediaList, average_bandwidth, peak_bandwidth};
use anabranch_media::fmp4::rescale;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::body::Keyframe;
use super::produce::{BUDGET_PERMITS, Opening, Produced, Producer, Step};
use super::{Container, Cuts, Iframes, Kind, Output, Plan, Sound, Summary, VodError, blocking};
use crate::frame_rate;

/// Segments that are being stored at once: each is durable before it counts, and a disk makes several durable in the time of one.
const PUTS: usize = 4;

/// Makes a rendition: segments, init section, playlist of keyframes, and last its media playlist.
///
/// Memory is that of the files' indexes and of [`super::LARGEST_SEGMENT_BYTES`], whatever the files' size. May be dropped at any time and
/// done again.
///
/// # Errors
/// The files cannot be read or used, or the store refused; then there may be segments, but no media playlist that was not there before.
pub async fn package(output: &Output, plan: &Plan, cuts: &Cuts) -> Result<Summary, VodError> {
    let (sender, steps) = mpsc::channel(1);
    let budget = Arc::new(Semaphore::new(BUDGET_PERMITS as usize));
    let producing = {
        let (plan, container, cuts, runtime) = (plan.clone(), output.container, cuts.clone(), Handle::current());
        blocking(move || {
            match Producer::open(&plan, container, &cuts, budget, runtime) {
                Ok(producer) => producer.run(&sender),
                Err(error) => drop(sender.blocking_send(Err(error))),
            }
            Ok(())
        })
    };
    // The thread ends when it has sent its last step, or when nobody listens.
    let (summary, produced) = tokio::join!(write(output, plan, cuts, steps), producing);
    produced?;
    summary
}

async fn write(
    output: &Output,
    plan: &Plan,
    cuts: &Cuts,
    mut steps: mpsc::Receiver<Result<Step, VodError>>,
) -> Result<Summary, VodError> {
    let Some(Step::Opening(opening)) = steps.recv().await.transpose()? else { return Err(VodError::Broken) };
    let mut rendition = Rendition::begin(output, plan, opening).await?;
    loop {
        match steps.recv().await.transpose()?.ok_or(VodError::Broken)? {
            Step::Opening(_) => return Err(VodError::Broken),
            Step::Segment(produced) => rendition.store(produced).await?,
            Step::End { misaligned } => return rendition.finish(cuts, misaligned).await,
        }
    }
}

/// A rendition that is being stored.
struct Rendition<'a> {
    output: &'a Output,
    plan: &'a Plan,
    opening: Opening,
    puts: JoinSet<Result<(), VodError>>,
    /// Bytes and end of each segment, the end in units of the track.
    segments: Vec<(u64, i64)>,
    first: Option<i64>,
    /// Segment and place of keyframes.
    keyframes: Vec<(usize, Keyframe)>,
    samples: u64,
    bytes: u64,
    /// Time that pictures are shown, in units of the track.
    shown: i64,
}

impl<'a> Rendition<'a> {
    async fn begin(output: &'a Output, plan: &'a Plan, mut opening: Opening) -> Result<Self, VodError> {
        let mut bytes = 0;
        if let Some(init) = opening.init.take() {
            bytes = init.len() as u64;
            let key = output.key(&init_name(output, &plan.name));
            output.store.put(&key, vec![Bytes::from(init)]).await?;
        }
        Ok(Self {
            output,
            plan,
            opening,
            puts: JoinSet::new(),
            segments: Vec::new(),
            first: None,
            keyframes: Vec::new(),
            samples: 0,
            bytes,
            shown: 0,
        })
    }

    async fn store(&mut self, produced: Produced) -> Result<(), VodError> {
        let number = self.segments.len();
        let Produced { body, start, end, lead_end, samples, memory } = produced;
        self.first.get_or_insert(start);
        self.segments.push((body.bytes, end));
        self.keyframes.extend(body.keyframes.into_iter().map(|keyframe| (number, keyframe)));
        self.samples += samples;
        self.bytes += body.bytes;
        self.shown = lead_end.unwrap_or(self.shown);
        while self.puts.len() >= PUTS {
            self.join().await?;
        }
        metrics::counter!("anabranch_packager_segments_total").increment(1);
        metrics::counter!("anabranch_packager_segment_bytes_total").increment(body.bytes);
        let key = self.output.key(&segment_name(self.output, &self.plan.name, number));
        let store = self.output.store.clone();
        self.puts.spawn(async move {
            store.put(&key, body.pieces).await?;
            drop(memory);
            Ok(())
        });
        Ok(())
    }

    async fn join(&mut self) -> Result<(), VodError> {
        match self.puts.join_next().await {
            Some(done) => done.map_err(|_| VodError::Broken)?,
            None => Ok(()),
        }
    }

    async fn finish(mut self, cuts: &Cuts, misaligned: u32) -> Result<Summary, VodError> {
        while !self.puts.is_empty() {
            self.join().await?;
        }
        let (Some(first), false) = (self.first, self.segments.is_empty()) else {
            return Err(VodError::Empty { name: self.plan.name.clone() });
        };
        let iframes = self.store_iframes(first, cuts).await?;
        let playlist = self.playlist(first, cuts);
        let name = playlist_name(self.output, &self.plan.name);
        self.output.store.put(&self.output.key(&name), vec![Bytes::from(playlist.render())]).await?;
        Ok(self.summary(first, &playlist, name, iframes, misaligned))
    }

    fn micros(&self, first: i64, time: i64) -> u64 {
        let timescale = self.opening.track.timescale;
        u64::try_from(rescale(time.saturating_sub(first), timescale, 1_000_000)).unwrap_or(0)
    }

    fn init(&self) -> Option<String> {
        (self.output.container == Container::Cmaf).then(|| init_name(self.output, &self.plan.name))
    }

    fn playlist(&self, first: i64, cuts: &Cuts) -> MediaList {
        let listed = self.segments.iter().enumerate().map(|(number, (_, end))| ListedSegment {
            uri: segment_name(self.output, &self.plan.name, number),
            end_micros: self.micros(first, *end),
            byte_range: None,
        });
        MediaList {
            target_duration_seconds: cuts.target_duration_seconds(),
            init: self.init(),
            iframes_only: false,
            segments: listed.collect(),
        }
    }

    async fn store_iframes(&self, first: i64, cuts: &Cuts) -> Result<Option<Iframes>, VodError> {
        if self.keyframes.is_empty() {
            return Ok(None);
        }
        let next = self.keyframes.iter().skip(1).map(|(_, keyframe)| keyframe.pts).chain([self.shown]);
        let listed = self.keyframes.iter().zip(next).map(|((number, keyframe), end)| ListedSegment {
            uri: segment_name(self.output, &self.plan.name, *number),
            end_micros: self.micros(first, end),
            byte_range: Some(ByteRange { length: keyframe.bytes, offset: Some(keyframe.offset) }),
        });
        let list = MediaList {
            target_duration_seconds: cuts.target_duration_seconds(),
            init: self.init(),
            iframes_only: true,
            segments: listed.collect(),
        };
        let rates = rates(&list, self.keyframes.iter().map(|(_, keyframe)| keyframe.bytes));
        let playlist = format!("{}_{}_iframes.m3u8", self.output.stem, self.plan.name);
        self.output.store.put(&self.output.key(&playlist), vec![Bytes::from(list.render())]).await?;
        let (peak_bandwidth, average_bandwidth) = (peak_bandwidth(&rates), average_bandwidth(&rates));
        Ok(Some(Iframes { playlist, peak_bandwidth, average_bandwidth }))
    }

    fn summary(
        self,
        first: i64,
        list: &MediaList,
        playlist: String,
        iframes: Option<Iframes>,
        misaligned: u32,
    ) -> Summary {
        let track = &self.opening.track;
        let rates = rates(list, self.segments.iter().map(|(bytes, _)| *bytes));
        let shown_seconds = self.micros(first, self.shown) as f64 / 1e6;
        let is_video = self.plan.kind == Kind::Video;
        let sound = self.opening.sound.zip(self.plan.sound.as_ref());
        Summary {
            name: self.plan.name.clone(),
            kind: self.plan.kind,
            container: self.output.container,
            label: self.plan.label.clone(),
            playlist,
            codecs: track.codecs.clone(),
            width: self.opening.shown_size.0,
            height: self.opening.shown_size.1,
            frame_rate: (is_video && shown_seconds > 0.0)
                .then(|| frame_rate::nearest(self.samples as f64 / shown_seconds)),
            video_range: if is_video { self.opening.range.to_owned() } else { String::new() },
            channels: track.channels,
            peak_bandwidth: peak_bandwidth(&rates),
            average_bandwidth: average_bandwidth(&rates),
            duration_seconds: list.segments.last().map_or(0.0, |last| last.end_micros as f64 / 1e6),
            target_duration_seconds: list.target_duration(),
            segments: u32::try_from(self.segments.len()).unwrap_or(u32::MAX),
            samples: self.samples,
            bytes: self.bytes,
            misaligned,
            iframes,
            sound: sound.map(|(track, (_, label))| Sound {
                codecs: track.codecs.clone(),
                channels: track.channels,
                label: label.clone(),
            }),
        }
    }
}

/// Bytes and seconds of each segment of a list.
fn rates(list: &MediaList, bytes: impl Iterator<Item = u64>) -> Vec<(u64, f64)> {
    let mut start = 0;
    let ends = list.segments.iter().map(|segment| segment.end_micros);
    let rate = |(bytes, end): (u64, u64)| {
        let micros = end.saturating_sub(std::mem::replace(&mut start, end));
        (bytes, micros as f64 / 1e6)
    };
    bytes.zip(ends).map(rate).collect()
}

pub(super) fn playlist_name(output: &Output, name: &str) -> String {
    format!("{}_{name}.m3u8", output.stem)
}

fn init_name(output: &Output, name: &str) -> String {
    format!("{}_{name}_init.mp4", output.stem)
}

/// Name of the segment at `index`, which is counted from 0; names are from 1.
fn segment_name(output: &Output, name: &str, index: usize) -> String {
    let extension = match output.container {
        Container::Cmaf => "m4s",
        Container::Ts => "ts",
    };
    format!("{}_{name}_{:05}.{extension}", output.stem, index + 1)
}
