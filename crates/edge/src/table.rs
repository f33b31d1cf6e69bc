//! The snapshot as the river reads it: compiled once per version.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use anabranch_model::{
    Behavior, BreakoutId, BreakoutSpec, ChannelId, DistributionId, DistributionSpec, ErrorResponse, Origin, Snapshot,
};
use quick_cache::DefaultHashBuilder;

use crate::audience::{Audience, Barred, Claims};
use crate::closings::Closings;
use crate::config::Config;
use crate::counters::Counters;
use crate::invalidation::Orders;
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
    /// By breakout.
    audiences: HashMap<BreakoutId, Arc<Audience>>,
    labels: Arc<Labels>,
}

/// A distribution.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: DistributionId,
    pub(crate) enabled: bool,
    pub(crate) closed: Closings,
    /// Path of `/`, with its slash; empty for none.
    pub(crate) root: Box<str>,
    pub(crate) http3: bool,
    /// Ordered behaviors, the default last.
    rules: Vec<Arc<Rule>>,
    pub(crate) orders: Orders,
    /// Counters of what belongs to no breakout, one for each rule.
    cells: Row,
    /// By path segment.
    breakouts: HashMap<Box<str>, Stage, DefaultHashBuilder>,
}

/// One cell for each rule.
type Row = Arc<[Cell]>;

/// A breakout of a distribution.
#[derive(Debug)]
struct Stage {
    cells: Row,
    audience: Arc<Audience>,
}

/// Counters of one behavior, of one breakout or of everything else.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) distribution: DistributionId,
    behavior: Arc<str>,
    pub(crate) counters: Arc<Counters>,
}

impl Cell {
    /// Of these counters.
    #[cfg(test)]
    pub(crate) fn of(distribution: DistributionId, counters: Arc<Counters>) -> Self {
        Self { distribution, behavior: counters.behavior.clone(), counters }
    }
}

