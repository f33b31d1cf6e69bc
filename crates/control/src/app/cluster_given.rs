//! Definitions of clusters as they are given: settings that stay, become others or the default, and regions.

use std::collections::BTreeMap;

use anabranch_cloudfront::origin_header;
use anabranch_model::{
    AutomatMode, AutomatSettings, BREAKOUT_MARK, ChangeDetect, ClusterError, ClusterRegion, Peer, SecretHeaders,
    VoteRule, WatchSettings,
};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{App, Error};
use crate::cluster::url::read_url;

/// Longest token of a peer, in bytes.
const TOKEN_MAX: usize = 512;

/// Longest value of a header, in bytes.
const HEADER_VALUE_MAX: usize = 1024;

/// A region.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionGiven {
    /// Name, 1 to 32 letters, digits, dots, hyphens and underscores: what players call the pathway.
    pub(super) name: String,
    /// Multivariant playlist at the origin; may contain `{breakout}`.
    pub(super) origin_url: String,
    /// The same through the CDN; may contain `{breakout}`. The origin's if it is missing.
    pub(super) cdn_url: Option<String>,
    /// Id of the distribution of this server that serves the region; missing where somebody else's does.
    pub(super) distribution: Option<String>,
    /// Path patterns of that distribution that are the region's; missing for all of it.
    #[serde(default)]
    pub(super) paths: Vec<String>,
    /// The instance that is this region.
    pub(super) peer: Option<PeerGiven>,
    /// Headers with which the origin is asked, by watchers, for the merged playlist and by edges of this server: values by name, 10 at most.
    /// No answer has the values. A null keeps the value that the header has, and where this is missing all stay as they are, as long as the
    /// origin is the same server.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    pub(super) headers: Option<HeadersGiven>,
}

/// Values of headers by name.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct HeadersGiven(BTreeMap<String, Option<String>>);

impl std::fmt::Debug for HeadersGiven {
    // Without the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Another instance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerGiven {
    /// Address of its API.
    pub(super) url: String,
    /// An API token there with scope `cluster`. No answer has it.
    pub(super) token: Option<String>,
}

impl std::fmt::Debug for PeerGiven {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerGiven").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How verdicts come about; what is missing stays, or is the default. Null stands for the default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchGiven {
    /// Name of the watcher's preset: `default`, `relaxed` or `design`; `default` by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    preset: Given<String>,
    /// A playlist is stale after its duration times this, 1 to 20; by default as the preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    multiplier: Given<f64>,
    /// Share of a region's playlists that must be stale, 0.01 to 1; by default as the preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    tolerance: Given<f64>,
    /// How many watchers must say so: `any`, `majority` or `all`; `majority` by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    vote: Given<String>,
    /// Silence after which a watcher has no vote and is an alarm, in milliseconds, 1000 to 600000; 5000 by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    silence_ms: Given<u32>,
    /// What counts as a change of a playlist: `media-sequence`, a segment or part that was not there before, or `content-hash`, another text;
    /// by default as the preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    change_detect: Given<String>,
    /// While a change is due, a playlist is looked at each time that its duration divided by this has passed, 1 to 50; by default as the
    /// preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    poll_divisor: Given<u32>,
    /// Longest wait for one answer, in milliseconds, 100 to 30000; by default as the preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    timeout_ms: Given<u32>,
    /// Whether a changed multivariant playlist changes what is watched; by default as the preset says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    reload: Given<bool>,
}

/// When the automat closes and opens; what is missing stays, or is the default. Null stands for the default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AutomatGiven {
    /// `manual` or `automatic`; `manual` by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    mode: Given<String>,
    /// A region must be stale for so long before it is closed, in milliseconds; 500 by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    confirm_ms: Given<u32>,
    /// Shortest time between two switches of a region, and for which it must be fresh before it is opened again; 60000 by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    hold_ms: Given<u32>,
    /// Time after a closing in which no other region is closed, in milliseconds; 10000 by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    cool_down_ms: Given<u32>,
    /// Time between a closing and its effect, in which players are steered away, in milliseconds; 0 by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    drain_ms: Given<u32>,
}

/// Nothing where it is missing, none inside for null.
type Given<T> = Option<Option<T>>;

