//! Ladders as data.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Size;

/// Most rungs of a ladder.
const RUNGS_MAX: usize = 12;

/// Bit rates of sound.
const KBPS_AUDIO: RangeInclusive<u32> = 16..=1024;

/// Sides of a box.
const SIDES: RangeInclusive<u32> = 16..=8192;

/// A ladder from which the rungs of a file are chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// What segments are made of.
    #[serde(default)]
    pub container: Container,
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

/// What segments are made of; that is the packager's work, and all that is encoded goes into either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// Fragmented MP4, each track by itself.
    #[default]
    Cmaf,
    /// MPEG-TS, the first sound together with each rung.
    Ts,
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
    fault: String,
}

impl PresetError {
    /// What does not make sense, with its value and what it must be.
    #[must_use]
    pub fn fault(&self) -> &str {
        &self.fault
    }
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
            container: Container::default(),
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
            container: Container::default(),
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
            container: Container::default(),
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
        self.fault().map_or(Ok(()), |fault| Err(PresetError { name: self.name.clone(), fault }))
    }

    fn fault(&self) -> Option<String> {
        let within = |key: &str, value: u32, range: RangeInclusive<u32>| {
            let (least, most) = (range.start(), range.end());
            (!range.contains(&value)).then(|| format!("{key} must be {least} to {most}: {value}"))
        };
        let is_word = !self.name.is_empty()
            && self.name.len() <= 40
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_word {
            return Some(format!("name must have 1 to 40 letters, digits and hyphens: {:?}", self.name));
        }
        within("segment_seconds", self.segment_seconds, 1..=60)
            .or_else(|| within("gop_frames", self.gop_frames, 1..=3600))
            .or_else(|| within("b_frames", self.b_frames, 0..=8))
            .or_else(|| within("frame_rate_max", self.frame_rate_max, 1..=240))
            .or_else(|| within("stereo_kbps", self.stereo_kbps, KBPS_AUDIO))
            .or_else(|| within("surround_kbps", self.surround_kbps?, KBPS_AUDIO))
            .or_else(|| within("mp4_short", self.mp4_short?, SIDES))
            .or_else(|| {
                let count = self.rungs.len();
                (count == 0 || count > RUNGS_MAX).then(|| format!("rungs must be 1 to {RUNGS_MAX}: {count}"))
            })
            .or_else(|| (0..self.rungs.len()).find_map(|at| self.fault_of(at)))
    }

    fn fault_of(&self, at: usize) -> Option<String> {
        let rung = &self.rungs[at];
        let (long, short, kbps) = (rung.long, rung.short, rung.rate.max_kbps());
        let fault = |text: String| Some(format!("rung {short}: {text}"));
        if !SIDES.contains(&short) || !SIDES.contains(&long) || long < short {
            return fault(format!("long and short must be 16 to 8192, long not below short: {long} and {short}"));
        }
        if !(50..=200_000).contains(&kbps) {
            return fault(format!("its rate must be 50 to 200000 kbit/s: {kbps}"));
        }
        if let Rate::Quality { crf, .. } = rung.rate
            && crf > 51
        {
            return fault(format!("crf must be 0 to 51: {crf}"));
        }
        let is_named = self.rungs[..at].iter().any(|other| other.short == short);
        if is_named { fault("there are two; each has a short of its own, which names it".to_owned()) } else { None }
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
        assert_eq!(wrong.check().unwrap_err().to_string(), "preset lms: segment_seconds must be 1 to 60: 0");
        let mut twice = Preset::lms();
        twice.rungs.push(twice.rungs[0].clone());
        assert!(twice.check().unwrap_err().fault().starts_with("rung 720: there are two"));
    }
}
