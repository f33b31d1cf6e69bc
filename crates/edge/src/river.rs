//! The viewer request's river, from a parsed request to an answer.

use std::sync::Arc;

use anabranch_http_cache::Served;
use anabranch_model::ErrorPage;

use crate::access_log::{Line, Notes};
use crate::answer::Answer;
use crate::authorise::{Authorised, authorise, is_from_edge};
use crate::closed::{admit, closes, still_open};
use crate::cmcd::Told;
use crate::context::Context;
use crate::decide::decide;
use crate::deliver::{deliver, refuse};
use crate::fetch::{Fetched, fetch};
use crate::head::Head;
use crate::key::key;
use crate::lookup::lookup;
use crate::refused::{Own, Refused};
use crate::request::{CountedBody, Fields, Method, NoBody, ReadBody, Request};
use crate::route::{Routed, route};
use crate::table::Table;
use crate::viewer::Unread;
use crate::worker::Worker;

/// Buffers that a connection uses again for each request.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The answer's head.
    pub(crate) head: Head,
    key: Vec<u8>,
    memo: Vec<u8>,
}

/// Answers a request: route, authorise, key, lookup, decide, fetch (which admits), deliver. The record is in the answer and
/// closes with it. The answer's head is left in `scratch.head`. Waits only for disk and origin, and for the request's body where
/// the behavior takes one.
pub(crate) async fn answer(
    worker: &Arc<Worker>,
    table: &Table,
    request: &Request<'_>,
    body: &mut dyn ReadBody,
    scratch: &mut Scratch,
) -> Answer {
    let context = Context::new(worker);
    let mut notes = Notes::begin(worker.access_log(), worker.clock());
    let mut body = CountedBody::new(body);
    let mut answer = flow(&context, table, request, &mut body, scratch, notes.as_mut()).await;
    if let Some(notes) = notes {
        let id = context.request_id();
        let counters = answer.record.counts_for();
        let line = Line::new(request, counters, (notes, id), scratch.head.as_bytes(), body.bytes());
        answer.record.line = Some(Box::new(line));
    }
    answer
}

async fn flow(
    context: &Context<'_>,
    table: &Table,
    request: &Request<'_>,
    body: &mut dyn ReadBody,
    scratch: &mut Scratch,
    notes: Option<&mut Notes>,
) -> Answer {
    let worker = context.worker;
    let for_edge = is_from_edge(request, worker.config().shield_token.as_deref());
    let authorised = route(table, request, for_edge).and_then(|routed| {
        admit(routed, |routed| authorise(routed, worker.memo(), for_edge, &mut scratch.memo, context.now_ms()))
    });
    let authorised = match authorised {
        Ok(authorised) => authorised,
        Err(refused) => return refuse(&refused, Some(request), &mut scratch.head, context),
    };
    if let (Some(notes), Some(pass)) = (notes, &authorised.pass) {
        notes.session.clone_from(&pass.claims.session);
    }
    let attendee = authorised.attend(worker.attendance(), context.now_ms());
    let site = authorised.routed.site;
    let mut answer = serve(context, table, authorised, request, body, scratch).await;
    if let (Some(attendee), Some(part)) =
        (&attendee, answer.record.part.as_ref().filter(|_| answer.record.status < 400))
    {
        attendee.stays(&site.id, &part.detail.rendition, context.now_ms());
    }
    answer.record.attendee = attendee;
    if let (Some(part), Some(told)) = (&answer.record.part, Told::read(request)) {
        worker.ledger().qualities.note(&part.detail, &told, context.now_ms());
    }
    answer
}

