//! Watched folders: a file that is dropped in becomes an object of a bucket, and leaves the folder.
//!
//! A file that is still being written is not touched: one is taken when nothing of it has changed for a while and no process of this machine
//! has it open for writing, as far as that can be seen.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_net::Shutdown;
use anabranch_store::Buckets;
use anabranch_store::buckets::{Adopt, Attributes};
use anabranch_store::key;
use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use crate::config::{Config, Watched};

/// Folder that is watched when no other is named, in the data directory.
const FOLDER: &str = "drop";

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long a file must have been as it is.
const SETTLED: Duration = Duration::from_secs(2);

/// Time until a file that could not be taken is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Files of a folder that are looked at; the others wait.
const FILES_MAX: usize = 10_000;

/// Folders below a watched one, one in the other, at most.
const DEPTH_MAX: usize = 16;

/// The folders.
pub(super) struct DropFolders {
    buckets: Buckets,
    watched: Vec<Watched>,
    seen: HashMap<PathBuf, Seen>,
}

/// Size of a file, and when its bytes and its inode changed last.
type State = (u64, i64, i64, i64);

/// A file as it was last seen.
struct Seen {
    state: State,
    since: Instant,
    /// When it may be tried again.
    rests_until: Option<Instant>,
}

impl DropFolders {
    /// Makes the folders where they are missing.
    pub(super) fn open(config: &Config, buckets: &Buckets) -> Result<Self> {
        let usual = || vec![Watched { folder: config.data.join(FOLDER), bucket: key::UPLOADS.to_owned() }];
        let watched = config.demand.watch.clone().unwrap_or_else(usual);
        for one in &watched {
            fs::create_dir_all(&one.folder)
                .with_context(|| format!("cannot make the watched folder {}", one.folder.display()))?;
        }
        Ok(Self { buckets: buckets.clone(), watched, seen: HashMap::new() })
    }

    /// Looks until `shutdown`.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        loop {
            for at in 0..self.watched.len() {
                let watched = self.watched[at].clone();
                self.look(&watched).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn look(&mut self, watched: &Watched) {
        let folder = watched.folder.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let mut files = Vec::new();
            list(&folder, 0, &mut files).map(|()| files)
        });
        let files = match listed.await {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => {
                return tracing::debug!(folder = %watched.folder.display(), %error, "a watched folder cannot be read");
            }
            Err(_) => return,
        };
        let now = Instant::now();
        self.seen.retain(|path, _| !path.starts_with(&watched.folder) || files.iter().any(|(known, _)| known == path));
        for (path, state) in files {
            let seen = self.seen.entry(path.clone()).or_insert(Seen { state, since: now, rests_until: None });
            if seen.state != state {
                *seen = Seen { state, since: now, rests_until: None };
            }
            let rests = seen.rests_until.is_some_and(|until| now < until);
            if rests || now.duration_since(seen.since) < SETTLED {
                continue;
            }
            match self.take(watched, &path).await {
                Ok(true) => {
                    self.seen.remove(&path);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(file = %path.display(), bucket = watched.bucket, error = format!("{error:#}"), "a dropped file cannot be taken; it is tried again");
                    if let Some(seen) = self.seen.get_mut(&path) {
                        seen.rests_until = Some(now + AGAIN);
                    }
                }
            }
        }
    }

    /// Makes the file an object; false while somebody writes to it.
    async fn take(&self, watched: &Watched, path: &Path) -> Result<bool> {
        let file = path.to_owned();
        if tokio::task::spawn_blocking(move || is_written(&file)).await? {
            return Ok(false);
        }
        let name = path.strip_prefix(&watched.folder).context("outside of its folder")?;
        let key = name.to_str().context("its name is not UTF-8: give it another")?;
        let how = Adopt::Link;
        let adopted = self.buckets.adopt(&watched.bucket, key, path, how, Attributes::default(), None).await;
        let info = adopted.context("the bucket does not take it")?;
        fs::remove_file(path).with_context(|| format!("cannot take {} out of its folder", path.display()))?;
        tracing::info!(bucket = watched.bucket, key, size = info.size, "dropped file taken");
        Ok(true)
    }
}

/// The plain files below a folder. What begins with a dot is hidden, and what other programs give a passing name is not finished.
fn list(folder: &Path, depth: usize, files: &mut Vec<(PathBuf, State)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let passing = [".part", ".partial", ".tmp", ".crdownload", ".filepart"];
        let hidden =
            name.to_str().is_some_and(|name| name.starts_with('.') || passing.iter().any(|end| name.ends_with(end)));
        if hidden || files.len() >= FILES_MAX {
            continue;
        }
        // A link may lead anywhere.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), depth + 1, files)?;
        } else if kind.is_file()
            && let Ok(meta) = entry.metadata()
        {
            files.push((entry.path(), (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime())));
        }
    }
    Ok(())
}

/// Whether a process that can be looked at has the file open for writing.
fn is_written(path: &Path) -> bool {
    let Ok(wanted) = fs::metadata(path) else { return true };
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let ids =
        processes.flatten().filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    ids.flat_map(|process| fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten()).any(|descriptor| {
        let same =
            fs::metadata(descriptor.path()).is_ok_and(|meta| (meta.dev(), meta.ino()) == (wanted.dev(), wanted.ino()));
        same && opened_for_writing(&descriptor.path())
    })
}

/// Whether `/proc/<pid>/fd/<n>` was opened to be written to, by its `fdinfo`.
fn opened_for_writing(descriptor: &Path) -> bool {
    let info = descriptor.to_str().map(|path| path.replacen("/fd/", "/fdinfo/", 1)).unwrap_or_default();
    let Ok(text) = fs::read_to_string(info) else { return false };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default().trim();
    // O_WRONLY and O_RDWR.
    u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_for_writing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let file = fs::File::create(&path).unwrap();
        assert!(is_written(&path));
        drop(file);
        let reader = fs::File::open(&path).unwrap();
        assert!(!is_written(&path));
        drop(reader);
    }

    #[test]
    fn hidden_and_passing_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub folder")).unwrap();
        for name in [".hidden", "a.part", "b.mp4", "sub folder/c.d.mp4"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.mp4")).unwrap();
        let mut files = Vec::new();
        list(dir.path(), 0, &mut files).unwrap();
        let mut names: Vec<_> =
            files.iter().map(|(path, _)| path.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, [PathBuf::from("b.mp4"), PathBuf::from("sub folder/c.d.mp4")]);
    }
}
