//! Decodes the frames of one pack in order. Small files share frames, so the last one is kept.

use std::sync::{Mutex, PoisonError};

use super::{RestoreError, fetch::Frames};
use crate::{
    pipeline::{Cursor, FrameDecoder, frame},
    repository::map::Run,
};

/// Buffers of walks that have ended are kept for the next ones, at most so many.
const SPARE_MAX: usize = 8;
/// Buffers above this are given back to the system.
const SPARE_BYTES_MAX: usize = 4 << 20;

static SPARE: Mutex<Vec<Buffers>> = Mutex::new(Vec::new());

/// What a walk needs besides the frames. Making it anew for each pack would cost a tenth of the time: fresh memory is slow memory.
#[derive(Debug)]
struct Buffers {
    decoder: FrameDecoder,
    cursor: Cursor,
    plain: Vec<u8>,
}

/// A decoder on the frames of a pack.
#[derive(Debug)]
pub struct FrameWalk<'a> {
    frames: &'a Frames,
    /// Taken only when the walk is dropped.
    buffers: Option<Buffers>,
    last: Option<Decoded>,
}

/// The frame that was decoded last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decoded {
    at: u64,
    length: u64,
}

impl<'a> FrameWalk<'a> {
    /// Begins with nothing decoded.
    ///
    /// # Errors
    /// When a decoder cannot be made.
    pub fn new(frames: &'a Frames) -> Result<FrameWalk<'a>, RestoreError> {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffers = match spare {
            Some(buffers) => buffers,
            None => Buffers { decoder: FrameDecoder::new()?, cursor: Cursor::default(), plain: Vec::new() },
        };
        Ok(FrameWalk { frames, buffers: Some(buffers), last: None })
    }

    /// Hands the bytes of a run to `sink`, part by part. `sink` may have seen bytes when an error comes.
    ///
    /// # Errors
    /// When the frames are damaged or hold fewer bytes than the run claims; or the error of `sink`.
    pub fn run(&mut self, run: &Run, mut sink: impl FnMut(&[u8]) -> Result<(), RestoreError>) -> Result<(), RestoreError> {
        let end = run.offset.checked_add(run.length).ok_or_else(|| different(run))?;
        let (mut skip, mut left, mut at) = (run.skip, run.size, run.offset);
        while at < end {
            let length = self.decode(at, end)?;
            let plain = &self.buffers.as_ref().expect("buffers are there until the end").plain;
            at += length;
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(plain.len());
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(plain.len() - from);
            sink(&plain[from..from + take])?;
            skip -= from as u64;
            left -= take as u64;
        }
        match left {
            0 => Ok(()),
            _ => Err(different(run)),
        }
    }

    /// Decodes the frame at `at` unless it was the last one, and gives its encoded length.
    fn decode(&mut self, at: u64, end: u64) -> Result<u64, RestoreError> {
        if let Some(Decoded { length, .. }) = self.last.filter(|last| last.at == at && last.length <= end - at) {
            return Ok(length);
        }
        self.last = None;
        let Buffers { decoder, cursor, plain } = self.buffers.as_mut().expect("buffers are there until the end");
        let length = match self.frames {
            Frames::Whole(pack) => {
                let (encoded, size) = cursor.frame(pack, at, end)?;
                decoder.decode(encoded, size, plain)?;
                encoded.len() as u64
            }
            Frames::Parts(parts) => {
                let bytes = parts.at(at, end - at)?;
                let (encoded, size) = frame::Frames(&bytes).next().expect("the run has not ended")?;
                decoder.decode(encoded, size, plain)?;
                encoded.len() as u64
            }
        };
        self.last = Some(Decoded { at, length });
        Ok(length)
    }
}

fn different(run: &Run) -> RestoreError {
    RestoreError::Different { what: format!("a run in the pack {}", run.pack) }
}

impl Drop for FrameWalk<'_> {
    fn drop(&mut self) {
        let Some(mut buffers) = self.buffers.take() else { return };
        buffers.cursor.clear();
        buffers.plain.clear();
        buffers.plain.shrink_to(SPARE_BYTES_MAX);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(buffers);
        }
    }
}
