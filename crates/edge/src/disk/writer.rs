//! The thread that writes and removes files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::claim::Claim;
use super::file::{Kind, MAX_META_BYTES, Tail, path};
use super::health::Failure;
use super::jobs::Write;
use super::lock::{LOCK_NAME, lock};
use super::queue::Popped;
use super::scan::take_in;
use super::tier::Tier;
use crate::body::FileBody;
use crate::object::Object;
use crate::object_codec::encode;
use crate::object_key::Key;

/// Room that is made beyond the reserve when the file system fills, so that it is not made for each file anew.
const HEADROOM_BYTES: u64 = 32 << 20;

/// With less room than this for the tier it is not worth the writing.
const MIN_TIER_BYTES: u64 = 16 << 20;

/// Bytes and time after which the file system is asked again what is free.
const MEASURE_BYTES: u64 = 16 << 20;
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Serial of the file by which a failed disk is tried; no object has it.
const PROBE_SERIAL: u64 = 0;

/// Bytes of that file.
const PROBE_BYTES: usize = 4 << 10;

/// Files that could not be removed and are remembered for another try.
const MAX_UNREMOVED: usize = 65_536;

/// Does jobs until the queue is closed and empty.
pub(super) fn run(tier: &Arc<Tier>, retry: Duration) {
    let mut writer = Writer {
        tier: tier.clone(),
        retry,
        drafts: HashMap::new(),
        room: None,
        limit: tier.limit_bytes,
        tried: None,
        unremoved: Vec::new(),
    };
    writer.try_again();
    loop {
        match tier.writes.pop(Some(retry)) {
            Popped::Job(job) => writer.handle(job),
            Popped::Quiet => {}
            Popped::Closed => return,
        }
        writer.try_again();
    }
}

/// A draft's file.
#[derive(Debug)]
struct Writing {
    file: File,
    length: u64,
    crc: crc32fast::Hasher,
    /// The end of the body so far, which is not in the file yet.
    gathered: Vec<u8>,
}

/// Bytes that are written at once. Pages that are written together lie together, and a file of few large runs costs less to send.
const GATHER_BYTES: usize = 512 << 10;

impl Writing {
    /// Takes bytes, and writes what has gathered once it is enough.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.length += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHER_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}

/// What the file system had left when it was asked.
#[derive(Debug)]
struct Room {
    bytes: u64,
    measured: Instant,
}

struct Writer {
    tier: Arc<Tier>,
    retry: Duration,
    /// By serial; a broken one is absent inside.
    drafts: HashMap<u64, Option<Writing>>,
    room: Option<Room>,
    /// What the index may hold at present.
    limit: u64,
    /// When a failed disk was last tried.
    tried: Option<Instant>,
    unremoved: Vec<(u64, u64)>,
}

impl Writer {
    fn handle(&mut self, job: Write) {
        match job {
            Write::Append { serial, bytes } => self.append(serial, &bytes),
            Write::Finish { serial, key, head, reply } => {
                if let Some(body) = self.finish(serial, key, head) {
                    // A body that nobody waits for any more takes its file along.
                    let _ = reply.send(body);
                }
            }
            Write::Abandon { serial } => {
                self.drafts.remove(&serial);
                self.remove(serial, 0);
            }
            Write::Keep { serial, key } => self.keep(serial, &key),
            Write::Whole { serial, key, object } => self.whole(serial, &key, &object),
            Write::Freshen { serial, key, head } => self.freshen(serial, key, head),
            Write::Remove { serial, bytes } => self.remove(serial, bytes),
        }
    }

    fn append(&mut self, serial: u64, bytes: &Bytes) {
        let writing = match self.drafts.remove(&serial) {
            Some(writing) => writing,
            None => self.begin(serial),
        };
        let written = writing.filter(|_| self.has_room(bytes.len() as u64)).and_then(|mut writing| {
            let done = writing.take(bytes);
            self.judge("write a body", done)?;
            Some(writing)
        });
        self.drafts.insert(serial, written);
    }

    fn begin(&mut self, serial: u64) -> Option<Writing> {
        if self.tier.health.has_failed() {
            return None;
        }
        let made =
            File::options().read(true).write(true).create_new(true).open(path(&self.tier.dir, serial, Kind::Part));
        let file = self.judge("make a file", made)?;
        Some(Writing { file, length: 0, crc: crc32fast::Hasher::new(), gathered: Vec::new() })
    }

