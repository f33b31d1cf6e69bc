//! What a recording consists of, and how it becomes one file.

use std::fs;
use std::path::{Path, PathBuf};

use anabranch_hls::playlist::{MediaPlaylist, MultivariantPlaylist, PLAYLIST_MAX_BYTES};

use crate::{Method, TranscodeError};

/// An init section larger than this is none.
const INIT_MAX_BYTES: u64 = 1 << 20;

/// Runs of equal parameters that are joined by encoding again: each is an input of ffmpeg with decoders of its own.
const GROUPS_MAX: usize = 64;

/// A segment shorter than this, in seconds, may lack a rendition: at the end of a stretch there may be a picture and no sound to it.
const LACK_MAX_SECONDS: f64 = 0.5;

/// Frames per second of encoded pictures when the recording does not tell.
const FRAME_RATE: f64 = 30.0;

/// Picture of a recording that does not tell its size.
const RESOLUTION: (u32, u32) = (1280, 720);

/// Bits per second of encoded pictures when the recording does not tell.
const BANDWIDTH: u64 = 6_000_000;

/// What goes into the file.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In order.
    pub(crate) stretches: Vec<Stretch>,
    /// Runs of stretches with equal parameters: where each begins, the first at 0.
    pub(crate) groups: Vec<usize>,
    /// Of all segments and init sections.
    pub(crate) bytes: u64,
    pub(crate) resolution: (u32, u32),
    pub(crate) frame_rate: f64,
    /// Highest bits per second of the recording.
    pub(crate) bandwidth: u64,
    /// Whether pictures are HEVC, which players of MP4 know by one of two names only.
    pub(crate) is_hevc: bool,
}

/// A stretch of unbroken time with the same renditions and init sections.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) video: Option<Run>,
    pub(crate) audio: Option<Run>,
}

/// One rendition's share of a stretch.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) init: PathBuf,
    /// Number of the init section's content: equal ones have the same.
    pub(crate) parameters: usize,
    /// Files and durations in seconds.
    pub(crate) segments: Vec<(PathBuf, f64)>,
}

impl Run {
    pub(crate) fn seconds(&self) -> f64 {
        self.segments.iter().map(|(_, seconds)| seconds).sum()
    }
}

impl Stretch {
    pub(crate) fn seconds(&self) -> f64 {
        let seconds = |run: &Option<Run>| run.as_ref().map_or(0.0, Run::seconds);
        seconds(&self.video).max(seconds(&self.audio))
    }

    fn parameters(&self) -> [Option<usize>; 2] {
        [&self.video, &self.audio].map(|run| run.as_ref().map(|run| run.parameters))
    }
}

/// A segment of one media playlist.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    file: PathBuf,
    init: PathBuf,
    seconds: f64,
    wall_ms: i64,
    discontinuity: bool,
}

impl Plan {
    /// Reads the recording whose multivariant playlist is `index`, and looks at each of its files.
    pub(crate) fn read(index: &Path) -> Result<Self, TranscodeError> {
        let fault = |reason: &str| TranscodeError::Recording { path: index.to_owned(), reason: reason.to_owned() };
        let index = index.canonicalize().map_err(TranscodeError::io("read", index))?;
        let folder = index.parent().ok_or_else(|| fault("it lies nowhere"))?;
        let playlist = MultivariantPlaylist::parse(&read(&index, PLAYLIST_MAX_BYTES as u64)?)
            .map_err(|error| fault(&error.to_string()))?;
        let best = playlist.variants.iter().max_by_key(|variant| variant.bandwidth);
        let best = best.ok_or_else(|| fault("it has no variants"))?;
        let sound = best.audio.as_ref().and_then(|group| {
            let mut members = playlist.media.iter().filter(|media| media.kind == "AUDIO" && media.group_id == *group);
            members.clone().find(|media| media.is_default).or_else(|| members.next())?.uri.clone()
        });
        let codecs = best.codecs.as_deref().unwrap_or_default();
        // A variant of sound alone is a rendition of sound.
        let is_sound = best.resolution.is_none() && sound.is_none() && codecs.split(',').all(is_sound);
        let variant = pieces(folder, &best.uri)?;
        let sound = sound.map(|uri| pieces(folder, &uri)).transpose()?.unwrap_or_default();
        let (video, audio) = if is_sound { (Vec::new(), variant) } else { (variant, sound) };
        let mut files = Files::default();
        let stretches = stretches(&video, &audio, &mut files)?;
        if stretches.is_empty() {
            return Err(fault("it has no segments"));
        }
        let groups: Vec<usize> = (0..stretches.len())
            .filter(|at| *at == 0 || stretches[at - 1].parameters() != stretches[*at].parameters())
            .collect();
        if groups.len() > GROUPS_MAX {
            return Err(TranscodeError::TooManyChanges { changes: groups.len() - 1, most: GROUPS_MAX - 1 });
        }
        Ok(Self {
            stretches,
            groups,
            bytes: files.bytes,
            resolution: best.resolution.unwrap_or(RESOLUTION),
            frame_rate: best.frame_rate.unwrap_or(FRAME_RATE),
            bandwidth: if best.bandwidth > 0 { best.bandwidth } else { BANDWIDTH },
            is_hevc: codecs.split(',').any(|codec| codec.starts_with("hvc1") || codec.starts_with("hev1")),
        })
    }

