//! Presets of the configuration, beside those that are always there.

use std::collections::BTreeMap;

use anabranch_transcode::vod::{Container, Fit, Preset, Profile, Rate, RungPreset, Speed};
use anyhow::{Result, anyhow, bail};
use serde::Deserialize;

/// Presets at most.
const PRESETS_MAX: usize = 100;

/// Quality of a rung that says none.
const CRF: u8 = 22;

/// A preset: what it does not say is as in the one that it is based on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PresetKeys {
    /// A preset that is always there; `standard` without the key.
    based_on: Option<String>,
    container: Option<Container>,
    segment_seconds: Option<u32>,
    gop_frames: Option<u32>,
    b_frames: Option<u32>,
    frame_rate_max: Option<u32>,
    speed: Option<Speed>,
    stereo_kbps: Option<u32>,
    /// 0: none.
    surround_kbps: Option<u32>,
    keep_source_size: Option<bool>,
    /// 0: no MP4.
    mp4_short: Option<u32>,
    rungs: Option<Vec<RungKeys>>,
}

/// A rung.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RungKeys {
    short: u32,
    /// 16:9 without the key.
    long: Option<u32>,
    #[serde(default)]
    fit: Fit,
    profile: Option<Profile>,
    crf: Option<u8>,
    max_kbps: Option<u32>,
    kbps: Option<u32>,
}

/// All presets: those that are always there, the usual one first, then these by name.
pub(super) fn all(of: &BTreeMap<String, PresetKeys>) -> Result<Vec<Preset>> {
    let mut presets = Preset::built_in();
    let built_in = presets.len();
    if of.len() > PRESETS_MAX {
        bail!("demand.presets must be at most {PRESETS_MAX}: {}", of.len());
    }
    for (name, keys) in of {
        let preset =
            keys.preset(name, &presets[..built_in]).map_err(|fault| anyhow!("demand.presets.{name}: {fault}"))?;
        presets.push(preset);
    }
    Ok(presets)
}

impl PresetKeys {
    fn preset(&self, name: &str, built_in: &[Preset]) -> Result<Preset, String> {
        let named = |wanted: &str| built_in.iter().find(|preset| preset.name == wanted);
        if named(name).is_some() {
            return Err("this one is always there; give yours another name".to_owned());
        }
        let wanted = self.based_on.as_deref().unwrap_or("standard");
        let base = named(wanted).ok_or_else(|| {
            let known: Vec<&str> = built_in.iter().map(|preset| preset.name.as_str()).collect();
            format!("based_on must be one of {}: {wanted:?}", known.join(", "))
        })?;
        let or_none =
            |wanted: Option<u32>, base: Option<u32>| wanted.map_or(base, |value| (value > 0).then_some(value));
        let rungs = match &self.rungs {
            Some(rungs) => rungs.iter().map(RungKeys::rung).collect::<Result<_, _>>()?,
            None => base.rungs.clone(),
        };
        let preset = Preset {
            name: name.to_owned(),
            container: self.container.unwrap_or(base.container),
            segment_seconds: self.segment_seconds.unwrap_or(base.segment_seconds),
            gop_frames: self.gop_frames.unwrap_or(base.gop_frames),
            b_frames: self.b_frames.unwrap_or(base.b_frames),
            frame_rate_max: self.frame_rate_max.unwrap_or(base.frame_rate_max),
            speed: self.speed.unwrap_or(base.speed),
            stereo_kbps: self.stereo_kbps.unwrap_or(base.stereo_kbps),
            surround_kbps: or_none(self.surround_kbps, base.surround_kbps),
            keep_source_size: self.keep_source_size.unwrap_or(base.keep_source_size),
            mp4_short: or_none(self.mp4_short, base.mp4_short),
            rungs,
        };
        match preset.check() {
            Ok(()) => Ok(preset),
            Err(error) => Err(error.fault().to_owned()),
        }
    }
}

impl RungKeys {
    fn rung(&self) -> Result<RungPreset, String> {
        let rate = match (self.kbps, self.max_kbps, self.crf) {
            (Some(kbps), None, None) => Rate::Constant { kbps },
            (None, Some(max_kbps), crf) => Rate::Quality { crf: crf.unwrap_or(CRF), max_kbps },
            _ => {
                let short = self.short;
                return Err(format!(
                    "rung {short}: its rate must be kbps alone (as many at all times), or max_kbps (as many as its quality takes, up to this) with or without crf"
                ));
            }
        };
        // Sides of 4:2:0 pictures are even.
        let long = self.long.unwrap_or_else(|| self.short.saturating_mul(16).div_ceil(9).next_multiple_of(2));
        let profile = self.profile.unwrap_or(Profile::High);
        Ok(RungPreset { long, short: self.short, fit: self.fit, profile, rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Preset>> {
        all(&toml::from_str(text).unwrap())
    }

    #[test]
    fn what_is_not_said_is_as_in_the_base() {
        let text = "[course]\nbased_on = \"lms\"\ncontainer = \"ts\"\nsegment_seconds = 4\nmp4_short = 0\n\
                    rungs = [{ short = 720, max_kbps = 2500 }, { short = 360, kbps = 700, profile = \"main\" }]\n[plain]\n";
        let presets = read(text).unwrap();
        assert_eq!(presets[0].name, "standard", "the usual one is the first");
        let [.., course, plain] = presets.as_slice() else { panic!("two more") };
        let lms = Preset::lms();
        assert_eq!((course.name.as_str(), course.container, course.segment_seconds), ("course", Container::Ts, 4));
        assert_eq!((course.mp4_short, course.gop_frames, course.stereo_kbps), (None, lms.gop_frames, lms.stereo_kbps));
        let rungs: Vec<_> = course.rungs.iter().map(|rung| (rung.long, rung.short, rung.rate)).collect();
        assert_eq!(
            rungs,
            [(1280, 720, Rate::Quality { crf: CRF, max_kbps: 2500 }), (640, 360, Rate::Constant { kbps: 700 })]
        );
        assert_eq!(*plain, Preset { name: "plain".to_owned(), ..Preset::standard() });
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_value() {
        for (text, words) in [
            ("[lms]\n", "demand.presets.lms: this one is always there; give yours another name"),
            ("[a]\nbased_on = \"b\"\n", "demand.presets.a: based_on must be one of standard, lms, live: \"b\""),
            ("[a]\nsegment_seconds = 90\n", "demand.presets.a: segment_seconds must be 1 to 60: 90"),
            ("[a]\nrungs = []\n", "demand.presets.a: rungs must be 1 to 12: 0"),
            ("[a]\nrungs = [{ short = 360 }]\n", "demand.presets.a: rung 360: its rate must be kbps alone"),
            ("[a]\nrungs = [{ short = 360, kbps = 7 }]\n", "rung 360: its rate must be 50 to 200000 kbit/s: 7"),
            ("[\"a b\"]\n", "name must have 1 to 40 letters, digits and hyphens: \"a b\""),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
