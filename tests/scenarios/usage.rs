//! What viewers get is what is counted and billed, also when edges are killed, and what edges show of themselves.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anabranch_testkit::{EdgeNode, Encoder, Picture, Server, wait_for};
use serde_json::{Value, json};

use crate::{play_url, push_url, text, wait_playing};

/// Times that the edge is killed.
const KILLS: usize = 3;

/// Time that viewers watch before each.
const WATCH: Duration = Duration::from_millis(1500);

const PATIENCE: Duration = Duration::from_secs(60);

/// All bytes of one answer, head and body, as they came over the connection; none if it broke off.
fn fetch(url: &str) -> Option<(u64, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let whole = match length {
        Some(length) => answer.len() == end + length,
        None => answer.ends_with(b"0\r\n\r\n"),
    };
    let body = String::from_utf8_lossy(&answer[end..]).into_owned();
    whole.then_some((answer.len() as u64, body))
}

/// What a playlist names, as absolute addresses.
fn named(base: &str, playlist: &str) -> Vec<String> {
    let folder = base.split('?').next().unwrap_or(base);
    let folder = &folder[..folder.rfind('/').map_or(0, |end| end + 1)];
    let host = &base[..base[7..].find('/').map_or(base.len(), |end| end + 7)];
    let lines = playlist.split(['\n', ',']).filter_map(|line| {
        let line = line.trim();
        let quoted = line.split_once("URI=\"").map(|(_, rest)| rest.split('"').next().unwrap_or_default());
        quoted.or_else(|| {
            (!line.is_empty() && !line.starts_with('#') && !line.contains('=')
                || line.contains(".m3u8?")
                || line.contains(".m4s?"))
            .then_some(line)
        })
    });
    lines
        .filter(|uri| uri.contains(".m3u8") || uri.contains(".m4s") || uri.contains(".mp4"))
        .map(|uri| if uri.starts_with('/') { format!("{host}{uri}") } else { format!("{folder}{uri}") })
        .collect()
}

/// Watches until told to stop: playlists and segments, over and over. Counts what came whole.
fn watch(url: &str, stop: &AtomicBool, got: &AtomicU64) {
    while !stop.load(Ordering::Acquire) {
        let mut next = vec![url.to_owned()];
        let mut asked = 0;
        while let Some(url) = next.pop().filter(|_| !stop.load(Ordering::Acquire) && asked < 40) {
            asked += 1;
            let Some((bytes, body)) = fetch(&url) else { continue };
            got.fetch_add(bytes, Ordering::Relaxed);
            if url.contains(".m3u8") {
                next.extend(named(&url, &body));
            }
        }
    }
}

fn total(server: &Server, query: &str) -> u64 {
    let usage = server.call("GET", &format!("/v1/usage?{query}"), &Value::Null);
    usage["total"]["bytes"].as_u64().expect("a count")
}

