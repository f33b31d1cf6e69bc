//! Node configuration: file, then environment, then flags; read once, checked whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_control::{Prices, SettingsTree};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

mod addresses;
mod auth;
mod demand;
mod edge;
mod embed;
mod events;
mod node;
mod presets;
mod remote;
mod s3;
mod secret;
mod shown;
mod store;
mod texts;
mod units;
mod viewers;

pub(crate) use addresses::reachable;
use addresses::{Addresses, everywhere, local};
use auth::Auth;
pub(crate) use demand::{Demand, Watched};
pub(crate) use edge::{Bucket, CertificateFiles, Edge, EdgeLogFormat, ShieldAt};
pub(crate) use embed::Embed;
pub(crate) use events::{Events, PrivateWebhooks};
use node::{Control, Node, Origin, Provider};
use s3::S3;
use secret::Secret;
use store::Store;
pub(crate) use texts::Texts;
use units::duration;
use viewers::Viewers;

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everything: control plane, ingest, packager, origin, edge
    #[default]
    All,
    /// An edge that a control plane elsewhere tells what to serve
    Edge,
    /// A worker that makes assets for a control plane elsewhere
    Worker,
}

/// Flags of `anabranch serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "ANABRANCH_CONFIG")]
    config: Option<PathBuf>,
    /// What this process does [default: all]
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Control plane that an edge of its own belongs to
    #[arg(long, value_name = "URL")]
    control: Option<String>,
    /// Data directory: database, media, keys
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of API and pages [default: 127.0.0.1:9997]
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// Address of the edge, for viewers [default: 0.0.0.0:8888]
    #[arg(long, value_name = "ADDRESS")]
    edge: Option<SocketAddr>,
    /// Address of the RTMP ingest, for encoders [default: 0.0.0.0:1935]
    #[arg(long, value_name = "ADDRESS")]
    rtmp: Option<SocketAddr>,
    /// Folder of media that a worker of its own shares with the control plane's machine
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Address of the Prometheus metrics [default: 127.0.0.1:9998]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

