//! An entry of a tree: what is stored of it, and the line that a tree's digest is made of.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::model::Sha256;

/// A file's time: seconds since 1970, negative before it, and nanoseconds after that second. Stored as `[seconds, nanoseconds]`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i64, u32)", into = "(i64, u32)")]
pub struct FileTime {
    /// Since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Below 1,000,000,000, always forwards.
    pub nanos: u32,
}

impl TryFrom<(i64, u32)> for FileTime {
    type Error = String;
    fn try_from((seconds, nanos): (i64, u32)) -> Result<FileTime, String> {
        if nanos < 1_000_000_000 { Ok(FileTime { seconds, nanos }) } else { Err(format!("{nanos} nanoseconds are more than a second")) }
    }
}

impl From<FileTime> for (i64, u32) {
    fn from(time: FileTime) -> (i64, u32) {
        (time.seconds, time.nanos)
    }
}

/// A stretch of a file that holds data. Stored as `[offset, length]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Extent {
    /// Of its first byte.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

impl From<(u64, u64)> for Extent {
    fn from((offset, length): (u64, u64)) -> Extent {
        Extent { offset, length }
    }
}

impl From<Extent> for (u64, u64) {
    fn from(extent: Extent) -> (u64, u64) {
        (extent.offset, extent.length)
    }
}

/// Entries that have no content and are listed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialKind {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Its driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its driver.
        major: u32,
        /// Which of the driver's devices.
        minor: u32,
    },
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; of several hard links, the one whose path comes first.
    File {
        /// The length of its content, holes included.
        size: u64,
        /// Where it has data, in order, when it has holes: all else is zeros. `None`: it has no hole.
        data: Option<Vec<Extent>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it says, as it stands.
        target: Vec<u8>,
    },
    /// A further name of a file or symlink.
    HardLink {
        /// The path of the name that comes first.
        first: Vec<u8>,
    },
    /// Listed, never captured or created.
    Special(SpecialKind),
}

/// One entry of a tree, as it is stored in a map.
///
/// Its JSON (stored format, version 1) has these keys in this order; those in brackets only where they apply:
/// `path`; `kind` (`file`, `directory`, `symlink`, `hard-link`, `fifo`, `socket`, `char-device`, `block-device`); `mode` (four octal digits);
/// `uid`; `gid`; `mtime` (`[seconds, nanoseconds]`); [`target`]; [`first`]; [`device` (`[major, minor]`)]; [`xattrs`: a list, sorted by the
/// names' bytes, of `name` and base64 `value`; POSIX ACLs are `system.posix_acl_*`]; [`sha256` of a file's whole content, holes as zeros];
/// [`size`]; [`data`: `[offset, length]` of each stretch of data, for files with holes]. Where `path`, `target`, `first` or `name` are not UTF-8,
/// `path_base64`, … stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Raw bytes relative to the root, without a leading '/'; the root itself is empty.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When its content was changed last.
    pub mtime: FileTime,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a file's whole content with holes as zeros, once it has been read. Only files have one.
    pub sha256: Option<Sha256>,
}

/// What tells, without reading it, that a file is what it was. Never stored in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Of the file system.
    pub device: u64,
    /// Of the file in it.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Of the content's last change, as anybody may set it.
    pub mtime: FileTime,
    /// Of the last change of content or attributes, as the kernel sets it.
    pub ctime: FileTime,
}

impl TreeEntry {
    /// The entry's line in the canonical listing whose SHA-256 is the digest of a tree (stored format, version 1).
    ///
    /// It is the entry's JSON (see [`TreeEntry`]) without `size` and `data`, without white space, then a line feed. Strings are written as UTF-8;
    /// escaped are only `\"`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, and other characters below U+0020 as `\u00xx` in lower case.
    /// Lines are in order of the raw bytes of the whole path. Where holes are is no part of it: what is read is.
    pub fn canonical_line(&self) -> Vec<u8> {
        let mut line = Line::of(self);
        (line.size, line.data) = (None, None);
        let mut bytes = serde_json::to_vec(&line).expect("strings, numbers and lists always have a JSON form");
        bytes.push(b'\n');
        bytes
    }

    /// The path for people, as [`display_path`] shows it.
    pub fn display_path(&self) -> String {
        display_path(&self.path)
    }

    /// The length of a file's content, holes included; 0 for all else.
    pub fn size(&self) -> u64 {
        if let EntryKind::File { size, .. } = self.kind { size } else { 0 }
    }

    /// Where a file has data, in order; empty for all else.
    pub fn extents(&self) -> Vec<Extent> {
        match &self.kind {
            EntryKind::File { data: Some(data), .. } => data.clone(),
            EntryKind::File { size, data: None } if *size > 0 => vec![Extent { offset: 0, length: *size }],
            _ => Vec::new(),
        }
    }
}

/// A path for people: `.` for the root, bytes that are not UTF-8 as `\xNN`, control characters as in Rust (`\n`, `\u{1b}`): a name must not
/// steer the terminal, nor begin a line of its own.
pub fn display_path(path: &[u8]) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let mut shown = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter.is_control() {
                true => shown.extend(letter.escape_default()),
                false => shown.push(letter),
            }
        }
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

/// Whether a path stays inside its tree: relative, no empty part, no `.` or `..`, no NUL.
pub fn is_inside(path: &[u8]) -> bool {
    let good = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    path.is_empty() || path.split(|b| *b == b'/').all(good)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Xattr<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    value: String,
}

/// The JSON of an entry. The order of the fields is part of the stored format.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    kind: Cow<'a, str>,
    mode: Cow<'a, str>,
    uid: u32,
    gid: u32,
    mtime: FileTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<Xattr<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Extent>>,
}

