//! Pages of lists.

use anabranch_db::{Page, PageOrder, PageRequest};
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
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    pub(crate) order: Option<String>,
}

impl PageQuery {
    pub(super) fn request(&self) -> Result<PageRequest, Error> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("a page has 1 to {LIMIT_MAX} items: {limit}")));
        }
        let after = self.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|error: anabranch_db::CursorError| Error::invalid("after", error.to_string()))?;
        let order = self.order.as_deref().map_or(Ok(PageOrder::OldestFirst), order)?;
        Ok(PageRequest { limit, after, order })
    }
}

/// The order that a word asks for.
///
/// # Errors
/// There is none of that word.
pub(super) fn order(word: &str) -> Result<PageOrder, Error> {
    match word {
        "oldest" => Ok(PageOrder::OldestFirst),
        "newest" => Ok(PageOrder::NewestFirst),
        other => {
            let shown: String = other.chars().take(100).collect();
            Err(Error::invalid("order", format!("order is oldest or newest: {shown:?}")))
        }
    }
}

pub(super) fn list<T, U>(page: Page<T>, view: impl FnMut(T) -> U) -> List<U> {
    let next = page.next.map(|cursor| cursor.to_string());
    List { items: page.items.into_iter().map(view).collect(), next }
}
