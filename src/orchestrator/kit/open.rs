//! Believes a kit only when every byte of it fits, and unpacks it so that a folder that holds its configuration holds all of it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    KitError,
    manifest::{CONFIG, MANIFEST, MANIFEST_MAX, Manifest, PackedFile, SIGNATURE, signed_as},
    pack::Hashing,
};
use crate::{
    pipeline::sha256,
    repository::{
        keys::PublicKey,
        layout,
        trust::{Role, TrustChain},
    },
};

/// Larger files are not kept in memory.
const SMALL: u64 = 1 << 20;
/// A tar archive is made of these.
const BLOCK: u64 = 512;
/// Stands in a folder while a kit is unpacked into it: the digest of the kit's manifest.
const UNFINISHED: &str = ".unpacking";

/// A kit that was read whole, and is what its maker packed.
#[derive(Debug)]
pub struct Kit {
    path: PathBuf,
    /// Of the manifest.
    bytes: Vec<u8>,
    signature: String,
    /// Its small files, by name.
    small: BTreeMap<String, Vec<u8>>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Whom it believes.
    pub trust: TrustChain,
}

impl Kit {
    /// Reads a kit and believes it under this root.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or was made by somebody else.
    pub fn open(path: &Path, root: &PublicKey) -> Result<Kit, KitError> {
        let mut archive = archive(path)?;
        let mut entries = archive.entries().map_err(damaged)?.raw(true);
        let bytes = small(entries.next(), MANIFEST)?;
        let signature = small(entries.next(), SIGNATURE)?;
        let manifest = Manifest::parse(&bytes)?;
        let signature = String::from_utf8_lossy(&signature).into_owned();
        manifest.signer.verify(&signed_as(), &bytes, &signature).map_err(|why| KitError::Forged(format!("its signature: {why}")))?;
        if manifest.trust_root != *root {
            return Err(KitError::Forged(format!("it is of the root {}, not of {root}", manifest.trust_root)));
        }
        let (size, expected) = (path.metadata().map_err(KitError::io("reading", path))?.len(), size(&bytes, &signature, &manifest));
        if size != expected {
            return Err(KitError::Damaged(format!("it has {size} bytes instead of {expected}")));
        }
        let mut kit = Kit { path: path.to_owned(), bytes, signature, manifest, trust: TrustChain::begin(root.clone()), small: BTreeMap::new() };
        let mut small = BTreeMap::new();
        kit.walk(|file, reader| {
            if file.size > SMALL {
                return io::copy(reader, &mut io::sink()).map(drop);
            }
            reader.read_to_end(small.entry(file.name.clone()).or_default()).map(drop)
        })?;
        kit.small = small;
        kit.trust = kit.chain(root)?;
        match kit.may_sign() {
            true => Ok(kit),
            false => Err(KitError::Forged(format!("its signer {} is no operator of this repository", kit.manifest.signer))),
        }
    }

    /// Whose signature it is: a person who may decide, or the root.
    fn may_sign(&self) -> bool {
        let (signer, trust) = (&self.manifest.signer, self.trust.in_force());
        let operates = trust.is_some_and(|trust| {
            let is_revoked = trust.revoked.iter().any(|revocation| revocation.key == *signer);
            trust.signers.iter().any(|known| known.key == *signer && known.role == Role::Operator) && !is_revoked
        });
        operates || signer == self.trust.root()
    }

    fn chain(&self, root: &PublicKey) -> Result<TrustChain, KitError> {
        let mut objects = Vec::new();
        while let Some(bytes) = self.small.get(layout::trust(objects.len() as u64 + 1).as_str()) {
            let signature = self.read(layout::trust_signature(sha256(bytes)).as_str())?;
            objects.push((Bytes::from(bytes.clone()), String::from_utf8_lossy(signature).into_owned()));
        }
        let untrusted = |error| KitError::Forged(format!("its trust: {error}"));
        TrustChain::of_objects(&self.manifest.repository, root, &objects).map_err(untrusted)
    }

    /// A small file of it.
    ///
    /// # Errors
    /// There is none of this name that is small.
    pub fn read(&self, name: &str) -> Result<&[u8], KitError> {
        let absent = || KitError::Damaged(format!("it has no {name} of a size that it could have"));
        self.small.get(name).map(Vec::as_slice).ok_or_else(absent)
    }