type Text<'a> = (Option<Cow<'a, str>>, Option<String>);

/// Bytes as text where they are UTF-8, else as base64.
fn text(bytes: &[u8]) -> Text<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(Cow::Borrowed(text)), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn bytes(what: &str, text: Text<'_>) -> Result<Option<Vec<u8>>, String> {
    match text {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_owned().into_bytes())),
        (None, Some(text)) => BASE64_STANDARD.decode(&text).map(Some).map_err(|error| format!("{what}_base64: {error}")),
        (Some(_), Some(_)) => Err(format!("both {what} and {what}_base64 are given")),
    }
}

impl<'a> Line<'a> {
    fn of(entry: &'a TreeEntry) -> Line<'a> {
        let (path, path_base64) = text(&entry.path);
        let xattr = |(name, value): (&'a Vec<u8>, &Vec<u8>)| {
            let (name, name_base64) = text(name);
            Xattr { name, name_base64, value: BASE64_STANDARD.encode(value) }
        };
        let mut line = Line {
            path,
            path_base64,
            kind: "file".into(),
            mode: format!("{:04o}", entry.mode).into(),
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            target: None,
            target_base64: None,
            first: None,
            first_base64: None,
            device: None,
            xattrs: entry.xattrs.iter().map(xattr).collect(),
            sha256: entry.sha256,
            size: None,
            data: None,
        };
        line.kind = match &entry.kind {
            EntryKind::File { size, data } => {
                (line.size, line.data) = (Some(*size), data.clone());
                "file"
            }
            EntryKind::Directory => "directory",
            EntryKind::Symlink { target } => {
                (line.target, line.target_base64) = text(target);
                "symlink"
            }
            EntryKind::HardLink { first } => {
                (line.first, line.first_base64) = text(first);
                "hard-link"
            }
            EntryKind::Special(special) => {
                line.device = match *special {
                    SpecialKind::CharDevice { major, minor } | SpecialKind::BlockDevice { major, minor } => Some((major, minor)),
                    SpecialKind::Fifo | SpecialKind::Socket => None,
                };
                match special {
                    SpecialKind::Fifo => "fifo",
                    SpecialKind::Socket => "socket",
                    SpecialKind::CharDevice { .. } => "char-device",
                    SpecialKind::BlockDevice { .. } => "block-device",
                }
            }
        }
        .into();
        line
    }

    fn entry(self) -> Result<TreeEntry, String> {
        let path = bytes("path", (self.path, self.path_base64))?.ok_or("path is missing")?;
        let target = bytes("target", (self.target, self.target_base64))?;
        let first = bytes("first", (self.first, self.first_base64))?;
        let given = (target.is_some(), first.is_some(), self.device.is_some(), self.size.is_some());
        if !is_inside(&path) || first.as_ref().is_some_and(|first| first.is_empty() || !is_inside(first)) {
            return Err("a path leads out of its tree".to_owned());
        }
        let kind = match (&*self.kind, target, first, self.device, self.size) {
            ("file", None, None, None, Some(size)) => {
                check_extents(self.data.as_deref().unwrap_or_default(), size)?;
                EntryKind::File { size, data: self.data }
            }
            ("directory", None, None, None, None) => EntryKind::Directory,
            ("symlink", Some(target), None, None, None) => EntryKind::Symlink { target },
            ("hard-link", None, Some(first), None, None) => EntryKind::HardLink { first },
            ("fifo", None, None, None, None) => EntryKind::Special(SpecialKind::Fifo),
            ("socket", None, None, None, None) => EntryKind::Special(SpecialKind::Socket),
            ("char-device", None, None, Some((major, minor)), None) => EntryKind::Special(SpecialKind::CharDevice { major, minor }),
            ("block-device", None, None, Some((major, minor)), None) => EntryKind::Special(SpecialKind::BlockDevice { major, minor }),
            (kind, ..) => return Err(format!("kind {kind:?} does not go with (target, first, device, size) = {given:?}")),
        };
        if self.sha256.is_some() && !matches!(kind, EntryKind::File { .. }) {
            return Err("only a file has a sha256".to_owned());
        }
        let mode = u32::from_str_radix(&self.mode, 8).ok().filter(|m| *m <= 0o7777 && self.mode.len() == 4 && !self.mode.starts_with('+'));
        let mode = mode.ok_or_else(|| format!("mode {:?} is not four octal digits", self.mode))?;
        let mut xattrs = BTreeMap::new();
        for Xattr { name, name_base64, value } in self.xattrs {
            let name = bytes("name", (name, name_base64))?.ok_or("the name of an xattr is missing")?;
            let value = BASE64_STANDARD.decode(&value).map_err(|error| format!("value of an xattr: {error}"))?;
            if name.contains(&0) || xattrs.insert(name, value).is_some() {
                return Err("an xattr is given twice, or has a NUL in its name".to_owned());
            }
        }
        Ok(TreeEntry { path, kind, mode, uid: self.uid, gid: self.gid, mtime: self.mtime, xattrs, sha256: self.sha256 })
    }
}

/// Extents are in order, do not touch back, hold something and end within the file.
fn check_extents(extents: &[Extent], size: u64) -> Result<(), String> {
    let mut end = 0;
    for Extent { offset, length } in extents {
        if *offset < end || *length == 0 || offset.checked_add(*length).is_none_or(|e| e > size) {
            return Err(format!("the data at {offset}+{length} overlaps, is empty, or ends after the file"));
        }
        end = offset + length;
    }
    Ok(())
}

impl Serialize for TreeEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Line::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TreeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TreeEntry, D::Error> {
        Line::deserialize(deserializer)?.entry().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
