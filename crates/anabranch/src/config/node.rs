//! `[control]`, `[node]`, `[origin]` and `[provider]`: nodes of their own, and who they belong to.

use std::net::SocketAddr;
use std::time::Duration;

use anabranch_model::NodeName;
use anyhow::{Result, bail};
use serde::Deserialize;

use super::addresses::local;
use super::secret::Secret;
use super::units::duration;
use super::{Config, Role};

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

impl Config {
    pub(super) fn check_node(&self) -> Result<()> {
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