/// Keys of the file, with their environment variables. The one list of what may be configured.
const KEYS: &[(&str, &str)] = &[
    ("data", "ANABRANCH_DATA"),
    ("database", "ANABRANCH_DATABASE"),
    ("drain", "ANABRANCH_DRAIN"),
    ("api.listen", "ANABRANCH_API_LISTEN"),
    ("api.listen", "ANABRANCH_API"),
    ("api.public_url", "ANABRANCH_API_PUBLIC_URL"),
    ("api.token", "ANABRANCH_TOKEN"),
    ("api.viewer_origins", "ANABRANCH_API_VIEWER_ORIGINS"),
    ("auth.password", "ANABRANCH_AUTH_PASSWORD"),
    ("auth.idle", "ANABRANCH_AUTH_IDLE"),
    ("auth.lifetime", "ANABRANCH_AUTH_LIFETIME"),
    ("auth.trusted_proxies", "ANABRANCH_AUTH_TRUSTED_PROXIES"),
    ("auth.audit_days", "ANABRANCH_AUTH_AUDIT_DAYS"),
    ("embed.frame_ancestors", "ANABRANCH_EMBED_FRAME_ANCESTORS"),
    ("metrics.listen", "ANABRANCH_METRICS_LISTEN"),
    ("metrics.listen", "ANABRANCH_METRICS"),
    ("edge.listen", "ANABRANCH_EDGE_LISTEN"),
    ("edge.listen", "ANABRANCH_EDGE"),
    ("edge.public_url", "ANABRANCH_EDGE_PUBLIC_URL"),
    ("edge.tls.listen", "ANABRANCH_EDGE_TLS_LISTEN"),
    ("edge.tls.certificates", "ANABRANCH_EDGE_TLS_CERTIFICATES"),
    ("edge.http3.listen", "ANABRANCH_EDGE_HTTP3_LISTEN"),
    ("edge.tls.public_port", "ANABRANCH_EDGE_TLS_PUBLIC_PORT"),
    ("edge.domain_suffix", "ANABRANCH_EDGE_DOMAIN_SUFFIX"),
    ("edge.memory", "ANABRANCH_EDGE_MEMORY"),
    ("edge.disk.path", "ANABRANCH_EDGE_DISK_PATH"),
    ("edge.disk.limit", "ANABRANCH_EDGE_DISK_LIMIT"),
    ("edge.disk.reserve", "ANABRANCH_EDGE_DISK_RESERVE"),
    ("edge.log.dir", "ANABRANCH_EDGE_LOG_DIR"),
    ("edge.log.format", "ANABRANCH_EDGE_LOG_FORMAT"),
    ("edge.log.rotate", "ANABRANCH_EDGE_LOG_ROTATE"),
    ("edge.log.keep", "ANABRANCH_EDGE_LOG_KEEP"),
    ("edge.workers", "ANABRANCH_EDGE_WORKERS"),
    ("edge.max_connections", "ANABRANCH_EDGE_MAX_CONNECTIONS"),
    ("edge.default_distribution", "ANABRANCH_EDGE_DEFAULT_DISTRIBUTION"),
    ("edge.origin_ca", "ANABRANCH_EDGE_ORIGIN_CA"),
    ("edge.shield_token", "ANABRANCH_EDGE_SHIELD_TOKEN"),
    ("rtmp.listen", "ANABRANCH_RTMP_LISTEN"),
    ("rtmp.listen", "ANABRANCH_RTMP"),
    ("rtmp.public_url", "ANABRANCH_RTMP_PUBLIC_URL"),
    ("rtmp.max_connections", "ANABRANCH_RTMP_MAX_CONNECTIONS"),
    ("store.reserve", "ANABRANCH_STORE_RESERVE"),
    ("store.path", "ANABRANCH_STORE_PATH"),
    ("demand.assets_at_once", "ANABRANCH_DEMAND_ASSETS_AT_ONCE"),
    ("demand.chunk_seconds", "ANABRANCH_DEMAND_CHUNK_SECONDS"),
    ("demand.video_list_bucket", "ANABRANCH_DEMAND_VIDEO_LIST_BUCKET"),
    ("s3.listen", "ANABRANCH_S3_LISTEN"),
    ("s3.domain", "ANABRANCH_S3_DOMAIN"),
    ("log.format", "ANABRANCH_LOG_FORMAT"),
    ("log.filter", "ANABRANCH_LOG_FILTER"),
    ("events.keep_days", "ANABRANCH_EVENTS_KEEP_DAYS"),
    ("events.keep_entries", "ANABRANCH_EVENTS_KEEP_ENTRIES"),
    ("events.private_webhooks", "ANABRANCH_EVENTS_PRIVATE_WEBHOOKS"),
    ("viewers.keep_days", "ANABRANCH_VIEWERS_KEEP_DAYS"),
    // Nodes of their own.
    ("role", "ANABRANCH_ROLE"),
    ("control.url", "ANABRANCH_CONTROL_URL"),
    ("node.name", "ANABRANCH_NODE_NAME"),
    ("node.token", "ANABRANCH_NODE_TOKEN"),
    ("origin.listen", "ANABRANCH_ORIGIN_LISTEN"),
    ("origin.public", "ANABRANCH_ORIGIN_PUBLIC"),
    ("origin.token", "ANABRANCH_ORIGIN_TOKEN"),
    ("edge.origin", "ANABRANCH_EDGE_ORIGIN"),
    ("edge.location", "ANABRANCH_EDGE_LOCATION"),
    ("edge.location_class", "ANABRANCH_EDGE_LOCATION_CLASS"),
    // What wishes are made real with.
    ("provider.sweep", "ANABRANCH_PROVIDER_SWEEP"),
    // What things cost; single prices are keys of the file.
    ("prices.model", "ANABRANCH_PRICES_MODEL"),
    ("prices.currency", "ANABRANCH_PRICES_CURRENCY"),
];

/// Least limit of the edge's files.
const MIN_DISK_BYTES: u64 = 64 << 20;

/// Shortest time between two rounds through rows and provider.
const MIN_SWEEP: Duration = Duration::from_secs(1);

/// Least size at which a file of the access log is full.
const MIN_ROTATE_BYTES: u64 = 64 << 10;

