//! Clusters: the same live stream in several regions, as an instance that takes part defines it.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, DistributionId, SecretHeaders};

/// Fewest regions of a cluster.
pub const REGIONS_MIN: usize = 2;

/// Most regions of a cluster.
pub const REGIONS_MAX: usize = 8;

/// Longest name of a region, in bytes: players are told it as the name of a pathway.
pub const REGION_NAME_MAX: usize = 32;

/// Path patterns of a region at most.
const PATHS_MAX: usize = 16;

/// Headers of a region's origin at most.
pub const HEADERS_MAX: usize = 10;

/// Longest path pattern and longest URL, in bytes.
const TEXT_MAX: usize = 2048;

/// Names of the watcher's presets; the first is the default.
pub const PRESETS: [&str; 3] = ["default", "relaxed", "design"];

/// What stands in a URL for the id of a breakout.
pub const BREAKOUT_MARK: &str = "{breakout}";

/// A cluster: redundant live streams, one in each region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Identifier, of this instance only.
    pub id: ClusterId,
    /// Name, by which peers know it as well.
    pub name: String,
    /// The region that this instance is; none where it only watches.
    pub here: Option<String>,
    /// Regions, the preferred first.
    pub regions: Vec<ClusterRegion>,
    /// How verdicts come about.
    pub watch: WatchSettings,
    /// When the automat closes and opens.
    pub automat: AutomatSettings,
}

/// Where one of the streams runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRegion {
    /// Name: also what players call the pathway, so it is spelled as one.
    pub name: String,
    /// Multivariant playlist at the origin; may contain `{breakout}`.
    pub origin_url: String,
    /// The same through the CDN; may contain `{breakout}`.
    pub cdn_url: String,
    /// The distribution of this instance that serves the region; none where somebody else's does.
    #[serde(default)]
    pub distribution: Option<DistributionId>,
    /// Path patterns of the distribution that are the region's; none stands for all of it.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The instance that is this region; none where there is none, or it is this one.
    #[serde(default)]
    pub peer: Option<Peer>,
    /// Headers with which its origin is asked, and no other host. Never shown.
    #[serde(default, skip_serializing_if = "SecretHeaders::is_empty")]
    pub headers: SecretHeaders,
}

/// Where the state of another instance is pulled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Address of its API, such as `https://control.eu.example.com`.
    pub url: String,
    /// An API token there with the scope `cluster`. Never shown.
    pub token: String,
}

impl std::fmt::Debug for Peer {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How many watchers must say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteRule {
    /// One of them.
    Any,
    /// More than half of those that are heard.
    #[default]
    Majority,
    /// Each that is heard.
    All,
}

impl VoteRule {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Majority => "majority",
            Self::All => "all",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Any, Self::Majority, Self::All].into_iter().find(|rule| rule.as_str() == word)
    }
}

/// What counts as a change of a playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeDetect {
    /// There is a segment or part that was not there before.
    #[default]
    MediaSequence,
    /// The text differs from the texts before.
    ContentHash,
}

impl ChangeDetect {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MediaSequence => "media-sequence",
            Self::ContentHash => "content-hash",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::MediaSequence, Self::ContentHash].into_iter().find(|way| way.as_str() == word)
    }
}

/// How verdicts come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchSettings {
    /// Name of the watcher's preset.
    pub preset: String,
    /// A playlist is stale after its duration times this; none: as the preset says (C12).
    pub multiplier: Option<f64>,
    /// Share of a region's playlists that must be stale; none: as the preset says (C13).
    pub tolerance: Option<f64>,
    /// How many watchers must say so.
    pub vote: VoteRule,
    /// Silence after which a watcher has no vote and is an alarm, in milliseconds.
    pub silence_ms: u32,
    /// What counts as a change; none: as the preset says (C14). Instances of earlier versions tell neither this nor what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_detect: Option<ChangeDetect>,
    /// While a change is due, a playlist is looked at each time that its duration divided by this has passed; none: as the preset says
    /// (C16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_divisor: Option<u32>,
    /// Longest wait for one answer with its body, in milliseconds; none: as the preset says (C31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Whether a changed multivariant playlist changes what is watched; none: as the preset says (C17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<bool>,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            preset: PRESETS[0].to_owned(),
            multiplier: None,
            tolerance: None,
            vote: VoteRule::default(),
            silence_ms: 5_000,
            change_detect: None,
            poll_divisor: None,
            timeout_ms: None,
            reload: None,
        }
    }
}

