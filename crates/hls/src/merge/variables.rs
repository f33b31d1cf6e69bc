//! Variables of playlists (rfc8216bis §4.3, §4.4.2.3).

use std::collections::BTreeMap;

use super::tags::{Tag, unquoted};
use super::{MergeError, TEXT_MAX_BYTES};

/// The tag that defines one.
pub(super) const DEFINE: &str = "#EXT-X-DEFINE";

/// What a playlist defines.
#[derive(Debug, Default)]
pub(super) struct Variables {
    region: String,
    values: BTreeMap<String, String>,
}

impl Variables {
    pub(super) fn read<'l>(region: &str, lines: impl Iterator<Item = &'l str>) -> Result<Self, MergeError> {
        let mut values = BTreeMap::new();
        for line in lines.filter(|line| line.strip_prefix(DEFINE).is_some_and(|rest| rest.starts_with(':'))) {
            let unread = || MergeError::Tag { region: region.to_owned(), line: line.to_owned() };
            let tag = Tag::read(line).ok_or_else(unread)?;
            if let Some(variable) = tag.get("IMPORT").or(tag.get("QUERYPARAM")) {
                let variable = unquoted(variable).unwrap_or(variable).to_owned();
                return Err(MergeError::Foreign { region: region.to_owned(), variable });
            }
            let text = |name| tag.get(name).and_then(unquoted);
            let (name, value) = text("NAME").zip(text("VALUE")).ok_or_else(unread)?;
            // A name twice is a fault of the playlist (§4.4.2.3).
            if !is_name(name) || values.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(unread());
            }
        }
        Ok(Self { region: region.to_owned(), values })
    }

    /// `text` with values in place of references, which are `{$name}`. Values hold no references.
    pub(super) fn put_in(&self, text: &str) -> Result<String, MergeError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{$") {
            out.push_str(before);
            match after.split_once('}').filter(|(name, _)| is_name(name)) {
                Some((name, tail)) => {
                    let undefined = || MergeError::Undefined { region: self.region.clone(), variable: name.to_owned() };
                    out.push_str(self.values.get(name).ok_or_else(undefined)?);
                    rest = tail;
                }
                None => {
                    out.push_str("{$");
                    rest = after;
                }
            }
            if out.len() > TEXT_MAX_BYTES {
                return Err(MergeError::TooLong(self.region.clone()));
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The definitions of all regions, which media playlists may import from the merged one: nothing in it needs them any more.
pub(super) fn kept<'v>(regions: impl Iterator<Item = &'v Variables>) -> Result<Vec<String>, MergeError> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in regions.flat_map(|region| &region.values) {
        if all.insert(name, value).is_some_and(|other| other != value) {
            return Err(MergeError::Differs(name.clone()));
        }
    }
    Ok(all.into_iter().map(|(name, value)| format!("{DEFINE}:NAME=\"{name}\",VALUE=\"{value}\"")).collect())
}
