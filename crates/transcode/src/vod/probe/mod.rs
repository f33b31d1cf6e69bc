//! ffprobe is asked, and its answers are judged.

mod header;
mod walk;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use header::{Header, Picture};
use walk::Walk;

use super::source::{Chapter, DynamicRange, ProbeError, ProbeLimits, Reason, Rejected, Source, Video};
use crate::process::{self, Hear, Lines, Order};
use crate::{TranscodeError, Worker};

/// Containers that are taken: none of them opens other files.
pub(super) const FORMATS: &str =
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,wav,w64,mp3,flac,aac,aiff,caf,ac3,eac3,rm,dv";

/// Bytes of a header's description; more is no description.
const HEADER_MAX_BYTES: usize = 4 << 20;

/// Bytes of a packet's description.
const PACKET_MAX_BYTES: usize = 200;

/// Characters of a title that are kept.
const TITLE_MAX: usize = 200;

/// Shortest side of a picture.
const SIDE_MIN: u32 = 16;

/// Sound may begin so much before the pictures without being waited for.
const EARLY_SOUND_US: i64 = 500_000;

/// Time may go back by so much within the pictures of a file.
const BACK_MAX_US: i64 = 1_000_000;

/// A header may be wrong about the length by so much without being mentioned, in milliseconds and as one in so many.
const LENGTH_SLIP_MS: u64 = 1000;
const LENGTH_SLIP_SHARE: u64 = 20;

/// Politeness of ffprobe.
const NICE: i32 = 5;

/// For the first picture to be decoded.
const DECODE_TIME: Duration = Duration::from_secs(60);

/// What a demuxer says when a file ends in the middle.
const CUT_OFF: [&str; 2] = ["partial file", "File ended prematurely"];

impl Worker {
    /// Looks at a file: its header, every packet of it, and one decoded picture.
    ///
    /// It opens that file and no other. Dropping the future ends ffprobe.
    ///
    /// # Errors
    /// [`ProbeError::Rejected`] when the file is at fault, with words for operators; [`ProbeError::Failed`] when this machine is.
    pub async fn probe(&self, path: &Path, limits: &ProbeLimits) -> Result<Source, ProbeError> {
        let probed = self.look(path, limits).await;
        let outcome = match &probed {
            Ok(_) => "taken",
            Err(ProbeError::Rejected(rejected)) => rejected.reason.as_str(),
            Err(ProbeError::Failed(_)) => "failed",
        };
        metrics::counter!("anabranch_transcode_probes_total", "outcome" => outcome).increment(1);
        probed
    }

    async fn look(&self, path: &Path, limits: &ProbeLimits) -> Result<Source, ProbeError> {
        let file = path.to_owned();
        let (path, bytes) = crate::blocking(move || open(&file)).await?;
        if bytes == 0 {
            return Err(Rejected::new(Reason::Empty, "it is empty: nothing of it was uploaded").into());
        }
        let header = self.header(&path, limits).await?;
        let mut notes = Vec::new();
        if header.tracks() > limits.tracks {
            let text = format!("it has {} tracks, {} are allowed", header.tracks(), limits.tracks);
            return Err(Rejected::new(Reason::TooLong, text).into());
        }
        let picture = header.picture(&mut notes)?;
        let audio = header.audio(&mut notes);
        if let Some(picture) = &picture {
            check_size(picture, limits)?;
        }
        if picture.is_none() && audio.is_empty() {
            return Err(Rejected::new(Reason::NoMedia, "it has neither pictures nor sound that can be read").into());
        }
        let (walk, log) = self.walk(&path, picture.as_ref().map(|picture| picture.stream), limits).await?;
        let mut source = assemble(&header, picture, audio, &walk, notes)?;
        (source.path, source.bytes) = (path, bytes);
        check_times(&source, &walk, limits)?;
        check_length(&mut source, &header, &log)?;
        self.check_colours(&source, limits).await?;
        self.check_decodes(&source, limits).await?;
        Ok(source)
    }

