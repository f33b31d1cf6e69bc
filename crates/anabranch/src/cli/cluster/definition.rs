//! What a cluster is said to be: a definition in a file, regions in words of the command line.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::cli::request::set;

/// What may be said of a region beside its name.
const REGION_KEYS: [&str; 5] = ["origin", "cdn", "distribution", "peer", "token"];

/// The definition in a file of JSON.
pub(super) fn definition(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {}", file.display()))?;
    if !value.is_object() {
        bail!("not a definition of a cluster, which is an object with regions: {}", file.display());
    }
    Ok(value)
}

/// Regions in one text each, with headers of some of them.
pub(super) fn created(regions: &[String], headers: &[String]) -> Result<Vec<Value>> {
    let mut regions = regions.iter().map(|text| region(text)).collect::<Result<Vec<_>>>()?;
    with_headers(&mut regions, headers)?;
    Ok(regions)
}

/// A region in one text.
fn region(text: &str) -> Result<Value> {
    let (name, mut given) = parts(text)?;
    let mut take = |key: &str| given.remove(key);
    let mut body = json!({ "name": name });
    set(&mut body, "origin_url", take("origin"));
    set(&mut body, "cdn_url", take("cdn"));
    set(&mut body, "distribution", take("distribution"));
    match (take("peer"), take("token")) {
        (Some(url), token) => {
            body["peer"] = json!({ "url": url });
            set(&mut body["peer"], "token", token);
        }
        (None, Some(_)) => return Err(anyhow!("a token is for a peer: add peer=URL for region {name:?}")),
        (None, None) => {}
    }
    Ok(body)
}

/// The name of a region and what is said of it, by words of [`REGION_KEYS`]. Commas in URLs stay, since only the known words begin a new
/// part.
pub(super) fn parts(text: &str) -> Result<(String, Map<String, Value>)> {
    let begins = |part: &str| {
        REGION_KEYS.into_iter().find(|key| part.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
    };
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default().trim();
    let mut given: Map<String, Value> = Map::new();
    let mut last = None;
    for part in parts {
        match (begins(part.trim_start()), last) {
            (Some(key), _) => {
                let value = part.trim_start()[key.len() + 1..].to_owned();
                if given.insert(key.to_owned(), value.into()).is_some() {
                    bail!("a region has {key} once: {text:?}");
                }
                last = Some(key);
            }
            (None, Some(key)) => given[key] = format!("{},{part}", given[key].as_str().unwrap_or_default()).into(),
            (None, None) => bail!("a region is NAME,origin=URL,... with {}: {text:?}", REGION_KEYS.join(", ")),
        }
    }
    Ok((name.to_owned(), given))
}

/// Puts headers on regions that are to be given. One without a value is taken away.
///
/// # Errors
/// There is no such region, or a text is no header.
pub(super) fn with_headers(regions: &mut [Value], headers: &[String]) -> Result<()> {
    for text in headers {
        let parsed = text.split_once('=').and_then(|(region, rest)| Some((region, rest.split_once(':')?)));
        // The text has a secret, so that it is not repeated.
        let Some((region, (name, value))) = parsed else { bail!("a header of a region is 'REGION=Name: value'") };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let region = find(regions, region)?;
        if !region["headers"].is_object() {
            region["headers"] = json!({});
        }
        if let Some(given) = region["headers"].as_object_mut() {
            let known =
                given.iter().filter(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(known, _)| known.clone());
            for known in known.collect::<Vec<_>>() {
                given.remove(&known);
            }
            if !value.is_empty() {
                given.insert(name, value.into());
            }
        }
    }
    Ok(())
}

/// The region of this name among those that are to be given.
///
/// # Errors
/// There is none, or it was taken already.
pub(super) fn find<'r>(regions: &'r mut [Value], name: &str) -> Result<&'r mut Value> {
    let known = regions.iter().filter_map(|region| region["name"].as_str()).collect::<Vec<_>>().join(", ");
    match regions.iter_mut().find(|region| region["name"] == name) {
        Some(region) => Ok(region),
        None => bail!("the cluster has no such region, or it was named twice: {name:?}; there is {known}"),
    }
}

/// Tokens by region, of texts `REGION=TOKEN`.
pub(super) fn by_region(tokens: &[String]) -> Result<Value> {
    let mut by_region = Map::new();
    for text in tokens {
        // The text has a secret, so that it is not repeated.
        let (region, token) = text.split_once('=').context("a token of a region is REGION=TOKEN")?;
        by_region.insert(region.to_owned(), token.into());
    }
    Ok(by_region.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read() {
        let given = region("eu,origin=http://o/x.m3u8?a=1,2,cdn=https://c/x.m3u8,peer=http://p:1,token=t=,").unwrap();
        let expected = json!({
            "name": "eu", "origin_url": "http://o/x.m3u8?a=1,2", "cdn_url": "https://c/x.m3u8",
            "peer": { "url": "http://p:1", "token": "t=," },
        });
        assert_eq!(given, expected);
        for (bad, words) in
            [("eu,http://o", "NAME,origin=URL"), ("eu,origin=a,origin=b", "once"), ("eu,origin=a,token=b", "peer=URL")]
        {
            let error = region(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }
}