#[test]
fn a_killed_edge_loses_and_doubles_no_byte() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("usage");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let mut edge = EdgeNode::start(&server, "edge-usage");
    let url = play_url(&server, &breakout).replace(&server.edge(), &edge.url());
    wait_playing(&url);
    // What was asked while it came up is counted, too: from here on the books are compared.
    let id = text(&breakout["id"]);
    let of_breakout = format!("by=breakout&breakout={id}");
    let settled = |what: &str| {
        let mut last = (u64::MAX, 0);
        wait_for(what, PATIENCE, || {
            let now = total(&server, &of_breakout);
            last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
            thread::sleep(Duration::from_millis(500));
            // Longer than edges take to report.
            (last.1 >= 14).then_some(now)
        })
    };
    let before = settled("the first counts");
    let got = Arc::new(AtomicU64::new(0));
    for _ in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let viewers: Vec<_> = (0..3)
            .map(|_| {
                let (url, stop, got) = (url.clone(), stop.clone(), got.clone());
                thread::spawn(move || watch(&url, &stop, &got))
            })
            .collect();
        thread::sleep(WATCH);
        stop.store(true, Ordering::Release);
        viewers.into_iter().for_each(|viewer| viewer.join().expect("a viewer"));
        // Nothing is told yet of the last seconds, and nothing is drained: whatever is counted is in the journal, or lost.
        thread::sleep(Duration::from_millis(50));
        edge.kill();
        edge.restart();
    }
    let counted = settled("the counts") - before;
    let received = got.load(Ordering::Relaxed);
    assert!(received > 1_000_000, "viewers got {received} bytes");
    assert_eq!(counted, received, "counted and received");
    // The sum over breakouts, and whatever belongs to none, is that of everything.
    for by in ["breakout", "distribution", "rendition", "location", "platform"] {
        let usage = server.call("GET", &format!("/v1/usage?by={by}"), &Value::Null);
        let sum: u64 = usage["items"].as_array().expect("items").iter().filter_map(|item| item["bytes"].as_u64()).sum();
        assert_eq!(Some(sum), usage["total"]["bytes"].as_u64(), "{by}");
    }
    let renditions = server.call("GET", &format!("/v1/usage?by=rendition&breakout={id}"), &Value::Null);
    let names: Vec<_> = renditions["items"].as_array().expect("items").iter().map(|item| text(&item["key"])).collect();
    assert!(names.contains(&"video".to_owned()) && names.contains(&"audio".to_owned()), "{names:?}");

    let _ = server.call("POST", &format!("/v1/breakouts/{id}/stop"), &json!({}));
    let collect = || server.call("POST", "/v1/charges/collect", &json!({ "breakout": id }));
    let charges = || server.call("GET", &format!("/v1/breakouts/{id}/charges"), &Value::Null);
    wait_for("the recording", PATIENCE, || {
        collect();
        let recordings = server.call("GET", "/v1/recordings", &Value::Null);
        (recordings["items"][0]["state"] == "AVAILABLE").then_some(())
    });
    collect();
    let first = charges();
    for _ in 0..10 {
        assert_eq!(collect()["changed"], 0);
    }
    assert_eq!(charges(), first);
    let encoder =
        first["sessions"][0]["services"].as_array().expect("services").iter().find(|one| one["service"] == "encoder");
    assert_eq!(encoder.expect("an encoder")["state"], "final");
    let csv = server.lines(&["charges", "list", "--output", "csv"]);
    assert!(csv[0].starts_with("kind,key,name,session,") && csv.iter().any(|line| line.contains(&id)), "{csv:?}");
}

/// Requests and bytes.
type Books = (u64, u64);

fn counted(item: &Value) -> Books {
    (item["requests"].as_u64().expect("requests"), item["bytes"].as_u64().expect("bytes"))
}

/// What a process shows of the edge in it: all that a distribution was asked for. Nothing is known of requests that none claims but that they
/// were refused.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, far below 2^53")]
fn shown(metric: impl Fn(&str, &str) -> f64) -> Books {
    let claimed = |name: &str| (metric(name, "") - metric(name, "distribution=\"none\"")) as u64;
    (claimed("anabranch_edge_requests_total"), claimed("anabranch_edge_sent_bytes_total"))
}

fn item<'u>(usage: &'u Value, key: &str) -> &'u Value {
    let items = usage["items"].as_array().expect("items");
    items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("no {key:?} in {usage}"))
}

/// Asks for usage until it has told of as much as edges show of themselves, and compares.
fn agree(server: &Server, edge: &EdgeNode) -> Value {
    let of_edge = || shown(|name, labels| edge.metric_of(name, labels));
    let of_own = || shown(|name, labels| server.metric(name, labels));
    let usage = wait_for("usage to tell of all that edges have sent", PATIENCE, || {
        let (edge, own) = (of_edge(), of_own());
        let usage = server.call("GET", "/v1/usage?by=breakout", &Value::Null);
        let total = counted(&usage["total"]);
        let told = total.0 >= edge.0 + own.0 && total.1 >= edge.1 + own.1;
        // The end of an answer is counted a moment after its last byte has come.
        (told && (edge, own) == (of_edge(), of_own())).then_some(usage)
    });
    let (one, own) = (of_edge(), of_own());
    assert_eq!(counted(&usage["total"]), (one.0 + own.0, one.1 + own.1), "all of them: {usage}");
    let items = usage["items"].as_array().expect("items").iter().map(counted);
    let sum = items.fold((0, 0), |sum, item| (sum.0 + item.0, sum.1 + item.1));
    assert_eq!(sum, (one.0 + own.0, one.1 + own.1), "the breakouts and what belongs to none: {usage}");
    let places = server.call("GET", "/v1/usage?by=location", &Value::Null);
    assert_eq!(counted(item(&places, edge.name())), one, "the edge: {places}");
    usage
}

