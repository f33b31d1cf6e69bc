//! Logging in by a real provider of identities: `tests/oidc`, which `cargo xtask test` installs.

#![expect(clippy::disallowed_methods, reason = "the provider goes by the machine's clock")]

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anabranch_control::OidcConfig;
use anabranch_testkit::{Engine, Scratch};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{Server, TOKEN};
use crate::visitor::{Visitor, audit};

/// Pages walked at most in one log-in.
const STEPS_MAX: usize = 20;

/// A provider in a process of its own.
struct Provider {
    issuer: String,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Provider {
    async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc");
        assert!(folder.join("node_modules").is_dir(), "run `npm ci` in tests/oidc, as `cargo xtask test` does");
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("a port");
        let stdin = child.stdin.take().unwrap();
        Self { issuer: format!("http://127.0.0.1:{port}"), stdin, lines, _child: child }
    }

    /// Begins anew with fresh keys.
    async fn begin(&mut self, server: &Server, alg: &str) {
        let redirect = format!("{}/v1/login/oidc/corp/callback", server.base);
        let line = format!("{}\n", json!({ "redirect": redirect, "alg": alg }));
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        // It has advice to give before.
        while self.lines.next_line().await.unwrap().expect("a provider that goes on") != "ready" {}
    }

    async fn server(&mut self, alg: &str, change: impl FnOnce(&mut OidcConfig)) -> Server {
        let mut oidc = OidcConfig {
            name: "corp".into(),
            label: "Corp SSO".into(),
            issuer: self.issuer.clone(),
            client_id: "desk".into(),
            client_secret: Some("a secret: with +/=% in it".into()),
            scopes: vec!["groups".into()],
            role_claim: Some("groups".into()),
            roles: [("ops".to_owned(), "operator".to_owned())].into(),
            default_role: None,
            allowed_domains: vec!["example.com".into()],
        };
        change(&mut oidc);
        let server = Server::start_as(Scratch::new(Engine::Sqlite), Some(TOKEN), |config| {
            config.watch_base_url = format!("http://{}", config.listen);
            config.auth.providers = vec![oidc];
        })
        .await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        server.clock.set_ms(i64::try_from(now.as_millis()).unwrap());
        self.begin(&server, alg).await;
        server
    }
}

/// Follows redirections and fills forms, as somebody would who is called `login` there; the path at which it ends.
async fn walk(visitor: &Visitor, base: &str, from: &str, login: &str) -> String {
    let mut next = visitor.bare(Method::GET, from);
    let mut at = format!("{base}{from}");
    for _ in 0..STEPS_MAX {
        let response = visitor.walked(next).await;
        if response.status().is_redirection() {
            let location = text_of(&response, "location");
            if location.starts_with('/') && origin(&at) == base {
                return location;
            }
            at = if location.starts_with('/') { format!("{}{location}", origin(&at)) } else { location };
            next = visitor.bare(Method::GET, &at);
            continue;
        }
        let status = response.status();
        let page = response.text().await.unwrap();
        assert!(status.is_success(), "{at}: {status} {page}");
        let action = page.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
        at = if action.starts_with('/') { format!("{}{action}", origin(&at)) } else { action.to_owned() };
        let body = if page.contains("name=\"prompt\" value=\"login\"") {
            format!("prompt=login&login={login}&password=x")
        } else {
            "prompt=consent".to_owned()
        };
        let form = visitor.bare(Method::POST, &at).header("Content-Type", "application/x-www-form-urlencoded");
        next = form.body(body);
    }
    panic!("the log-in has no end: {at}")
}

fn text_of(response: &reqwest::Response, header: &str) -> String {
    response.headers()[header].to_str().unwrap().to_owned()
}

fn origin(url: &str) -> &str {
    let (scheme, rest) = url.split_once("://").unwrap();
    &url[..scheme.len() + 3 + rest.find('/').unwrap_or(rest.len())]
}

const BEGIN: &str = "/v1/login/oidc/corp?return=/channels/c1";

async fn me(server: &Server, login: &str) -> (String, Value) {
    let visitor = Visitor::of(server);
    let end = walk(&visitor, &server.base, BEGIN, login).await;
    assert!(!visitor.cookies.lock().contains_key("anabranch_flow"), "what was kept for the way is gone");
    (end, visitor.get("/v1/me").await.body)
}

