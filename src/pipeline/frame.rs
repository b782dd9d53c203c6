//! One chunk, one zstd frame: with content size and checksum, decoded again before it counts as written.

use std::{fmt, mem};

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{CParameter, compress_bound, find_frame_compressed_size, get_frame_content_size},
};

use super::PipelineError;

/// The compression level, unless another is asked for.
pub const DEFAULT_LEVEL: i32 = 3;

/// The level for chunks that it makes hardly larger; several times as fast.
const FAST_LEVEL: i32 = 1;

/// Hardly larger: by at most this part of the frame.
const HARDLY: usize = 50;

/// The most plaintext that one frame holds, in bytes: twice the largest chunk.
pub const FRAME_PLAIN_MAX: usize = 8 << 20;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// No frame of plaintext up to that is longer, in bytes.
pub(super) fn frame_max() -> usize {
    compress_bound(FRAME_PLAIN_MAX)
}

/// Compresses chunks. Holds the memory of one compressor, so make one per thread and keep it.
pub struct FrameEncoder {
    compressor: Compressor<'static>,
    level: i32,
    decoder: FrameDecoder,
    frame: Vec<u8>,
    check: Vec<u8>,
}

impl FrameEncoder {
    /// Makes an encoder of a zstd level (negative ones are faster).
    pub fn new(level: i32) -> Result<FrameEncoder, PipelineError> {
        let mut compressor = Compressor::new(level).map_err(PipelineError::Compress)?;
        for parameter in [CParameter::ContentSizeFlag(true), CParameter::ChecksumFlag(true)] {
            compressor.set_parameter(parameter).map_err(PipelineError::Compress)?;
        }
        Ok(FrameEncoder { compressor, level, decoder: FrameDecoder::new()?, frame: Vec::new(), check: Vec::new() })
    }

    /// Compresses `plain`, at most [`FRAME_PLAIN_MAX`] bytes of it, into one frame; decodes the frame again and compares before returning it.
    pub fn encode(&mut self, plain: &[u8]) -> Result<Vec<u8>, PipelineError> {
        self.compress(plain, self.level)?;
        self.verify(plain)
    }

    /// As [`FrameEncoder::encode`], at a fast level.
    pub fn encode_fast(&mut self, plain: &[u8]) -> Result<Vec<u8>, PipelineError> {
        self.compress(plain, FAST_LEVEL)?;
        self.verify(plain)
    }

    /// Compresses at both levels. Gives the fast frame, and true, when it is hardly larger than the other.
    pub fn encode_trial(&mut self, plain: &[u8]) -> Result<(Vec<u8>, bool), PipelineError> {
        self.compress(plain, FAST_LEVEL)?;
        let fast = mem::take(&mut self.frame);
        self.compress(plain, self.level)?;
        let will_do = fast.len() <= self.frame.len() + self.frame.len() / HARDLY;
        if will_do {
            self.frame = fast;
        }
        Ok((self.verify(plain)?, will_do))
    }

    fn compress(&mut self, plain: &[u8], level: i32) -> Result<(), PipelineError> {
        if plain.len() > FRAME_PLAIN_MAX {
            return Err(PipelineError::TooLarge { what: "a chunk", size: plain.len() as u64, limit: FRAME_PLAIN_MAX as u64 });
        }
        self.frame.clear();
        self.frame.reserve(compress_bound(plain.len()));
        self.compressor.set_parameter(CParameter::CompressionLevel(level)).map_err(PipelineError::Compress)?;
        self.compressor.compress_to_buffer(plain, &mut self.frame).map_err(PipelineError::Compress)?;
        Ok(())
    }

    /// A copy of the frame, once it decodes to `plain`.
    fn verify(&mut self, plain: &[u8]) -> Result<Vec<u8>, PipelineError> {
        let decoded = self.decoder.decode(&self.frame, plain.len(), &mut self.check);
        match decoded.is_ok() && self.check == plain {
            true => Ok(self.frame.clone()),
            false => Err(PipelineError::Verify),
        }
    }
}

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameEncoder")
    }
}

/// Decodes frames of the form that [`FrameEncoder`] writes, and no others. Keep one per thread.
pub struct FrameDecoder(Decompressor<'static>);

impl FrameDecoder {
    /// Makes a decoder.
    pub fn new() -> Result<FrameDecoder, PipelineError> {
        Decompressor::new().map(FrameDecoder).map_err(PipelineError::Decode)
    }

    /// Replaces the content of `out` by the plaintext of one or more concatenated frames, which must be `plain_len` bytes in all.
    /// Nothing is decoded, and nothing allocated, unless the frames say that they hold exactly that much.
    pub fn decode(&mut self, frames: &[u8], plain_len: usize, out: &mut Vec<u8>) -> Result<(), PipelineError> {
        out.clear();
        check_total(frames, plain_len)?;
        self.decode_into(frames, plain_len, out)
    }

    fn decode_into(&mut self, frames: &[u8], plain_len: usize, out: &mut Vec<u8>) -> Result<(), PipelineError> {
        out.try_reserve_exact(plain_len).map_err(|error| PipelineError::Decode(error.into()))?;
        let length = self.0.decompress_to_buffer(frames, out).map_err(PipelineError::Decode)?;
        match length == plain_len {
            true => Ok(()),
            false => Err(PipelineError::Frame("a frame holds another length than it says")),
        }
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameDecoder")
    }
}

/// As [`FrameDecoder::decode`], for a single use.
pub fn decode_frames(frames: &[u8], plain_len: usize, out: &mut Vec<u8>) -> Result<(), PipelineError> {
    FrameDecoder::new()?.decode(frames, plain_len, out)
}

fn check_total(frames: &[u8], plain_len: usize) -> Result<(), PipelineError> {
    let mut total = 0usize;
    for frame in Frames(frames) {
        total = total.saturating_add(frame?.1);
    }
    match total == plain_len {
        true => Ok(()),
        false => Err(PipelineError::Frame("the frames hold another length than the map says")),
    }
}

/// Walks over concatenated frames without decoding them: each frame with the length of its plaintext. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(&'a [u8], usize), PipelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = first_frame(self.0);
        self.0 = found.as_ref().map_or(&[], |(frame, _)| &self.0[frame.len()..]);
        Some(found)
    }
}

/// Length of the first frame and of its plaintext.
pub(super) fn first_lengths(bytes: &[u8]) -> Result<(usize, usize), PipelineError> {
    first_frame(bytes).map(|(frame, size)| (frame.len(), size))
}

/// The first frame and its content size. Refuses what zstd would accept and we never write: old formats, skippable frames,
/// dictionaries, frames without checksum or size.
fn first_frame(bytes: &[u8]) -> Result<(&[u8], usize), PipelineError> {
    const CHECKSUM_NO_DICTIONARY: u8 = 0b0100;
    let damaged = PipelineError::Frame;
    if !bytes.starts_with(&MAGIC) {
        return Err(damaged("there is no frame where one should begin"));
    }
    if bytes.get(4).is_none_or(|descriptor| descriptor & 0b1111 != CHECKSUM_NO_DICTIONARY) {
        return Err(damaged("a frame is not of the form that is written here"));
    }
    let size = get_frame_content_size(bytes).ok().flatten().ok_or(damaged("a frame does not say how much it holds"))?;
    let size = usize::try_from(size).ok().filter(|size| *size <= FRAME_PLAIN_MAX).ok_or(damaged("a frame claims to hold more than any does"))?;
    let length = find_frame_compressed_size(bytes).map_err(|_| damaged("a frame is cut"))?;
    Ok((bytes.get(..length).ok_or(damaged("a frame is cut"))?, size))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
