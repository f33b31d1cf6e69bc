//! What a host name serves, as edges are told: origins, behaviors, policies, invalidations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ChannelId, DistributionId, KeyGroupId};

/// What a host name serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistributionSpec {
    /// Identifier.
    pub id: DistributionId,
    /// Its own host name, lower case, without a port.
    pub domain_name: String,
    /// Other host names or addresses that it answers to, lower case, without a port; `*.` may begin one.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// A disabled distribution answers 403 to everything.
    pub enabled: bool,
    /// Object of the path `/`, without a leading slash; empty for none.
    #[serde(default)]
    pub default_root_object: String,
    /// Which edge locations carry it.
    #[serde(default)]
    pub price_class: PriceClass,
    /// Whether viewers are offered HTTP/3.
    #[serde(default)]
    pub http3: bool,
    /// Where bytes live, by the id that behaviors name.
    pub origins: Vec<OriginSpec>,
    /// Pairs of origins, by an id that behaviors name like an origin's.
    #[serde(default)]
    pub origin_groups: Vec<OriginGroup>,
    /// Ordered behaviors; the first whose pattern matches wins.
    #[serde(default)]
    pub behaviors: Vec<Behavior>,
    /// Behavior of paths that no pattern matches; its pattern is `*`.
    pub default_behavior: Behavior,
    /// What is done about error statuses of origins.
    #[serde(default)]
    pub error_responses: Vec<ErrorResponse>,
    /// With [`Transform::SignedPlaylist`]: other hosts that a viewer's signature is for, each `host` or `host:port` as it stands in URLs.
    /// Absolute URIs of playlists that lead there carry it, as those of the distribution itself do; no others. For the playlists of
    /// clusters, which name every region.
    #[serde(default)]
    pub signed_hosts: Vec<String>,
    /// What the operator has ordered out of caches.
    #[serde(default)]
    pub invalidations: InvalidationLog,
}

/// Edge locations by price, in CloudFront's words. Ordered: a greater class has more locations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PriceClass {
    /// The cheapest locations.
    #[serde(rename = "PriceClass_100")]
    Class100,
    /// Those and the next dearer ones.
    #[serde(rename = "PriceClass_200")]
    Class200,
    /// All.
    #[default]
    #[serde(rename = "PriceClass_All")]
    All,
}

/// Longest time in seconds that the origin room holds a playlist request which waits for a segment; edges wait for it that much
/// longer. Three target durations of the longest segments that are packaged.
pub const HOLD_MAX_SECONDS: u64 = 90;

/// A named origin of a distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginSpec {
    /// Name that behaviors use.
    pub id: String,
    /// What it is.
    pub origin: Origin,
    /// Name of the shield that stands before it: edges that know an address of that name ask there instead.
    #[serde(default)]
    pub shield: Option<String>,
}

/// Where bytes live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Origin {
    /// The origin room of this house, at the address that the edge's own configuration gives.
    Live {
        /// Channel whose breakouts it serves; the edge asks for `/live/<channel><viewer path>`.
        channel: ChannelId,
    },
    /// A bucket of object storage that only edges read.
    Bucket(BucketOrigin),
    /// An HTTP server.
    Http(HttpOrigin),
}

/// A bucket, read with the edge's own right (D2, D3): viewers never reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketOrigin {
    /// Name of the bucket. The edge's configuration says where buckets are: the house's own store by default.
    pub bucket: String,
    /// Put before the viewer's path; empty or beginning with `/` and not ending with one.
    #[serde(default)]
    pub path: String,
    /// Headers that the edge sends, overriding the viewer's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How it is reached.
    #[serde(default)]
    pub timeouts: OriginTimeouts,
}

/// An HTTP server (V32).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpOrigin {
    /// Host name or address, without a port; an IPv6 address stands in brackets.
    pub host: String,
    /// Port for HTTP.
    #[serde(default = "http_port")]
    pub http_port: u16,
    /// Port for HTTPS.
    #[serde(default = "https_port")]
    pub https_port: u16,
    /// Which of the two is spoken.
    #[serde(default)]
    pub protocol: OriginProtocol,
    /// Put before the viewer's path; empty or beginning with `/` and not ending with one.
    #[serde(default)]
    pub path: String,
    /// Headers that the edge sends, overriding the viewer's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How it is reached.
    #[serde(default)]
    pub timeouts: OriginTimeouts,
}

/// What is spoken with an HTTP origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginProtocol {
    /// HTTP.
    #[default]
    HttpOnly,
    /// HTTPS; the certificate must be valid for the host.
    HttpsOnly,
    /// What the viewer speaks.
    MatchViewer,
}

