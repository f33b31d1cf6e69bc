//! Who may watch a breakout now, whatever a signature allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anabranch_edge::OriginRoom;
use anabranch_model::{
    AudienceSpec, BreakoutSpec, CorsPolicy, DistributionSpec, HeaderRule, KeyGroupSpec, KeySpec, Origin, Report,
};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    NOW_MS, Reply, Script, TestEdge, TestOrigin, Viewer, ask, behavior, distribution, get, start_with_keys, until,
};

pub const NOW: i64 = NOW_MS / 1000;

/// What is promised between a snapshot and its effect.
const AT_ONCE: Duration = Duration::from_secs(1);

/// An edge with breakouts `b1` and `b2` of one channel, behind one host.
pub struct Theatre {
    pub origin: TestOrigin,
    pub edge: TestEdge,
    key: PrivateKey,
}

impl Theatre {
    pub async fn open(change: impl FnOnce(&mut DistributionSpec)) -> Self {
        let origin = TestOrigin::start().await;
        let key = PrivateKey::generate().unwrap();
        let mut site = distribution("E1", "a.test", &origin);
        site.origins[0].origin = Origin::Live { channel: "c1".parse().unwrap() };
        site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
        change(&mut site);
        let spec = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
        let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![spec] };
        let room = OriginRoom { authority: origin.address.to_string(), token: "t".to_owned() };
        let edge = start_with_keys(vec![site], vec![group], |config| {
            config.origin_room = Some(room);
            config.shield_token = Some("shield".to_owned());
        });
        for breakout in ["b1", "b2"] {
            for file in ["a.m4s", "b.m4s"] {
                origin.set(&format!("/live/c1/{breakout}/{file}"), Script::ok(breakout, "max-age=600"));
            }
        }
        let mut theatre = Self { origin, edge, key };
        theatre.show(vec![breakout("b1", AudienceSpec::default()), breakout("b2", AudienceSpec::default())]).await;
        theatre
    }

    /// Puts breakouts into the next snapshot; says no more than that.
    pub fn tell(&self, breakouts: Vec<BreakoutSpec>) {
        self.edge.snapshots.send_modify(|snapshot| {
            let mut next = (**snapshot).clone();
            next.version += 1;
            next.breakouts = breakouts;
            *snapshot = next.into();
        });
    }

    /// The same, and waits until it is in force.
    pub async fn show(&mut self, breakouts: Vec<BreakoutSpec>) {
        self.tell(breakouts);
        let wanted = self.edge.snapshots.borrow().version;
        loop {
            match self.edge.reports.recv().await.unwrap() {
                Report::Applied { version, .. } if version >= wanted => return,
                _ => {}
            }
        }
    }

    /// Changes the audience of `b1`.
    pub fn change(&self, change: impl FnOnce(&mut AudienceSpec)) {
        let mut breakouts = self.edge.snapshots.borrow().breakouts.clone();
        change(&mut breakouts[0].audience);
        self.tell(breakouts);
    }

    /// Query of a signature for everything on the host, with claims.
    pub fn query(&self, claims: &[(&str, Value)]) -> String {
        self.query_until(NOW + 600, claims)
    }

    pub fn query_until(&self, expires: i64, claims: &[(&str, Value)]) -> String {
        let policy = Policy::new("*://a.test/*", expires);
        let policy = claims.iter().fold(policy, |policy, (name, value)| policy.claim(name, value.clone()));
        let url = sign_url("http://a.test/b1/a.m4s", &SignSpec::Custom(policy), "K1", &self.key).unwrap();
        url.split_once('?').unwrap().1.to_owned()
    }

    pub async fn get(&self, path: &str, query: &str) -> Reply {
        get(self.edge.address, "a.test", &format!("{path}?{query}")).await
    }

    async fn by_cookie(&self, path: &str, query: &str) -> Reply {
        ask(self.edge.address, "GET", "a.test", path, &cookie(query)).await
    }

    /// Waits until the answer is `expected`, which must not take longer than promised.
    async fn becomes(&self, path: &str, query: &str, expected: (u16, Option<&str>)) {
        let began = Instant::now();
        loop {
            let reply = self.get(path, query).await;
            if (reply.status, reply.header("x-anabranch-denied")) == expected {
                return;
            }
            assert!(began.elapsed() < AT_ONCE, "{expected:?} after {:?}: {}", began.elapsed(), reply.head);
        }
    }
}

