//! The snapshot as the river reads it: compiled once per version.

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_model::{Behavior, BreakoutId, DistributionId, DistributionSpec, ErrorResponse, Origin, Snapshot};

use crate::config::Config;
use crate::invalidation::Orders;
use crate::record::Counters;
use crate::rule::{Compiling, Gate, Rule};
use crate::series::{Labels, Series};

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hosts: HashMap<Box<str>, Arc<Site>>,
    /// Wildcard aliases, by what follows the `*.`.
    wild: HashMap<Box<str>, Arc<Site>>,
    ids: HashMap<Box<str>, Arc<Site>>,
    default: Option<Arc<Site>>,
    gates: Vec<Arc<Gate>>,
    labels: Arc<Labels>,
}

/// A distribution.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: DistributionId,
    pub(crate) enabled: bool,
    /// Path of `/`, with its slash; empty for none.
    pub(crate) root: Box<str>,
    pub(crate) http3: bool,
    /// Ordered behaviors, the default last.
    rules: Vec<Arc<Rule>>,
    pub(crate) orders: Orders,
    cells: Vec<Cell>,
    /// First cell of a breakout, by its path segment; one for each rule follow it.
    breakouts: HashMap<Box<str>, usize>,
}

/// Counters of one behavior, of one breakout or of everything else.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) distribution: DistributionId,
    pub(crate) behavior: Arc<str>,
    pub(crate) breakout: Option<BreakoutId>,
    pub(crate) counters: Arc<Counters>,
}

impl Table {
    /// Compiles `snapshot`. Counters, and key sets that stay the same, are taken over from `previous`.
    pub(crate) fn compile(snapshot: &Snapshot, config: &Config, previous: &Self) -> Self {
        let mut table = Self { labels: previous.labels.clone(), ..Self::default() };
        for spec in &snapshot.distributions {
            let before = previous.ids.get(spec.id.as_str()).map(Arc::as_ref);
            let mut compiling = Compiling { snapshot, config, spec, known: &previous.gates, gates: &mut table.gates };
            let site = Arc::new(Site::compile(&mut compiling, before, &table.labels));
            for host in std::iter::once(&spec.domain_name).chain(&spec.aliases) {
                let host = host.to_ascii_lowercase();
                match host.strip_prefix("*.") {
                    Some(parent) => table.wild.insert(parent.into(), site.clone()),
                    None => table.hosts.insert(host.into(), site.clone()),
                };
            }
            table.ids.insert(spec.id.as_str().into(), site);
        }
        table.default = config.default_distribution.as_ref().and_then(|id| table.ids.get(id.as_str())).cloned();
        table
    }

    /// The distribution that claims `host`, given in lower case without a port. A wildcard covers one label.
    pub(crate) fn by_host(&self, host: &str) -> Option<&Site> {
        let found = self.hosts.get(host).or_else(|| self.wild.get(host.split_once('.')?.1));
        found.map(Arc::as_ref)
    }

    /// The distribution of that id.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Site> {
        self.ids.get(id).map(Arc::as_ref)
    }

    /// The distribution of hosts that nobody claims.
    pub(crate) fn fallback(&self) -> Option<&Site> {
        self.default.as_deref()
    }

    /// Every distribution's counters.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.ids.values().flat_map(|site| &site.cells)
    }
}

impl Site {
    fn compile(compiling: &mut Compiling<'_>, before: Option<&Self>, labels: &Labels) -> Self {
        let spec = compiling.spec;
        let series = Arc::new(Series::new(spec.id.as_str(), &spec.domain_name, labels));
        let behaviors: Vec<_> = spec.behaviors.iter().chain([&spec.default_behavior]).collect();
        let errors: Arc<[ErrorResponse]> = spec.error_responses.as_slice().into();
        let rule = |(index, behavior): (usize, &&Behavior)| Arc::new(compiling.rule(index, behavior, errors.clone()));
        let rules = behaviors.iter().enumerate().map(rule).collect();
        let patterns: Vec<Arc<str>> = behaviors.iter().map(|behavior| behavior.path_pattern.as_str().into()).collect();
        let known = |behavior: &str, breakout: Option<&BreakoutId>| {
            let mut cells = before.into_iter().flat_map(|site| &site.cells);
            cells.find(|cell| &*cell.behavior == behavior && cell.breakout.as_ref() == breakout)
        };
        let mut cells = Vec::new();
        let mut row = |breakout: Option<&BreakoutId>| {
            let first = cells.len();
            cells.extend(patterns.iter().map(|pattern| Cell {
                distribution: spec.id.clone(),
                behavior: pattern.clone(),
                breakout: breakout.cloned(),
                counters: known(pattern, breakout).map_or_else(
                    || Arc::new(Counters::new(series.clone(), pattern.clone(), breakout.cloned())),
                    |cell| cell.counters.clone(),
                ),
            }));
            first
        };
        row(None);
        let of_spec = compiling.snapshot.breakouts.iter().filter(|breakout| serves(spec, &breakout.channel));
        let breakouts = of_spec.map(|breakout| (breakout.id.as_str().into(), row(Some(&breakout.id)))).collect();
        let root = spec.default_root_object.trim_start_matches('/');
        Self {
            id: spec.id.clone(),
            enabled: spec.enabled,
            root: if root.is_empty() { "".into() } else { format!("/{root}").into() },
            rules,
            http3: spec.http3,
            orders: Orders::compile(&spec.invalidations),
            cells,
            breakouts,
        }
    }

    /// The path that stands for `path`: the root object's for `/`.
    pub(crate) fn root_or<'p>(&'p self, path: &'p str) -> &'p str {
        if path == "/" && !self.root.is_empty() { &self.root } else { path }
    }

    /// The behavior of a path: the first whose pattern matches, else the default.
    pub(crate) fn rule(&self, path: &str) -> &Arc<Rule> {
        let last = self.rules.len() - 1;
        self.rules[..last].iter().find(|rule| rule.pattern.matches(path)).unwrap_or(&self.rules[last])
    }

    /// The counters of an answer: of the breakout that the path begins with, or of the behavior alone.
    pub(crate) fn counters(&self, rule: &Rule, path: &str) -> &Arc<Counters> {
        let first = if self.breakouts.is_empty() {
            0
        } else {
            let segment = path.get(1..).and_then(|rest| rest.split('/').next()).unwrap_or("");
            self.breakouts.get(segment).copied().unwrap_or(0)
        };
        &self.cells[first + rule.index].counters
    }
}

/// Whether a channel is among the distribution's origins.
fn serves(spec: &DistributionSpec, channel: &anabranch_model::ChannelId) -> bool {
    spec.origins.iter().any(|named| matches!(&named.origin, Origin::Live { channel: one } if one == channel))
}
