//! Reading JSON field by field: each fault knows its path, and a field that nobody asked for is refused.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::ConfigError;

/// Code of faults that CloudFront has no closer word for.
pub(crate) const INVALID_ARGUMENT: &str = "InvalidArgument";

/// Longest text of a field that has no limit of its own, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;

/// How many items a list may have, and the code when it has more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) items: usize,
    pub(crate) code: &'static str,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) path: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value }
    }

    /// A fault of this value, which the error repeats where it is short enough to say.
    pub(crate) fn refuse(&self, code: &'static str, problem: impl Into<String>) -> ConfigError {
        let error = ConfigError::new(code, &self.path, problem);
        match self.value {
            Value::Null | Value::Array(_) | Value::Object(_) => error,
            scalar => error.value(scalar),
        }
    }

    pub(crate) fn invalid(&self, problem: impl Into<String>) -> ConfigError {
        self.refuse(INVALID_ARGUMENT, problem)
    }

    pub(crate) fn text(&self) -> Result<&'a str, ConfigError> {
        let text = self.value.as_str().ok_or_else(|| self.invalid("not a string"))?;
        if text.len() > MAX_TEXT {
            return Err(self.invalid("too long").fix(format!("at most {MAX_TEXT} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(self.invalid("has a control character"));
        }
        Ok(text)
    }

    pub(crate) fn flag(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.invalid("not true or false"))
    }

    pub(crate) fn number(&self, range: &RangeInclusive<u64>, code: &'static str) -> Result<u64, ConfigError> {
        let advice = || format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.value.as_u64().ok_or_else(|| self.refuse(code, "not a fit number").fix(advice()))?;
        if range.contains(&number) { Ok(number) } else { Err(self.refuse(code, "out of range").fix(advice())) }
    }

    /// A share of a hundred.
    pub(crate) fn percent(&self) -> Result<f64, ConfigError> {
        let number = self.value.as_f64().ok_or_else(|| self.invalid("not a number"))?;
        if (0.0..=100.0).contains(&number) {
            Ok(number)
        } else {
            Err(self.invalid("out of range").fix("a number from 0 to 100"))
        }
    }

    pub(crate) fn object(&self) -> Result<Fields<'a>, ConfigError> {
        let map = self.value.as_object().ok_or_else(|| self.invalid("not an object"))?;
        Ok(Fields { path: self.path.clone(), map, known: Vec::new() })
    }

    /// One of the words, by its place among them.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.text()?;
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.invalid("not honoured").fix(format!("one of {}", known.join(", ")))
        })
    }

    /// A list as `Quantity` and `Items`, and nothing else.
    pub(crate) fn list(&self, limit: Limit) -> Result<Vec<Node<'a>>, ConfigError> {
        let mut fields = self.object()?;
        let items = fields.items(limit)?;
        fields.finish()?;
        Ok(items)
    }

    /// A list of distinct texts, each of which `check` may refuse; case counts if `check` keeps it.
    pub(crate) fn names<T: PartialEq>(
        &self,
        limit: Limit,
        check: impl Fn(&Node<'a>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        distinct(&self.list(limit)?, check)
    }
}

/// Reads each item; two of the same are refused.
pub(crate) fn distinct<'a, T: PartialEq>(
    items: &[Node<'a>],
    read: impl Fn(&Node<'a>) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let value = read(item)?;
        if found.contains(&value) {
            return Err(item.invalid("listed twice"));
        }
        found.push(value);
    }
    Ok(found)
}

/// An object being read. Absent, and null, are the same.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Path of a field of this object.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A fault of the object itself.
    pub(crate) fn invalid(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(INVALID_ARGUMENT, &self.path, problem)
    }

    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Node<'a>> {
        self.known.push(name);
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        Some(Node { path: self.at(name), value })
    }

    pub(crate) fn required(&mut self, name: &'static str) -> Result<Node<'a>, ConfigError> {
        let missing = ConfigError::new(INVALID_ARGUMENT, &self.at(name), "missing").fix("the field is required");
        self.optional(name).ok_or(missing)
    }

    /// A text that says nothing when empty.
    pub(crate) fn some_text(&mut self, name: &'static str) -> Result<Option<(Node<'a>, &'a str)>, ConfigError> {
        let Some(node) = self.optional(name) else { return Ok(None) };
        let text = node.text()?;
        Ok((!text.is_empty()).then_some((node, text)))
    }

    /// A text of at most `longest` characters; absent is empty.
    pub(crate) fn text_within(&mut self, name: &'static str, longest: usize) -> Result<String, ConfigError> {
        let Some((node, text)) = self.some_text(name)? else { return Ok(String::new()) };
        if text.chars().count() > longest {
            return Err(node.invalid("too long").fix(format!("at most {longest} characters")));
        }
        Ok(text.to_owned())
    }

    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, ConfigError> {
        self.optional(name).map_or(Ok(default), |node| node.flag())
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        range: &RangeInclusive<u64>,
        code: &'static str,
    ) -> Result<Option<u64>, ConfigError> {
        self.optional(name).map(|node| node.number(range, code)).transpose()
    }

    /// The list that this object is: `Quantity` must tell how many `Items` there are.
    pub(crate) fn items(&mut self, limit: Limit) -> Result<Vec<Node<'a>>, ConfigError> {
        let quantity = self.required("Quantity")?;
        let said = quantity.number(&(0..=u64::from(u32::MAX)), INVALID_ARGUMENT)?;
        let items = match self.optional("Items") {
            Some(node) => node.value.as_array().ok_or_else(|| node.invalid("not a list"))?.as_slice(),
            None => &[],
        };
        if said != items.len() as u64 {
            let error = quantity.refuse("InconsistentQuantities", format!("Items has {}, not", items.len()));
            return Err(error.fix("Quantity tells how many Items there are"));
        }
        if items.len() > limit.items {
            let error = ConfigError::new(limit.code, &self.at("Items"), "too many").value(items.len());
            return Err(error.fix(format!("at most {}", limit.items)));
        }
        let path = self.at("Items");
        Ok(items.iter().enumerate().map(|(at, value)| Node { path: format!("{path}[{at}]"), value }).collect())
    }

    /// Refuses fields that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let shown: String = key.chars().take(64).filter(|c| !c.is_control()).collect();
                Err(ConfigError::new(INVALID_ARGUMENT, &self.at(&shown), "unknown field").fix("take it out"))
            }
        }
    }
}
