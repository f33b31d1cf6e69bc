//! Bend, where a behavior asks for it: a playlist whose URIs carry the viewer's signature, made while it is sent.

use std::sync::Arc;

use anabranch_http_cache::{Condition, evaluate_condition};
use anabranch_model::Encodings;
use bytes::{Buf as _, Bytes};
use tokio::task::yield_now;

use crate::answer::{Answer, Body};
use crate::authorise::Authorised;
use crate::compress::{Effort, MIN_BYTES, Press};
use crate::config::{Carried, Rewriting};
use crate::context::Context;
use crate::copies::Handed;
use crate::fetch::Source;
use crate::flight::{Broken, Flight};
use crate::head::Head;
use crate::key::accepted;
use crate::object::Object;
use crate::object_head::{Begun, ObjectHead};
use crate::request::Method;
use crate::view::View;

/// Most bytes of a stored body that are read at once.
const READ_BYTES: u64 = 64 << 10;

/// Bytes of a rewritten body that are made at once. What is shorter is whole before it is sent, so that its length can be told.
const PIECE_BYTES: usize = 256 << 10;

/// How many times longer a playlist becomes, likely: a line of 60 bytes gets a signature of 600.
const LIKELY_GROWTH: usize = 12;

/// What the URIs of a playlist carry for this viewer: copies of a signature where the request has them, else the signature that
/// opened it. Nothing where another edge asks, which does it itself.
pub(crate) fn handed<'a>(authorised: &'a Authorised<'_, '_>, facts: &ObjectHead) -> Option<Handed<'a>> {
    let (request, rule) = (authorised.routed.request, authorised.routed.rule);
    let wanted = facts.status == 200 && facts.is_plain() && !authorised.for_edge;
    if !wanted || !rule.rewrites(facts, authorised.routed.path) {
        return None;
    }
    let copies = || rule.copies.as_ref()?.handed(request.query?);
    copies().or_else(|| {
        let signature = authorised.pass.as_ref().map(|pass| pass.query.as_str()).filter(|query| !query.is_empty())?;
        Some(Handed { playlists: signature.into(), others: signature.into() })
    })
}

impl View<'_, '_> {
    /// A playlist whose URIs carry what is handed on. A short one waits for the origin's last byte; a long one is sent as it comes.
    pub(crate) async fn rewritten(
        &self,
        source: Source,
        handed: &Handed<'_>,
        head: &mut Head,
        context: &Context<'_>,
    ) -> Answer {
        let facts = match &source {
            Source::Whole(object) => object.head.clone(),
            Source::Growing(facts, _) => facts.clone(),
        };
        let facts = &facts;
        let etag = facts.etag.as_deref().map(|etag| viewer_etag(etag, handed));
        let mut lines = without_validators(&facts.lines);
        let may_be_coded =
            self.rule.compress && facts.compressible && self.rule.keying.encodings != Encodings::default();
        if may_be_coded && !facts.varies_by_coding() {
            lines.extend_from_slice(b"vary: Accept-Encoding\r\n");
        }
        // Other viewers get other bytes, so only the tag of these very bytes counts, and no date does.
        let known = self.request.fields.if_none_match;
        if evaluate_condition(known, None, etag.as_deref(), None) == Condition::NotModified {
            return self.not_modified(&lines, etag.as_deref(), facts, head, context);
        }
        // A body that was not asked for tells no length.
        let bodyless = self.request.method == Method::Head && matches!(source, Source::Growing(..));
        let Handed { playlists, others } = handed;
        let signed_hosts = &self.rule.signed_hosts;
        let carried = Carried { playlists, others, authority: self.request.host, signed_hosts };
        let mut made = Made::new(source, (context.transforms().signed_playlist)(&carried));
        let Ok(first) = (if bodyless { Ok(Bytes::new()) } else { made.more().await }) else {
            let text = "The origin's answer cannot be used.\n";
            let made = Arc::new(Object::made(502, text, Begun::default(), context.now_ms()));
            return self.plain(Source::Whole(made), head, context);
        };
        let pays = may_be_coded && first.len() as u64 >= MIN_BYTES;
        let press = if pays { Press::begin(accepted(self.rule, self.request), Effort::EACH) } else { None };
        head.start(200);
        self.origin_lines(&lines, head);
        if let Some(etag) = etag {
            head.field("etag", etag);
        }
        if let Some(press) = &press {
            head.field("content-encoding", press.name());
        }
        let sized = made.ended && press.is_none() && !bodyless;
        if sized {
            head.number(b"content-length", first.len() as u64);
        }
        self.tail(200, head, facts, context);
        let body = match self.request.method {
            Method::Head => Body::Empty,
            _ if sized => Body::Bytes(first),
            _ => {
                let flight = Flight::alone(Begun::default());
                let follower = flight.follow();
                flight.begin(facts.clone());
                context.spawn(made.send(first, press, Sending(flight)));
                Body::Growing { follower, start: 0, end: u64::MAX }
            }
        };
        self.answer(200, sized || self.request.method == Method::Head, body, context)
    }
}

