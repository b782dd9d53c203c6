//! The files that hold secrets: root (offline), operator (a person's) and the delegates of operators, capture (the cluster's; decrypts no pack).

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{OFlags, StatVfsMountFlags, fstatfs, fstatvfs};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SigningKey;
use crate::{
    model::{Lineage, RepositoryId, Secret, SiteName},
    pipeline::{ChunkKey, VaultIdentity},
    repository::{RepositoryError, layout::FORMAT, trust::Role},
};

/// Whether a file is in memory and its mount cannot be written to, as Secrets in pods are. There Kubernetes lets others read it, so that users other than root can,
/// and nobody else is in the pod.
fn is_mounted_secret(file: &File) -> bool {
    let in_memory = fstatfs(file).is_ok_and(|system| system.f_type == TMPFS);
    in_memory && fstatvfs(file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// No identity file is larger.
const MAX_FILE: u64 = 1 << 20;
/// A file system in memory.
const TMPFS: i64 = 0x0102_1994;

/// The root: signs the trust. Kept offline.
#[derive(Debug, Clone)]
pub struct RootFile {
    /// Whose.
    pub repository: RepositoryId,
    /// Signs the trust.
    pub signing_key: SigningKey,
}

/// A person who may decide and who can read, or a delegate who may do a part of it.
#[derive(Debug, Clone)]
pub struct OperatorFile {
    /// Whose.
    pub repository: RepositoryId,
    /// As the trust names it.
    pub name: String,
    /// Which part: [`Role::Operator`] for all of it, [`Role::Expire`] or [`Role::Verify`].
    pub role: Role,
    /// Signs decisions and proofs.
    pub signing_key: SigningKey,
    /// age identities (`AGE-SECRET-KEY-1…`) that open vaults; a delegate need not have any.
    pub identities: Vec<Secret>,
}

/// What the cluster holds: it can write and not read.
#[derive(Debug, Clone)]
pub struct CaptureFile {
    /// Whose.
    pub repository: RepositoryId,
    /// As the trust names it.
    pub name: String,
    /// The only site whose lineages it may write.
    pub site: SiteName,
    /// Signs epochs, points and runs.
    pub signing_key: SigningKey,
    /// age identity that opens index and hints, and nothing else.
    pub index_identity: Secret,
    /// Master of the chunk-id keys.
    pub chunk_key: ChunkKey,
}

impl CaptureFile {
    /// The chunk-id key of one lineage: unrelated to those of all others.
    pub fn lineage_chunk_key(&self, lineage: &Lineage) -> ChunkKey {
        let master = self.chunk_key.derive("hourglass 2026-11-21 chunk-id key of a lineage");
        ChunkKey::new(master.mac(lineage.to_string().as_bytes()).0)
    }
}

/// An identity file of any kind.
#[derive(Debug, Clone)]
pub enum IdentityFile {
    /// See [`RootFile`].
    Root(RootFile),
    /// See [`OperatorFile`].
    Operator(OperatorFile),
    /// See [`CaptureFile`].
    Capture(CaptureFile),
}

impl IdentityFile {
    /// Writes a new file that its owner alone can read. Never replaces one.
    pub fn create(&self, path: &Path) -> Result<(), RepositoryError> {
        let failed = |source| RepositoryError::IdentityIo { path: path.to_owned(), source };
        let text = Zeroizing::new(serde_json::to_vec_pretty(&self.wire()).expect("the wire form has string keys"));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(failed)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Reads a file. Refuses one that others can read or write, unless a pod has it from a Secret, or that is no regular file (a link to one is followed, because clusters mount
    /// secrets so).
    pub fn open(path: &Path) -> Result<IdentityFile, RepositoryError> {
        let failed = |source| RepositoryError::IdentityIo { path: path.to_owned(), source };
        let refused = |rule| RepositoryError::IdentityRefused { path: path.to_owned(), rule };
        // Without O_NONBLOCK a FIFO would make us wait for a writer.
        let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file"));
        }
        let others = metadata.mode() & 0o077;
        if others & 0o033 != 0 || (others != 0 && !is_mounted_secret(&file)) {
            return Err(refused("others than its owner have rights to it"));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_FILE) as usize + 1));
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(failed)?;
        // Never the parser's own message: it may quote what it read.
        let wire: Wire = serde_json::from_slice(&text).map_err(|_| refused("it is not the JSON of an identity file"))?;
        IdentityFile::from_wire(&wire).map_err(refused)
    }

    /// Reads a root file.
    pub fn open_root(path: &Path) -> Result<RootFile, RepositoryError> {
        match IdentityFile::open(path)? {
            IdentityFile::Root(file) => Ok(file),
            other => Err(other.is_not("root", path)),
        }
    }

    /// Reads an operator file; that of a delegate is refused.
    pub fn open_operator(path: &Path) -> Result<OperatorFile, RepositoryError> {
        IdentityFile::open_decider(path, Role::Operator)
    }

    /// Reads the file of an operator, or of a delegate of this role.
    pub fn open_decider(path: &Path, role: Role) -> Result<OperatorFile, RepositoryError> {
        match IdentityFile::open(path)? {
            IdentityFile::Operator(file) if file.role == Role::Operator || file.role == role => Ok(file),
            other => Err(other.is_not(role.as_str(), path)),
        }
    }

    /// Reads a capture file.
    pub fn open_capture(path: &Path) -> Result<CaptureFile, RepositoryError> {
        match IdentityFile::open(path)? {
            IdentityFile::Capture(file) => Ok(file),
            other => Err(other.is_not("capture", path)),
        }
    }

    fn is_not(&self, wanted: &'static str, path: &Path) -> RepositoryError {
        RepositoryError::IdentityKind { path: path.to_owned(), found: self.wire().kind.clone(), wanted }
    }

    fn wire(&self) -> Wire {
        let empty = |kind: &str, repository: &RepositoryId, key: &SigningKey| Wire {
            format: FORMAT,
            kind: kind.to_owned(),
            repository: repository.to_string(),
            name: None,
            site: None,
            signing_key: key.secret().expose().to_owned(),
            identities: None,
            index_identity: None,
            chunk_key: None,
        };
        match self {
            IdentityFile::Root(file) => empty("root", &file.repository, &file.signing_key),
            IdentityFile::Operator(file) => {
                let mut wire = empty(file.role.as_str(), &file.repository, &file.signing_key);
                wire.name = Some(file.name.clone());
                let identities = file.identities.iter().map(|identity| identity.expose().to_owned()).collect();
                wire.identities = Some(identities).filter(|all: &Vec<String>| file.role == Role::Operator || !all.is_empty());
                wire
            }
            IdentityFile::Capture(file) => {
                let mut wire = empty("capture", &file.repository, &file.signing_key);
                wire.name = Some(file.name.clone());
                wire.site = Some(file.site.to_string());
                wire.index_identity = Some(file.index_identity.expose().to_owned());
                wire.chunk_key = Some(hex::encode(file.chunk_key.expose()));
                wire
            }
        }
    }

    fn from_wire(wire: &Wire) -> Result<IdentityFile, &'static str> {
        if wire.format != FORMAT {
            return Err("its format is not one that this version reads");
        }
        let repository = wire.repository.parse().map_err(|_| "its repository is not a repository id")?;
        let signing_key = SigningKey::parse(Secret::new(wire.signing_key.clone())).ok_or("its signing key is not one")?;
        let name = || wire.name.clone().ok_or("it has no name");
        match (wire.kind.as_str(), &wire.identities, &wire.index_identity, &wire.chunk_key, &wire.site) {
            ("root", None, None, None, None) => Ok(IdentityFile::Root(RootFile { repository, signing_key })),
            ("operator", Some(_), None, None, None) | ("verify", _, None, None, None) | ("expire", None, None, None, None) => {
                let role = [Role::Operator, Role::Verify, Role::Expire].into_iter().find(|role| role.as_str() == wire.kind);
                let identities = wire.identities.iter().flatten().map(|text| age_identity(text)).collect::<Result<_, _>>()?;
                let role = role.expect("each of these kinds is a role");
                Ok(IdentityFile::Operator(OperatorFile { repository, name: name()?, role, signing_key, identities }))
            }
            ("capture", None, Some(index), Some(chunk), Some(site)) => {
                let mut key = Zeroizing::new([0; 32]);
                hex::decode_to_slice(chunk, &mut *key).map_err(|_| "its chunk key is not 64 hex digits")?;
                let site = site.parse().map_err(|_| "its site is not a site name")?;
                let (index_identity, chunk_key) = (age_identity(index)?, ChunkKey::new(*key));
                Ok(IdentityFile::Capture(CaptureFile { repository, name: name()?, site, signing_key, index_identity, chunk_key }))
            }
            _ => Err("it is not a root, operator, expire, verify or capture file with exactly the keys of its kind"),
        }
    }
}

