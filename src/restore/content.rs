//! The digest of a file's content, from its stretches of data alone.

use super::RestoreError;
use crate::{
    model::Sha256,
    pipeline::Sha256Hasher,
    sources::{Extent, FileSlot, TreeEntry},
};

/// Hashes a file from its stretches of data, with zeros for the holes between them.
#[derive(Debug)]
pub struct Content {
    hasher: Sha256Hasher,
    extents: Vec<Extent>,
    /// The extent that is being filled, and how much of it is.
    next: usize,
    filled: u64,
    /// Position in the file.
    at: u64,
    size: u64,
    path: String,
}

impl Content {
    /// Of a file of which nothing was seen yet.
    pub fn new(entry: &TreeEntry) -> Content {
        let (extents, size, path) = (entry.extents(), entry.size(), entry.display_path());
        Content { hasher: Sha256Hasher::new(), extents, next: 0, filled: 0, at: 0, size, path }
    }

    /// Takes in the next bytes of data.
    ///
    /// # Errors
    /// When the file has no place for them.
    pub fn data(&mut self, mut part: &[u8]) -> Result<(), RestoreError> {
        while !part.is_empty() {
            let different = || RestoreError::Different { what: self.path.clone() };
            let extent = self.extents.get(self.next).ok_or_else(different)?;
            if self.filled == 0 {
                self.hasher.update_zeros(extent.offset.checked_sub(self.at).ok_or_else(different)?);
                self.at = extent.offset;
            }
            let count = part.len().min(usize::try_from(extent.length - self.filled).unwrap_or(usize::MAX));
            self.hasher.update(&part[..count]);
            self.at += count as u64;
            self.filled += count as u64;
            if self.filled == extent.length {
                (self.next, self.filled) = (self.next + 1, 0);
            }
            part = &part[count..];
        }
        Ok(())
    }

    /// Takes in the next `count` bytes of data as the target has them.
    ///
    /// # Errors
    /// When they cannot be read, or the file has no place for them.
    pub fn read_back(&mut self, slot: &FileSlot, mut count: u64, buffer: &mut [u8]) -> Result<(), RestoreError> {
        while count > 0 {
            let extent = self.extents.get(self.next).ok_or_else(|| RestoreError::Different { what: self.path.clone() })?;
            let part = count.min(extent.length - self.filled).min(buffer.len() as u64);
            let buffer = &mut buffer[..part as usize];
            slot.read_at(extent.offset + self.filled, buffer)?;
            self.data(buffer)?;
            count -= part;
        }
        Ok(())
    }

    /// The digest.
    ///
    /// # Errors
    /// When a stretch of data was not filled.
    pub fn finish(mut self) -> Result<Sha256, RestoreError> {
        if self.next < self.extents.len() || self.at > self.size {
            return Err(RestoreError::Different { what: self.path });
        }
        self.hasher.update_zeros(self.size - self.at);
        Ok(self.hasher.finish())
    }
}
