//! What the operator has ordered out of caches.
//!
//! An order is not carried to every object: each object carries the sequence that was in force when its fetch began, and is
//! judged by later orders when it is next asked for. So an order holds at once, also for what is on its way or on disk.

use anabranch_model::InvalidationLog;

use crate::select::Select;

/// A distribution's orders, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    floor: u64,
    last: u64,
    entries: Box<[Order]>,
}

#[derive(Debug)]
struct Order {
    sequence: u64,
    paths: Box<[PathOrder]>,
    tags: Box<[Box<str>]>,
}

/// A path with or without a query, exact or up to a star at its end.
#[derive(Debug)]
struct PathOrder {
    text: Box<str>,
    prefix: bool,
    has_query: bool,
}

impl Orders {
    pub(crate) fn compile(log: &InvalidationLog) -> Self {
        let order = |entry: &anabranch_model::InvalidationSpec| Order {
            sequence: entry.sequence,
            paths: entry.paths.iter().map(|path| PathOrder::compile(path)).collect(),
            tags: entry.tags.iter().map(|tag| tag.as_str().into()).collect(),
        };
        Self { floor: log.floor, last: log.last(), entries: log.entries.iter().map(order).collect() }
    }

    /// The sequence that fetches beginning now carry.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether an order later than `since` forgets an object of this place and these tags.
    pub(crate) fn forget(&self, since: u64, place: Place<'_>, tags: &[Box<str>]) -> bool {
        since < self.floor
            || self.later(since).any(|order| order.covers(place) || order.tags.iter().any(|tag| tags.contains(tag)))
    }

    /// As [`Self::forget`], of an object whose tags are not known yet.
    pub(crate) fn may_forget(&self, since: u64, place: Place<'_>) -> bool {
        since < self.floor || self.later(since).any(|order| order.covers(place) || !order.tags.is_empty())
    }

    fn later(&self, since: u64) -> impl Iterator<Item = &Order> {
        self.entries.iter().rev().take_while(move |order| order.sequence > since)
    }
}

/// Where an object is, as orders name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    /// The part of the query that tells objects apart.
    pub(crate) query: &'a str,
    /// What chooses that part.
    pub(crate) select: &'a Select,
}

impl Order {
    fn covers(&self, place: Place<'_>) -> bool {
        self.paths.iter().any(|path| path.covers(place))
    }
}

impl PathOrder {
    fn compile(text: &str) -> Self {
        let prefix = text.ends_with('*');
        let text = text.strip_suffix('*').unwrap_or(text);
        Self { text: text.into(), prefix, has_query: text.contains('?') }
    }

    fn covers(&self, place: Place<'_>) -> bool {
        if !self.has_query {
            return if self.prefix { place.path.starts_with(&*self.text) } else { place.path == &*self.text };
        }
        let rest = self.text.strip_prefix(place.path).and_then(|rest| rest.strip_prefix('?'));
        match rest {
            None => false,
            // One object for every query.
            Some(_) if place.select.is_none() => true,
            Some(rest) if self.prefix => place.query.starts_with(rest),
            Some(rest) => place.query == place.select.query(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::InvalidationSpec;

    use super::*;

    fn orders(floor: u64, entries: &[(u64, &[&str], &[&str])]) -> Orders {
        let list = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        let spec = |&(sequence, paths, tags): &(u64, &[&str], &[&str])| InvalidationSpec {
            sequence,
            paths: list(paths),
            tags: list(tags),
        };
        Orders::compile(&InvalidationLog { floor, entries: entries.iter().map(spec).collect() })
    }

    #[test]
    fn later_orders_forget_what_they_cover() {
        let orders = orders(2, &[(3, &["/a/*", "/b"], &[]), (4, &["/c?x=1*", "/d?y"], &["t"])]);
        assert_eq!(orders.last(), 4);
        let all = Select::All;
        for (since, path, query, forgotten) in [
            (1, "/z", "", true),
            (2, "/a/b", "", true),
            (2, "/a", "", false),
            (3, "/a/b", "", false),
            (2, "/b", "q", true),
            (3, "/c", "x=12", true),
            (3, "/c", "", false),
            (3, "/d", "y", true),
            (3, "/d", "yy", false),
        ] {
            let place = Place { path, query, select: &all };
            assert_eq!(orders.forget(since, place, &[]), forgotten, "{since} {path} {query:?}");
        }
        let place = Place { path: "/z", query: "", select: &all };
        assert!(orders.forget(3, place, &["t".into()]));
        assert!(!orders.forget(4, place, &["t".into()]));
        assert!(orders.may_forget(3, place) && !orders.may_forget(4, place));
        let (none, only) = (Select::None, Select::Only(["y".into()].into()));
        assert!(orders.forget(3, Place { path: "/d", query: "", select: &none }, &[]), "it is kept for every query");
        assert!(orders.forget(3, Place { path: "/d", query: "y", select: &only }, &[]));
    }
}
