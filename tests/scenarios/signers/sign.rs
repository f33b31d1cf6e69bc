//! Orders to real signers, and what they hand over.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anabranch_testkit::{Fetched, Viewer};
use serde_json::{Value, json};

use super::house::{House, Key};

/// Query parameters that belong to a signature.
pub(super) const RESERVED: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// `CloudFrontSigner` of Python's botocore.
    Botocore,
    /// `@aws-sdk/cloudfront-signer` of npm.
    Sdk,
    /// `aws-cloudfront-sign` of npm.
    Small,
    /// `aws cloudfront sign`.
    Cli,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Url,
    Cookies,
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) signer: Signer,
    pub(super) form: Form,
    /// The URL that a viewer will ask.
    pub(super) url: String,
    /// `Resource` of a custom policy, where it is not the URL.
    pub(super) resource: Option<String>,
    /// Unix seconds.
    pub(super) expires: i64,
    pub(super) starts: Option<i64>,
    pub(super) ip: Option<String>,
    pub(super) key: Key,
    pub(super) hash: Option<&'static str>,
}

impl Order {
    /// A URL under the key's folder, with the least that a signer takes.
    pub(super) fn url(signer: Signer, key: Key, url: String, expires: i64) -> Self {
        Self { signer, form: Form::Url, url, resource: None, expires, starts: None, ip: None, key, hash: None }
    }

    pub(super) fn cookies(self) -> Self {
        Self { form: Form::Cookies, ..self }
    }

    pub(super) fn covering(self, resource: String) -> Self {
        Self { resource: Some(resource), ..self }
    }

    pub(super) fn from(self, starts: i64) -> Self {
        Self { starts: Some(starts), ..self }
    }

    pub(super) fn until(self, expires: i64) -> Self {
        Self { expires, ..self }
    }

    pub(super) fn ip(self, ip: &str) -> Self {
        Self { ip: Some(ip.to_owned()), ..self }
    }

    pub(super) fn sha256(self) -> Self {
        Self { hash: Some("SHA256"), ..self }
    }

    fn json(&self, house: &House) -> Value {
        json!({
            "signer": if self.signer == Signer::Sdk { "sdk" } else { "small" },
            "form": if self.form == Form::Cookies { "cookies" } else { "url" },
            "url": self.url,
            "resource": self.resource,
            "expires": self.expires,
            "starts": self.starts,
            "ip": self.ip,
            "key": house.key_file(self.key),
            "key_id": self.key.id(),
            "hash": self.hash,
        })
    }
}

/// A viewer's right to a URL: the URL without signature, and the pieces of the signature in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) form: Form,
    pub(super) url: String,
    pieces: Vec<(String, String)>,
}

