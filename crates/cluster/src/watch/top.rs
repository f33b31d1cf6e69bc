//! The playlist that was given: what it names, and whether that changes.

use bytes::Bytes;
use reqwest::Url;

use super::discovery::{Listed, Listing, Role};
use super::fetch::{Answer, Trouble};
use super::playlist::NEVER;
use super::position::{Hash, hash};
use super::sample::{self, NotPlaylist, Text};
use super::{Moment, RETRY_MS};

/// Shortest pause between two looks at a multivariant playlist, in milliseconds.
const PAUSE_MIN_MS: u64 = 1000;

/// What an answer of the playlist that was given means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is as it was.
    Nothing,
    /// It names these, for the first time or others than before.
    Listed(Listing),
    /// It cannot be used.
    Failed,
}

#[derive(Debug)]
pub(super) struct Top {
    pub(super) url: Url,
    pub(super) next_ms: u64,
    pub(super) is_under_way: bool,
    /// Why the last answer could not be used.
    pub(super) trouble: Option<Trouble>,
    pub(super) failing_since: Option<Moment>,
    /// Whether it was ever read.
    pub(super) is_known: bool,
    text: Option<Hash>,
    etag: Option<String>,
}

impl Top {
    pub(super) fn new(url: Url, now: Moment) -> Self {
        Self {
            url,
            next_ms: now.at_ms,
            is_under_way: false,
            trouble: None,
            failing_since: None,
            is_known: false,
            text: None,
            etag: None,
        }
    }

    pub(super) fn ask(&mut self) -> Option<String> {
        self.is_under_way = true;
        self.etag.clone()
    }

    /// Takes an answer; it is asked again after `pause_ms`, the duration of its playlists.
    pub(super) fn answered(&mut self, answer: Answer, now: Moment, pause_ms: u64) -> News {
        self.is_under_way = false;
        self.next_ms = now.at_ms.saturating_add(pause_ms.max(PAUSE_MIN_MS));
        let news = match answer {
            Answer::NotModified => Ok(News::Nothing),
            Answer::Failed(trouble) => Err(trouble),
            Answer::Body { bytes, etag, url } => {
                let news = self.take(&bytes, &url.as_ref().unwrap_or(&self.url).clone());
                self.etag = news.is_ok().then_some(etag).flatten();
                news.map_err(Trouble::NotPlaylist)
            }
        };
        match news {
            Ok(news) => {
                self.is_known = true;
                self.trouble = None;
                self.failing_since = None;
                news
            }
            Err(trouble) => {
                self.trouble = Some(trouble);
                self.failing_since = self.failing_since.or(Some(now));
                if !self.is_known {
                    self.next_ms = now.at_ms.saturating_add(RETRY_MS);
                }
                News::Failed
            }
        }
    }

    fn take(&mut self, bytes: &Bytes, base: &Url) -> Result<News, NotPlaylist> {
        let text = hash(bytes);
        if self.text == Some(text) {
            return Ok(News::Nothing);
        }
        let listing = match sample::read(bytes, base)? {
            Text::Multivariant(listing) if listing.playlists.is_empty() => return Err(NotPlaylist::Empty),
            Text::Multivariant(listing) => listing,
            Text::Media(_) if self.is_known => return Err(NotPlaylist::Kind),
            Text::Media(_) => {
                // It is itself what is watched.
                self.next_ms = NEVER;
                let one = Listed { url: self.url.clone(), role: Role::Variant, label: String::new() };
                Listing { playlists: vec![one], left_out: 0 }
            }
        };
        self.text = Some(text);
        Ok(News::Listed(listing))
    }
}
