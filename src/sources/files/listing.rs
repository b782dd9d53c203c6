//! The names of one directory, in canonical order.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{AtFlags, FileType, RawDir, statat},
    io::Errno,
};

const READ_AHEAD: usize = 64 << 10;

/// What is to be done at a name: compact, because a directory may have millions.
#[derive(Debug, Clone, Copy)]
struct Item {
    start: u32,
    length: u16,
    descend: bool,
}

/// Names in the order of whole paths: a directory `a` stands once as `a`, to be shown, and once as `a/`, to be entered, so that
/// `a`, `a-b`, `a/x` come in this order.
#[derive(Debug, Default)]
pub(super) struct Listing {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Listing {
    /// Reads a directory. An error leaves the names that were read before it.
    pub(super) fn read(directory: BorrowedFd<'_>) -> (Listing, Result<(), Errno>) {
        let mut listing = Listing::default();
        let outcome = listing.fill(directory);
        let Listing { bytes, items } = &mut listing;
        items.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
        (listing, outcome)
    }

    fn fill(&mut self, directory: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut buffer = Vec::with_capacity(READ_AHEAD);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let file_type = match entry.file_type() {
                FileType::Unknown => {
                    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode))
                }
                known => known,
            };
            self.push(name, false)?;
            if file_type == FileType::Directory {
                self.push(name, true)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &[u8], descend: bool) -> Result<(), Errno> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        self.bytes.extend_from_slice(name);
        if descend {
            self.bytes.push(b'/');
        }
        let length = u16::try_from(self.bytes.len() - start as usize).map_err(|_| Errno::NAMETOOLONG)?;
        self.items.push(Item { start, length, descend });
        Ok(())
    }

    /// The name at a place of the order, without the '/', and whether it is to be entered.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], bool)> {
        let item = *self.items.get(index)?;
        let name = slice(&self.bytes, item);
        Some((name.strip_suffix(b"/").unwrap_or(name), item.descend))
    }
}

fn slice(bytes: &[u8], item: Item) -> &[u8] {
    &bytes[item.start as usize..item.start as usize + usize::from(item.length)]
}