    async fn header(&self, path: &Path, limits: &ProbeLimits) -> Result<Header, ProbeError> {
        let mut arguments = input(path);
        arguments.splice(0..0, words("-v error"));
        arguments.extend(words("-of json=c=1 -show_entries"));
        arguments.push(header::ENTRIES.to_owned());
        let mut text = Vec::new();
        let mut keep = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            if text.len() > HEADER_MAX_BYTES { Hear::Enough } else { Hear::On }
        };
        let program = self.ffprobe();
        let run = process::supervise(self.order(&program, &arguments, limits, limits.header_time), |_| {}, &mut keep);
        match run.await {
            Ok(_) => Ok(Header::parse(&text)?),
            Err(error) => Err(refusal(path, error)),
        }
    }

    async fn walk(
        &self,
        path: &Path,
        picture: Option<u32>,
        limits: &ProbeLimits,
    ) -> Result<(Walk, Vec<String>), ProbeError> {
        let mut arguments = input(path);
        arguments.splice(0..0, words("-v error"));
        arguments.extend(words("-of compact=p=0:nk=1 -show_entries"));
        arguments.push(walk::ENTRIES.to_owned());
        let mut walk = Walk::new(picture);
        let mut lines = Lines::new(PACKET_MAX_BYTES);
        let mut take = |bytes: &[u8]| {
            lines.push(bytes, &mut |line| {
                walk.line(line);
                Hear::On
            })
        };
        let program = self.ffprobe();
        let run = process::supervise(self.order(&program, &arguments, limits, limits.walk_time), |_| {}, &mut take);
        let log = match run.await {
            Ok(log) => log,
            // What it has found until then is there.
            Err(TranscodeError::Failed { log, status }) if status.code().is_some() => log,
            Err(error) => return Err(refusal(path, error)),
        };
        walk.end();
        Ok((walk, log))
    }

    /// High dynamic range needs filters that not every ffmpeg has.
    async fn check_colours(&self, source: &Source, limits: &ProbeLimits) -> Result<(), ProbeError> {
        if source.video.as_ref().is_none_or(|video| video.range == DynamicRange::Sdr) {
            return Ok(());
        }
        let mut text = Vec::new();
        let mut keep = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            if text.len() > HEADER_MAX_BYTES { Hear::Enough } else { Hear::On }
        };
        let arguments = words("-hide_banner -v error -filters");
        let order = self.order(&self.config.ffmpeg, &arguments, limits, DECODE_TIME);
        process::supervise(order, |_| {}, &mut keep).await?;
        let text = String::from_utf8_lossy(&text);
        if [" zscale ", " tonemap "].iter().all(|name| text.contains(name)) {
            return Ok(());
        }
        let text = "its pictures have high dynamic range, and the ffmpeg here lacks the filters zscale and tonemap; \
                    install one that has them, or export it as SDR";
        Err(Rejected::new(Reason::Colours, text).into())
    }

    /// One picture, or some sound, is decoded.
    async fn check_decodes(&self, source: &Source, limits: &ProbeLimits) -> Result<(), ProbeError> {
        let stream = source.video.as_ref().map(|video| video.stream).or(source.audio.first().map(|audio| audio.stream));
        let Some(stream) = stream else { return Ok(()) };
        let mut arguments = words("-hide_banner -nostdin -nostats -v error -threads 1");
        arguments.extend(input(&source.path));
        arguments.extend(words(&format!("-map 0:{stream} -frames 1 -f framecrc pipe:1")));
        let mut has_frame = false;
        let mut lines = Lines::new(PACKET_MAX_BYTES);
        let mut take = |bytes: &[u8]| {
            lines.push(bytes, &mut |line| {
                has_frame |= !line.starts_with('#');
                Hear::On
            })
        };
        let order = self.order(&self.config.ffmpeg, &arguments, limits, DECODE_TIME);
        match process::supervise(order, |_| {}, &mut take).await {
            Ok(_) if has_frame => Ok(()),
            Err(error @ (TranscodeError::NoFfmpeg { .. } | TranscodeError::Io { .. })) => Err(error.into()),
            Ok(log) | Err(TranscodeError::Failed { log, .. } | TranscodeError::TimeLimit { log, .. }) => {
                let last = log.last().map_or("no picture came out", String::as_str);
                Err(Rejected::new(Reason::Damaged, format!("it cannot be decoded: {}", plain(last, &source.path)))
                    .into())
            }
            Err(error) => Err(refusal(&source.path, error)),
        }
    }

    fn order<'a>(&self, program: &'a Path, arguments: &'a [String], limits: &ProbeLimits, time: Duration) -> Order<'a> {
        Order { program, arguments, folder: Path::new("/"), memory_bytes: limits.memory_bytes, time, nice: NICE }
    }

    /// ffprobe lies beside ffmpeg.
    fn ffprobe(&self) -> PathBuf {
        let beside = self.config.ffmpeg.parent().filter(|parent| !parent.as_os_str().is_empty());
        beside.map_or_else(|| PathBuf::from("ffprobe"), |parent| parent.join("ffprobe"))
    }
}

