//! URLs of regions, as they stand in definitions of clusters.

use anabranch_model::{BREAKOUT_MARK, Cluster};
use reqwest::Url;

/// A URL of a playlist that may contain `{breakout}`.
pub(crate) fn read_url(text: &str) -> Option<Url> {
    Url::parse(&text.replace(BREAKOUT_MARK, "breakout")).ok()
}

/// Hosts of the regions, as they stand in their URLs.
pub(crate) fn hosts(cluster: &Cluster) -> Vec<String> {
    let authority = |url: &str| {
        let rest = url.split_once("://")?.1;
        let authority = rest.split(['/', '?', '#']).next()?;
        Some(authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase())
    };
    cluster.regions.iter().filter_map(|region| authority(&region.cdn_url)).collect()
}
