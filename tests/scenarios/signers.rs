//! URLs and cookies of the signers that people use are accepted, and their tampered kin refused in CloudFront's words.

mod house;
mod sign;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anabranch_testkit::{Fetched, wait_for};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use house::{HOST, House, Key, OTHER_HOST};
use sign::{Form, Order, Pass, RESERVED, Signer, sign};

/// Seconds until signatures end that shall not end here.
const LONG: i64 = 3600;

/// The viewer is at 127.0.0.1: these blocks have it.
const HERE: [&str; 3] = ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0"];

/// An address that no viewer has (RFC 5737).
const NOT_HERE: &str = "192.0.2.1";

#[expect(clippy::disallowed_methods, reason = "the signers and the edge under test go by the machine's clock")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_secs()).expect("a time of this age")
}

/// Codes of refusals.
const MISSING_KEY: &str = "MissingKey";
const UNKNOWN_KEY: &str = "InvalidKey";
const BAD_SIGNATURE_TEXT: &str = "MalformedSignature";
const BAD_POLICY: &str = "MalformedPolicy";
const DENIED: &str = "AccessDenied";
/// Where no capture shows what CloudFront says.
const ANY_CODE: &str = "";

fn assert_opens(pass: &Pass, of: &str) {
    let answer = pass.fetch();
    assert_eq!(answer.status, 200, "{of}: {}\n{pass:#?}", answer.text());
    let path = &pass.url[pass.url.find("://").expect("a scheme") + 3..];
    let path = &path[path.find('/').expect("a path")..];
    assert_eq!(answer.text(), path.split('?').next().unwrap_or_default(), "{of}");
}

fn assert_refused(pass: &Pass, code: &str, of: &str) {
    check_refusal(&pass.fetch(), code, &format!("{of}\n{pass:#?}"));
}