/// Who closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutomatMode {
    /// The operator only.
    #[default]
    Manual,
    /// The automat as well.
    Automatic,
}

impl AutomatMode {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }

    /// The value that is spelled so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Manual, Self::Automatic].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// When the automat closes and opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomatSettings {
    /// Who closes.
    pub mode: AutomatMode,
    /// A region must be stale for so long before it is closed, in milliseconds.
    pub confirm_ms: u32,
    /// Shortest time between two switches of a region, and time for which it must be fresh before it is opened again, in
    /// milliseconds.
    pub hold_ms: u32,
    /// Time after the automat has closed a region in which it closes no other, in milliseconds.
    pub cool_down_ms: u32,
    /// Time between a decision to close and its effect, in which players are steered away, in milliseconds.
    pub drain_ms: u32,
}

impl Default for AutomatSettings {
    fn default() -> Self {
        Self { mode: AutomatMode::default(), confirm_ms: 500, hold_ms: 60_000, cool_down_ms: 10_000, drain_ms: 0 }
    }
}

/// Why a text is no definition of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ClusterError {
    /// Field that is to blame.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl ClusterError {
    /// The same with the place in the list of regions and the name of the one that is to blame before it, as in
    /// `regions[1].origin_url of region "us": …`.
    #[must_use]
    pub fn of_region(self, at: usize, name: &str) -> Self {
        let name: String = name.chars().take(REGION_NAME_MAX).collect();
        let place = if self.field == "regions" { String::new() } else { format!(".{}", self.field) };
        Self { detail: format!("regions[{at}]{place} of region {name:?}: {}", self.detail), field: self.field }
    }
}

fn refuse(field: &'static str, detail: String) -> Result<(), ClusterError> {
    Err(ClusterError { field, detail })
}

impl Cluster {
    /// The region of this name.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&ClusterRegion> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// Checks what can be checked without a look at anything else.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn check(&self) -> Result<(), ClusterError> {
        let count = self.regions.len();
        if !(REGIONS_MIN..=REGIONS_MAX).contains(&count) {
            return refuse("regions", format!("a cluster has {REGIONS_MIN} to {REGIONS_MAX} regions: {count}"));
        }
        for (at, region) in self.regions.iter().enumerate() {
            region.check().map_err(|error| error.of_region(at, &region.name))?;
            let earlier = &self.regions[..at];
            if earlier.iter().any(|other| other.name == region.name) {
                return refuse(
                    "regions",
                    format!("regions[{at}].name: two regions have the same name: {:?}", region.name),
                );
            }
            let same = |other: &ClusterRegion| {
                let whole = other.paths.is_empty() || region.paths.is_empty() || other.paths == region.paths;
                region.distribution.is_some() && other.distribution == region.distribution && whole
            };
            if earlier.iter().any(same) {
                let detail = "two regions have the same distribution: give each region its own, or paths of its own";
                return refuse("regions", format!("regions[{at}].distribution: {detail}: {:?}", region.name));
            }
        }
        if let Some(here) = &self.here {
            match self.region(here) {
                None => return refuse("here", format!("there is no region with this name: {here:?}")),
                Some(region) if region.peer.is_some() => {
                    return refuse(
                        "here",
                        format!("this instance is no peer of itself: take the peer out of {here:?}"),
                    );
                }
                Some(_) => {}
            }
        }
        self.watch.check()?;
        self.automat.check()
    }
}

