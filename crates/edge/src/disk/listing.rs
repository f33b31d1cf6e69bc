//! What a directory holds, by the names of its files.

use std::io;
use std::path::Path;

use super::file::{Kind, parse_name};

/// The files of a directory, by name alone.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) objects: Vec<u64>,
    pub(super) heads: Vec<u64>,
    /// Cut off in writing.
    pub(super) parts: Vec<(u64, Kind)>,
    /// Larger than that of any file.
    pub(super) next_serial: u64,
}

impl Listing {
    /// Reads the names, before any new file is made.
    pub(super) fn read(dir: &Path) -> io::Result<Self> {
        let mut listing = Self { objects: Vec::new(), heads: Vec::new(), parts: Vec::new(), next_serial: 1 };
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Some((serial, kind)) = entry.file_name().to_str().and_then(parse_name) else { continue };
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            listing.next_serial = listing.next_serial.max(serial.saturating_add(1));
            match kind {
                Kind::Object => listing.objects.push(serial),
                Kind::Head => listing.heads.push(serial),
                Kind::Part | Kind::HeadPart => listing.parts.push((serial, kind)),
            }
        }
        Ok(listing)
    }
}
