//! The snapshot as the river reads it: compiled once per version.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_http_cache::TtlBounds;
use anabranch_model::{Behavior, CorsPolicy, DistributionId, DistributionSpec, KeySpec, Snapshot, Transform};
use anabranch_signing::{KeySet, PublicKey};
use http::HeaderValue;

use crate::config::Config;
use crate::pattern::Pattern;
use crate::record::Counters;
use crate::upstream::Upstream;

/// Numbers key sets over the life of the process, so that what one has verified is never taken for another's.
static NEXT_GATE: AtomicU64 = AtomicU64::new(1);

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Table {
    hosts: HashMap<Box<str>, Arc<Site>>,
    ids: HashMap<Box<str>, Arc<Site>>,
    default: Option<Arc<Site>>,
    gates: Vec<Arc<Gate>>,
}

/// A distribution.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: DistributionId,
    pub(crate) enabled: bool,
    rules: Vec<Rule>,
    default: Rule,
    pub(crate) counters: Arc<Counters>,
}

/// A behavior.
#[derive(Debug)]
pub(crate) struct Rule {
    pattern: Pattern,
    /// Absent if its origin is none that can be asked.
    pub(crate) upstream: Option<Arc<Upstream>>,
    /// Present if a signature is needed.
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) bounds: TtlBounds,
    pub(crate) cors: Option<Cors>,
    pub(crate) transform: Transform,
}

/// The keys that a behavior trusts.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Differs whenever the keys do.
    pub(crate) serial: u64,
    pub(crate) keys: KeySet,
    specs: Vec<KeySpec>,
}

/// A CORS policy, ready to be written.
#[derive(Debug)]
pub(crate) struct Cors {
    /// `None` for any.
    pub(crate) origins: Option<Vec<String>>,
    /// Lines of a preflight's answer besides the origin's.
    pub(crate) preflight_lines: Box<[u8]>,
    /// `*`: the asked headers are echoed when credentials forbid the star.
    pub(crate) any_header: bool,
    pub(crate) credentials: bool,
}

impl Table {
    /// Compiles `snapshot`. Counters, and key sets that stay the same, are taken over from `previous`.
    pub(crate) fn compile(snapshot: &Snapshot, config: &Config, previous: &Self) -> Self {
        let mut table = Self::default();
        for spec in &snapshot.distributions {
            let counters = previous.ids.get(spec.id.as_str()).map(|site| site.counters.clone()).unwrap_or_default();
            let mut gate = |behavior: &Behavior| table_gate(snapshot, behavior, previous, &mut table.gates);
            let site = Arc::new(site(spec, config, counters, &mut gate));
            for host in std::iter::once(&spec.domain_name).chain(&spec.aliases) {
                table.hosts.insert(host.to_ascii_lowercase().into(), site.clone());
            }
            table.ids.insert(spec.id.as_str().into(), site);
        }
        table.default = config.default_distribution.as_ref().and_then(|id| table.ids.get(id.as_str())).cloned();
        table
    }

    /// The distribution that claims `host`, given in lower case without a port.
    pub(crate) fn by_host(&self, host: &str) -> Option<&Site> {
        self.hosts.get(host).map(Arc::as_ref)
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
    pub(crate) fn counters(&self) -> impl Iterator<Item = (DistributionId, Arc<Counters>)> {
        self.ids.values().map(|site| (site.id.clone(), site.counters.clone()))
    }
}

impl Site {
    /// The behavior of a path: the first whose pattern matches, else the default.
    pub(crate) fn rule(&self, path: &str) -> &Rule {
        self.rules.iter().find(|rule| rule.pattern.matches(path)).unwrap_or(&self.default)
    }
}

fn site(
    spec: &DistributionSpec,
    config: &Config,
    counters: Arc<Counters>,
    gate: &mut impl FnMut(&Behavior) -> Option<Arc<Gate>>,
) -> Site {
    let mut rule = |behavior: &Behavior| Rule {
        pattern: Pattern::compile(&behavior.path_pattern),
        upstream: upstream(spec, behavior, config).map(Arc::new),
        gate: gate(behavior),
        bounds: TtlBounds {
            min: behavior.cache.min_ttl_seconds,
            default: behavior.cache.default_ttl_seconds,
            max: behavior.cache.max_ttl_seconds,
        },
        cors: behavior.response_headers.cors.as_ref().map(cors),
        transform: behavior.transform,
    };
    let default = rule(&spec.default_behavior);
    let rules = spec.behaviors.iter().map(rule).collect();
    Site { id: spec.id.clone(), enabled: spec.enabled, rules, default, counters }
}

fn upstream(spec: &DistributionSpec, behavior: &Behavior, config: &Config) -> Option<Upstream> {
    let origin = spec.origins.iter().find(|origin| origin.id == behavior.origin);
    match Upstream::compile(origin?, spec, config) {
        Ok(upstream) => Some(upstream),
        Err(error) => {
            tracing::error!(distribution.id = %spec.id, origin.id = %behavior.origin, %error, "an origin cannot be used");
            None
        }
    }
}

fn table_gate(
    snapshot: &Snapshot,
    behavior: &Behavior,
    previous: &Table,
    gates: &mut Vec<Arc<Gate>>,
) -> Option<Arc<Gate>> {
    if behavior.trusted_key_groups.is_empty() {
        return None;
    }
    // A group that the snapshot does not have opens nothing.
    let groups = snapshot.key_groups.iter().filter(|group| behavior.trusted_key_groups.contains(&group.id));
    let specs: Vec<KeySpec> = groups.flat_map(|group| group.keys.iter().cloned()).collect();
    if let Some(same) = gates.iter().chain(&previous.gates).find(|gate| gate.specs == specs).cloned() {
        if !gates.iter().any(|gate| Arc::ptr_eq(gate, &same)) {
            gates.push(same.clone());
        }
        return Some(same);
    }
    let mut keys = KeySet::default();
    for spec in &specs {
        match PublicKey::from_pem(&spec.public_key_pem) {
            Ok(key) => keys.insert(spec.id.as_str(), Arc::new(key)),
            Err(error) => tracing::error!(key.id = %spec.id, %error, "a public key cannot be read"),
        }
    }
    let gate = Arc::new(Gate { serial: NEXT_GATE.fetch_add(1, Ordering::Relaxed), keys, specs });
    gates.push(gate.clone());
    Some(gate)
}

fn cors(policy: &CorsPolicy) -> Cors {
    let any = |list: &[String]| list.iter().any(|item| item == "*");
    // Values come from operators: one that is no header value must not end a line early.
    let joined = |list: &[String]| {
        let valid = list.iter().filter(|item| HeaderValue::from_str(item).is_ok());
        valid.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut lines = String::new();
    let all_methods = ["GET", "HEAD", "OPTIONS"].map(str::to_owned);
    let methods = if any(&policy.allow_methods) { &all_methods[..] } else { &policy.allow_methods };
    lines.push_str(&format!("access-control-allow-methods: {}\r\n", joined(methods)));
    let any_header = any(&policy.allow_headers);
    if any_header && !policy.allow_credentials {
        lines.push_str("access-control-allow-headers: *\r\n");
    } else if !any_header && !policy.allow_headers.is_empty() {
        lines.push_str(&format!("access-control-allow-headers: {}\r\n", joined(&policy.allow_headers)));
    }
    lines.push_str("access-control-max-age: 600\r\n");
    Cors {
        origins: if any(&policy.allow_origins) { None } else { Some(policy.allow_origins.clone()) },
        preflight_lines: lines.into_bytes().into(),
        any_header,
        credentials: policy.allow_credentials,
    }
}