impl Pass {
    /// Takes a signed URL apart.
    fn from_url(signed: &str) -> Self {
        let (path, query) = signed.split_once('?').unwrap_or((signed, ""));
        let (pieces, own): (Vec<&str>, Vec<&str>) =
            query.split('&').partition(|parameter| RESERVED.contains(&parameter.split('=').next().unwrap_or_default()));
        let url = if own.is_empty() { path.to_owned() } else { format!("{path}?{}", own.join("&")) };
        let pieces = pieces.iter().filter_map(|piece| piece.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let pass = Self { form: Form::Url, url, pieces: pieces.collect() };
        assert_eq!(pass.signed_url(), signed, "what is asked is what the signer wrote");
        pass
    }

    fn from_cookies(url: &str, cookies: &Value) -> Self {
        let cookies = cookies.as_object().expect("cookies by name");
        let pieces = cookies.iter().map(|(name, value)| {
            let name = name.strip_prefix("CloudFront-").expect("a cookie of CloudFront");
            (name.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        Self { form: Form::Cookies, url: url.to_owned(), pieces: pieces.collect() }
    }

    fn signed_url(&self) -> String {
        let mut url = self.url.clone();
        for (name, value) in &self.pieces {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
        url
    }

    /// Asks the edge as its viewer would.
    pub(super) fn fetch(&self) -> Fetched {
        if self.form == Form::Url {
            return Viewer::new().get(&self.signed_url());
        }
        let cookies: Vec<String> = self.pieces.iter().map(|(n, v)| format!("CloudFront-{n}={v}")).collect();
        Viewer::new().with("cookie", &format!("theme=dark; {}", cookies.join("; "))).get(&self.url)
    }

    /// A piece as the signer wrote it.
    pub(super) fn piece(&self, name: &str) -> Option<&str> {
        self.pieces.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.pieces.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The same with another value, or with one more piece.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        match other.pieces.iter_mut().find(|(found, _)| found == name) {
            Some(piece) => value.clone_into(&mut piece.1),
            None => other.pieces.push((name.to_owned(), value.to_owned())),
        }
        other
    }

    pub(super) fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.pieces.retain(|(found, _)| found != name);
        other
    }

    pub(super) fn bare(&self) -> Self {
        Self { pieces: Vec::new(), ..self.clone() }
    }

    /// The same signature on another URL.
    pub(super) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }
}

/// Has the orders signed, each by its own signer.
pub(super) fn sign(house: &House, orders: &[Order]) -> Vec<Pass> {
    let mut passes: Vec<Option<Pass>> = vec![None; orders.len()];
    let scripts: [(&[Signer], PathBuf, &str); 2] = [
        (&[Signer::Botocore], environment("python"), "sign.py"),
        (&[Signer::Sdk, Signer::Small], "node".into(), "sign.mjs"),
    ];
    for (signers, program, script) in scripts {
        let (places, asked): (Vec<_>, Vec<_>) = (orders.iter().enumerate())
            .filter(|(_, order)| signers.contains(&order.signer))
            .map(|(place, order)| (place, order.json(house)))
            .unzip();
        if asked.is_empty() {
            continue;
        }
        let made: Vec<Value> = serde_json::from_slice(&run(&program, &[script], &Value::from(asked).to_string()))
            .expect("a JSON list of what was signed");
        assert_eq!(made.len(), places.len());
        for (place, made) in places.into_iter().zip(&made) {
            passes[place] = Some(received(&orders[place], made));
        }
    }
    for (order, pass) in orders.iter().zip(&mut passes) {
        if order.signer == Signer::Cli {
            *pass = Some(received(order, &Value::from(cli(house, order))));
        }
    }
    passes.into_iter().map(|pass| pass.expect("every order has a signer")).collect()
}

fn received(order: &Order, made: &Value) -> Pass {
    if order.form == Form::Cookies {
        return Pass::from_cookies(&order.url, made);
    }
    let pass = Pass::from_url(made.as_str().expect("a URL"));
    let signs_the_resource = order.resource.is_some() && matches!(order.signer, Signer::Small | Signer::Cli);
    // These two know no policy of one's own: they sign the wildcards as a URL, and the viewer puts the signature on others.
    if signs_the_resource { pass.at(&order.url) } else { pass }
}

fn cli(house: &House, order: &Order) -> String {
    let file = house.key_file(order.key);
    let mut arguments = vec!["cloudfront".to_owned(), "sign".to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    option("url", order.resource.clone().unwrap_or_else(|| order.url.clone()));
    option("key-pair-id", order.key.id().to_owned());
    option("private-key", format!("file://{}", file.display()));
    option("date-less-than", order.expires.to_string());
    if let Some(starts) = order.starts {
        option("date-greater-than", starts.to_string());
    }
    if let Some(ip) = &order.ip {
        option("ip-address", ip.clone());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let printed = run(&environment("aws"), &arguments, "");
    String::from_utf8(printed).expect("a URL").trim().to_owned()
}

/// A program of the Python environment.
fn environment(program: &str) -> PathBuf {
    folder().join(".venv/bin").join(program)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("signers")
}

fn run(program: &Path, arguments: &[&str], input: &str) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test` installs what it needs", program.display()));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the signer to read its orders");
    let output = child.wait_with_output().expect("the signer to end");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {error}", program.display());
    output.stdout
}
