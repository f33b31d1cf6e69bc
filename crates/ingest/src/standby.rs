//! What a standby input sent lately, so that a switch to it begins with a keyframe at once. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anabranch_media::{Arrival, Event, Sample, Track, TrackKind};
use tokio::time::Instant;

/// Most bytes that are kept of one input; beyond it the oldest groups of pictures go.
const MOST_BYTES: usize = 24 * 1024 * 1024;

/// What a sample counts beyond its own bytes, so that very many very small ones are limited too.
const SAMPLE_OVERHEAD: usize = 128;

/// Longest time that is kept, whatever the settings say.
const LONGEST: Duration = Duration::from_secs(12);

/// Sound without pictures can be begun anywhere; it is kept in groups of this length.
const SOUND_GROUP: Duration = Duration::from_millis(500);

/// How much earlier than the last media of the lost input a group may have begun to follow it: the ways here differ.
const JITTER: Duration = Duration::from_millis(250);

/// The tracks of a session: pictures, sound.
pub(crate) type Tracks = [Option<Arc<Track>>; 2];

/// Where a track stands among [`Tracks`].
pub(crate) fn slot(kind: TrackKind) -> usize {
    match kind {
        TrackKind::Video => 0,
        TrackKind::Audio => 1,
    }
}

/// The last groups of pictures of an input that is not in use.
#[derive(Debug, Default)]
pub(crate) struct Standby {
    groups: VecDeque<Group>,
    bytes: usize,
}

/// Samples from one point where decoding may begin to the next.
#[derive(Debug)]
struct Group {
    begun: Instant,
    samples: Vec<(Sample, i64)>,
    bytes: usize,
}

/// What was handed on last: where another input must be found to continue it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) tracks: Tracks,
    keyframe: Option<Sample>,
    picture: Option<Sample>,
    sound: Option<Sample>,
    /// Pictures since the keyframe, with it, and their bytes.
    pictures: usize,
    bytes: usize,
}

impl Standby {
    /// Takes a sample that came at `now` (`at_ms` of the day) of a session with `tracks`, and lets go what is not needed to
    /// follow an input that was silent for `loss`.
    pub(crate) fn push(&mut self, sample: Sample, at_ms: i64, tracks: &Tracks, now: Instant, loss: Duration) {
        let begins = match (sample.kind, &tracks[slot(TrackKind::Video)]) {
            (TrackKind::Video, _) => sample.keyframe,
            (TrackKind::Audio, Some(_)) => false,
            (TrackKind::Audio, None) => self.groups.back().is_none_or(|group| now - group.begun >= SOUND_GROUP),
        };
        if begins {
            self.groups.push_back(Group { begun: now, samples: Vec::new(), bytes: 0 });
        }
        let Some(group) = self.groups.back_mut() else { return };
        let bytes = sample.data.len() + SAMPLE_OVERHEAD;
        group.samples.push((sample, at_ms));
        group.bytes += bytes;
        self.bytes += bytes;
        // The group before the silence began is kept too: it tells whether both inputs send the same.
        let keep = (loss + 2 * JITTER).min(LONGEST);
        while self.groups.get(1).is_some_and(|second| now - second.begun >= keep) || self.bytes > MOST_BYTES {
            let Some(gone) = self.groups.pop_front() else { break };
            self.bytes -= gone.bytes;
        }
    }

    /// Forgets all: what follows cannot be decoded with what was before.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the newest group began.
    pub(crate) fn newest(&self) -> Option<Instant> {
        self.groups.back().map(|group| group.begun)
    }

    /// Takes everything from the first group that follows `since`, or from the newest when none does.
    pub(crate) fn take_since(&mut self, since: Option<Instant>) -> Vec<Arrival> {
        let last = self.groups.len().saturating_sub(1);
        let follows = |group: &Group| since.is_some_and(|since| group.begun + JITTER >= since);
        let first = self.groups.iter().position(follows).unwrap_or(last);
        let groups = std::mem::take(self).groups;
        groups.into_iter().skip(first).flat_map(|group| group.samples).map(arrival).collect()
    }

    /// Whether this is the very stream that was sent, by its last keyframe.
    pub(crate) fn is_same(&self, sent: &Sent, tracks: &Tracks) -> bool {
        sent.tracks == *tracks && self.keyframe_of(sent).is_some()
    }

