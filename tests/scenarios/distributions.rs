//! A distribution of the operator's own, from a CloudFront configuration to a viewer and back.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_testkit::{Server, Viewer, wait_for};
use serde_json::{Value, json};

use crate::text;

/// An HTTP server that answers every path with the path and counts what it is asked.
struct Site {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Site {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = counter.clone();
                std::thread::spawn(move || answer(&stream, &counter));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Serves a connection until its client has enough.
fn answer(stream: &TcpStream, asked: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        while !lines.next()?.ok()?.is_empty() {}
        asked.fetch_add(1, Ordering::SeqCst);
        let body = format!("this is {path}");
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}

fn config(site: &Site, alias: &str) -> Value {
    json!({
        "CallerReference": "the site",
        "Comment": "made by a test",
        "Enabled": true,
        "Aliases": {"Quantity": 1, "Items": [alias]},
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "site", "DomainName": "127.0.0.1",
            "CustomOriginConfig": {"HTTPPort": site.port, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"}
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "site", "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"
        }
    })
}

fn write(server: &Server, config: &Value) -> String {
    let path: PathBuf = server.data().with_file_name("site.json");
    std::fs::write(&path, config.to_string()).expect("a scratch file");
    path.to_string_lossy().into_owned()
}

#[test]
fn a_site_goes_up_changes_and_goes_down() {
    let (server, site) = (Server::start(), Site::start());
    let file = write(&server, &config(&site, "www.example.com"));
    let made = server.cli(&["distribution", "create", "--config", &file, "--wait"]);
    let id = text(&made["id"]);
    assert_eq!(made["status"], "Deployed", "{made}");
    let refused = server.cli_refused(&["distribution", "create", "--config", &file]);
    assert!(refused.contains("DistributionAlreadyExists") && refused.contains(&id), "{refused}");

    let page = format!("{}/d/{id}/a/page.html", server.edge());
    let first = Viewer::new().get(&page);
    assert_eq!((first.status, first.text().as_str()), (200, "this is /a/page.html"));
    assert_eq!(Viewer::new().get(&page).body, first.body);
    assert_eq!(site.asked(), 1, "the second answer came from the edge");

    let order = ["invalidation", "create", &id, "--path", "/a/*", "--wait"];
    let done = server.cli(&order);
    assert_eq!((&done["status"], &done["paths"]), (&json!("Completed"), &json!(["/a/*"])), "{done}");
    assert_eq!(server.cli(&["invalidation", "show", &id, &text(&done["id"])]), done);
    assert_eq!(server.cli(&["invalidation", "list", &id])["items"][0], done);
    let refused = server.cli_refused(&["invalidation", "create", &id, "--path", "a"]);
    assert!(refused.contains("begins with a slash: \"a\""), "{refused}");

    let mut shown = server.cli(&["distribution", "show", &id]);
    assert_eq!(shown["config"]["Aliases"]["Items"], json!(["www.example.com"]));
    assert_eq!(shown["config"]["PriceClass"], "PriceClass_All", "defaults are filled in");
    // What is shown is what can be given back.
    shown["config"]["Enabled"] = json!(false);
    let file = write(&server, &shown);
    let stale = server.cli_refused(&["distribution", "update", &id, "--config", &file, "--if-match", "old"]);
    assert!(stale.contains("412"), "{stale}");
    let etag = text(&shown["etag"]);
    let off = server.cli(&["distribution", "update", &id, "--config", &file, "--if-match", &etag, "--wait"]);
    assert_eq!((&off["status"], &off["enabled"]), (&json!("Deployed"), &json!(false)));
    assert_eq!(Viewer::new().get(&page).status, 403, "a disabled distribution serves nobody");
    let _ = server.cli(&["distribution", "delete", &id]);
    wait_for("the distribution to be gone", Duration::from_secs(10), || {
        (Viewer::new().get(&page).status == 421).then_some(())
    });
}

#[test]
fn only_keys_of_its_group_open_a_distribution() {
    let (server, site) = (Server::start(), Site::start());
    let pair = server.cli(&["key", "create", "partner", "--id", "KPARTNER1"]);
    let pem = server.data().with_file_name("partner.pem");
    std::fs::write(&pem, text(&pair["public_key"])).expect("a scratch file");
    let pem = pem.to_string_lossy();
    let theirs = server.cli(&["key", "create", "--public-key", &pem, "--id", "KTHEIRS1", "--group", "default"]);
    assert_eq!((&theirs["id"], &theirs["private_key"]), (&json!("KTHEIRS1"), &Value::Null));
    let group = text(&server.cli(&["key-group", "create", "partners", "--key", "KPARTNER1"])["id"]);
    let mut config = config(&site, "members.example.com");
    config["DefaultCacheBehavior"]["TrustedKeyGroups"] = json!({"Enabled": true, "Quantity": 1, "Items": [group]});
    let made = server.cli(&["distribution", "create", "--config", &write(&server, &config), "--wait"]);
    let page = format!("{}/d/{}/page", server.edge(), text(&made["id"]));
    assert_eq!(Viewer::new().get(&page).status, 403, "unsigned");
    let sign = |key: &str| text(&server.cli(&["sign", &page, "--key", key])["url"]);
    assert_eq!(Viewer::new().get(&sign("KPARTNER1")).status, 200);
    assert_eq!(Viewer::new().get(&sign("first")).status, 403, "a key of another group");

    let used = server.cli_refused(&["key-group", "delete", "partners"]);
    assert!(used.contains(&text(&made["id"])), "{used}");
    let _ = server.cli(&["key-group", "update", "partners", "--key", "first"]);
    wait_for("the new key to open it", Duration::from_secs(10), || {
        (Viewer::new().get(&sign("first")).status == 200).then_some(())
    });
    assert_eq!(Viewer::new().get(&sign("KPARTNER1")).status, 403, "it has been taken out");
}
