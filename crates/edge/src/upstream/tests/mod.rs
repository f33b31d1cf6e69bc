//! What origins get and what is made of what they say, over real connections.

mod answers;
mod connections;
mod requests;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anabranch_model::{
    AllowedMethods, Behavior, BucketOrigin, COPY_MARK, CachePolicy, DistributionSpec, HOLD_MAX_SECONDS, HttpOrigin,
    InvalidationLog, Origin, OriginProtocol, OriginRequestPolicy, OriginSpec, OriginTimeouts, PriceClass,
    ResponseHeadersPolicy, Transform, ViewerProtocol,
};
use anabranch_net::ManualClock;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use super::compile::Unusable;
use super::raw_origin::{Authority, RawOrigin, Then, ok};
use super::{Answer, Ask, Failure, Pool, Trust, Upstream};
use crate::config::{Config, OriginRoom, S3Bucket, Shield};
use crate::request::Scheme;

/// 2013-05-24T00:00:00Z.
const NOW_MS: i64 = 1_369_353_600_000;

const QUICK: OriginTimeouts =
    OriginTimeouts { connect_seconds: 1, connect_attempts: 2, response_seconds: 1, keepalive_seconds: 5 };

fn pool(config: &Config) -> Pool {
    Pool::new(Trust::load(config).unwrap(), Arc::new(ManualClock::new(NOW_MS)))
}

fn plain_pool() -> Pool {
    pool(&Config::default())
}

fn believing(authority: &Authority) -> Pool {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    pool(&Config { origin_ca: Some(file.path().to_owned()), ..Config::default() })
}

pub(crate) fn distribution() -> DistributionSpec {
    DistributionSpec {
        id: "E1".parse().unwrap(),
        domain_name: "d1.test".to_owned(),
        aliases: vec![],
        enabled: true,
        default_root_object: String::new(),
        price_class: PriceClass::All,
        http3: false,
        origins: vec![],
        origin_groups: vec![],
        behaviors: vec![],
        default_behavior: Behavior {
            path_pattern: "*".to_owned(),
            origin: "o".to_owned(),
            viewer_protocol: ViewerProtocol::AllowAll,
            allowed_methods: AllowedMethods::All,
            cache_options: false,
            trusted_key_groups: vec![],
            cache: CachePolicy::default(),
            origin_request: OriginRequestPolicy::default(),
            response_headers: ResponseHeadersPolicy::default(),
            compress: false,
            transform: Transform::None,
            copy_mark: COPY_MARK.to_owned(),
        },
        error_responses: vec![],
        signed_hosts: vec![],
        invalidations: InvalidationLog::default(),
    }
}

fn compile(origin: Origin, config: &Config) -> Result<Upstream, Unusable> {
    Upstream::compile(&OriginSpec { id: "o".to_owned(), origin, shield: None }, &distribution(), config)
}

fn http(address: SocketAddr, change: impl FnOnce(&mut HttpOrigin)) -> Upstream {
    let mut origin = HttpOrigin {
        host: address.ip().to_string(),
        http_port: address.port(),
        https_port: address.port(),
        protocol: OriginProtocol::HttpOnly,
        path: String::new(),
        headers: [].into(),
        timeouts: QUICK,
    };
    change(&mut origin);
    compile(Origin::Http(origin), &Config::default()).unwrap()
}

fn https(address: SocketAddr, host: &str) -> Upstream {
    http(address, |origin| (origin.protocol, origin.host) = (OriginProtocol::HttpsOnly, host.to_owned()))
}

fn ask(method: Method, target: &str, headers: &[(&'static str, &'static str)], body: &'static str) -> Ask {
    let fields = headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
    let mut map = HeaderMap::new();
    map.extend(fields);
    Ask {
        method,
        target: target.to_owned(),
        headers: map,
        body: Bytes::from_static(body.as_bytes()),
        scheme: Scheme::Http,
    }
}

fn get(target: &str) -> Ask {
    ask(Method::GET, target, &[], "")
}

async fn read(answer: &mut Answer) -> Result<String, Failure> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.next().await? {
        body.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(body).unwrap())
}

/// Asks, reads everything and gives the connection back.
async fn whole(pool: &Pool, upstream: &Upstream, ask: &Ask) -> Result<String, Failure> {
    let mut answer = pool.fetch(upstream, ask).await?;
    let body = read(&mut answer).await?;
    pool.release(answer);
    Ok(body)
}

/// What is made of one answer, said byte for byte.
async fn said(bytes: &[u8], then: Then) -> (Result<String, Failure>, Option<bool>) {
    let bytes = bytes.to_vec();
    let origin = RawOrigin::start(move |_, _, _| (bytes.clone(), then)).await;
    let pool = plain_pool();
    match pool.fetch(&http(origin.address, |_| {}), &get("/")).await {
        Ok(mut answer) => (read(&mut answer).await, Some(answer.complete_known)),
        Err(failure) => (Err(failure), None),
    }
}