    /// How the file is made.
    pub(crate) fn method(&self) -> Method {
        match self.groups.len() - 1 {
            0 => Method::Copied,
            changes => Method::Encoded { changes },
        }
    }

    pub(crate) fn duration_ms(&self) -> u64 {
        (self.stretches.iter().map(Stretch::seconds).sum::<f64>() * 1000.0).round() as u64
    }

    /// The stretches of a group.
    pub(crate) fn group(&self, at: usize) -> std::ops::Range<usize> {
        self.groups[at]..self.groups.get(at + 1).copied().unwrap_or(self.stretches.len())
    }

    pub(crate) fn has_video(&self) -> bool {
        self.stretches.iter().any(|stretch| stretch.video.is_some())
    }

    pub(crate) fn has_audio(&self) -> bool {
        self.stretches.iter().any(|stretch| stretch.audio.is_some())
    }
}

fn is_sound(codec: &str) -> bool {
    ["mp4a", "opus", "Opus", "fLaC", "ac-3", "ec-3", "mp3"].iter().any(|known| codec.starts_with(known))
}

/// The files that were looked at.
#[derive(Debug, Default)]
struct Files {
    bytes: u64,
    /// Contents of init sections.
    inits: Vec<Vec<u8>>,
    known: Vec<(PathBuf, usize)>,
}

impl Files {
    fn segment(&mut self, path: &Path) -> Result<(), TranscodeError> {
        let meta = fs::symlink_metadata(path).map_err(TranscodeError::io("read", path))?;
        if !meta.is_file() {
            return Err(TranscodeError::Recording { path: path.to_owned(), reason: "it is no file".to_owned() });
        }
        self.bytes += meta.len();
        Ok(())
    }