/// Arguments by which the programs open a file, this one alone, whatever its name is.
pub(super) fn input(path: &Path) -> Vec<String> {
    let mut arguments = words("-protocol_whitelist file -format_whitelist");
    arguments.extend([FORMATS.to_owned(), "-i".to_owned(), format!("file:{}", path.display())]);
    arguments
}

pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// The absolute path and the size.
fn open(path: &Path) -> Result<(PathBuf, u64), TranscodeError> {
    let whole = path.canonicalize().map_err(TranscodeError::io("read", path))?;
    let metadata = whole.metadata().map_err(TranscodeError::io("read", path))?;
    if !metadata.is_file() || whole.to_str().is_none() {
        let fault = std::io::Error::new(std::io::ErrorKind::InvalidInput, "no file, or a path that is not UTF-8");
        return Err(TranscodeError::io("read", path)(fault));
    }
    Ok((whole, metadata.len()))
}

/// Whose fault it is that ffprobe failed.
fn refusal(path: &Path, error: TranscodeError) -> ProbeError {
    let costly = |text: &str| Rejected::new(Reason::TooCostly, text).into();
    match error {
        TranscodeError::TimeLimit { limit, .. } => {
            costly(&format!("it could not be read within {} s", limit.as_secs()))
        }
        TranscodeError::Output { .. } => costly("its header describes more than a file can need"),
        TranscodeError::Failed { status, log } => {
            let has = |words: &str| log.iter().any(|line| line.contains(words));
            // The last is the loader's, before ffprobe itself begins.
            if status.code().is_none() || has("Cannot allocate memory") || has("failed to map segment") {
                return costly("reading it takes more memory than a file is worth");
            }
            if has("moov atom not found") && is_mp4(path) {
                let text = "its index (moov) is missing: the recording was not ended, or the upload was cut off";
                return Rejected::new(Reason::MissingIndex, text).into();
            }
            if has("not on whitelist") {
                return Rejected::new(Reason::NotMedia, "it is of a kind that is not taken; export it as MP4").into();
            }
            let last = log.last().map_or("", String::as_str);
            let text = format!("it is no media file, whatever its name says: {}", plain(last, path));
            Rejected::new(Reason::NotMedia, text).into()
        }
        other => other.into(),
    }
}

/// Whether a file begins as MP4 and QuickTime do (ISO/IEC 14496-12 §4.2).
fn is_mp4(path: &Path) -> bool {
    let mut start = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && [b"ftyp", b"mdat", b"free", b"skip", b"wide", b"moov"].iter().any(|kind| start[4..] == kind[..])
}

/// A complaint without the paths of this machine.
fn plain(line: &str, path: &Path) -> String {
    let text =
        line.replace(&format!("file:{}", path.display()), "the file").replace(&path.display().to_string(), "the file");
    text.chars().filter(|c| !c.is_control()).take(TITLE_MAX).collect()
}

fn check_size(picture: &Picture, limits: &ProbeLimits) -> Result<(), Rejected> {
    let (coded, display) = (picture.coded, picture.display);
    if coded.short() < SIDE_MIN {
        let text = format!("its pictures are {coded}; neither side may be below {SIDE_MIN}");
        return Err(Rejected::new(Reason::PictureSize, text));
    }
    let most = coded.pixels().max(display.pixels());
    if most > limits.pixels || coded.long().max(display.long()) > limits.side {
        let text =
            format!("its pictures are {coded}; {} pixels, and {} on a side, are allowed", limits.pixels, limits.side);
        return Err(Rejected::new(Reason::PictureSize, text));
    }
    Ok(())
}

fn assemble(
    header: &Header,
    picture: Option<Picture>,
    mut audio: Vec<super::Audio>,
    walk: &Walk,
    mut notes: Vec<String>,
) -> Result<Source, Rejected> {
    audio.retain(|track| {
        let is_there = walk.audio.contains_key(&track.stream);
        if !is_there {
            notes.push(format!("sound left out: track {} is empty", track.stream));
        }
        is_there
    });
    let picture = picture.filter(|_| walk.video.count > 0);
    if picture.is_none() && audio.is_empty() {
        return Err(Rejected::new(Reason::NoMedia, "its header promises media, and there are none"));
    }
    let video = picture.map(|picture| video(picture, walk));
    let sounds = audio.iter().filter_map(|track| walk.audio.get(&track.stream));
    let sound = sounds.copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (origin_us, end_us) = match (&video, sound) {
        (Some(video), Some((start, end))) if start < video.span_us.0 - EARLY_SOUND_US => {
            (start, end.max(video.span_us.1))
        }
        (Some(video), Some((_, end))) => (video.span_us.0, end.max(video.span_us.1)),
        (Some(video), None) => video.span_us,
        (None, sound) => sound.unwrap_or((0, 0)),
    };
    let at = |us: i64| u64::try_from(us.saturating_sub(origin_us) / 1000).unwrap_or(0);
    let chapters = header.chapters().into_iter();
    Ok(Source {
        path: PathBuf::new(),
        bytes: 0,
        format: header.format.format_name.clone(),
        duration_ms: at(end_us.saturating_add(999)),
        origin_us,
        video,
        audio,
        subtitles: header.subtitles(),
        chapters: chapters.map(|(start, end, title)| Chapter { start_ms: at(start), end_ms: at(end), title }).collect(),
        notes,
    })
}

