//! The content of a file, and whether it held still.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::{
    fs::{FileType, Mode, OFlags, SeekFrom, Stat, fstat, openat, seek},
    io::Errno,
};

use super::{
    attributes::{self, Xattrs},
    beneath::{Missing, failed, split},
    walk::{Tree, Walked},
};
use crate::{
    model::Sha256,
    sources::{EntryKind, Extent, Identity, SourceError, entry::display_path},
};

/// How many stretches of data of one file are told apart; what lies behind the last is read as data, holes as zeros.
const MAX_EXTENTS: usize = 16_384;

/// Whether a file was one and the same from its opening to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stability {
    /// It was.
    Unchanged,
    /// It was not: what was read may be no state that it ever had. Open it again, a limited number of times, then report it.
    Changed {
        /// What became of it, for a person.
        what: String,
    },
}

/// An open file. Reading yields its stretches of data one after the other, without the holes between them.
#[derive(Debug)]
pub struct Content {
    file: File,
    path: Vec<u8>,
    identity: Identity,
    extents: Vec<Extent>,
    current: usize,
    within: u64,
}

impl Tree {
    /// Opens a file that the walk has found, and brings `walked` up to date with what was opened: attributes, size and stretches of data
    /// describe what will be read even if the file has changed since the walk. [`SourceError::Vanished`] when it is gone,
    /// [`SourceError::Replaced`] when it is no longer a regular file.
    pub fn open_content(&self, walked: &mut Walked) -> Result<Content, SourceError> {
        let path = &walked.entry.path;
        let (parent, name) = split(path);
        let directory = self.anchor().directory(parent, Missing::Fail)?;
        // NONBLOCK: a FIFO that has taken the file's place must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = match openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => openat(&directory, name, flags, Mode::empty()),
            other => other,
        };
        let file = File::from(opened.map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => SourceError::Replaced { path: display_path(path), expected: "a regular file" },
            _ => failed("open", path, error),
        })?);
        let stat = fstat(&file).map_err(|error| failed("examine", path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(SourceError::Replaced { path: display_path(path), expected: "a regular file" });
        }
        let identity = attributes::identity(&stat);
        let mut entry = attributes::entry(path.clone(), &stat);
        entry.xattrs = match identity == walked.identity {
            true => std::mem::take(&mut walked.entry.xattrs),
            false => Xattrs::default().read_open(&file).map_err(|error| failed("read the extended attributes of", path, error))?,
        };
        let data = data(&file, &stat).map_err(|error| failed("find the holes of", path, error))?;
        entry.kind = EntryKind::File { size: identity.size, data };
        let content = Content { file, path: path.clone(), identity, extents: entry.extents(), current: 0, within: 0 };
        *walked = Walked { entry, identity };
        Ok(content)
    }
}

/// The stretches of data of a file that has holes.
fn data(file: &File, stat: &Stat) -> rustix::io::Result<Option<Vec<Extent>>> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if i128::from(stat.st_blocks) * 512 >= i128::from(size) {
        return Ok(None);
    }
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data behind this place.
            Err(Errno::NXIO) => break,
            // The file system does not tell holes from data.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = if extents.len() + 1 == MAX_EXTENTS { size } else { seek(file, SeekFrom::Hole(start))?.min(size) };
        if start >= end {
            break;
        }
        extents.push(Extent { offset: start, length: end - start });
        at = end;
    }
    let whole = extents.len() == 1 && extents[0] == Extent { offset: 0, length: size };
    Ok(if whole { None } else { Some(extents) })
}

impl Content {
    /// Where the data lies that reading yields, in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The length with holes.
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// Reads everything: the SHA-256 of the whole content, holes as zeros, as `sha256sum` tells it.
    pub fn sha256(mut self) -> Result<(Sha256, Stability), SourceError> {
        let mut hash = Context::new(&SHA256);
        let mut buffer = vec![0; 256 << 10];
        let zeros = vec![0; 256 << 10];
        let mut done = 0;
        while let Some(Extent { offset, length }) = self.extents.get(self.current).copied() {
            feed_zeros(&mut hash, &zeros, offset + self.within - done);
            let read = self.read(&mut buffer).map_err(|source| SourceError::Io { doing: "read", path: display_path(&self.path), source })?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            done = if self.within == 0 { offset + length } else { offset + self.within };
        }
        feed_zeros(&mut hash, &zeros, self.size() - done);
        let digest = hash.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes");
        Ok((Sha256(digest), self.finish()?))
    }

    /// Says whether the file held still since it was opened. To be called when reading has come to its end.
    pub fn finish(self) -> Result<Stability, SourceError> {
        let now = fstat(&self.file).map_err(|error| failed("examine", &self.path, error))?;
        let now = attributes::identity(&now);
        let was = self.identity;
        if now == was && self.current == self.extents.len() {
            return Ok(Stability::Unchanged);
        }
        let what = match now.size == was.size {
            true => "it was changed while it was read".to_owned(),
            false => format!("it went from {} to {} bytes while it was read", was.size, now.size),
        };
        Ok(Stability::Changed { what })
    }
}

fn feed_zeros(hash: &mut Context, zeros: &[u8], mut count: u64) {
    while count > 0 {
        let part = usize::try_from(count).unwrap_or(usize::MAX).min(zeros.len());
        hash.update(&zeros[..part]);
        count -= part as u64;
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(extent) = self.extents.get(self.current) else { return Ok(0) };
        let wanted = usize::try_from(extent.length - self.within).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], extent.offset + self.within)?;
        self.within += count as u64;
        if self.within == extent.length {
            (self.current, self.within) = (self.current + 1, 0);
        }
        Ok(count)
    }
}
