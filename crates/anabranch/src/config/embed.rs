//! Players in the frames of other pages.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::texts::Texts;

/// Sources at most; browsers read the list with every page.
const SOURCES_MAX: usize = 100;

/// Who may put `/embed/*` into a frame.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Embed {
    /// Sources of `frame-ancestors` (CSP 3), such as `https://*.example.com`; `*` for any, an empty list for none.
    pub(crate) frame_ancestors: Texts,
}

impl Default for Embed {
    fn default() -> Self {
        Self { frame_ancestors: Texts(vec!["*".to_owned()]) }
    }
}

impl Embed {
    pub(super) fn check(&self) -> Result<()> {
        let sources = &self.frame_ancestors.0;
        ensure!(
            sources.len() <= SOURCES_MAX,
            "embed.frame_ancestors must name at most {SOURCES_MAX} sources: {}",
            sources.len()
        );
        // What would end the source, the directive or the header line would change what the policy says.
        let plain = |source: &String| source.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ';' | ','));
        if let Some(bad) = sources.iter().find(|source| !plain(source)) {
            anyhow::bail!(
                "embed.frame_ancestors must name origins, such as https://*.example.com, 'self' or *: {bad:?}"
            );
        }
        Ok(())
    }
}
