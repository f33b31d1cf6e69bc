//! Logging in, sessions, privileges and users.

use anabranch_testkit::{Engine, both};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, TOKEN, text};
use crate::visitor::{PASSWORD, Visitor, anonymous, user};

both!(
    the_first_owner_is_made_once,
    sessions_end_as_they_should,
    the_last_owner_stays,
    nobody_grants_what_they_do_not_have,
);

const HOUR_MS: i64 = 60 * 60 * 1000;

async fn the_first_owner_is_made_once(engine: Engine) {
    let server = Server::start_on(engine).await;
    let ways = anonymous(&server, Method::GET, "/v1/login", None).await.body;
    assert_eq!(ways, json!({ "setup": true, "password": true, "providers": [] }));
    let body = json!({ "name": "olive", "password": PASSWORD });
    anonymous(&server, Method::POST, "/v1/setup", Some(body.clone())).await.problem(401, "Bearer TOKEN");
    server.post("/v1/setup", json!({ "name": "olive", "password": "short" })).await.problem(422, "12 to 256");
    let owner = Visitor::owner(&server).await;
    let me = owner.get("/v1/me").await.body;
    assert_eq!((&me["kind"], &me["display_name"]), (&json!("user"), &json!("olive")));
    assert!(me["privileges"].as_array().unwrap().contains(&json!("user:delete")));
    assert_eq!(me["session"]["expires_at"], "2026-01-01T12:00:00.000Z");
    assert!(me["csrf"].is_string() && !me.to_string().contains(owner.cookies.lock().values().next().unwrap().as_str()));
    server.post("/v1/setup", body).await.problem(409, "there is a user already");
    assert_eq!(anonymous(&server, Method::GET, "/v1/login", None).await.body["setup"], false);
    let shown = server.get("/v1/users/OLIVE").await.body;
    assert_eq!((&shown["has_password"], &shown["provider"]), (&json!(true), &Value::Null));
    assert!(!shown["last_login_at"].is_null() && shown["password_hash"].is_null());
    let log = server.get("/v1/log?limit=200").await.body.to_string();
    assert!(!log.contains("argon2") && !log.contains(PASSWORD), "the log has no secret");
    // A token is told what it is worth.
    let me = server.get("/v1/me").await.body;
    assert_eq!((&me["kind"], &me["name"], &me["csrf"]), (&json!("token"), &json!("admin"), &Value::Null));
    assert!(me["session"].is_null() && me["role"].is_null());
    server.put("/v1/me/password", json!({ "old": "x", "new": PASSWORD })).await.problem(403, "have logged in");
}

#[tokio::test]
async fn names_that_nobody_has_are_answered_the_same() {
    let server = Server::start_on(Engine::Sqlite).await;
    user(&server, "anna", "viewer").await;
    user(&server, "gone", "viewer").await;
    server.post("/v1/users", json!({ "name": "other", "role": "viewer" })).await;
    server.patch("/v1/users/gone", json!({ "disabled": true })).await;
    let mut answers = Vec::new();
    for (name, password) in [
        ("anna", "wrong password!"),
        ("nobody", "wrong password!"),
        ("gone", PASSWORD),
        ("other", ""),
        ("", ""),
        ("x\u{0}", "y"),
    ] {
        let visitor = Visitor::of(&server);
        let found = visitor.login(name, password).await;
        found.problem(401, "the name or the password is wrong");
        assert!(visitor.cookies.lock().is_empty());
        answers.push(found.body);
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]));
    // Case and space around the name do not matter; those of the password do.
    let visitor = Visitor::of(&server);
    assert_eq!(visitor.login(" ANNA ", PASSWORD).await.status.as_u16(), 200);
    assert_eq!(visitor.login("anna", &PASSWORD.to_uppercase()).await.status.as_u16(), 401);
}

