//! Samples of one track, read from a series of MP4 files.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_media::fmp4::{Presentation, rescale};
use anabranch_media::mp4::{
    BoxHeader, Content, FourCc, FragmentTime, MAX_MOOF_BYTES, MAX_MOOV_BYTES, Movie, MovieTrack, Mp4Error, SampleRef,
    VideoRange,
};
use anabranch_media::{Track, TrackKind};
use bytes::Bytes;

use super::{Input, Kind, VodError};

/// Most boxes at the top level of a file: two days of fragments of a tenth of a second.
const MAX_BOXES: u32 = 1 << 22;

/// Samples that lie no further apart than this are read at once, in bytes.
const READ_GAP: u64 = 16 * 1024;

/// A sample with its place on the asset's line of time, in units of the track's timescale.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    file: Arc<Source>,
    offset: u64,
    pub(super) size: u32,
    /// Decoding time, such that the first sample is decoded when it is shown; never below zero.
    pub(super) dts: i64,
    pub(super) pts: i64,
    /// Time until the next sample is decoded; of the last one, how long it lasts.
    pub(super) duration: i64,
    pub(super) keyframe: bool,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self, VodError> {
        let failed = |source| VodError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, len })
    }

    fn truncated(&self) -> VodError {
        VodError::Truncated { path: self.path.clone() }
    }

    fn mp4(&self, source: Mp4Error) -> VodError {
        VodError::Mp4 { path: self.path.clone(), source }
    }

    fn read(&self, at: u64, bytes: usize) -> Result<Bytes, VodError> {
        let mut data = vec![0; bytes];
        self.file.read_exact_at(&mut data, at).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.truncated(),
            _ => VodError::Io { path: self.path.clone(), source },
        })?;
        Ok(data.into())
    }

    /// The head of the box at `at`; `None` at the end of the file.
    fn header(&self, at: u64) -> Result<Option<BoxHeader>, VodError> {
        let left = self.len.saturating_sub(at).min(BoxHeader::MAX_BYTES as u64);
        if left == 0 {
            return Ok(None);
        }
        let head = self.read(at, left as usize)?;
        BoxHeader::parse(&head).map(Some).map_err(|error| self.mp4(error))
    }

    /// The body of a box, which must be no larger than `limit`.
    fn body(&self, at: u64, header: &BoxHeader, limit: u64) -> Result<Bytes, VodError> {
        let start = at.saturating_add(header.header_bytes);
        let bytes = header.body_bytes.unwrap_or(self.len.saturating_sub(start));
        if bytes > limit {
            return Err(self.mp4(Mp4Error::TooLarge { kind: header.kind, bytes, limit }));
        }
        if start.saturating_add(bytes) > self.len {
            return Err(self.truncated());
        }
        self.read(start, bytes as usize)
    }
}

/// Where the box after this one is.
fn after(at: u64, header: &BoxHeader) -> Option<u64> {
    at.checked_add(header.header_bytes)?.checked_add(header.body_bytes?)
}

/// One track of one file.
struct Opened {
    source: Arc<Source>,
    movie: Movie,
    index: usize,
    table: Box<dyn Iterator<Item = SampleRef> + Send>,
    /// Where the next box of a fragmented file is.
    next_box: Option<u64>,
    boxes: u32,
    time: FragmentTime,
    queue: VecDeque<SampleRef>,
}

impl Opened {
    fn open(path: &Path, kind: TrackKind, nth: usize) -> Result<Self, VodError> {
        let source = Arc::new(Source::open(path)?);
        let (mut at, mut boxes) = (0, 0);
        let (movie, next_box) = loop {
            let header = source.header(at)?.filter(|_| boxes < MAX_BOXES);
            let missing = || source.mp4(Mp4Error::Missing(FourCc(*b"moov")));
            let header = header.ok_or_else(missing)?;
            boxes += 1;
            if header.kind.0 == *b"moov" {
                let body = source.body(at, &header, MAX_MOOV_BYTES)?;
                let movie = Movie::parse(&body).map_err(|error| source.mp4(error))?;
                break (movie, after(at, &header));
            }
            at = after(at, &header).ok_or_else(missing)?;
        };
        let word = if kind == TrackKind::Video { "video" } else { "audio" };
        let no_track = || VodError::NoTrack { path: path.to_owned(), kind: word, number: nth + 1 };
        let index = movie.nth_of(kind, nth).ok_or_else(no_track)?;
        let track = &movie.tracks[index];
        if let Content::Other { format, reason } = &track.content {
            return Err(VodError::Codec { path: path.to_owned(), format: *format, reason: reason.clone() });
        }
        if track.edit.is_complex {
            return Err(VodError::Edits { path: path.to_owned() });
        }
        let table = Box::new(track.samples());
        let next_box = next_box.filter(|_| movie.is_fragmented);
        let (time, queue) = (FragmentTime::default(), VecDeque::new());
        Ok(Self { source, index, table, next_box, boxes, time, queue, movie })
    }

