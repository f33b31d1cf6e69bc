//! What is kept from one scheduled round to the next.

/// Where the scheduled rounds are in the provider's lists.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(super) pipelines: Option<String>,
    pub(super) distributions: Option<String>,
}
