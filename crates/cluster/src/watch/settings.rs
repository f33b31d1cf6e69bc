//! Settings of a watch, under the names that detectors of stale playlists have for them.

use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 8192;

/// Longest name of a watch or a region, in bytes.
const NAME_MAX_BYTES: usize = 256;

/// What a watch goes by. [`Settings::check`] says whether the values make sense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Playlist that is polled: a multivariant playlist, or one media playlist.
    pub origin_url: String,
    /// Where viewers fetch the stream. It only names the instance in notifications; to watch it, make it the `origin_url` of a watch
    /// of its own. The origin's URL when not given.
    pub cdn_url: Option<String>,
    /// A playlist is stale when it has not changed for its duration times this, which is its target duration or its longest segment.
    pub duration_multiplier: f64,
    /// Share of stale playlists from which the stream is stale, above 0 to 1.
    pub stale_tolerance: f64,
    /// What counts as a change.
    pub change_detect: ChangeDetect,
    /// Name of the watch.
    pub name: String,
    /// Region that it tells; also the AWS region of receivers that do not name theirs.
    pub region: String,
    /// ARN of the SNS topic that is told.
    pub sns_topic: Option<String>,
    /// URL of the SQS queue that is told.
    pub sqs_url: Option<String>,
    /// While a change is due, a playlist is looked at each time that its duration divided by this has passed.
    pub segment_pause_divisor: u32,
    /// Whether playlists that the multivariant playlist names anew, or no longer names, change what is watched. They are a finding either way.
    pub reload_on_top_level_change: bool,
    /// Longest wait for one answer with its body, in milliseconds.
    pub timeout_ms: u64,
    /// Whether newest segments are asked for now and then.
    pub check_segments: bool,
    /// Target durations by which renditions may be apart.
    pub drift_target_durations: f64,
    /// What happens after `EXT-X-ENDLIST`.
    pub after_end: AfterEnd,
    /// How long the playlist that was given may not be there from the start before that is stale, in milliseconds. With 0 the first answer
    /// that is none is enough, which suits people who wait for a word, and nobody who acts by it.
    pub start_grace_ms: u64,
}

/// What counts as a change of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeDetect {
    /// There is a segment or part that was not there before. Segments with `EXT-X-GAP` are not there.
    #[default]
    #[serde(rename = "MEDIASEQUENCE", alias = "media-sequence")]
    MediaSequence,
    /// The text differs from the texts before (SHA-256).
    #[serde(rename = "CONTENTHASH", alias = "content-hash")]
    ContentHash,
}

/// What happens when all playlists have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterEnd {
    /// The watch is over.
    #[default]
    Stop,
    /// It is looked now and then whether they go on, since a region's next stream may have the same URL.
    Keep,
}

/// Settings that go together, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Multiplier 1.5, tolerance 0.95, divisor 5.
    #[default]
    Default,
    /// Multiplier 3.0: for encoders whose segments come unevenly.
    Relaxed,
    /// Tolerance 0.90.
    Design,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Not a URL that can be watched or told.
    #[error(
        "{name} must be a URL that begins with http:// or https:// and has at most {URL_MAX_BYTES} bytes: {value:?}"
    )]
    Url {
        /// Name of the setting.
        name: &'static str,
        /// Its value, without what is secret.
        value: String,
    },
    /// A number out of range.
    #[error("{name} must be between {least} and {most}: {value}")]
    Range {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Least value that it can have.
        least: f64,
        /// Greatest value that it can have.
        most: f64,
    },
    /// A name that is none.
    #[error("{name} must have 1 to {NAME_MAX_BYTES} bytes and no control characters: {value:?}")]
    Name {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A word that is not known.
    #[error("{name} must be one of {words}: {value:?}")]
    Word {
        /// Name of the setting.
        name: &'static str,
        /// Words that it can be.
        words: &'static str,
        /// Its value.
        value: String,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origin_url: String::new(),
            cdn_url: None,
            duration_multiplier: 1.5,
            stale_tolerance: 0.95,
            change_detect: ChangeDetect::MediaSequence,
            name: "Stale Playlist Detector".to_owned(),
            region: "us-west-2".to_owned(),
            sns_topic: None,
            sqs_url: None,
            segment_pause_divisor: 5,
            reload_on_top_level_change: true,
            timeout_ms: 2000,
            check_segments: true,
            drift_target_durations: 3.0,
            after_end: AfterEnd::Stop,
            start_grace_ms: 0,
        }
    }
}

impl Settings {
    /// Settings of a preset for a stream.
    #[must_use]
    pub fn new(origin_url: impl Into<String>, preset: Preset) -> Self {
        let origin_url = origin_url.into();
        match preset {
            Preset::Default => Self { origin_url, ..Self::default() },
            Preset::Relaxed => Self { origin_url, duration_multiplier: 3.0, ..Self::default() },
            Preset::Design => Self { origin_url, stale_tolerance: 0.9, ..Self::default() },
        }
    }

