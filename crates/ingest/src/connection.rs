//! One connection from accept to close: negotiate, admit, publish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_media as media;
use anabranch_model::Snapshot;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::publish::Publish;
use crate::push_url::{self, NameError, Standing, Target};
use crate::registry::{Claim, Peer};
use crate::rtmp::session::{Answer, Connect, Event};
use crate::session::IngestSession;
use crate::shared::Shared;
use crate::wire::{Fault, Read, Wire};

/// Time for the room behind to take a new session.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Characters of a wrong key that may be logged.
const KEY_PREFIX: usize = 4;

const BUSY: &str = "an encoder is live on this input: stop it first, or use another stream key";
const NOT_ALLOWED: &str = "this address may not push to the input: add it to the input's allow-list";
const UNAVAILABLE: &str = "the server cannot take the stream now: try again in a moment";

/// Why a connection does not come to publish.
enum Stop {
    /// The encoder was told that it may not.
    Refused(Refusal),
    /// It broke off or broke the rules.
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for Stop {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

/// A refusal as log and metrics see it.
struct Refusal {
    reason: &'static str,
    app: String,
    key_prefix: String,
}

/// What an encoder asks for.
struct Request {
    connect: Connect,
    stream_name: String,
}

/// What an encoder was given.
struct Admitted {
    target: Target,
    claim: Claim,
    events: mpsc::Sender<media::Event>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, remote: SocketAddr, nonce: u64) {
    let mut wire = Wire::new(stream, nonce);
    let admission = async {
        let request = match tokio::time::timeout(shared.config.publish_timeout, negotiate(&mut wire)).await {
            Ok(request) => request?,
            Err(_) => return Err(Stop::Fault(Fault::Slow)),
        };
        let admitted = admit(&shared, &mut wire, &request, remote).await?;
        Ok((request.connect, admitted))
    };
    let admission = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        admission = admission => admission,
    };
    match admission {
        Ok((connect, Admitted { target, claim, events, snapshot })) => {
            Publish::new(&shared, target, claim, events, snapshot, remote, &connect).run(&mut wire).await;
        }
        Err(stop) => note(&stop, remote),
    }
    wire.close().await;
}

/// Goes on until the encoder asks to publish.
async fn negotiate(wire: &mut Wire) -> Result<Request, Stop> {
    let mut connect = Connect::default();
    loop {
        let (events, handled) = wire.handle().await;
        handled?;
        match events.into_iter().next() {
            Some(Event::Connect(asked)) => {
                if let Err(error) = push_url::check_app(&asked.app) {
                    return Err(refuse(wire, error.reason(), &error.to_string(), &asked.app, "").await);
                }
                wire.answer(Answer::Accept).await?;
                connect = asked;
            }
            Some(Event::Publish { stream_name }) => return Ok(Request { connect, stream_name }),
            // Everything else comes after publish; an empty list means that all input was used.
            _ => {
                if wire.read().await? == Read::End {
                    return Err(Stop::Fault(Fault::HungUp));
                }
            }
        }
    }
}

/// Finds the input, takes it, and hands the session over.
async fn admit(shared: &Shared, wire: &mut Wire, request: &Request, remote: SocketAddr) -> Result<Admitted, Stop> {
    let Request { connect, stream_name } = request;
    let mut snapshot = shared.snapshot.clone();
    let key = push_url::stream_key(&connect.app, stream_name);
    let target = key.and_then(|key| push_url::find(&snapshot.borrow_and_update(), key));
    let key = key.unwrap_or_default();
    let target = match target {
        Ok(target) => target,
        Err(error) => return Err(refuse(wire, error.reason(), &error.to_string(), &connect.app, key).await),
    };
    let standing = target.standing(&snapshot.borrow(), remote.ip());
    if standing != Standing::Valid {
        shared.refusals.note(&target.channel, &target.input, remote.ip(), &shared.reports);
        return Err(refuse(wire, "not_allowed", NOT_ALLOWED, &connect.app, key).await);
    }
    let peer = Peer { address: remote.ip(), flash_ver: connect.flash_ver.clone(), tc_url: connect.tc_url.clone() };
    let Some(claim) = shared.registry.claim(&target.input, &peer).await else {
        return Err(refuse(wire, "busy", BUSY, &connect.app, key).await);
    };
    let (sender, events) = mpsc::channel(shared.config.event_queue.max(1));
    let session = IngestSession { channel: target.channel.clone(), input: target.input.clone(), remote, events };
    if shared.sessions.send_timeout(session, HAND_OVER).await.is_err() {
        return Err(refuse(wire, "unavailable", UNAVAILABLE, &connect.app, key).await);
    }
    wire.answer(Answer::Accept).await?;
    Ok(Admitted { target, claim, events: sender, snapshot })
}

async fn refuse(wire: &mut Wire, reason: &'static str, words: &str, app: &str, key: &str) -> Stop {
    // A peer that does not hear it is refused all the same.
    let _ = wire.answer(Answer::Refuse(words)).await;
    // An application may hold the key of a one-URL push, so only its first segment is kept.
    let app = app.split(['/', '?']).next().unwrap_or_default().to_owned();
    // A correct key must never show, not even in part.
    let known = reason != NameError::Unknown.reason();
    let key_prefix = if known { String::new() } else { key.chars().take(KEY_PREFIX).collect() };
    Stop::Refused(Refusal { reason, app, key_prefix })
}

fn note(stop: &Stop, remote: SocketAddr) {
    match stop {
        // A look at the port: health checks and scanners do nothing else.
        Stop::Fault(Fault::HungUp) => tracing::debug!(%remote, "peer hung up before it published"),
        Stop::Refused(Refusal { reason, app, key_prefix }) => {
            metrics::counter!("anabranch_ingest_refused_total", "reason" => *reason).increment(1);
            tracing::warn!(%remote, reason, ?app, key.prefix = ?key_prefix, "encoder refused");
        }
        Stop::Fault(fault) => {
            metrics::counter!("anabranch_ingest_errors_total", "kind" => fault.kind()).increment(1);
            tracing::warn!(%remote, error.kind = fault.kind(), error = %fault, "encoder did not come to publish");
        }
    }
}
