//! The services that buckets may be at, from the configuration and the environment.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anabranch_net::SharedClock;
use anabranch_store::buckets::{Backend, Connection, Credentials, Patience, Remotes};

use crate::config::Config;

/// What is configured. `shared` when another process makes the buckets of the store.
pub(super) fn remotes(config: &Config, clock: &SharedClock, shared: bool) -> Remotes {
    let clock = clock.clone();
    let connections = config.store.remote.iter().map(|(name, remote)| {
        let credentials = remote.access_key_id.clone().zip(remote.secret_access_key.clone());
        let credentials = credentials.map(|(access_key_id, secret)| Credentials {
            access_key_id,
            secret_access_key: secret.0,
            session_token: remote.session_token.as_ref().map(|token| token.0.clone()),
        });
        let (endpoint, region, path_style) = (remote.endpoint.clone(), remote.region.clone(), remote.path_style);
        (name.clone(), Connection { endpoint, region, path_style, credentials })
    });
    let fixed = config.store.remote.iter().filter_map(|(name, remote)| {
        let bucket = remote.bucket.as_ref()?;
        let url = format!("s3://{bucket}/{}", remote.prefix.as_deref().unwrap_or_default());
        Some((name.clone(), Backend { url, remote: Some(name.clone()), ..Backend::default() }))
    });
    Remotes {
        connections: connections.collect(),
        credentials: of_environment(&|name| std::env::var(name).ok()),
        fixed: fixed.collect(),
        shared,
        patience: Patience::default(),
        now: Arc::new(move || UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0))),
    }
}

/// The credentials that tools of Amazon's take.
fn of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Credentials> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    Some(Credentials {
        access_key_id: set("AWS_ACCESS_KEY_ID")?,
        secret_access_key: set("AWS_SECRET_ACCESS_KEY")?,
        session_token: set("AWS_SESSION_TOKEN"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_access_key_is_none() {
        let only = |wanted: &'static str| move |name: &str| (name == wanted).then(|| "x".to_owned());
        assert_eq!(of_environment(&only("AWS_ACCESS_KEY_ID")), None);
        let all = of_environment(&|_| Some("x".to_owned())).unwrap();
        assert_eq!((all.access_key_id.as_str(), all.session_token.as_deref()), ("x", Some("x")));
    }
}