impl ClusterRegion {
    fn check(&self) -> Result<(), ClusterError> {
        let pathway = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if self.name.is_empty() || self.name.len() > REGION_NAME_MAX || !self.name.bytes().all(pathway) {
            let name: String = self.name.chars().take(REGION_NAME_MAX).collect();
            let detail = format!(
                "a region is named by 1 to {REGION_NAME_MAX} letters, digits, dots, hyphens and underscores, as players name \
                 pathways: {name:?}"
            );
            return refuse("regions", detail);
        }
        let urls = [&self.origin_url, &self.cdn_url];
        if let Some(long) = urls.into_iter().find(|url| url.len() > TEXT_MAX) {
            return refuse("regions", format!("a URL has at most {TEXT_MAX} bytes: {}", long.len()));
        }
        if self.paths.len() > PATHS_MAX {
            return refuse("regions", format!("a region has at most {PATHS_MAX} paths: {}", self.paths.len()));
        }
        if self.headers.len() > HEADERS_MAX {
            return refuse("headers", format!("a region has at most {HEADERS_MAX} headers: {}", self.headers.len()));
        }
        if !self.paths.is_empty() && self.distribution.is_none() {
            return refuse("regions", "paths are of a distribution: name the distribution".to_owned());
        }
        let wrong =
            |path: &&String| !path.starts_with('/') || path.len() > TEXT_MAX || path.chars().any(char::is_control);
        match self.paths.iter().find(wrong) {
            Some(path) => {
                let path: String = path.chars().take(100).collect();
                refuse("regions", format!("a path pattern begins with a slash, such as /live/*: {path:?}"))
            }
            None => Ok(()),
        }
    }
}

fn within(field: &'static str, value: u32, least: u32, most: u32) -> Result<(), ClusterError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    refuse(field, format!("{field} is {least} to {most}: {value}"))
}

impl WatchSettings {
    fn check(&self) -> Result<(), ClusterError> {
        if !PRESETS.contains(&self.preset.as_str()) {
            let preset: String = self.preset.chars().take(32).collect();
            return refuse("preset", format!("a preset is one of {}: {preset:?}", PRESETS.join(", ")));
        }
        if let Some(multiplier) = self.multiplier.filter(|value| !(1.0..=20.0).contains(value)) {
            return refuse("multiplier", format!("multiplier is 1 to 20: {multiplier}"));
        }
        if let Some(tolerance) = self.tolerance.filter(|value| !(0.01..=1.0).contains(value)) {
            return refuse("tolerance", format!("tolerance is 0.01 to 1: {tolerance}"));
        }
        if let Some(divisor) = self.poll_divisor {
            within("poll_divisor", divisor, 1, 50)?;
        }
        if let Some(timeout_ms) = self.timeout_ms {
            within("timeout_ms", timeout_ms, 100, 30_000)?;
        }
        within("silence_ms", self.silence_ms, 1_000, 600_000)
    }
}

