//! A file on its way to a bucket, by tus 1.0: piece by piece, again where a piece did not come, and from where it was.

use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::{Instant, sleep};

use super::address::escape;
use super::client::{Client, Refused};
use crate::terminal;

/// Bytes of a request: what is lost of one that breaks off, and what is in memory.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// Tries of one piece.
const TRIES: u32 = 10;

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A file, and where it goes.
pub(super) struct Upload<'a> {
    pub(super) file: &'a Path,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    /// How its asset is made, if not as the bucket says.
    pub(super) preset: Option<&'a str>,
    /// Id of the upload to go on with.
    pub(super) resume: Option<&'a str>,
}

/// Why a piece did not come.
enum Trouble {
    /// Another try may help.
    Passing(anyhow::Error),
    Lasting(anyhow::Error),
}

/// The key that a file gets when nobody names one: its name.
pub(super) fn key_of(file: &Path) -> Result<&str> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| anyhow!("its name cannot be a key: {}; give --key", file.display()))
}

impl Upload<'_> {
    /// Sends the file. It is an object of the bucket when this returns.
    pub(super) async fn send(&self, client: &Client) -> Result<()> {
        let named = || format!("cannot read {}", self.file.display());
        let mut file = File::open(self.file).await.with_context(named)?;
        let meta = file.metadata().await.with_context(named)?;
        ensure!(meta.is_file(), "no file: {}", self.file.display());
        let size = meta.len();
        let mut metadata = format!("filename {},bucket {}", STANDARD.encode(self.key), STANDARD.encode(self.bucket));
        if let Some(preset) = self.preset {
            metadata.push_str(&format!(",preset {}", STANDARD.encode(preset)));
        }
        let (location, mut offset) = match self.resume {
            Some(id) => resumed(client, id, size, &metadata).await?,
            None => (begun(client, size, &metadata).await?, 0),
        };
        let id = location.rsplit('/').next().unwrap_or_default().to_owned();
        let mut bar = Bar::new(self.key, offset, size);
        let mut tries = 0;
        while offset < size {
            let piece = read(&mut file, offset, size).await.with_context(named)?;
            let trouble = match append(client, &location, offset, piece).await {
                Ok(next) => {
                    (offset, tries) = (next, 0);
                    bar.tell(offset);
                    continue;
                }
                Err(trouble) => trouble,
            };
            tries += 1;
            let hint = || format!("{offset} of {size} bytes are there; go on with --resume {id}");
            match trouble {
                Trouble::Passing(error) if tries < TRIES => bar.trouble(&error),
                Trouble::Passing(error) | Trouble::Lasting(error) => return Err(error.context(hint())),
            }
            sleep(pause(tries)).await;
            // Where it cannot be asked, the next try meets the same trouble.
            if let Ok((has, ..)) = position(client, &location).await {
                offset = has;
            }
        }
        Ok(())
    }
}

async fn begun(client: &Client, size: u64, metadata: &str) -> Result<String> {
    let request =
        client.tus(Method::POST, "/v1/uploads").header("Upload-Length", size).header("Upload-Metadata", metadata);
    let headers = client.answered(request).await?;
    let location = headers.get("location").and_then(|value| value.to_str().ok());
    // The API tells a path; a front may make a whole address of it.
    let path = location.and_then(|text| text.find("/v1/uploads/").map(|at| text[at..].to_owned()));
    path.context("the server does not say where the upload is")
}

/// Where an upload is that was begun earlier, if it is one of this very file.
async fn resumed(client: &Client, id: &str, size: u64, metadata: &str) -> Result<(String, u64)> {
    let location = format!("/v1/uploads/{}", escape(id));
    let (offset, headers) = position(client, &location).await.context(format!("upload {id}"))?;
    let same = number(&headers, "upload-length") == Some(size)
        && headers.get("upload-metadata").is_some_and(|value| value.as_bytes() == metadata.as_bytes());
    ensure!(same, "upload {id} is of another file, bucket or key; leave --resume out to begin again");
    Ok((location, offset))
}

async fn position(client: &Client, location: &str) -> Result<(u64, HeaderMap)> {
    let headers = client.answered(client.tus(Method::HEAD, location)).await?;
    let offset = number(&headers, "upload-offset").context("the server does not say where the upload is")?;
    Ok((offset, headers))
}

