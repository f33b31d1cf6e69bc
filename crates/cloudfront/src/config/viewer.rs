//! What viewers speak: HTTP versions and certificates.

use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT};

/// Versions of HTTP beside HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http11,
    #[default]
    Http2,
    Http3,
    Http2And3,
}

const HTTP_VERSIONS: &[(&str, HttpVersion)] = &[
    ("http1.1", HttpVersion::Http11),
    ("http2", HttpVersion::Http2),
    ("http3", HttpVersion::Http3),
    ("http2and3", HttpVersion::Http2And3),
];

impl HttpVersion {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ConfigError> {
        let Some(node) = fields.optional("HttpVersion") else { return Ok(Self::default()) };
        let version = node.word(HTTP_VERSIONS)?;
        if matches!(version, Self::Http11 | Self::Http3) {
            let why = "edges always offer HTTP/2; set http2 or http2and3";
            return Err(node.refuse(INVALID_ARGUMENT, "not without HTTP/2").fix(why));
        }
        Ok(version)
    }

    pub(crate) fn word(self) -> &'static str {
        HTTP_VERSIONS.iter().find(|(_, known)| *known == self).map_or("http2", |(word, _)| word)
    }

    pub(crate) fn http3(self) -> bool {
        matches!(self, Self::Http3 | Self::Http2And3)
    }
}

/// ViewerCertificate: always CloudFront's default one, for certificates are the edge's own matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    minimum: &'static str,
}

impl Default for Certificate {
    fn default() -> Self {
        Self { minimum: MINIMUMS[0].0 }
    }
}

/// The first is what CloudFront says of its default certificate. Edges speak TLS 1.2 and 1.3, whatever is said.
const MINIMUMS: &[(&str, &str)] = &[
    ("TLSv1", "TLSv1"),
    ("TLSv1.2_2018", "TLSv1.2_2018"),
    ("TLSv1.2_2019", "TLSv1.2_2019"),
    ("TLSv1.2_2021", "TLSv1.2_2021"),
    ("TLSv1.2_2025", "TLSv1.2_2025"),
];

const CODE: &str = "InvalidViewerCertificate";

impl Certificate {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ConfigError> {
        const WHY: &str = "edges choose certificates of their own configuration by host name; \
                           set CloudFrontDefaultCertificate to true";
        let Some(node) = fields.optional("ViewerCertificate") else { return Ok(Self::default()) };
        let mut own = node.object()?;
        for name in ["ACMCertificateArn", "IAMCertificateId", "Certificate"] {
            own.only_empty_or(name, CODE, WHY)?;
        }
        if let Some(node) = own.optional("CloudFrontDefaultCertificate")
            && !node.flag()?
        {
            return Err(node.refuse(CODE, "no certificate").fix(WHY));
        }
        if let Some(node) = own.optional("SSLSupportMethod") {
            // CloudFront says either of its default certificate, and neither means anything there.
            node.word(&[("vip", ()), ("sni-only", ())])?;
        }
        if let Some(node) = own.optional("CertificateSource") {
            node.word(&[("cloudfront", ())])?;
        }
        let minimum = match own.some_text("MinimumProtocolVersion")? {
            Some((node, _)) => minimum(&node)?,
            None => MINIMUMS[0].0,
        };
        own.finish()?;
        Ok(Self { minimum })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "CloudFrontDefaultCertificate": true,
            "SSLSupportMethod": "vip",
            "MinimumProtocolVersion": self.minimum,
            "CertificateSource": "cloudfront",
        })
    }
}

fn minimum(node: &crate::read::Node<'_>) -> Result<&'static str, ConfigError> {
    node.word(MINIMUMS).map_err(|_| {
        let error = node.refuse("InvalidMinimumProtocolVersion", "not honoured");
        error.fix("edges speak TLS 1.2 and 1.3; one of TLSv1.2_2018, _2019, _2021, _2025, or leave it out")
    })
}

/// Headers that edges read tags from.
const TAG_HEADERS: &[&str] = &["cache-tag", "surrogate-key"];

/// CacheTagConfig: the header's name, as written.
pub(crate) fn cache_tag_header(fields: &mut Fields<'_>) -> Result<Option<String>, ConfigError> {
    let Some(node) = fields.optional("CacheTagConfig") else { return Ok(None) };
    let mut own = node.object()?;
    let name = own.required("HeaderName")?;
    let text = name.text()?;
    if !TAG_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
        let error = name.refuse(INVALID_ARGUMENT, "not honoured");
        return Err(error.fix("edges read tags from Cache-Tag and Surrogate-Key"));
    }
    own.finish()?;
    Ok(Some(text.to_owned()))
}
