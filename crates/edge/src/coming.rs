//! An origin's body as it goes into the cache: as it comes, or coded by the edge meanwhile.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use anabranch_model::Encodings;
use bytes::{Bytes, BytesMut};

use crate::compress::{Effort, MIN_BYTES, Press};
use crate::upstream::{Answer, Failure, Pool};

/// A body on its way from an origin.
#[derive(Debug)]
pub(crate) struct Coming {
    answer: Answer,
    /// What was taken to see whether coding pays, as it is passed on.
    first: Option<Bytes>,
    press: Option<Press>,
    coding: Option<&'static str>,
    /// Bytes that the origin has sent.
    length: u64,
    ended: bool,
}

impl Coming {
    /// A body as it comes.
    pub(crate) fn plain(answer: Answer) -> Self {
        Self { answer, first: None, press: None, coding: None, length: 0, ended: false }
    }

    /// A body in the best of `codings`, or as it comes if it is too short for that, its beginning gains nothing or too many are
    /// coded at once. Waits for its first [`MIN_BYTES`].
    ///
    /// # Errors
    /// The body broke off before that.
    pub(crate) async fn coded(answer: Answer, codings: Encodings) -> Result<Self, Failure> {
        let mut coming = Self::plain(answer);
        let Some(mut press) = Press::begin(codings, Effort::ONCE) else { return Ok(coming) };
        let mut first = BytesMut::new();
        while (first.len() as u64) < MIN_BYTES && !coming.ended {
            match coming.answer.next().await? {
                Some(bytes) => first.extend_from_slice(&bytes),
                None => coming.ended = true,
            }
        }
        let first = first.freeze();
        coming.length = first.len() as u64;
        coming.first = Some(first.clone()).filter(|first| !first.is_empty());
        if coming.length < MIN_BYTES {
            return Ok(coming);
        }
        let begun = async {
            let mut coded = BytesMut::from(&*press.code(first).await?);
            coded.extend_from_slice(&press.flush().await?);
            Some(coded.freeze())
        };
        if let Some(coded) = begun.await.filter(|coded| (coded.len() as u64) < coming.length) {
            coming.first = Some(coded);
            coming.coding = Some(press.name());
            coming.press = Some(press);
        }
        Ok(coming)
    }

    /// Name of the coding that the edge makes of it.
    pub(crate) fn coding(&self) -> Option<&'static str> {
        self.coding
    }

    /// Bytes that the origin has sent so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes; nothing at the end. What a pause of the origin finds in the coder is given out.
    ///
    /// # Errors
    /// The body is cut off, malformed or too slow, or cannot be coded.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(press) = &mut self.press else {
            let bytes = if self.ended { None } else { self.answer.next().await? };
            self.length += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            return Ok(bytes);
        };
        while !self.ended {
            let paused = {
                let mut next = pin!(self.answer.next());
                match poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
                    Poll::Ready(piece) => Some(piece?),
                    // Nothing has been taken by it: it can be dropped.
                    Poll::Pending if press.is_dirty() => None,
                    Poll::Pending => Some(next.await?),
                }
            };
            let coded = match paused {
                None => press.flush().await,
                Some(Some(bytes)) => {
                    self.length += bytes.len() as u64;
                    press.code(bytes).await
                }
                Some(None) => {
                    self.ended = true;
                    press.finish().await
                }
            };
            let coded = coded.ok_or(Failure::Broken)?;
            if !coded.is_empty() {
                return Ok(Some(coded));
            }
        }
        Ok(None)
    }

    /// Gives the connection back, if the body has been read to its end; otherwise it is closed.
    pub(crate) fn release(self, pool: &Pool) {
        pool.release(self.answer);
    }
}
