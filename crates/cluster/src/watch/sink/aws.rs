//! SNS topics and SQS queues by their query protocols: one signed form each.

use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use super::{Credentials, Message, SinkError, address};
use crate::watch::shown;

/// Longest message that SNS and SQS take, in bytes.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// Of messages in topics.
const SUBJECT: &str = "Stale Playlist Detector Message";

/// An SNS topic.
#[derive(Clone, Debug)]
pub struct Topic {
    arn: String,
    region: String,
    endpoint: Url,
    credentials: Credentials,
}

/// An SQS queue.
#[derive(Clone, Debug)]
pub struct Queue {
    url: String,
    region: String,
    endpoint: Url,
    credentials: Credentials,
}

impl Topic {
    /// A topic by its ARN. `endpoint` is asked instead of AWS when it is given.
    ///
    /// # Errors
    /// [`SinkError`] says what is wrong with the ARN or the endpoint.
    pub fn new(arn: &str, endpoint: Option<&str>, credentials: Credentials) -> Result<Self, SinkError> {
        let wrong = || SinkError::Topic(arn.chars().take(200).collect());
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else { return Err(wrong()) };
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if !partition.starts_with("aws") || ![partition, region, account, name].into_iter().all(is_word) {
            return Err(wrong());
        }
        let tail = if partition == "aws-cn" { ".cn" } else { "" };
        let usual = format!("https://sns.{region}.amazonaws.com{tail}/");
        let endpoint = chosen(endpoint, &usual).ok_or_else(wrong)??;
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), endpoint, credentials })
    }

    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    pub(super) fn request(&self, message: &Message, now_ms: i64) -> Result<reqwest::Request, String> {
        let mut fields = vec![
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", &self.arn),
            ("Subject", SUBJECT),
            ("Message", &message.body),
        ];
        if self.arn.ends_with(".fifo") {
            fields.extend([("MessageGroupId", message.group.as_str()), ("MessageDeduplicationId", &message.id)]);
        }
        let scope = (self.region.as_str(), "sns");
        signed(&self.endpoint, scope, &self.credentials, &fields, message, now_ms)
    }
}

