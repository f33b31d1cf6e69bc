//! Content codings that the edge makes itself, once for each stored object.

use std::io::{self, Write as _};
use std::sync::Arc;

use anabranch_model::Encodings;
use bytes::Bytes;

use crate::body::StoredBody;
use crate::object::Object;

/// Bodies that are compressed: smaller ones gain nothing, larger ones cost too much at once (CloudFront's limits).
const MIN_BYTES: u64 = 1000;
const MAX_BYTES: u64 = 10_000_000;

/// Efforts: what a cache spends once for many viewers.
const BROTLI_QUALITY: i32 = 5;
const BROTLI_WINDOW: i32 = 22;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 7;

#[derive(Clone, Copy, Debug)]
enum Coding {
    Brotli,
    Gzip,
    Zstd,
}

impl Coding {
    fn of(codings: Encodings) -> Option<Self> {
        match codings {
            Encodings { brotli: true, .. } => Some(Self::Brotli),
            Encodings { zstd: true, .. } => Some(Self::Zstd),
            Encodings { gzip: true, .. } => Some(Self::Gzip),
            Encodings { .. } => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn encode(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli => {
                let mut out = Vec::new();
                let params = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    ..brotli::enc::BrotliEncoderParams::default()
                };
                brotli::BrotliCompress(&mut &*plain, &mut out, &params)?;
                Ok(out)
            }
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL),
        }
    }
}

/// Whether a body of that length is compressed.
pub(crate) fn is_worth_compressing(length: u64) -> bool {
    (MIN_BYTES..=MAX_BYTES).contains(&length)
}

/// The object in the best of `codings`; `None` if it is better left as it is.
pub(crate) async fn compress(object: &Arc<Object>, codings: Encodings) -> Option<Arc<Object>> {
    let coding = Coding::of(codings)?;
    if !is_worth_compressing(object.body.length()) {
        return None;
    }
    let object = object.clone();
    // Off the serving thread: it takes as long as thousands of hits.
    let work = move || -> io::Result<Option<Arc<Object>>> {
        let plain = object.body.contiguous()?;
        let coded = coding.encode(&plain)?;
        if coded.len() >= plain.len() {
            return Ok(None);
        }
        let head = Arc::new(object.head.coded(coding.name()));
        Ok(Some(Arc::new(Object::new(head, StoredBody::one(Bytes::from(coded))))))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(coded)) => coded,
        Ok(Err(error)) => {
            tracing::warn!(%error, coding = coding.name(), "a body cannot be compressed");
            None
        }
        Err(error) => {
            tracing::error!(%error, "compressing ended by a fault");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn codings_can_be_undone() {
        let plain = b"#EXTM3U\n#EXT-X-VERSION:7\n".repeat(100);
        let brotli = Coding::Brotli.encode(&plain).unwrap();
        let mut out = Vec::new();
        brotli::BrotliDecompress(&mut brotli.as_slice(), &mut out).unwrap();
        assert_eq!(out, plain);
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(Coding::Gzip.encode(&plain).unwrap().as_slice()).read_to_end(&mut out).unwrap();
        assert_eq!(out, plain);
        assert_eq!(zstd::bulk::decompress(&Coding::Zstd.encode(&plain).unwrap(), plain.len()).unwrap(), plain);
    }
}
