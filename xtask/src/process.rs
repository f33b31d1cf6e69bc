//! Child processes: each leads its own process group, so that ending it ends what it started, and Ctrl-C reaches us alone.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a wait looks at the child and at the interrupt flag.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// Time a child gets between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Ctrl-C, SIGTERM or SIGHUP came.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From now on a signal sets a flag that [`check_interrupt`] and every wait here look at.
pub(crate) fn catch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signal_hook::flag::register(signal as i32, flag.clone()).context("cannot catch signals")?;
    }
    Ok(())
}

pub(crate) fn check_interrupt() -> Result<()> {
    match INTERRUPTED.get() {
        Some(flag) if flag.load(Ordering::SeqCst) => bail!(Interrupted),
        _ => Ok(()),
    }
}

/// A running child with its group. Dropping it ends the group.
pub(crate) struct Group {
    name: String,
    child: Child,
    ended: bool,
}

impl Group {
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {program}"))?;
        Ok(Self { name: name.to_owned(), child, ended: false })
    }

    /// Both output streams go to the file.
    pub(crate) fn spawn_logged(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out.try_clone().context("cannot share the log file")?;
        Self::spawn(name, command.stdout(out).stderr(err))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How the child ended, if it has.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits for the end, or ends the group when we are interrupted.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            check_interrupt()?;
            sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // The group may be gone already, and that is what we want.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }

    /// SIGTERM, a grace period, SIGKILL for whatever of the group is left.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(POLL);
        }
        self.signal(Signal::SIGKILL);
        // Only reaps; the error case is a child that was reaped before.
        let _ = self.child.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs to the end with our output streams; an exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = Group::spawn(&shown, command)?.wait()?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// What one command printed, and how it ended.
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs to the end and collects both streams.
pub(crate) fn capture(command: &mut Command) -> Result<Captured> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    check_interrupt()?;
    Ok(Captured {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Standard output of a command that has to succeed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let captured = capture(command)?;
    if !captured.status.success() {
        bail!("{shown}: {}\n{}", captured.status, captured.stderr.trim_end());
    }
    Ok(captured.stdout)
}

/// The command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut line = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}