impl Queue {
    /// A queue by its URL. `endpoint` is asked instead of the URL's host when it is given; `region` is that of a queue whose host does not
    /// tell it.
    ///
    /// # Errors
    /// [`SinkError`] says what is wrong with the URL or the endpoint.
    pub fn new(url: &str, region: &str, endpoint: Option<&str>, credentials: Credentials) -> Result<Self, SinkError> {
        let wrong = || SinkError::Queue(shown(url).chars().take(200).collect());
        let parsed = address(url).filter(|url| url.query().is_none() && url.path().len() > 1).ok_or_else(wrong)?;
        let host = parsed.host_str().unwrap_or_default();
        let named = host.strip_prefix("sqs.").and_then(|rest| rest.split_once(".amazonaws.com"));
        let region = named.map_or(region, |(region, _)| region).to_owned();
        let mut endpoint = chosen(endpoint, url).ok_or_else(wrong)??;
        endpoint.set_path(parsed.path());
        Ok(Self { url: url.to_owned(), region, endpoint, credentials })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn request(&self, message: &Message, now_ms: i64) -> Result<reqwest::Request, String> {
        let mut fields = vec![
            ("Action", "SendMessage"),
            ("Version", "2012-11-05"),
            ("QueueUrl", self.url.as_str()),
            ("MessageBody", &message.body),
        ];
        if self.url.ends_with(".fifo") {
            fields.extend([("MessageGroupId", message.group.as_str()), ("MessageDeduplicationId", &message.id)]);
        }
        let scope = (self.region.as_str(), "sqs");
        signed(&self.endpoint, scope, &self.credentials, &fields, message, now_ms)
    }
}

/// The endpoint that is given, or else the usual one; nothing if that is none.
fn chosen(given: Option<&str>, usual: &str) -> Option<Result<Url, SinkError>> {
    match given {
        Some(given) => Some(address(given).ok_or_else(|| SinkError::Endpoint(shown(given)))),
        None => address(usual).map(Ok),
    }
}

fn signed(
    endpoint: &Url,
    scope: (&str, &str),
    credentials: &Credentials,
    fields: &[(&str, &str)],
    message: &Message,
    now_ms: i64,
) -> Result<reqwest::Request, String> {
    if message.body.len() > MESSAGE_MAX_BYTES {
        return Err(format!("the notification has {} bytes, more than {MESSAGE_MAX_BYTES}", message.body.len()));
    }
    let body = form(fields);
    let mut headers = HeaderMap::new();
    let host = match (endpoint.host_str().unwrap_or_default(), endpoint.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let unfit = || "a value cannot stand in a header".to_owned();
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| unfit())?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
    credentials.sign(scope, endpoint.path(), body.as_bytes(), &mut headers, now_ms).ok_or_else(unfit)?;
    let mut request = reqwest::Request::new(Method::POST, endpoint.clone());
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    Ok(request)
}

/// `application/x-www-form-urlencoded`, a space as `%20`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                text.push(char::from(byte));
            } else {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::read(|name| Some(name.to_owned())).unwrap()
    }

    #[test]
    fn topics_and_queues_say_where_they_are() {
        let topic = Topic::new("arn:aws:sns:eu-central-1:123456789012:alarms", None, credentials()).unwrap();
        assert_eq!(
            (topic.region.as_str(), topic.endpoint.as_str()),
            ("eu-central-1", "https://sns.eu-central-1.amazonaws.com/")
        );
        let topic = Topic::new("arn:aws-cn:sns:cn-north-1:1:a", None, credentials()).unwrap();
        assert_eq!(topic.endpoint.as_str(), "https://sns.cn-north-1.amazonaws.com.cn/");
        for arn in ["", "arn:aws:sns:r:1", "arn:aws:sqs:r:1:n", "arn:aws:sns:evil.example/:1:n", "arn:aws:sns::1:n"] {
            assert!(matches!(Topic::new(arn, None, credentials()), Err(SinkError::Topic(_))), "{arn}");
        }
        let queue = Queue::new("https://sqs.us-east-2.amazonaws.com/1/q", "x", None, credentials()).unwrap();
        assert_eq!((queue.region.as_str(), queue.endpoint.as_str()), ("us-east-2", queue.url()));
        let queue = Queue::new("http://sqs.local/1/q", "here", Some("http://127.0.0.1:9324"), credentials()).unwrap();
        assert_eq!((queue.region.as_str(), queue.endpoint.as_str()), ("here", "http://127.0.0.1:9324/1/q"));
        for url in ["", "q", "https://sqs.r.amazonaws.com", "ftp://a/b", "https://a/b?c"] {
            assert!(matches!(Queue::new(url, "r", None, credentials()), Err(SinkError::Queue(_))), "{url}");
        }
        let error = Queue::new("https://a/b", "r", Some("here"), credentials()).unwrap_err();
        assert_eq!(error, SinkError::Endpoint("here".to_owned()));
    }

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[("A", "b c&d="), ("E", "ü~")]), "A=b%20c%26d%3D&E=%C3%BC~");
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let topic = Topic::new("arn:aws:sns:eu-central-1:1:a.fifo", None, credentials()).unwrap();
        let message = |len| Message { body: "x".repeat(len), id: "7-0".to_owned(), group: "g".to_owned() };
        assert!(topic.request(&message(MESSAGE_MAX_BYTES + 1), 0).unwrap_err().contains("262145 bytes"));
        let request = topic.request(&message(9), 0).unwrap();
        let body = std::str::from_utf8(request.body().unwrap().as_bytes().unwrap()).unwrap();
        assert!(body.ends_with("&Message=xxxxxxxxx&MessageGroupId=g&MessageDeduplicationId=7-0"), "{body}");
    }
}