    /// Whether the values make sense.
    ///
    /// # Errors
    /// [`SettingsError`] names the first that does not, and what it could be.
    pub fn check(&self) -> Result<(), SettingsError> {
        url("origin_url", &self.origin_url)?;
        if let Some(cdn) = &self.cdn_url {
            url("cdn_url", cdn)?;
        }
        if let Some(sqs) = &self.sqs_url {
            url("sqs_url", sqs)?;
        }
        // Below 1 each playlist would be stale between two segments.
        range("duration_multiplier", self.duration_multiplier, 1.0, 100.0)?;
        range("stale_tolerance", self.stale_tolerance, 0.001, 1.0)?;
        range("segment_pause_divisor", f64::from(self.segment_pause_divisor), 1.0, 50.0)?;
        range("timeout_ms", self.timeout_ms as f64, 100.0, 30_000.0)?;
        range("start_grace_ms", self.start_grace_ms as f64, 0.0, 600_000.0)?;
        range("drift_target_durations", self.drift_target_durations, 1.0, 1000.0)?;
        name("name", &self.name)?;
        name("region", &self.region)
    }

    pub(super) fn origin(&self) -> Result<Url, SettingsError> {
        url("origin_url", &self.origin_url)
    }
}

fn url(name: &'static str, value: &str) -> Result<Url, SettingsError> {
    let parsed = (value.len() <= URL_MAX_BYTES).then(|| Url::parse(value).ok()).flatten();
    parsed
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| SettingsError::Url { name, value: super::shown(value).chars().take(200).collect() })
}

fn range(name: &'static str, value: f64, least: f64, most: f64) -> Result<(), SettingsError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(SettingsError::Range { name, value, least, most }) }
}

fn name(name: &'static str, value: &str) -> Result<(), SettingsError> {
    let is_name = (1..=NAME_MAX_BYTES).contains(&value.len()) && !value.chars().any(char::is_control);
    if is_name { Ok(()) } else { Err(SettingsError::Name { name, value: value.chars().take(100).collect() }) }
}

impl FromStr for Preset {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "default" => Ok(Self::Default),
            "relaxed" => Ok(Self::Relaxed),
            "design" => Ok(Self::Design),
            _ => Err(SettingsError::Word {
                name: "preset",
                words: "default, relaxed, design",
                value: text.chars().take(100).collect(),
            }),
        }
    }
}

impl FromStr for ChangeDetect {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "media-sequence" | "MEDIASEQUENCE" => Ok(Self::MediaSequence),
            "content-hash" | "CONTENTHASH" => Ok(Self::ContentHash),
            _ => Err(SettingsError::Word {
                name: "change_detect",
                words: "media-sequence, content-hash",
                value: text.chars().take(100).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_differ_where_they_say() {
        let of = |preset| Settings::new("https://a/x.m3u8", preset);
        let default = of("default".parse().unwrap());
        assert_eq!(
            (default.duration_multiplier, default.stale_tolerance, default.segment_pause_divisor),
            (1.5, 0.95, 5)
        );
        assert_eq!(of(Preset::Relaxed).duration_multiplier, 3.0);
        assert_eq!(of(Preset::Design).stale_tolerance, 0.9);
        assert!(default.check().is_ok());
        assert!(
            "fast".parse::<Preset>().unwrap_err().to_string().contains("one of default, relaxed, design: \"fast\"")
        );
    }

    #[test]
    fn a_complaint_names_the_value_and_the_fix() {
        let good = Settings::new("https://a/x.m3u8", Preset::Default);
        let said = |settings: Settings| settings.check().unwrap_err().to_string();
        assert_eq!(
            said(Settings { duration_multiplier: 0.5, ..good.clone() }),
            "duration_multiplier must be between 1 and 100: 0.5"
        );
        assert!(said(Settings { duration_multiplier: f64::NAN, ..good.clone() }).ends_with("NaN"));
        assert!(said(Settings { stale_tolerance: 1.5, ..good.clone() }).starts_with("stale_tolerance"));
        assert!(said(Settings { origin_url: "ftp://a/b".to_owned(), ..good.clone() }).contains("http://"));
        assert!(said(Settings { origin_url: String::new(), ..good.clone() }).starts_with("origin_url"));
        assert!(said(Settings { name: String::new(), ..good }).starts_with("name"));
    }

    #[test]
    fn words_of_the_wire() {
        let read: Settings =
            serde_json::from_str(r#"{"origin_url":"http://a/","change_detect":"CONTENTHASH","after_end":"keep"}"#)
                .unwrap();
        assert_eq!((read.change_detect, read.after_end), (ChangeDetect::ContentHash, AfterEnd::Keep));
        assert_eq!(serde_json::to_value(&read).unwrap()["change_detect"], "CONTENTHASH");
        assert!(serde_json::from_str::<Settings>(r#"{"orign_url":""}"#).is_err());
    }
}
