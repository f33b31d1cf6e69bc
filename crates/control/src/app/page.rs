//! Pages of lists.

use anabranch_db::{Page, PageRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Error;
use super::view::List;

/// Items of a page when the caller names no number.
const LIMIT_DEFAULT: u32 = 50;

/// Items of a page at most.
const LIMIT_MAX: u32 = 200;

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    pub(crate) limit: Option<u32>,
    /// `next` of the page before.
    pub(crate) after: Option<String>,
}

impl PageQuery {
    pub(super) fn request(&self) -> Result<PageRequest, Error> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("a page has 1 to {LIMIT_MAX} items: {limit}")));
        }
        let after = self.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|error: anabranch_db::CursorError| Error::invalid("after", error.to_string()))?;
        Ok(PageRequest { limit, after })
    }
}

pub(super) fn list<T, U>(page: Page<T>, view: impl FnMut(T) -> U) -> List<U> {
    let next = page.next.map(|cursor| cursor.to_string());
    List { items: page.items.into_iter().map(view).collect(), next }
}
