//! Node configuration: file, then environment, then flags; read once, checked whole.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_model::NodeName;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

mod demand;
mod edge;
mod events;
mod remote;
mod texts;
mod units;

pub(crate) use demand::{Demand, Watched};
pub(crate) use edge::{Addresses, Bucket, CertificateFiles, Edge, EdgeLogFormat, ShieldAt};
pub(crate) use events::{Events, PrivateWebhooks};
pub(crate) use remote::RemoteStore;
pub(crate) use texts::Texts;
use units::{duration, size};

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
    pub(crate) metrics: Metrics,
    pub(crate) edge: Edge,
    pub(crate) rtmp: Rtmp,
    pub(crate) store: Store,
    pub(crate) log: Log,
    pub(crate) events: Events,
    pub(crate) role: Role,
    pub(crate) control: Control,
    pub(crate) node: Node,
    pub(crate) origin: Origin,
    pub(crate) provider: Provider,
    pub(crate) demand: Demand,
    pub(crate) s3: S3,
}

/// The S3-compatible endpoint.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct S3 {
    pub(crate) listen: Addresses,
    /// Domain below which buckets are host names; without it they are the first part of the path.
    pub(crate) domain: Option<String>,
}

impl Default for S3 {
    fn default() -> Self {
        Self { listen: Addresses(vec![local(9995)]), domain: None }
    }
}

/// What wishes are made real with.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Provider {
    #[serde(deserialize_with = "duration")]
    pub(crate) sweep: Duration,
}

impl Default for Provider {
    fn default() -> Self {
        Self { sweep: anabranch_control::SWEEP_EVERY }
    }
}

/// Where an edge of its own is told what to serve.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Control {
    pub(crate) url: Option<String>,
}

/// Who this process is among the nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) name: Option<NodeName>,
    pub(crate) token: Option<Secret>,
}

/// The origin room, which edges ask.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) listen: SocketAddr,
    pub(crate) public: Option<String>,
    pub(crate) token: Option<Secret>,
}