/// Patience with an origin; CloudFront's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OriginTimeouts {
    /// Time for one attempt to connect, in seconds, 1 to 10.
    pub connect_seconds: u64,
    /// Attempts to connect, 1 to 3.
    pub connect_attempts: u32,
    /// Time for the answer to begin and between two of its packets, in seconds, 1 to 180.
    pub response_seconds: u64,
    /// Time that an idle connection is kept, in seconds, 1 to 180.
    pub keepalive_seconds: u64,
}

impl Default for OriginTimeouts {
    fn default() -> Self {
        Self { connect_seconds: 10, connect_attempts: 3, response_seconds: 30, keepalive_seconds: 5 }
    }
}

/// A failover pair. Only GET, HEAD and OPTIONS fail over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginGroup {
    /// Name that behaviors use; differs from every origin's.
    pub id: String,
    /// Asked first.
    pub primary: String,
    /// Asked when the first cannot be reached, is too slow or answers one of `failover_statuses`.
    pub secondary: String,
    /// Statuses that count as failure.
    pub failover_statuses: Vec<u16>,
}

/// Rule for a path pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behavior {
    /// `*` matches any run, `?` one character; case-sensitive; compared with the path without the query.
    pub path_pattern: String,
    /// Id of an origin or origin group of the same distribution.
    pub origin: String,
    /// Schemes that viewers may use.
    #[serde(default)]
    pub viewer_protocol: ViewerProtocol,
    /// Methods that are served.
    #[serde(default)]
    pub allowed_methods: AllowedMethods,
    /// Whether answers to OPTIONS are cached.
    #[serde(default)]
    pub cache_options: bool,
    /// Key groups whose signatures open it; empty means public.
    #[serde(default)]
    pub trusted_key_groups: Vec<KeyGroupId>,
    /// What makes the cache key, and how long objects are kept.
    #[serde(default)]
    pub cache: CachePolicy,
    /// What of the viewer's request goes to the origin besides the cache key.
    #[serde(default)]
    pub origin_request: OriginRequestPolicy,
    /// Response headers that the edge sets.
    #[serde(default)]
    pub response_headers: ResponseHeadersPolicy,
    /// Whether the edge compresses what the origin sent uncompressed; needs an encoding in the cache policy.
    #[serde(default)]
    pub compress: bool,
    /// What is done to bodies on their way to the viewer.
    #[serde(default)]
    pub transform: Transform,
    /// With [`Transform::SignedPlaylist`]: what makes the names of the copies of a signature, put after or before those of its
    /// parameters, as in `Policy-PREFIX`. What a playlist names gets the parameters that the copies hold, instead of those that the
    /// playlist was asked with. Empty for no copies.
    #[serde(default = "copy_mark")]
    pub copy_mark: String,
}

/// What makes the names of the copies of a signature's parameters, where nothing else is said (L11).
pub const COPY_MARK: &str = "-PREFIX";

/// Schemes that viewers may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewerProtocol {
    /// HTTP and HTTPS.
    #[default]
    AllowAll,
    /// HTTP is answered 301 to the same URL by HTTPS.
    RedirectToHttps,
    /// HTTP is answered 403.
    HttpsOnly,
}

/// Methods that are served; OPTIONS as a CORS preflight is answered by the edge where a policy says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowedMethods {
    /// GET and HEAD.
    #[default]
    GetHead,
    /// GET, HEAD and OPTIONS.
    GetHeadOptions,
    /// GET, HEAD, OPTIONS, PUT, POST, PATCH and DELETE.
    All,
}

/// Which of several named values count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// These. Cookie and query names are case-sensitive, header names are not; `*` may end a cookie's name.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
}

/// What makes the cache key, and how long objects are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CachePolicy {
    /// Shortest time an object is kept, in seconds, whatever the origin says.
    pub min_ttl_seconds: u64,
    /// Time an object is kept when the origin says nothing, in seconds.
    pub default_ttl_seconds: u64,
    /// Longest time an object is kept, in seconds.
    pub max_ttl_seconds: u64,
    /// Whether a tenth of the time since `Last-Modified` is the lifetime when the origin says nothing (RFC 9111 §4.2.2), before
    /// `default_ttl_seconds`.
    pub heuristic: bool,
    /// Query parameters in the key; they also go to the origin. The reserved parameters of signatures never count.
    pub query: Selection,
    /// Request headers in the key, lower case; they also go to the origin.
    pub headers: Vec<String>,
    /// Cookies in the key; they also go to the origin. The cookies of signatures never count.
    pub cookies: Selection,
    /// Encodings that viewers may get; the accepted one is part of the key and is asked of the origin.
    pub encodings: Encodings,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            min_ttl_seconds: 0,
            default_ttl_seconds: 0,
            max_ttl_seconds: 31_536_000,
            heuristic: false,
            query: Selection::None,
            headers: Vec::new(),
            cookies: Selection::None,
            encodings: Encodings::default(),
        }
    }
}

