//! One multivariant playlist over the same stream in several regions (C50-C58): every variant of one region is followed by its match in
//! the others, so that a player that loses one goes on with the next entry.

mod ladder;
mod region;
mod tags;
mod variables;

use crate::playlist::MultivariantPlaylist;
use crate::uri::is_http_url;
use ladder::{Ranked, Rung, rows};
use region::Prepared;
use tags::Tag;

/// Most regions of one playlist.
pub const REGIONS_MAX: usize = 16;

/// Longest name of a region, in bytes.
pub const NAME_MAX_BYTES: usize = 32;

/// Most variants of a region, and most playlists for seeking.
pub const VARIANTS_MAX: usize = 200;

/// Most renditions, and most other lines, of a region.
pub const LINES_MAX: usize = 2000;

/// Longest text after its variables are put in, in bytes.
pub const TEXT_MAX_BYTES: usize = 16 * 1024;

/// What a region has.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// Its name: letters, digits, `.`, `-` and `_`, which are what rfc8216bis §7 allows a pathway.
    pub name: &'a str,
    /// Absolute URL of its multivariant playlist, as viewers reach it.
    pub base: &'a str,
    /// That playlist.
    pub playlist: &'a MultivariantPlaylist,
}

/// How players learn which region to prefer (rfc8216bis §4.4.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering<'a> {
    /// `SERVER-URI`: the steering manifest, absolute or relative to the merged playlist.
    pub server_uri: &'a str,
    /// The region to begin in; without one, the first.
    pub pathway: Option<&'a str>,
}

/// Why playlists cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Nothing to merge.
    #[error("no region has a playlist: one is needed at least")]
    NoRegion,
    /// More than [`REGIONS_MAX`].
    #[error("too many regions, at most {REGIONS_MAX} can be merged: {0}")]
    TooManyRegions(usize),
    /// A name that cannot be a pathway.
    #[error(
        "a region's name must be letters, digits, points, hyphens and underscores, at most {NAME_MAX_BYTES}: {0:?}"
    )]
    Name(String),
    /// A name twice.
    #[error("a region is named twice: {0}")]
    Repeated(String),
    /// No base to resolve by.
    #[error("the playlist of a region needs an absolute http or https url: {0}")]
    Base(String),
    /// A list of a region is longer than what is merged.
    #[error("region {region}: too many {what}, at most {limit}")]
    TooMany {
        /// The region.
        region: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A tag that must be understood cannot be read.
    #[error("region {region}: a tag cannot be read: {line}")]
    Tag {
        /// The region.
        region: String,
        /// The line.
        line: String,
    },
    /// `EXT-X-DEFINE` takes its value from the player's request or from another playlist, which the merged playlist does not have.
    #[error("region {region}: a variable must be defined by NAME and VALUE to be merged: {variable}")]
    Foreign {
        /// The region.
        region: String,
        /// The variable.
        variable: String,
    },
    /// A reference to a variable that is not defined.
    #[error("region {region}: a variable is used and not defined: {variable}")]
    Undefined {
        /// The region.
        region: String,
        /// The variable.
        variable: String,
    },
    /// Regions define a variable with different values; media playlists that import it would get the other region's.
    #[error("regions define a variable with different values, give it another name in each: {0}")]
    Differs(String),
    /// A text grows beyond [`TEXT_MAX_BYTES`] by its variables.
    #[error("region {0}: a text with variables is too long")]
    TooLong(String),
    /// The steering's words cannot stand in a playlist, or name a region that is not there.
    #[error("steering needs a server uri and a region of the playlist to begin in: {0:?}")]
    Steering(String),
}