/// Tells null from what is missing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Given<T>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// What is given, what is known where it is missing, and the default for null.
fn settled<T>(given: Given<T>, known: T, default: T) -> T {
    match given {
        None => known,
        Some(None) => default,
        Some(Some(value)) => value,
    }
}

/// The value that a text stands for, which is one of `words`.
fn word<T>(
    field: &'static str,
    words: &[&str],
    text: Given<String>,
    known: T,
    default: T,
    parse: fn(&str) -> Option<T>,
) -> Result<T, Error> {
    match text {
        None => Ok(known),
        Some(None) => Ok(default),
        Some(Some(text)) => spelled(field, words, &text, parse),
    }
}

/// The same of a text that is there.
pub(super) fn spelled<T>(
    field: &'static str,
    words: &[&str],
    text: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, Error> {
    let short: String = text.chars().take(100).collect();
    let words = words.join(", ");
    parse(text)
        .ok_or_else(|| Error::invalid(field, format!("not a word that stands for {field}, one of {words}: {short:?}")))
}

impl WatchGiven {
    /// Everything is given.
    pub(super) fn all(of: WatchSettings) -> Self {
        let WatchSettings {
            preset,
            multiplier,
            tolerance,
            vote,
            silence_ms,
            change_detect,
            poll_divisor,
            timeout_ms,
            reload,
        } = of;
        Self {
            preset: Some(Some(preset)),
            multiplier: Some(multiplier),
            tolerance: Some(tolerance),
            vote: Some(Some(vote.as_str().to_owned())),
            silence_ms: Some(Some(silence_ms)),
            change_detect: Some(change_detect.map(|way| way.as_str().to_owned())),
            poll_divisor: Some(poll_divisor),
            timeout_ms: Some(timeout_ms),
            reload: Some(reload),
        }
    }

    pub(super) fn over(self, known: WatchSettings) -> Result<WatchSettings, Error> {
        let default = WatchSettings::default();
        let change_detect = |word: &str| ChangeDetect::parse(word).map(Some);
        Ok(WatchSettings {
            vote: word("vote", VOTES, self.vote, known.vote, default.vote, VoteRule::parse)?,
            change_detect: word(
                "change_detect",
                WAYS,
                self.change_detect,
                known.change_detect,
                default.change_detect,
                change_detect,
            )?,
            preset: settled(self.preset, known.preset, default.preset),
            multiplier: self.multiplier.unwrap_or(known.multiplier),
            tolerance: self.tolerance.unwrap_or(known.tolerance),
            silence_ms: settled(self.silence_ms, known.silence_ms, default.silence_ms),
            poll_divisor: self.poll_divisor.unwrap_or(known.poll_divisor),
            timeout_ms: self.timeout_ms.unwrap_or(known.timeout_ms),
            reload: self.reload.unwrap_or(known.reload),
        })
    }
}

/// Words of the settings.
const VOTES: &[&str] = &["any", "majority", "all"];
const WAYS: &[&str] = &["media-sequence", "content-hash"];
const MODES: &[&str] = &["manual", "automatic"];

impl AutomatGiven {
    /// Everything is given.
    pub(super) fn all(of: &AutomatSettings) -> Self {
        Self {
            mode: Some(Some(of.mode.as_str().to_owned())),
            confirm_ms: Some(Some(of.confirm_ms)),
            hold_ms: Some(Some(of.hold_ms)),
            cool_down_ms: Some(Some(of.cool_down_ms)),
            drain_ms: Some(Some(of.drain_ms)),
        }
    }

    pub(super) fn over(self, known: &AutomatSettings) -> Result<AutomatSettings, Error> {
        let default = AutomatSettings::default();
        Ok(AutomatSettings {
            mode: word("mode", MODES, self.mode, known.mode, default.mode, AutomatMode::parse)?,
            confirm_ms: settled(self.confirm_ms, known.confirm_ms, default.confirm_ms),
            hold_ms: settled(self.hold_ms, known.hold_ms, default.hold_ms),
            cool_down_ms: settled(self.cool_down_ms, known.cool_down_ms, default.cool_down_ms),
            drain_ms: settled(self.drain_ms, known.drain_ms, default.drain_ms),
        })
    }
}

impl App {
    /// Regions as they are kept. What `before` has of their secrets stays where it is not given.
    pub(super) fn regions(
        &self,
        given: Vec<RegionGiven>,
        before: &[ClusterRegion],
    ) -> Result<Vec<ClusterRegion>, Error> {
        let read = |(at, region): (usize, RegionGiven)| {
            let name = region.name.clone();
            self.region(region, before).map_err(|error| of_region(error, at, &name))
        };
        given.into_iter().enumerate().map(read).collect()
    }

    fn region(&self, given: RegionGiven, before: &[ClusterRegion]) -> Result<ClusterRegion, Error> {
        let origin_url = playlist_url("origin_url", &given.origin_url)?;
        let cdn_url = match &given.cdn_url {
            Some(url) => playlist_url("cdn_url", url)?,
            None => origin_url.clone(),
        };
        let distribution = match given.distribution {
            Some(id) => Some(id.parse().map_err(|error| Error::invalid("distribution", format!("{error}")))?),
            None => None,
        };
        let known = before.iter().find(|region| region.name == given.name);
        let headers = headers(given.headers, &origin_url, known)?;
        let peer = match given.peer {
            Some(peer) => Some(self.peer(peer, known.and_then(|region| region.peer.as_ref()))?),
            None => None,
        };
        Ok(ClusterRegion { name: given.name, origin_url, cdn_url, distribution, paths: given.paths, peer, headers })
    }

    pub(super) fn peer(&self, given: PeerGiven, known: Option<&Peer>) -> Result<Peer, Error> {
        self.clusters.pull.check(&given.url).map_err(|detail| Error::invalid("peer", detail))?;
        // A token is for one place: another address gets none that was meant for the one before.
        let kept = known.filter(|known| known.url == given.url).map(|known| known.token.clone());
        let Some(token) = given.token.or(kept) else {
            return Err(Error::invalid("peer", "a peer needs an API token there with scope cluster"));
        };
        if token.is_empty() || token.len() > TOKEN_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("peer", format!("a token has 1 to {TOKEN_MAX} visible characters")));
        }
        Ok(Peer { url: given.url, token })
    }
}

