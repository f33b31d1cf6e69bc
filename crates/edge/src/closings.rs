//! What of a distribution is closed now, as a snapshot says it.

use std::sync::Arc;

use anabranch_model::{ClosedSpec, DistributionId};

use crate::pattern::Pattern;
use crate::request::Method;

/// What of a distribution is closed; mostly nothing, which is known by a length.
#[derive(Debug, Default)]
pub(crate) struct Closings(Box<[Closing]>);

/// Some paths, closed for a region.
#[derive(Debug)]
struct Closing {
    paths: Box<[Pattern]>,
    region: Arc<str>,
}

impl Closings {
    /// What a snapshot says of a distribution.
    pub(crate) fn compile(all: &[ClosedSpec], distribution: &DistributionId) -> Self {
        let closing = |spec: &ClosedSpec| Closing {
            paths: if spec.paths.is_empty() {
                [Pattern::Any].into()
            } else {
                spec.paths.iter().map(|path| Pattern::compile(path)).collect()
            },
            // It becomes a header.
            region: spec.region.chars().filter(char::is_ascii_graphic).collect::<String>().into(),
        };
        Self(all.iter().filter(|spec| spec.distribution == *distribution).map(closing).collect())
    }

    /// The region for which a request for `path` is closed, if it is. Scripts may go on asking what they may ask.
    pub(crate) fn region(&self, method: Method, path: &str) -> Option<&Arc<str>> {
        if self.0.is_empty() || method == Method::Options {
            return None;
        }
        let closing = self.0.iter().find(|closing| closing.paths.iter().any(|pattern| pattern.matches(path)));
        closing.map(|closing| &closing.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(paths: &[&str]) -> Closings {
        let spec = |distribution: &str, region: &str| ClosedSpec {
            distribution: distribution.parse().unwrap(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            cluster: "news".to_owned(),
            region: region.to_owned(),
        };
        Closings::compile(&[spec("E2", "nyc"), spec("E1", "fr\r\na")], &"E1".parse().unwrap())
    }

    #[test]
    fn closings_are_of_a_distribution_and_its_paths() {
        let region = |closed: &Closings, method, path| closed.region(method, path).map(ToString::to_string);
        let fra = || Some("fra".to_owned());
        let all = closed(&[]);
        assert_eq!(region(&all, Method::Get, "/any"), fra());
        assert_eq!(region(&all, Method::Post, "/any"), fra());
        assert_eq!(region(&all, Method::Options, "/any"), None);
        let some = closed(&["/b1/*", "*.m3u8"]);
        assert_eq!(region(&some, Method::Head, "/b1/a.m4s"), fra());
        assert_eq!(region(&some, Method::Get, "/b2/index.m3u8"), fra());
        assert_eq!(region(&some, Method::Get, "/b2/a.m4s"), None);
        assert_eq!(region(&Closings::default(), Method::Get, "/b1/a.m4s"), None);
    }
}
