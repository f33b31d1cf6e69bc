//! Checksums of bodies: those that clients announce, before or after the bytes.

use std::collections::BTreeMap;

use anabranch_store::buckets::{BucketError, Inspector};
use http::HeaderMap;
use s3s::TrailingHeaders;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::Checksum;

/// Names of the algorithms, as they are kept and as they end the names of headers.
const NAMES: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// Header before the name of an algorithm.
const HEADER: &str = "x-amz-checksum-";

/// What a client says of the bytes that it sends.
pub(crate) struct Sums {
    hasher: ChecksumHasher,
    announced: BTreeMap<&'static str, String>,
    /// Those that come after the bytes.
    awaited: Vec<&'static str>,
    trailers: Option<TrailingHeaders>,
}

impl Sums {
    /// What the head of a request announces; `None` when it says nothing.
    pub(crate) fn announced(headers: &HeaderMap, trailers: Option<TrailingHeaders>) -> Option<Box<dyn Inspector>> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_ascii_lowercase);
        let trailer = text("x-amz-trailer").unwrap_or_default();
        let algorithm = text("x-amz-sdk-checksum-algorithm").unwrap_or_default();
        let mut sums =
            Self { hasher: ChecksumHasher::default(), announced: BTreeMap::new(), awaited: Vec::new(), trailers };
        let mut any = false;
        for name in NAMES {
            let header = format!("{HEADER}{name}");
            let announced = headers.get(&header).and_then(|value| value.to_str().ok());
            if let Some(value) = announced {
                sums.announced.insert(name, value.trim().to_owned());
            }
            let is_late = trailer.split(',').any(|one| one.trim() == header);
            if is_late {
                sums.awaited.push(name);
            }
            if announced.is_some() || is_late || algorithm == name {
                sums.compute(name);
                any = true;
            }
        }
        any.then(|| Box::new(sums) as Box<dyn Inspector>)
    }

    fn compute(&mut self, name: &str) {
        match name {
            "crc32" => self.hasher.crc32 = Some(Crc32::new()),
            "crc32c" => self.hasher.crc32c = Some(Crc32c::new()),
            "crc64nvme" => self.hasher.crc64nvme = Some(Crc64Nvme::new()),
            "sha1" => self.hasher.sha1 = Some(Sha1::new()),
            _ => self.hasher.sha256 = Some(Sha256::new()),
        }
    }
}

impl Inspector for Sums {
    fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<BTreeMap<String, String>, BucketError> {
        let Self { hasher, mut announced, awaited, trailers } = *self;
        let late = trailers.and_then(|trailers| trailers.take()).unwrap_or_default();
        for name in awaited {
            let value = late.get(format!("{HEADER}{name}")).and_then(|value| value.to_str().ok());
            announced.insert(name, value.ok_or(BucketError::Digest { digest: name })?.trim().to_owned());
        }
        let found = named(hasher.finalize());
        for (name, value) in announced {
            if found.get(name) != Some(&value) {
                return Err(BucketError::Digest { digest: name });
            }
        }
        Ok(found)
    }
}

/// Checksums by name.
pub(crate) fn named(sums: Checksum) -> BTreeMap<String, String> {
    let all =
        [sums.checksum_crc32, sums.checksum_crc32c, sums.checksum_crc64nvme, sums.checksum_sha1, sums.checksum_sha256];
    NAMES.into_iter().zip(all).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn bytes_have_to_be_those_announced() {
        let crc = [("x-amz-checksum-crc32", "NhCmhg==")];
        let mut sums = Sums::announced(&headers(&crc), None).unwrap();
        sums.update(b"hel");
        sums.update(b"lo");
        assert_eq!(sums.finish().unwrap(), BTreeMap::from([("crc32".to_owned(), "NhCmhg==".to_owned())]));
        let mut sums = Sums::announced(&headers(&crc), None).unwrap();
        sums.update(b"hellO");
        assert!(matches!(sums.finish(), Err(BucketError::Digest { digest: "crc32" })));
        assert!(Sums::announced(&headers(&[("content-type", "x")]), None).is_none());
        let asked = headers(&[("x-amz-sdk-checksum-algorithm", "SHA256")]);
        assert_eq!(Sums::announced(&asked, None).unwrap().finish().unwrap().len(), 1);
    }
}
