//! The folder of a job: what ffmpeg reads beside the recording, and what it writes, until that has its name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::TranscodeError;
use crate::plan::{Plan, Run, Stretch};

/// File that ffmpeg writes.
const OUTPUT: &str = "out.mp4";

/// File with the number of ffmpeg's process.
const PID: &str = "pid";

/// Share of the input that the output may be larger, as one in so many: the index of an MP4 and the joints.
const MARGIN: u64 = 20;

/// The folder. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    folder: PathBuf,
}

impl Work {
    /// Makes an empty folder beside `output`. What an earlier job left there goes, and its ffmpeg as well if it still runs.
    pub(crate) fn begin(output: &Path) -> Result<Self, TranscodeError> {
        let beside = |name: &str| output.parent().map(|parent| parent.join(format!(".{name}.part")));
        let folder = output.file_name().and_then(|name| name.to_str()).and_then(beside);
        let folder = folder.ok_or_else(|| TranscodeError::io("write", output)(io::ErrorKind::InvalidInput.into()))?;
        end_earlier(&folder);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(TranscodeError::io("empty", &folder)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(TranscodeError::io("create", &folder))?;
        let folder = folder.canonicalize().map_err(TranscodeError::io("read", &folder))?;
        Ok(Self { folder })
    }

    /// Where ffmpeg writes.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(OUTPUT)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Refuses when a file as large as the input would not fit.
    pub(crate) fn check_space(&self, input_bytes: u64, reserve_bytes: u64) -> Result<(), TranscodeError> {
        check_space(&self.folder, input_bytes.saturating_add(input_bytes / MARGIN), reserve_bytes)
    }

    /// Writes what ffmpeg reads: a playlist for each stretch, a list of stretches for each group.
    pub(crate) fn write(&self, plan: &Plan) -> Result<(), TranscodeError> {
        for (number, stretch) in plan.stretches.iter().enumerate() {
            for (kind, run) in [("video", &stretch.video), ("audio", &stretch.audio)] {
                if let Some(run) = run {
                    self.put(&format!("s{number}-{kind}.m3u8"), &media_playlist(run)?)?;
                }
            }
            if stretch.video.is_some() && stretch.audio.is_some() {
                self.put(&format!("s{number}.m3u8"), &multivariant(number))?;
            }
        }
        for at in 0..plan.groups.len() {
            let mut list = "ffconcat version 1.0\n".to_owned();
            for number in plan.group(at) {
                let stretch = &plan.stretches[number];
                list.push_str(&format!("file '{}'\nduration {:.6}\n", name(number, stretch), stretch.seconds()));
            }
            self.put(&group_name(at), &list)?;
        }
        Ok(())
    }

    /// Makes the file durable and gives it its name.
    pub(crate) fn publish(&self, output: &Path) -> Result<(), TranscodeError> {
        let made = self.file();
        let synced = File::open(&made).and_then(|file| file.sync_all());
        synced.map_err(TranscodeError::io("write", &made))?;
        fs::rename(&made, output).map_err(TranscodeError::io("name", output))?;
        let folder = output.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(TranscodeError::io("write", folder))
    }

    fn put(&self, name: &str, text: &str) -> Result<(), TranscodeError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(TranscodeError::io("write", &path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What stays is removed by the next job for the same file, and with the recording.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Name of the list of a group.
pub(crate) fn group_name(at: usize) -> String {
    format!("g{at}.ffconcat")
}

/// The playlist of a stretch: that of its only rendition, or one that joins both.
fn name(number: usize, stretch: &Stretch) -> String {
    match (&stretch.video, &stretch.audio) {
        (Some(_), Some(_)) => format!("s{number}.m3u8"),
        (Some(_), None) => format!("s{number}-video.m3u8"),
        (None, _) => format!("s{number}-audio.m3u8"),
    }
}

fn multivariant(number: usize) -> String {
    format!(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"s{number}-audio.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\ns{number}-video.m3u8\n"
    )
}

fn media_playlist(run: &Run) -> Result<String, TranscodeError> {
    // Paths stand between quotes and on lines of their own.
    let text = |path: &Path| match path.to_str() {
        Some(text) if !text.contains(['"', '\n', '\r']) => Ok(text.to_owned()),
        _ => Err(TranscodeError::Recording {
            path: path.to_owned(),
            reason: "its path cannot be written in a playlist".to_owned(),
        }),
    };
    let longest = run.segments.iter().map(|(_, seconds)| *seconds).fold(1.0, f64::max).ceil();
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"{}\"\n",
        text(&run.init)?
    );
    for (path, seconds) in &run.segments {
        out.push_str(&format!("#EXTINF:{seconds:.6},\n{}\n", text(path)?));
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Ok(out)
}

/// Refuses when so many bytes would not fit in a folder.
pub(crate) fn check_space(folder: &Path, bytes: u64, reserve_bytes: u64) -> Result<(), TranscodeError> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| TranscodeError::io("measure", folder)(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes.saturating_add(reserve_bytes);
    if free < needed {
        return Err(TranscodeError::Space { free, needed, folder: folder.to_owned() });
    }
    Ok(())
}

/// Notes which process works in a folder, so that it can be found after a `kill -9` of this one.
pub(crate) fn note_process(folder: &Path, pid: u32) {
    // Without the note an orphan only runs longer than it should.
    let _ = fs::write(folder.join(PID), pid.to_string());
}

/// Ends the process that an earlier job noted in `folder`, if it is still that one: it was told of this folder.
pub(crate) fn end_earlier(folder: &Path) {
    let Ok(text) = fs::read_to_string(folder.join(PID)) else { return };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return };
    let Ok(folder) = folder.canonicalize() else { return };
    let command_line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    // Numbers of processes come again: only one that was told of this folder is meant.
    let needle = folder.as_os_str().as_encoded_bytes();
    if !needle.is_empty() && command_line.windows(needle.len()).any(|window| window == needle) {
        tracing::warn!(process.id = pid.as_raw_nonzero().get(), "the ffmpeg of a job that was cut off is ended");
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
