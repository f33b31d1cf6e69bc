//! Ladders as data.

use serde::{Deserialize, Serialize};

use super::Size;

/// Most rungs of a ladder.
const RUNGS_MAX: usize = 12;

/// A ladder from which the rungs of a file are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// Target duration of a segment.
    pub segment_seconds: u32,
    /// Most frames between keyframes. Keyframes cut a segment evenly, so there may be fewer.
    pub gop_frames: u32,
    /// B-frames in a row.
    pub b_frames: u32,
    /// Higher frame rates are divided by a whole number until they are not.
    pub frame_rate_max: u32,
    /// Pains that the encoder takes.
    pub speed: Speed,
    /// Bit rate of a stereo rendition.
    pub stereo_kbps: u32,
    /// Bit rate of a 5.1 rendition beside the stereo one; absent: there is none.
    #[serde(default)]
    pub surround_kbps: Option<u32>,
    /// Whether a picture that lies between two rungs, or below all, has a rung of its own size. One below all has it anyway.
    #[serde(default)]
    pub keep_source_size: bool,
    /// The rung that becomes an MP4: the largest whose `short` is not above this; absent: there is no MP4.
    #[serde(default)]
    pub mp4_short: Option<u32>,
    /// Rungs in any order; pictures larger than the source are left out.
    pub rungs: Vec<RungPreset>,
}

/// A rung before the source is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungPreset {
    /// Longer side of the box.
    pub long: u32,
    /// Shorter side of the box, which names the rung.
    pub short: u32,
    /// How pictures come into the box.
    #[serde(default)]
    pub fit: Fit,
    /// Profile of H.264.
    pub profile: Profile,
    /// Bits.
    pub rate: Rate,
}

/// How pictures come into a box, which is turned when they stand upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// As large as goes in, of square pixels.
    #[default]
    Inside,
    /// They fill it, of pixels that are not square, so that players show them undistorted.
    Fill,
}

/// Profile of H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Main.
    Main,
    /// High.
    High,
}

/// Bits of a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rate {
    /// As many as the quality takes, up to a limit.
    Quality {
        /// x264's constant rate factor, 0 to 51: less is better.
        crf: u8,
        /// Limit, over two seconds.
        max_kbps: u32,
    },
    /// As many at all times, with filler.
    Constant {
        /// How many.
        kbps: u32,
    },
}

impl Rate {
    /// Most kilobits per second.
    #[must_use]
    pub fn max_kbps(self) -> u32 {
        match self {
            Self::Quality { max_kbps, .. } => max_kbps,
            Self::Constant { kbps } => kbps,
        }
    }
}

/// Pains that the encoder takes, by x264's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "x264's names")]
pub enum Speed {
    Ultrafast,
    Superfast,
    #[default]
    Veryfast,
    Faster,
    Fast,
    Medium,
    Slow,
    Slower,
}

impl Speed {
    /// x264's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Slower => "slower",
        }
    }
}

/// A preset that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("preset {name}: {fault}")]
pub struct PresetError {
    name: String,
    fault: &'static str,
}

impl Preset {
    /// The ladder of the learning platform (systems.md L5).
    #[must_use]
    pub fn lms() -> Self {
        let rung = |long, short, max_kbps| RungPreset {
            long,
            short,
            fit: Fit::Inside,
            profile: Profile::Main,
            rate: Rate::Quality { crf: 21, max_kbps },
        };
        Self {
            name: "lms".to_owned(),
            segment_seconds: 10,
            gop_frames: 90,
            b_frames: 2,
            frame_rate_max: 60,
            speed: Speed::default(),
            stereo_kbps: 96,
            surround_kbps: None,
            keep_source_size: false,
            mp4_short: Some(720),
            rungs: vec![rung(1280, 720, 3000), rung(960, 540, 2000), rung(640, 360, 1000)],
        }
    }

