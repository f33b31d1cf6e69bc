//! Headers with which the origin of a cluster's region is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Headers by name in lower case. Their values are secrets: what is printed of them are the names.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretHeaders(BTreeMap<String, String>);

impl SecretHeaders {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of the header with this name in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for SecretHeaders {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl std::fmt::Debug for SecretHeaders {
    // Without the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_and_not_printed() {
        let headers: SecretHeaders = [("x-key".to_owned(), "secret-word".to_owned())].into_iter().collect();
        assert_eq!(format!("{headers:?}"), r#"{"x-key"}"#);
        let text = serde_json::to_string(&headers).unwrap();
        assert_eq!(text, r#"{"x-key":"secret-word"}"#);
        assert_eq!(serde_json::from_str::<SecretHeaders>(&text).unwrap(), headers);
        assert_eq!((headers.get("x-key"), headers.names().count()), (Some("secret-word"), 1));
    }
}
