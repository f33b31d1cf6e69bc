//! Content codings that the edge makes itself, once for each stored object.

use std::fmt;
use std::io::{self, Write as _};

use anabranch_model::Encodings;
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies that are compressed: smaller ones gain nothing, larger ones cost too much at once (CloudFront's limits).
pub(crate) const MIN_BYTES: u64 = 1000;
const MAX_BYTES: u64 = 10_000_000;

/// A window of 512 KiB holds most texts, and a coder in a few MiB.
const WINDOW_LOG: u32 = 19;

/// How much a coder tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    brotli: u32,
    gzip: u32,
    zstd: i32,
}

impl Effort {
    /// What a cache spends once for many viewers.
    pub(crate) const ONCE: Self = Self { brotli: 5, gzip: 6, zstd: 7 };

    /// What is spent for each viewer.
    pub(crate) const EACH: Self = Self { brotli: 2, gzip: 3, zstd: 1 };
}

/// Bytes that a brotli coder puts out at once.
const BROTLI_BUFFER_BYTES: usize = 16 << 10;

/// Bodies that are coded at once, in the whole process: each holds memory for as long as its origin takes to send it.
static PRESSES: Semaphore = Semaphore::const_new(64);

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
}

/// Whether a body of that length is compressed.
pub(crate) fn is_worth_compressing(length: u64) -> bool {
    (MIN_BYTES..=MAX_BYTES).contains(&length)
}

/// A coder and what it has put out.
enum Coder {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coder {
    fn new(coding: Coding, effort: Effort) -> io::Result<Self> {
        Ok(match coding {
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                effort.brotli,
                WINDOW_LOG,
            ))),
            Coding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(effort.gzip)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), effort.zstd)?;
                encoder.window_log(WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn code(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(match self {
            Self::Brotli(coder) => {
                coder.write_all(plain)?;
                coder.get_mut()
            }
            Self::Gzip(coder) => {
                coder.write_all(plain)?;
                coder.get_mut()
            }
            Self::Zstd(coder) => {
                coder.write_all(plain)?;
                coder.get_mut()
            }
        }))
    }

    /// Puts out all that has been taken in.
    fn flush(&mut self) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(match self {
            Self::Brotli(coder) => {
                coder.flush()?;
                coder.get_mut()
            }
            Self::Gzip(coder) => {
                coder.flush()?;
                coder.get_mut()
            }
            Self::Zstd(coder) => {
                coder.flush()?;
                coder.get_mut()
            }
        }))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli(coder) => Ok((*coder).into_inner()),
            Self::Gzip(coder) => coder.finish(),
            Self::Zstd(coder) => coder.finish(),
        }
    }
}

/// A body that is coded piece by piece, off the serving thread: it takes as long as thousands of hits.
pub(crate) struct Press {
    coding: Coding,
    /// Absent once it has failed or finished.
    coder: Option<Coder>,
    /// Whether it holds bytes that it has not put out.
    dirty: bool,
    _permit: SemaphorePermit<'static>,
}

impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Press").field("coding", &self.coding).finish_non_exhaustive()
    }
}

impl Press {
    /// A press for the best of `codings`; `None` if there is none, or too many are at work.
    pub(crate) fn begin(codings: Encodings, effort: Effort) -> Option<Self> {
        let coding = Coding::of(codings)?;
        let permit = PRESSES.try_acquire().ok()?;
        let coder = told(coding, Coder::new(coding, effort))?;
        Some(Self { coding, coder: Some(coder), dirty: false, _permit: permit })
    }

    /// Name of the coding.
    pub(crate) fn name(&self) -> &'static str {
        self.coding.name()
    }

    /// Whether [`Self::flush`] would give something.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Takes `plain` and gives what is ready. `None` if it cannot, which has been logged; then it never can again.
    pub(crate) async fn code(&mut self, plain: Bytes) -> Option<Bytes> {
        self.dirty = true;
        self.work(move |mut coder| Ok((coder.code(&plain)?, Some(coder)))).await
    }

    /// Gives everything so far, as [`Self::code`].
    pub(crate) async fn flush(&mut self) -> Option<Bytes> {
        self.dirty = false;
        self.work(|mut coder| Ok((coder.flush()?, Some(coder)))).await
    }

    /// Gives the rest, as [`Self::code`]; nothing more can be taken.
    pub(crate) async fn finish(&mut self) -> Option<Bytes> {
        self.dirty = false;
        self.work(|coder| Ok((coder.finish()?, None))).await
    }

    async fn work(
        &mut self,
        work: impl FnOnce(Coder) -> io::Result<(Vec<u8>, Option<Coder>)> + Send + 'static,
    ) -> Option<Bytes> {
        let coder = self.coder.take()?;
        match tokio::task::spawn_blocking(move || work(coder)).await {
            Ok(done) => {
                let (out, coder) = told(self.coding, done)?;
                self.coder = coder;
                Some(Bytes::from(out))
            }
            Err(error) => {
                tracing::error!(%error, coding = self.name(), "compressing ended by a fault");
                None
            }
        }
    }
}

fn told<T>(coding: Coding, result: io::Result<T>) -> Option<T> {
    result.map_err(|error| tracing::warn!(%error, coding = coding.name(), "a body cannot be compressed")).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn undone(coding: &str, coded: &[u8], length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            "br" => brotli::BrotliDecompress(&mut &*coded, &mut out).unwrap(),
            "gzip" => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut out).unwrap()),
            _ => out = zstd::bulk::decompress(coded, length).unwrap(),
        }
        out
    }

    #[tokio::test]
    async fn codings_can_be_undone_however_the_body_comes() {
        let plain = Bytes::from(b"#EXTM3U\n#EXT-X-VERSION:7\n".repeat(10_000));
        let none = Encodings::default();
        for codings in
            [Encodings { brotli: true, ..none }, Encodings { gzip: true, ..none }, Encodings { zstd: true, ..none }]
        {
            for (piece, flushes, effort) in
                [(plain.len(), false, Effort::ONCE), (7777, false, Effort::EACH), (7777, true, Effort::ONCE)]
            {
                let mut press = Press::begin(codings, effort).unwrap();
                let mut coded = Vec::new();
                for at in (0..plain.len()).step_by(piece) {
                    coded.extend(press.code(plain.slice(at..plain.len().min(at + piece))).await.unwrap());
                    assert!(press.is_dirty());
                    if flushes {
                        coded.extend(press.flush().await.unwrap());
                    }
                }
                coded.extend(press.finish().await.unwrap());
                assert!(undone(press.name(), &coded, plain.len()) == plain, "{press:?} by {piece}");
                assert!(coded.len() < plain.len() / 10, "{} of {press:?}", coded.len());
                assert!(press.code(plain.clone()).await.is_none());
            }
        }
        assert!(Press::begin(none, Effort::ONCE).is_none());
    }
}
