//! What an earlier process has left.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use super::file::{Kind, Tail, path};
use super::index::Entry;
use super::listing::Listing;
use super::tier::Tier;

/// Takes the objects into the index, those used last first, as many as the limit allows; the rest is removed.
pub(super) fn take_in(listing: Listing, tier: &Tier) {
    let cut_off = listing.parts.len();
    for (serial, kind) in listing.parts {
        remove(tier, serial, kind);
    }
    let objects: HashSet<u64> = listing.objects.iter().copied().collect();
    for serial in listing.heads {
        if !objects.contains(&serial) {
            remove(tier, serial, Kind::Head);
        }
    }
    drop(objects);
    let mut found: Vec<_> = listing.objects.into_iter().filter_map(|serial| measure(tier, serial)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    let (mut kept, mut removed) = (0_u64, 0_u64);
    for (_, serial, bytes) in found {
        if tier.is_closed() {
            return;
        }
        let room = tier.index.weight().saturating_add(bytes) <= tier.limit_bytes;
        if room && take(tier, serial, bytes) {
            kept += 1;
        } else {
            tier.doom(serial, bytes);
            removed += 1;
        }
    }
    tier.scan_ends();
    tracing::info!(cache.dir = %tier.dir.display(), kept, removed, cut_off, "the disk cache is taken in");
}

/// Time of last use, serial and size.
fn measure(tier: &Tier, serial: u64) -> Option<(SystemTime, u64, u64)> {
    let facts = std::fs::metadata(path(&tier.dir, serial, Kind::Object)).ok()?;
    Some((facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), serial, facts.len()))
}

/// Whether a file is one to keep. It is in the index then.
fn take(tier: &Tier, serial: u64, bytes: u64) -> bool {
    let Ok(file) = File::open(path(&tier.dir, serial, Kind::Object)) else { return false };
    let Ok(Tail { key, .. }) = Tail::read(&file, Kind::Object) else { return false };
    let _turn = tier.turn(&key);
    // A process that was killed between a new object's file and the removal of the former one has left both.
    let superseded = tier.index.peek(&key).is_some_and(|entry| entry.serial > serial);
    if superseded || tier.is_touched(&key) {
        return false;
    }
    let entry = Entry { serial, bytes, checked: AtomicBool::new(false) };
    tier.doom_all(tier.index.insert(key, Arc::new(entry)));
    true
}

fn remove(tier: &Tier, serial: u64, kind: Kind) {
    let name = path(&tier.dir, serial, kind);
    if let Err(error) = std::fs::remove_file(&name) {
        tracing::warn!(cache.file = %name.display(), %error, "a file that was cut off cannot be removed");
    }
}
