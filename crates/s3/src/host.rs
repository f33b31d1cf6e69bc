//! Which bucket a host name means.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// Buckets are below this name; every other name is the endpoint itself.
#[derive(Debug)]
pub(crate) struct Host {
    domain: String,
}

impl Host {
    pub(crate) fn new(domain: &str) -> Self {
        Self { domain: domain.trim_matches('.').to_ascii_lowercase() }
    }

    /// The bucket that a `Host` header names.
    fn bucket(&self, host: &str) -> Option<String> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.to_ascii_lowercase();
        let bucket = name.strip_suffix(&self.domain)?.strip_suffix('.')?;
        Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty())
    }
}

impl S3Host for Host {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let whole = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => whole.with_bucket(bucket),
            None => whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_domain_are_buckets() {
        let host = Host::new("S3.Example.com");
        for (name, bucket) in [
            ("vod.s3.example.com", Some("vod")),
            ("VOD.s3.example.com:9000", Some("vod")),
            ("a.b.s3.example.com", Some("a.b")),
            ("s3.example.com:9000", None),
            (".s3.example.com", None),
            ("vods3.example.com", None),
            ("localhost:9000", None),
            ("", None),
        ] {
            assert_eq!(host.bucket(name).as_deref(), bucket, "{name}");
        }
    }
}
