//! Makes the segments of a rendition one after another, on a thread that may block.

use std::sync::Arc;

use anabranch_media::Track;
use anabranch_media::fmp4::init_section_with;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::body::Body;
use super::cmaf::Cmaf;
use super::input::Placed;
use super::lane::{self, Lane};
use super::transport::{Share, Transport};
use super::{Container, Cuts, Kind, Plan, VodError};

/// What a permit of the budget stands for, in bytes.
const PERMIT_BYTES: u64 = 1024;

/// Bytes of segments that are in memory at once: one of the largest.
pub(super) const BUDGET_PERMITS: u32 = (super::LARGEST_SEGMENT_BYTES / PERMIT_BYTES) as u32;

/// A segment to be stored.
pub(super) struct Produced {
    pub(super) body: Body,
    /// When it is shown, in units of the lead track's timescale.
    pub(super) start: i64,
    pub(super) end: i64,
    /// When the last sample of the lead track has been shown, if there is one.
    pub(super) lead_end: Option<i64>,
    /// Access units of the lead track.
    pub(super) samples: u64,
    /// Memory that is given back when the segment has been stored.
    pub(super) memory: OwnedSemaphorePermit,
}

/// What is known before the first segment.
pub(super) struct Opening {
    pub(super) track: Arc<Track>,
    pub(super) shown_size: (u32, u32),
    pub(super) range: &'static str,
    pub(super) sound: Option<Arc<Track>>,
    /// The init section, if segments need one.
    pub(super) init: Option<Vec<u8>>,
}

/// What the producer says, in order: the opening, segments, the end.
pub(super) enum Step {
    Opening(Opening),
    Segment(Produced),
    End { misaligned: u32 },
}

enum Form {
    Cmaf(Cmaf),
    Ts(Transport),
}

/// Makes a rendition.
pub(super) struct Producer {
    lead: Lane,
    sound: Option<Lane>,
    form: Form,
    budget: Arc<Semaphore>,
    runtime: Handle,
}

impl Producer {
    /// Opens the plan's files.
    pub(super) fn open(
        plan: &Plan,
        container: Container,
        cuts: &Cuts,
        budget: Arc<Semaphore>,
        runtime: Handle,
    ) -> Result<Self, VodError> {
        let refuse = |reason| VodError::Plan { name: plan.name.clone(), reason };
        let is_video = match plan.kind {
            Kind::Video => true,
            Kind::Audio => false,
            Kind::Text => return Err(refuse("subtitles are packaged as text")),
        };
        let lead = Lane::open(&plan.name, &plan.input, plan.kind, cuts)?;
        let sound = match &plan.sound {
            Some(_) if container == Container::Cmaf || !is_video => {
                return Err(refuse("only pictures in mpeg-ts have a sound in their segments"));
            }
            Some((input, _)) => Some(Lane::open(&plan.name, input, Kind::Audio, cuts)?),
            None => None,
        };
        let delay = if is_video { lane::delay(&plan.input, cuts)? } else { 0 };
        let form = match container {
            Container::Cmaf => Form::Cmaf(Cmaf::new(lead.track().track().clone(), delay)),
            Container::Ts if is_video => {
                Form::Ts(Transport::new(Some(lead.track()), sound.as_ref().map(Lane::track), delay)?)
            }
            Container::Ts => Form::Ts(Transport::new(None, Some(lead.track()), 0)?),
        };
        Ok(Self { lead, sound, form, budget, runtime })
    }

    /// Makes all of it. Ends early when nobody listens any more.
    pub(super) fn run(mut self, out: &mpsc::Sender<Result<Step, VodError>>) {
        let opening = self.opening();
        let is_open = opening.is_ok();
        if out.blocking_send(opening.map(Step::Opening)).is_err() || !is_open {
            return;
        }
        loop {
            let step = match self.next() {
                Ok(Some(produced)) => Ok(Step::Segment(produced)),
                Ok(None) => Ok(Step::End { misaligned: self.lead.misaligned }),
                Err(error) => Err(error),
            };
            let is_last = !matches!(step, Ok(Step::Segment(_)));
            if out.blocking_send(step).is_err() || is_last {
                return;
            }
        }
    }

    fn opening(&self) -> Result<Opening, VodError> {
        let lead = self.lead.track();
        let init = match self.form {
            Form::Cmaf(_) => Some(init_section_with(lead.track(), lead.timescale(), lead.presentation())?),
            Form::Ts(_) => None,
        };
        Ok(Opening {
            track: lead.track().clone(),
            shown_size: lead.shown_size(),
            range: lead.range(),
            sound: self.sound.as_ref().map(|sound| sound.track().track().clone()),
            init,
        })
    }

    fn next(&mut self) -> Result<Option<Produced>, VodError> {
        let samples = self.lead.segment()?;
        let next = self.lead.next_start()?;
        let timescale = self.lead.track().timescale();
        let sound = match &mut self.sound {
            // Where the picture has ended, sound goes on at the same distances.
            Some(sound) if samples.is_empty() => sound.segment()?,
            Some(sound) => sound.before_cut(self.lead.passed() + u64::from(next.is_none()))?,
            None => Vec::new(),
        };
        let sound_scale = self.sound.as_ref().map_or(timescale, |sound| sound.track().timescale());
        let to_lead = |time| anabranch_media::fmp4::rescale(time, sound_scale, timescale);
        let Some(start) = samples.first().map(|first| first.pts).or(sound.first().map(|first| to_lead(first.pts)))
        else {
            return Ok(None);
        };
        let next = match (next, &mut self.sound) {
            (None, Some(sound)) => sound.next_start()?.map(to_lead),
            (next, _) => next,
        };
        let end = next.unwrap_or_else(|| lane::end(&samples).max(to_lead(lane::end(&sound)))).max(start);
        let memory = self.reserve(&samples, &sound)?;
        let body = match &mut self.form {
            Form::Cmaf(form) => form.segment(&samples)?,
            Form::Ts(form) => {
                let lead = Share { samples: &samples, timescale };
                match &self.sound {
                    Some(_) => form.segment(Some(lead), Some(Share { samples: &sound, timescale: sound_scale }))?,
                    None if self.lead.track().kind() == anabranch_media::TrackKind::Video => {
                        form.segment(Some(lead), None)?
                    }
                    None => form.segment(None, Some(lead))?,
                }
            }
        };
        let lead_end = (!samples.is_empty()).then(|| lane::end(&samples));
        Ok(Some(Produced { body, start, end, lead_end, samples: samples.len() as u64, memory }))
    }

    /// Waits until there is room for a segment of these samples.
    fn reserve(&self, samples: &[Placed], sound: &[Placed]) -> Result<OwnedSemaphorePermit, VodError> {
        let bytes: u64 = samples.iter().chain(sound).map(|sample| u64::from(sample.size)).sum();
        let permits = u32::try_from(bytes / PERMIT_BYTES + 1).unwrap_or(u32::MAX).min(BUDGET_PERMITS);
        let reserved = self.runtime.block_on(self.budget.clone().acquire_many_owned(permits));
        reserved.map_err(|_| VodError::Broken)
    }
}
