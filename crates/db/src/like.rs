//! Patterns of `LIKE`.

/// A pattern of `LIKE` that finds the text anywhere in what is in lower case.
pub(crate) fn pattern(text: &str) -> String {
    exact_pattern(&text.to_lowercase())
}

/// The same as it is written. SQLite knows the lower case of ASCII only.
pub(crate) fn exact_pattern(text: &str) -> String {
    let text = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{text}%")
}