/// Content codings that a behavior may deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Encodings {
    /// gzip.
    pub gzip: bool,
    /// Brotli.
    pub brotli: bool,
    /// Zstandard.
    pub zstd: bool,
}

/// What of the viewer's request goes to the origin besides the cache key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OriginRequestPolicy {
    /// Query parameters.
    pub query: Selection,
    /// Headers, lower case. `Host` goes only if it is named here or everything goes; otherwise the origin's own name is sent.
    pub headers: Selection,
    /// Cookies.
    pub cookies: Selection,
}

/// Response headers that the edge sets (V60, V61).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseHeadersPolicy {
    /// CORS.
    pub cors: Option<CorsPolicy>,
    /// Security and custom headers.
    pub set: Vec<HeaderRule>,
    /// Headers of the origin that viewers do not get, lower case.
    pub remove: Vec<String>,
    /// Share of answers with a `Server-Timing` of the edge's own, in percent; absent or 0 for none.
    pub server_timing_percent: Option<f64>,
}

/// A header that the edge sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRule {
    /// Name, lower case.
    pub name: String,
    /// Value.
    pub value: String,
    /// Whether it replaces the origin's; otherwise it is set only where the origin sends none.
    #[serde(default = "yes", rename = "override")]
    pub overrides: bool,
}

/// CORS answer of a behavior (V60, V61).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsPolicy {
    /// `*`, or the origins that are echoed when they ask; `*` may stand for a label, as in `https://*.example.com`. Both with
    /// `allow_credentials`: the named get credentials, all others `*` without.
    pub allow_origins: Vec<String>,
    /// `*`, or header names.
    pub allow_headers: Vec<String>,
    /// `ALL`, `*`, or methods.
    pub allow_methods: Vec<String>,
    /// Whether `Access-Control-Allow-Credentials: true` is sent to origins that are allowed by name, or by a `*` that stands alone:
    /// they are then echoed.
    pub allow_credentials: bool,
    /// Headers that scripts may read; empty sends none.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// `Access-Control-Max-Age`, in seconds.
    #[serde(default = "cors_max_age")]
    pub max_age_seconds: u64,
    /// Whether the origin's CORS headers are replaced; otherwise they win where it sends any.
    #[serde(default = "yes", rename = "override")]
    pub overrides: bool,
}

/// A change of the body between cache and viewer; cached objects stay as the origin sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// Bytes as they are.
    #[default]
    None,
    /// HLS playlist: each relative URI gets the signature parameters that the viewer's own URL carried, or copies of them
    /// ([`Behavior::copy_mark`]).
    SignedPlaylist,
}

/// What is done about an error status of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// Status of the origin, or of the edge in its place (502, 503, 504), that it is about.
    pub status: u16,
    /// Least time that the error is kept, in seconds.
    pub min_ttl_seconds: u64,
    /// What viewers get instead.
    #[serde(default)]
    pub page: Option<ErrorPage>,
}

/// A page in place of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPage {
    /// Status that viewers see.
    pub status: u16,
    /// Path of the page in the same distribution, beginning with `/`.
    pub path: String,
}

/// Orders to forget, newest last. Objects carry the sequence that was in force when their fetch began: an order with a greater one
/// that matches makes them unusable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidationLog {
    /// Every object with a sequence below this is unusable: orders up to it are not listed any more.
    #[serde(default)]
    pub floor: u64,
    /// Orders with a sequence above `floor`, ascending.
    #[serde(default)]
    pub entries: Vec<InvalidationSpec>,
}

impl InvalidationLog {
    /// The sequence that fetches beginning now carry.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.entries.last().map_or(self.floor, |entry| entry.sequence.max(self.floor))
    }
}

/// One order to forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidationSpec {
    /// Goes up with each order of the distribution.
    pub sequence: u64,
    /// Paths, each beginning with `/`; a `*` at the end is any run. Without a `?` it covers every query of the path.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Tags of `Cache-Tag` or `Surrogate-Key`, compared exactly.
    #[serde(default)]
    pub tags: Vec<String>,
}

fn yes() -> bool {
    true
}

fn http_port() -> u16 {
    80
}

fn https_port() -> u16 {
    443
}

fn copy_mark() -> String {
    COPY_MARK.to_owned()
}

fn cors_max_age() -> u64 {
    600
}