pub fn breakout(id: &str, audience: AudienceSpec) -> BreakoutSpec {
    BreakoutSpec {
        id: id.parse().unwrap(),
        channel: "c1".parse().unwrap(),
        on_air: true,
        session: 1,
        audience,
        aligned: None,
    }
}

fn cookie(query: &str) -> String {
    let named = query.split('&').map(|parameter| format!("CloudFront-{parameter}"));
    format!("Cookie: a=b; {}\r\n", named.collect::<Vec<_>>().join("; "))
}

#[tokio::test]
async fn the_curtain_hides_what_is_cached_and_opens_for_previews() {
    let theatre = Theatre::open(|site| site.behaviors.push(behavior("*/b.m4s"))).await;
    let viewer = theatre.query(&[]);
    let operator = theatre.query(&[("preview", json!(true))]);
    assert_eq!(theatre.get("/b1/a.m4s", &viewer).await.text(), "b1");
    assert_eq!(theatre.get("/b1/b.m4s", "").await.text(), "b1");

    for _ in 0..3 {
        theatre.change(|audience| audience.curtain_up = false);
        theatre.becomes("/b1/a.m4s", &viewer, (403, Some("curtain"))).await;
        let reply = theatre.get("/b1/a.m4s", &viewer).await;
        assert!(reply.text().contains("<Code>AccessDenied</Code>"), "{}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/xml"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-cache"), Some("Error from cloudfront"));
        // Where no signature is asked for, and by a cookie, too.
        theatre.becomes("/b1/b.m4s", "", (403, Some("curtain"))).await;
        assert_eq!(theatre.by_cookie("/b1/a.m4s", &viewer).await.status, 403);
        // Other words of the claim are no preview.
        for claim in [json!("true"), json!(1), json!(false), json!([true])] {
            assert_eq!(theatre.get("/b1/a.m4s", &theatre.query(&[("preview", claim)])).await.status, 403);
        }
        assert_eq!(theatre.get("/b1/a.m4s", &operator).await.text(), "b1");
        assert_eq!(theatre.get("/b2/a.m4s", &viewer).await.text(), "b2", "the other breakout is open");
        theatre.change(|audience| audience.curtain_up = true);
        theatre.becomes("/b1/a.m4s", &viewer, (200, None)).await;
        theatre.becomes("/b1/b.m4s", "", (200, None)).await;
    }
    assert_eq!(theatre.origin.count(), 3, "every object was fetched once");
}

#[tokio::test]
async fn a_signature_of_one_breakout_opens_no_other() {
    let theatre = Theatre::open(|_| {}).await;
    let one = theatre.query(&[("breakout", json!("b1")), ("session", json!("s1"))]);
    let two = theatre.query(&[("breakout", json!("b2")), ("session", json!("s1"))]);
    for _ in 0..2 {
        for (own, other, query) in [("b1", "b2", &one), ("b2", "b1", &two)] {
            let path = format!("/{own}/a.m4s");
            assert_eq!(theatre.get(&path, query).await.text(), own);
            assert_eq!(theatre.by_cookie(&path, query).await.text(), own);
            // However an origin might read it.
            let spelled = [
                format!("/{other}/a.m4s"),
                format!("//{other}/a.m4s"),
                format!("/%62{}/a.m4s", &other[1..]),
                format!("/%2F{other}/a.m4s"),
                format!("/{other}%2Fa.m4s"),
                "/b3/a.m4s".to_owned(),
                "/".to_owned(),
            ];
            for path in &spelled {
                for reply in [theatre.get(path, query).await, theatre.by_cookie(path, query).await] {
                    assert_eq!((reply.status, reply.header("x-anabranch-denied")), (403, Some("breakout")), "{path}");
                }
            }
        }
    }
    assert_eq!(theatre.origin.count(), 2);
}

#[tokio::test]
async fn revoked_signatures_and_such_without_a_date_open_nothing() {
    let theatre = Theatre::open(|_| {}).await;
    let old = theatre.query(&[("iat", json!(NOW - 100))]);
    let undated = theatre.query(&[]);
    let new = theatre.query(&[("iat", json!(NOW))]);
    for query in [&old, &undated, &new] {
        assert_eq!(theatre.get("/b1/a.m4s", query).await.status, 200);
    }
    theatre.change(|audience| audience.revoked_before = NOW);
    theatre.becomes("/b1/a.m4s", &old, (403, Some("revoked"))).await;
    assert_eq!(theatre.get("/b1/a.m4s", &undated).await.header("x-anabranch-denied"), Some("revoked"));
    let expires = SignSpec::Canned { expires: NOW + 60 };
    let canned = sign_url("http://a.test/b1/a.m4s", &expires, "K1", &theatre.key).unwrap();
    let canned = theatre.get("/b1/a.m4s", canned.split_once('?').unwrap().1).await;
    assert_eq!(canned.header("x-anabranch-denied"), Some("revoked"));
    assert_eq!(theatre.get("/b1/a.m4s", &new).await.status, 200);
    // Of another breakout nothing is revoked.
    assert_eq!(theatre.get("/b2/a.m4s", &old).await.status, 200);
}

#[tokio::test]
async fn claims_of_odd_types_open_nothing() {
    let theatre = Theatre::open(|_| {}).await;
    let long = "x".repeat(129);
    for (name, value) in [
        ("session", json!(7)),
        ("session", json!("")),
        ("session", json!(long)),
        ("session", json!({"id": 7})),
        ("user", json!(["u"])),
        ("breakout", json!(["b1"])),
        ("breakout", json!(null)),
        ("iat", json!("1700000000")),
        ("iat", json!(1.5)),
        ("iat", json!(u64::MAX)),
    ] {
        let query = theatre.query(&[(name, value.clone())]);
        for reply in [theatre.get("/b1/a.m4s", &query).await, theatre.by_cookie("/b1/a.m4s", &query).await] {
            assert_eq!(reply.status, 403, "{name} {value}");
            assert!(reply.text().contains("MalformedPolicy"), "{}", reply.text());
        }
    }
    assert_eq!(theatre.origin.count(), 0);
}

#[tokio::test]
async fn a_session_is_renewed_while_its_old_signature_lives() {
    let theatre = Theatre::open(|_| {}).await;
    let claims =
        |iat: i64| [("session", json!("s1")), ("user", json!("u1")), ("breakout", json!("b1")), ("iat", json!(iat))];
    let old = theatre.query_until(NOW + 60, &claims(NOW));
    let new = theatre.query_until(NOW + 120, &claims(NOW + 30));
    for query in [&old, &new, &old] {
        assert_eq!(theatre.by_cookie("/b1/a.m4s", query).await.status, 200);
        assert_eq!(theatre.get("/b1/b.m4s", query).await.status, 200);
    }
    theatre.edge.clock.set_ms((NOW + 61) * 1000);
    assert_eq!(theatre.by_cookie("/b1/a.m4s", &old).await.status, 403);
    assert_eq!(theatre.by_cookie("/b1/a.m4s", &new).await.status, 200);
    theatre.change(|audience| audience.expelled = vec!["s1".to_owned()]);
    theatre.becomes("/b1/a.m4s", &new, (403, Some("device-limit"))).await;
}

#[tokio::test]
async fn refusals_can_be_read_by_pages_of_other_origins() {
    let cors = CorsPolicy {
        allow_origins: vec!["https://app.test".to_owned()],
        allow_headers: vec!["*".to_owned()],
        allow_methods: vec!["GET".to_owned()],
        allow_credentials: true,
        expose_headers: vec!["etag".to_owned()],
        max_age_seconds: 600,
        overrides: true,
    };
    let set = |name: &str, value: &str, overrides| HeaderRule { name: name.into(), value: value.into(), overrides };
    let theatre = Theatre::open(|site| {
        let policy = &mut site.default_behavior.response_headers;
        policy.cors = Some(cors);
        policy.set = vec![set("strict-transport-security", "max-age=9", true), set("server", "ours", true)];
        policy.set.push(set("content-type", "text/html", false));
        policy.set.push(set("x-soft", "1", false));
    })
    .await;
    let query = theatre.query(&[("breakout", json!("b2"))]);
    let reply =
        ask(theatre.edge.address, "GET", "a.test", "/b1/a.m4s", &(cookie(&query) + "Origin: https://app.test\r\n"))
            .await;
    assert_eq!((reply.status, reply.header("x-anabranch-denied")), (403, Some("breakout")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    let exposed = reply.head.lines().filter_map(|line| line.strip_prefix("access-control-expose-headers: "));
    assert_eq!(exposed.collect::<Vec<_>>(), ["etag", "x-anabranch-denied"]);
    assert_eq!(reply.header("strict-transport-security"), Some("max-age=9"));
    assert_eq!((reply.header("content-type"), reply.header("x-soft")), (Some("text/xml"), Some("1")));
    assert_eq!(reply.head.lines().filter(|line| line.starts_with("server:")).collect::<Vec<_>>(), ["server: ours"]);
    // A preflight says nothing of the breakout.
    theatre.change(|audience| audience.curtain_up = false);
    theatre.becomes("/b1/a.m4s", &theatre.query(&[]), (403, Some("curtain"))).await;
    let lines = "Origin: https://app.test\r\nAccess-Control-Request-Method: GET\r\n";
    assert_eq!(ask(theatre.edge.address, "OPTIONS", "a.test", "/b1/a.m4s", lines).await.status, 204);
}

#[tokio::test]
async fn another_edge_has_judged_its_viewers() {
    let theatre = Theatre::open(|_| {}).await;
    let viewer = theatre.query(&[]);
    theatre.change(|audience| audience.curtain_up = false);
    theatre.becomes("/b1/a.m4s", &viewer, (403, Some("curtain"))).await;
    let asked = |token: &str| {
        let (address, lines) = (theatre.edge.address, format!("X-Anabranch-Shield: {token}\r\n"));
        async move { ask(address, "GET", "a.test", "/b1/a.m4s", &lines).await.status }
    };
    assert_eq!((asked("shield").await, asked("shields").await), (200, 403));
}

/// A player that asks again and again on one connection.
struct Player {
    /// When the last request was sent that was answered 200, in microseconds since the start.
    last_ok: AtomicU64,
    others: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_expelled_session_is_served_a_second_later() {
    let theatre = Theatre::open(|_| {}).await;
    let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let micros = move || u64::try_from(began.elapsed().as_micros()).unwrap();
    let mut players = Vec::new();
    for number in 0..16 {
        let player = Arc::new(Player { last_ok: AtomicU64::new(0), others: AtomicU64::new(0) });
        let query = theatre.query(&[("session", json!(format!("s{number}")))]);
        let target = format!("GET /b1/a.m4s?{query} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let (stop, address, noted) = (stop.clone(), theatre.edge.address, player.clone());
        let task = tokio::spawn(async move {
            let mut viewer = Viewer::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                viewer.send(&target).await;
                let reply = viewer.reply(false).await.unwrap();
                match (reply.status, reply.header("x-anabranch-denied")) {
                    (200, None) => noted.last_ok.store(micros(), Ordering::Relaxed),
                    (403, Some("device-limit")) => {}
                    _ => drop(noted.others.fetch_add(1, Ordering::Relaxed)),
                }
            }
        });
        players.push((player, task));
    }
    let mut expelled: Vec<(usize, u64)> = Vec::new();
    for number in 0..8 {
        let after = micros();
        let everybody = || players[number..].iter().all(|(one, _)| one.last_ok.load(Ordering::Relaxed) > after);
        until("who is not expelled is served", everybody).await;
        expelled.push((number, micros()));
        theatre.change(|audience| audience.expelled.push(format!("s{number}")));
    }
    let after = micros() + 1_500_000;
    let others = || players[8..].iter().all(|(one, _)| one.last_ok.load(Ordering::Relaxed) > after);
    until("the others are served to the end", others).await;
    stop.store(true, Ordering::Relaxed);
    let mut slowest = 0;
    for (number, at) in expelled {
        let late = players[number].0.last_ok.load(Ordering::Relaxed).saturating_sub(at);
        assert!(late < 1_000_000, "session s{number} was served {late} us after it was expelled");
        slowest = slowest.max(late);
    }
    for (player, task) in players {
        task.await.unwrap();
        assert_eq!(player.others.load(Ordering::Relaxed), 0);
    }
    println!("the last answer to an expelled session came {slowest} us after the snapshot");
}

#[tokio::test]
async fn a_held_request_is_judged_again_when_it_is_answered() {
    let theatre = Theatre::open(|_| {}).await;
    let hold = Arc::new(Notify::new());
    let playlist = Script::ok("late", "max-age=1").with(|script| script.hold = Some(hold.clone()));
    theatre.origin.set("/live/c1/b1/video.m3u8?_HLS_msn=9", playlist);
    let sessions = ["s1", "s2"].map(|session| theatre.query(&[("session", json!(session))]));
    let held = sessions.map(|query| {
        let (address, target) = (theatre.edge.address, format!("/b1/video.m3u8?_HLS_msn=9&{query}"));
        tokio::spawn(async move { get(address, "a.test", &target).await })
    });
    until("the origin holds the request", || theatre.origin.count() == 1).await;
    theatre.change(|audience| audience.expelled = vec!["s1".to_owned()]);
    theatre.becomes("/b1/a.m4s", &theatre.query(&[("session", json!("s1"))]), (403, Some("device-limit"))).await;
    hold.notify_one();
    let [first, second] = held;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.status, first.header("x-anabranch-denied")), (403, Some("device-limit")));
    assert_eq!((second.status, second.text()), (200, "late"));
}

#[tokio::test]
async fn among_ten_thousand_breakouts_a_change_holds_within_a_second() {
    let mut theatre = Theatre::open(|site| site.behaviors.push(behavior("*.m3u8"))).await;
    let mut many: Vec<_> = (1..=10_000).map(|n| breakout(&format!("b{n}"), AudienceSpec::default())).collect();
    many[5000].audience.expelled = (0..10_000).map(|n| format!("s{n}")).collect();
    theatre.show(many).await;
    let (viewer, gone) = (theatre.query(&[]), theatre.query(&[("session", json!("s9999"))]));
    assert_eq!(theatre.get("/b1/a.m4s", &viewer).await.status, 200);
    assert_eq!(theatre.get("/b5001/a.m4s", &gone).await.header("x-anabranch-denied"), Some("device-limit"));
    for _ in 0..3 {
        let began = Instant::now();
        theatre.change(|audience| audience.curtain_up = false);
        theatre.becomes("/b1/a.m4s", &viewer, (403, Some("curtain"))).await;
        println!("curtain down after {:?}", began.elapsed());
        theatre.change(|audience| audience.curtain_up = true);
        theatre.becomes("/b1/a.m4s", &viewer, (200, None)).await;
    }
}
