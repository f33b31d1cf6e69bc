//! One region's playlist, made ready: variables put in, URIs absolute, groups named after the region.

use std::collections::{BTreeMap, BTreeSet};

use crate::playlist::{RenditionMedia, Variant, is_frames};
use crate::uri::resolve;

use super::ladder::thousandths;
use super::tags::{Tag, quoted, unquoted};
use super::variables::{DEFINE, Variables};
use super::{LINES_MAX, MergeError, Region, VARIANTS_MAX};

/// Longest name of a group that is made from its own name: some players keep 63 bytes.
const GROUP_MAX_BYTES: usize = 63;

/// Attributes that name a group.
const GROUPS: [&str; 4] = ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"];

/// Tags that a playlist has once, of which the preferred region's stands.
const ONCE: [&str; 1] = ["#EXT-X-START"];

/// Tags of media playlists (rfc8216bis §4.4.2 to §4.4.5). A playlist with those and with variants may be refused by players (§4.1), so what
/// an encoder has put into the wrong kind of playlist goes no further.
const OF_MEDIA_PLAYLISTS: [&str; 17] = [
    "#EXT-X-BITRATE",
    "#EXT-X-BYTERANGE",
    "#EXT-X-DATERANGE",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-GAP",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-KEY",
    "#EXT-X-MAP",
    "#EXT-X-PART",
    "#EXT-X-PART-INF",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-PRELOAD-HINT",
    "#EXT-X-PROGRAM-DATE-TIME",
    "#EXT-X-RENDITION-REPORT",
    "#EXT-X-SERVER-CONTROL",
    "#EXT-X-SKIP",
];

/// A region's playlist, ready to be merged.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) version: Option<u32>,
    pub(super) independent_segments: bool,
    pub(super) variables: Variables,
    pub(super) media: Vec<RenditionMedia>,
    pub(super) variants: Vec<Variant>,
    /// `EXT-X-I-FRAME-STREAM-INF`.
    pub(super) frames: Vec<Tag>,
    /// `EXT-X-IMAGE-STREAM-INF`.
    pub(super) pictures: Vec<Tag>,
    rest: Vec<Rest>,
}

/// Another line of a playlist.
#[derive(Debug)]
enum Rest {
    Tag(Tag),
    /// No list of attributes.
    Text(String),
}

impl Prepared {
    pub(super) fn read(region: &Region<'_>) -> Result<Self, MergeError> {
        let playlist = region.playlist;
        let name = region.name.to_owned();
        let (frames, other): (Vec<&String>, Vec<&String>) = playlist.other.iter().partition(|line| is_frames(line));
        for (what, count, limit) in [
            ("variants", playlist.variants.len(), VARIANTS_MAX),
            ("playlists for seeking", frames.len(), VARIANTS_MAX),
            ("renditions", playlist.media.len(), LINES_MAX),
            ("other lines", other.len(), LINES_MAX),
        ] {
            if count > limit {
                return Err(MergeError::TooMany { region: name, what, limit });
            }
        }
        let variables = Variables::read(region.name, other.iter().map(|line| line.as_str()))?;
        let mut making = Making { region, variables: &variables, long: BTreeMap::new() };
        let media = playlist.media.iter().map(|media| making.media(media)).collect::<Result<_, _>>()?;
        let variants = playlist.variants.iter().map(|variant| making.variant(variant)).collect::<Result<_, _>>()?;
        let seeking = frames.into_iter().map(|line| making.frames(line)).collect::<Result<Vec<Tag>, _>>()?;
        let (frames, pictures) = seeking.into_iter().partition(|tag| tag.name.starts_with("#EXT-X-I-FRAME"));
        let rest = other.into_iter().filter_map(|line| making.rest(line).transpose()).collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            version: playlist.version,
            independent_segments: playlist.independent_segments,
            variables,
            media,
            variants,
            frames,
            pictures,
            rest,
        })
    }
}

struct Making<'a> {
    region: &'a Region<'a>,
    variables: &'a Variables,
    /// Groups whose own names are too long, numbered as they come.
    long: BTreeMap<String, usize>,
}

