//! Programs that are not ours: finding them, and installing them from Debian's packages where we may.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{Unusable, process};

/// One thing that has to be there.
pub(crate) struct Tool {
    /// What to call it in a message.
    pub(crate) name: &'static str,
    /// Debian's packages that bring it.
    pub(crate) packages: &'static [&'static str],
    /// Whether it is there.
    pub(crate) present: fn() -> bool,
}

pub(crate) const FFMPEG: Tool =
    Tool { name: "ffmpeg", packages: &["ffmpeg"], present: || on_path("ffmpeg") && on_path("ffprobe") };
pub(crate) const NODE: Tool =
    Tool { name: "node and npm", packages: &["nodejs", "npm"], present: || on_path("node") && on_path("npm") };
pub(crate) const CHROMIUM: Tool =
    Tool { name: "chromium", packages: &["chromium", "fonts-dejavu-core"], present: || on_path("chromium") };
pub(crate) const OPENSSL: Tool = Tool { name: "openssl", packages: &["openssl"], present: || on_path("openssl") };
pub(crate) const PYTHON: Tool = Tool {
    name: "python3 with venv",
    packages: &["python3", "python3-venv"],
    // Debian's python3 has the module venv, but without python3-venv not what it needs.
    present: || {
        process::capture(Command::new("python3").args(["-c", "import venv, ensurepip"]))
            .is_ok_and(|captured| captured.status.success())
    },
};
pub(crate) const MPV: Tool = Tool { name: "mpv", packages: &["mpv"], present: || on_path("mpv") };
pub(crate) const CURL: Tool = Tool { name: "curl", packages: &["curl"], present: || on_path("curl") };
pub(crate) const RCLONE: Tool = Tool { name: "rclone", packages: &["rclone"], present: || on_path("rclone") };
pub(crate) const S3CMD: Tool = Tool { name: "s3cmd", packages: &["s3cmd"], present: || on_path("s3cmd") };
pub(crate) const POSTGRES: Tool = Tool {
    name: "postgresql",
    packages: &["postgresql"],
    // Debian's package, or another one on `PATH`.
    present: || postgres_programs().is_some() && on_path("psql"),
};
pub(crate) const GSTREAMER: Tool = Tool {
    name: "gstreamer",
    packages: &[
        "gstreamer1.0-tools",
        "gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-good",
        "gstreamer1.0-plugins-bad",
        "gstreamer1.0-libav",
    ],
    // One element of each package.
    present: || {
        on_path("gst-launch-1.0")
            && ["playbin", "souphttpsrc", "hlsdemux", "avdec_h264"].iter().all(|element| has_element(element))
    },
};

fn has_element(element: &str) -> bool {
    process::capture(Command::new("gst-inspect-1.0").args(["--exists", element]))
        .is_ok_and(|captured| captured.status.success())
}

/// The program's place on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

pub(crate) fn on_path(program: &str) -> bool {
    find(program).is_some()
}

/// Where `initdb` and `postgres` are: Debian keeps them off `PATH`, a folder for each version.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    let has = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let version = |folder: &fs::DirEntry| folder.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = debian
        .filter_map(|entry| Some((version(&entry)?, entry.path().join("bin"))))
        .filter(|(_, folder)| has(folder))
        .max_by_key(|(version, _)| *version);
    newest.map(|(_, folder)| folder).or_else(|| find("initdb")?.parent().map(Path::to_owned).filter(has))
}

/// Installs what is missing, or fails with one line that names it and the command.
pub(crate) fn require(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !(tool.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages.iter().copied()).collect();
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let by_hand = format!("sudo apt-get install -y --no-install-recommends {}", packages.join(" "));
    let Some(prefix) = apt_prefix() else {
        bail!(Unusable(format!("missing: {}; install with: {by_hand}", names.join(", "))));
    };
    println!("missing: {}; installing {}", names.join(", "), packages.join(" "));
    let installed = apt(&prefix, &["update", "-qq"]).and_then(|()| {
        apt(&prefix, &[&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat())
    });
    if let Err(error) = installed {
        if error.is::<process::Interrupted>() {
            return Err(error);
        }
        bail!(Unusable(format!("missing: {}; {error:#}; try: {by_hand}", names.join(", "))));
    }
    let still: Vec<&str> = missing.iter().filter(|tool| !(tool.present)()).map(|tool| tool.name).collect();
    if still.is_empty() {
        return Ok(());
    }
    bail!(Unusable(format!("still missing after installing Debian's packages: {}", still.join(", "))))
}

/// How to reach apt-get as root without a question: as root, by `sudo -n`, or not at all.
fn apt_prefix() -> Option<Vec<&'static str>> {
    if !on_path("apt-get") {
        return None;
    }
    // Our own process belongs to the user that we act as.
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Some(vec![]);
    }
    let sudo = on_path("sudo")
        && process::capture(Command::new("sudo").args(["-n", "true"])).is_ok_and(|captured| captured.status.success());
    sudo.then(|| vec!["sudo", "-n"])
}

fn apt(prefix: &[&str], args: &[&str]) -> Result<()> {
    let words: Vec<&str> = [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat();
    process::run(Command::new(words[0]).args(&words[1..]))
}