    fn track(&self) -> &MovieTrack {
        &self.movie.tracks[self.index]
    }

    fn next(&mut self) -> Result<Option<SampleRef>, VodError> {
        loop {
            let Some(sample) = self.read_next()? else { return Ok(None) };
            if !self.track().shows(&sample) {
                continue;
            }
            if sample.offset.saturating_add(sample.size.into()) > self.source.len {
                return Err(self.source.truncated());
            }
            return Ok(Some(sample));
        }
    }

    fn read_next(&mut self) -> Result<Option<SampleRef>, VodError> {
        if let Some(sample) = self.table.next() {
            self.time = FragmentTime::after(&sample, self.track().edit.shift);
            return Ok(Some(sample));
        }
        loop {
            if let Some(sample) = self.queue.pop_front() {
                return Ok(Some(sample));
            }
            let Some(at) = self.next_box else { return Ok(None) };
            let Some(header) = self.source.header(at)? else {
                self.next_box = None;
                continue;
            };
            self.boxes += 1;
            if self.boxes > MAX_BOXES {
                let (count, limit) = (self.boxes.into(), MAX_BOXES.into());
                return Err(self.source.mp4(Mp4Error::TooMany { what: "boxes", count, limit }));
            }
            if header.kind.0 == *b"moof" {
                let body = self.source.body(at, &header, MAX_MOOF_BYTES)?;
                let mut found = Vec::new();
                let read = self.movie.fragment(self.index, at, &body, &mut self.time, &mut found);
                read.map_err(|error| self.source.mp4(error))?;
                self.queue.extend(found);
            }
            self.next_box = after(at, &header);
        }
    }
}

/// A track in a series of files.
pub(super) struct Joined {
    input: Input,
    kind: TrackKind,
    track: Arc<Track>,
    presentation: Presentation,
    rotation: u32,
    range: Option<VideoRange>,
    origin: i64,
    next_chunk: usize,
    current: Option<Opened>,
    /// Set at the first sample of each file: by how much later it is shown than decoded.
    lead: Option<i64>,
    /// The sample that waits for the time of the next one.
    held: Option<Placed>,
    ready: Option<Placed>,
}

impl Joined {
    /// Begins at the first file. `origin` is taken off all times; without one sound from before the beginning stays.
    pub(super) fn open(input: &Input, kind: Kind, origin: Option<&super::Cuts>) -> Result<Self, VodError> {
        let kind = if kind == Kind::Video { TrackKind::Video } else { TrackKind::Audio };
        let name = || VodError::Empty { name: "without files".to_owned() };
        let first = Opened::open(input.chunks.first().ok_or_else(name)?, kind, input.track)?;
        let found = first.track();
        let Content::Media(track) = &found.content else { return Err(name()) };
        let presentation = Presentation {
            language: found.language.clone(),
            matrix: found.matrix,
            extensions: found.extensions.clone(),
        };
        let (rotation, range, track) = (found.rotation(), found.video_range, track.clone());
        Ok(Self {
            input: input.clone(),
            kind,
            presentation,
            rotation,
            range,
            origin: origin.map_or(0, |cuts| cuts.origin(track.timescale)),
            track,
            next_chunk: 1,
            current: Some(first),
            lead: None,
            held: None,
            ready: None,
        })
    }

    pub(super) fn kind(&self) -> TrackKind {
        self.kind
    }

    pub(super) fn track(&self) -> &Arc<Track> {
        &self.track
    }

    pub(super) fn timescale(&self) -> u32 {
        self.track.timescale
    }

    pub(super) fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// Width and height as shown.
    pub(super) fn shown_size(&self) -> (u32, u32) {
        let (width, height) = (self.track.width, self.track.height);
        if self.rotation.is_multiple_of(180) { (width, height) } else { (height, width) }
    }

