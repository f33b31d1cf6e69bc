//! `kill -9` in mid-ladder: what is finished is not done again, and no ffmpeg of the first life goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_testkit::{Server, Viewer, WorkerNode, wait_for};
use serde_json::Value;

use super::{Film, MADE, decoded, drop_in, object, play, wait_ready};
use crate::text;

/// Pieces of six seconds.
const CHUNKS: (&str, &str) = ("ANABRANCH_DEMAND_CHUNK_SECONDS", "6");

/// After this, the lease of a worker that is silent ends.
const LEASE: Duration = Duration::from_secs(30);

/// Two rungs, ten pieces each.
const FILM: Film = Film { size: "960x540", rate: 10, seconds: 60, tone: 440 };

/// The folder of unfinished work on the one asset.
fn work(data: &Path) -> Option<PathBuf> {
    fs::read_dir(data.join("work")).ok()?.flatten().map(|entry| entry.path()).next()
}

/// Units of its plan, and those that are finished.
fn units(work: &Path) -> (usize, usize) {
    let plan = fs::read(work.join("plan.json")).expect("a plan");
    let plan: Value = serde_json::from_slice(&plan).expect("JSON");
    let done = fs::read_dir(work.join("done")).into_iter().flatten().count();
    (plan["units"].as_array().expect("units").len(), done)
}

/// Processes whose working folder is below `folder`, with the time of the kernel at which each began.
fn processes(folder: &Path) -> Vec<(u32, String)> {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let below = |id: &u32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let began = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        Some((id, stat.rsplit(')').next()?.split_whitespace().nth(19)?.to_owned()))
    };
    ids.filter(below).filter_map(began).collect()
}

/// Waits until some of the film is encoded, not all of it, and an ffmpeg is at work.
fn wait_half_way(server: &Server, data: &Path) -> PathBuf {
    wait_for("the middle of the ladder", MADE, || {
        let id = object(server, "film.mp4")?["asset"].as_str()?.to_owned();
        let asset = server.call("GET", &format!("/v1/assets/{id}"), &Value::Null);
        assert!(["QUEUED", "PROCESSING"].contains(&asset["state"].as_str()?), "{asset:#}");
        let half_way = (20.0..90.0).contains(&asset["progress_percent"].as_f64()?);
        let work = work(data)?;
        (half_way && !processes(&work).is_empty()).then_some(work)
    })
}

/// What the first life has left.
struct Left {
    units: usize,
    done: usize,
    /// ffmpeg that goes on without a worker.
    orphans: Vec<(u32, String)>,
    /// Files of rungs that are finished, with their inodes.
    files: Vec<(PathBuf, u64)>,
}

fn left(work: &Path) -> Left {
    use std::os::unix::fs::MetadataExt as _;
    let (units, done) = units(work);
    assert!(done > 2 && done < units, "{done} of {units}");
    let mut files = Vec::new();
    for record in fs::read_dir(work.join("done")).expect("records").flatten() {
        let record: Value = serde_json::from_slice(&fs::read(record.path()).expect("a record")).expect("JSON");
        for file in record["done"]["files"].as_array().into_iter().flatten() {
            let path = work.join(text(&file["path"]));
            let inode = fs::metadata(&path).expect("a file").ino();
            files.push((path, inode));
        }
    }
    Left { units, done, orphans: processes(work), files }
}

impl Left {
    /// Whether the files are still those; nothing once the work is done and its folder gone.
    fn is_untouched(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        self.files.iter().all(|(path, inode)| fs::metadata(path).map_or(true, |found| found.ino() == *inode))
    }

    fn check(&self, server: &Server, data: &Path, done_now: f64) {
        let asset = wait_ready(server, "film.mp4");
        assert_eq!(decoded(&text(&play(server, &asset)["url"])).video, [FILM.frames(), FILM.frames()]);
        assert_eq!(done_now, (self.units - self.done) as f64, "{} of {} were finished", self.done, self.units);
        let alive = processes(&data.join("work"));
        assert!(alive.is_empty(), "{alive:?} of {:?}", self.orphans);
        assert!(work(data).is_none(), "the work folder goes");
    }
}

