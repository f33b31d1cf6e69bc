//! Edges as processes of their own: told within a second, serving on without the control plane, counted once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anabranch_testkit::{EdgeNode, Encoder, Picture, Server, Viewer, wait_for};
use serde_json::{Value, json};

use crate::{media_playlist, play_url, push_url, text, wait_playing};

/// Longest wait for reports, which come every five seconds.
const REPORTED: Duration = Duration::from_secs(40);

/// An HTTP origin that answers every path with its name. It ends with the test process.
struct SmallOrigin {
    port: u16,
}

impl SmallOrigin {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let mut line = String::new();
                    let mut path = String::new();
                    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                        if path.is_empty() {
                            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                        } else if line == "\r\n" {
                            let head = format!("content-length: {}\r\ncache-control: max-age=600", path.len());
                            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{path}");
                            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                                return;
                            }
                            path.clear();
                        }
                        line.clear();
                    }
                });
            }
        });
        Self { port }
    }

    /// A DistributionConfig for it.
    fn config(&self, reference: &str, enabled: bool) -> Value {
        json!({
            "CallerReference": reference, "Comment": "", "Enabled": enabled,
            "Origins": {"Quantity": 1, "Items": [{
                "Id": "small", "DomainName": "localhost",
                "CustomOriginConfig": {"HTTPPort": self.port, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
            }]},
            "DefaultCacheBehavior": {
                "TargetOriginId": "small", "ViewerProtocolPolicy": "allow-all",
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
            }
        })
    }
}