fn check_refusal(answer: &Fetched, code: &str, of: &str) {
    let message = match code {
        MISSING_KEY => "Missing Key-Pair-Id query parameter or cookie value",
        UNKNOWN_KEY => "Unknown Key",
        BAD_SIGNATURE_TEXT => "Could not unencode Signature",
        BAD_POLICY => "Malformed Policy",
        _ => "Access denied",
    };
    assert_eq!(answer.status, 403, "{of}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "text/xml", "{of}");
    assert_eq!(answer.header("server"), "CloudFront", "{of}");
    assert_eq!(answer.header("x-cache"), "Error from cloudfront", "{of}");
    if code != ANY_CODE {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        assert_eq!(answer.text(), body, "{of}");
    }
}

/// What opens, twice: by a public-key operation and by what the edge remembers of it. Then all of its kin.
fn judge(house: &House, orders: &[Order]) {
    for (order, pass) in orders.iter().zip(sign(house, orders)) {
        let of = format!("{order:?}");
        for _ in 0..2 {
            assert_opens(&pass, &of);
        }
        let asked = house.asked().len();
        pieces(&pass, &of);
        policies(&pass, &of);
        keys(order, &pass, &of);
        hashes(&pass, &of);
        assert_eq!(house.asked().len(), asked, "{of}: a refused request reaches no origin");
        places(order, &pass, &of);
        assert_opens(&pass, &of);
    }
}

/// Pieces that are missing or broken.
fn pieces(pass: &Pass, of: &str) {
    assert_refused(&pass.bare(), MISSING_KEY, of);
    assert_refused(&pass.without("Key-Pair-Id"), MISSING_KEY, of);
    assert_refused(&pass.without("Signature"), ANY_CODE, of);
    assert_refused(&pass.without("Policy").without("Expires"), ANY_CODE, of);
    let signature = pass.piece("Signature").expect("a signature");
    assert_refused(&pass.with("Signature", &flipped(signature)), DENIED, of);
    assert_refused(&pass.with("Signature", "!!!!"), BAD_SIGNATURE_TEXT, of);
    assert_refused(&pass.with("Signature", "AAAA"), DENIED, of);
}

/// What was signed, changed.
fn policies(pass: &Pass, of: &str) {
    let Some(policy) = pass.piece("Policy") else {
        let expires = pass.piece("Expires").expect("a canned policy").parse::<i64>().expect("seconds");
        assert_refused(&pass.with("Expires", &(expires + 1).to_string()), DENIED, of);
        return;
    };
    let text = decode(policy);
    let digits = text.split("\"AWS:EpochTime\":").nth(1).expect("a date").trim_start();
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    let longer = text.replacen(&digits, &(digits.parse::<i64>().expect("seconds") + 1).to_string(), 1);
    assert_ne!(longer, text);
    for changed in
        [longer, text.replace("127.0.0", "0.0.0"), text.replace("m4s", "*"), text.clone() + " ", "{}".to_owned()]
    {
        if changed == text {
            continue;
        }
        assert_refused(&pass.with("Policy", &encode(&changed)), DENIED, of);
    }
    assert_refused(&pass.with("Policy", "!!!!"), BAD_POLICY, of);
}

/// Other keys: of nobody, of another behavior, of the same group.
fn keys(order: &Order, pass: &Pass, of: &str) {
    assert_refused(&pass.with("Key-Pair-Id", "KNOBODY"), UNKNOWN_KEY, of);
    assert_refused(&pass.with("Key-Pair-Id", Key::Elsewhere.id()), UNKNOWN_KEY, of);
    if order.key == Key::Rsa {
        assert_refused(&pass.with("Key-Pair-Id", Key::RsaToo.id()), DENIED, of);
    }
    let elsewhere = pass.url.replace(&format!("/{}/", order.key.folder()), "/else/");
    assert_refused(&pass.at(&elsewhere), UNKNOWN_KEY, of);
}

/// The other hash.
fn hashes(pass: &Pass, of: &str) {
    let other = match pass.piece("Hash-Algorithm") {
        Some("SHA256") => pass.without("Hash-Algorithm"),
        _ => pass.with("Hash-Algorithm", "SHA256"),
    };
    assert_refused(&other, DENIED, of);
    assert_refused(&pass.with("Hash-Algorithm", "MD5"), ANY_CODE, of);
}

/// Other URLs, which open as far as a wildcard says so.
fn places(order: &Order, pass: &Pass, of: &str) {
    let expect = |other: &Pass, opens: bool, what: &str| {
        assert_ne!(other, pass, "{of}: {what}");
        if opens { assert_opens(other, &format!("{of}: {what}")) } else { assert_refused(other, DENIED, of) }
    };
    let wild = order.resource.as_deref().unwrap_or_default();
    let joint = if pass.url.contains('?') { '&' } else { '?' };
    expect(&pass.at(&format!("{}{joint}more=1", pass.url)), wild.ends_with('*'), "one more parameter");
    expect(&pass.at(&pass.url.replace(HOST, OTHER_HOST)), wild.contains("://*/"), "another distribution");
    expect(&pass.at(&pass.url.replace("/film/", "/other/")), wild.contains("/rsa/*/"), "another folder");
    let next = pass.url.split('?').next().expect("a URL").to_owned() + "2";
    expect(&pass.at(&next), wild.ends_with("/film/*"), "another file");
    if let Some((path, own)) = pass.url.split_once('?') {
        expect(&pass.at(path), wild.ends_with("/film/*"), "without its own parameters");
        expect(&pass.at(&format!("{path}?x{own}")), wild.ends_with("/film/*"), "with others");
    }
}

fn flipped(signature: &str) -> String {
    // Not within an escape, which would be no text of a signature at all.
    let escaped = |at: usize| signature[at - 2..=at].contains('%');
    let middle = (signature.len() / 2..signature.len()).find(|at| !escaped(*at)).expect("a character of its own");
    let other = if signature[middle..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &signature[..middle], &signature[middle + 1..])
}

fn decode(piece: &str) -> String {
    let standard = piece.replace("%7E", "~").replace('-', "+").replace('_', "=").replace('~', "/");
    String::from_utf8(STANDARD.decode(standard).expect("base64")).expect("text")
}

fn encode(text: &str) -> String {
    STANDARD.encode(text).replace('+', "-").replace('=', "_").replace('/', "~")
}

/// Dates and addresses, each by an order of its own: they cannot be changed after signing. `least` is an order that opens; `starts`
/// says whether its signer knows `DateGreaterThan`.
fn judge_conditions(house: &House, least: &Order, starts: bool) {
    let now = now();
    let mut opens: Vec<Order> = HERE.map(|ip| least.clone().ip(ip)).to_vec();
    let mut refused = vec![least.clone().ip(NOT_HERE), least.clone().ip("192.0.2.0/24")];
    if starts {
        opens.push(least.clone().from(now - 60));
        opens.push(least.clone().from(now - 60).ip(HERE[0]));
        refused.push(least.clone().from(now + 600));
        refused.push(least.clone().from(now + 600).ip(HERE[0]));
    }
    for (order, pass) in opens.iter().zip(sign(house, &opens)) {
        assert_opens(&pass, &format!("{order:?}"));
    }
    for (order, pass) in refused.iter().zip(sign(house, &refused)) {
        assert_refused(&pass, DENIED, &format!("{order:?}"));
    }
    // `aws-cloudfront-sign` does not sign what has ended, so its ones end soon after it has been started.
    let ended = self::now() + if least.signer == Signer::Small { 8 } else { -1 };
    let mut late = vec![least.clone().until(ended), least.clone().until(ended).ip(HERE[0])];
    if starts {
        late.push(least.clone().until(ended).from(now - 60));
    }
    for (order, pass) in late.iter().zip(sign(house, &late)) {
        wait_for("the signature to end", Duration::from_secs(30), || (pass.fetch().status == 403).then_some(()));
        assert_refused(&pass, DENIED, &format!("{order:?}"));
    }
}

/// Paths under `/rsa/film/` that are no plain words, as a viewer asks them.
const ODD: &str = "rsa/film/a%20b%2Cc/%E4%BD%A0~%28x%29.m4s";

#[test]
fn botocore() {
    let house = House::start();
    let until = now() + LONG;
    let rsa = |path: &str| Order::url(Signer::Botocore, Key::Rsa, house.url(path), until);
    let ec = |path: &str| Order::url(Signer::Botocore, Key::Ecdsa, house.url(path), until);
    let film = house.url("rsa/film/*");
    judge(
        &house,
        &[
            rsa("rsa/film/a.m4s"),
            rsa("rsa/film/a.m4s?size=large&lang=en"),
            rsa(ODD),
            rsa("rsa/film/a.m4s?q=a%20b&u=http://x/?y"),
            rsa("rsa/film/a.m4s?size=large").from(until - 2 * LONG),
            rsa("rsa/film/a.m4s").covering(film.clone()),
            rsa("rsa/film/deep/a.m4s?own=1").covering(film),
            rsa("rsa/film/a.m4s").covering("*://*/rsa/film/*".to_owned()),
            rsa("rsa/film/a.m4s").covering("http*://*/rsa/film/*".to_owned()),
            rsa("rsa/film/a.m4s?size=large").covering(house.url(r"rsa/film/?.m4s\?size=*")),
            ec("ec/film/a.m4s"),
            ec("ec/film/a.m4s").covering(house.url("ec/film/*")),
        ],
    );
    judge_conditions(&house, &rsa("rsa/film/b.m4s"), true);
}

#[test]
fn sdk() {
    let house = House::start();
    let until = now() + LONG;
    let rsa = |path: &str| Order::url(Signer::Sdk, Key::Rsa, house.url(path), until);
    let ec = |path: &str| Order::url(Signer::Sdk, Key::Ecdsa, house.url(path), until);
    let film = house.url("rsa/film/*");
    judge(
        &house,
        &[
            rsa("rsa/film/a.m4s"),
            rsa("rsa/film/a.m4s").sha256(),
            rsa("rsa/film/a.m4s?size=large&flag"),
            // The SDK escapes before it signs.
            rsa("rsa/film/a b,c@d/你 (x).m4s?q=a b&u='ü'"),
            rsa("rsa/film/a b/你.m4s?q=a b").ip(HERE[0]),
            rsa(ODD).sha256(),
            rsa("rsa/film/a.m4s?size=large").ip(HERE[1]).from(until - 2 * LONG),
            rsa("rsa/film/a.m4s?own=1").covering(film),
            rsa("rsa/film/a.m4s").covering("*://*/rsa/film/*".to_owned()).sha256(),
            rsa("rsa/film/a.m4s?size=large").covering(house.url(r"rsa/*/a.m4s\?size=*")),
            ec("ec/film/a.m4s"),
            ec("ec/film/a.m4s?size=large").sha256(),
            ec("ec/film/a.m4s").covering(house.url("ec/film/*")).sha256(),
        ],
    );
    judge_conditions(&house, &rsa("rsa/film/b.m4s").sha256(), true);
}

#[test]
fn sdk_cookies() {
    let house = House::start();
    let until = now() + LONG;
    let rsa = |path: &str| Order::url(Signer::Sdk, Key::Rsa, house.url(path), until).cookies();
    let ec = |path: &str| Order::url(Signer::Sdk, Key::Ecdsa, house.url(path), until).cookies();
    judge(
        &house,
        &[
            rsa("rsa/film/a.m4s"),
            rsa("rsa/film/a.m4s?size=large").sha256(),
            rsa(ODD),
            rsa("rsa/film/a.m4s").covering(house.url("rsa/film/*")),
            rsa("rsa/film/a.m4s?own=1").covering("http*://*/rsa/film/*".to_owned()).sha256(),
            ec("ec/film/a.m4s"),
            ec("ec/film/a.m4s").covering(house.url("ec/film/*")).sha256(),
        ],
    );
    judge_conditions(&house, &rsa("rsa/film/b.m4s"), true);
}

#[test]
fn aws_cloudfront_sign() {
    let house = House::start();
    let until = now() + LONG;
    let rsa = |path: &str| Order::url(Signer::Small, Key::Rsa, house.url(path), until);
    let ec = |path: &str| Order::url(Signer::Small, Key::Ecdsa, house.url(path), until);
    let film = house.url("rsa/film/*");
    let orders = [
        rsa("rsa/film/a.m4s"),
        rsa("rsa/film/a.m4s?size=large&lang=en"),
        rsa(ODD),
        rsa("rsa/film/a.m4s?size=large").ip(HERE[1]),
        rsa("rsa/film/deep/a.m4s?own=1").covering(film.clone()),
        ec("ec/film/a.m4s"),
        rsa("rsa/film/a.m4s").cookies(),
        rsa("rsa/film/a.m4s?own=1").covering(film).cookies(),
        ec("ec/film/a.m4s").covering(house.url("ec/film/*")).cookies(),
    ];
    let made = sign(&house, &orders[..1]);
    assert_eq!(made[0].names(), ["Expires", "Policy", "Signature", "Key-Pair-Id"], "both, and the policy counts");
    judge(&house, &orders);
    judge_conditions(&house, &rsa("rsa/film/b.m4s"), false);
    judge_conditions(&house, &rsa("rsa/film/b.m4s").cookies(), false);
}

#[test]
fn aws_cli() {
    let house = House::start();
    let until = now() + LONG;
    let rsa = |path: &str| Order::url(Signer::Cli, Key::Rsa, house.url(path), until);
    judge(
        &house,
        &[
            rsa("rsa/film/a.m4s"),
            rsa("rsa/film/a.m4s?size=large&lang=en"),
            rsa(ODD),
            // Wildcards make a custom policy only with one of its conditions.
            rsa("rsa/film/deep/a.m4s?own=1").covering(house.url("rsa/film/*")).ip("0.0.0.0/0"),
            rsa("rsa/film/a.m4s?size=large").from(until - 2 * LONG),
        ],
    );
    judge_conditions(&house, &rsa("rsa/film/b.m4s"), true);
}

/// These two sign a URL as it is given. What a URL library or a viewer escapes afterwards is another URL, for CloudFront too.
#[test]
fn what_is_escaped_after_signing_is_refused() {
    let house = House::start();
    let until = now() + LONG;
    let raw = house.url("rsa/film/a b.m4s");
    let small = Order::url(Signer::Small, Key::Rsa, raw.clone(), until);
    let orders = [small.clone(), small.cookies(), Order::url(Signer::Botocore, Key::Rsa, raw, until)];
    for (order, pass) in orders.iter().zip(sign(&house, &orders)) {
        assert_refused(&pass.at(&pass.url.replace(' ', "%20")), DENIED, &format!("{order:?}"));
    }
    let plus = Order::url(Signer::Small, Key::Rsa, house.url("rsa/film/a.m4s?q=a%20b"), until);
    let pass = &sign(&house, std::slice::from_ref(&plus))[0];
    assert!(pass.url.ends_with("?q=a+b"), "its URL library writes own parameters anew: {}", pass.url);
    assert_refused(pass, DENIED, "own parameters written anew");
    assert_opens(&pass.at(&plus.url), "own parameters as signed");
}

#[test]
fn one_object_of_all_signers_is_fetched_once() {
    let house = House::start();
    let until = now() + LONG;
    let before = house.asked().len();
    let mut orders = Vec::new();
    for signer in [Signer::Botocore, Signer::Sdk, Signer::Small, Signer::Cli] {
        for key in [Key::Rsa, Key::RsaToo] {
            orders.push(Order::url(signer, key, house.url("rsa/film/a.m4s?size=large"), until));
        }
        let least = orders[orders.len() - 1].clone();
        orders.push(least.clone().until(until + 1));
        orders.push(least.clone().ip(HERE[0]));
        if matches!(signer, Signer::Sdk | Signer::Small) {
            orders.push(least.cookies());
        }
    }
    let passes = sign(&house, &orders);
    for (order, pass) in orders.iter().zip(&passes) {
        assert_opens(pass, &format!("{order:?}"));
    }
    let asked = house.asked().split_off(before);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    for name in RESERVED {
        assert!(!asked[0].contains(name), "the origin learns nothing of signatures: {}", asked[0]);
    }
    let cookies = passes.iter().find(|pass| pass.form == Form::Cookies).expect("cookies");
    assert_refused(&cookies.bare(), MISSING_KEY, "what others opened is not open");
}
