//! One process a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Holds the directory until it is dropped or the process dies.
pub(crate) fn acquire(data: &Path) -> Result<File> {
    let path = data.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number only helps the message.
            let _ = file.read_to_string(&mut holder);
            bail!(
                "the data directory {} is in use by process {}: stop that one, or give this one another --data",
                data.display(),
                holder.trim()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_holder_is_refused_with_the_reason() {
        let dir = std::env::temp_dir().join(format!("anabranch-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let first = super::acquire(&dir).unwrap();
        let error = super::acquire(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        super::acquire(&dir).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