impl Default for Origin {
    fn default() -> Self {
        Self { listen: local(0), public: None, token: None }
    }
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
pub(crate) struct Store {
    #[serde(deserialize_with = "size")]
    pub(crate) reserve: u64,
    /// Folder of media; without it `media` in the data directory.
    pub(crate) path: Option<PathBuf>,
    /// S3-compatible services, by name.
    pub(crate) remote: BTreeMap<String, RemoteStore>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// A text that is not printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("anabranch-data"),
            database: None,
            drain: Duration::from_secs(10),
            api: Api::default(),
            metrics: Metrics::default(),
            edge: Edge::default(),
            rtmp: Rtmp::default(),
            store: Store::default(),
            log: Log::default(),
            events: Events::default(),
            role: Role::default(),
            control: Control::default(),
            node: Node::default(),
            origin: Origin::default(),
            provider: Provider::default(),
            demand: Demand::default(),
            s3: S3::default(),
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

impl Default for Store {
    fn default() -> Self {
        Self { reserve: 256 << 20, path: None, remote: BTreeMap::new() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The address by which this machine reaches a listener.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

impl Config {
    /// Reads the file that the flags name, then the environment, then the flags.
    pub(crate) fn load(arguments: &ServeArguments, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut table = match &arguments.config {
            Some(path) => read(path)?,
            None => toml::Table::new(),
        };
        for (key, variable) in KEYS {
            if let Some(value) = environment(variable) {
                overlay(&mut table, key, &value).with_context(|| format!("environment variable {variable}"))?;
            }
        }
        let mut config: Self = toml::Value::Table(table).try_into().context("configuration")?;
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
        self.demand.check()?;
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

    fn check_node(&self) -> Result<()> {
        for (key, authority) in [("origin.public", &self.origin.public), ("edge.origin", &self.edge.origin)] {
            let valid = |text: &str| {
                let (host, port) = text.rsplit_once(':')?;
                (!host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()).then_some(())
            };
            if let Some(text) = authority
                && valid(text).is_none()
            {
                bail!("{key} must be host:port, such as origin.example.com:9996: {text:?}");
            }
        }
        for (key, token) in [("node.token", &self.node.token), ("origin.token", &self.origin.token)] {
            if let Some(Secret(text)) = token
                && !((16..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()))
            {
                bail!("{key} must have 16 to 512 visible characters without spaces");
            }
        }
        if self.role != Role::All && self.control.url.is_none() {
            bail!("an edge or worker of its own needs --control URL or the key control.url");
        }
        if self.role == Role::Worker && self.store.path.is_none() {
            bail!("a worker of its own needs --media DIR or the key store.path: the media folder that it shares");
        }
        if self.edge.location.len() > 256 || self.edge.location.chars().any(char::is_control) {
            bail!("edge.location must have at most 256 printable bytes: {:?}", self.edge.location);
        }
        Ok(())
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
    let fits = |candidate: &toml::Value| key.rsplit('.').fold(candidate.clone(), nest).try_into::<Config>().map(|_| ());
    let chosen = match number {
        Some(number) if fits(&text).is_err() => number,
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
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config> {
        let dir = std::env::temp_dir().join(format!("anabranch-config-{}-{}", std::process::id(), file.len()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("anabranch.toml");
        std::fs::write(&path, file).unwrap();
        let arguments = ServeArguments { config: Some(path), ..ServeArguments::default() };
        let config = Config::load(&arguments, &|name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        });
        std::fs::remove_dir_all(&dir).unwrap();
        config
    }

    #[test]
    fn the_example_file_states_the_defaults() {
        let example = include_str!("../../../../anabranch.example.toml");
        let uncommented: String = example
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = load(&uncommented, &[]).unwrap();
        let defaults = Config::default();
        assert_eq!(config.edge.listen, defaults.edge.listen);
        assert_eq!(config.edge.tls.listen, defaults.edge.tls.listen);
        assert_eq!(config.edge.memory, defaults.edge.memory);
        assert_eq!(config.edge.disk.limit, defaults.edge.disk.limit);
        assert_eq!(config.edge.disk.reserve, defaults.edge.disk.reserve);
        assert_eq!(config.edge.log.format, defaults.edge.log.format);
        assert_eq!(config.edge.log.rotate, defaults.edge.log.rotate);
        assert_eq!(config.edge.log.keep, defaults.edge.log.keep);
        assert_eq!((config.edge.log.dir, defaults.edge.log.dir), (None, None));
        assert_eq!(config.store.reserve, defaults.store.reserve);
        assert_eq!((config.drain, config.provider.sweep), (defaults.drain, defaults.provider.sweep));
        assert_eq!(config.edge.location_class, defaults.edge.location_class);
        assert_eq!((config.role, config.origin.listen), (defaults.role, defaults.origin.listen));
        assert_eq!(config.demand.assets_at_once, defaults.demand.assets_at_once);
        assert_eq!(config.demand.chunk_seconds, defaults.demand.chunk_seconds);
        assert_eq!(config.s3.listen, defaults.s3.listen);
        for (key, _) in KEYS {
            let name = key.rsplit('.').next().unwrap_or(key);
            assert!(example.contains(&format!("{name} =")), "{key} is missing in the example file");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load("[edge]\nlisten = \"127.0.0.1:1\"\nmemmory = \"1MiB\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("memmory"), "{error}");
    }

    #[test]
    fn addresses_and_certificates_may_be_lists() {
        let config = load(
            "[edge]\nlisten = [\"0.0.0.0:80\", \"[::]:80\"]\n[edge.tls]\ncertificates = [{ certificate = \"c\", key = \"k\" }]\n",
            &[("ANABRANCH_EDGE_TLS_LISTEN", "0.0.0.0:443, [::]:443")],
        );
        let edge = config.unwrap().edge;
        assert_eq!((edge.listen.0.len(), edge.tls.listen.0[1].is_ipv6()), (2, true));
        assert!(matches!(edge.tls.certificates, Some(CertificateFiles::Pairs(pairs)) if pairs.len() == 1));
        let edge = load("[edge.tls]\nlisten = []\ncertificates = \"/etc/tls\"\n", &[]).unwrap().edge;
        assert!(edge.tls.listen.0.is_empty() && matches!(edge.tls.certificates, Some(CertificateFiles::Directory(_))));
        assert!(load("[edge]\nlisten = []\n", &[]).unwrap_err().to_string().contains("edge.listen"));
        let error = load("[edge]\nlisten = \"nowhere\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("nowhere"), "{error}");
    }

    #[test]
    fn the_database_is_named_by_a_url_that_is_not_printed() {
        let url = "postgres://anabranch:opensesame@db.example.com/anabranch?sslmode=verify-full";
        let config = load("", &[("ANABRANCH_DATABASE", url)]).unwrap();
        assert!(!format!("{config:?}").contains("opensesame"));
        assert_eq!(config.database.unwrap().0, url);
        let error = load("database = \"mysql://anabranch:opensesame@db.example.com/anabranch\"\n", &[]).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("postgres://") && !text.contains("opensesame"), "{text}");
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        let check = |name: &str| check_variables(std::iter::once(name.to_owned()));
        assert!(check("ANABRANCH_EDGE_LISTEN").is_ok() && check("PATH").is_ok());
        assert!(check("ANABRANCH_EDGE_LISTN").unwrap_err().to_string().contains("ANABRANCH_EDGE_LISTN"));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = [
            ("ANABRANCH_EDGE_LISTEN", "127.0.0.1:7"),
            ("ANABRANCH_EDGE_WORKERS", "3"),
            ("ANABRANCH_EDGE_DISK_LIMIT", "2GiB"),
            ("ANABRANCH_EDGE_DISK_PATH", "/somewhere"),
            ("ANABRANCH_EDGE_LOG_DIR", "/elsewhere"),
            ("ANABRANCH_EDGE_LOG_FORMAT", "both"),
            ("ANABRANCH_TOKEN", "42"),
        ];
        let config = load("[edge]\nlisten = \"127.0.0.1:1\"\n", &environment).unwrap();
        assert_eq!(config.edge.listen.first().port(), 7);
        assert_eq!(config.edge.workers, 3);
        assert_eq!(config.edge.disk.limit, 2 << 30);
        assert_eq!(config.edge.disk.path, Some(PathBuf::from("/somewhere")));
        assert_eq!(config.edge.log.dir, Some(PathBuf::from("/elsewhere")));
        assert_eq!(config.edge.log.format, EdgeLogFormat::Both);
        assert_eq!(config.api.token.unwrap().0, "42");
        let error = load("", &[("ANABRANCH_EDGE_MEMORY", "lots")]).unwrap_err();
        assert!(format!("{error:#}").contains("ANABRANCH_EDGE_MEMORY"), "{error:#}");
    }
}