#[tokio::test]
async fn failures_are_limited_by_name_and_by_address() {
    let server = Server::start_on(Engine::Sqlite).await;
    user(&server, "anna", "viewer").await;
    let visitor = Visitor::of(&server);
    for _ in 0..10 {
        visitor.login("Anna", "wrong password!").await.problem(401, "wrong");
    }
    let limited = visitor.login("anna", PASSWORD).await;
    limited.problem(429, "try again in");
    assert_eq!(limited.body["type"], "urn:anabranch:problem:too-many-attempts");
    let wait: i64 = limited.retry_after.unwrap().parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    server.clock.set_ms(NOW_MS + wait * 1000);
    assert_eq!(visitor.login("anna", PASSWORD).await.status.as_u16(), 200);
    // What was right is no failure, and the name owes nothing any more.
    for _ in 0..12 {
        assert_eq!(visitor.login("anna", PASSWORD).await.status.as_u16(), 200);
    }
    for at in 0..50 {
        visitor.login(&format!("nobody {at}"), "x").await;
    }
    visitor.login("somebody new", "x").await.problem(429, "too many");
}

async fn sessions_end_as_they_should(engine: Engine) {
    let server = Server::start_on(engine).await;
    let owner = Visitor::owner(&server).await;
    user(&server, "anna", "operator").await;
    let (one, two) = (Visitor::logged_in(&server, "anna").await, Visitor::logged_in(&server, "anna").await);
    let status = async |visitor: &Visitor| visitor.get("/v1/me").await.status.as_u16();
    let listed = one.get("/v1/sessions").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    let current: Vec<bool> =
        listed["items"].as_array().unwrap().iter().map(|s| s["current"].as_bool().unwrap()).collect();
    assert_eq!(current.iter().filter(|current| **current).count(), 1);
    assert_eq!(
        (&listed["items"][0]["remote"], &listed["items"][0]["user_name"]),
        (&json!("127.0.0.1"), &json!("anna"))
    );
    assert_eq!(owner.get("/v1/sessions").await.body["items"].as_array().unwrap().len(), 3);
    // Log-out ends one, its owner the other, by id.
    assert_eq!(one.call(Method::DELETE, "/v1/login", None).await.status.as_u16(), 204);
    assert!(one.cookies.lock().is_empty());
    assert_eq!((status(&one).await, status(&two).await), (401, 200));
    let id = text(&two.get("/v1/me").await.body["session"]["id"]).to_owned();
    assert_eq!(owner.call(Method::DELETE, &format!("/v1/sessions/{id}"), None).await.status.as_u16(), 204);
    two.get("/v1/me").await.problem(401, "the session has ended");
    owner.call(Method::DELETE, "/v1/sessions/nothing", None).await.problem(404, "no session");
    // Another password ends all but the one that has changed it.
    let (one, two) = (Visitor::logged_in(&server, "anna").await, Visitor::logged_in(&server, "anna").await);
    let wrong = json!({ "old": "not the password", "new": "another password" });
    one.call(Method::PUT, "/v1/me/password", Some(wrong)).await.problem(422, "not your password");
    let short = json!({ "old": PASSWORD, "new": "short" });
    one.call(Method::PUT, "/v1/me/password", Some(short)).await.problem(422, "12 to 256");
    let changed = json!({ "old": PASSWORD, "new": "another password" });
    assert_eq!(one.call(Method::PUT, "/v1/me/password", Some(changed)).await.status.as_u16(), 204);
    assert_eq!((status(&one).await, status(&two).await), (200, 401));
    assert_eq!(two.login("anna", "another password").await.status.as_u16(), 200);
    // So do a reset, being disabled, and a role that may do less; one that may do more does not.
    for (change, after) in [
        (json!({ "role": "admin" }), 200),
        (json!({ "display_name": "Anna B." }), 200),
        (json!({ "role": "viewer" }), 401),
        (json!({ "privileges_removed": ["log:view"] }), 401),
        (json!({ "privileges_removed": [] }), 200),
        (json!({ "password": PASSWORD }), 401),
        (json!({ "disabled": true }), 401),
    ] {
        let visitor = Visitor::of(&server);
        let old = visitor.login("anna", "another password").await.status.as_u16();
        if old != 200 {
            assert_eq!(visitor.login("anna", PASSWORD).await.status.as_u16(), 200, "{change}");
        }
        let found = owner.call(Method::PATCH, "/v1/users/anna", Some(change.clone())).await;
        assert_eq!(found.status.as_u16(), 200, "{}", found.body);
        assert_eq!(status(&visitor).await, after, "{change}");
    }
    // Sessions survive a restart.
    let cookies = owner.cookies.lock().clone();
    let server = Server::start_in(server.stop().await, Some(TOKEN)).await;
    let again = Visitor::of(&server);
    *again.cookies.lock() = cookies;
    assert_eq!(status(&again).await, 200);
}

