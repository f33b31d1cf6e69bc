//! CustomErrorResponses.

use anabranch_model::{ErrorPage, ErrorResponse};
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::policy::cache::TTL;
use crate::read::{Fields, INVALID_ARGUMENT, Limit, Node};
use crate::render;

/// Statuses that a response may be about.
const STATUSES: &[u16] = &[400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];

/// Least time that errors are kept when nothing is said, in seconds.
const DEFAULT_TTL: u64 = 10;

const LIMIT: Limit = Limit { items: STATUSES.len(), code: INVALID_ARGUMENT };

/// Longest path, in bytes.
pub(crate) const MAX_PATH: usize = 255;

/// Reads the list; a status comes once.
pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Vec<ErrorResponse>, ConfigError> {
    let Some(node) = fields.optional("CustomErrorResponses") else { return Ok(Vec::new()) };
    let mut responses: Vec<ErrorResponse> = Vec::new();
    for item in node.list(LIMIT)? {
        let response = response(&item)?;
        if responses.iter().any(|known| known.status == response.status) {
            let error = ConfigError::new(INVALID_ARGUMENT, &format!("{}.ErrorCode", item.path), "listed twice");
            return Err(error.value(response.status));
        }
        responses.push(response);
    }
    Ok(responses)
}

fn response(item: &Node<'_>) -> Result<ErrorResponse, ConfigError> {
    let mut fields = item.object()?;
    let status = status(&fields.required("ErrorCode")?, "InvalidErrorCode", STATUSES)?;
    let path = fields.some_text("ResponsePagePath")?;
    let shown = fields.optional("ResponseCode").filter(|node| node.text() != Ok(""));
    let response = ErrorResponse {
        status,
        min_ttl_seconds: fields.number("ErrorCachingMinTTL", &TTL, INVALID_ARGUMENT)?.unwrap_or(DEFAULT_TTL),
        page: match (path, shown) {
            (None, None) => None,
            (Some((node, path)), Some(shown)) => {
                let path = absolute_path(&node, path)?;
                let shown = match shown.text() {
                    Ok(text) => text.parse().map_err(|_| shown.refuse("InvalidResponseCode", "not a status"))?,
                    Err(_) => return Err(shown.refuse("InvalidResponseCode", "not a string")),
                };
                if shown != 200 && !STATUSES.contains(&shown) {
                    let error = ConfigError::new("InvalidResponseCode", &fields.at("ResponseCode"), "not honoured");
                    return Err(error.value(shown).fix("200, or a status that ErrorCode may have"));
                }
                Some(ErrorPage { status: shown, path })
            }
            (Some((node, _)), None) => return Err(node.invalid("a page without ResponseCode").fix("give both")),
            (None, Some(node)) => return Err(node.invalid("a status without ResponsePagePath").fix("give both")),
        },
    };
    fields.finish()?;
    Ok(response)
}

/// A status among some.
pub(crate) fn status(node: &Node<'_>, code: &'static str, known: &[u16]) -> Result<u16, ConfigError> {
    let number = node.number(&(0..=u64::from(u16::MAX)), code)?;
    known.iter().copied().find(|status| u64::from(*status) == number).ok_or_else(|| {
        let words: Vec<String> = known.iter().map(ToString::to_string).collect();
        node.refuse(code, "not honoured").fix(format!("one of {}", words.join(", ")))
    })
}

/// A path as it stands in a URL.
fn absolute_path(node: &Node<'_>, path: &str) -> Result<String, ConfigError> {
    if path.starts_with('/') && is_path(path) {
        return Ok(path.to_owned());
    }
    let fix = format!("begin it with /, escape what a URL escapes, at most {MAX_PATH} bytes");
    Err(node.refuse("InvalidRelativePath", "not a path").fix(fix))
}

/// Whether a text may stand in a URL's path.
pub(crate) fn is_path(text: &str) -> bool {
    text.len() <= MAX_PATH && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#<>\\\"^`{|}".contains(&b))
}

/// The list, with every default.
pub(crate) fn to_json(responses: &[ErrorResponse]) -> Value {
    render::list(responses.iter().map(|response| {
        let page = response.page.as_ref();
        json!({
            "ErrorCode": response.status,
            "ResponsePagePath": page.map_or("", |page| page.path.as_str()),
            "ResponseCode": page.map_or_else(String::new, |page| page.status.to_string()),
            "ErrorCachingMinTTL": response.min_ttl_seconds,
        })
    }))
}
