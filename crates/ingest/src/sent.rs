//! What an encoder sends, in the words of operators: format, size, rates.

use std::sync::Arc;

use anabranch_media::{Codec, Event, Track, TrackKind};
use anabranch_model::{InputAudio, InputMedia, InputVideo};

/// What has been seen of a publish.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    video: Option<Arc<Track>>,
    audio: Option<Arc<Track>>,
    pictures: Option<Pictures>,
    frame_rate: Option<f64>,
}

/// Pictures since the last look: decoding times of the first and the last one, and how many came after the first.
#[derive(Clone, Copy, Debug)]
struct Pictures {
    first: i64,
    last: i64,
    more: u32,
}

impl Sent {
    pub(crate) fn see(&mut self, event: &Event) {
        match event {
            Event::Track(track) if track.kind == TrackKind::Video => {
                self.video = Some(track.clone());
                (self.pictures, self.frame_rate) = (None, None);
            }
            Event::Track(track) => self.audio = Some(track.clone()),
            Event::Sample(sample) if sample.kind == TrackKind::Video => match &mut self.pictures {
                Some(pictures) => (pictures.last, pictures.more) = (sample.dts, pictures.more.saturating_add(1)),
                None => self.pictures = Some(Pictures { first: sample.dts, last: sample.dts, more: 0 }),
            },
            Event::Sample(_) => {}
            Event::Discontinuity => self.pictures = None,
        }
    }

    /// What is sent; none before any of it is known. The frame rate is that since this was asked last.
    pub(crate) fn take(&mut self) -> Option<InputMedia> {
        if let (Some(video), Some(pictures)) = (&self.video, self.pictures.take()) {
            self.frame_rate = rate(video.timescale, pictures);
            // The last one is the first of what comes.
            self.pictures = Some(Pictures { first: pictures.last, more: 0, ..pictures });
        }
        if self.video.is_none() && self.audio.is_none() {
            return None;
        }
        let video = self.video.as_ref().map(|track| InputVideo {
            codec: word(&track.codec).to_owned(),
            codecs: track.codecs.clone(),
            width: track.width,
            height: track.height,
            frame_rate: self.frame_rate,
        });
        let audio = self.audio.as_ref().map(|track| InputAudio {
            codec: word(&track.codec).to_owned(),
            codecs: track.codecs.clone(),
            channels: track.channels,
            sample_rate: track.sample_rate,
        });
        Some(InputMedia { video, audio })
    }
}

/// Pictures a second, to the hundredth.
fn rate(timescale: u32, pictures: Pictures) -> Option<f64> {
    let ticks = u32::try_from(pictures.last.checked_sub(pictures.first)?).ok().filter(|ticks| *ticks > 0)?;
    let rate = f64::from(pictures.more) * f64::from(timescale) / f64::from(ticks);
    (pictures.more > 0).then(|| (rate * 100.0).round() / 100.0)
}

fn word(codec: &Codec) -> &'static str {
    match codec {
        Codec::H264(_) => "h264",
        Codec::H265(_) => "h265",
        Codec::Av1(_) => "av1",
        Codec::Aac(_) => "aac",
        Codec::Opus(_) => "opus",
        Codec::Ac3(_) => "ac3",
        Codec::Eac3(_) => "eac3",
    }
}

#[cfg(test)]
mod tests {
    use anabranch_media::Sample;
    use bytes::Bytes;

    use super::*;

    fn track(kind: TrackKind, codec: Codec) -> Event {
        let video = kind == TrackKind::Video;
        Event::Track(Arc::new(Track {
            kind,
            timescale: 1000,
            codec,
            codecs: "x".to_owned(),
            width: if video { 1280 } else { 0 },
            height: if video { 720 } else { 0 },
            sample_rate: if video { 0 } else { 48_000 },
            channels: if video { 0 } else { 2 },
            frame_samples: 0,
        }))
    }

    fn picture(dts: i64) -> Event {
        Event::Sample(Sample { kind: TrackKind::Video, dts, pts: dts, keyframe: true, data: Bytes::new() })
    }

    #[test]
    fn what_is_sent_is_told_as_far_as_it_is_known() {
        let mut sent = Sent::default();
        assert_eq!(sent.take(), None);
        sent.see(&track(TrackKind::Audio, Codec::Aac(Bytes::new())));
        let media = sent.take().unwrap();
        let audio = media.audio.unwrap();
        assert_eq!((audio.codec.as_str(), audio.channels, audio.sample_rate), ("aac", 2, 48_000));
        assert_eq!(media.video, None);
        sent.see(&track(TrackKind::Video, Codec::H264(Bytes::new())));
        let mut rate = |times: &mut dyn Iterator<Item = i64>| {
            times.for_each(|dts| sent.see(&picture(dts)));
            sent.take().and_then(|media| media.video).and_then(|video| video.frame_rate)
        };
        assert_eq!(rate(&mut std::iter::empty()), None);
        assert_eq!(rate(&mut (0..=125).map(|number| number * 40)), Some(25.0));
        // The next stretch begins with the last picture of the one before; times are whole milliseconds.
        assert_eq!(rate(&mut (1..=150).map(|number| 5000 + number * 1000 / 30)), Some(30.0));
        assert_eq!(rate(&mut std::iter::empty()), None, "no picture has come");
        sent.see(&Event::Discontinuity);
        sent.see(&picture(90_000));
        sent.see(&picture(90_040));
        let video = sent.take().unwrap().video.unwrap();
        assert_eq!(
            (video.codec.as_str(), video.width, video.height, video.frame_rate),
            ("h264", 1280, 720, Some(25.0))
        );
    }
}