/// A refusal with the place and the name of the region that is to blame.
fn of_region(error: Error, at: usize, name: &str) -> Error {
    match error {
        Error::Invalid { field, detail } => {
            let ClusterError { field, detail } = ClusterError { field, detail }.of_region(at, name);
            Error::Invalid { field, detail }
        }
        other => other,
    }
}

/// Headers as they are kept. Those of the region before are for the server that it was: another one gets none of them.
fn headers(
    given: Option<HeadersGiven>,
    origin_url: &str,
    known: Option<&ClusterRegion>,
) -> Result<SecretHeaders, Error> {
    let nothing = SecretHeaders::default();
    let before = known.map_or(&nothing, |known| &known.headers);
    let is_same = known.is_some_and(|known| server_of(&known.origin_url) == server_of(origin_url));
    let Some(HeadersGiven(given)) = given else {
        if before.is_empty() || is_same {
            return Ok(before.clone());
        }
        let words = "the origin is another server now: give its headers anew, or {} for none";
        return Err(Error::invalid("headers", format!("{words}: {}", before.names().collect::<Vec<_>>().join(", "))));
    };
    let mut kept = BTreeMap::new();
    for (name, value) in given {
        let short: String = name.chars().take(100).collect();
        let refuse = |why: String| Error::invalid("headers", format!("{why}: {short:?}"));
        let stays = || before.get(&name.to_ascii_lowercase()).filter(|_| is_same).map(str::to_owned);
        let Some(value) = value.or_else(stays) else {
            return Err(refuse("a header needs a value, since there is none that it could keep".to_owned()));
        };
        if value.is_empty() || value.len() > HEADER_VALUE_MAX {
            return Err(refuse(format!("the value of a header has 1 to {HEADER_VALUE_MAX} bytes")));
        }
        let lower = origin_header(&name, &value).map_err(|why| refuse(why.to_owned()))?;
        if kept.insert(lower, value).is_some() {
            return Err(refuse("a header is given twice".to_owned()));
        }
    }
    Ok(kept.into_iter().collect())
}

/// Scheme, host and port of a URL of a playlist.
fn server_of(url: &str) -> Option<(String, String, Option<u16>)> {
    let url = read_url(url)?;
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()))
}