    /// Shows every file after the first two, in order, and checks what was read of it.
    fn walk(&self, mut show: impl FnMut(&PackedFile, &mut dyn Read) -> io::Result<()>) -> Result<(), KitError> {
        let mut archive = archive(&self.path)?;
        let mut entries = archive.entries().map_err(damaged)?.raw(true);
        let first = small(entries.next(), MANIFEST)?;
        let _signature = small(entries.next(), SIGNATURE)?;
        if first != self.bytes {
            return Err(KitError::Damaged("it changed while it was read".to_owned()));
        }
        for file in &self.manifest.files {
            let entry = named(entries.next(), &file.name)?;
            if entry.header().entry_size().map_err(damaged)? != file.size {
                return Err(KitError::Damaged(format!("{} has another size", file.name)));
            }
            let mut reader = Hashing::new(entry);
            show(file, &mut reader).map_err(KitError::io("unpacking", &file.name))?;
            if reader.finish() != file.sha256 {
                return Err(KitError::Damaged(format!("{} is not what was packed", file.name)));
            }
        }
        match entries.next() {
            None => Ok(()),
            Some(_) => Err(KitError::Damaged("it holds more than its manifest names".to_owned())),
        }
    }

    /// Unpacks it into a folder that is empty, or that an earlier process began to unpack the same kit into. `settle` is called when everything
    /// is there, before the folder counts as whole.
    ///
    /// # Errors
    /// The folder holds something else; a file cannot be written; the kit is damaged.
    pub fn unpack<E: From<KitError>>(&self, to: &Path, settle: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mark = to.join(UNFINISHED);
        let digest = format!("{}\n", sha256(&self.bytes));
        fs::create_dir_all(to).map_err(KitError::io("creating", to))?;
        let begun = fs::read_to_string(&mark).is_ok_and(|text| text == digest);
        let is_empty = fs::read_dir(to).map_err(KitError::io("reading", to))?.next().is_none();
        if !begun && !is_empty {
            return Err(KitError::Refused(format!("{} is not empty", to.display())).into());
        }
        write(&mark, &mut digest.as_bytes(), false).map_err(KitError::io("writing", &mark))?;
        sync(to)?;
        for (name, bytes) in [(MANIFEST, &self.bytes[..]), (SIGNATURE, self.signature.as_bytes())] {
            write(&to.join(name), &mut &*bytes, false).map_err(KitError::io("writing", to.join(name)))?;
        }
        self.walk(|file, reader| {
            let path = to.join(&file.name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // The configuration makes a folder that `recover` works in, so it comes under another name first.
            let path = if file.name == CONFIG { to.join(format!("{UNFINISHED}.{CONFIG}")) } else { path };
            write(&path, reader, file.executable)
        })?;
        let config = to.join(CONFIG);
        fs::rename(to.join(format!("{UNFINISHED}.{CONFIG}")), &config).map_err(KitError::io("writing", &config))?;
        settle()?;
        sync(to)?;
        fs::remove_file(&mark).map_err(KitError::io("removing", &mark))?;
        Ok(sync(to)?)
    }
}

/// Whether a folder is one that a kit is only half unpacked into.
pub fn is_unfinished(folder: &Path) -> bool {
    folder.join(UNFINISHED).exists()
}

fn archive(path: &Path) -> Result<tar::Archive<BufReader<File>>, KitError> {
    Ok(tar::Archive::new(BufReader::with_capacity(1 << 18, File::open(path).map_err(KitError::io("reading", path))?)))
}

fn damaged(error: io::Error) -> KitError {
    KitError::Damaged(format!("it is no archive: {error}"))
}

/// The next entry, which has to be a regular file of this name.
fn named<'a, R: Read>(entry: Option<io::Result<tar::Entry<'a, R>>>, name: &str) -> Result<tar::Entry<'a, R>, KitError> {
    let entry = entry.ok_or_else(|| KitError::Damaged(format!("it ends before {name}")))?.map_err(damaged)?;
    if entry.header().entry_type() != tar::EntryType::Regular || *entry.path_bytes() != *name.as_bytes() {
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        return Err(KitError::Damaged(format!("{found:?} stands where the file {name} should be")));
    }
    Ok(entry)
}

/// One of the first two, whole.
fn small<R: Read>(entry: Option<io::Result<tar::Entry<'_, R>>>, name: &str) -> Result<Vec<u8>, KitError> {
    let entry = named(entry, name)?;
    let size = entry.header().entry_size().map_err(damaged)?;
    if size > MANIFEST_MAX {
        return Err(KitError::Damaged(format!("{name} is too large")));
    }
    let mut bytes = Vec::new();
    entry.take(MANIFEST_MAX).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 != size {
        return Err(KitError::Damaged(format!("it ends inside {name}")));
    }
    Ok(bytes)
}

/// How long an archive of these is.
fn size(manifest: &[u8], signature: &str, of: &Manifest) -> u64 {
    let sizes = of.files.iter().map(|file| file.size).chain([manifest.len() as u64, signature.len() as u64]);
    sizes.map(|size| BLOCK + size.div_ceil(BLOCK) * BLOCK).sum::<u64>() + 2 * BLOCK
}

/// Writes a file whole and durably; a link that somebody put there meanwhile is not followed.
fn write(path: &Path, reader: &mut dyn Read, executable: bool) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    io::copy(reader, &mut file)?;
    file.flush()?;
    file.sync_all()
}

fn sync(folder: &Path) -> Result<(), KitError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(KitError::io("writing", folder))
}
