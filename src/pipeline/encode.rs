//! Compresses chunks in parallel and gives them back in order.
//!
//! A writer does four things: a blocking thread reads, chunks, hashes and names ([`ChunkKey::id`](super::ChunkKey::id)) what it reads;
//! the writer looks each name up; it sends a [`Job`] with the bytes for what is new and without them for what is stored;
//! and it takes [`Encoded`] in the same order, to append new frames to its pack and to note in its map where everything lies.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{CpuPool, Effort, FrameEncoder, Pace, PipelineError};

/// One chunk on its way in. `tag` travels along: the chunk's id, its place in the stream, its permit.
#[derive(Debug)]
pub struct Job<T> {
    /// The chunk, if it is to be compressed; `None` passes by and keeps the order.
    pub plain: Option<Bytes>,
    /// Whatever belongs to the chunk.
    pub tag: T,
}

/// One chunk on its way out.
#[derive(Debug)]
pub struct Encoded<T> {
    /// The verified frame, if there was a chunk.
    pub frame: Option<Bytes>,
    /// Bytes of the chunk; 0 without one.
    pub plain_len: usize,
    /// As given.
    pub tag: T,
}

/// Compresses on the threads of a [`CpuPool`]. Clones share the compressors, of which there are never more than workers.
#[derive(Debug, Clone)]
pub struct Encoder {
    pool: CpuPool,
    level: i32,
    idle: Arc<Mutex<Vec<FrameEncoder>>>,
}

impl Encoder {
    /// An encoder of a zstd level on the threads of `pool`.
    pub fn new(pool: CpuPool, level: i32) -> Encoder {
        Encoder { pool, level, idle: Arc::default() }
    }

    /// Compresses one chunk and verifies the frame.
    pub async fn encode(&self, plain: Bytes) -> Result<Bytes, PipelineError> {
        self.with_encoder(move |encoder| encoder.encode(&plain)).await
    }

    /// As [`Encoder::encode`], as hard as `pace` says, which learns from it.
    pub async fn encode_at(&self, pace: Arc<Pace>, plain: Bytes) -> Result<Bytes, PipelineError> {
        let effort = pace.next();
        let work = move |encoder: &mut FrameEncoder| match effort {
            Effort::Thorough => encoder.encode(&plain),
            Effort::Fast => encoder.encode_fast(&plain),
            Effort::Trial => encoder.encode_trial(&plain).map(|(frame, fast)| {
                pace.tried(fast);
                frame
            }),
        };
        self.with_encoder(work).await
    }

    async fn with_encoder(
        &self,
        work: impl FnOnce(&mut FrameEncoder) -> Result<Vec<u8>, PipelineError> + Send + 'static,
    ) -> Result<Bytes, PipelineError> {
        let (idle, level) = (self.idle.clone(), self.level);
        let work = move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut encoder = taken.map_or_else(|| FrameEncoder::new(level), Ok)?;
            // An encoder that has failed is not trusted again.
            let frame = work(&mut encoder)?;
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(encoder);
            Ok(frame.into())
        };
        self.pool.run(work).await?
    }

    /// Takes jobs until `jobs` is closed, and gives the results in the same order, running ahead of their taker by a few chunks for
    /// each worker. The first error is the last result. Dropping the result ends the work, and then sending jobs fails. Call it inside a tokio runtime.
    pub fn encode_ordered<T: Send + 'static>(&self, mut jobs: mpsc::Receiver<Job<T>>) -> mpsc::Receiver<Result<Encoded<T>, PipelineError>> {
        let ahead = 2 * self.pool.workers();
        let (results, receiver) = mpsc::channel(ahead);
        let encoder = self.clone();
        tokio::spawn(async move {
            let mut encoded = stream::poll_fn(move |cx| jobs.poll_recv(cx)).map(|job| encoder.run(job)).buffered(ahead);
            while let Some(result) = encoded.next().await {
                let failed = result.is_err();
                if results.send(result).await.is_err() || failed {
                    break;
                }
            }
        });
        receiver
    }

    async fn run<T>(&self, job: Job<T>) -> Result<Encoded<T>, PipelineError> {
        let plain_len = job.plain.as_ref().map_or(0, Bytes::len);
        let frame = match job.plain {
            Some(plain) => Some(self.encode(plain).await?),
            None => None,
        };
        Ok(Encoded { frame, plain_len, tag: job.tag })
    }
}