/// Merges the playlists of regions. `order` names regions, the preferred one first; those it does not name follow as they stand, and
/// names in it that have no playlist now count for nothing. Of each rung of the first region's ladder its own variant comes first, then
/// the others' matches (C53); a match that is nearly as fast is given the same `BANDWIDTH`, so that players take both for redundant
/// streams. Rungs that others have beside are placed by their bandwidth, never first. Every URI is absolute (C52); rendition groups
/// are named `<region>/<group>`. `EXT-X-VERSION` is the highest, `EXT-X-INDEPENDENT-SEGMENTS` stands if all have it (C58), and what
/// else is once in a playlist is the first region's (C51). Comments, steering of the regions' own, and tags of media playlists are left out.
///
/// With `steering`, variants carry `PATHWAY-ID`, each that of its region; every pathway has its own groups (rfc8216bis §4.4.6.2).
///
/// The same input gives the same playlist.
///
/// # Errors
/// See [`MergeError`].
pub fn merge(
    regions: &[Region<'_>],
    order: &[&str],
    steering: Option<&Steering<'_>>,
) -> Result<MultivariantPlaylist, MergeError> {
    let regions = in_order(regions, order)?;
    let mut prepared: Vec<Prepared> = regions.iter().map(Prepared::read).collect::<Result<_, _>>()?;
    region::agree_on_defaults(&mut prepared);

    let mut merged = MultivariantPlaylist {
        version: prepared.iter().filter_map(|region| region.version).max(),
        independent_segments: prepared.iter().all(|region| region.independent_segments),
        other: variables::kept(prepared.iter().map(|region| &region.variables))?,
        ..MultivariantPlaylist::default()
    };
    if let Some(steering) = steering {
        merged.other.push(steering_tag(steering, &regions)?);
    }
    merged.other.extend(region::header(&prepared));
    for region in &mut prepared {
        merged.media.append(&mut region.media);
    }
    let variants = prepared.iter_mut().map(|region| std::mem::take(&mut region.variants)).collect();
    let frames = prepared.iter_mut().map(|region| std::mem::take(&mut region.frames)).collect();
    let pictures = prepared.iter_mut().map(|region| std::mem::take(&mut region.pictures)).collect();
    for Ranked { region, item: mut variant } in flat(rows(variants)) {
        if steering.is_some() {
            variant.attributes.push(pathway(&prepared[region].name));
        }
        merged.variants.push(variant);
    }
    region::agree_on_attributes(&mut merged.variants);
    let seeking: [Vec<Vec<Tag>>; 2] = [frames, pictures];
    for Ranked { region, item: mut tag } in seeking.into_iter().flat_map(|kind| flat(rows(kind))) {
        if steering.is_some() {
            tag.attributes.push(pathway(&prepared[region].name));
        }
        merged.other.push(tag.render());
    }
    Ok(merged)
}

/// The regions in the order of preference, if they are such as can be merged.
fn in_order<'a>(regions: &[Region<'a>], order: &[&str]) -> Result<Vec<Region<'a>>, MergeError> {
    if regions.is_empty() {
        return Err(MergeError::NoRegion);
    }
    if regions.len() > REGIONS_MAX {
        return Err(MergeError::TooManyRegions(regions.len()));
    }
    for (at, region) in regions.iter().enumerate() {
        if !is_pathway(region.name) {
            return Err(MergeError::Name(region.name.to_owned()));
        }
        if regions[..at].iter().any(|other| other.name == region.name) {
            return Err(MergeError::Repeated(region.name.to_owned()));
        }
        if !is_http_url(region.base) {
            return Err(MergeError::Base(region.name.to_owned()));
        }
    }
    let mut sorted = regions.to_vec();
    // Stable: what is not named keeps its place behind what is.
    sorted.sort_by_key(|region| order.iter().position(|name| *name == region.name).unwrap_or(usize::MAX));
    Ok(sorted)
}

/// Whether a region can be called so.
fn is_pathway(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

fn steering_tag(steering: &Steering<'_>, regions: &[Region<'_>]) -> Result<String, MergeError> {
    let Steering { server_uri, pathway } = *steering;
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '"';
    if server_uri.is_empty() || !server_uri.chars().all(plain) {
        return Err(MergeError::Steering(server_uri.to_owned()));
    }
    let pathway = pathway.unwrap_or(regions[0].name);
    if !regions.iter().any(|region| region.name == pathway) {
        return Err(MergeError::Steering(pathway.to_owned()));
    }
    Ok(format!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"{server_uri}\",PATHWAY-ID=\"{pathway}\""))
}

fn pathway(region: &str) -> (String, String) {
    ("PATHWAY-ID".to_owned(), format!("\"{region}\""))
}

/// Rungs one after another; what a rung has of several regions is made alike.
fn flat<T: Rung>(rows: Vec<Vec<Ranked<T>>>) -> impl Iterator<Item = Ranked<T>> {
    rows.into_iter().flat_map(|mut row| {
        ladder::make_alike(&mut row);
        row
    })
}
