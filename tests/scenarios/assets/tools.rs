//! Programs that know S3 store files, of which assets are made, and fetch them again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anabranch_testkit::{Server, wait_for};
use serde_json::{Value, json};

use super::{Film, decoded, object, play, wait_ready};
use crate::text;

/// The S3-compatible endpoint, and who asks.
struct Tools {
    url: String,
    id: String,
    secret: String,
    folder: PathBuf,
}

impl Tools {
    fn of(server: &Server) -> Self {
        let key = server.call("POST", "/v1/access-keys", &json!({"name": "tools"}));
        let folder = server.data().with_file_name("tools");
        fs::create_dir(&folder).expect("a folder");
        Self { url: server.s3(), id: text(&key["id"]), secret: text(&key["secret"]), folder }
    }

    /// Runs a program that has to succeed; what it printed.
    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.arg("120").arg(program).args(arguments).current_dir(&self.folder).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.folder);
        command.env("LANG", "C.UTF-8").env("AWS_ACCESS_KEY_ID", &self.id).env("AWS_SECRET_ACCESS_KEY", &self.secret);
        command.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("RCLONE_CONFIG_HOUSE_TYPE", "s3").env("RCLONE_CONFIG_HOUSE_PROVIDER", "Other");
        command.env("RCLONE_CONFIG_HOUSE_ENV_AUTH", "true").env("RCLONE_CONFIG_HOUSE_ENDPOINT", &self.url);
        let done = command.output().expect("the program");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{} {arguments:?}: {} {said}", program.display(), done.status);
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The AWS CLI, of the Python environment of the tests.
    fn aws(&self, arguments: &[&str]) -> String {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("signers/.venv/bin/aws");
        self.run(&program, &[&["--endpoint-url", &self.url], arguments].concat())
    }

    fn s3cmd(&self, arguments: &[&str]) -> String {
        let address = self.url.strip_prefix("http://").expect("a URL");
        let (key, secret) = (format!("--access_key={}", self.id), format!("--secret_key={}", self.secret));
        let (host, by_host) = (format!("--host={address}"), format!("--host-bucket={address}"));
        let all = [&[&*key, &*secret, &*host, &*by_host, "--no-ssl", "--no-progress"], arguments].concat();
        self.run(Path::new("s3cmd"), &all)
    }
}

#[test]
fn the_aws_cli_starts_the_same_job() {
    let server = Server::start();
    let tools = Tools::of(&server);
    let film = Film::default();
    let source = film.file(&server, "film.mp4");
    let path = source.to_string_lossy().into_owned();
    let _ = tools.aws(&["s3", "cp", &path, "s3://uploads/by hand/film.mp4"]);
    let asset = wait_ready(&server, "by hand/film.mp4");
    assert_eq!((&asset["name"], &asset["key"]), (&json!("film.mp4"), &json!("by hand/film.mp4")));
    assert_eq!(decoded(&text(&play(&server, &asset)["url"])).video, [film.frames()]);

    // The same again under another name is the same asset, of which nothing is made a second time.
    let _ = tools.aws(&["s3", "cp", &path, "s3://uploads/again.mp4"]);
    let again = wait_for("the duplicate", Duration::from_secs(20), || {
        object(&server, "again.mp4").filter(|object| object["arrival"] == "KNOWN")
    });
    assert_eq!(again["asset"], asset["id"]);
    let all = server.call("GET", "/v1/assets", &Value::Null);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all:#}");
    assert_eq!(all["items"][0]["state"], "READY");
    assert_eq!(all["items"][0]["key"], "by hand/film.mp4");

    let listed = tools.run(Path::new("rclone"), &["lsf", "-R", "--files-only", "house:uploads"]);
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["again.mp4", "by hand/film.mp4"]);
    let _ = tools.run(Path::new("rclone"), &["copyto", "house:uploads/by hand/film.mp4", "by-rclone.mp4"]);
    let listed = tools.s3cmd(&["ls", "--recursive", "s3://uploads/"]);
    assert!(listed.contains("s3://uploads/again.mp4") && listed.contains("s3://uploads/by hand/film.mp4"), "{listed}");
    let _ = tools.s3cmd(&["get", "s3://uploads/again.mp4", "by-s3cmd.mp4"]);
    let wanted = fs::read(&source).expect("the film");
    for name in ["by-rclone.mp4", "by-s3cmd.mp4"] {
        assert!(fs::read(tools.folder.join(name)).expect("a file") == wanted, "{name}");
    }
}
