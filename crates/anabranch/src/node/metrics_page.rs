//! The metrics listener: Prometheus text, and health for those who probe here.

use std::convert::Infallible;
use std::time::Duration;

use anabranch_net::{Reuse, ServeConfig, Shutdown, bind, serve_http};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use super::metrics_help;

/// Upkeep of histograms between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder, and the address where its numbers are read.
#[derive(Debug)]
pub(crate) struct MetricsPage {
    listener: TcpListener,
    handle: PrometheusHandle,
}

impl MetricsPage {
    pub(crate) fn bind(address: std::net::SocketAddr) -> Result<Self> {
        let listener = bind(address, Reuse::Exclusive)?;
        let handle = PrometheusBuilder::new().install_recorder().context("cannot install the metrics recorder")?;
        metrics_help::describe();
        metrics::gauge!("anabranch_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { listener, handle })
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        let handle = self.handle.clone();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let handle = handle.clone();
            async move { Ok::<_, Infallible>(answer(&handle, request.uri().path())) }
        });
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.handle.run_upkeep();
            }
        };
        tokio::select! {
            () = serve_http(self.listener, service, ServeConfig::default(), shutdown) => {}
            () = upkeep => {}
        }
    }
}

fn answer(handle: &PrometheusHandle, path: &str) -> Response<Full<Bytes>> {
    match path {
        "/metrics" => {
            let mut response = Response::new(Full::from(handle.render()));
            let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response
        }
        "/livez" => Response::new(Full::from("ok\n")),
        _ => {
            let mut response = Response::new(Full::from("metrics are at /metrics\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}
