//! What a provider says of itself (OpenID Connect Discovery 1.0), and its keys; asked for once an hour, or when a key is not known.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long what it says is believed.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// Shortest time between two looks for a key that is not known.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Longest answer, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// Keys of one provider at most.
const KEYS_MAX: usize = 100;

/// What a provider says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) userinfo_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// The same with its keys.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) keys: Vec<Jwk>,
    at: Instant,
}

/// What is known of one provider.
#[derive(Debug, Default)]
pub(super) struct Discovery(Mutex<Option<Arc<Known>>>);

/// Why a provider cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer from {address}")]
    Away {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{address} answers {status}: {text}")]
    Status { address: String, status: StatusCode, text: String },
    #[error("what {0} answers is longer than a mebibyte")]
    TooLong(String),
    #[error("what {address} answers is not what was asked for: {reason}")]
    Unreadable { address: String, reason: String },
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Discovery {
    /// What the provider says; asked again when `unknown_key` and that was not done a moment ago.
    pub(super) async fn known(
        &self,
        http: &reqwest::Client,
        issuer: &str,
        unknown_key: bool,
    ) -> Result<Arc<Known>, FetchError> {
        // Held while it is asked: others wait instead of asking as well.
        let mut known = self.0.lock().await;
        if let Some(known) = &*known {
            let age = known.at.elapsed();
            if age < if unknown_key { REFRESH_EVERY } else { KEPT } {
                return Ok(known.clone());
            }
        }
        match fetch(http, issuer).await {
            Ok(fetched) => Ok(known.insert(Arc::new(fetched)).clone()),
            // What was true an hour ago is better than nobody logging in.
            Err(error) => match &*known {
                Some(known) if !unknown_key => {
                    tracing::warn!(oidc.issuer = issuer, %error, "a provider of identities cannot be asked again");
                    Ok(known.clone())
                }
                _ => Err(error),
            },
        }
    }
}

async fn fetch(http: &reqwest::Client, issuer: &str) -> Result<Known, FetchError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let metadata: Metadata = read(&address, http.get(&address)).await?;
    let unreadable = |reason: String| FetchError::Unreadable { address: address.clone(), reason };
    if metadata.issuer != issuer {
        return Err(unreadable(format!("it calls itself {:?}: name it so in the configuration", metadata.issuer)));
    }
    let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
    for endpoint in endpoints.into_iter().chain(&metadata.userinfo_endpoint) {
        if !is_safe(endpoint) {
            return Err(unreadable(format!("an address of it is not https: {endpoint:?}")));
        }
    }
    let set: KeySet = read(&metadata.jwks_uri, http.get(&metadata.jwks_uri)).await?;
    // Keys of kinds that are not known are no reason to refuse the others.
    let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok()).collect();
    Ok(Known { metadata, keys, at: Instant::now() })
}

/// Whether what goes to this address is for nobody else to read: by TLS, or on this machine.
pub(super) fn is_safe(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => match url.host_str() {
            Some("localhost") => true,
            Some(host) => {
                host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            None => false,
        },
        _ => false,
    }
}

/// The JSON of an answer.
pub(super) async fn read<T: DeserializeOwned>(address: &str, request: RequestBuilder) -> Result<T, FetchError> {
    let address = address.to_owned();
    let away = |source: reqwest::Error| FetchError::Away { address: address.clone(), source: source.without_url() };
    let mut response = request.send().await.map_err(away)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_MAX {
            return Err(FetchError::TooLong(address));
        }
    }
    let status = response.status();
    if !status.is_success() {
        // Its own words, such as `invalid_client`; tokens are in successes only.
        let text = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(FetchError::Status { address, status, text });
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| FetchError::Unreadable { address: address.clone(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_by_tls_or_not_at_all() {
        for good in
            ["https://id.example.com/token", "http://127.0.0.1:8080/x", "http://localhost:1/x", "http://[::1]:1/x"]
        {
            assert!(is_safe(good), "{good}");
        }
        for bad in
            ["http://id.example.com", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/", "/x", "", "http://10.0.0.1/"]
        {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