/// A URL of a playlist as it is kept.
fn playlist_url(field: &'static str, text: &str) -> Result<String, Error> {
    let short: String = text.chars().take(200).collect();
    let refuse = |why: &str| Error::invalid(field, format!("{why}: {short:?}"));
    let url = read_url(text).ok_or_else(|| refuse("not a URL of a playlist"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse("the URL of a playlist begins with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refuse("the URL of a playlist has no user name, no password and no fragment"));
    }
    let authority = text.split("//").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    if authority.contains(BREAKOUT_MARK) {
        return Err(refuse("the host of a playlist is the same for every breakout"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_the_default_and_what_is_missing_stays() {
        let known = WatchSettings {
            preset: "relaxed".to_owned(),
            multiplier: Some(2.0),
            tolerance: Some(0.5),
            vote: VoteRule::All,
            silence_ms: 9_000,
            change_detect: Some(ChangeDetect::ContentHash),
            poll_divisor: Some(9),
            timeout_ms: Some(900),
            reload: Some(false),
        };
        let over = |text: &str| serde_json::from_str::<WatchGiven>(text).unwrap().over(known.clone());
        assert_eq!(over("{}").unwrap(), known);
        let cleared =
            over(r#"{ "multiplier": null, "poll_divisor": null, "reload": null, "silence_ms": null }"#).unwrap();
        let expected = WatchSettings {
            multiplier: None,
            poll_divisor: None,
            reload: None,
            silence_ms: WatchSettings::default().silence_ms,
            ..known.clone()
        };
        assert_eq!(cleared, expected);
        let all = "preset multiplier tolerance vote silence_ms change_detect poll_divisor timeout_ms reload";
        let nulls: BTreeMap<&str, Option<()>> = all.split(' ').map(|name| (name, None)).collect();
        assert_eq!(over(&serde_json::to_string(&nulls).unwrap()).unwrap(), WatchSettings::default());
        assert_eq!(WatchGiven::all(known.clone()).over(WatchSettings::default()).unwrap(), known);
        let automat = AutomatSettings { hold_ms: 7_000, drain_ms: 1, ..AutomatSettings::default() };
        let given: AutomatGiven = serde_json::from_str(r#"{ "hold_ms": null }"#).unwrap();
        let expected = AutomatSettings { drain_ms: 1, ..AutomatSettings::default() };
        assert_eq!(given.over(&automat).unwrap(), expected);
    }

    #[test]
    fn headers_are_for_one_server() {
        let given = |text: &str| serde_json::from_str::<Option<HeadersGiven>>(text).unwrap();
        let origin = "https://origin.example.com/{breakout}/index.m3u8";
        let first = headers(given(r#"{ "X-Key": "secret-word" }"#), origin, None).unwrap();
        assert_eq!(first.get("x-key"), Some("secret-word"));
        let known = ClusterRegion {
            name: "eu".to_owned(),
            origin_url: origin.to_owned(),
            cdn_url: origin.to_owned(),
            distribution: None,
            paths: Vec::new(),
            peer: None,
            headers: first.clone(),
        };
        let same = "https://origin.example.com:443/other/index.m3u8";
        assert_eq!(headers(None, same, Some(&known)).unwrap(), first);
        let more = headers(given(r#"{ "x-key": null, "x-other": "v" }"#), same, Some(&known)).unwrap();
        assert_eq!((more.get("x-key"), more.get("x-other")), (Some("secret-word"), Some("v")));
        assert!(headers(given("{}"), same, Some(&known)).unwrap().is_empty());
        for (given, url, words) in [
            (given("null"), "https://other.example.com/index.m3u8", "another server now"),
            (given("null"), "http://origin.example.com/index.m3u8", "another server now"),
            (given(r#"{ "x-key": null }"#), "https://other.example.com/index.m3u8", "needs a value"),
            (given(r#"{ "x-none": null }"#), origin, "needs a value"),
            (given(r#"{ "x-key": "" }"#), origin, "1 to 1024 bytes"),
            (given(r#"{ "x key": "secret-word" }"#), origin, "not a header name"),
            (given(r#"{ "Cookie": "secret-word" }"#), origin, "no origin can be given"),
            (given(r#"{ "x-key": "secret\nword" }"#), origin, "not a header value"),
            (given(r#"{ "x-key": "a", "X-Key": "b" }"#), origin, "given twice"),
        ] {
            let error = headers(given, url, Some(&known)).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret"), "{words}: {error}");
        }
    }
}