impl Making<'_> {
    fn text(&self, text: &str) -> Result<String, MergeError> {
        self.variables.put_in(text)
    }

    fn uri(&self, uri: &str) -> Result<String, MergeError> {
        Ok(resolve(self.region.base, &self.text(uri)?))
    }

    /// A name that no other region has: names of regions have no slash.
    fn group(&mut self, id: &str) -> Result<String, MergeError> {
        let (region, id) = (self.region.name, self.text(id)?);
        if region.len() + 1 + id.len() <= GROUP_MAX_BYTES && !id.starts_with('/') {
            return Ok(format!("{region}/{id}"));
        }
        let next = self.long.len();
        let number = *self.long.entry(id).or_insert(next);
        Ok(format!("{region}//{number}"))
    }

    fn media(&mut self, media: &RenditionMedia) -> Result<RenditionMedia, MergeError> {
        Ok(RenditionMedia {
            kind: media.kind.clone(),
            group_id: self.group(&media.group_id)?,
            name: self.text(&media.name)?,
            uri: media.uri.as_deref().map(|uri| self.uri(uri)).transpose()?,
            // A default that is not chosen by itself is a fault (§4.4.6.1).
            autoselect: media.autoselect || media.is_default,
            is_default: media.is_default,
            channels: media.channels.as_deref().map(|channels| self.text(channels)).transpose()?,
            attributes: self.attributes(&media.attributes)?,
        })
    }

    fn variant(&mut self, variant: &Variant) -> Result<Variant, MergeError> {
        #[expect(clippy::cast_precision_loss, reason = "a frame rate is far below 2^52 thousandths")]
        let written = |rate: f64| thousandths(rate) as f64 / 1000.0;
        Ok(Variant {
            uri: self.uri(&variant.uri)?,
            bandwidth: variant.bandwidth,
            average_bandwidth: variant.average_bandwidth,
            codecs: variant.codecs.as_deref().map(|codecs| self.text(codecs)).transpose()?,
            resolution: variant.resolution,
            frame_rate: variant.frame_rate.map(written),
            audio: variant.audio.as_deref().map(|group| self.group(group)).transpose()?,
            attributes: self.attributes(&variant.attributes)?,
        })
    }

    fn frames(&mut self, line: &str) -> Result<Tag, MergeError> {
        let tag = Tag::read(line).filter(|tag| tag.get("URI").and_then(unquoted).is_some());
        let unread = || MergeError::Tag { region: self.region.name.to_owned(), line: line.to_owned() };
        let tag = tag.ok_or_else(unread)?;
        Ok(Tag { attributes: self.attributes(&tag.attributes)?, ..tag })
    }

    /// Attributes with absolute URIs and groups of this region; those of a pathway are left out.
    fn attributes(&mut self, attributes: &[(String, String)]) -> Result<Vec<(String, String)>, MergeError> {
        let mut made = Vec::with_capacity(attributes.len() + 1);
        for (name, value) in attributes.iter().filter(|(name, _)| name != "PATHWAY-ID") {
            let value = match unquoted(value) {
                None => value.clone(),
                Some(text) if name == "URI" => quoted(&self.uri(text)?),
                Some(group) if GROUPS.contains(&name.as_str()) => quoted(&self.group(group)?),
                Some(text) => quoted(&self.text(text)?),
            };
            made.push((name.clone(), value));
        }
        Ok(made)
    }

    /// Other lines; nothing of comments, definitions, steering of the region's own, and what has no place in a multivariant playlist.
    fn rest(&mut self, line: &str) -> Result<Option<Rest>, MergeError> {
        let name = line.split(':').next().unwrap_or(line);
        let is_own = matches!(name, DEFINE | "#EXT-X-CONTENT-STEERING");
        if !line.starts_with("#EXT") || is_own || OF_MEDIA_PLAYLISTS.contains(&name) {
            return Ok(None);
        }
        Ok(Some(match Tag::read(line) {
            Some(tag) => Rest::Tag(Tag { attributes: self.attributes(&tag.attributes)?, ..tag }),
            // Not to be made absolute, and not to be followed by any player.
            None if line.contains("URI=\"") => return Ok(None),
            None => Rest::Text(line.to_owned()),
        }))
    }
}

/// The other lines of all regions: what leads somewhere from each, what does not from the first. Keys and data of a session stand once
/// (§4.4.6.4, §4.4.6.5).
pub(super) fn header(regions: &[Prepared]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (at, region) in regions.iter().enumerate() {
        for rest in &region.rest {
            match rest {
                Rest::Text(line) if at == 0 => lines.push(line.clone()),
                Rest::Tag(tag) if at == 0 || is_of_each_region(tag) => {
                    if known.insert(identity(tag)) {
                        lines.push(tag.render());
                    }
                }
                Rest::Text(_) | Rest::Tag(_) => {}
            }
        }
    }
    lines
}

