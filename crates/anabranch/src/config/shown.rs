//! The configuration as operators may see it: without secrets, with where it comes from.

use std::collections::BTreeMap;
use std::path::Path;

use anabranch_control::SettingsTree;
use serde_json::{Value, json};

use super::{Config, ServeArguments};

/// What stands in the place of a secret.
const HIDDEN: &str = "(secret)";

/// Last parts of keys whose values are never shown.
const SECRETS: [&str; 8] =
    ["token", "secret", "password", "shield_token", "secret_access_key", "access_key_id", "database", "client_secret"];

/// The keys of a file.
pub(super) fn of_file(table: &toml::Table) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    walk("", table, &mut |key| drop(keys.insert(key, "file".to_owned())));
    keys
}

fn walk(prefix: &str, table: &toml::Table, found: &mut dyn FnMut(String)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => walk(&key, inner, found),
            _ => found(key),
        }
    }
}

/// Notes what flags have set.
pub(super) fn of_flags(arguments: &ServeArguments, table: &mut toml::Table, sources: &mut BTreeMap<String, String>) {
    let text = |value: Option<String>| value.map(toml::Value::String);
    let path = |value: Option<&std::path::PathBuf>| text(value.map(|path| path.display().to_string()));
    let address = |value: Option<std::net::SocketAddr>| text(value.map(|address| address.to_string()));
    for (key, value) in [
        ("data", path(arguments.data.as_ref())),
        ("store.path", path(arguments.media.as_ref())),
        ("control.url", text(arguments.control.clone())),
        ("api.listen", address(arguments.api)),
        ("edge.listen", address(arguments.edge)),
        ("rtmp.listen", address(arguments.rtmp)),
        ("metrics.listen", address(arguments.metrics)),
    ] {
        let Some(value) = value else { continue };
        sources.insert(key.to_owned(), "flag".to_owned());
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        if section.is_empty() {
            table.insert(name.to_owned(), value);
        } else if let Some(inner) =
            table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut()
        {
            inner.insert(name.to_owned(), value);
        }
    }
}

/// What is in force: what was set, and of what was not the defaults that say most.
pub(super) fn tree(
    config: &Config,
    table: &toml::Table,
    sources: BTreeMap<String, String>,
    file: Option<&Path>,
) -> SettingsTree {
    let mut settings = json!({
        "data": config.data.display().to_string(),
        "api": { "listen": config.api.listen.to_string() },
        "metrics": { "listen": config.metrics.listen.to_string() },
        "rtmp": { "listen": config.rtmp.listen.to_string(), "max_connections": config.rtmp.max_connections },
        "edge": {
            "listen": config.edge.listen.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "domain_suffix": config.edge.domain_suffix,
            "location": config.edge.location,
            "location_class": serde_json::to_value(config.edge.location_class).unwrap_or_default(),
            "max_connections": config.edge.max_connections,
            "memory": config.edge.memory,
            "workers": config.edge.workers,
        },
        "events": { "keep_days": config.events.keep_days, "keep_entries": config.events.keep_entries },
        "viewers": { "keep_days": config.viewers.keep_days },
        "demand": { "assets_at_once": config.demand.assets_at_once },
        "drain": format!("{} s", config.drain.as_secs()),
        "prices": { "model": config.prices.model.as_str(), "currency": config.prices.currency },
    });
    merge(&mut settings, serde_json::to_value(table).unwrap_or_default());
    hide("", &mut settings);
    SettingsTree { settings, sources, file: file.map(|path| path.display().to_string()) }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn hide(name: &str, value: &mut Value) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| hide(key, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(name, item)),
        // Also those that nobody has thought of here, by what they are called.
        Value::String(text)
            if SECRETS.iter().any(|secret| name == *secret || name.ends_with(&format!("_{secret}"))) =>
        {
            HIDDEN.clone_into(text);
        }
        // A URL may hold a password.
        Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://")
                && let Some((_, place)) = rest.split_once('@')
            {
                *text = format!("{scheme}://{HIDDEN}@{place}");
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_and_sources_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        let text = r#"
database = "postgres://me:geheim1@db/x"
[api]
token = "geheim2-is-long-enough"
[edge]
shield_token = "geheim3-is-long-enough"
location = "ZRH"
[[edge.buckets]]
bucket = "b"
endpoint = "https://u:geheim4@s3.example.com"
region = "r"
access_key_id = "geheim5"
secret_access_key = "geheim6-is-long-enough"
[prices]
model = "own"
[prices.cloud]
storage = "0.05"
"#;
        std::fs::write(&file, text).unwrap();
        let arguments = ServeArguments {
            config: Some(file.clone()),
            api: Some("127.0.0.1:7777".parse().unwrap()),
            ..ServeArguments::default()
        };
        let environment = |name: &str| (name == "ANABRANCH_NODE_TOKEN").then(|| "geheim7-is-long-enough".to_owned());
        let config = Config::load(&arguments, &environment).unwrap();
        let shown = config.shown;
        let text = shown.settings.to_string();
        assert!(!text.contains("geheim"), "{text}");
        assert_eq!(shown.settings["edge"]["location"], "ZRH");
        assert_eq!(shown.settings["api"]["listen"], "127.0.0.1:7777");
        assert_eq!(shown.settings["prices"]["cloud"]["storage"], "0.05");
        let source = |key: &str| shown.sources.get(key).map(String::as_str);
        assert_eq!(
            (source("edge.location"), source("api.listen"), source("node.token")),
            (Some("file"), Some("flag"), Some("environment"))
        );
        assert_eq!((source("data"), shown.file), (None, Some(file.display().to_string())));
    }
}
