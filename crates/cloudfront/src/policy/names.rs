//! Which headers, cookies and query parameters count.

use anabranch_model::Selection;
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::host;
use crate::read::{Fields, Limit, Node};
use crate::render;

/// Longest name of a cookie or a query parameter, in bytes.
const MAX_NAME: usize = 256;

/// How many names a list may have.
pub(crate) const MAX_NAMES: usize = 100;

/// Headers of a request that frame it, belong to one connection or are the edge's own to send.
const NEVER_FORWARDED: &[&str] = &[
    "connection",
    "content-length",
    "cookie",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// How a selection is spelt: the field with the word, the field with the list, the words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    pub(crate) word: &'static str,
    pub(crate) list: &'static str,
    pub(crate) words: &'static [(&'static str, Mode)],
    pub(crate) limit: Limit,
}

/// What a word selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Nothing,
    Everything,
    Listed,
    NotListed,
}

/// Words of cookies and query parameters in policies.
pub(crate) const POLICY_WORDS: &[(&str, Mode)] =
    &[("none", Mode::Nothing), ("whitelist", Mode::Listed), ("allExcept", Mode::NotListed), ("all", Mode::Everything)];

impl Spelling {
    /// Reads a selection; `check` judges and may rewrite each name.
    pub(crate) fn read<'a>(
        &self,
        fields: &mut Fields<'a>,
        check: impl Fn(&Node<'a>) -> Result<String, ConfigError>,
    ) -> Result<Selection, ConfigError> {
        let word = fields.required(self.word)?;
        let mode = word.word(self.words)?;
        let names = match fields.optional(self.list) {
            Some(node) => node.names(self.limit, check)?,
            None => Vec::new(),
        };
        let fault = |problem: &str, fix: &str| Err(word.invalid(problem).fix(format!("{fix} {}", self.list)));
        match (mode, names.is_empty()) {
            (Mode::Nothing, true) => Ok(Selection::None),
            (Mode::Everything, true) => Ok(Selection::All),
            (Mode::Nothing | Mode::Everything, false) => fault("takes no list", "leave out"),
            (Mode::Listed | Mode::NotListed, true) => fault("needs a list", "give"),
            (Mode::Listed, false) => Ok(Selection::Only(names)),
            (Mode::NotListed, false) => Ok(Selection::Except(names)),
        }
    }

    pub(crate) fn render(&self, selection: &Selection) -> Value {
        let (mode, names) = match selection {
            Selection::None => (Mode::Nothing, None),
            Selection::All => (Mode::Everything, None),
            Selection::Only(names) => (Mode::Listed, Some(names)),
            Selection::Except(names) => (Mode::NotListed, Some(names)),
        };
        let word = self.words.iter().find(|(_, known)| *known == mode).map_or("none", |(word, _)| word);
        let mut object = json!({ self.word: word });
        if let Some(names) = names {
            render::put(&mut object, self.list, render::words(names));
        }
        object
    }
}

/// A header of viewers that may go to the origin; in lower case, for case does not count.
pub(crate) fn header(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    if !host::is_field_name(text) {
        return Err(node.invalid("not a header name"));
    }
    let name = text.to_ascii_lowercase();
    if name.starts_with("cloudfront-") {
        return Err(node.invalid("not honoured").fix("CloudFront's own headers are not made here; take it out"));
    }
    if NEVER_FORWARDED.contains(&name.as_str()) {
        return Err(node.invalid("a header that no policy may name").fix("take it out"));
    }
    Ok(name)
}

/// A query parameter.
pub(crate) fn query(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    let valid = (1..=MAX_NAME).contains(&text.len()) && !text.contains(['&', '=', '#', '*', ' ']);
    if valid { Ok(text.to_owned()) } else { Err(node.invalid("not the name of a query parameter")) }
}

/// A cookie; `*` may end its name.
pub(crate) fn cookie(node: &Node<'_>) -> Result<String, ConfigError> {
    let text = node.text()?;
    let stem = text.strip_suffix('*').unwrap_or(text);
    let valid =
        (1..=MAX_NAME).contains(&text.len()) && stem.bytes().all(|b| b.is_ascii_graphic() && !b"=;,\"?*".contains(&b));
    if valid {
        Ok(text.to_owned())
    } else {
        Err(node.invalid("not honoured as the name of a cookie").fix("a name, which `*` may end"))
    }
}