    /// Takes what comes after that which was sent, when this is the very same stream: the same tracks, and the same bytes at
    /// the same times. Nothing otherwise, or while its end has not come here.
    pub(crate) fn take_after(&mut self, sent: &Sent, tracks: &Tracks) -> Option<Vec<Arrival>> {
        if sent.tracks != *tracks {
            return None;
        }
        let picture_at = self.picture_of(sent)?;
        let sound_at = match &sent.sound {
            Some(sound) => Some(self.place_of(sound)?),
            None => None,
        };
        let groups = std::mem::take(self).groups;
        let all = groups.into_iter().flat_map(|group| group.samples).enumerate();
        let after = all.filter(|(at, (sample, _))| match sample.kind {
            TrackKind::Video => *at > picture_at,
            TrackKind::Audio => sound_at.is_none_or(|sound_at| *at > sound_at),
        });
        Some(after.map(|(_, sample)| arrival(sample)).collect())
    }

    fn place_of(&self, wanted: &Sample) -> Option<usize> {
        self.groups.iter().flat_map(|group| &group.samples).position(|(sample, _)| sample == wanted)
    }

    fn keyframe_of(&self, sent: &Sent) -> Option<&Group> {
        let keyframe = sent.keyframe.as_ref()?;
        let first_picture = |group: &Group| group.samples.first().is_some_and(|(sample, _)| sample == keyframe);
        self.groups.iter().rev().find(|group| first_picture(group))
    }

    /// Place of the last picture that was sent, if everything from its keyframe to it is the same.
    fn picture_of(&self, sent: &Sent) -> Option<usize> {
        let group = self.keyframe_of(sent)?;
        let before: usize =
            self.groups.iter().take_while(|other| !std::ptr::eq(*other, group)).map(|g| g.samples.len()).sum();
        let (mut pictures, mut bytes) = (0, 0);
        for (at, (sample, _)) in group.samples.iter().enumerate() {
            if sample.kind == TrackKind::Video {
                pictures += 1;
                bytes += sample.data.len();
                if Some(sample) == sent.picture.as_ref() {
                    return (pictures == sent.pictures && bytes == sent.bytes).then_some(before + at);
                }
            }
        }
        None
    }
}

impl Sent {
    /// Forgets the samples: nothing that comes continues them.
    pub(crate) fn forget(&mut self) {
        *self = Self { tracks: std::mem::take(&mut self.tracks), ..Self::default() };
    }

    /// Notes a sample that is handed on.
    pub(crate) fn note(&mut self, sample: &Sample) {
        match sample.kind {
            TrackKind::Audio => self.sound = Some(sample.clone()),
            TrackKind::Video => {
                if sample.keyframe {
                    self.keyframe = Some(sample.clone());
                    (self.pictures, self.bytes) = (0, 0);
                }
                self.picture = Some(sample.clone());
                self.pictures += 1;
                self.bytes += sample.data.len();
            }
        }
    }
}

fn arrival((sample, at_ms): (Sample, i64)) -> Arrival {
    Arrival { event: Event::Sample(sample), at_ms }
}

#[cfg(test)]
mod tests {
    use anabranch_media::Codec;
    use bytes::Bytes;

    use super::*;

    const LOSS: Duration = Duration::from_secs(3);

    fn track(kind: TrackKind, config: &'static [u8]) -> Arc<Track> {
        Arc::new(Track {
            kind,
            timescale: 1000,
            codec: Codec::H264(Bytes::from_static(config)),
            codecs: String::new(),
            width: 0,
            height: 0,
            sample_rate: 0,
            channels: 0,
            frame_samples: 0,
        })
    }

    fn tracks() -> Tracks {
        [Some(track(TrackKind::Video, b"v")), Some(track(TrackKind::Audio, b"a"))]
    }

    fn picture(ms: i64, keyframe: bool, bytes: usize) -> Sample {
        let data = Bytes::from(vec![(ms / 40) as u8; bytes]);
        Sample { kind: TrackKind::Video, dts: ms, pts: ms, keyframe, data }
    }

    fn sound(ms: i64) -> Sample {
        Sample { kind: TrackKind::Audio, dts: ms, pts: ms, keyframe: true, data: Bytes::from_static(b"sound") }
    }

    /// A picture each 40 ms with a keyframe each `gop` ms, and sound 10 ms after each.
    fn stream(from: i64, to: i64, gop: i64, bytes: usize) -> Vec<Sample> {
        let at = |ms| [picture(ms, ms % gop == 0, bytes), sound(ms + 10)];
        (from..to).step_by(40).flat_map(at).collect()
    }

    fn keep(begun: Instant, samples: Vec<Sample>, tracks: &Tracks) -> Standby {
        let mut standby = Standby::default();
        for sample in samples {
            let now = begun + Duration::from_millis(sample.dts as u64);
            standby.push(sample.clone(), sample.dts, tracks, now, LOSS);
        }
        standby
    }

