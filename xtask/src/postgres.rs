//! A PostgreSQL server for tests: a scratch cluster that lives as long as this process.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, POLL};
use crate::{Unusable, tools};

/// Names the server to tests.
pub(crate) const VARIABLE: &str = "ANABRANCH_TEST_POSTGRES";

/// Longest start.
const START: Duration = Duration::from_secs(30);

/// Time that the server gets to end.
const GRACE: Duration = Duration::from_secs(10);

/// Ports that are tried: another process may take a free one before the server does.
const TRIES: u32 = 5;

/// Runs the server beside the shell, and ends it when standard input ends: that is when the process that holds the other end is
/// gone, however it went. `$1` is the folder of the cluster, which goes too.
const KEEPER: &str = "folder=$1; shift
\"$@\" </dev/null &
server=$!
while read -r line; do :; done
kill -INT \"$server\" 2>/dev/null
wait \"$server\"
rm -rf \"$folder\"";

/// Settings for a server whose data nobody will miss.
const SETTINGS: [&str; 13] = [
    "fsync=off",
    // A test that ends while it opens a connection leaves one that nobody speaks on, and no database goes while there is one.
    "authentication_timeout=5s",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=300",
    "shared_buffers=64MB",
    "jit=off",
    "listen_addresses=127.0.0.1",
    "ssl=on",
    "ssl_cert_file=../certificate",
    "ssl_key_file=../key",
];

/// The running server.
pub(crate) struct Server {
    folder: PathBuf,
    keeper: Child,
    url: String,
}

/// Whom the server runs as: it refuses to be root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// `cargo xtask postgres COMMAND`: runs a command with a server for its tests.
pub(crate) fn run(command: &[String]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        bail!(Unusable("name a command to run, such as: cargo nextest run -p anabranch-db".to_owned()));
    };
    tools::require(&[tools::POSTGRES, tools::OPENSSL])?;
    let server = Server::start()?;
    process::run(Command::new(program).args(arguments).env(VARIABLE, &server.url))
}

impl Server {
    /// Makes a cluster in a scratch folder and starts it on a free port.
    pub(crate) fn start() -> Result<Self> {
        let programs = tools::postgres_programs().context("PostgreSQL is not installed")?;
        let folder = std::env::temp_dir().join(format!("anabranch-postgres-{}", std::process::id()));
        // One of a process before us that had our number.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let made = Self::start_in(&programs, &folder);
        if made.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        made
    }

    fn start_in(programs: &Path, folder: &Path) -> Result<Self> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).context("cannot make the folder private")?;
        let password = password()?;
        let password_file = folder.join("password");
        fs::write(&password_file, &password).context("cannot write the password")?;
        let user = user()?;
        if let Some(user) = user {
            chown(folder, Some(user.uid), Some(user.gid)).context("cannot give the folder away")?;
            chown(&password_file, Some(user.uid), Some(user.gid)).context("cannot give the password away")?;
        }
        let cluster = folder.join("cluster");
        process::read(
            own(Command::new(programs.join("initdb")), user, folder)
                .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
                // An order of words that differs from that of bytes, as on most real servers.
                .args(["--locale-provider=icu", "--icu-locale=en-US"])
                .arg(format!("--pwfile={}", password_file.display()))
                .arg("--pgdata")
                .arg(&cluster),
        )?;
        // As on a real server, the connection is encrypted unless a client asks for less.
        process::read(
            own(Command::new("openssl"), user, folder)
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-subj", "/CN=127.0.0.1", "-days", "2", "-keyout", "key", "-out", "certificate"]),
        )?;
        for _ in 0..TRIES {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?.local_addr()?.port();
            let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
            let keeper = keep(programs, folder, &cluster, user, port)?;
            let mut server = Self { folder: folder.to_owned(), keeper, url };
            if server.comes_up(programs, port)? {
                return Ok(server);
            }
            server.end();
        }
        bail!("PostgreSQL does not start:\n{}", log(folder))
    }

    /// What tests are told.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the server answers; false if its port was taken.
    fn comes_up(&mut self, programs: &Path, port: u16) -> Result<bool> {
        let deadline = Instant::now() + START;
        let port = port.to_string();
        while Instant::now() < deadline {
            let asked = process::capture(Command::new(programs.join("pg_isready")).args([
                "-q",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
            ]))?;
            let log = log(&self.folder);
            if log.contains("could not bind") {
                return Ok(false);
            }
            // Who asks too early is refused in such a line, too.
            let fatal = |line: &str| line.contains("FATAL") && !line.contains("starting up");
            if log.lines().any(fatal) {
                bail!("PostgreSQL does not start:\n{log}");
            }
            if asked.status.success() && log.contains("ready to accept connections") {
                return Ok(true);
            }
            sleep(POLL);
        }
        bail!("PostgreSQL does not become ready:\n{}", log(&self.folder))
    }

    fn end(&mut self) {
        // The keeper sees the end of its input and does the rest.
        drop(self.keeper.stdin.take());
        let deadline = Instant::now() + GRACE;
        while matches!(self.keeper.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(POLL);
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn keep(programs: &Path, folder: &Path, cluster: &Path, user: Option<User>, port: u16) -> Result<Child> {
    let out = fs::File::create(folder.join("log")).context("cannot write the log of PostgreSQL")?;
    let err = out.try_clone().context("cannot share the log file")?;
    let mut command = own(Command::new("sh"), user, folder);
    command.args(["-c", KEEPER, "keeper"]).arg(folder);
    command.arg(programs.join("postgres")).arg("-D").arg(cluster).args(["-p", &port.to_string()]);
    command.arg("-k").arg(folder);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
    command.spawn().context("cannot start PostgreSQL")
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The command as the user that the server runs as.
fn own(mut command: Command, user: Option<User>, folder: &Path) -> Command {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    // Where we are may be closed to that user.
    command.current_dir(folder);
    command
}

/// Somebody who is not root, if we are.
fn user() -> Result<Option<User>> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        let id = |flag: &str| -> Option<u32> {
            process::read(Command::new("id").args([flag, name])).ok()?.trim().parse().ok()
        };
        if let (Some(uid), Some(gid)) = (id("-u"), id("-g")) {
            return Ok(Some(User { uid, gid }));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody")
}

fn password() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