fn is_of_each_region(tag: &Tag) -> bool {
    let session = matches!(tag.name.as_str(), "#EXT-X-SESSION-KEY" | "#EXT-X-SESSION-DATA");
    !ONCE.contains(&tag.name.as_str()) && (session || tag.get("URI").is_some())
}

/// What may not stand twice.
fn identity(tag: &Tag) -> String {
    let of = |names: &[&str]| {
        let values: Vec<&str> = names.iter().map(|name| tag.get(name).unwrap_or("")).collect();
        format!("{}:{}", tag.name, values.join(","))
    };
    match tag.name.as_str() {
        "#EXT-X-SESSION-KEY" => of(&["METHOD", "URI", "IV", "KEYFORMAT", "KEYFORMATVERSIONS"]),
        "#EXT-X-SESSION-DATA" => of(&["DATA-ID", "LANGUAGE"]),
        name if ONCE.contains(&name) => name.to_owned(),
        _ => tag.render(),
    }
}

/// Names are unique within a group, and the same rendition is the default in every region: a player that moves keeps its language.
/// What a region lacks it goes on lacking (§4.4.6.1.1 wants the same set): another region's rendition would die with that region.
pub(super) fn agree_on_defaults(regions: &mut [Prepared]) {
    regions.iter_mut().for_each(|region| make_unique(&mut region.media));
    let Some((first, others)) = regions.split_first_mut() else { return };
    let own = |region: &str, group: &str| group.strip_prefix(region).unwrap_or(group).to_owned();
    for region in others {
        let groups: BTreeSet<(String, String)> =
            region.media.iter().map(|media| (media.kind.clone(), media.group_id.clone())).collect();
        for (kind, group) in groups {
            let of_kind = || first.media.iter().filter(|media| media.kind == kind);
            let named = own(&region.name, &group);
            let model: Vec<&RenditionMedia> = if of_kind().any(|m| own(&first.name, &m.group_id) == named) {
                of_kind().filter(|media| own(&first.name, &media.group_id) == named).collect()
            } else {
                of_kind().collect()
            };
            let members = || region.media.iter().filter(|media| (&media.kind, &media.group_id) == (&kind, &group));
            let default = model.iter().find(|media| media.is_default).map(|media| media.name.clone());
            let has_default = default.as_ref().is_none_or(|name| members().any(|media| media.name == *name));
            if model.is_empty() || !has_default {
                continue;
            }
            let members = region.media.iter_mut().filter(|media| media.kind == kind && media.group_id == group);
            for media in members {
                media.is_default = default.as_ref() == Some(&media.name);
                let same = model.iter().find(|other| other.name == media.name);
                media.autoselect = media.is_default || same.map_or(media.autoselect, |same| same.autoselect);
            }
        }
    }
}

/// Takes out what stands with all variants of a playlist or with none, where a region has it and another has not: `CLOSED-CAPTIONS=NONE`, which
/// would say that no region has any, and `SCORE` (§4.4.6.2).
pub(super) fn agree_on_attributes(variants: &mut [Variant]) {
    let is_none = |(name, value): &(String, String)| name == "CLOSED-CAPTIONS" && value.trim_end() == "NONE";
    let is_score = |(name, _): &(String, String)| name == "SCORE";
    for is_meant in [&is_none as &dyn Fn(&(String, String)) -> bool, &is_score] {
        if !variants.iter().all(|variant| variant.attributes.iter().any(is_meant)) {
            variants.iter_mut().for_each(|variant| variant.attributes.retain(|attribute| !is_meant(attribute)));
        }
    }
}

/// Numbers names that stand twice in a group, and leaves one default in each.
fn make_unique(media: &mut [RenditionMedia]) {
    let mut names: BTreeSet<(String, String, String)> = BTreeSet::new();
    let mut defaults: BTreeSet<(String, String)> = BTreeSet::new();
    for media in media {
        let group = (media.kind.clone(), media.group_id.clone());
        let own = media.name.clone();
        let mut number = 1_usize;
        while !names.insert((group.0.clone(), group.1.clone(), media.name.clone())) {
            number += 1;
            media.name = format!("{own} {number}");
        }
        media.is_default = media.is_default && defaults.insert(group);
    }
}
