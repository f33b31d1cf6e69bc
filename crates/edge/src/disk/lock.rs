//! The lock that keeps a second process out of a directory.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::health::Failure;

/// Name of the file that is locked.
pub(super) const LOCK_NAME: &str = "anabranch-cache.lock";

/// Takes the lock of a directory, which ends with the file.
pub(super) fn lock(dir: &Path) -> Result<File, Failure> {
    let refused = |error| Failure::Io("lock the directory", error);
    let file = File::options().create(true).truncate(false).write(true).open(dir.join(LOCK_NAME)).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Occupied),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}