    fn finish(&mut self, serial: u64, key: Key, head: Vec<u8>) -> Option<FileBody> {
        let Some(mut writing) = self.drafts.remove(&serial).flatten() else {
            self.tier.counters.abandoned.increment(1);
            self.remove(serial, 0);
            return None;
        };
        let (length, crc) = (writing.length, writing.crc.clone().finalize());
        let written =
            self.tail(key, head, length, crc).filter(|tail| self.has_room(tail.len() as u64)).and_then(|tail| {
                writing.gathered.extend_from_slice(&tail);
                let done = writing.flush();
                self.judge("write a body's end", done)?;
                Some(length + tail.len() as u64)
            });
        let Some(bytes) = written else {
            self.remove(serial, 0);
            return None;
        };
        self.tier.counters.written.increment(bytes);
        let claim = Arc::new(Claim::draft(&self.tier, serial, bytes));
        Some(FileBody { file: Arc::new(writing.file), start: 0, length, claim })
    }

    fn keep(&mut self, serial: u64, key: &Key) {
        let dir = &self.tier.dir;
        let renamed = std::fs::rename(path(dir, serial, Kind::Part), path(dir, serial, Kind::Object));
        if self.judge("rename a file", renamed).is_none() {
            self.lose(key, serial);
        }
    }

    fn whole(&mut self, serial: u64, key: &Key, object: &Object) {
        let wanted = |tier: &Tier| tier.pending.lock().get(key) == Some(&serial);
        let settle = |tier: &Tier| {
            let mut pending = tier.pending.lock();
            let ours = pending.get(key) == Some(&serial);
            if ours {
                pending.remove(key);
            }
            ours
        };
        if !wanted(&self.tier) {
            return;
        }
        let written = if self.tier.health.has_failed() { None } else { self.write_whole(serial, key, object) };
        // A purge or a newer object may have come meanwhile; then this one is not to be found again.
        let kept = written.filter(|_| wanted(&self.tier)).filter(|_| {
            let dir = &self.tier.dir;
            let renamed = std::fs::rename(path(dir, serial, Kind::Part), path(dir, serial, Kind::Object));
            self.judge("rename a file", renamed).is_some()
        });
        let tier = self.tier.clone();
        let turn = tier.turn(key);
        match kept {
            Some(bytes) if settle(&tier) => tier.enter(key.clone(), serial, bytes),
            _ => {
                settle(&tier);
                drop(turn);
                self.remove(serial, 0);
            }
        }
    }

    fn write_whole(&mut self, serial: u64, key: &Key, object: &Object) -> Option<u64> {
        let body = object.body.contiguous().ok()?;
        let tail = self.tail(key.clone(), encode(&object.head), body.len() as u64, crc32fast::hash(&body))?;
        let bytes = [&body[..], &tail].concat();
        self.write_file(serial, Kind::Part, &bytes)?;
        Some(bytes.len() as u64)
    }

    fn freshen(&mut self, serial: u64, key: Key, head: Vec<u8>) {
        if self.tier.health.has_failed() || self.tier.index.peek(&key).is_none_or(|entry| entry.serial != serial) {
            return;
        }
        let dir = self.tier.dir.clone();
        let object = match File::open(path(&dir, serial, Kind::Object)).map_err(Into::into) {
            Ok(file) => Tail::read(&file, Kind::Object),
            Err(error) => Err(error),
        };
        // What cannot be read is found out when it is loaded.
        let Ok(former) = object else { return };
        let Some(tail) = self.tail(key, head, former.body_length, former.body_crc) else { return };
        if self.write_file(serial, Kind::HeadPart, &tail).is_some() {
            let renamed = std::fs::rename(path(&dir, serial, Kind::HeadPart), path(&dir, serial, Kind::Head));
            self.judge("rename a file", renamed);
        }
    }

    fn tail(&self, key: Key, head: Vec<u8>, body_length: u64, body_crc: u32) -> Option<Vec<u8>> {
        let fits = key.len() <= MAX_META_BYTES && head.len() <= MAX_META_BYTES;
        fits.then(|| Tail { key, head, body_length, body_crc }.encode())
    }

    fn write_file(&mut self, serial: u64, kind: Kind, bytes: &[u8]) -> Option<()> {
        if !self.has_room(bytes.len() as u64) {
            return None;
        }
        let name = path(&self.tier.dir, serial, kind);
        let made = File::create(name).and_then(|mut file| file.write_all(bytes));
        self.judge("write a file", made)?;
        self.tier.counters.written.increment(bytes.len() as u64);
        Some(())
    }

    /// An object whose file is not what the index says.
    fn lose(&mut self, key: &Key, serial: u64) {
        let lost = self.tier.index.remove_serial(key, serial);
        self.tier.close_file(key, serial);
        self.remove(serial, 0);
        if lost.is_some() {
            self.tier.counters.abandoned.increment(1);
        }
    }

