//! Invalidations: orders to forget what edges keep.

use anabranch_db::{Idempotency, InvalidationRow, NewInvalidation};
use anabranch_model::{InvalidationId, InvalidationState};
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{Invalidation, List};
use super::{App, Error};
use crate::time;

/// Paths of one order at most.
const PATHS_MAX: usize = 3000;

/// Tags of one order at most.
const TAGS_MAX: usize = 256;

/// Longest path, in bytes.
const PATH_MAX: usize = 4096;

/// Longest tag, in bytes.
const TAG_MAX: usize = 1024;

/// Longest caller reference, in bytes.
const REFERENCE_MAX: usize = 255;

/// What to forget.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvalidationCreate {
    /// Paths, each beginning with `/`; a `*` at the end is any run. Without a `?` it covers every query of the path. Up to 3000.
    #[serde(default)]
    paths: Vec<String>,
    /// Tags of `Cache-Tag` or `Surrogate-Key`. Up to 256.
    #[serde(default)]
    tags: Vec<String>,
    /// The creator's own mark: the same with the same paths and tags answers the earlier order. A new one if it is missing.
    caller_reference: Option<String>,
}

impl InvalidationCreate {
    /// Everything, in one order: a CDN outside counts each path.
    pub(crate) fn of_everything() -> Self {
        Self { paths: vec!["/*".to_owned()], tags: Vec::new(), caller_reference: None }
    }
}

impl App {
    pub(crate) async fn invalidation_create(
        &self,
        distribution: &str,
        request: InvalidationCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Invalidation, Error> {
        let InvalidationCreate { paths, tags, caller_reference } = request;
        if paths.is_empty() && tags.is_empty() {
            return Err(Error::invalid("paths", "an invalidation names at least one path or tag"));
        }
        if paths.len() > PATHS_MAX {
            let detail = format!("an invalidation has at most {PATHS_MAX} paths: {}; order several", paths.len());
            return Err(Error::invalid("paths", detail));
        }
        if tags.len() > TAGS_MAX {
            let detail = format!("an invalidation has at most {TAGS_MAX} tags: {}; order several", tags.len());
            return Err(Error::invalid("tags", detail));
        }
        paths.iter().try_for_each(|path| check_path(path))?;
        tags.iter().try_for_each(|tag| check_tag(tag))?;
        let id = InvalidationId::random();
        let given = caller_reference.or(idempotency.map(|idempotency| idempotency.key));
        let caller_reference = given.unwrap_or_else(|| id.to_string());
        if caller_reference.is_empty() || caller_reference.len() > REFERENCE_MAX {
            let detail = format!("a caller reference has 1 to {REFERENCE_MAX} bytes: {}", caller_reference.len());
            return Err(Error::invalid("caller_reference", detail));
        }
        let new = NewInvalidation {
            id,
            distribution: distribution.to_owned(),
            caller_reference,
            paths: in_order(paths),
            tags: in_order(tags),
        };
        let row = self.db.invalidation_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        Ok(self.invalidation_view(row).await)
    }

    pub(crate) async fn invalidation_list(
        &self,
        distribution: &str,
        query: &PageQuery,
    ) -> Result<List<Invalidation>, Error> {
        let page = self.db.invalidation_page(distribution, &query.request()?).await?;
        let list = list(page, |row| row);
        let mut items = Vec::with_capacity(list.items.len());
        for row in list.items {
            items.push(self.invalidation_view(row).await);
        }
        Ok(List { items, next: list.next })
    }

    pub(crate) async fn invalidation_show(&self, distribution: &str, wanted: &str) -> Result<Invalidation, Error> {
        let row = self.db.invalidation_find(distribution, wanted).await?;
        Ok(self.invalidation_view(row).await)
    }

    async fn invalidation_waits(&self, row: &InvalidationRow) -> Option<String> {
        if row.state != InvalidationState::InProgress {
            return None;
        }
        let distribution = self.db.distribution_find(row.distribution.as_str()).await.ok()?;
        let (Some(distribution), Some(id)) = (&distribution.provider_id, &row.provider_id) else {
            return Some("waiting for the provider to hear of it".to_owned());
        };
        self.provider.invalidation_describe(distribution, id).await.ok().flatten()?.waiting_for
    }

    async fn invalidation_view(&self, row: InvalidationRow) -> Invalidation {
        Invalidation {
            waiting_for: self.invalidation_waits(&row).await,
            id: row.id.into(),
            distribution: row.distribution.into(),
            status: row.state,
            paths: row.paths,
            tags: row.tags,
            caller_reference: row.caller_reference,
            sequence: row.sequence,
            created_at: time::render_ms(row.created_at),
            completed_at: row.completed_at.map(time::render_ms),
        }
    }
}

/// Without repetitions, so that the same batch is known again however it was written.
fn in_order(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

fn check_path(path: &str) -> Result<(), Error> {
    let refuse = |what: &str| Err(Error::invalid("paths", format!("{what}: {:?}", brief(path))));
    if !path.starts_with('/') {
        return refuse("a path begins with a slash");
    }
    if path.len() > PATH_MAX {
        return refuse(&format!("a path has at most {PATH_MAX} bytes"));
    }
    if path.find('*').is_some_and(|at| at + 1 < path.len()) {
        return refuse("a star stands at the end of a path only");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return refuse("a path is written as in a URL, percent-encoded and without a fragment");
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), Error> {
    let fits = (1..=TAG_MAX).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if fits {
        return Ok(());
    }
    let detail = format!("a tag has 1 to {TAG_MAX} visible ASCII characters without commas: {:?}", brief(tag));
    Err(Error::invalid("tags", detail))
}

/// The beginning of a value, as much as an error repeats.
fn brief(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_tags() {
        for good in ["/", "/*", "/a/b*", "/a?b=1", "/a?*", "/%C3%A9", "/d/~x;y"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "*", "/a*b", "/**", "/a b", "/é", "/a#b", "http://h/a", &format!("/{}", "x".repeat(4096))]
        {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        assert!(check_tag("news-1").is_ok());
        for bad in ["", "a b", "a,b", "é", &"x".repeat(1025)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }
}