#[tokio::test]
async fn somebody_logs_in_by_a_provider() {
    let mut provider = Provider::start().await;
    let server = provider.server("RS256", |_| {}).await;
    let ways = crate::visitor::anonymous(&server, Method::GET, "/v1/login", None).await.body;
    assert_eq!(ways["providers"], json!([{ "name": "corp", "label": "Corp SSO" }]));
    let (end, alice) = me(&server, "alice").await;
    assert_eq!(end, "/channels/c1");
    assert_eq!((&alice["name"], &alice["display_name"]), (&json!("alice"), &json!("Alice Liddell")));
    assert_eq!(alice["role"], "operator");
    let shown = server.get("/v1/users/alice").await.body;
    assert_eq!((&shown["provider"], &shown["has_password"]), (&json!("corp"), &json!(false)));
    // The same person is the same user, whatever they are called; another one of that name is not.
    server.patch("/v1/users/alice", json!({ "name": "alice of ops" })).await;
    assert_eq!(me(&server, "alice").await.1["id"], alice["id"]);
    server.patch("/v1/users/alice%20of%20ops", json!({ "name": "alice" })).await;
    let (_, bob) = me(&server, "bob").await;
    assert_eq!((&bob["name"], bob["id"] == alice["id"]), (&json!("alice (corp)"), false));
    // Nobody logs in by an empty password of theirs.
    Visitor::of(&server).login("alice", "").await.problem(401, "wrong");
    // Without a role, or with an address that nobody has verified, they are refused.
    for login in ["carol", "mallory", "stranger"] {
        let (end, found) = me(&server, login).await;
        assert_eq!(end, "/login?error=refused&provider=corp", "{login}");
        assert_eq!(found["status"], 401, "{login}");
    }
    server.patch("/v1/users/alice", json!({ "disabled": true })).await;
    assert_eq!(me(&server, "alice").await.0, "/login?error=disabled&provider=corp");
    let rows = audit(&server, "&object=session", 8).await;
    let first = rows.last().unwrap();
    assert_eq!(
        (&first["actor"], &first["operation"], &first["status"]),
        (&json!("alice"), &json!("oidc_end"), &json!(302))
    );
    assert_eq!((&rows[0]["actor"], &rows[0]["subject"]), (&Value::Null, &json!("alice")));
}

#[tokio::test]
async fn roles_follow_the_claim_and_keys_may_change() {
    let mut provider = Provider::start().await;
    let server = provider
        .server("ES256", |oidc| {
            oidc.default_role = Some("viewer".into());
            oidc.allowed_domains = Vec::new();
        })
        .await;
    let (_, carol) = me(&server, "carol").await;
    assert_eq!(carol["role"], "viewer");
    let (_, alice) = me(&server, "alice").await;
    assert_eq!(alice["role"], "operator");
    server.patch("/v1/users/alice", json!({ "role": "admin" })).await;
    let (_, alice) = me(&server, "alice").await;
    assert_eq!(alice["role"], "operator", "the provider's word counts at each log-in");
    // The provider has new keys: they are asked for.
    provider.begin(&server, "ES256").await;
    let again = async {
        loop {
            let (end, me) = me(&server, "alice").await;
            if end == "/channels/c1" {
                return me;
            }
            assert_eq!(end, "/login?error=token&provider=corp");
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), again).await.unwrap();
    assert_eq!(found["id"], alice["id"]);
}

#[tokio::test]
async fn what_does_not_fit_ends_at_the_page() {
    let mut provider = Provider::start().await;
    let server = provider.server("RS256", |_| {}).await;
    let visitor = Visitor::of(&server);
    let ended = async |visitor: &Visitor, path: &str| {
        let response = visitor.walked(visitor.bare(Method::GET, path)).await;
        assert_eq!(response.status().as_u16(), 302, "{path}");
        text_of(&response, "location")
    };
    let callback = "/v1/login/oidc/corp/callback";
    for query in ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=y"] {
        assert_eq!(ended(&visitor, &format!("{callback}{query}")).await, "/login?error=state&provider=corp", "{query}");
    }
    // A log-in that another browser has begun is not ended by this one.
    let state_of = |location: &str| location.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let location = ended(&visitor, BEGIN).await;
    assert!(location.contains("code_challenge_method=S256") && location.contains("nonce="), "{location}");
    let state = state_of(&location);
    let other = Visitor::of(&server);
    let stolen = format!("{callback}?code=x&state={state}");
    assert_eq!(ended(&other, &stolen).await, "/login?error=state&provider=corp");
    // A code that the provider has not given is refused by it; and the log-in is over.
    assert_eq!(
        ended(&visitor, &stolen).await,
        "/login?error=token&provider=corp",
        "it names its issuer in each answer"
    );
    let state = state_of(&ended(&visitor, BEGIN).await);
    let iss = provider.issuer.clone();
    let wrong = format!("{callback}?code=x&state={state}&iss={iss}");
    assert_eq!(ended(&visitor, &wrong).await, "/login?error=provider&provider=corp");
    assert_eq!(ended(&visitor, &wrong).await, "/login?error=state&provider=corp");
    let state = state_of(&ended(&visitor, BEGIN).await);
    let denied = format!("{callback}?error=access_denied&state={state}&iss={iss}");
    assert_eq!(ended(&visitor, &denied).await, "/login?error=provider&provider=corp");
    assert!(visitor.cookies.lock().is_empty());
    let unknown = visitor.get("/v1/login/oidc/nobody").await;
    unknown.problem(404, "no provider");
    // A provider that is away, and one that is none.
    let scratch = Scratch::new(Engine::Sqlite);
    let away = Server::start_as(scratch, Some(TOKEN), |config| {
        config.auth.providers = vec![OidcConfig {
            name: "corp".into(),
            label: "Corp".into(),
            issuer: "http://127.0.0.1:1".into(),
            client_id: "desk".into(),
            client_secret: None,
            scopes: Vec::new(),
            role_claim: None,
            roles: Default::default(),
            default_role: Some("viewer".into()),
            allowed_domains: Vec::new(),
        }];
    })
    .await;
    assert_eq!(ended(&Visitor::of(&away), BEGIN).await, "/login?error=away&provider=corp");
}
