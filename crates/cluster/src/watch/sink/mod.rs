//! Receivers of notifications: webhooks, SNS topics and SQS queues.
//!
//! Each has a queue and a task of its own, so that none waits for another, and tries again a few times.

mod aws;
mod sigv4;

use std::sync::Arc;
use std::time::Duration;

use anabranch_net::{SharedClock, Shutdown};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use aws::{Queue, Topic};
pub use sigv4::Credentials;

use super::{FetchError, Notification, shown};

/// Notifications that wait for one receiver at the most.
pub const QUEUE_MAX: usize = 64;

/// Longest time for one delivery.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// A webhook that is no address.
    #[error("a webhook must be a URL that begins with http:// or https://: {0:?}")]
    Webhook(String),
    /// A topic that is none.
    #[error("an SNS topic must be an ARN such as arn:aws:sns:eu-central-1:123456789012:name: {0:?}")]
    Topic(String),
    /// A queue that is none.
    #[error("an SQS queue must be a URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/name: {0:?}")]
    Queue(String),
    /// An address to use instead that is none.
    #[error("an endpoint must be a URL that begins with http:// or https://: {0:?}")]
    Endpoint(String),
    /// Nobody who signs.
    #[error("credentials are missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")]
    Credentials,
}

/// One receiver.
#[derive(Clone, Debug)]
pub enum Sink {
    /// A POST of the JSON.
    Webhook {
        /// Where.
        url: Url,
        /// `Authorization`, if it wants one.
        authorization: Option<http::HeaderValue>,
    },
    /// `Publish` with the JSON as the message.
    Sns(Topic),
    /// `SendMessage` with the JSON as the body.
    Sqs(Queue),
}

impl Sink {
    /// A webhook.
    ///
    /// # Errors
    /// [`SinkError::Webhook`].
    pub fn webhook(url: &str) -> Result<Self, SinkError> {
        let url = address(url).ok_or_else(|| SinkError::Webhook(shown(url)))?;
        Ok(Self::Webhook { url, authorization: None })
    }

    /// The same webhook that is shown `authorization`; other receivers stay as they are.
    #[must_use]
    pub fn with_authorization(self, mut authorization: http::HeaderValue) -> Self {
        authorization.set_sensitive(true);
        match self {
            Self::Webhook { url, .. } => Self::Webhook { url, authorization: Some(authorization) },
            other @ (Self::Sns(_) | Self::Sqs(_)) => other,
        }
    }

    /// Its name in logs and metrics, without secrets.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Webhook { url, .. } => format!("webhook {}", shown(url.as_str())),
            Self::Sns(topic) => format!("sns {}", topic.arn()),
            Self::Sqs(queue) => format!("sqs {}", shown(queue.url())),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Sns(_) => "sns",
            Self::Sqs(_) => "sqs",
        }
    }

    fn request(&self, message: &Message, now_ms: i64) -> Result<reqwest::Request, String> {
        match self {
            Self::Webhook { url, authorization } => {
                let mut request = reqwest::Request::new(reqwest::Method::POST, url.clone());
                let json = http::HeaderValue::from_static("application/json");
                request.headers_mut().insert(http::header::CONTENT_TYPE, json);
                if let Some(authorization) = authorization {
                    request.headers_mut().insert(http::header::AUTHORIZATION, authorization.clone());
                }
                *request.body_mut() = Some(message.body.as_bytes().to_vec().into());
                Ok(request)
            }
            Self::Sns(topic) => topic.request(message, now_ms),
            Self::Sqs(queue) => queue.request(message, now_ms),
        }
    }
}

fn address(url: &str) -> Option<Url> {
    Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// How often a delivery is tried, and how long is waited before the second time; each later wait is twice as long.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// Wait before the second.
    pub first_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_secs(1) }
    }
}

/// What is delivered.
#[derive(Debug)]
struct Message {
    body: String,
    /// The same at each attempt, and never another's: for queues that know repetitions.
    id: String,
    /// Messages of a group stay in order.
    group: String,
}

/// All receivers of one watch.
#[derive(Debug)]
pub struct Sinks {
    lanes: Vec<Lane>,
    queues: Vec<mpsc::Sender<Arc<Message>>>,
    problems: Vec<(String, watch::Receiver<Option<String>>)>,
    started_ms: i64,
}

#[derive(Debug)]
struct Lane {
    sink: Sink,
    queue: mpsc::Receiver<Arc<Message>>,
    problem: watch::Sender<Option<String>>,
    http: Client,
    clock: SharedClock,
    retry: Retry,
}

/// Takes notifications for all receivers. When it is dropped, the receivers get what still waits and are done.
#[derive(Debug)]
pub struct Teller {
    queues: Vec<(String, mpsc::Sender<Arc<Message>>)>,
    started_ms: i64,
}

