//! `anabranch backup` and `anabranch restore`: the control plane's database as one file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anabranch_db::{Backup, Db};
use anabranch_net::{Clock as _, SystemClock};
use anyhow::{Context, Result, bail};
use clap::Args;

use super::database::DATABASE;
use super::lock;
use crate::config::Config;

/// Databases that were replaced and are still there.
const REPLACED_MAX: u32 = 1000;

/// Which file, and of which data directory.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The backup
    file: PathBuf,
    /// Data directory of the server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file (TOML) of the server
    #[arg(long, value_name = "FILE", env = "ANABRANCH_CONFIG")]
    config: Option<PathBuf>,
}

/// Writes a backup of the database, which may be in use. Never overwrites a file.
pub(crate) fn back_up(arguments: BackupArguments) -> Result<String> {
    let config = Config::of_directory(arguments.config, arguments.data)?;
    if config.database.is_some() {
        bail!("the database is PostgreSQL: back it up with pg_dump --format=custom, as its server's manual says");
    }
    let source = config.data.join(DATABASE);
    if !source.is_file() {
        bail!("there is no database to back up: {}: give the server's --data", source.display());
    }
    let file = arguments.file;
    if fs::symlink_metadata(&file).is_ok() {
        bail!("the file exists: {}: choose another name", file.display());
    }
    // Under its own name only when it is whole.
    let partial = beside(&file, &format!(".partial-{}", std::process::id()));
    let written = write(&source, &partial, &file);
    let _ = fs::remove_file(&partial);
    let Backup { schema, snapshot } = written?;
    Ok(format!("{}: schema {schema}, snapshot {snapshot}", file.display()))
}

fn write(source: &Path, partial: &Path, file: &Path) -> Result<Backup> {
    private(partial)?;
    let backup = block_on(Db::back_up(source, partial))?;
    sync(partial)?;
    // Unlike a renaming, a link never takes the place of a file that came meanwhile.
    fs::hard_link(partial, file).with_context(|| format!("cannot write {}", file.display()))?;
    sync(folder(file))?;
    Ok(backup)
}

/// Makes a backup the database of a server that does not run. What was there stays beside it.
pub(crate) fn restore(arguments: BackupArguments) -> Result<String> {
    let config = Config::of_directory(arguments.config, arguments.data)?;
    if config.database.is_some() {
        bail!("the database is PostgreSQL: restore it with pg_restore, as docs/adr/0016-two-databases.md says");
    }
    fs::create_dir_all(&config.data).with_context(|| format!("cannot create {}", config.data.display()))?;
    fs::set_permissions(&config.data, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .with_context(|| format!("cannot make the data directory private: {}", config.data.display()))?;
    let _lock = lock::acquire(&config.data)?;
    if fs::metadata(beside(&arguments.file, "-wal")).is_ok_and(|log| log.len() > 0) {
        bail!("{} is a database in use, not a backup: make one of it with anabranch backup", arguments.file.display());
    }
    block_on(Db::check_backup(&arguments.file))?;
    let database = config.data.join(DATABASE);
    let copy = beside(&database, ".restored");
    for left in [&copy, &beside(&copy, "-wal"), &beside(&copy, "-shm")] {
        remove(left)?;
    }
    let mut target = private(&copy)?;
    let mut source =
        File::open(&arguments.file).with_context(|| format!("cannot read {}", arguments.file.display()))?;
    io::copy(&mut source, &mut target).with_context(|| format!("cannot write {}", copy.display()))?;
    let version = block_on(Db::revive(&copy, SystemClock.now_ms()))?;
    sync(&copy)?;
    let aside = put_aside(&database)?;
    fs::rename(&copy, &database).with_context(|| format!("cannot write {}", database.display()))?;
    sync(&config.data)?;
    let kept = aside.map_or_else(String::new, |aside| format!("; what was there is {}", aside.display()));
    Ok(format!("{}: snapshot {version}{kept}", database.display()))
}

/// Gives the old database another name beside its own, under which the new one follows: at no moment there is none. Its log goes
/// along, since beside the new one it would be replayed into that.
fn put_aside(database: &Path) -> Result<Option<PathBuf>> {
    if !database.exists() {
        return Ok(None);
    }
    let mut names = (1..=REPLACED_MAX).map(|number| beside(database, &format!(".replaced-{number}")));
    let Some(aside) = names.find(|name| !name.exists()) else {
        bail!("too many replaced databases are kept: delete some of {}.replaced-*", database.display());
    };
    fs::hard_link(database, &aside).with_context(|| format!("cannot write {}", aside.display()))?;
    match fs::rename(beside(database, "-wal"), beside(&aside, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("cannot put the log of the database aside");
        }
        _ => {}
    }
    remove(&beside(database, "-shm"))?;
    Ok(Some(aside))
}

/// The same path with something behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A new, empty file that nobody else can read.
fn private(path: &Path) -> Result<File> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.with_context(|| format!("cannot make {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file, or the names in a folder, last.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).with_context(|| format!("cannot sync {}", path.display()))
}

fn block_on<T>(work: impl Future<Output = Result<T, anabranch_db::Error>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work)?)
}