fn video(picture: Picture, walk: &Walk) -> Video {
    let frames = &walk.video;
    let (frame_rate, pace) = frames.rate(&picture.rates);
    let span_us = frames.span_us(frame_rate);
    let seconds = (span_us.1.saturating_sub(span_us.0) as f64 / 1e6).max(0.001);
    Video {
        stream: picture.stream,
        codec: picture.codec,
        coded: picture.coded,
        display: picture.display,
        rotation: picture.rotation,
        sample_aspect: picture.sample_aspect,
        frame_rate,
        pace,
        pixel_format: picture.pixel_format,
        bit_depth: picture.bit_depth,
        range: picture.range,
        scan: picture.scan,
        bits_per_second: (frames.bytes as f64 * 8.0 / seconds) as u64,
        frames: frames.count,
        span_us,
        keyframes_us: frames.keyframes_us.clone(),
        keyframe_gap_ms: u64::try_from(frames.key_gap_us(span_us.1) / 1000).unwrap_or(0),
    }
}

fn check_times(source: &Source, walk: &Walk, limits: &ProbeLimits) -> Result<(), Rejected> {
    let (most, still) = (limits.duration, limits.still);
    if u128::from(source.duration_ms) > most.as_millis() {
        let text = format!("it lasts {} s, {} s are allowed", source.duration_ms / 1000, most.as_secs());
        return Err(Rejected::new(Reason::TooLong, text));
    }
    let frames = &walk.video;
    if i128::from(frames.longest_still_us) > i128::try_from(still.as_micros()).unwrap_or(i128::MAX) {
        let seconds = frames.longest_still_us / 1_000_000;
        let text = format!("no picture comes for {seconds} s, {} s are allowed", still.as_secs());
        return Err(Rejected::new(Reason::Times, text));
    }
    if frames.back_us > BACK_MAX_US {
        let seconds = frames.back_us as f64 / 1e6;
        let text =
            format!("its clock goes back by {seconds:.1} s in the middle; join the parts anew, or export it as MP4");
        return Err(Rejected::new(Reason::Times, text));
    }
    Ok(())
}

/// Compares what is there with what the header says.
fn check_length(source: &mut Source, header: &Header, log: &[String]) -> Result<(), Rejected> {
    let (is, said) = (source.duration_ms, header.format.duration_ms().unwrap_or(source.duration_ms));
    let is_cut = log.iter().any(|line| CUT_OFF.iter().any(|words| line.contains(words)));
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
    if is_cut && said > is + LENGTH_SLIP_MS.min(said / LENGTH_SLIP_SHARE) {
        let text = format!("its end is missing: {} of {} are there; upload it again", seconds(is), seconds(said));
        return Err(Rejected::new(Reason::Truncated, text));
    }
    if is_cut {
        source.notes.push("its last moment is missing".to_owned());
    } else if is.abs_diff(said) > LENGTH_SLIP_MS.max(said.min(is) / LENGTH_SLIP_SHARE) {
        source.notes.push(format!("its header says {}, it lasts {}", seconds(said), seconds(is)));
    }
    Ok(())
}

/// A language tag that can stand in a playlist and a file name; `und` for what is none.
pub(super) fn language(text: Option<&str>) -> String {
    let is_tag = |text: &&str| {
        let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        text.len() <= 35 && text.split('-').all(is_part)
    };
    text.map(str::trim).filter(is_tag).map_or_else(|| "und".to_owned(), str::to_owned)
}

/// A title as people can read it; none when there is nothing to read.
pub(super) fn shorter(text: Option<&str>) -> Option<String> {
    let text: String = text?.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TITLE_MAX).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
