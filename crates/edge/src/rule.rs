//! A behavior, compiled: who may ask what, by which key, of which origin, for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_http_cache::{Policy, RequestPolicy, TtlBounds};
use anabranch_model::{
    AllowedMethods, Behavior, DistributionSpec, Encodings, ErrorResponse, KeySpec, Origin, Selection, Snapshot,
    Transform, ViewerProtocol,
};
use anabranch_signing::{KeySet, PublicKey};

use crate::cmcd::PARAMETER;
use crate::config::Config;
use crate::copies::Copies;
use crate::headers::ResponseHeaders;
use crate::object_head::{ErrorTtl, ObjectHead};
use crate::pattern::Pattern;
use crate::request::Method;
use crate::select::Select;
use crate::upstream::Upstream;

/// Parameters of a playlist request that the origin room answers by (rfc8216bis §6.2.5). Its playlists invite players to send
/// them, so they count whatever the cache policy says.
const DELIVERY_DIRECTIVES: [&str; 3] = ["_HLS_msn", "_HLS_part", "_HLS_skip"];

/// Time after its lifetime in which an object is served when its origin fails, as CloudFront does.
const STALE_ON_ERROR_SECONDS: u64 = 86_400;

/// How the names of playlists end.
const PLAYLIST_END: &str = ".m3u8";

/// Numbers key sets over the life of the process, so that what one has verified is never taken for another's.
static NEXT_GATE: AtomicU64 = AtomicU64::new(1);

/// A behavior.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Whether a policy names what players tell of themselves, so that keys and origins see it.
    pub(crate) names_cmcd: bool,
    /// Place among the distribution's behaviors.
    pub(crate) index: usize,
    pub(crate) pattern: Pattern,
    /// Whether its origin is live: then the first segment of every path is a breakout.
    pub(crate) live: bool,
    /// Absent if its origin is none that can be asked.
    pub(crate) route: Option<Arc<Route>>,
    /// Present if a signature is needed.
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) viewer_protocol: ViewerProtocol,
    pub(crate) methods: AllowedMethods,
    pub(crate) cache_options: bool,
    pub(crate) keying: Keying,
    pub(crate) telling: Telling,
    pub(crate) policy: Policy,
    pub(crate) headers: ResponseHeaders,
    pub(crate) compress: bool,
    pub(crate) transform: Transform,
    /// Hosts besides the one asked that a viewer's signature is handed on to.
    pub(crate) signed_hosts: Arc<[String]>,
    /// Present if playlists may come with copies of a signature for what they name.
    pub(crate) copies: Option<Copies>,
    /// The distribution's, about error statuses.
    errors: Arc<[ErrorResponse]>,
}

/// Whom a behavior asks.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) primary: Arc<Upstream>,
    pub(crate) secondary: Option<(Arc<Upstream>, Box<[u16]>)>,
}

/// What makes the cache key besides distribution and path.
#[derive(Debug)]
pub(crate) struct Keying {
    pub(crate) query: Select,
    /// Lower case.
    pub(crate) headers: Box<[Box<str>]>,
    pub(crate) cookies: Select,
    pub(crate) encodings: Encodings,
    /// Nothing does.
    pub(crate) path_only: bool,
}

/// What the origin is told of the viewer's request: the key's parts and those of the origin request policy.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) query: Select,
    pub(crate) headers: Select,
    pub(crate) cookies: Select,
}

/// The keys that a behavior trusts.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Differs whenever the keys do.
    pub(crate) serial: u64,
    pub(crate) keys: KeySet,
    specs: Vec<KeySpec>,
}

impl ErrorTtl for Rule {
    fn min_ttl_seconds(&self, status: u16) -> Option<u64> {
        self.error(status).map(|error| error.min_ttl_seconds)
    }
}

impl Rule {
    /// Whether requests of this method are served at all.
    pub(crate) fn serves(&self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => true,
            Method::Options => self.methods != AllowedMethods::GetHead,
            Method::Post | Method::Put | Method::Patch | Method::Delete => self.methods == AllowedMethods::All,
            Method::Other => false,
        }
    }

    /// The methods served, for `Allow`.
    pub(crate) fn allow(&self) -> &'static str {
        match self.methods {
            AllowedMethods::GetHead if self.headers.cors.is_some() => "GET, HEAD, OPTIONS",
            AllowedMethods::GetHead => "GET, HEAD",
            AllowedMethods::GetHeadOptions => "GET, HEAD, OPTIONS",
            AllowedMethods::All => "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE",
        }
    }

    /// What is done about an error status.
    pub(crate) fn error(&self, status: u16) -> Option<&ErrorResponse> {
        self.errors.iter().find(|error| error.status == status)
    }

    /// Whether answers to this method may be cached.
    pub(crate) fn caches(&self, method: Method) -> bool {
        let possible = self.policy.bounds.max > 0 || self.policy.bounds.min > 0;
        match method {
            Method::Get | Method::Head => possible,
            Method::Options => possible && self.cache_options,
            Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Other => false,
        }
    }

    /// Whether an object is a playlist that is rewritten for each viewer: by its type, or by its name where nobody has told its type.
    pub(crate) fn rewrites(&self, facts: &ObjectHead, path: &str) -> bool {
        let named = || path.ends_with(PLAYLIST_END) && facts.is_untyped();
        self.transform == Transform::SignedPlaylist && (facts.playlist || named())
    }
}