/// Answers a request that may be answered.
async fn serve(
    context: &Context<'_>,
    table: &Table,
    authorised: Authorised<'_, '_>,
    request: &Request<'_>,
    body: &mut dyn ReadBody,
    scratch: &mut Scratch,
) -> Answer {
    let worker = context.worker;
    let (asked, previews) = (authorised.routed, authorised.previews());
    let (site, rule) = (asked.site, asked.rule);
    let fetched = tokio::select! {
        biased;
        fetched = reach(worker, authorised, body, &mut scratch.key, context.now_ms()) => fetched.map_err(Own::Bad),
        own = closes(worker, &asked, previews) => Err(own),
    };
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(own) => {
            let refused = Refused { own, site: Some(site), rule: Some(rule) };
            return refuse(&refused, Some(request), &mut scratch.head, &context.later());
        }
    };
    // A held request must not outlast the viewer's right to its answer.
    if let Err(own) = still(worker, table, &fetched.authorised) {
        let refused = Refused { own, site: Some(site), rule: Some(rule) };
        return refuse(&refused, Some(request), &mut scratch.head, &context.later());
    }
    // A fetch may have taken time, which counts in ages.
    let later = if fetched.served == Served::Hit { None } else { Some(context.later()) };
    let context = later.as_ref().unwrap_or(context);
    match error_page(&fetched) {
        Some(page) => deliver_page(fetched, page, scratch, context).await,
        None => deliver(fetched, None, &mut scratch.head, context).await,
    }
}

/// Whether the request may still be answered, if the table has changed since it came.
fn still(worker: &Worker, table: &Table, authorised: &Authorised<'_, '_>) -> Result<(), Own> {
    let newest = worker.table().load();
    if std::ptr::eq::<Table>(&**newest, table) {
        return Ok(());
    }
    if !authorised.previews() {
        still_open(&newest, &authorised.routed)?;
    }
    authorised.still(&newest)
}

/// From a request that may be answered to what answers it.
async fn reach<'t, 'r>(
    worker: &Arc<Worker>,
    authorised: Authorised<'t, 'r>,
    body: &mut dyn ReadBody,
    buffer: &mut Vec<u8>,
    now_ms: i64,
) -> Result<Fetched<'t, 'r>, u16> {
    let keyed = key(authorised, buffer);
    let found = lookup(keyed, worker, now_ms).await;
    fetch(decide(found, now_ms), body, worker).await
}

/// The page in place of an error, unless another edge asks: it has its own.
fn error_page<'t>(fetched: &Fetched<'t, '_>) -> Option<&'t ErrorPage> {
    let status = fetched.source.head().status;
    if status < 400 || fetched.authorised.for_edge {
        return None;
    }
    fetched.authorised.routed.rule.error(status)?.page.as_ref()
}

/// Answers with the page, got as a viewer's request for it would be; with the error itself if there is no such page.
async fn deliver_page(
    fetched: Fetched<'_, '_>,
    page: &ErrorPage,
    scratch: &mut Scratch,
    context: &Context<'_>,
) -> Answer {
    let asked = fetched.authorised.routed;
    // Of its fields only what a script needs to read the page counts.
    let fields = Fields { origin: asked.request.fields.origin, ..Fields::default() };
    let request = Request { path: &page.path, query: None, fields, ..*asked.request };
    if !matches!(request.method, Method::Get | Method::Head) {
        return deliver(fetched, None, &mut scratch.head, context).await;
    }
    let request = Request { method: Method::Get, ..request };
    let routed = Routed { request: &request, site: asked.site, rule: asked.site.rule(&page.path), path: &page.path };
    let authorised =
        Authorised { routed, pass: None, audience: None, for_edge: false, scheme: fetched.authorised.scheme };
    let got = reach(context.worker, authorised, &mut NoBody, &mut scratch.key, context.now_ms()).await;
    match got {
        Ok(mut got) if got.source.head().status == 200 => {
            let shown = Request { method: asked.request.method, ..request };
            got.authorised.routed.request = &shown;
            got.served = fetched.served;
            // Getting the page may have taken time too.
            deliver(got, Some(page.status), &mut scratch.head, &context.later()).await
        }
        Ok(_) | Err(_) => deliver(fetched, None, &mut scratch.head, context).await,
    }
}

/// Answers what could not be read as a request.
pub(crate) fn answer_unread(worker: &Arc<Worker>, unread: Unread<'_>, scratch: &mut Scratch) -> Answer {
    let context = Context::new(worker);
    let notes = Notes::begin(worker.access_log(), worker.clock());
    let refused = Refused { own: Own::Bad(unread.status), site: None, rule: None };
    let mut answer = refuse(&refused, None, &mut scratch.head, &context);
    if let Some(notes) = notes {
        let id = context.request_id();
        let line = Line::unread(&unread, answer.record.counts_for(), (notes, id), scratch.head.as_bytes());
        answer.record.line = Some(Box::new(line));
    }
    answer
}
