//! Why a configuration is refused.

use std::fmt::Display;

/// Longest value that an error repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why a configuration is refused: the field in CloudFront's words, what is wrong, its value and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}{}{}", prefix(.field), shown(.value), advice(.fix))]
pub struct ConfigError {
    code: &'static str,
    field: String,
    problem: String,
    value: Option<String>,
    fix: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(code: &'static str, field: &str, problem: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), problem: problem.into(), value: None, fix: None }
    }

    pub(crate) fn value(mut self, value: impl Display) -> Self {
        let text = value.to_string();
        let mut shown: String = text.chars().take(MAX_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        self.value = Some(shown);
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// CloudFront's error code, such as `InvalidArgument` or `NoSuchOrigin`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Path of the field, such as `DefaultCacheBehavior.TargetOriginId`; items of a list are counted from 0. Empty for the whole.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

fn prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

fn shown(value: &Option<String>) -> String {
    value.as_ref().map_or_else(String::new, |value| format!(": {value}"))
}

fn advice(fix: &Option<String>) -> String {
    fix.as_ref().map_or_else(String::new, |fix| format!(" ({fix})"))
}