#[test]
fn the_sum_over_breakouts_is_what_edges_show_of_themselves() {
    let server = Server::start();
    let edge = EdgeNode::start(&server, "edge-sums");
    let on_air: Vec<_> = ["sums-one", "sums-two"].map(|name| server.on_air(name)).into();
    let _encoders: Vec<_> =
        on_air.iter().map(|(channel, _)| Encoder::push(&push_url(channel), Picture::default())).collect();
    let urls: Vec<_> =
        on_air.iter().map(|(_, breakout)| play_url(&server, breakout).replace(&server.edge(), &edge.url())).collect();
    urls.iter().for_each(|url| drop(wait_playing(url)));
    // Three watch the first breakout, one the second.
    let stop = Arc::new(AtomicBool::new(false));
    let got: Vec<_> = urls.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
    let viewers: Vec<_> = [0, 0, 0, 1]
        .map(|at| {
            let (url, stop, got) = (urls[at].clone(), stop.clone(), got[at].clone());
            thread::spawn(move || watch(&url, &stop, &got))
        })
        .into();
    // What belongs to no breakout, what is refused, and what no distribution claims.
    let distribution = text(&on_air[0].0["distribution"]["id"]);
    for path in [format!("d/{distribution}/nothing"), format!("d/{distribution}/x/index.m3u8"), "nothing".to_owned()] {
        assert!(fetch(&format!("{}/{path}", edge.url())).is_some(), "{path}");
    }
    wait_for("viewers to have watched", PATIENCE, || {
        got.iter().all(|got| got.load(Ordering::Relaxed) > 1_000_000).then_some(())
    });
    stop.store(true, Ordering::Release);
    viewers.into_iter().for_each(|viewer| viewer.join().expect("a viewer"));

    let usage = agree(&server, &edge);
    assert!(counted(item(&usage, "")).0 >= 2, "what belongs to no breakout: {usage}");
    for ((_, breakout), got) in on_air.iter().zip(&got) {
        let (received, (_, bytes)) = (got.load(Ordering::Relaxed), counted(item(&usage, &text(&breakout["id"]))));
        // What was asked before there was a picture is counted, too.
        assert!((received..received + received / 2).contains(&bytes), "{received} received, {bytes} counted");
    }
    // One request more is told of by a report of its own; it repeats nothing.
    let (bytes, _) = fetch(&urls[1]).expect("a playlist");
    let after = agree(&server, &edge);
    let (before, after_all) = (counted(&usage["total"]), counted(&after["total"]));
    assert_eq!(after_all, (before.0 + 1, before.1 + bytes));

    months(&server, after_all);
}

/// This month's usage and charges, summed by event, account and platform, in both forms, by the command line.
fn months(server: &Server, total: Books) {
    let _ = server.call("POST", "/v1/charges/collect", &json!({}));
    let all = server.call("GET", "/v1/charges", &Value::Null);
    let month = text(&all["from"])[..7].to_owned();
    for by in ["event", "account", "platform"] {
        let arguments = |noun: &[&'static str], form: &'static str| -> Vec<String> {
            let rest = ["--by", by, "--month", &month, "--output", form];
            noun.iter().copied().chain(rest).map(str::to_owned).collect()
        };
        let ask = |noun: &[&'static str], form| {
            let arguments = arguments(noun, form);
            server.lines(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let read = |lines: Vec<String>| -> Value { serde_json::from_str(&lines.join("\n")).expect("JSON") };
        let usage = read(ask(&["usage"], "json"));
        assert_eq!((&usage["by"], counted(&usage["total"])), (&json!(by), total), "{usage}");
        let charges = read(ask(&["charges", "list"], "json"));
        assert_eq!((&charges["by"], &charges["from"]), (&json!(by), &all["from"]), "{charges}");
        assert!(!charges["items"].as_array().expect("items").is_empty(), "{charges}");
        let csv = ask(&["usage"], "csv");
        assert!(csv[0].starts_with("key,name,from,to,bytes,requests,") && csv.len() >= 2, "{csv:?}");
        let csv = ask(&["charges", "list"], "csv");
        assert!(csv[0].starts_with("kind,key,name,session,month,service,"), "{csv:?}");
        assert!(csv[1..].iter().all(|line| line.starts_with(&format!("{by},"))) && csv.len() >= 2, "{csv:?}");
    }
}