/// Variables that are not keys of the file: the command line's, and those of build and tests.
const OTHER_VARIABLES: &[&str] = &[
    "ANABRANCH_CONFIG",
    "ANABRANCH_SERVER",
    "ANABRANCH_OUTPUT",
    "ANABRANCH_CRASH_AT",
    "ANABRANCH_BIN",
    "ANABRANCH_BLESS",
    "ANABRANCH_CRASH_AT",
    "ANABRANCH_TEST_POSTGRES",
];

/// Refuses variables that look like ours and mean nothing: a misspelt one would be obeyed by nobody.
pub(crate) fn check_variables(names: impl Iterator<Item = String>) -> Result<()> {
    for name in names.filter(|name| name.starts_with("ANABRANCH_")) {
        let known = KEYS.iter().map(|(_, variable)| variable).chain(OTHER_VARIABLES).any(|known| *known == name);
        if !known {
            bail!("unknown environment variable: {name}; anabranch.example.toml names the keys");
        }
    }
    Ok(())
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// The configuration of a node, resolved.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    /// URL of a PostgreSQL database; without it a file in the data directory.
    pub(crate) database: Option<Secret>,
    #[serde(deserialize_with = "duration")]
    pub(crate) drain: Duration,
    pub(crate) api: Api,
    pub(crate) auth: Auth,
    pub(crate) metrics: Metrics,
    pub(crate) edge: Edge,
    pub(crate) embed: Embed,
    pub(crate) rtmp: Rtmp,
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) events: Events,
    pub(crate) viewers: Viewers,
    pub(crate) role: Role,
    pub(crate) control: Control,
    pub(crate) node: Node,
    pub(crate) origin: Origin,
    pub(crate) provider: Provider,
    pub(crate) demand: Demand,
    pub(crate) s3: S3,
    pub(crate) prices: Prices,
    /// What was read and from where, for operators to see; no key.
    #[serde(skip)]
    pub(crate) shown: SettingsTree,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    pub(crate) token: Option<Secret>,
    pub(crate) viewer_origins: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rtmp {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: Option<String>,
    pub(crate) max_connections: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("anabranch-data"),
            database: None,
            drain: Duration::from_secs(10),
            api: Api::default(),
            auth: Auth::default(),
            metrics: Metrics::default(),
            edge: Edge::default(),
            embed: Embed::default(),
            rtmp: Rtmp::default(),
            store: Store::default(),
            log: Log::default(),
            events: Events::default(),
            viewers: Viewers::default(),
            role: Role::default(),
            control: Control::default(),
            node: Node::default(),
            origin: Origin::default(),
            provider: Provider::default(),
            demand: Demand::default(),
            s3: S3::default(),
            prices: Prices::default(),
            shown: SettingsTree::default(),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: local(9997), public_url: None, token: None, viewer_origins: Texts::default() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: local(9998) }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self { listen: everywhere(1935), public_url: None, max_connections: 512 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

impl Config {
    /// Reads the file that the flags name, then the environment, then the flags.
    pub(crate) fn load(arguments: &ServeArguments, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut table = match &arguments.config {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        let mut sources = shown::of_file(&table);
        for (key, variable) in KEYS {
            if let Some(value) = environment(variable) {
                sources.insert((*key).to_owned(), "environment".to_owned());
                overlay(&mut table, key, &value).with_context(|| format!("environment variable {variable}"))?;
            }
        }
        shown::of_flags(arguments, &mut table, &mut sources);
        let mut config: Self = toml::Value::Table(table.clone()).try_into().context("configuration")?;
        config.shown = shown::tree(&config, &table, sources, arguments.config.as_deref());
        if let Some(data) = &arguments.data {
            config.data.clone_from(data);
        }
        config.role = arguments.role.unwrap_or(config.role);
        if let Some(url) = &arguments.control {
            config.control.url = Some(url.clone());
        }
        if let Some(media) = &arguments.media {
            config.store.path = Some(media.clone());
        }
        config.api.listen = arguments.api.unwrap_or(config.api.listen);
        if let Some(edge) = arguments.edge {
            config.edge.listen = Addresses(vec![edge]);
        }
        config.rtmp.listen = arguments.rtmp.unwrap_or(config.rtmp.listen);
        config.metrics.listen = arguments.metrics.unwrap_or(config.metrics.listen);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        remote::check(&self.store.remote)?;
        let urls = [
            ("api.public_url", &self.api.public_url),
            ("edge.public_url", &self.edge.public_url),
            ("control.url", &self.control.url),
        ];
        for (key, url) in urls {
            if let Some(url) = url
                && !(url.starts_with("http://") || url.starts_with("https://"))
            {
                bail!("{key} must begin with http:// or https://: {url:?}");
            }
        }
        if let Some(url) = &self.rtmp.public_url
            && !url.starts_with("rtmp://")
            && !url.starts_with("rtmps://")
        {
            bail!("rtmp.public_url must begin with rtmp:// or rtmps://: {url:?}");
        }
        if (1..MIN_DISK_BYTES).contains(&self.edge.disk.limit) {
            bail!("edge.disk.limit must be at least 64MiB, or 0 for none: {} bytes", self.edge.disk.limit);
        }
        if let Some(Secret(url)) = &self.database
            && !url.starts_with("postgres://")
            && !url.starts_with("postgresql://")
        {
            // Without the value: it may hold a password.
            bail!(
                "database must begin with postgres:// or postgresql://; leave it out to use a file in the data directory"
            );
        }
        if self.provider.sweep < MIN_SWEEP {
            bail!("provider.sweep must be at least 1s: {} ms", self.provider.sweep.as_millis());
        }
        self.check_node()?;
        self.events.check()?;
        self.viewers.check()?;
        self.prices.check().map_err(|wrong| anyhow!(wrong))?;
        self.auth.check()?;
        self.demand.check()?;
        self.embed.check()?;
        if self.edge.listen.0.is_empty() {
            bail!("edge.listen must name an address");
        }
        if !self.edge.http3.listen.0.is_empty() && self.edge.tls.listen.0.is_empty() {
            bail!("edge.http3.listen needs edge.tls.listen: viewers learn of HTTP/3 there");
        }
        if let Some(CertificateFiles::Pairs(pairs)) = &self.edge.tls.certificates
            && pairs.is_empty()
        {
            bail!(
                "edge.tls.certificates must name at least one pair; without the key a development certificate is made"
            );
        }
        if self.edge.log.rotate < MIN_ROTATE_BYTES {
            bail!("edge.log.rotate must be at least 64KiB: {} bytes", self.edge.log.rotate);
        }
        if self.edge.log.keep < self.edge.log.rotate {
            bail!("edge.log.keep must be at least edge.log.rotate: {} bytes", self.edge.log.keep);
        }
        if self.edge.memory < 1 << 20 {
            bail!("edge.memory must be at least 1MiB: {} bytes", self.edge.memory);
        }
        Ok(())
    }
}

impl Config {
    /// The configuration as far as it says where the data directory is and which tokens are set.
    pub(crate) fn of_directory(config: Option<PathBuf>, data: Option<PathBuf>) -> Result<Self> {
        let arguments = ServeArguments { config, data, ..ServeArguments::default() };
        Self::load(&arguments, &|name| std::env::var(name).ok())
    }

    /// Folder of media.
    pub(crate) fn media(&self) -> PathBuf {
        self.store.path.clone().unwrap_or_else(|| self.data.join("media"))
    }
}

/// The table of a file whose every key and value has been checked, so that an error names its line.
fn read(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str::<Config>(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// Puts `value` at `key`, as a number or a truth where it reads as one and the key takes it, as text otherwise.
fn overlay(table: &mut toml::Table, key: &str, value: &str) -> Result<()> {
    let nest = |value, name: &str| toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]));
    let text = toml::Value::String(value.to_owned());
    let number = value.parse::<i64>().ok().map(toml::Value::Integer);
    let truth = value.parse::<bool>().ok().map(toml::Value::Boolean);
    let fits = |candidate: &toml::Value| key.rsplit('.').fold(candidate.clone(), nest).try_into::<Config>().map(|_| ());
    let chosen = match number.or(truth) {
        Some(other) if fits(&text).is_err() => other,
        _ => text,
    };
    fits(&chosen).map_err(|error| anyhow!("{key}: {}", error.to_string().trim()))?;
    let (sections, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut target = table;
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        target = target
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| anyhow!("{section} is not a table"))?;
    }
    target.insert(name.to_owned(), chosen);
    Ok(())
}

#[cfg(test)]
mod tests;