impl Table {
    /// Compiles `snapshot`. Counters, and key sets that stay the same, are taken over from `previous`.
    pub(crate) fn compile(snapshot: &Snapshot, config: &Config, previous: &Self) -> Self {
        let mut table = Self { labels: previous.labels.clone(), ..Self::default() };
        let mut channels: HashMap<&ChannelId, Vec<&BreakoutSpec>> = HashMap::new();
        for breakout in &snapshot.breakouts {
            let audience = Audience::compile(breakout, previous.audiences.get(&breakout.id));
            table.audiences.insert(breakout.id.clone(), audience);
            channels.entry(&breakout.channel).or_default().push(breakout);
        }
        for spec in &snapshot.distributions {
            let before = previous.ids.get(spec.id.as_str()).map(Arc::as_ref);
            let mut compiling = Compiling { snapshot, config, spec, known: &previous.gates, gates: &mut table.gates };
            let mut site = Site::compile(&mut compiling, before, &table.labels);
            for breakout in live_channels(spec).filter_map(|channel| channels.get(channel)).flatten() {
                site.stage(breakout, table.audiences[&breakout.id].clone(), before);
            }
            let site = Arc::new(site);
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
        self.ids.values().flat_map(|site| site.rows()).flat_map(|row| row.iter())
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
        let mut site = Self {
            id: spec.id.clone(),
            enabled: spec.enabled,
            closed: Closings::compile(&compiling.snapshot.closed, &spec.id),
            root: root_of(&spec.default_root_object),
            rules,
            http3: spec.http3,
            orders: Orders::compile(&spec.invalidations),
            cells: Arc::default(),
            breakouts: HashMap::default(),
        };
        let cell = |behavior: &&Behavior| {
            let behavior: Arc<str> = behavior.path_pattern.as_str().into();
            let counters = Arc::new(Counters::new(series.clone(), behavior.clone(), None));
            Cell { distribution: spec.id.clone(), behavior, counters }
        };
        site.cells = behaviors.iter().map(cell).collect();
        site.cells = site.row(None, before);
        site
    }

    /// Takes a breakout in.
    fn stage(&mut self, breakout: &BreakoutSpec, audience: Arc<Audience>, before: Option<&Self>) {
        let stage = Stage { cells: self.row(Some(&breakout.id), before), audience };
        stage.cells.iter().for_each(|cell| cell.counters.of_session(breakout.session));
        self.breakouts.insert(breakout.id.as_str().into(), stage);
    }

    /// The counters of a breakout, or of everything else: those of before, as far as the behaviors are.
    fn row(&self, breakout: Option<&BreakoutId>, before: Option<&Self>) -> Row {
        let known = before.and_then(|site| match breakout {
            Some(breakout) => site.breakouts.get(breakout.as_str()).map(|stage| &stage.cells),
            None => Some(&site.cells),
        });
        let behaviors = || self.cells.iter().map(|cell| &cell.behavior);
        if let Some(known) = known.filter(|known| behaviors().eq(known.iter().map(|cell| &cell.behavior))) {
            return known.clone();
        }
        let cell = |own: &Cell| {
            let taken = known.and_then(|known| known.iter().find(|cell| cell.behavior == own.behavior));
            let new = || {
                let series = own.counters.series.clone();
                let counters = Arc::new(Counters::new(series, own.behavior.clone(), breakout.cloned()));
                Cell { counters, ..own.clone() }
            };
            taken.cloned().unwrap_or_else(new)
        };
        self.cells.iter().map(cell).collect()
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.breakouts.values().map(|stage| &stage.cells).chain([&self.cells])
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
        let row = self.stage_of(path).map_or(&self.cells, |stage| &stage.cells);
        &row[rule.index].counters
    }

    fn stage_of(&self, path: &str) -> Option<&Stage> {
        if self.breakouts.is_empty() { None } else { self.breakouts.get(&*first_segment(path)) }
    }

    /// The audience that the path is for, if it belongs to a breakout; who makes these claims, or needs none, has to be of that audience now.
    ///
    /// # Errors
    /// It is for others.
    pub(crate) fn audience(
        &self,
        rule: &Rule,
        path: &str,
        claims: Option<&Claims>,
    ) -> Result<Option<&Audience>, Barred> {
        if let Some(stage) = self.stage_of(path) {
            return stage.audience.admits(claims).map(|()| Some(&*stage.audience));
        }
        // Of breakouts that are not known any more something may still be in the cache.
        let only = claims.and_then(|claims| claims.breakout.as_deref()).filter(|_| rule.live);
        if only.is_some_and(|only| only != first_segment(path)) { Err(Barred::Breakout) } else { Ok(None) }
    }
}

/// Path of the root object, with its slash; empty for none.
fn root_of(object: &str) -> Box<str> {
    let object = object.trim_start_matches('/');
    if object.is_empty() { "".into() } else { format!("/{object}").into() }
}

/// What a path begins with, as an origin may read it: without escapes and doubled slashes.
fn first_segment(path: &str) -> Cow<'_, str> {
    let path = path.trim_start_matches('/');
    let segment = path.split('/').next().unwrap_or("");
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        // The front has refused what is no escape.
        let mut digit = || char::from(bytes.next().unwrap_or(b'0')).to_digit(16).unwrap_or(0);
        decoded.push(if byte == b'%' { u8::try_from(digit() * 16 + digit()).unwrap_or(0) } else { byte });
    }
    let decoded = String::from_utf8_lossy(&decoded);
    Cow::Owned(decoded.trim_start_matches('/').split('/').next().unwrap_or("").to_owned())
}

/// The channels among the distribution's origins.
fn live_channels(spec: &DistributionSpec) -> impl Iterator<Item = &ChannelId> {
    spec.origins.iter().filter_map(|named| match &named.origin {
        Origin::Live { channel } => Some(channel),
        _ => None,
    })
}
