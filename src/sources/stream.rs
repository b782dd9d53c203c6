//! Streams of bytes out of a source and into a target, whose ends say whether they were whole.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Overwrite, RowDigest, SourceError};
use crate::model::{ByteCount, Problem, Timestamp};

/// What is known of a stream once it has ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// Nothing that the source acknowledged before this instant is missing.
    pub consistent_from: Timestamp,
    /// Nothing later than this instant is contained.
    pub consistent_to: Timestamp,
    /// Versions of what took part, by name.
    pub versions: BTreeMap<String, String>,
    /// How much was read.
    pub bytes: ByteCount,
    /// The digest of the rows in it, where it has rows.
    pub rows: Option<RowDigest>,
    /// What is missing in it: the member is incomplete.
    pub problems: Vec<Problem>,
}

type End<T> = Box<dyn FnOnce() -> Result<T, SourceError> + Send>;

/// A component's bytes. The end of the reading says nothing: only `finish` tells whether they are whole. Dropping it abandons the capture.
pub struct StreamCapture {
    reader: Box<dyn Read + Send>,
    end: End<StreamEnd>,
}

impl StreamCapture {
    /// A stream of `reader`'s bytes, of which `end` tells, after the reader is dropped, whether they were whole.
    pub fn new(reader: impl Read + Send + 'static, end: impl FnOnce() -> Result<StreamEnd, SourceError> + Send + 'static) -> StreamCapture {
        StreamCapture { reader: Box::new(reader), end: Box::new(end) }
    }

    /// Says whether everything was read. To be called after the end of the bytes, or after an error of the reading, whose cause it then names.
    pub fn finish(self) -> Result<StreamEnd, SourceError> {
        drop(self.reader);
        (self.end)()
    }
}

impl Read for StreamCapture {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl fmt::Debug for StreamCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamCapture(…)")
    }
}

/// Takes a component's bytes. Only `finish` tells whether the target has them. Dropping it abandons the restore; the target must
/// not take that for the end of the bytes.
pub struct StreamSink {
    writer: Box<dyn Write + Send>,
    end: End<()>,
}

impl StreamSink {
    /// A sink that hands its bytes to `writer`, and of which `end` tells, after the writer is dropped, whether they arrived.
    pub fn new(writer: impl Write + Send + 'static, end: impl FnOnce() -> Result<(), SourceError> + Send + 'static) -> StreamSink {
        StreamSink { writer: Box::new(writer), end: Box::new(end) }
    }

    /// Where the file of a component lies below `directory`: at the words of its name.
    ///
    /// # Errors
    /// When the name could lead elsewhere, or something is there and may not be replaced.
    pub fn place(directory: &Path, name: &str, overwrite: Overwrite) -> Result<PathBuf, SourceError> {
        let unsafe_word = |word: &str| matches!(word, "" | "." | "..") || word.contains('\0') || word.len() > 255;
        if name.split('/').any(unsafe_word) {
            return Err(SourceError::UnsafePath { path: name.to_owned() });
        }
        let path = directory.join(name);
        match overwrite {
            Overwrite::Refuse if path.symlink_metadata().is_ok() => Err(SourceError::NotEmpty { path: path.display().to_string() }),
            _ => Ok(path),
        }
    }

    /// A sink into a new file at its [`StreamSink::place`]; folders are made when they do not exist.
    ///
    /// # Errors
    /// When it has no such place, or cannot be made.
    pub fn file(directory: &Path, name: &str, overwrite: Overwrite) -> Result<StreamSink, SourceError> {
        let path = StreamSink::place(directory, name, overwrite)?;
        let io_error = |doing, path: &Path| {
            let path = path.display().to_string();
            move |source| SourceError::Io { doing, path, source }
        };
        let folder = path.parent().unwrap_or(directory);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error("make the directory", folder))?;
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        match overwrite {
            Overwrite::Refuse => options.create_new(true),
            Overwrite::InPlace => options.create(true).truncate(true),
        };
        let file = options.open(&path).map_err(io_error("create", &path))?;
        let kept: File = file.try_clone().map_err(io_error("create", &path))?;
        Ok(StreamSink::new(file, move || kept.sync_all().map_err(io_error("sync", &path))))
    }

    /// Ends the bytes, and says whether the target has them all. After an error of the writing it names the cause.
    pub fn finish(mut self) -> Result<(), SourceError> {
        let flushed = self.writer.flush();
        drop(self.writer);
        (self.end)()?;
        flushed.map_err(|source| SourceError::Io { doing: "write to", path: "the target".to_owned(), source })
    }
}

impl Write for StreamSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl fmt::Debug for StreamSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamSink(…)")
    }
}
