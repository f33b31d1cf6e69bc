//! Files, variables and flags become a configuration, or are refused.

use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config> {
    static LOADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let load = LOADS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("anabranch-config-{}-{load}", std::process::id()));
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
    assert_eq!((config.auth.idle, config.auth.lifetime), (defaults.auth.idle, defaults.auth.lifetime));
    assert_eq!((config.auth.password, config.auth.audit_days), (defaults.auth.password, defaults.auth.audit_days));
    assert_eq!(config.viewers.keep_days, defaults.viewers.keep_days);
    assert_eq!(config.auth.trusted_proxies.0, defaults.auth.trusted_proxies.0);
    assert_eq!(config.prices, defaults.prices);
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
fn viewers_come_by_https_where_the_edge_has_certificates_of_its_own() {
    let https = |public: &str, tls: &str| {
        let text = format!("[edge]\npublic_url = \"{public}://cdn.example.com\"\n[edge.tls]\n{tls}\n");
        load(&text, &[]).unwrap().edge.is_reached_by_https()
    };
    let certificates = "certificates = \"/etc/tls\"";
    assert!(https("https", certificates));
    assert!(!https("http", certificates));
    assert!(!https("https", ""), "something else speaks TLS");
    assert!(!https("https", &format!("listen = []\n{certificates}")));
    assert!(!load("", &[]).unwrap().edge.is_reached_by_https());
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

#[test]
fn people_log_in_as_the_file_says() {
    let file = "[auth]\nidle = \"1h\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n[auth.oidc.corp]\nissuer = \"https://id.example.com\"\n\
                client_id = \"desk\"\nrole_claim = \"groups\"\nroles = { ops = \"operator\" }\n";
    let auth = load(file, &[("ANABRANCH_AUTH_PASSWORD", "false")]).unwrap().auth.resolve().unwrap();
    assert!(!auth.password && auth.trusted_proxies.len() == 1 && auth.idle.as_secs() == 3600);
    assert_eq!((auth.providers[0].name.as_str(), auth.providers[0].label.as_str()), ("corp", "corp"));
    assert_eq!(auth.providers[0].roles["ops"], "operator");
    for (file, words) in [
        ("[auth]\nidle = \"1s\"\n", "auth.idle must be 1 minute"),
        ("[auth]\npassword = false\n", "nobody could log in"),
        ("[auth]\naudit_days = 0\n", "auth.audit_days must be 1"),
        ("[viewers]\nkeep_days = 2\n", "viewers.keep_days must be 3"),
        ("[auth]\ntrusted_proxies = [\"everybody\"]\n", "auth.trusted_proxies"),
        ("[auth.oidc.corp]\nclient_secret = \"x\"\n", "client_secret"),
    ] {
        let error = format!("{:#}", load(file, &[]).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    let file = "[auth.oidc.corp]\nclient_secret_file = \"/nowhere/at/all\"\n";
    let error = format!("{:#}", load(file, &[]).unwrap().auth.resolve().unwrap_err());
    assert!(error.contains("auth.oidc.corp.client_secret_file") && error.contains("/nowhere/at/all"), "{error}");
}
