//! Bend: signed URLs and cookies, where the behavior asks for them.

use std::sync::Arc;

use anabranch_signing::{Credentials, Denied, Grant, ParsedPolicy, RequestUrl, Source, verify};
use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use parking_lot::Mutex;
use quick_cache::sync::{Cache as QuickCache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::attendance::{Attendance, Attendee};
use crate::audience::{Audience, Claims};
use crate::cmcd;
use crate::refused::{Own, Refused};
use crate::request::{Request, Scheme};
use crate::route::Routed;
use crate::rule::Gate;
use crate::table::Table;

/// Bytes of remembered signatures, over all workers.
const MEMO_BYTES: u64 = 16 << 20;

/// Bytes that a remembered signature takes besides its text, kept twice, about.
const MEMO_ENTRY_BYTES: u64 = 512;

/// Remembered signatures expected at first.
const MEMO_ENTRIES: usize = 4096;

/// Header by which an edge tells its shield what the viewer speaks.
const VIEWER_SCHEME: &str = "x-anabranch-viewer-scheme";

/// A request that may be answered.
#[derive(Debug)]
pub(crate) struct Authorised<'t, 'r> {
    pub(crate) routed: Routed<'t, 'r>,
    /// The signature that opened it, if one was needed.
    pub(crate) pass: Option<Arc<Pass>>,
    /// Of the breakout that the path belongs to, if it was judged by it.
    pub(crate) audience: Option<&'t Audience>,
    /// Another edge asks for its own viewers, whom it has judged.
    pub(crate) for_edge: bool,
    /// What the viewer speaks, with whichever edge.
    pub(crate) scheme: Scheme,
}

/// A signature that has been verified. Time, address and URL are judged again on every use.
#[derive(Debug)]
pub(crate) struct Pass {
    policy: ParsedPolicy,
    /// The viewer's own signature parameters, for the children of a playlist; empty if it came by cookies or covers one URL.
    pub(crate) query: String,
    pub(crate) claims: Claims,
    /// The session's entry in the attendance of the breakout that was asked for last.
    attendee: ArcSwapOption<Attendee>,
    last: Mutex<LastUrl>,
}

impl Pass {
    /// Whether the policy covers the URL. Viewers mostly ask for what they have just asked for, or a file of it: the last answer is
    /// remembered, for the exact text.
    fn covers(&self, url: &RequestUrl<'_>) -> Result<(), Denied> {
        if self.last.try_lock().is_some_and(|last| last.is(url)) {
            return Ok(());
        }
        self.policy.covers(url)?;
        if let Some(mut last) = self.last.try_lock() {
            last.set(url);
        }
        Ok(())
    }
}

/// A URL that a policy covers. Its query is that of the memo's key.
#[derive(Debug, Default)]
struct LastUrl {
    /// Path, host and scheme, without anything between: one string lies in one place of memory.
    text: String,
    path: usize,
    host: usize,
}

impl LastUrl {
    fn is(&self, url: &RequestUrl<'_>) -> bool {
        let (path, host) = (url.path.len(), url.host.len());
        self.path == path
            && self.host == host
            && self.text.len() == path + host + url.scheme.len()
            && self.text.as_bytes().starts_with(url.path.as_bytes())
            && self.text.as_bytes()[path..].starts_with(url.host.as_bytes())
            && self.text.as_bytes().ends_with(url.scheme.as_bytes())
    }

    fn set(&mut self, url: &RequestUrl<'_>) {
        self.text.clear();
        self.text.extend([url.path, url.host, url.scheme]);
        (self.path, self.host) = (url.path.len(), url.host.len());
    }
}

#[derive(Clone, Debug)]
struct ByText;

impl Weighter<Box<[u8]>, Arc<Pass>> for ByText {
    fn weight(&self, key: &Box<[u8]>, _: &Arc<Pass>) -> u64 {
        2 * key.len() as u64 + MEMO_ENTRY_BYTES
    }
}

/// Verified signatures by key set and exact text, so that a hot viewer costs no public-key operation.
#[derive(Debug)]
pub(crate) struct Memo(QuickCache<Box<[u8]>, Arc<Pass>, ByText>);

impl Memo {
    pub(crate) fn new() -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(MEMO_ENTRIES)
            .weight_capacity(MEMO_BYTES)
            .build()
            .expect("every required option is set");
        Self(QuickCache::with_options(options, ByText, DefaultHashBuilder::default(), DefaultLifecycle::default()))
    }
}

/// Whether another edge asks, whose shield this one is.
pub(crate) fn is_from_edge(request: &Request<'_>, shield_token: Option<&str>) -> bool {
    match (request.fields.shield, shield_token) {
        (Some(shown), Some(token)) => verify_slices_are_equal(shown.as_bytes(), token.as_bytes()).is_ok(),
        _ => false,
    }
}

/// What the viewer of an edge speaks, by its word.
fn viewer_scheme(request: &Request<'_>) -> Scheme {
    match request.lines.all(VIEWER_SCHEME).next() {
        Some(b"https") => Scheme::Https,
        Some(b"http") => Scheme::Http,
        _ => request.scheme,
    }
}