/// What a behavior is compiled from.
#[derive(Debug)]
pub(crate) struct Compiling<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) config: &'a Config,
    pub(crate) spec: &'a DistributionSpec,
    /// Key sets of the table before, and of this one so far.
    pub(crate) known: &'a [Arc<Gate>],
    pub(crate) gates: &'a mut Vec<Arc<Gate>>,
}

impl Compiling<'_> {
    pub(crate) fn rule(&mut self, index: usize, behavior: &Behavior, errors: Arc<[ErrorResponse]>) -> Rule {
        let cache = &behavior.cache;
        let live = self.is_live(&behavior.origin);
        let mut query = Select::compile(&cache.query);
        if live {
            query = query.join(&Select::Only(DELIVERY_DIRECTIVES.map(Box::from).into()));
        }
        let keying = Keying {
            path_only: query.is_none()
                && cache.headers.is_empty()
                && cache.cookies == Selection::None
                && cache.encodings == Encodings::default(),
            query,
            headers: cache.headers.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
            cookies: Select::compile(&cache.cookies),
            encodings: cache.encodings,
        };
        let told = &behavior.origin_request;
        let telling = Telling {
            query: keying.query.join(&Select::compile(&told.query)),
            headers: Select::Only(keying.headers.clone()).join(&Select::compile_lower(&told.headers)),
            cookies: keying.cookies.join(&Select::compile(&told.cookies)),
        };
        let names =
            |select: &Selection| matches!(select, Selection::Only(names) if names.iter().any(|name| name == PARAMETER));
        Rule {
            index,
            names_cmcd: names(&cache.query) || names(&told.query),
            pattern: Pattern::compile(&behavior.path_pattern),
            live,
            route: self.route(&behavior.origin).map(Arc::new),
            gate: self.gate(behavior),
            viewer_protocol: behavior.viewer_protocol,
            methods: behavior.allowed_methods,
            cache_options: behavior.cache_options,
            keying,
            telling,
            policy: Policy {
                bounds: TtlBounds {
                    min: cache.min_ttl_seconds,
                    default: cache.default_ttl_seconds,
                    max: cache.max_ttl_seconds,
                },
                heuristic: cache.heuristic,
                // A player is better served by an error than by a live playlist that stands still.
                stale_on_error: if live { 0 } else { STALE_ON_ERROR_SECONDS },
                request: RequestPolicy::Ignore,
            },
            headers: ResponseHeaders::compile(&behavior.response_headers),
            compress: behavior.compress,
            transform: behavior.transform,
            signed_hosts: self.spec.signed_hosts.as_slice().into(),
            copies: Copies::compile(behavior),
            errors,
        }
    }

    /// Whether an origin, or one of a group, is live.
    fn is_live(&self, id: &str) -> bool {
        let group = self.spec.origin_groups.iter().find(|group| group.id == id);
        let asked = |named: &str| named == id || group.is_some_and(|g| g.primary == named || g.secondary == named);
        self.spec.origins.iter().any(|named| matches!(named.origin, Origin::Live { .. }) && asked(&named.id))
    }

    fn route(&self, id: &str) -> Option<Route> {
        if let Some(group) = self.spec.origin_groups.iter().find(|group| group.id == id) {
            let secondary = self.upstream(&group.secondary);
            return Some(Route {
                primary: self.upstream(&group.primary)?,
                secondary: secondary.map(|upstream| (upstream, group.failover_statuses.as_slice().into())),
            });
        }
        Some(Route { primary: self.upstream(id)?, secondary: None })
    }

    fn upstream(&self, id: &str) -> Option<Arc<Upstream>> {
        let Some(named) = self.spec.origins.iter().find(|named| named.id == id) else {
            tracing::error!(distribution.id = %self.spec.id, origin.id = id, "a behavior names an origin that is none");
            return None;
        };
        match Upstream::compile(named, self.spec, self.config) {
            Ok(upstream) => Some(Arc::new(upstream)),
            Err(error) => {
                tracing::error!(distribution.id = %self.spec.id, origin.id = id, %error, "an origin cannot be used");
                None
            }
        }
    }

    fn gate(&mut self, behavior: &Behavior) -> Option<Arc<Gate>> {
        if behavior.trusted_key_groups.is_empty() {
            return None;
        }
        // A group that the snapshot does not have opens nothing.
        let groups = self.snapshot.key_groups.iter().filter(|group| behavior.trusted_key_groups.contains(&group.id));
        let specs: Vec<KeySpec> = groups.flat_map(|group| group.keys.iter().cloned()).collect();
        if let Some(same) = self.gates.iter().chain(self.known).find(|gate| gate.specs == specs).cloned() {
            if !self.gates.iter().any(|gate| Arc::ptr_eq(gate, &same)) {
                self.gates.push(same.clone());
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
        self.gates.push(gate.clone());
        Some(gate)
    }
}
