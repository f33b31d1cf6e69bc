//! Counting the results of the HTTP cache conformance suite by the suite's own rules: a test counts as passed only if all tests
//! that it builds upon have passed; a test whose preparation failed, or that never came to a judgement, is not judged.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Depth of dependencies that is followed; the suite's own go five deep.
const MAX_DEPTH: usize = 32;

/// How much a test matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The RFCs demand it.
    Required,
    /// A good cache does it.
    Optimal,
    /// Told, not judged.
    Check,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optimal => "optimal",
            Self::Check => "check",
        }
    }
}

/// What the counting needs of a test's definition.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    kind: Kind,
    depends_on: Vec<String>,
    browser_only: bool,
}

impl Test {
    /// Id and definition.
    pub(crate) fn read(value: &Value) -> Option<(String, Self)> {
        let kind = match value.get("kind").and_then(Value::as_str) {
            None | Some("required") => Kind::Required,
            Some("optimal") => Kind::Optimal,
            Some("check") => Kind::Check,
            Some(_) => return None,
        };
        let depends_on = value.get("depends_on").and_then(Value::as_array).into_iter().flatten();
        let depends_on = depends_on.filter_map(|id| id.as_str().map(str::to_owned)).collect();
        let browser_only = value.get("browser_only").and_then(Value::as_bool).unwrap_or(false);
        Some((value.get("id")?.as_str()?.to_owned(), Self { kind, depends_on, browser_only }))
    }
}

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passed; for a check, the answer is yes.
    Passed,
    /// It failed; for a check, the answer is no.
    Failed(String),
    /// Something that it builds upon has not passed.
    Blocked(String),
    /// Its preparation failed, or the client gave up.
    NotRun(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => f.write_str(why),
            Self::Blocked(by) => write!(f, "builds upon {by}"),
            Self::NotRun(why) => write!(f, "not judged: {why}"),
        }
    }
}

/// A test and what became of it.
pub(crate) struct Judged<'a> {
    pub(crate) id: &'a str,
    pub(crate) verdict: &'a Verdict,
}

/// All tests that concern a proxy.
pub(crate) struct Score(BTreeMap<String, (Kind, Verdict)>);

impl Score {
    /// `results` has `true` or `[error name, message]` by test id.
    pub(crate) fn count(tests: &BTreeMap<String, Test>, results: &BTreeMap<String, Value>) -> Self {
        let judged = tests.iter().filter(|(_, test)| !test.browser_only);
        Self(judged.map(|(id, test)| (id.clone(), (test.kind, verdict(tests, results, id, 0)))).collect())
    }

    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = Judged<'_>> {
        self.0.iter().filter(move |(_, (of, _))| *of == kind).map(|(id, (_, verdict))| Judged { id, verdict })
    }

    pub(crate) fn passed(&self, kind: Kind) -> usize {
        self.of(kind).filter(|judged| *judged.verdict == Verdict::Passed).count()
    }
}

fn verdict(tests: &BTreeMap<String, Test>, results: &BTreeMap<String, Value>, id: &str, depth: usize) -> Verdict {
    let (Some(test), Some(result)) = (tests.get(id), results.get(id)) else {
        return Verdict::NotRun("no result".to_owned());
    };
    if depth < MAX_DEPTH {
        let blocking = test.depends_on.iter().find(|on| verdict(tests, results, on, depth + 1) != Verdict::Passed);
        if let Some(blocking) = blocking {
            return Verdict::Blocked(blocking.clone());
        }
    }
    if *result == Value::Bool(true) {
        return Verdict::Passed;
    }
    let part = |at: usize| result.get(at).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    match part(0).as_str() {
        "Setup" | "AbortError" => Verdict::NotRun(part(1)),
        "Assertion" => Verdict::Failed(part(1)),
        other => Verdict::Failed(format!("{other}: {}", part(1))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_counts_only_if_what_it_builds_upon_has_passed() {
        let definitions = json!([
            { "id": "none", "kind": "check" },
            { "id": "fresh", "kind": "optimal", "depends_on": ["none"] },
            { "id": "stale", "depends_on": ["fresh"] },
            { "id": "alone", "kind": "required" },
            { "id": "broken" },
            { "id": "wrong" },
            { "id": "missing" },
            { "id": "browser", "browser_only": true },
        ]);
        let tests: BTreeMap<String, Test> =
            definitions.as_array().unwrap().iter().map(|one| Test::read(one).unwrap()).collect();
        let results = |fresh: Value| -> BTreeMap<String, Value> {
            let all = json!({
                "none": true, "fresh": fresh, "stale": true, "alone": true,
                "broken": ["Setup", "status 502"], "wrong": ["Assertion", "from cache"],
            });
            serde_json::from_value(all).unwrap()
        };
        let good = Score::count(&tests, &results(json!(true)));
        assert_eq!((good.passed(Kind::Required), good.passed(Kind::Optimal), good.passed(Kind::Check)), (2, 1, 1));
        assert_eq!(good.of(Kind::Required).count(), 5);
        let bad = Score::count(&tests, &results(json!(["Assertion", "not from cache"])));
        assert_eq!((bad.passed(Kind::Required), bad.passed(Kind::Optimal)), (1, 0));
        let shown: Vec<String> =
            bad.of(Kind::Required).map(|judged| format!("{}: {}", judged.id, judged.verdict)).collect();
        assert_eq!(
            shown,
            [
                "alone: passed",
                "broken: not judged: status 502",
                "missing: not judged: no result",
                "stale: builds upon fresh",
                "wrong: from cache",
            ]
        );
    }
}