fn age_identity(text: &str) -> Result<Secret, &'static str> {
    let _valid: VaultIdentity = text.parse().map_err(|_| "an age identity in it is not one")?;
    Ok(Secret::new(text.to_owned()))
}

/// The file as written. Wiped when dropped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    kind: String,
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    signing_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identities: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn capture() -> CaptureFile {
        CaptureFile {
            repository: "0f".repeat(16).parse().unwrap(),
            name: "capture-we".to_owned(),
            site: "we".parse().unwrap(),
            signing_key: SigningKey::generate(),
            index_identity: Secret::new(VaultIdentity::generate().to_secret().expose().to_owned()),
            chunk_key: ChunkKey::generate(),
        }
    }

    #[test]
    fn files_read_back_are_private_and_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("capture.key"), capture());
        IdentityFile::Capture(file.clone()).create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = IdentityFile::open_capture(&path).unwrap();
        assert_eq!(again.signing_key.public(), file.signing_key.public());
        assert_eq!(again.chunk_key.expose(), file.chunk_key.expose());
        assert_eq!(again.index_identity, file.index_identity);
        assert!(matches!(IdentityFile::Capture(file).create(&path), Err(RepositoryError::IdentityIo { .. })));
        assert!(matches!(IdentityFile::open_root(&path), Err(RepositoryError::IdentityKind { wanted: "root", .. })));
    }

    #[test]
    fn files_that_others_can_read_or_that_are_no_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.key");
        IdentityFile::Capture(capture()).create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(IdentityFile::open(&path), Err(RepositoryError::IdentityRefused { .. })), "{mode:o}");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(IdentityFile::open(folder.path()), Err(RepositoryError::IdentityRefused { .. })));
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
        assert!(matches!(IdentityFile::open(&fifo), Err(RepositoryError::IdentityRefused { .. })));
    }

    #[test]
    fn a_damaged_file_is_refused_without_showing_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("a"), capture());
        IdentityFile::Capture(file.clone()).create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (from, to) in
            [("\"capture\"", "\"operator\""), ("\"format\": 1", "\"format\": 2"), ("\"name\"", "\"nom\""), ("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-2")]
        {
            assert!(text.contains(from));
            fs::write(&path, text.replace(from, to)).unwrap();
            let shown = format!("{:?}", IdentityFile::open(&path).unwrap_err());
            assert!(shown.contains("Refused") && !shown.contains("AGE-SECRET"), "{shown}");
        }
        assert!(!format!("{file:?}").contains(file.index_identity.expose()));
    }

    #[test]
    fn the_file_of_a_delegate_is_read_for_its_own_work_only() {
        let folder = tempfile::tempdir().unwrap();
        let repository: RepositoryId = "0f".repeat(16).parse().unwrap();
        let identities = vec![VaultIdentity::generate().to_secret()];
        for (role, identities) in [(Role::Operator, identities.clone()), (Role::Verify, identities), (Role::Verify, vec![]), (Role::Expire, vec![])] {
            let path = folder.path().join(format!("{}-{}", role.as_str(), identities.len()));
            let file = OperatorFile { repository: repository.clone(), name: "n".into(), role, signing_key: SigningKey::generate(), identities };
            IdentityFile::Operator(file.clone()).create(&path).unwrap();
            let again = IdentityFile::open_decider(&path, role).unwrap();
            assert_eq!((again.role, &again.identities), (role, &file.identities));
            for other in [Role::Operator, Role::Expire, Role::Verify] {
                let may = role == Role::Operator || role == other;
                assert_eq!(IdentityFile::open_decider(&path, other).is_ok(), may, "{role:?} as {other:?}");
            }
        }
    }

    #[test]
    fn lineages_have_unrelated_chunk_keys() {
        let file = capture();
        let key = |lineage: &str| *file.lineage_chunk_key(&lineage.parse().unwrap()).expose();
        assert_eq!(key("a@we/1"), key("a@we/1"));
        assert_ne!(key("a@we/1"), key("a@we/2"));
        assert_ne!(key("a@we/1"), *file.chunk_key.expose());
    }
}
