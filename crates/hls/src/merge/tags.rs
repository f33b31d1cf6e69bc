//! Lines that the model of a playlist keeps as text, taken apart and put together.

use crate::playlist::attributes::{AttributeWriter, Attributes};

/// A tag with attributes, in their order and with their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// With the `#`.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    /// Takes a line apart, if it is a tag with a list of attributes.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (name, list) = line.split_once(':')?;
        let attributes = Attributes::parse(list).ok()?.rest();
        (!attributes.is_empty()).then(|| Self { name: name.to_owned(), attributes })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut String> {
        self.attributes.iter_mut().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim_end().parse().ok()
    }

    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        let mut list = AttributeWriter::new(&mut out, &self.name);
        self.attributes.iter().for_each(|(name, value)| list.raw(name, value));
        out
    }
}

/// What stands between the quotes of a quoted string.
pub(super) fn unquoted(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