async fn append(client: &Client, location: &str, offset: u64, piece: Bytes) -> Result<u64, Trouble> {
    let sum = STANDARD.encode(digest(&SHA256, &piece));
    let next = offset + piece.len() as u64;
    let request: RequestBuilder = client
        .tus(Method::PATCH, location)
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", offset)
        .header("Upload-Checksum", format!("sha256 {sum}"))
        .body(piece);
    match client.answered(request).await {
        Ok(headers) => Ok(number(&headers, "upload-offset").unwrap_or(next)),
        Err(error) if is_lasting(error.downcast_ref::<Refused>().and_then(Refused::status)) => {
            Err(Trouble::Lasting(error))
        }
        Err(error) => Err(Trouble::Passing(error)),
    }
}

/// Whether the same request would be refused again. Another offset (409), another request at it (423), and bytes that were changed on their
/// way (460) are no reason to give up.
fn is_lasting(status: Option<StatusCode>) -> bool {
    status.is_some_and(|status| match status.as_u16() {
        408 | 409 | 423 | 429 | 460 => false,
        507 => true,
        other => other < 500,
    })
}

fn pause(tries: u32) -> Duration {
    Duration::from_secs(1 << tries.saturating_sub(1).min(5)).min(PAUSE_MAX)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

async fn read(file: &mut File, offset: u64, size: u64) -> Result<Bytes> {
    let wanted = (size - offset).min(PIECE_BYTES);
    file.seek(SeekFrom::Start(offset)).await?;
    let mut piece = Vec::with_capacity(usize::try_from(wanted)?);
    (&mut *file).take(wanted).read_to_end(&mut piece).await?;
    if piece.len() as u64 != wanted {
        bail!("the file has become shorter");
    }
    Ok(piece.into())
}

/// How far a file is, on a terminal.
struct Bar {
    name: String,
    first: u64,
    size: u64,
    began: Instant,
    shown: bool,
}

impl Bar {
    fn new(name: &str, first: u64, size: u64) -> Self {
        let mut bar =
            Self { name: terminal::clean(name), first, size, began: Instant::now(), shown: terminal::takes_remarks() };
        bar.tell(first);
        bar
    }

    fn tell(&mut self, offset: u64) {
        if self.shown {
            terminal::transient(&drawn(&self.name, self.first, offset, self.size, self.began.elapsed()));
        }
    }

    fn trouble(&mut self, error: &anyhow::Error) {
        if self.shown {
            terminal::transient("");
        }
        terminal::remark(&format!("{error:#}; trying again"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown {
            terminal::transient("");
        }
    }
}

/// Columns of a name, and of the bar itself; with the numbers every terminal holds them.
const NAME_COLUMNS: usize = 20;
const BAR_COLUMNS: usize = 20;

fn drawn(name: &str, first: u64, offset: u64, size: u64, passed: Duration) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let done = if size == 0 { 1.0 } else { offset as f64 / size as f64 };
    let full = (done * BAR_COLUMNS as f64) as usize;
    let name: String = name.chars().take(NAME_COLUMNS).collect();
    let mut line = format!("{name} [{}{}] {:>3.0} %", "=".repeat(full), " ".repeat(BAR_COLUMNS - full), done * 100.0);
    let seconds = passed.as_secs_f64();
    if seconds >= 1.0 && offset > first {
        let rate = (offset - first) as f64 / seconds;
        let left = (size - offset) as f64 / rate;
        line.push_str(&format!(", {:.1} MiB/s, {left:.0} s left", rate / MIB));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fits_a_terminal() {
        let half = drawn("holiday.mp4", 0, 1 << 20, 2 << 20, Duration::from_secs(2));
        assert_eq!(half, "holiday.mp4 [==========          ]  50 %, 0.5 MiB/s, 2 s left");
        assert_eq!(drawn("a", 0, 0, 0, Duration::ZERO), "a [====================] 100 %");
        let long = drawn(&"ö".repeat(99), 0, 1 << 20, 5 << 40, Duration::from_secs(9));
        assert!(long.chars().count() < 80, "{long}");
    }

    #[test]
    fn what_passes_is_tried_again() {
        for (status, lasting) in
            [(401, true), (404, true), (413, true), (507, true), (409, false), (423, false), (460, false), (502, false)]
        {
            assert_eq!(is_lasting(StatusCode::from_u16(status).ok()), lasting, "{status}");
        }
        assert!(!is_lasting(None), "nobody answered");
        assert!(pause(1) < pause(2) && pause(99) == PAUSE_MAX);
    }

    #[test]
    fn a_key_is_the_name_of_a_file() {
        assert_eq!(key_of(Path::new("/films/holiday.2024.final.mp4")).unwrap(), "holiday.2024.final.mp4");
        assert!(key_of(Path::new("/")).is_err());
    }
}