/// Waits for the second life to go on with the asset; what was finished stays what it was.
fn wait_second_life(server: &Server, left: &Left, work: &Path) {
    let asset = wait_for("the second life to go on", LEASE / 2, || {
        let id = object(server, "film.mp4")?["asset"].as_str()?.to_owned();
        let asset = server.call("GET", &format!("/v1/assets/{id}"), &Value::Null);
        let goes_on = processes(work).iter().any(|process| !left.orphans.contains(process));
        (goes_on || asset["state"] == "READY").then_some(asset)
    });
    assert_eq!(asset["playable"], true, "what can be watched can be watched on: {asset:#}");
    wait_for("the asset", MADE, || {
        assert!(left.is_untouched());
        super::ended(server, "film.mp4")
    });
}

#[test]
fn a_worker_killed_in_mid_ladder_goes_on() {
    let server = Server::start_with(&[("ANABRANCH_DEMAND_ASSETS_AT_ONCE", "0")]);
    let mut worker = WorkerNode::start(&server, &[CHUNKS]);
    drop_in(&server, &FILM.file(&server, "film"), "film.mp4");
    let folder = wait_half_way(&server, &worker.data());
    worker.kill();
    let left = left(&folder);
    worker.restart();
    wait_second_life(&server, &left, &folder);
    let done = worker.metric("anabranch_transcode_units_total", "outcome=\"done\"");
    assert_eq!(server.metric("anabranch_transcode_units_total", ""), 0.0, "the server itself makes none");
    left.check(&server, &worker.data(), done);
}

#[test]
fn a_server_killed_in_mid_ladder_goes_on_at_once() {
    let mut server = Server::start_with(&[CHUNKS]);
    drop_in(&server, &FILM.file(&server, "film"), "film.mp4");
    let folder = wait_half_way(&server, &server.data());
    server.kill();
    let left = left(&folder);
    server.restart();
    wait_second_life(&server, &left, &folder);
    let done = server.metric("anabranch_transcode_units_total", "outcome=\"done\"");
    left.check(&server, &server.data(), done);
}

#[test]
fn what_is_deleted_in_mid_ladder_leaves_nothing_and_may_come_again() {
    let server = Server::start_with(&[CHUNKS]);
    let (film, copy) = (FILM.file(&server, "film"), server.data().with_file_name("copy"));
    fs::copy(&film, &copy).expect("a copy");
    drop_in(&server, &film, "film.mp4");
    let folder = wait_half_way(&server, &server.data());
    let id = text(&object(&server, "film.mp4").expect("the file")["asset"]);
    let playlist = text(&server.call("POST", &format!("/v1/assets/{id}/play-url"), &Value::Null)["url"]);
    assert_eq!(Viewer::new().get(&playlist).status, 200, "it is shown while it is made");
    let _ = server.call("DELETE", &format!("/v1/assets/{id}"), &Value::Null);
    wait_for("the edge to forget", Duration::from_secs(5), || {
        (Viewer::new().get(&playlist).status == 404).then_some(())
    });
    wait_for("the end of ffmpeg", Duration::from_secs(15), || processes(&folder).is_empty().then_some(()));
    let objects = server.data().join("media/bucket/vod/assets").join(&id);
    let is_empty = || !folder.exists() && super::files_below(&objects) == 0;
    wait_for("an empty disk", LEASE * 2, || is_empty().then_some(()));

    drop_in(&server, &copy, "again.mp4");
    let asset = wait_ready(&server, "again.mp4");
    assert_eq!(text(&asset["id"]), id);
    assert_eq!(decoded(&text(&play(&server, &asset)["url"])).video, [FILM.frames(), FILM.frames()]);
}