/// A file for the command line.
fn file(server: &Server, config: &Value) -> String {
    let path = server.data().with_extension("config.json");
    std::fs::write(&path, config.to_string()).expect("a scratch file");
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn create(server: &Server, origin: &SmallOrigin, reference: &str) -> String {
    let file = file(server, &origin.config(reference, true));
    let made = server.cli(&["distribution", "create", "--config", &file, "--wait"]);
    assert_eq!(made["status"], "Deployed", "{made}");
    text(&made["id"])
}

fn node(server: &Server, name: &str) -> Option<Value> {
    let nodes = server.cli(&["node", "list"]);
    nodes["items"].as_array()?.iter().find(|node| node["name"] == name).cloned()
}

fn wait_node(server: &Server, name: &str, state: &str) -> Value {
    wait_for(&format!("{name} to be {state}"), Duration::from_secs(20), || {
        node(server, name).filter(|node| node["state"] == state)
    })
}

#[test]
fn a_change_is_on_every_edge_within_a_second() {
    let origin = SmallOrigin::start();
    let server = Server::start();
    let mut edges = [EdgeNode::start(&server, "edge-a"), EdgeNode::start(&server, "edge-b")];
    edges.iter().for_each(|edge| drop(wait_node(&server, edge.name(), "connected")));
    let id = create(&server, &origin, "quick");
    for edge in &edges {
        // Deployed means deployed everywhere.
        let answer = Viewer::new().get(&format!("{}/d/{id}/x", edge.url()));
        assert_eq!((answer.status, answer.text().as_str()), (200, "/x"), "{}", edge.log());
    }

    let file = file(&server, &origin.config("quick", false));
    let changed = server.cli(&["distribution", "update", &id, "--config", &file]);
    let accepted = Instant::now();
    assert_eq!(changed["enabled"], false, "{changed}");
    for edge in &edges {
        wait_for("the change on the edge", Duration::from_secs(5), || {
            (Viewer::new().get(&format!("{}/d/{id}/x", edge.url())).status == 403).then_some(())
        });
    }
    assert!(accepted.elapsed() < Duration::from_secs(1), "{:?}", accepted.elapsed());

    // One that has said goodbye is not waited for.
    assert!(edges[1].terminate().success());
    wait_node(&server, "edge-b", "left");
    create(&server, &origin, "without b");
    let _ = server.cli(&["node", "forget", "edge-b"]);
    assert_eq!(node(&server, "edge-b"), None);
    assert!(server.cli_refused(&["node", "forget", "edge-a"]).contains("stop it first"));
}

#[test]
fn edges_serve_on_without_control_and_every_request_is_counted_once() {
    let origin = SmallOrigin::start();
    let mut server = Server::start();
    let mut a = EdgeNode::start(&server, "edge-a");
    let b = EdgeNode::start(&server, "edge-b");
    [&a, &b].iter().for_each(|edge| drop(wait_node(&server, edge.name(), "connected")));
    let id = create(&server, &origin, "counted");
    let mut asked = 0;
    let mut ask = |edge: &EdgeNode, path: &str, times: u64| {
        for _ in 0..times {
            let answer = Viewer::new().get(&format!("{}/d/{id}{path}", edge.url()));
            assert_eq!((answer.status, answer.text().as_str()), (200, path), "{}", edge.log());
            asked += 1;
        }
    };
    ask(&a, "/cached", 5);
    ask(&b, "/cached", 7);
    server.kill();
    ask(&a, "/cached", 3);
    ask(&a, "/fresh", 2);
    ask(&b, "/fresh", 4);
    // What was asked before is on disk, and what is asked now comes on top of it.
    assert!(a.terminate().success());
    a.restart();
    assert!(a.log().contains("starting by the snapshot that is kept here"), "{}", a.log());
    ask(&a, "/cached", 2);
    ask(&a, "/after", 6);
    wait_for("reports on disk", REPORTED, || {
        (a.metric("anabranch_node_report_batches_waiting") >= 2.0
            && b.metric("anabranch_node_report_batches_waiting") >= 1.0)
            .then_some(())
    });
    ask(&b, "/after", 1);

    server.restart();
    [&a, &b].iter().for_each(|edge| drop(wait_node(&server, edge.name(), "connected")));
    ask(&a, "/cached", 1);
    let counted = |server: &Server| server.cli(&["distribution", "traffic", &id])["totals"]["requests"].as_u64();
    wait_for("all reports", REPORTED, || (counted(&server)? >= asked).then_some(()));
    assert_eq!(counted(&server), Some(asked));
    for edge in [&a, &b] {
        assert_eq!(edge.metric("anabranch_node_report_batches_waiting"), 0.0);
    }
    // Neither a restart of the control plane nor of an edge counts anything again.
    assert!(a.terminate().success());
    a.restart();
    assert!(server.terminate().success());
    server.restart();
    wait_node(&server, "edge-a", "connected");
    assert_eq!(counted(&server), Some(asked));
}

#[test]
fn a_control_plane_that_dies_in_mid_report_counts_nothing_twice() {
    let origin = SmallOrigin::start();
    let mut server = Server::start();
    let edges = [EdgeNode::start(&server, "edge-a"), EdgeNode::start(&server, "edge-b")];
    edges.iter().for_each(|edge| drop(wait_node(&server, edge.name(), "connected")));
    let id = create(&server, &origin, "flapping");
    let counted = |server: &Server| server.cli(&["distribution", "traffic", &id])["totals"]["requests"].as_u64();
    let mut asked = 0;
    for round in 0..4 {
        for edge in &edges {
            for number in 0..10 {
                let path = format!("/{round}/{number}");
                assert_eq!(Viewer::new().get(&format!("{}/d/{id}{path}", edge.url())).text(), path);
                asked += 1;
            }
        }
        // In the moment when batches leave, whether or not they are counted and acknowledged.
        wait_for("some of the reports", REPORTED, || (counted(&server)? > asked - 20).then_some(()));
        server.kill();
        server.restart();
    }
    wait_for("all reports", REPORTED, || (counted(&server)? >= asked).then_some(()));
    wait_for("empty spools", REPORTED, || {
        edges.iter().all(|edge| edge.metric("anabranch_node_report_batches_waiting") == 0.0).then_some(())
    });
    assert_eq!(counted(&server), Some(asked));
}

#[test]
fn live_media_plays_through_an_edge_of_its_own() {
    let mut server = Server::start();
    let edge = EdgeNode::start(&server, "edge-a");
    wait_node(&server, "edge-a", "connected");
    let (channel, breakout) = server.on_air("far");
    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    let url = play_url(&server, &breakout).replace(&server.edge(), &edge.url());
    let multivariant = wait_playing(&url);
    let segment = media_playlist(&multivariant).uris().remove(0);
    assert!(segment.starts_with(&edge.url()));
    assert_eq!(Viewer::new().get(&segment).status, 200);
    drop(encoder);

    // The origin room comes back on another port, which edges are told without any change of the snapshot.
    server.kill();
    server.restart();
    let uncached = media_playlist(&multivariant).uris().pop().expect("a segment");
    wait_for("a segment by the new origin room", Duration::from_secs(20), || {
        (Viewer::new().get(&uncached).status == 200).then_some(())
    });
}
