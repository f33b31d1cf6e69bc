//! Keys of others, and key groups.

use anabranch_signing::PrivateKey;
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::json;

use crate::delivery::config;
use crate::support::{Server, own, text};

both!(a_public_key_is_taken_under_a_given_id, key_groups_open_distributions,);

/// An ECDSA P-256 key, made for this test.
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhFRTi8ny5PqPV10EkgvDM93OY7QN
2KwquRdYs12unqA7ovQLayPXC92ED8Xw+D1TIDzfFp1Er/MS4CN/zbUYLA==
-----END PUBLIC KEY-----
";

async fn a_public_key_is_taken_under_a_given_id(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let rsa = PrivateKey::generate().unwrap().public_key_pem().unwrap();
    let made = server.post("/v1/keys", json!({"public_key": rsa, "id": "K2JCJMDEHXQW5F"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((&made.body["id"], &made.body["name"]), (&json!("K2JCJMDEHXQW5F"), &json!("K2JCJMDEHXQW5F")));
    assert!(made.body["private_key"].is_null());
    assert_eq!(made.body["key_groups"].as_array().unwrap().len(), 1, "the default group");
    let p256 = server.post("/v1/keys", json!({"public_key": P256, "id": "partner_1", "key_groups": []})).await;
    assert_eq!((p256.status, &p256.body["key_groups"]), (StatusCode::CREATED, &json!([])), "{}", p256.body);

    server.post("/v1/keys", json!({"id": "K2JCJMDEHXQW5F", "name": "n"})).await.problem(409, "with this id");
    server.post("/v1/keys", json!({"id": "a b"})).await.problem(422, "a b");
    server.post("/v1/keys", json!({"key_groups": ["nothing"]})).await.problem(422, "nothing");
    server.snapshot(|snapshot| snapshot.key_groups[0].keys.iter().any(|key| key.id.as_str() == "K2JCJMDEHXQW5F")).await;
    server.delete("/v1/keys/K2JCJMDEHXQW5F").await.problem(409, "default");
    assert_eq!(server.delete("/v1/keys/partner_1").await.status, StatusCode::NO_CONTENT);
    server.delete("/v1/keys/partner_1").await.problem(404, "no key");
}

async fn key_groups_open_distributions(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let default = server.get("/v1/key-groups/default").await.body;
    let first = text(&default["keys"][0]).to_owned();
    let made = server.post("/v1/key-groups", json!({"name": "partners", "keys": ["first"]})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let group = text(&made.body["id"]).to_owned();
    assert_eq!(made.body["keys"], json!([first]), "by name or id");
    server.post("/v1/key-groups", json!({"name": "other", "keys": ["nothing"]})).await.problem(422, "nothing");
    server.post("/v1/key-groups", json!({"name": "partners"})).await.problem(409, "already a key group");
    server.post("/v1/keys", json!({"id": "K5", "key_groups": ["partners"]})).await;
    let snapshot = server.snapshot(|snapshot| snapshot.key_groups.iter().any(|group| group.keys.len() == 2)).await;
    assert_eq!(snapshot.key_groups.len(), 2);

    let mut trusting = config("r");
    trusting["DefaultCacheBehavior"]["TrustedKeyGroups"] = json!({"Enabled": true, "Quantity": 1, "Items": [group]});
    let distribution = server.post("/v1/distributions", json!({ "config": trusting })).await.body;
    assert_eq!(distribution["key_groups"], json!([group]), "{distribution}");
    let used = server.delete("/v1/key-groups/partners").await;
    used.problem(409, text(&distribution["id"]));
    assert_eq!(used.body["code"], "ResourceInUse");
    let changed = server.put("/v1/key-groups/partners", json!({"keys": ["K5"]})).await;
    assert_eq!((changed.status, &changed.body["keys"]), (StatusCode::OK, &json!(["K5"])));
    server
        .snapshot(|snapshot| snapshot.key_groups.iter().any(|of| of.id.as_str() == group && of.keys.len() == 1))
        .await;
    server.put("/v1/key-groups/nothing", json!({"keys": []})).await.problem(404, "no key group");

    let path = format!("/v1/distributions/{}", text(&distribution["id"]));
    let mut off = distribution["config"].clone();
    off["Enabled"] = json!(false);
    server.put(&path, json!({ "config": off })).await;
    server.delete(&path).await;
    server.snapshot(|snapshot| own(snapshot).iter().all(|spec| !spec.enabled)).await;
    server.applied_until(&path, |shown| shown["status"] == 404).await;
    assert_eq!(server.delete("/v1/key-groups/partners").await.status, StatusCode::NO_CONTENT);
    server.delete("/v1/key-groups/default").await.problem(409, "new channels trust it");
    assert_eq!(server.get("/v1/key-groups").await.body["items"].as_array().unwrap().len(), 1);
}