#[tokio::test]
async fn sessions_end_by_time() {
    let server = Server::start_on(Engine::Sqlite).await;
    let owner = Visitor::owner(&server).await;
    let status = async |visitor: &Visitor| visitor.get("/v1/me").await.status.as_u16();
    // Used every eleven hours it lasts for seven days and no longer.
    let mut at = NOW_MS;
    while at + 11 * HOUR_MS < NOW_MS + 7 * 24 * HOUR_MS {
        at += 11 * HOUR_MS;
        server.clock.set_ms(at);
        assert_eq!(status(&owner).await, 200, "{}", (at - NOW_MS) / HOUR_MS);
    }
    server.clock.set_ms(NOW_MS + 7 * 24 * HOUR_MS);
    assert_eq!(status(&owner).await, 401);
    // Not used it ends after twelve hours.
    let owner = Visitor::logged_in(&server, "olive").await;
    server.clock.set_ms(NOW_MS + 7 * 24 * HOUR_MS + 12 * HOUR_MS);
    assert_eq!(status(&owner).await, 401);
}

#[tokio::test]
async fn changes_by_cookie_come_from_our_own_pages() {
    let server = Server::start_on(Engine::Sqlite).await;
    let owner = Visitor::owner(&server).await;
    let post = |visitor: &Visitor| visitor.request(Method::POST, "/v1/channels").json(&json!({ "name": "c" }));
    let bare = owner.bare(Method::POST, "/v1/channels").json(&json!({ "name": "c" }));
    for (request, words) in [
        (bare.try_clone().unwrap(), "X-Anabranch-CSRF"),
        (bare.header("X-Anabranch-CSRF", "AAAA"), "X-Anabranch-CSRF"),
        (post(&owner).header("Sec-Fetch-Site", "cross-site"), "another origin"),
        (post(&owner).header("Sec-Fetch-Site", "same-site"), "another origin"),
        (post(&owner).header("Origin", "https://evil.test"), "another origin"),
        (post(&owner).header("Origin", "null"), "another origin"),
    ] {
        let found = crate::support::answer(request).await;
        found.problem(403, words);
        assert_eq!(found.body["type"], "urn:anabranch:problem:csrf");
    }
    for request in [
        post(&owner).header("Origin", &server.base),
        owner
            .request(Method::POST, "/v1/channels")
            .json(&json!({ "name": "d" }))
            .header("Sec-Fetch-Site", "same-origin"),
    ] {
        assert_eq!(crate::support::answer(request).await.status.as_u16(), 201);
    }
    // Reading needs nothing but the cookie, and a token needs none of it.
    assert_eq!(crate::support::answer(owner.bare(Method::GET, "/v1/channels")).await.status.as_u16(), 200);
    let token = server.client.post(format!("{}/v1/channels", server.base)).bearer_auth(TOKEN);
    let token = token.header("Origin", "https://app.example.com").json(&json!({ "name": "e" }));
    assert_eq!(crate::support::answer(token).await.status.as_u16(), 201);
    // A token that is shown wins over the cookie.
    let both = owner.bare(Method::GET, "/v1/me").bearer_auth("wrong");
    crate::support::answer(both).await.problem(401, "not one of this server");
    // Nobody is logged in by a page of another site.
    let login = owner.bare(Method::POST, "/v1/login").header("Origin", "https://evil.test");
    let login = login.json(&json!({ "name": "olive", "password": PASSWORD }));
    crate::support::answer(login).await.problem(403, "another origin");
}