/// A body that is rewritten as it is read.
#[derive(Debug)]
struct Made {
    source: Source,
    /// Bytes of it that have been read.
    read: u64,
    /// Those of them that are not rewritten yet.
    rest: Bytes,
    rewriting: Box<dyn Rewriting>,
    /// Bytes that the next piece is likely to have.
    likely: usize,
    ended: bool,
}

impl Made {
    fn new(source: Source, rewriting: Box<dyn Rewriting>) -> Self {
        let length = match &source {
            Source::Whole(object) => object.body.length(),
            Source::Growing(facts, _) => facts.length.unwrap_or(0),
        };
        let likely = usize::try_from(length).unwrap_or(PIECE_BYTES).saturating_mul(LIKELY_GROWTH).min(PIECE_BYTES);
        Self { source, read: 0, rest: Bytes::new(), rewriting, likely, ended: false }
    }

    /// The next [`PIECE_BYTES`] of the new body, or what is left of it.
    async fn more(&mut self) -> Result<Bytes, Broken> {
        let mut out = Vec::with_capacity(self.likely);
        while !self.ended && out.len() < PIECE_BYTES {
            if self.rest.is_empty() {
                match self.next().await? {
                    Some(bytes) => self.rest = bytes,
                    None => {
                        self.rewriting.finish(&mut out);
                        self.ended = true;
                    }
                }
            }
            let Some(taken) = self.rewriting.push(&self.rest, &mut out, PIECE_BYTES) else {
                // What an origin breaks off is told where it is fetched.
                tracing::warn!("a playlist cannot be rewritten");
                return Err(Broken);
            };
            self.rest.advance(taken);
        }
        Ok(out.into())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let end = self.read + READ_BYTES;
        let next = match &mut self.source {
            Source::Whole(object) => object.body.at(self.read, end).map_err(|_| Broken)?,
            Source::Growing(_, follower) => follower.next(self.read, end).await?,
        };
        self.read += next.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(next)
    }

    /// Makes and sends the rest after `first`, as fast as the viewer takes it. If it breaks off the viewer is cut off, visibly.
    async fn send(mut self, first: Bytes, mut press: Option<Press>, sending: Sending) {
        let flight = &sending.0;
        let mut piece = first;
        loop {
            let ready = match &mut press {
                Some(press) => press.code(piece).await,
                None => Some(piece),
            };
            let Some(ready) = ready else { return };
            flight.grow(ready);
            flight.room(PIECE_BYTES as u64).await;
            if flight.is_deserted() {
                return;
            }
            if self.ended {
                break;
            }
            // What is stored is made without waiting for anything.
            yield_now().await;
            let Ok(next) = self.more().await else { return };
            piece = next;
        }
        if let Some(press) = &mut press {
            let Some(rest) = press.finish().await else { return };
            flight.grow(rest);
        }
        flight.end();
    }
}

/// A flight that fails unless it is ended.
struct Sending(Arc<Flight>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// A weak tag of a body that depends on what the viewer is handed.
fn viewer_etag(etag: &str, handed: &Handed<'_>) -> String {
    /// FNV-1a, 64 bits: it tells signatures apart, nothing more.
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = handed.playlists.bytes().chain([b'\n']).chain(handed.others.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let opaque = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    format!("W/\"{opaque}-{hash:016x}\"")
}

fn without_validators(lines: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(lines.len());
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        // Stored names are in lower case. The date of the bare body says nothing of the rewritten one.
        if !line.starts_with(b"etag:") && !line.starts_with(b"last-modified:") && !line.starts_with(b"accept-ranges:") {
            kept.extend_from_slice(line);
        }
    }
    kept
}
