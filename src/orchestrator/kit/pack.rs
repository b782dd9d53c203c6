//! Writes the archive: whole and checked under its name, or not at all.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    KitError,
    manifest::{MANIFEST, Manifest, PackedFile, SIGNATURE, is_name, signed_as},
    private,
};
use crate::{model::Sha256, pipeline::Sha256Hasher, repository::keys::SigningKey};

/// Something that goes into a kit.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its name there.
    pub name: String,
    /// Where it comes from.
    pub from: Origin,
    /// Whether it is a program.
    pub executable: bool,
}

/// Where content comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Memory.
    Bytes(Vec<u8>),
    /// A file.
    File(PathBuf),
}

impl Content {
    fn open(&self) -> Result<Box<dyn Read>, KitError> {
        match &self.from {
            Origin::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            Origin::File(path) => Ok(Box::new(File::open(path).map_err(KitError::io("reading", path))?)),
        }
    }

    /// What the manifest says of it.
    ///
    /// # Errors
    /// It cannot be read, may not be called so, or holds a private key.
    fn look(&self) -> Result<PackedFile, KitError> {
        if !is_name(&self.name) {
            return Err(KitError::Refused(format!("{:?} is not a name that a kit can hold", self.name)));
        }
        // What only looks like an archive is searched as it is.
        let private = match private::search(&mut self.open()?) {
            Ok(found) => found,
            Err(_) => private::plain(self.open()?).map_err(KitError::io("reading", &self.name))?,
        };
        if let Some(what) = private {
            return Err(KitError::PrivateKey { file: self.name.clone(), what });
        }
        let mut reader = Hashing::new(self.open()?);
        let size = io::copy(&mut reader, &mut io::sink()).map_err(KitError::io("reading", &self.name))?;
        Ok(PackedFile { name: self.name.clone(), size, sha256: reader.finish(), executable: self.executable })
    }
}

/// A reader that hashes what goes through it.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Sha256Hasher,
}

impl<R: Read> Hashing<R> {
    pub fn new(inner: R) -> Hashing<R> {
        Hashing { inner, hasher: Sha256Hasher::new() }
    }

    pub fn finish(self) -> Sha256 {
        self.hasher.finish()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Writes a kit of `contents`, in their order, to a new file, and gives its manifest. `draft` is the manifest without files.
///
/// # Errors
/// A file cannot be read, changes meanwhile, or holds a private key; `to` is there already.
pub fn pack(draft: Manifest, contents: &[Content], key: &SigningKey, to: &Path) -> Result<Manifest, KitError> {
    if to.exists() {
        return Err(KitError::Refused(format!("{} is there already", to.display())));
    }
    let files = contents.iter().map(Content::look).collect::<Result<Vec<_>, _>>()?;
    let manifest = Manifest { files, signer: key.public().clone(), ..draft };
    let bytes = manifest.to_bytes();
    Manifest::parse(&bytes).map_err(|error| KitError::Refused(error.to_string()))?;
    let signature = key.sign(&signed_as(), &bytes).into_bytes();
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(KitError::io("writing into", folder))?;
    let mut archive = tar::Builder::new(io::BufWriter::new(new.as_file_mut()));
    let time = manifest.created.as_second().max(0).unsigned_abs();
    let mut put = |name: &str, size: u64, executable: bool, reader: &mut dyn Read| {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(if executable { 0o755 } else { 0o644 });
        header.set_mtime(time);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_path(name).map_err(|_| KitError::Refused(format!("the name {name} is too long for a kit")))?;
        header.set_cksum();
        archive.append(&header, reader).map_err(KitError::io("writing", to))
    };
    put(MANIFEST, bytes.len() as u64, false, &mut &bytes[..])?;
    put(SIGNATURE, signature.len() as u64, false, &mut &signature[..])?;
    for (content, file) in contents.iter().zip(&manifest.files) {
        let mut reader = Hashing::new(content.open()?.take(file.size));
        put(&file.name, file.size, file.executable, &mut reader)?;
        if reader.finish() != file.sha256 {
            return Err(KitError::Refused(format!("{} changed while it was packed", file.name)));
        }
    }
    archive.into_inner().and_then(|mut file| file.flush()).map_err(KitError::io("writing", to))?;
    let keep = || {
        new.as_file().sync_all()?;
        new.persist_noclobber(to).map(drop).map_err(|error| error.error)
    };
    keep().map_err(KitError::io("writing", to))?;
    Ok(manifest)
}