impl Sinks {
    /// Sets up connections; none is made yet.
    ///
    /// # Errors
    /// [`FetchError`] if the system's certificates cannot be used.
    pub fn new(sinks: Vec<Sink>, retry: Retry, clock: &SharedClock) -> Result<Self, FetchError> {
        let http = Client::builder()
            .timeout(TIMEOUT)
            // A receiver that moved should be told so by its operator; a signed request is not for another host anyway.
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError)?;
        let (mut lanes, mut queues, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for sink in sinks {
            let (push, queue) = mpsc::channel(QUEUE_MAX);
            let (problem, told) = watch::channel(None);
            problems.push((sink.name(), told));
            queues.push(push);
            lanes.push(Lane { sink, queue, problem, http: http.clone(), clock: clock.clone(), retry });
        }
        Ok(Self { lanes, queues, problems, started_ms: clock.now_ms() })
    }

    /// Each receiver's name, and what was wrong with the last delivery to it.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, watch::Receiver<Option<String>>)> {
        self.problems.clone()
    }

    /// What takes notifications, and the task that delivers them: until the taker is dropped and all is delivered or given up, or
    /// `shutdown`.
    pub fn start(self, shutdown: Shutdown) -> (Teller, impl Future<Output = ()> + Send) {
        let names = self.lanes.iter().map(|lane| lane.sink.name());
        let teller = Teller { queues: names.zip(self.queues).collect(), started_ms: self.started_ms };
        let lanes = self.lanes;
        let run = async move {
            let mut tasks = JoinSet::new();
            for lane in lanes {
                tasks.spawn(lane.run(shutdown.clone()));
            }
            while tasks.join_next().await.is_some() {}
        };
        (teller, run)
    }
}

impl Teller {
    /// Hands a notification to each receiver; one whose queue is full misses it, which is logged.
    pub fn tell(&self, notification: &Notification) {
        let sequence = notification.detector.sequence;
        let message = Arc::new(Message {
            body: notification.json(),
            // Two watches of one process tell the same receivers.
            id: format!(
                "{}-{:.16}-{sequence}",
                self.started_ms,
                sigv4::sha256(notification.options.origin_url.as_bytes())
            ),
            group: notification
                .options
                .name
                .chars()
                .map(|c| if c.is_ascii_graphic() { c } else { '-' })
                .take(128)
                .collect(),
        });
        for (name, queue) in &self.queues {
            if queue.try_send(Arc::clone(&message)).is_err() {
                tracing::error!(sink = %name, sequence, "a notification is lost: too many wait for this receiver");
            }
        }
    }
}

/// What came of one attempt.
enum Outcome {
    Delivered,
    /// It may do later.
    Again(String),
    /// It will not do.
    Refused(String),
}

impl Lane {
    async fn run(mut self, shutdown: Shutdown) {
        loop {
            let message = tokio::select! {
                message = self.queue.recv() => message,
                () = shutdown.cancelled() => None,
            };
            let Some(message) = message else { return };
            let failure = tokio::select! {
                failure = self.deliver(&message) => failure,
                () = shutdown.cancelled() => return,
            };
            let outcome = if failure.is_none() { "delivered" } else { "failed" };
            let kind = self.sink.kind();
            metrics::counter!("anabranch_cluster_notifications_total", "sink" => kind, "outcome" => outcome)
                .increment(1);
            if let Some(failure) = &failure {
                tracing::error!(sink = %self.sink.name(), error = %failure, "a notification is given up");
            }
            self.problem.send_replace(failure);
        }
    }

    /// Tries as often as it may; gives why it failed.
    async fn deliver(&self, message: &Message) -> Option<String> {
        let mut pause = self.retry.first_pause;
        for attempt in 1.. {
            match self.attempt(message).await {
                Outcome::Delivered => return None,
                Outcome::Refused(why) => return Some(why),
                Outcome::Again(why) if attempt >= self.retry.attempts => {
                    return Some(format!("{why}, {attempt} attempts"));
                }
                Outcome::Again(why) => {
                    self.problem.send_replace(Some(format!("{why}, trying again")));
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        None
    }

    async fn attempt(&self, message: &Message) -> Outcome {
        let request = match self.sink.request(message, self.clock.now_ms()) {
            Ok(request) => request,
            Err(why) => return Outcome::Refused(why),
        };
        let status = match self.http.execute(request).await {
            Ok(response) => response.status(),
            Err(error) if error.is_timeout() => return Outcome::Again(format!("no answer within {TIMEOUT:?}")),
            Err(error) => return Outcome::Again(format!("no connection: {}", cause(&error))),
        };
        match status.as_u16() {
            200..=299 => Outcome::Delivered,
            408 | 429 | 500.. => Outcome::Again(format!("status {}", status.as_u16())),
            other => Outcome::Refused(format!("status {other}")),
        }
    }
}

/// Of the chain of causes only the last one tells the operator something.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
