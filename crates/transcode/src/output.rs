//! What ffmpeg made is looked at before it gets its name.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::path::Path;

use crate::TranscodeError;
use crate::plan::Plan;

/// Boxes at the top of a file of ours; ffmpeg writes four.
const BOXES_MAX: usize = 32;

/// Bytes at the start of `moov` within which `mvhd` lies: it is the first box in it.
const MVHD_BYTES: usize = 8 + 32;

/// How far the duration may be from that of the recording, in milliseconds, and how far more at each joint.
const TOLERANCE_MS: u64 = 1_000;
const JOINT_TOLERANCE_MS: u64 = 150;

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    Unreadable(io::Error),
    Wrong(String),
}

impl Fault {
    pub(crate) fn into_error(self, path: &Path, log: Vec<String>) -> TranscodeError {
        match self {
            Self::Unreadable(source) => TranscodeError::io("read", path)(source),
            Self::Wrong(reason) => TranscodeError::Output { reason, log },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Size and duration in milliseconds of an MP4 whose index stands before its media and that is as long as the plan.
pub(crate) fn check(path: &Path, plan: &Plan) -> Result<(u64, u64), Fault> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let duration_ms = duration_ms(&mut file, bytes)?;
    let wanted = plan.duration_ms();
    let tolerance = TOLERANCE_MS + JOINT_TOLERANCE_MS * plan.stretches.len() as u64;
    if duration_ms.abs_diff(wanted) > tolerance {
        return Err(Fault::Wrong(format!("it lasts {duration_ms} ms, the recording {wanted} ms")));
    }
    Ok((bytes, duration_ms))
}

/// Reads boxes (ISO/IEC 14496-12 §4.2) up to the media.
fn duration_ms(file: &mut (impl io::Read + io::Seek), len: u64) -> Result<u64, Fault> {
    let wrong = |reason: &str| Fault::Wrong(reason.to_owned());
    let mut duration = None;
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        if at >= len {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let (mut size, kind) = (u64::from(be32(&head[..4])), &head[4..]);
        if size == 1 {
            let mut large = [0; 8];
            file.read_exact(&mut large)?;
            size = u64::from_be_bytes(large);
        }
        match kind {
            b"moov" => {
                let mut start = [0; MVHD_BYTES];
                file.read_exact(&mut start)?;
                duration = mvhd_ms(&start);
            }
            b"mdat" => return duration.ok_or_else(|| wrong("its media stand before its index")),
            _ => {}
        }
        // 0 is the rest of the file; less than a head is no box.
        if size < 8 {
            break;
        }
        at = at.saturating_add(size);
    }
    Err(wrong("it has no media"))
}

/// Duration in the movie header (ISO/IEC 14496-12 §8.2.2), which begins with its size.
fn mvhd_ms(bytes: &[u8; MVHD_BYTES]) -> Option<u64> {
    if &bytes[4..8] != b"mvhd" {
        return None;
    }
    let (timescale, duration) = match bytes[8] {
        0 => (be32(&bytes[20..24]), u64::from(be32(&bytes[24..28]))),
        1 => (be32(&bytes[28..32]), u64::from_be_bytes(bytes[32..40].try_into().ok()?)),
        _ => return None,
    };
    duration.checked_mul(1000)?.checked_div(u64::from(timescale))
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).expect("a small box");
        [&size.to_be_bytes()[..], kind, body].concat()
    }

    fn judged(bytes: &[u8]) -> Result<u64, Fault> {
        duration_ms(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn the_index_stands_before_the_media() {
        let mvhd = [&[0; 12][..], &600_u32.to_be_bytes(), &1500_u32.to_be_bytes(), &[0; 80]].concat();
        let moov = boxed(b"moov", &boxed(b"mvhd", &mvhd));
        let (ftyp, mdat) = (boxed(b"ftyp", b"isom"), boxed(b"mdat", b"media"));
        assert_eq!(judged(&[&ftyp[..], &moov, &mdat].concat()).unwrap(), 2500);
        let large = [&1_u32.to_be_bytes()[..], b"mdat", &21_u64.to_be_bytes(), b"media"].concat();
        assert_eq!(judged(&[&moov[..], &large].concat()).unwrap(), 2500);
        for wrong in [[&ftyp[..], &mdat, &moov].concat(), [&ftyp[..], &moov].concat(), vec![0; 8], vec![0; 3], vec![]] {
            assert!(judged(&wrong).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = judged(&bytes);
        }
    }
}
