//! Response headers that a behavior sets, takes away or answers preflights with.

use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_model::{CorsPolicy, ResponseHeadersPolicy};
use http::{HeaderName, HeaderValue};

use crate::head::Head;
use crate::pattern::wild;
use crate::request::Request;

/// Longest list of header names that a preflight echoes.
const MAX_ECHO_BYTES: usize = 1024;

/// Methods that `ALL` stands for.
const ALL_METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS";

/// A response headers policy, ready to be written.
#[derive(Debug, Default)]
pub(crate) struct ResponseHeaders {
    pub(crate) cors: Option<Cors>,
    /// Lines of every answer.
    set: Box<[u8]>,
    /// Fields of the origin that are replaced or taken away.
    dropped: Box<[Box<str>]>,
    /// Lines where the origin sends no such field.
    soft: Box<[Soft]>,
    /// Every how many answers one has a `Server-Timing`; 0 for none.
    timing_every: u64,
    answers: AtomicU64,
}

/// Name and line of a field that is set where the origin sends none.
type Soft = (Box<str>, Box<[u8]>);

/// A CORS policy, ready to be written.
#[derive(Debug)]
pub(crate) struct Cors {
    /// Those that are echoed.
    named: Box<[Box<str>]>,
    /// Whether any other may read, too.
    any: bool,
    /// Lines of a preflight's answer besides the origin's.
    preflight_lines: Box<[u8]>,
    /// Line of answers that are none.
    expose_line: Box<[u8]>,
    /// `*`: the asked headers are echoed when credentials forbid the star.
    any_header: bool,
    credentials: bool,
    /// Whether the origin's own CORS headers give way.
    overrides: bool,
}

impl ResponseHeaders {
    pub(crate) fn compile(policy: &ResponseHeadersPolicy) -> Self {
        let (mut set, mut soft, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for rule in &policy.set {
            // Values come from operators: one that is no header value must not end a line early.
            let (Ok(name), Ok(_)) = (rule.name.parse::<HeaderName>(), HeaderValue::from_str(&rule.value)) else {
                tracing::error!(header.name = rule.name, "a response header policy has a field that is none");
                continue;
            };
            let line = format!("{name}: {}\r\n", rule.value).into_bytes();
            if rule.overrides {
                dropped.push(name.as_str().into());
                set.extend_from_slice(&line);
            } else {
                soft.push((name.as_str().into(), line.into_boxed_slice()));
            }
        }
        dropped.extend(policy.remove.iter().map(|name| name.to_ascii_lowercase().into_boxed_str()));
        let percent = policy.server_timing_percent.unwrap_or(0.0).clamp(0.0, 100.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1, and capped by the type"
        )]
        let timing_every = if percent > 0.0 { (100.0 / percent).round().max(1.0) as u64 } else { 0 };
        Self {
            cors: policy.cors.as_ref().map(Cors::compile),
            set: set.into(),
            dropped: dropped.into(),
            soft: soft.into(),
            timing_every,
            answers: AtomicU64::new(0),
        }
    }

    /// Whether the origin's lines go out as they are, without a look at their names.
    pub(crate) fn keeps_all(&self) -> bool {
        self.dropped.is_empty() && self.soft.is_empty()
    }

    /// The origin's `lines`, without what is dropped, and the soft ones that they lack. Lines set always follow in [`Self::write`].
    pub(crate) fn filter(&self, lines: &[u8], head: &mut Head) {
        let mut missing = vec![true; self.soft.len()];
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or(&[]);
            if let Some(at) = self.soft.iter().position(|(soft, _)| soft.as_bytes() == name) {
                missing[at] = false;
            }
            if !self.dropped.iter().any(|dropped| dropped.as_bytes() == name) {
                head.lines(line);
            }
        }
        for (missing, (_, line)) in missing.into_iter().zip(&self.soft) {
            if missing {
                head.lines(line);
            }
        }
    }

    /// Lines that every answer of the behavior has, with CORS; `origin_lines` are the origin's own CORS lines.
    pub(crate) fn write(&self, request: &Request<'_>, origin_lines: &[u8], head: &mut Head) {
        head.lines(&self.set);
        match &self.cors {
            Some(cors) if cors.overrides || origin_lines.is_empty() => cors.write(request.fields.origin, head),
            _ => head.lines(origin_lines),
        }
    }

    /// Whether this answer is one of those with a `Server-Timing`.
    pub(crate) fn is_timed(&self) -> bool {
        self.timing_every > 0 && self.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.timing_every)
    }
}

