//! Somebody with a browser: keeps cookies, sends what a page of the server would send.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::{Answer, Server, TOKEN, answer, text};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A browser.
pub(crate) struct Visitor {
    base: String,
    client: reqwest::Client,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
    pub(crate) csrf: Mutex<Option<String>>,
}

impl Visitor {
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            base: server.base.clone(),
            client: reqwest::Client::builder().redirect(Policy::none()).build().unwrap(),
            cookies: Mutex::default(),
            csrf: Mutex::default(),
        }
    }

    /// Somebody who has logged in.
    pub(crate) async fn logged_in(server: &Server, name: &str) -> Self {
        let visitor = Self::of(server);
        let found = visitor.login(name, PASSWORD).await;
        assert_eq!(found.status.as_u16(), 200, "{}", found.body);
        visitor
    }

    /// The first owner, and who they are.
    pub(crate) async fn owner(server: &Server) -> Self {
        let visitor = Self::of(server);
        let body = json!({ "name": "olive", "password": PASSWORD });
        let request = visitor.bare(Method::POST, "/v1/setup").bearer_auth(TOKEN).json(&body);
        let found = visitor.sent(request).await;
        assert_eq!(found.status.as_u16(), 201, "{}", found.body);
        assert_eq!((&found.body["role"], &found.body["name"]), (&json!("owner"), &json!("olive")));
        visitor.remember(&found.body);
        visitor
    }

    pub(crate) async fn login(&self, name: &str, password: &str) -> Answer {
        let body = json!({ "name": name, "password": password });
        let found = self.sent(self.bare(Method::POST, "/v1/login").json(&body)).await;
        if found.status.is_success() {
            self.remember(&found.body);
        }
        found
    }

    fn remember(&self, me: &Value) {
        *self.csrf.lock() = Some(text(&me["csrf"]).to_owned());
    }

    /// A request with what the browser adds by itself.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let cookies: Vec<String> = self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.client.request(method, url).header(COOKIE, cookies.join("; "))
    }

    /// A request that a page of ours makes.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path);
        match &*self.csrf.lock() {
            Some(csrf) => request.header("X-Anabranch-CSRF", csrf),
            None => request,
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        self.sent(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// Sends it and keeps the cookies of the answer.
    pub(crate) async fn walked(&self, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            // A date or an age of nothing means that it is to go.
            if value.is_empty() || line.contains("Max-Age=0") {
                self.cookies.lock().remove(name);
            } else {
                self.cookies.lock().insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    async fn sent(&self, request: RequestBuilder) -> Answer {
        let response = self.walked(request).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, retry_after) = (response.status(), header("retry-after"));
        let content_type = header("content-type").unwrap_or_default();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, retry_after, content_type, body }
    }
}

/// Makes a user by token, with the usual password.
pub(crate) async fn user(server: &Server, name: &str, role: &str) -> Value {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    let made = server.post("/v1/users", body).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    made.body
}

/// The audit, newest first, once it holds `wanted` rows or more of this filter.
pub(crate) async fn audit(server: &Server, filter: &str, wanted: usize) -> Vec<Value> {
    let path = format!("/v1/audit?limit=200{filter}");
    let is_there = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() >= wanted);
    server.until(&path, is_there).await["items"].as_array().unwrap().clone()
}

/// An answer to nobody.
pub(crate) async fn anonymous(server: &Server, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = server.client.request(method, format!("{}{path}", server.base));
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}