/// Lets the request through or refuses it; what comes from an edge has been judged there. `scratch` is overwritten.
///
/// # Errors
/// The behavior needs a signature and the request has none that allows it, or its breakout is not for this viewer now.
pub(crate) fn authorise<'t, 'r>(
    routed: Routed<'t, 'r>,
    memo: &Memo,
    for_edge: bool,
    scratch: &mut Vec<u8>,
    now_ms: i64,
) -> Result<Authorised<'t, 'r>, Refused<'t>> {
    if for_edge {
        let scheme = viewer_scheme(routed.request);
        return Ok(Authorised { routed, pass: None, audience: None, for_edge, scheme });
    }
    let refused = |own| Refused { own, site: Some(routed.site), rule: Some(routed.rule) };
    let judge = |gate| judge(&routed, gate, memo, scratch, now_ms.div_euclid(1000));
    let pass = routed.rule.gate.as_deref().map(judge).transpose().map_err(|denied| refused(Own::Denied(denied)))?;
    let audience = routed
        .site
        .audience(routed.rule, routed.path, claims(pass.as_deref()))
        .map_err(|barred| refused(Own::Barred(barred)))?;
    Ok(Authorised { routed, pass, audience, for_edge, scheme: routed.request.scheme })
}

impl Authorised<'_, '_> {
    /// Whether it is answered although what it asks for is closed or behind the curtain: another edge has judged its viewer, or the signature
    /// says so.
    pub(crate) fn previews(&self) -> bool {
        self.for_edge || self.pass.as_ref().is_some_and(|pass| pass.claims.preview)
    }

    /// Judges once more by what `table` says of the audience, which may be news since the request came.
    ///
    /// # Errors
    /// The breakout is not for this viewer any more.
    pub(crate) fn still(&self, table: &Table) -> Result<(), Own> {
        let Routed { site, rule, path, .. } = self.routed;
        match table.by_id(site.id.as_str()) {
            Some(site) if !self.for_edge => {
                site.audience(rule, path, claims(self.pass.as_deref())).map(drop).map_err(Own::Barred)
            }
            _ => Ok(()),
        }
    }

    /// Notes that the viewer has asked, where the breakout wants it known and the signature names a session.
    pub(crate) fn attend(&self, attendance: &Attendance, now_ms: i64) -> Option<Arc<Attendee>> {
        let audience = self.audience.filter(|audience| audience.attendance)?;
        let pass = self.pass.as_deref()?;
        let session = pass.claims.session.as_deref()?;
        let request = self.routed.request;
        let known = pass.attendee.load();
        let attendee = match known.as_ref().filter(|attendee| attendee.is_of(&audience.breakout)) {
            Some(attendee) => attendee.clone(),
            None => {
                let opened = attendance.open(audience, session, &pass.claims, request, now_ms);
                pass.attendee.store(Some(opened.clone()));
                opened
            }
        };
        attendee.asks(request, now_ms);
        Some(attendee)
    }
}

fn claims(pass: Option<&Pass>) -> Option<&Claims> {
    pass.map(|pass| &pass.claims)
}

fn judge(
    routed: &Routed<'_, '_>,
    gate: &Gate,
    memo: &Memo,
    scratch: &mut Vec<u8>,
    now_seconds: i64,
) -> Result<Arc<Pass>, Denied> {
    let request = routed.request;
    // What a player tells comes after signing, and differs with each request: it must neither break a match nor fill the memo.
    let own = request.query.map(|query| cmcd::strip(query.into()));
    let url =
        RequestUrl { scheme: request.scheme.as_str(), host: request.host, path: request.path, query: own.as_deref() };
    let cookies = || request.fields.cookies.iter().copied().filter(|line| !line.is_empty());
    let query = own.as_deref().unwrap_or("");
    let recall = |scratch: &[u8]| match memo.0.get(scratch) {
        Some(pass) => {
            pass.policy.holds(request.peer, now_seconds)?;
            pass.covers(&url)?;
            Ok(Some(pass))
        }
        None => Ok(None),
    };
    write_memo_key(scratch, gate.serial, Source::Query, query, std::iter::empty());
    if let Some(pass) = recall(scratch)? {
        return Ok(pass);
    }
    let credentials = match Credentials::from_query(query)? {
        Some(credentials) => credentials,
        None => {
            write_memo_key(scratch, gate.serial, Source::Cookies, query, cookies());
            if let Some(pass) = recall(scratch)? {
                return Ok(pass);
            }
            Credentials::from_cookies(cookies())?.ok_or(Denied::MissingKey)?
        }
    };
    let verified = verify(&credentials, &gate.keys, &url, request.peer, now_seconds)?;
    // A canned signature covers one URL: on the children of a playlist it would only be refused.
    let carries = credentials.source() == Source::Query && matches!(credentials.grant(), Grant::Custom { .. });
    let query = if carries { credentials.raw_query().to_owned() } else { String::new() };
    let claims = Claims::read(&verified.policy)?;
    let pass = Arc::new(Pass {
        policy: Arc::unwrap_or_clone(verified.policy),
        query,
        claims,
        attendee: ArcSwapOption::empty(),
        last: Mutex::default(),
    });
    memo.0.insert(scratch.as_slice().into(), pass.clone());
    Ok(pass)
}

/// The very text that decides, own parameters and all: equal text means the same pieces in the same places. What the query alone
/// opens and what cookies open never share a key: else one viewer's cookies would open the door to a viewer without.
fn write_memo_key<'c>(
    out: &mut Vec<u8>,
    serial: u64,
    source: Source,
    query: &str,
    cookies: impl Iterator<Item = &'c str>,
) {
    out.clear();
    out.extend_from_slice(&serial.to_be_bytes());
    out.push(if source == Source::Query { b'q' } else { b'c' });
    out.extend_from_slice(query.as_bytes());
    for line in cookies {
        out.push(b'\n');
        out.extend_from_slice(line.as_bytes());
    }
}