    /// The ladder of the live platform (systems.md V25), for files.
    #[must_use]
    pub fn live() -> Self {
        let rung =
            |long, short, fit, profile, kbps| RungPreset { long, short, fit, profile, rate: Rate::Constant { kbps } };
        Self {
            name: "live".to_owned(),
            segment_seconds: 6,
            gop_frames: 60,
            b_frames: 3,
            frame_rate_max: 30,
            speed: Speed::default(),
            stereo_kbps: 192,
            surround_kbps: None,
            keep_source_size: false,
            mp4_short: Some(720),
            rungs: vec![
                rung(1920, 1080, Fit::Inside, Profile::High, 5000),
                rung(1280, 720, Fit::Inside, Profile::High, 3000),
                rung(640, 480, Fit::Fill, Profile::Main, 1500),
                rung(320, 240, Fit::Fill, Profile::Main, 750),
            ],
        }
    }

    /// The ladder of everything else: up to 2160 lines, as the source has.
    #[must_use]
    pub fn standard() -> Self {
        let rung = |long, short, crf, max_kbps| RungPreset {
            long,
            short,
            fit: Fit::Inside,
            profile: Profile::High,
            rate: Rate::Quality { crf, max_kbps },
        };
        Self {
            name: "standard".to_owned(),
            segment_seconds: 6,
            gop_frames: 120,
            b_frames: 3,
            frame_rate_max: 60,
            speed: Speed::default(),
            stereo_kbps: 128,
            surround_kbps: Some(384),
            keep_source_size: true,
            mp4_short: Some(720),
            rungs: vec![
                rung(3840, 2160, 22, 16_000),
                rung(1920, 1080, 22, 6000),
                rung(1280, 720, 22, 3200),
                rung(960, 540, 22, 1800),
                rung(640, 360, 23, 900),
            ],
        }
    }

    /// The presets that are always there.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        vec![Self::standard(), Self::lms(), Self::live()]
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`PresetError`] names what does not.
    pub fn check(&self) -> Result<(), PresetError> {
        let fault = |fault| Err(PresetError { name: self.name.clone(), fault });
        let is_word = |text: &str| {
            !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if !is_word(&self.name) {
            return fault("name: 1 to 40 letters, digits and hyphens");
        }
        if !(1..=60).contains(&self.segment_seconds) {
            return fault("segment_seconds: 1 to 60");
        }
        if !(1..=3600).contains(&self.gop_frames) {
            return fault("gop_frames: 1 to 3600");
        }
        if self.b_frames > 8 {
            return fault("b_frames: at most 8");
        }
        if !(1..=240).contains(&self.frame_rate_max) {
            return fault("frame_rate_max: 1 to 240");
        }
        let audio = 16..=1024;
        if !audio.contains(&self.stereo_kbps) || self.surround_kbps.is_some_and(|kbps| !audio.contains(&kbps)) {
            return fault("stereo_kbps and surround_kbps: 16 to 1024");
        }
        if self.rungs.is_empty() || self.rungs.len() > RUNGS_MAX {
            return fault("rungs: 1 to 12");
        }
        for (at, rung) in self.rungs.iter().enumerate() {
            let sides = 16..=8192;
            if !sides.contains(&rung.long) || !sides.contains(&rung.short) || rung.long < rung.short {
                return fault("rungs: long and short are 16 to 8192, long not below short");
            }
            if !(50..=200_000).contains(&rung.rate.max_kbps()) {
                return fault("rungs: 50 to 200000 kbit/s");
            }
            if matches!(rung.rate, Rate::Quality { crf, .. } if crf > 51) {
                return fault("rungs: crf is 0 to 51");
            }
            if self.rungs[..at].iter().any(|other| other.short == rung.short) {
                return fault("rungs: each has a short of its own, which names it");
            }
        }
        Ok(())
    }
}

impl RungPreset {
    /// The box, for a picture of this shape.
    pub(crate) fn room(&self, picture: Size) -> Size {
        if picture.width >= picture.height {
            Size { width: self.long, height: self.short }
        } else {
            Size { width: self.short, height: self.long }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_presets_are_sound_and_survive_writing() {
        for preset in Preset::built_in() {
            preset.check().unwrap();
            let text = serde_json::to_string(&preset).unwrap();
            assert_eq!(serde_json::from_str::<Preset>(&text).unwrap(), preset);
        }
        let wrong = Preset { segment_seconds: 0, ..Preset::lms() };
        assert_eq!(wrong.check().unwrap_err().to_string(), "preset lms: segment_seconds: 1 to 60");
        let mut twice = Preset::lms();
        twice.rungs.push(twice.rungs[0].clone());
        assert!(twice.check().is_err());
    }
}