impl AutomatSettings {
    fn check(&self) -> Result<(), ClusterError> {
        within("confirm_ms", self.confirm_ms, 0, 600_000)?;
        within("hold_ms", self.hold_ms, 1_000, 3_600_000)?;
        within("cool_down_ms", self.cool_down_ms, 0, 3_600_000)?;
        within("drain_ms", self.drain_ms, 0, 600_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> ClusterRegion {
        ClusterRegion {
            name: name.to_owned(),
            origin_url: format!("http://origin.{name}.example.com/{BREAKOUT_MARK}/index.m3u8"),
            cdn_url: format!("https://cdn.{name}.example.com/{BREAKOUT_MARK}/index.m3u8"),
            distribution: None,
            paths: Vec::new(),
            peer: None,
            headers: SecretHeaders::default(),
        }
    }

    fn cluster() -> Cluster {
        Cluster {
            id: ClusterId::random(),
            name: "c".to_owned(),
            here: Some("one".to_owned()),
            regions: vec![region("one"), region("two")],
            watch: WatchSettings::default(),
            automat: AutomatSettings::default(),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        cluster().check().unwrap();
        let wrong = |change: fn(&mut Cluster)| {
            let mut wrong = cluster();
            change(&mut wrong);
            wrong.check().unwrap_err()
        };
        type Change = fn(&mut Cluster);
        let cases: [(Change, &str); 18] = [
            (|c| drop(c.regions.pop()), "2 to 8 regions: 1"),
            (|c| c.regions.extend((0..7).map(|at| region(&at.to_string()))), "2 to 8 regions: 9"),
            (|c| c.regions[1].name = "one".into(), "same name"),
            (|c| c.regions[1].name = "a b".into(), "letters, digits"),
            (|c| c.regions[1].name = "a".repeat(33), "1 to 32 letters"),
            (|c| c.here = Some("three".into()), "no region with this name"),
            (|c| c.regions[0].peer = Some(Peer { url: String::new(), token: String::new() }), "peer of itself"),
            (|c| c.regions.iter_mut().for_each(|r| r.distribution = Some("E1".parse().unwrap())), "same distribution"),
            (|c| c.regions[0].paths = vec!["/x".into()], "name the distribution"),
            (|c| c.watch.multiplier = Some(f64::NAN), "1 to 20"),
            (|c| c.watch.tolerance = Some(0.0), "0.01 to 1"),
            (|c| c.watch.preset = "A".into(), "one of default, relaxed"),
            (|c| c.watch.silence_ms = 10, "silence_ms is 1000"),
            (|c| c.automat.hold_ms = 0, "hold_ms is 1000"),
            (|c| c.watch.poll_divisor = Some(0), "poll_divisor is 1 to 50: 0"),
            (|c| c.watch.timeout_ms = Some(50), "timeout_ms is 100 to 30000: 50"),
            (|c| c.regions[1].paths = vec!["/x".into()], "regions[1] of region \"two\": paths are of"),
            (
                |c| c.regions[1].headers = (0..11).map(|at| (format!("x-{at}"), "v".to_owned())).collect(),
                "regions[1].headers of region \"two\": a region has at most 10",
            ),
        ];
        for (change, words) in cases {
            let error = wrong(change).to_string();
            assert!(error.contains(words), "{error}");
        }
        let mut shared = cluster();
        for (region, path) in shared.regions.iter_mut().zip(["/one/*", "/two/*"]) {
            region.distribution = Some("E1".parse().unwrap());
            region.paths = vec![path.to_owned()];
        }
        shared.check().unwrap();
    }

    #[test]
    fn what_earlier_versions_keep_and_tell_means_what_it_meant() {
        let mut stored = serde_json::to_value(cluster()).unwrap();
        let watch = stored["watch"].as_object_mut().unwrap();
        assert!(!watch.contains_key("poll_divisor") && !watch.contains_key("reload"), "{watch:?}");
        assert!(stored["regions"][0].as_object().unwrap().get("headers").is_none());
        let read: Cluster = serde_json::from_value(stored).unwrap();
        assert_eq!(read.watch, WatchSettings::default());
        let changed = WatchSettings { change_detect: Some(ChangeDetect::ContentHash), ..WatchSettings::default() };
        let told = serde_json::to_value(&changed).unwrap();
        assert_eq!(told["change_detect"], "content-hash");
        assert_eq!(serde_json::from_value::<WatchSettings>(told).unwrap(), changed);
        assert!(ChangeDetect::parse("content-hash").is_some() && ChangeDetect::parse("hash").is_none());
    }

    #[test]
    fn a_token_is_not_printed() {
        let peer = Peer { url: "http://peer".to_owned(), token: "secret-word".to_owned() };
        assert!(!format!("{peer:?}").contains("secret-word"));
    }
}
