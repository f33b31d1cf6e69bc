//! CustomOriginConfig and S3OriginConfig.

use std::ops::RangeInclusive;

use anabranch_model::{OriginProtocol, OriginTimeouts};
use serde_json::{Value, json};

use super::PROTOCOLS;
use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::render;

const READ_SECONDS: RangeInclusive<u64> = 1..=180;

const KEEPALIVE_SECONDS: RangeInclusive<u64> = 1..=180;

/// Names of TLS versions; only the last is spoken.
const SSL_PROTOCOLS: &[(&str, &str)] =
    &[("SSLv3", "SSLv3"), ("TLSv1", "TLSv1"), ("TLSv1.1", "TLSv1.1"), (SPOKEN, SPOKEN)];

const SPOKEN: &str = "TLSv1.2";

/// An HTTP server's ports, protocol and patience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CustomOrigin {
    pub(crate) http_port: u16,
    pub(crate) https_port: u16,
    pub(crate) protocol: OriginProtocol,
    pub(crate) read_seconds: u64,
    pub(crate) keepalive_seconds: u64,
    ssl_protocols: Vec<&'static str>,
    dualstack: bool,
}

impl Default for CustomOrigin {
    fn default() -> Self {
        let timeouts = OriginTimeouts::default();
        Self {
            http_port: 80,
            https_port: 443,
            protocol: OriginProtocol::HttpOnly,
            read_seconds: timeouts.response_seconds,
            keepalive_seconds: timeouts.keepalive_seconds,
            ssl_protocols: vec![SPOKEN],
            dualstack: false,
        }
    }
}

impl CustomOrigin {
    /// Whether it says nothing that matters.
    pub(crate) fn is_default(&self) -> bool {
        let plain = Self { ssl_protocols: self.ssl_protocols.clone(), dualstack: self.dualstack, ..Self::default() };
        *self == plain
    }

    pub(crate) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let mut fields = node.object()?;
        let plain = Self::default();
        let origin = Self {
            http_port: port(&mut fields, "HTTPPort", plain.http_port)?,
            https_port: port(&mut fields, "HTTPSPort", plain.https_port)?,
            protocol: fields.required("OriginProtocolPolicy")?.word(PROTOCOLS)?,
            read_seconds: fields
                .number("OriginReadTimeout", &READ_SECONDS, "InvalidOriginReadTimeout")?
                .unwrap_or(plain.read_seconds),
            keepalive_seconds: fields
                .number("OriginKeepaliveTimeout", &KEEPALIVE_SECONDS, "InvalidOriginKeepaliveTimeout")?
                .unwrap_or(plain.keepalive_seconds),
            ssl_protocols: ssl_protocols(&mut fields)?.unwrap_or(plain.ssl_protocols),
            dualstack: match fields.optional("IpAddressType") {
                Some(node) => node.word(&[("ipv4", false), ("dualstack", true)])?,
                None => false,
            },
        };
        fields.only_absent("OriginMtlsConfig", "edges show origins no certificate")?;
        fields.finish()?;
        Ok(origin)
    }

    pub(crate) fn to_json(&self) -> Value {
        let protocol = PROTOCOLS.iter().find(|(_, known)| *known == self.protocol).map_or("", |(word, _)| word);
        json!({
            "HTTPPort": self.http_port,
            "HTTPSPort": self.https_port,
            "OriginProtocolPolicy": protocol,
            "OriginSslProtocols": render::words(&self.ssl_protocols),
            "OriginReadTimeout": self.read_seconds,
            "OriginKeepaliveTimeout": self.keepalive_seconds,
            "IpAddressType": if self.dualstack { "dualstack" } else { "ipv4" },
        })
    }
}

fn port(fields: &mut Fields<'_>, name: &'static str, default: u16) -> Result<u16, ConfigError> {
    let number = fields.number(name, &(1..=u64::from(u16::MAX)), INVALID_ARGUMENT)?;
    Ok(number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default))
}

fn ssl_protocols(fields: &mut Fields<'_>) -> Result<Option<Vec<&'static str>>, ConfigError> {
    const CODE: &str = "InvalidProtocolSettings";
    let Some(node) = fields.optional("OriginSslProtocols") else { return Ok(None) };
    let limit = Limit { items: SSL_PROTOCOLS.len(), code: CODE };
    let protocols = node.names(limit, |item| item.word(SSL_PROTOCOLS))?;
    if protocols.contains(&SPOKEN) {
        return Ok(Some(protocols));
    }
    Err(node.refuse(CODE, "without TLSv1.2, which is the oldest that edges speak").fix("add it"))
}

/// `OriginReadTimeout` of a bucket.
pub(super) fn bucket_read(node: &Node<'_>) -> Result<u64, ConfigError> {
    let mut fields = node.object()?;
    let why = "edges read buckets with their own right, as an origin access control does";
    fields.only_empty_or("OriginAccessIdentity", "InvalidOriginAccessIdentity", why)?;
    let seconds = fields.number("OriginReadTimeout", &READ_SECONDS, "InvalidOriginReadTimeout")?;
    fields.finish()?;
    Ok(seconds.unwrap_or(OriginTimeouts::default().response_seconds))
}