impl Cors {
    fn compile(policy: &CorsPolicy) -> Self {
        let any = |list: &[String]| list.iter().any(|item| item == "*");
        let joined = |list: &[String]| {
            let valid = list.iter().filter(|item| HeaderValue::from_str(item).is_ok());
            valid.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let methods = if policy.allow_methods.iter().any(|method| method == "ALL") {
            ALL_METHODS.to_owned()
        } else if any(&policy.allow_methods) {
            "GET, HEAD, OPTIONS".to_owned()
        } else {
            joined(&policy.allow_methods)
        };
        let mut lines = format!("access-control-allow-methods: {methods}\r\n");
        let any_header = any(&policy.allow_headers);
        if any_header && !policy.allow_credentials {
            lines.push_str("access-control-allow-headers: *\r\n");
        } else if !any_header && !policy.allow_headers.is_empty() {
            lines.push_str(&format!("access-control-allow-headers: {}\r\n", joined(&policy.allow_headers)));
        }
        lines.push_str(&format!("access-control-max-age: {}\r\n", policy.max_age_seconds));
        let expose = joined(&policy.expose_headers);
        let expose = if expose.is_empty() { expose } else { format!("access-control-expose-headers: {expose}\r\n") };
        let named = policy.allow_origins.iter().filter(|origin| *origin != "*").map(|origin| origin.as_str().into());
        Self {
            // Without credentials the star says all.
            named: if any(&policy.allow_origins) && !policy.allow_credentials {
                Box::default()
            } else {
                named.collect()
            },
            any: any(&policy.allow_origins),
            preflight_lines: lines.into_bytes().into(),
            expose_line: expose.into_bytes().into(),
            any_header,
            credentials: policy.allow_credentials,
            overrides: policy.overrides,
        }
    }

    /// The lines of an answer to a page of `origin`.
    pub(crate) fn write(&self, origin: Option<&str>, head: &mut Head) {
        self.write_origin(origin, head);
        head.lines(&self.expose_line);
    }

    /// The lines of an answer to a preflight.
    pub(crate) fn write_preflight(&self, request: &Request<'_>, head: &mut Head) {
        self.write_origin(request.fields.origin, head);
        head.lines(&self.preflight_lines);
        if self.any_header && self.credentials {
            let asked = request.fields.requested_headers.filter(|names| is_echoable(names));
            if let Some(asked) = asked {
                head.field("access-control-allow-headers", asked);
            }
        }
    }

    fn write_origin(&self, origin: Option<&str>, head: &mut Head) {
        let is_named = |origin: &str| self.named.iter().any(|one| wild(one.as_bytes(), origin.as_bytes()));
        // A star alone with credentials stands for each origin by name; beside names it is for all others, without credentials.
        let all_named = self.any && self.credentials && self.named.is_empty();
        let named = origin.filter(|origin| all_named || is_named(origin));
        match named {
            Some(origin) => echo_origin(head, origin),
            None if self.any => head.lines(b"access-control-allow-origin: *\r\n"),
            None => {}
        }
        if !self.any || self.credentials {
            head.lines(b"vary: Origin\r\n");
        }
        if self.credentials && named.is_some() {
            head.lines(b"access-control-allow-credentials: true\r\n");
        }
    }
}

fn echo_origin(head: &mut Head, origin: &str) {
    if is_echoable(origin) {
        head.field("access-control-allow-origin", origin);
    }
}

/// Whether text of a viewer may stand in a header of ours.
fn is_echoable(text: &str) -> bool {
    text.len() <= MAX_ECHO_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[cfg(test)]
mod tests {
    use anabranch_model::HeaderRule;

    use super::*;

    #[test]
    fn fields_are_set_replaced_kept_and_removed() {
        let rule =
            |name: &str, value: &str, overrides| HeaderRule { name: name.into(), value: value.into(), overrides };
        let policy = ResponseHeadersPolicy {
            set: vec![
                rule("x-a", "1", true),
                rule("x-b", "2", false),
                rule("x-c", "3", false),
                rule("x bad", "4", true),
            ],
            remove: vec!["Server".to_owned()],
            ..ResponseHeadersPolicy::default()
        };
        let headers = ResponseHeaders::compile(&policy);
        assert!(!headers.keeps_all());
        let mut head = Head::default();
        head.start(200);
        headers.filter(b"x-a: old\r\nx-b: own\r\nserver: s\r\ny: z\r\n", &mut head);
        let text = std::str::from_utf8(head.as_bytes()).unwrap().to_owned();
        assert_eq!(text, "HTTP/1.1 200 OK\r\nx-b: own\r\ny: z\r\nx-c: 3\r\n");
        assert_eq!(&*headers.set, b"x-a: 1\r\n");
    }
}