    fn parameters(&mut self, path: &Path) -> Result<usize, TranscodeError> {
        if let Some((_, number)) = self.known.iter().find(|(known, _)| known == path) {
            return Ok(*number);
        }
        self.segment(path)?;
        let content = read(path, INIT_MAX_BYTES)?;
        let number = self.inits.iter().position(|known| *known == content).unwrap_or_else(|| {
            self.inits.push(content);
            self.inits.len() - 1
        });
        self.known.push((path.to_owned(), number));
        Ok(number)
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, TranscodeError> {
    let meta = fs::metadata(path).map_err(TranscodeError::io("read", path))?;
    if meta.len() > most {
        return Err(TranscodeError::Recording { path: path.to_owned(), reason: "it is too large".to_owned() });
    }
    fs::read(path).map_err(TranscodeError::io("read", path))
}

/// The segments of a media playlist.
fn pieces(folder: &Path, uri: &str) -> Result<Vec<Piece>, TranscodeError> {
    let path = file(folder, uri)?;
    let text = read(&path, PLAYLIST_MAX_BYTES as u64)?;
    pieces_of(folder, &text).map_err(|reason| TranscodeError::Recording { path, reason })
}

fn pieces_of(folder: &Path, text: &[u8]) -> Result<Vec<Piece>, String> {
    let playlist = MediaPlaylist::parse(text).map_err(|error| error.to_string())?;
    if !playlist.ended {
        return Err("it has not ended".to_owned());
    }
    let mut init = None;
    let mut pieces = Vec::with_capacity(playlist.segments.len());
    for segment in &playlist.segments {
        if segment.gap || !segment.keys.is_empty() || segment.byte_range.is_some() {
            return Err(format!("{} is no whole and plain file", segment.uri));
        }
        if let Some(map) = &segment.map {
            init = Some(file(folder, &map.uri).map_err(|error| error.to_string())?);
        }
        pieces.push(Piece {
            file: file(folder, &segment.uri).map_err(|error| error.to_string())?,
            init: init.clone().ok_or("a segment has no init section")?,
            seconds: segment.duration_seconds,
            wall_ms: segment.program_date_time_ms.ok_or("a segment has no date")?,
            discontinuity: segment.discontinuity,
        });
    }
    Ok(pieces)
}

/// The file that a URI names: plain names below the folder, so that a playlist can lead nowhere else.
fn file(folder: &Path, uri: &str) -> Result<PathBuf, TranscodeError> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    if uri.split('/').all(is_plain) {
        return Ok(folder.join(uri));
    }
    Err(TranscodeError::Recording { path: folder.to_owned(), reason: format!("{uri:?} is no file of the recording") })
}

/// Puts pictures and sound together by their dates, which segments of the same time share, and parts them where time, renditions or
/// init sections change.
fn stretches(video: &[Piece], audio: &[Piece], files: &mut Files) -> Result<Vec<Stretch>, TranscodeError> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let (mut video, mut audio) = (video.iter().peekable(), audio.iter().peekable());
    loop {
        let (picture, sound) = match (video.peek(), audio.peek()) {
            (None, None) => return Ok(stretches),
            (Some(picture), Some(sound)) => (picture.wall_ms <= sound.wall_ms, sound.wall_ms <= picture.wall_ms),
            (picture, sound) => (picture.is_some(), sound.is_some()),
        };
        let now = [video.next_if(|_| picture), audio.next_if(|_| sound)];
        let is_short = now.iter().flatten().all(|piece| piece.seconds < LACK_MAX_SECONDS);
        let goes_on = stretches.last().is_some_and(|open| {
            let fits = |run: &Option<Run>, piece: Option<&Piece>| match (run, piece) {
                (Some(run), Some(piece)) => !piece.discontinuity && run.init == piece.init,
                (None, None) => true,
                (Some(_), None) => is_short,
                (None, Some(_)) => false,
            };
            fits(&open.video, now[0]) && fits(&open.audio, now[1])
        });
        if !goes_on {
            stretches.push(Stretch::default());
        }
        let Some(open) = stretches.last_mut() else { return Ok(stretches) };
        for (run, piece) in [&mut open.video, &mut open.audio].into_iter().zip(now) {
            let Some(piece) = piece else { continue };
            files.segment(&piece.file)?;
            if run.is_none() {
                let (init, parameters) = (piece.init.clone(), files.parameters(&piece.init)?);
                *run = Some(Run { init, parameters, segments: Vec::new() });
            }
            run.iter_mut().for_each(|run| run.segments.push((piece.file.clone(), piece.seconds)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(dir: &Path, name: &str, init: &str, wall_ms: i64, discontinuity: bool) -> Piece {
        let (file, init) = (dir.join(name), dir.join(init));
        fs::write(&file, "x").expect("a file");
        Piece { file, init, seconds: 2.0, wall_ms, discontinuity }
    }

    #[test]
    fn stretches_are_of_one_kind() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for (name, content) in [("v1", "a"), ("v2", "a"), ("v3", "b"), ("a1", "c")] {
            fs::write(dir.join(name), content).unwrap();
        }
        let video = [
            piece(dir, "0", "v1", 0, false),
            piece(dir, "1", "v1", 2000, false),
            piece(dir, "2", "v2", 9000, true),
            piece(dir, "3", "v3", 11_000, true),
            piece(dir, "4", "v3", 13_000, false),
        ];
        let audio = [
            piece(dir, "5", "a1", 0, false),
            piece(dir, "6", "a1", 2000, false),
            piece(dir, "7", "a1", 9000, true),
            piece(dir, "8", "a1", 13_000, false),
        ];
        let mut files = Files::default();
        let found = stretches(&video, &audio, &mut files).unwrap();
        let shape: Vec<_> = found.iter().map(|stretch| (stretch.parameters(), stretch.seconds())).collect();
        assert_eq!(
            shape,
            [([Some(0), Some(1)], 4.0), ([Some(0), Some(1)], 2.0), ([Some(2), None], 2.0), ([Some(2), Some(1)], 2.0)]
        );
        assert_eq!(files.bytes, 9 + 4);
        // A last frame without sound parts nothing.
        let last = Piece { seconds: 0.04, ..piece(dir, "9", "v3", 15_000, false) };
        let more = [&video[..], &[last]].concat();
        assert_eq!(stretches(&more, &audio, &mut Files::default()).unwrap().len(), 4);
        let sound = stretches(&[], &audio, &mut Files::default()).unwrap();
        assert_eq!(sound.len(), 2);
        assert!(stretches(&[], &[], &mut Files::default()).unwrap().is_empty());
        fs::remove_file(&video[4].file).unwrap();
        assert!(matches!(stretches(&video, &audio, &mut Files::default()), Err(TranscodeError::Io { .. })));
    }

    #[test]
    fn uris_lead_nowhere_else() {
        for uri in ["../a", "/etc/passwd", "http://h/a", "a//b", ".a", "a b", "file:a", "a?b", "", "a\\b", "concat:a"] {
            assert!(file(Path::new("/r"), uri).is_err(), "{uri}");
        }
        assert_eq!(file(Path::new("/r"), "video/1-a.m4s").unwrap(), Path::new("/r/video/1-a.m4s"));
    }

    proptest::proptest! {
        #[test]
        fn any_playlist_is_judged(text in "(#EXTM3U\n)?(#EXT-X-ENDLIST\n|#EXT-X-MAP:URI=\"a\"\n|#EXT-X-TARGETDURATION:2\n|#EXTINF:2,\n|[a-z./:]{0,9}\n|#EXT-X-PROGRAM-DATE-TIME:2020-01-01T00:00:00Z\n){0,12}") {
            if let Ok(pieces) = pieces_of(Path::new("/r"), text.as_bytes()) {
                proptest::prop_assert!(pieces.iter().all(|piece| piece.file.starts_with("/r") && piece.init.starts_with("/r")));
            }
        }
    }
}