    /// Removes the files of a serial, of which `bytes` are counted as doomed. The object goes first: a head alone is nothing,
    /// an object with its older head would be something that is no longer true.
    fn remove(&mut self, serial: u64, bytes: u64) {
        self.tier.doomed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        for kind in [Kind::Object, Kind::Part, Kind::Head, Kind::HeadPart] {
            match std::fs::remove_file(path(&self.tier.dir, serial, kind)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if self.unremoved.len() < MAX_UNREMOVED {
                        self.unremoved.push((serial, bytes));
                        self.tier.doomed_bytes.fetch_add(bytes, Ordering::Relaxed);
                    }
                    self.tier.health.fail(&Failure::Io("remove a file", error));
                    return;
                }
            }
        }
    }

    /// Whether so much may be written. The tier gives way when the file system fills from elsewhere.
    fn has_room(&mut self, wanted: u64) -> bool {
        if let Some(room) = &mut self.room
            && room.bytes >= wanted
            && room.measured.elapsed() < MEASURE_INTERVAL
        {
            room.bytes -= wanted;
            return true;
        }
        let Some(free) = self.measure() else { return false };
        let reserve = self.tier.reserve_bytes;
        let left = free.saturating_sub(reserve).min(MEASURE_BYTES.max(wanted));
        let crowded_out = self.is_crowded_out();
        if left < wanted || crowded_out {
            self.room = None;
            let least = if crowded_out { HEADROOM_BYTES + self.min_bytes() } else { 0 };
            let needed = reserve.saturating_add(wanted.max(least));
            self.tier.health.fail(&Failure::Full { free, needed, reserve });
            return false;
        }
        self.room = Some(Room { bytes: left - wanted, measured: Instant::now() });
        true
    }

    /// Whether others have left the tier next to nothing.
    fn is_crowded_out(&self) -> bool {
        self.limit < self.min_bytes()
    }

    fn min_bytes(&self) -> u64 {
        MIN_TIER_BYTES.min(self.tier.limit_bytes)
    }

    /// Free bytes of the file system, after the tier's limit has been fitted to them.
    fn measure(&mut self) -> Option<u64> {
        let free = self.free()?;
        let index = &self.tier.index;
        let ours = index.weight() + self.tier.doomed_bytes.load(Ordering::Relaxed);
        let keepable = ours.saturating_add(free).saturating_sub(self.tier.reserve_bytes.saturating_add(HEADROOM_BYTES));
        let limit = self.tier.limit_bytes.min(keepable);
        if limit == std::mem::replace(&mut self.limit, limit) {
            return Some(free);
        }
        let gone = index.limit(limit);
        if gone.is_empty() {
            return Some(free);
        }
        for (key, entry) in gone {
            self.tier.close_file(&key, entry.serial);
            self.tier.counters.evicted.increment(1);
            self.remove(entry.serial, 0);
        }
        self.free()
    }

    fn free(&mut self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.tier.dir).map_err(io::Error::from);
        let stat = self.judge("measure the file system", stat)?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn judge<T>(&self, what: &'static str, result: io::Result<T>) -> Option<T> {
        result.map_err(|error| self.tier.health.fail(&Failure::Io(what, error))).ok()
    }

    /// Tries a disk that has failed, once in a while.
    fn try_again(&mut self) {
        if !self.tier.health.has_failed() {
            self.tried = None;
            return;
        }
        match self.tried {
            // It has failed just now.
            None => self.tried = Some(Instant::now()),
            Some(tried) if tried.elapsed() >= self.retry => {
                self.tried = Some(Instant::now());
                self.room = None;
                if self.probe().is_ok() {
                    self.tier.health.recover();
                    for (serial, bytes) in std::mem::take(&mut self.unremoved) {
                        self.remove(serial, bytes);
                    }
                }
            }
            Some(_) => {}
        }
    }

    /// Writes and removes a file. A directory that was there once is not made anew: a disk that is not mounted must not fill
    /// another.
    fn probe(&mut self) -> io::Result<()> {
        let dir = self.tier.dir.clone();
        if self.tier.lock.lock().is_none() {
            // What is there is taken in first: nothing is written beside that, and its space counts.
            take_in(self.tier.occupy().map_err(io::Error::other)?, &self.tier);
        } else if !dir.join(LOCK_NAME).exists() {
            *self.tier.lock.lock() = Some(lock(&dir).map_err(io::Error::other)?);
        }
        // First, so that the tier gives way on a disk where not even this has room.
        let free = self.measure().ok_or(io::ErrorKind::Other)?;
        let name = path(&dir, PROBE_SERIAL, Kind::Part);
        let written = std::fs::write(&name, [0; PROBE_BYTES]);
        std::fs::remove_file(&name).or_else(|error| if written.is_err() { Ok(()) } else { Err(error) })?;
        written?;
        if free < self.tier.reserve_bytes.saturating_add(PROBE_BYTES as u64) || self.is_crowded_out() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
