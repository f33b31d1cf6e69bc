//! Bend: the answer that the viewer gets.

use anabranch_signing::Denied;
use bytes::Bytes;
use metrics::counter;

use crate::answer::{Answer, Body};
use crate::closed;
use crate::context::Context;
use crate::fetch::Fetched;
use crate::head::Head;
use crate::headers::ResponseHeaders;
use crate::object_head::bodyless;
use crate::outcome::Outcome;
use crate::refused::{Own, Refused};
use crate::request::{Method, Request, host_without_port};
use crate::rewrite::handed;
use crate::route::Routed;
use crate::view::View;

/// Lines of short answers in words.
const PLAIN_LINES: &[u8] = b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n";

/// Header by which players learn why a breakout is not for them now.
const REASON_HEADER: &str = "x-anabranch-denied";

/// Writes the head of an answer from an object and says what follows it. `status` replaces the object's: it is an error page.
pub(crate) async fn deliver(
    fetched: Fetched<'_, '_>,
    status: Option<u16>,
    head: &mut Head,
    context: &Context<'_>,
) -> Answer {
    let Fetched { authorised, source, served, revalidated } = fetched;
    let Routed { request, site, rule, path } = authorised.routed;
    let handed = if status.is_none() { handed(&authorised, source.head()) } else { None };
    let view = View { request, rule, site, path, served, revalidated, for_edge: authorised.for_edge, status };
    if let Some(handed) = handed {
        return view.rewritten(source, &handed, head, context).await;
    }
    view.plain(source, head, context)
}

/// Writes an answer of the edge's own.
pub(crate) fn refuse(
    refused: &Refused<'_>,
    request: Option<&Request<'_>>,
    head: &mut Head,
    context: &Context<'_>,
) -> Answer {
    let (status, text) = own_text(&refused.own);
    head.start(status);
    head.date(context.now_ms());
    context.write_request_id(head);
    let (mut denied, mut lines) = (None, PLAIN_LINES);
    match status {
        400.. => head.lines(b"x-cache: Error from cloudfront\r\n"),
        300..400 => head.lines(b"x-cache: Redirect from cloudfront\r\n"),
        _ => {}
    }
    match &refused.own {
        // The words that clients of CloudFront know.
        Own::Denied(reason) => {
            denied = Some(reason.body());
            lines = b"server: CloudFront\r\ncontent-type: text/xml\r\n";
        }
        Own::Barred(barred) => {
            denied = Some(Denied::WrongResource.body());
            lines = b"server: CloudFront\r\ncontent-type: text/xml\r\ncache-control: no-store\r\n";
            head.field(REASON_HEADER, barred.as_str());
            counter!("anabranch_edge_audience_refusals_total", "reason" => barred.as_str()).increment(1);
        }
        Own::Preflight => lines = b"",
        Own::MethodNotAllowed => {
            head.field("allow", refused.rule.map_or("GET, HEAD", |rule| rule.allow()));
        }
        Own::ToHttps => {
            if let Some(request) = request {
                write_location(head, request, context.https_port());
            }
        }
        Own::ToRoot => {
            if let Some(request) = request {
                let query = request.query.map_or(String::new(), |query| format!("?{query}"));
                head.field("location", format_args!("{}/{query}", request.path));
            }
        }
        Own::Misdirected | Own::Disabled | Own::HttpsOnly | Own::Closed(_) | Own::Bad(_) => {}
    }
    match (&refused.own, refused.rule.map(|rule| &rule.headers), request) {
        (Own::Closed(region), headers, Some(request)) => {
            head.lines(lines);
            closed::write(region, headers, request, head);
        }
        (own, Some(headers), Some(request)) => write_policy(own, headers, request, lines, head),
        _ => head.lines(lines),
    }
    let body = denied.map_or(Bytes::from_static(text.as_bytes()), Bytes::from);
    if !bodyless(status) {
        head.number(b"content-length", body.len() as u64);
    }
    let silent = bodyless(status) || request.is_some_and(|request| request.method == Method::Head);
    let body = if silent { Body::Empty } else { Body::Bytes(body) };
    let record = match request {
        Some(request) => {
            let place = refused.site.zip(refused.rule).map(|(site, rule)| (site, rule, request.path));
            let outcome = if matches!(refused.own, Own::Closed(_)) { Outcome::Closed } else { Outcome::Own };
            context.record(place, status, outcome)
        }
        None => context.record_unread(status),
    };
    Answer { status, sized: true, body, record }
}

/// Writes `lines`, the edge's own, as the behavior's response headers policy has it, and what the policy adds.
fn write_policy(own: &Own, headers: &ResponseHeaders, request: &Request<'_>, lines: &[u8], head: &mut Head) {
    if *own == Own::Preflight {
        if let Some(cors) = &headers.cors {
            cors.write_preflight(request, head);
        }
        return;
    }
    if headers.keeps_all() {
        head.lines(lines);
    } else {
        headers.filter(lines, head);
    }
    headers.write(request, b"", head);
    // Pages of other origins see no header that is not named; a second line of this name adds to the first.
    if let (Own::Barred(_), Some(_)) = (own, &headers.cors) {
        head.field("access-control-expose-headers", REASON_HEADER);
    }
}

fn own_text(own: &Own) -> (u16, &'static str) {
    match own {
        Own::Misdirected => (421, "No distribution here answers to this host.\n"),
        Own::Disabled => (403, "This distribution is disabled.\n"),
        Own::MethodNotAllowed => (405, "This method is not served here.\n"),
        Own::Preflight => (204, ""),
        Own::ToRoot => (301, "The root of a distribution ends with a slash.\n"),
        Own::ToHttps => (301, "This distribution is served by HTTPS.\n"),
        Own::HttpsOnly => (403, "This distribution is served by HTTPS only.\n"),
        Own::Denied(_) | Own::Barred(_) => (403, ""),
        Own::Closed(_) => (404, "This region is closed.\n"),
        Own::Bad(status) => (
            *status,
            match status {
                414 => "The request target is too long.\n",
                431 => "The request head is too large.\n",
                408 => "The request did not arrive in time.\n",
                413 => "The request's body is too large.\n",
                501 => "This transfer coding is not supported.\n",
                505 => "This version of HTTP is not supported.\n",
                _ => "The request cannot be understood.\n",
            },
        ),
    }
}

/// The same URL by HTTPS.
fn write_location(head: &mut Head, request: &Request<'_>, port: u16) {
    let name = host_without_port(request.host).unwrap_or("");
    let query = request.query.map_or(String::new(), |query| format!("?{query}"));
    if port == 443 {
        head.field("location", format_args!("https://{name}{}{query}", request.path));
    } else {
        head.field("location", format_args!("https://{name}:{port}{}{query}", request.path));
    }
}
