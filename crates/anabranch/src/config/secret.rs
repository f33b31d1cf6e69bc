//! Secrets of the configuration.

use std::fmt::{self, Debug, Formatter};

use serde::Deserialize;

/// A text that is not printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
