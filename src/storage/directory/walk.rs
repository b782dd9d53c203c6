//! Listing a directory tree as if it were a flat, sorted list of keys.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use super::TEMPORARY;
use crate::{
    model::{ByteCount, ObjectKey, Timestamp},
    storage::{ListPage, Listed, PageToken},
};

/// Objects on a page of a listing.
const PAGE: usize = 1000;

/// A parent that is a file, too, means that there is no such object.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

pub(super) fn stat(path: &Path) -> io::Result<Option<(ByteCount, Timestamp)>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {
            let modified = Timestamp::new(found.mtime(), found.mtime_nsec() as i32).map_err(io::Error::other)?;
            Ok(Some((ByteCount(found.len()), modified)))
        }
        Ok(_) => Ok(None),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One page of a walk in the byte order of keys.
pub(super) struct Walk {
    prefix: String,
    after: String,
    pub(super) page: ListPage,
}

impl Walk {
    pub(super) fn new(prefix: &str, page: Option<PageToken>) -> Walk {
        let after = match page {
            None => String::new(),
            Some(PageToken::Next(last)) => last,
            Some(PageToken::After(key)) => key.to_string(),
        };
        Walk { prefix: prefix.to_owned(), after, page: ListPage::default() }
    }

    /// Walks the directory `path`, whose objects begin with `base`, until the page is full.
    pub(super) fn directory(&mut self, path: &Path, base: &str) -> io::Result<()> {
        for name in self.names(path, base)? {
            if self.page.next.is_some() {
                return Ok(());
            }
            match name.ends_with('/') {
                true => self.directory(&path.join(&name), &format!("{base}{name}"))?,
                false => self.file(&path.join(&name), format!("{base}{name}"))?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, key: String) -> io::Result<()> {
        let Some((size, modified)) = stat(path)? else { return Ok(()) };
        let Ok(key) = key.parse() else { return Ok(()) };
        if self.page.objects.len() == PAGE {
            let last = self.page.objects.last().expect("a full page is not empty");
            self.page.next = Some(PageToken::Next(last.key.to_string()));
        } else {
            self.page.objects.push(Listed { key, size, modified });
        }
        Ok(())
    }

    /// Names below `path` that can lie on this page or after it, sorted as parts of keys: a directory counts with its slash.
    fn names(&self, path: &Path, base: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(path) {
            // It went with its last object.
            Err(error) if !base.is_empty() && is_absence(&error) => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if name.parse::<ObjectKey>().is_err() || (base.is_empty() && name == TEMPORARY) {
                continue;
            }
            let is_directory = entry.file_type()?.is_dir();
            if is_directory {
                name.push('/');
            }
            let full = format!("{base}{name}");
            let wanted = full.starts_with(&self.prefix) || (is_directory && self.prefix.starts_with(&full));
            if wanted && (full > self.after || (is_directory && self.after.starts_with(&full))) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}