    fn times(arrivals: &[Arrival]) -> Vec<(TrackKind, i64)> {
        let sample = |arrival: &Arrival| match &arrival.event {
            Event::Sample(sample) => (sample.kind, sample.dts),
            other => panic!("{other:?}"),
        };
        arrivals.iter().map(sample).collect()
    }

    #[test]
    fn what_follows_a_loss_begins_with_the_next_keyframe() {
        let begun = Instant::now();
        let at = |ms| Some(begun + Duration::from_millis(ms));
        for (since, first) in
            [(at(6_000), 6_000), (at(6_200), 6_000), (at(6_300), 8_000), (at(9_900), 8_000), (None, 8_000)]
        {
            let mut standby = keep(begun, stream(200, 9_000, 2_000, 100), &tracks());
            assert_eq!(standby.newest(), at(8_000));
            let kept = standby.take_since(since);
            assert_eq!(times(&kept)[0], (TrackKind::Video, first), "{since:?}");
            assert_eq!(times(&kept).last(), Some(&(TrackKind::Audio, 8_970)));
            assert!(standby.take_since(since).is_empty(), "taken");
        }
    }

    #[test]
    fn time_and_bytes_are_bounded() {
        let begun = Instant::now();
        let hour = keep(begun, stream(0, 3_600_000, 2_000, 100), &tracks());
        assert!(hour.groups.len() <= 4, "{}", hour.groups.len());
        let large = keep(begun, stream(0, 4_000, 1_000, 1 << 20), &tracks());
        assert!(large.bytes() <= MOST_BYTES);
        let none = keep(begun, stream(0, 3_999, 4_000, 1 << 20), &tracks());
        assert_eq!((none.bytes(), none.newest()), (0, None), "a group that is too large waits for the next keyframe");
        let alone = keep(begun, stream(0, 60_000, 2_000, 0).into_iter().filter(|s| s.keyframe).collect(), &tracks());
        assert!(alone.bytes() < 60_000);
    }

    #[test]
    fn sound_alone_can_be_begun_anywhere() {
        let begun = Instant::now();
        let only = [None, Some(track(TrackKind::Audio, b"a"))];
        let mut standby = keep(begun, (0..10_000).step_by(20).map(sound).collect(), &only);
        assert!(standby.groups.len() <= 9, "{}", standby.groups.len());
        let kept = standby.take_since(Some(begun + Duration::from_millis(8_000)));
        assert_eq!(times(&kept)[0].1, 8_000);
    }

    fn sent(samples: &[Sample], tracks: Tracks) -> Sent {
        let mut sent = Sent { tracks, ..Sent::default() };
        samples.iter().for_each(|sample| sent.note(sample));
        sent
    }

    #[test]
    fn the_same_stream_goes_on_with_the_next_sample() {
        let begun = Instant::now();
        let all = stream(0, 9_000, 2_000, 100);
        let mut standby = keep(begun, all.clone(), &tracks());
        // The lost one sent a picture more than sound.
        let sent = sent(&all[..all.len() - 21], tracks());
        assert!(standby.is_same(&sent, &tracks()));
        let rest = standby.take_after(&sent, &tracks()).unwrap();
        let expected: Vec<_> = all[all.len() - 21..].iter().map(|sample| (sample.kind, sample.dts)).collect();
        assert_eq!(times(&rest), expected);
        assert_eq!(expected[0].0, TrackKind::Audio);
    }

    #[test]
    fn what_differs_anywhere_is_another_stream() {
        let begun = Instant::now();
        let all = stream(0, 9_000, 2_000, 100);
        let end = all.len() - 20;
        let fails = |change: &dyn Fn(&mut Vec<Sample>), with: Tracks| {
            let mut other = all.clone();
            change(&mut other);
            let taken = keep(begun, other, &with).take_after(&sent(&all[..end], tracks()), &with);
            assert!(taken.is_none(), "{taken:?}");
        };
        let at = |ms: i64| usize::try_from(ms / 20).unwrap();
        fails(&|_| {}, [Some(track(TrackKind::Video, b"w")), Some(track(TrackKind::Audio, b"a"))]);
        fails(&|other| other[at(8_000)].data = Bytes::from_static(b"another keyframe"), tracks());
        fails(&|other| other[at(8_400)].data = Bytes::from_static(b"another picture"), tracks());
        fails(&|other| drop(other.remove(at(8_400))), tracks());
        fails(&|other| other.iter_mut().for_each(|sample| sample.dts += 1), tracks());
        fails(&|other| other.truncate(end - 1), tracks());
        fails(&|other| other.retain(|sample| sample.kind == TrackKind::Video), tracks());
    }
}
