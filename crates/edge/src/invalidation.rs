//! What the operator has ordered out of caches.
//!
//! An order is not carried to every object: each object carries the sequence that was in force when its fetch began, and is
//! judged by later orders when it is next asked for. So an order holds at once, also for what is on its way or on disk.

use anabranch_model::InvalidationLog;

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

    /// Whether an order later than `since` forgets an object of this path, query and tags.
    pub(crate) fn forget(&self, since: u64, path: &str, query: Option<&str>, tags: &[Box<str>]) -> bool {
        if since < self.floor {
            return true;
        }
        let later = self.entries.iter().rev().take_while(|order| order.sequence > since);
        later.into_iter().any(|order| {
            order.paths.iter().any(|one| one.covers(path, query)) || order.tags.iter().any(|tag| tags.contains(tag))
        })
    }
}

impl PathOrder {
    fn compile(text: &str) -> Self {
        let prefix = text.ends_with('*');
        let text = text.strip_suffix('*').unwrap_or(text);
        Self { text: text.into(), prefix, has_query: text.contains('?') }
    }

    fn covers(&self, path: &str, query: Option<&str>) -> bool {
        if !self.has_query {
            return if self.prefix { path.starts_with(&*self.text) } else { path == &*self.text };
        }
        let Some(rest) = self.text.strip_prefix(path).and_then(|rest| rest.strip_prefix('?')) else { return false };
        let query = query.unwrap_or("");
        if self.prefix { query.starts_with(rest) } else { query == rest }
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
        for (since, path, query, forgotten) in [
            (1, "/z", None, true),
            (2, "/a/b", None, true),
            (2, "/a", None, false),
            (3, "/a/b", None, false),
            (2, "/b", Some("q"), true),
            (3, "/c", Some("x=12"), true),
            (3, "/c", None, false),
            (3, "/d", Some("y"), true),
            (3, "/d", Some("yy"), false),
        ] {
            assert_eq!(orders.forget(since, path, query, &[]), forgotten, "{since} {path} {query:?}");
        }
        assert!(orders.forget(3, "/z", None, &["t".into()]));
        assert!(!orders.forget(4, "/z", None, &["t".into()]));
    }
}