    pub(super) fn range(&self) -> &'static str {
        match self.range {
            Some(VideoRange::Pq) => "PQ",
            Some(VideoRange::Hlg) => "HLG",
            Some(VideoRange::Sdr) | None => "SDR",
        }
    }

    /// The sample that [`Joined::next`] will give.
    pub(super) fn peek(&mut self) -> Result<Option<&Placed>, VodError> {
        if self.ready.is_none() {
            self.ready = self.next()?;
        }
        Ok(self.ready.as_ref())
    }

    pub(super) fn next(&mut self) -> Result<Option<Placed>, VodError> {
        if let Some(ready) = self.ready.take() {
            return Ok(Some(ready));
        }
        loop {
            let next = self.place_next()?;
            let Some(mut held) = self.held.take() else {
                if next.is_none() {
                    return Ok(None);
                }
                self.held = next;
                continue;
            };
            if let Some(next) = &next {
                held.duration = next.dts.saturating_sub(held.dts);
                // Time stands still in some files, but never goes back, and segments count it in 32 bits.
                if u32::try_from(held.duration).is_err() {
                    return Err(VodError::Time { path: next.file.path.clone() });
                }
            }
            self.held = next;
            return Ok(Some(held));
        }
    }

    /// The next sample of the series with its place, its duration being that of the file.
    fn place_next(&mut self) -> Result<Option<Placed>, VodError> {
        loop {
            let Some(opened) = &mut self.current else { return Ok(None) };
            let Some(sample) = opened.next()? else {
                self.current = self.open_next()?;
                self.lead = None;
                continue;
            };
            let from = opened.track().timescale;
            let scaled = |time| rescale(time, from, self.track.timescale);
            let (dts, pts, duration) = (scaled(sample.dts), scaled(sample.pts), scaled(sample.duration.into()));
            let lead = match (self.lead, self.kind) {
                (Some(lead), _) => lead,
                // Nothing can be decoded before the first keyframe.
                (None, TrackKind::Video) if !sample.keyframe => continue,
                (None, TrackKind::Video) => pts.saturating_sub(dts),
                (None, TrackKind::Audio) => 0,
            };
            self.lead = Some(lead);
            let pts = pts.saturating_sub(self.origin);
            let is_early = self.kind == TrackKind::Audio && pts.saturating_mul(2).saturating_add(duration) < 0;
            if is_early {
                continue;
            }
            // Rounding may put the first one a little before the beginning.
            let dts = dts.saturating_add(lead).saturating_sub(self.origin).max(0);
            return Ok(Some(Placed {
                file: opened.source.clone(),
                offset: sample.offset,
                size: sample.size,
                dts,
                pts: if self.kind == TrackKind::Audio { dts } else { pts },
                duration,
                keyframe: sample.keyframe,
            }));
        }
    }

    fn open_next(&mut self) -> Result<Option<Opened>, VodError> {
        let Some(path) = self.input.chunks.get(self.next_chunk) else { return Ok(None) };
        self.next_chunk += 1;
        let opened = Opened::open(path, self.kind, self.input.track)?;
        let same = opened.track().media().is_some_and(|track| track.codec == self.track.codec);
        if same { Ok(Some(opened)) } else { Err(VodError::Changed { path: path.clone() }) }
    }
}

/// Samples that are read at once: they are in one file with little between them.
fn spans(samples: &[Placed]) -> impl Iterator<Item = &[Placed]> {
    samples.chunk_by(|one, next| {
        let end = one.offset + u64::from(one.size);
        Arc::ptr_eq(&one.file, &next.file) && (end..=end.saturating_add(READ_GAP)).contains(&next.offset)
    })
}

/// The bytes of samples, in pieces: what lies together comes as one.
pub(super) fn read(samples: &[Placed]) -> Result<Vec<Bytes>, VodError> {
    let mut pieces = Vec::new();
    for span in spans(samples) {
        let data = read_span(span)?;
        let start = span[0].offset;
        for run in span.chunk_by(|one, next| one.offset + u64::from(one.size) == next.offset) {
            let from = (run[0].offset - start) as usize;
            let bytes: usize = run.iter().map(|sample| sample.size as usize).sum();
            pieces.push(data.slice(from..from + bytes));
        }
    }
    Ok(pieces)
}

/// The bytes of each sample.
pub(super) fn read_each(samples: &[Placed]) -> Result<Vec<Bytes>, VodError> {
    let mut each = Vec::with_capacity(samples.len());
    for span in spans(samples) {
        let data = read_span(span)?;
        let start = span[0].offset;
        each.extend(span.iter().map(|sample| {
            let from = (sample.offset - start) as usize;
            data.slice(from..from + sample.size as usize)
        }));
    }
    Ok(each)
}

fn read_span(span: &[Placed]) -> Result<Bytes, VodError> {
    let (first, last) = (&span[0], &span[span.len() - 1]);
    // Offsets go up within a span, and every sample lies inside of its file.
    first.file.read(first.offset, (last.offset + u64::from(last.size) - first.offset) as usize)
}
