//! Buckets whose files are at an S3-compatible service, which here is another server: what is put there is played from here, and an
//! outage of the service is no outage of what viewers see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Server, wait_for};
use serde_json::{Value, json};

use crate::assets::{Film, decoded, files_below, object, play, wait_ready};
use crate::text;

/// Longest wait until a service is known to be away, or back: it is asked every ten seconds.
const NOTICED: Duration = Duration::from_secs(60);

/// Longest wait for what takes moments.
const SOON: Duration = Duration::from_secs(30);

struct Scene {
    /// Has the files.
    service: Server,
    /// Makes assets of them, and shows them.
    house: Server,
    id: String,
    secret: String,
}

impl Scene {
    fn open() -> Self {
        let service = Server::start();
        for bucket in ["far-in", "far-out"] {
            let _ = service.cli(&["bucket", "create", bucket]);
        }
        let key = service.call("POST", "/v1/access-keys", &json!({"name": "house"}));
        let (id, secret) = (text(&key["id"]), text(&key["secret"]));
        let who = format!("endpoint = {:?}\naccess_key_id = {id:?}\nsecret_access_key = {secret:?}\n", service.s3());
        let config = format!(
            "[store.remote.uploads]\nbucket = \"far-in\"\nprefix = \"new\"\n{who}\
             [store.remote.vod]\nbucket = \"far-out\"\n{who}"
        );
        let path = service.data().with_file_name("house.toml");
        fs::write(&path, config).expect("a scratch file");
        let house = Server::start_with(&[("ANABRANCH_CONFIG", &path.to_string_lossy())]);
        Self { service, house, id, secret }
    }

    /// Puts a file where the service keeps it, as anybody does who has nothing to do with this house.
    fn put(&self, file: &Path, to: &str) {
        let done = Command::new("rclone")
            .args(["copyto", &file.to_string_lossy(), &format!("service:far-in/new/{to}")])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.service.data())
            .env("AWS_ACCESS_KEY_ID", &self.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env("RCLONE_CONFIG_SERVICE_TYPE", "s3")
            .env("RCLONE_CONFIG_SERVICE_PROVIDER", "Other")
            .env("RCLONE_CONFIG_SERVICE_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_SERVICE_ENDPOINT", self.service.s3())
            .stdin(Stdio::null())
            .output()
            .expect("rclone");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn problem(&self, bucket: &str) -> Option<String> {
        let shown = self.house.cli(&["bucket", "show", bucket]);
        assert!(!shown.to_string().contains(&self.secret));
        shown["backend"]["problem"].as_str().map(str::to_owned)
    }

    /// What the service has of an asset.
    fn made(&self, asset: &Value) -> PathBuf {
        self.service.data().join("media/bucket/far-out/assets").join(text(&asset["id"]))
    }
}

#[test]
fn files_at_a_service_are_played_and_outlive_its_outage() {
    let mut scene = Scene::open();
    let film = Film::default();
    scene.put(&film.file(&scene.house, "first.mp4"), "by hand/first film.mp4");
    let asset = wait_ready(&scene.house, "by hand/first film.mp4");
    let made = scene.made(&asset);
    assert!(files_below(&made) > 5, "{}", made.display());
    assert_eq!(files_below(&scene.house.data().join("media/bucket/vod")), 0, "nothing of it is here");
    let url = text(&play(&scene.house, &asset)["url"]);
    assert_eq!(decoded(&url).video, [film.frames()]);
    assert_eq!((scene.problem("uploads"), scene.problem("vod")), (None, None));

    // The service goes while another asset is made.
    let second = Film { seconds: 12, tone: 660, ..Film::default() };
    scene.put(&second.file(&scene.house, "second.mp4"), "second.mp4");
    wait_for("the second to be begun", NOTICED, || object(&scene.house, "second.mp4")?["asset"].as_str().map(|_| ()));
    scene.service.kill();
    let problem = wait_for("the outage to be seen", NOTICED, || scene.problem("uploads"));
    assert!(problem.contains("no connection"), "{problem}");
    let listed = scene.house.ask("GET", "/v1/buckets/uploads/objects", &Value::Null);
    assert_eq!(listed.status, 503, "{}", listed.text());
    assert!(listed.text().contains("is away"), "{}", listed.text());
    // What viewers had is there for all.
    assert_eq!(decoded(&url).video, [film.frames()]);
    assert!(files_below(&made) > 5);

    scene.service.restart();
    wait_for("the service to be back", NOTICED, || scene.problem("uploads").is_none().then_some(()));
    let asset = wait_ready(&scene.house, "second.mp4");
    assert_eq!(decoded(&text(&play(&scene.house, &asset)["url"])).video, [second.frames()]);

    // What is deleted leaves nothing there.
    let made = scene.made(&asset);
    assert!(files_below(&made) > 5);
    let _ = scene.house.call("DELETE", &format!("/v1/assets/{}", text(&asset["id"])), &Value::Null);
    wait_for("the asset to go", SOON, || (files_below(&made) == 0).then_some(()));
}

#[test]
fn a_bucket_is_made_at_a_service_and_forgotten_without_harm() {
    let scene = Scene::open();
    let made = scene.house.cli(&["bucket", "create", "films", "--backend", "s3://far-in/films", "--remote", "vod"]);
    assert_eq!(made["backend"]["url"], "s3://far-in/films/");
    assert_eq!(made["backend"]["endpoint"], scene.service.s3());
    let file = scene.house.data().with_file_name("notes.txt");
    fs::write(&file, "by the command line").expect("a scratch file");
    let sent = scene.house.cli(&["bucket", "put", "films", &file.to_string_lossy(), "--key", "a note.txt"]);
    assert_eq!((&sent["key"], sent["size"].as_u64()), (&"a note.txt".into(), Some(19)));
    let there = || scene.service.cli(&["bucket", "files", "far-in", "--prefix", "films/"])["items"][0].clone();
    assert_eq!(there()["key"], "films/a note.txt");
    let _ = scene.house.cli(&["bucket", "delete", "films"]);
    assert_eq!(there()["size"].as_u64(), Some(19));
    // What is wrong is said before anything is made.
    let refused =
        scene.house.cli_refused(&["bucket", "create", "films", "--backend", "s3://far-in", "--remote", "ceph"]);
    assert!(refused.contains("[store.remote.ceph]"), "{refused}");
    let refused = scene.house.cli_refused(&["bucket", "delete", "uploads"]);
    assert!(refused.contains("[store.remote.uploads]"), "{refused}");
}