#[tokio::test]
async fn cookies_are_for_tls_where_there_is_tls() {
    let engine = Engine::Sqlite;
    let scratch = anabranch_testkit::Scratch::new(engine);
    let server = Server::start_as(scratch, Some(TOKEN), |config| {
        config.auth.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    user(&server, "anna", "viewer").await;
    let login = |proto: &str| {
        let request = server.client.post(format!("{}/v1/login", server.base)).header("X-Forwarded-Proto", proto);
        request.header("X-Forwarded-For", "198.51.100.7").json(&json!({ "name": "anna", "password": PASSWORD }))
    };
    let set = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        response.headers()["set-cookie"].to_str().unwrap().to_owned()
    };
    let plain = set(login("http")).await;
    assert!(plain.starts_with("anabranch_session=") && !plain.contains("Secure"), "{plain}");
    let secure = set(login("https")).await;
    assert!(secure.starts_with("__Host-anabranch=") && secure.ends_with("; Secure"), "{secure}");
    for flag in ["; Path=/;", "; HttpOnly;", "; SameSite=Lax", "; Max-Age=604800;"] {
        assert!(secure.contains(flag), "{secure}");
    }
    // A cookie that a page without TLS could have set does not count over TLS.
    let pair = plain.split(';').next().unwrap().to_owned();
    let me = |proto: &str| {
        let request = server.client.get(format!("{}/v1/me", server.base)).header("X-Forwarded-Proto", proto);
        request.header("Cookie", &pair).send()
    };
    assert_eq!((me("http").await.unwrap().status().as_u16(), me("https").await.unwrap().status().as_u16()), (200, 401));
    let sessions = server.get("/v1/sessions?user=anna").await.body;
    assert_eq!(sessions["items"][0]["remote"], "198.51.100.7");
}

async fn the_last_owner_stays(engine: Engine) {
    let server = Server::start_on(engine).await;
    let owner = Visitor::owner(&server).await;
    for change in [json!({ "role": "admin" }), json!({ "disabled": true })] {
        owner.call(Method::PATCH, "/v1/users/olive", Some(change)).await.problem(409, "last owner");
    }
    server.delete("/v1/users/olive").await.problem(409, "last owner");
    user(&server, "second", "owner").await;
    assert_eq!(server.patch("/v1/users/second", json!({ "disabled": true })).await.status.as_u16(), 200);
    server.delete("/v1/users/olive").await.problem(409, "last owner");
    assert_eq!(server.patch("/v1/users/second", json!({ "disabled": false })).await.status.as_u16(), 200);
    assert_eq!(server.delete("/v1/users/olive").await.status.as_u16(), 204);
    owner.get("/v1/me").await.problem(401, "ended");
    let added = json!({ "privileges_removed": ["channel:view"] });
    server.patch("/v1/users/second", added).await.problem(422, "an owner may do everything");
}

async fn nobody_grants_what_they_do_not_have(engine: Engine) {
    let server = Server::start_on(engine).await;
    let owner = Visitor::owner(&server).await;
    user(&server, "adam", "admin").await;
    let clerk = json!({ "name": "clerk", "role": "viewer", "password": PASSWORD,
        "privileges_added": ["user:view", "user:add", "user:update", "user:delete", "token:add", "token:view"] });
    assert_eq!(server.post("/v1/users", clerk).await.status.as_u16(), 201);
    user(&server, "oscar", "operator").await;
    user(&server, "vera", "viewer").await;
    let (adam, clerk) = (Visitor::logged_in(&server, "adam").await, Visitor::logged_in(&server, "clerk").await);
    // Admins do not touch owners, nor make them.
    for (method, body) in [
        (Method::PATCH, Some(json!({ "password": "another password" }))),
        (Method::PATCH, Some(json!({ "display_name": "x" }))),
        (Method::DELETE, None),
    ] {
        adam.call(method, "/v1/users/olive", body).await.problem(403, "only an owner");
    }
    adam.call(Method::DELETE, "/v1/users/olive/sessions", None).await.problem(403, "only an owner");
    let session = text(&owner.get("/v1/me").await.body["session"]["id"]).to_owned();
    adam.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await.problem(403, "only an owner");
    let made = json!({ "name": "new", "role": "owner", "password": PASSWORD });
    adam.call(Method::POST, "/v1/users", Some(made)).await.problem(403, "only an owner");
    adam.call(Method::PATCH, "/v1/users/adam", Some(json!({ "role": "owner" }))).await.problem(403, "only an owner");
    adam.call(Method::POST, "/v1/tokens", Some(json!({ "name": "t", "scopes": ["admin"] })))
        .await
        .problem(403, "only an owner");
    let token = adam.call(Method::POST, "/v1/tokens", Some(json!({ "name": "t", "scopes": ["manage"] }))).await;
    assert_eq!(token.status.as_u16(), 201, "{}", token.body);
    // A clerk gives no more than they have, and changes nobody who has more.
    let wanted = |role: &str, added: &[&str]| json!({ "name": "x", "role": role, "privileges_added": added });
    for (body, missing) in [
        (wanted("operator", &[]), "asset:add"),
        (wanted("viewer", &["key:sign"]), "key:sign"),
        (wanted("admin", &[]), "account:add"),
    ] {
        let refused = clerk.call(Method::POST, "/v1/users", Some(body)).await;
        refused.problem(403, missing);
        assert_eq!(refused.body["type"], "urn:anabranch:problem:privilege");
    }
    let raise = json!({ "privileges_added": ["channel:delete", "user:update"] });
    clerk.call(Method::PATCH, "/v1/users/clerk", Some(raise.clone())).await.problem(403, "channel:delete");
    clerk.call(Method::PATCH, "/v1/users/vera", Some(raise)).await.problem(403, "channel:delete");
    clerk
        .call(Method::PATCH, "/v1/users/oscar", Some(json!({ "password": "another password" })))
        .await
        .problem(403, "asset:add");
    clerk.call(Method::DELETE, "/v1/users/adam", None).await.problem(403, "account:add");
    clerk
        .call(Method::POST, "/v1/tokens", Some(json!({ "name": "u", "scopes": ["operate"] })))
        .await
        .problem(403, "asset:");
    assert_eq!(
        clerk.call(Method::POST, "/v1/users", Some(wanted("viewer", &["user:view"]))).await.status.as_u16(),
        201
    );
    assert_eq!(
        clerk.call(Method::PATCH, "/v1/users/vera", Some(json!({ "disabled": true }))).await.status.as_u16(),
        200
    );
    // Additions and removals are as they were typed, in order.
    let body =
        json!({ "privileges_added": ["key:sign", "channel:delete", "key:sign"], "privileges_removed": ["log:view"] });
    let shown = server.patch("/v1/users/vera", body).await.body;
    assert_eq!(shown["privileges_added"], json!(["channel:delete", "key:sign"]));
    let has = |word: &str| shown["privileges"].as_array().unwrap().contains(&json!(word));
    assert!(has("channel:delete") && !has("log:view") && has("channel:view"));
    server
        .patch("/v1/users/vera", json!({ "privileges_added": ["log:delete"] }))
        .await
        .problem(422, "no such privilege");
    server.patch("/v1/users/vera", json!({ "role": "root" })).await.problem(422, "owner, admin, operator or viewer");
    server.patch("/v1/users/vera", json!({ "name": "ADAM" })).await.problem(409, "already a user");
    server.post("/v1/users", json!({ "name": "Vera", "role": "viewer" })).await.problem(409, "already a user");
}

/// The privilege that an operation of the document needs; `own` where a session is enough.
fn need(operation: &Value) -> Option<String> {
    let roles = operation["security"].as_array()?.iter().find_map(|need| need["session"].as_array())?;
    Some(roles.first().map_or("own", |privilege| text(privilege)).to_owned())
}

#[tokio::test]
async fn every_operation_asks_a_user_for_its_privilege() {
    let server = Server::start_on(Engine::Sqlite).await;
    Visitor::owner(&server).await;
    let document = server.get("/openapi.json").await.body;
    for role in ["admin", "operator", "viewer"] {
        user(&server, role, role).await;
        let visitor = Visitor::logged_in(&server, role).await;
        let me = visitor.get("/v1/me").await.body;
        let has = |word: &str| me["privileges"].as_array().unwrap().contains(&json!(word));
        let mut refused = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(privilege) = need(operation) else { continue };
                let name = text(&operation["operationId"]);
                let endless = name == "log_stream" && has(&privilege);
                let own = ["login_delete", "user_delete", "user_sessions_end", "user_update"].contains(&name);
                if endless || own && has(&privilege) || privilege == "own" {
                    continue;
                }
                let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
                let method: Method = method.to_uppercase().parse().unwrap();
                let is_head = method == Method::HEAD;
                let found = visitor.call(method, &filled, None).await;
                if has(&privilege) {
                    assert!(![401, 403, 405].contains(&found.status.as_u16()), "{role} {name}: {}", found.body);
                } else if is_head {
                    assert_eq!(found.status.as_u16(), 403, "{role} {name}");
                    refused += 1;
                } else {
                    found.problem(403, &format!("the privilege {privilege},"));
                    assert_eq!(
                        (&found.body["type"], &found.body["field"]),
                        (&json!("urn:anabranch:problem:privilege"), &json!(privilege))
                    );
                    refused += 1;
                }
            }
        }
        assert_eq!(refused > 20, role != "admin", "{role}: {refused}");
        assert!(
            role != "operator"
                || !me["privileges"].as_array().unwrap().iter().any(|word| text(word).ends_with(":delete"))
        );
    }
    // Who may not delete gets 403 for each delete that there is.
    let visitor = Visitor::logged_in(&server, "operator").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let own = need(&item["delete"]).as_deref() == Some("own")
            || path == "/v1/uploads/{id}"
            || path == "/v1/users/{id}/sessions";
        if item["delete"].is_null() || own {
            continue;
        }
        let filled = path.replace("{id}", "x").replace("{breakout}", "x").replace("{invalidation}", "x");
        visitor.call(Method::DELETE, &filled, None).await.problem(403, ":delete");
    }
}

