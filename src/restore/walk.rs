//! Decodes the frames of one pack in order. Small files share frames, so the last one is kept.

use super::{RestoreError, fetch::Frames};
use crate::{
    pipeline::{FrameDecoder, frame},
    repository::map::Run,
};

/// A decoder on the frames of a pack.
#[derive(Debug)]
pub struct FrameWalk<'a> {
    frames: &'a Frames,
    decoder: FrameDecoder,
    last: Option<u64>,
    plain: Vec<u8>,
}

impl<'a> FrameWalk<'a> {
    /// Begins with nothing decoded.
    ///
    /// # Errors
    /// When a decoder cannot be made.
    pub fn new(frames: &'a Frames) -> Result<FrameWalk<'a>, RestoreError> {
        Ok(FrameWalk { frames, decoder: FrameDecoder::new()?, last: None, plain: Vec::new() })
    }

    /// Hands the bytes of a run to `sink`, part by part. `sink` may have seen bytes when an error comes.
    ///
    /// # Errors
    /// When the frames are damaged or hold fewer bytes than the run claims; or the error of `sink`.
    pub fn run(&mut self, run: &Run, mut sink: impl FnMut(&[u8]) -> Result<(), RestoreError>) -> Result<(), RestoreError> {
        let bytes = self.frames.at(run.offset, run.length)?;
        let (mut skip, mut left, mut at) = (run.skip, run.size, run.offset);
        for next in frame::Frames(&bytes) {
            let (encoded, size) = next?;
            if self.last != Some(at) {
                self.last = None;
                self.decoder.decode(encoded, size, &mut self.plain)?;
                self.last = Some(at);
            }
            at += encoded.len() as u64;
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(size);
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(size - from);
            sink(&self.plain[from..from + take])?;
            skip -= from as u64;
            left -= take as u64;
        }
        match left {
            0 => Ok(()),
            _ => Err(RestoreError::Different { what: format!("a run in the pack {}", run.pack) }),
        }
    }
}
