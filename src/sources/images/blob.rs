//! The bytes of blobs, out of a registry and into one.

use std::{
    io::{self, Read, Write},
    mem,
    sync::Arc,
};

use aws_lc_rs::digest::{Context as Hash, SHA256};
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use oci_client::Reference;
use tokio::sync::mpsc::Sender;

use super::{
    error::failed,
    registry::{Parts, Registries, Uploading, name},
};
use crate::{
    model::Context,
    sources::{SourceError, SourceErrorKind},
};

/// How often a blob whose connection breaks is asked for again, from where it broke.
const RESUMED_MAX: u32 = 5;
/// Bytes that are handed to an upload at a time.
const PART: usize = 256 << 10;

/// A blob that is being read, checked against its digest at its end.
pub struct BlobReader {
    registries: Arc<Registries>,
    repository: Reference,
    digest: String,
    size: u64,
    at: u64,
    /// To be left out: a registry that cannot begin in the middle begins at the start.
    skip: u64,
    hash: Hash,
    parts: Option<Parts>,
    resumed: u32,
    ctx: Context,
}

impl BlobReader {
    /// A blob of a repository. Nothing is asked yet.
    pub fn new(registries: Arc<Registries>, repository: Reference, digest: String, size: u64, ctx: Context) -> BlobReader {
        let hash = Hash::new(&SHA256);
        BlobReader { registries, repository, digest, size, at: 0, skip: 0, hash, parts: None, resumed: 0, ctx }
    }

    fn wrong(&self, why: String) -> SourceError {
        let subject = format!("the blob {} of {}", self.digest, name(&self.repository));
        SourceError::Unfit { subject, why, kind: SourceErrorKind::Failed, hint: Some("push the image to its registry again") }
    }

    /// The next bytes; none at the end, where all were right.
    fn next(&mut self) -> Result<Bytes, SourceError> {
        loop {
            if self.ctx.cancel.is_stopped() {
                return Err(SourceError::Cancelled { program: format!("the reading of {}", self.digest) });
            }
            let parts = match &mut self.parts {
                Some(parts) => parts,
                none => {
                    let (begins, parts) = self.registries.blob(&self.repository, &self.digest, self.at)?;
                    self.skip = self.at - begins;
                    none.insert(parts)
                }
            };
            let broken = match self.registries.wait(parts.next()) {
                Ok(Some(Ok(mut part))) => {
                    let left_out = usize::try_from(self.skip).unwrap_or(usize::MAX).min(part.len());
                    part.advance(left_out);
                    self.skip -= left_out as u64;
                    self.at += part.len() as u64;
                    self.hash.update(&part);
                    if self.at > self.size {
                        return Err(self.wrong(format!("is longer than the {} bytes that its manifest says", self.size)));
                    }
                    if part.is_empty() {
                        continue;
                    }
                    return Ok(part);
                }
                Ok(None) if self.at == self.size => return self.end(),
                Ok(None) => io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ended after {} of {} bytes", self.at, self.size)),
                // Of the whole, and at its end: what is read again would be no better.
                Ok(Some(Err(_))) if self.at == self.size => return self.end(),
                Ok(Some(Err(error))) => error,
                Err(_) => io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long"),
            };
            self.parts = None;
            self.resumed += 1;
            if self.resumed > RESUMED_MAX {
                let doing = format!("read {} of {}", self.digest, name(&self.repository));
                return Err(SourceError::Database { doing, kind: SourceErrorKind::Io, source: broken.into() });
            }
        }
    }

    fn end(&mut self) -> Result<Bytes, SourceError> {
        let found = format!("sha256:{}", hex::encode(mem::replace(&mut self.hash, Hash::new(&SHA256)).finish()));
        if found == self.digest { Ok(Bytes::new()) } else { Err(self.wrong(format!("has the content {found}"))) }
    }

    /// Reads everything into `take`.
    ///
    /// # Errors
    /// When it cannot be read, is not what its digest says, or is not taken.
    pub fn copy(mut self, mut take: impl FnMut(Bytes) -> Result<(), SourceError>) -> Result<(), SourceError> {
        loop {
            let part = self.next()?;
            if part.is_empty() {
                return Ok(());
            }
            take(part)?;
        }
    }
}

/// A blob as a stream of bytes. What went wrong is kept for whoever asks at the end.
pub struct BlobStream {
    /// The blob.
    pub reader: BlobReader,
    /// What was read and not yet taken.
    pub part: Bytes,
    /// Why it broke off, or that it is whole.
    pub ended: Arc<std::sync::Mutex<Option<Result<(), SourceError>>>>,
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() {
            let end = |result| *self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
            match self.reader.next() {
                Ok(part) if part.is_empty() => {
                    end(Ok(()));
                    return Ok(0);
                }
                Ok(part) => self.part = part,
                Err(error) => {
                    end(Err(error));
                    return Err(io::Error::other("the registry broke off"));
                }
            }
        }
        let count = self.part.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.part[..count]);
        self.part.advance(count);
        Ok(count)
    }
}

/// A blob on its way into a registry. Only `end` tells whether it has it; dropped before, the registry throws it away, because it knows its length.
pub struct Upload {
    registries: Arc<Registries>,
    doing: String,
    send: Option<Sender<Bytes>>,
    uploading: Option<Uploading>,
    gathered: BytesMut,
}

impl Upload {
    /// Begins to upload.
    ///
    /// # Errors
    /// When there is no way to talk to the registry.
    pub fn begin(registries: Arc<Registries>, repository: &Reference, digest: &str, size: u64) -> Result<Upload, SourceError> {
        let (send, uploading) = registries.upload(repository, digest, size)?;
        let doing = format!("write {digest} to {}", name(repository));
        Ok(Upload { registries, doing, send: Some(send), uploading: Some(uploading), gathered: BytesMut::new() })
    }

    /// Hands bytes over.
    ///
    /// # Errors
    /// When the registry has stopped to take them; `end` says why.
    pub fn part(&mut self, part: Bytes) -> io::Result<()> {
        let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "the registry takes no more");
        let send = self.send.as_ref().ok_or_else(broken)?;
        match self.registries.wait(send.send(part)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(broken()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the registry takes nothing")),
        }
    }

    /// Says that this was all, and whether the registry has it.
    ///
    /// # Errors
    /// When it does not.
    pub fn end(mut self) -> Result<(), SourceError> {
        let flushed = self.flush();
        self.send = None;
        let uploading = self.uploading.as_mut().expect("only this takes it");
        let error = match self.registries.wait(uploading) {
            Ok(Ok(Ok(_))) => return flushed.map_err(|error| self.broken(SourceErrorKind::Io, error.into())),
            Ok(Ok(Err(error))) => failed(self.doing.clone(), error),
            Ok(Err(error)) => self.broken(SourceErrorKind::Failed, error.into()),
            Err(elapsed) => self.broken(SourceErrorKind::TimedOut, elapsed.into()),
        };
        Err(error)
    }

    fn broken(&self, kind: SourceErrorKind, source: Box<dyn std::error::Error + Send + Sync>) -> SourceError {
        SourceError::Database { doing: self.doing.clone(), kind, source }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(uploading) = &self.uploading {
            uploading.abort();
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PART {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.gathered.is_empty() {
            true => Ok(()),
            false => {
                let part = self.gathered.split().freeze();
                self.part(part)
            }
        }
    }
}