#[tokio::test]
async fn viewers_see_no_keys_and_no_people() {
    let server = Server::start_on(Engine::Sqlite).await;
    let channel = server.channel("c").await;
    let key = text(&channel["inputs"][0]["stream_key"]).to_owned();
    for (role, shown) in [("viewer", false), ("operator", false), ("admin", true)] {
        user(&server, role, role).await;
        let visitor = Visitor::logged_in(&server, role).await;
        let found = visitor.get("/v1/channels/c").await;
        assert_eq!(found.status.as_u16(), 200);
        assert_eq!(found.body.to_string().contains(&key), shown, "{role}");
    }
    let viewer = Visitor::logged_in(&server, "viewer").await;
    for (path, privilege) in [
        ("/v1/users", "user:view"),
        ("/v1/tokens", "token:view"),
        ("/v1/audit", "audit:view"),
        ("/v1/keys", "key:view"),
    ] {
        viewer.get(path).await.problem(403, privilege);
    }
    // Of sessions they see their own.
    let sessions = viewer.get("/v1/sessions").await.body;
    assert!(sessions["items"].as_array().unwrap().iter().all(|session| session["user_name"] == "viewer"));
    viewer.get("/v1/sessions?user=admin").await.problem(403, "user:update");
    let me = viewer.call(Method::PATCH, "/v1/me", Some(json!({ "display_name": "Vera" }))).await;
    assert_eq!((me.status.as_u16(), &me.body["display_name"]), (200, &json!("Vera")));
}

#[tokio::test]
async fn events_are_told_by_cookie_until_the_session_ends() {
    let server = Server::start_on(Engine::Sqlite).await;
    user(&server, "vera", "viewer").await;
    let vera = Visitor::logged_in(&server, "vera").await;
    let mut stream = vera.bare(Method::GET, "/v1/log/stream").send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    server.post("/v1/accounts", json!({ "name": "a" })).await;
    let mut told = String::new();
    while !told.contains("account.created") {
        told.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("an event")));
    }
    server.patch("/v1/users/vera", json!({ "disabled": true })).await;
    let end = async { while stream.chunk().await.ok().flatten().is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(40), end).await.expect("it ends");
}
