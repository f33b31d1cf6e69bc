//! Log-ins that are under way at providers, and the exchange of a code.

use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use reqwest::{Url, header};
use serde::Deserialize;

use super::super::config::OidcConfig;
use super::discovery::{FetchError, Metadata, read};
use crate::secret::{self, sha256};

/// Log-ins under way at most; beyond them the oldest is forgotten.
const FLOWS_MAX: usize = 10_000;

/// Time for a log-in, in milliseconds.
pub(crate) const FLOW_MS: i64 = 10 * 60 * 1000;

/// A log-in that is under way.
#[derive(Debug)]
pub(super) struct Flow {
    provider: String,
    /// What the ID token must say.
    pub(super) nonce: String,
    /// What the code is exchanged with (RFC 7636 §4.1).
    pub(super) verifier: String,
    /// SHA-256 of what the browser keeps in its cookie.
    binding: [u8; 32],
    pub(super) back_to: String,
    began_at: i64,
}

impl Flow {
    /// With its state, and what the browser keeps.
    pub(super) fn begin(provider: &str, back_to: String, now_ms: i64) -> (Self, String, String) {
        let (state, binding) = (secret::random(""), secret::random(""));
        let flow = Self {
            provider: provider.to_owned(),
            nonce: secret::random(""),
            verifier: secret::random(""),
            binding: sha256(binding.as_bytes()),
            back_to,
            began_at: now_ms,
        };
        (flow, state, binding)
    }
}

/// What a provider is shown of a verifier (RFC 7636 §4.2).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

/// Log-ins that are under way, by the hash of their state.
#[derive(Debug, Default)]
pub(super) struct Flows(Mutex<HashMap<[u8; 32], Flow>>);

impl Flows {
    pub(super) fn add(&self, state: &str, flow: Flow, now_ms: i64) {
        let mut flows = self.0.lock();
        if flows.len() >= FLOWS_MAX {
            flows.retain(|_, flow| is_open(flow, now_ms));
        }
        if flows.len() >= FLOWS_MAX {
            let oldest = flows.iter().min_by_key(|(_, flow)| flow.began_at).map(|(state, _)| *state);
            oldest.map(|state| flows.remove(&state));
        }
        flows.insert(sha256(state.as_bytes()), flow);
    }

    /// The log-in of this state, once: of this provider, in this browser, and not too old.
    pub(super) fn take(&self, state: &str, provider: &str, binding: Option<&str>, now_ms: i64) -> Option<Flow> {
        let hash = sha256(binding?.as_bytes());
        let mut flows = self.0.lock();
        let key = sha256(state.as_bytes());
        // Another browser does not end it, nor keep the right one from ending it.
        let found = flows.get(&key)?;
        let is_this = found.provider == provider && verify_slices_are_equal(&found.binding, &hash).is_ok();
        let flow = if is_this { flows.remove(&key)? } else { return None };
        is_open(&flow, now_ms).then_some(flow)
    }
}

fn is_open(flow: &Flow, now_ms: i64) -> bool {
    (flow.began_at..flow.began_at + FLOW_MS).contains(&now_ms)
}

/// What a provider gives for a code.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: Option<String>,
    pub(super) access_token: Option<String>,
}

/// Exchanges a code (RFC 6749 §4.1.3).
pub(super) async fn exchange(
    http: &reqwest::Client,
    metadata: &Metadata,
    config: &OidcConfig,
    fields: &[(&str, &str)],
) -> Result<Tokens, FetchError> {
    let methods = &metadata.token_endpoint_auth_methods_supported;
    let offers = |method: &str| methods.iter().any(|offered| offered == method);
    let mut fields = fields.to_vec();
    let mut request = http.post(&metadata.token_endpoint);
    match &config.client_secret {
        // Where nothing is said `client_secret_basic` is meant.
        Some(secret) if methods.is_empty() || offers("client_secret_basic") => {
            // RFC 6749 §2.3.1: both are encoded as in a form before.
            request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret)));
        }
        Some(secret) => fields.extend([("client_id", config.client_id.as_str()), ("client_secret", secret.as_str())]),
        None => fields.push(("client_id", config.client_id.as_str())),
    }
    let request = request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(form(&fields));
    read(&metadata.token_endpoint, request).await
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form/").expect("an address");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn encoded(text: &str) -> String {
    form(&[("", text)]).trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_ends_once_in_its_own_browser() {
        let flows = Flows::default();
        let (flow, state, binding) = Flow::begin("corp", "/x".into(), 1000);
        flows.add(&state, flow, 1000);
        assert!(flows.take(&state, "corp", None, 1000).is_none());
        assert!(flows.take(&state, "corp", Some("other"), 1000).is_none());
        assert!(flows.take(&state, "other", Some(&binding), 1000).is_none());
        assert!(flows.take("other", "corp", Some(&binding), 1000).is_none());
        assert_eq!(flows.take(&state, "corp", Some(&binding), 1000).unwrap().back_to, "/x");
        assert!(flows.take(&state, "corp", Some(&binding), 1000).is_none(), "once");
        let (flow, state, binding) = Flow::begin("corp", "/x".into(), 1000);
        flows.add(&state, flow, 1000);
        assert!(flows.take(&state, "corp", Some(&binding), 1000 + FLOW_MS).is_none(), "too late");
    }

    #[test]
    fn the_table_is_bounded() {
        let flows = Flows::default();
        for at in 0..FLOWS_MAX as i64 + 10 {
            let (flow, state, _) = Flow::begin("corp", "/".into(), at);
            flows.add(&state, flow, at);
        }
        assert_eq!(flows.0.lock().len(), FLOWS_MAX);
    }

    #[test]
    fn forms_and_challenges() {
        assert_eq!(form(&[("a b", "c&d=é")]), "a+b=c%26d%3D%C3%A9");
        assert_eq!(encoded("=a:b "), "%3Da%3Ab+");
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
