//! Lists of texts.

use serde::Deserialize;

/// Texts, as a list or as one text with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Given")]
pub(crate) struct Texts(pub(crate) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    One(String),
    Many(Vec<String>),
}

impl From<Given> for Texts {
    fn from(given: Given) -> Self {
        let trimmed = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Self(match given {
            Given::One(text) => text.split(',').filter_map(trimmed).collect(),
            Given::Many(texts) => texts.iter().filter_map(|text| trimmed(text)).collect(),
        })
    }
}
