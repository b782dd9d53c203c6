//! Finds what goes into a kit: what the configuration and the runbooks name, as far as it may be brought.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    KitError,
    manifest::{Absent, CONFIG, HEADS, IMAGE, MANIFEST, PROGRAM, SIGNATURE, is_name},
    pack::{Content, Origin},
};
use crate::{
    config::{NamedFile, named_files},
    model::Problem,
    orchestrator::runbook::{Runbook, named::named},
    pipeline::sha256,
    repository::layout,
};

/// Most files that folders may add.
const FILES_MAX: usize = 10_000;

/// What a kit is made of.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Folder of the configuration: names are relative to it.
    pub base: &'a Path,
    /// The text of the configuration.
    pub config: &'a str,
    /// Runbooks: where they are, their text, and what they say.
    pub runbooks: &'a [(PathBuf, String, Runbook)],
    /// More files and folders, below `base`.
    pub include: &'a [String],
    /// The container image.
    pub image: Option<PathBuf>,
    /// The program.
    pub program: PathBuf,
    /// Trust objects with their signatures, in order.
    pub trust: Vec<(Bytes, String)>,
    /// The heads, as a file.
    pub heads: Vec<u8>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Contents {
    /// In the order of the archive.
    pub files: Vec<Content>,
    /// Names of the runbooks in the kit.
    pub runbooks: Vec<String>,
    /// What has to be brought by other ways.
    pub absent: Vec<Absent>,
    /// What should have been packed and is not.
    pub missing: Vec<Problem>,
}

/// Finds it all.
///
/// # Errors
/// The configuration is none; a folder cannot be read, or holds too much.
pub fn gather(sources: &Sources<'_>) -> Result<Contents, KitError> {
    let mut gatherer = Gatherer { base: sources.base, files: BTreeMap::new(), absent: BTreeSet::new(), missing: Vec::new() };
    let invalid = |_| KitError::Refused("the configuration is not valid".to_owned());
    let in_config = named_files(sources.config).map_err(invalid)?;
    gatherer.named(in_config, "the configuration")?;
    let mut runbooks = Vec::new();
    for (path, text, book) in sources.runbooks {
        let name = name_of(path, sources.base);
        gatherer.files.insert(name.clone(), content(&name, Origin::Bytes(text.clone().into_bytes()), false));
        book.files.iter().try_for_each(|file| gatherer.bring(file, &format!("{} (files)", book.name)))?;
        gatherer.named(named(text).files, &book.name)?;
        runbooks.push(name);
    }
    sources.include.iter().try_for_each(|file| gatherer.bring(file, "--include"))?;
    for (_, text, book) in sources.runbooks {
        named(text).words.iter().for_each(|(title, word)| gatherer.word(word, &format!("{}, {title}", book.name)));
    }
    let Gatherer { files, absent, missing, .. } = gatherer;
    let mut all = Vec::new();
    for (number, (bytes, signature)) in (1..).zip(&sources.trust) {
        all.push(content(layout::trust(number).as_str(), Origin::Bytes(bytes.to_vec()), false));
        all.push(content(layout::trust_signature(sha256(bytes)).as_str(), Origin::Bytes(signature.clone().into_bytes()), false));
    }
    all.push(content(HEADS, Origin::Bytes(sources.heads.clone()), false));
    all.extend(files.into_values());
    all.extend(sources.image.iter().map(|path| content(IMAGE, Origin::File(path.clone()), false)));
    all.push(content(PROGRAM, Origin::File(sources.program.clone()), true));
    all.push(content(CONFIG, Origin::Bytes(sources.config.as_bytes().to_vec()), false));
    Ok(Contents { files: all, runbooks, absent: absent.into_iter().collect(), missing })
}

fn content(name: &str, from: Origin, executable: bool) -> Content {
    Content { name: name.to_owned(), from, executable }
}

/// Where a runbook goes: where it is, below the configuration; else with its like.
fn name_of(path: &Path, base: &Path) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let below = whole(path).strip_prefix(whole(base)).ok().and_then(Path::to_str).map(str::to_owned).filter(|name| is_name(name));
    below.unwrap_or_else(|| format!("runbooks/{}", path.file_name().unwrap_or_default().to_string_lossy()))
}

struct Gatherer<'a> {
    base: &'a Path,
    files: BTreeMap<String, Content>,
    absent: BTreeSet<Absent>,
    missing: Vec<Problem>,
}

impl Gatherer<'_> {
    fn named(&mut self, files: Vec<NamedFile>, by: &str) -> Result<(), KitError> {
        for file in files {
            match file.is_secret {
                true => drop(self.absent.insert(Absent { path: file.path, why: format!("a secret of {by} ({})", file.key) })),
                false => self.bring(&file.path, &format!("{by} ({})", file.key))?,
            }
        }
        Ok(())
    }

    fn leave(&mut self, path: &str, by: &str, why: &str) {
        self.absent.insert(Absent { path: path.to_owned(), why: format!("{by} names it: {why}") });
        self.missing.push(Problem { subject: path.to_owned(), what: format!("{by} names it, and the kit does not bring it: {why}") });
    }

    /// Takes in a file, or everything below a folder.
    fn bring(&mut self, written: &str, by: &str) -> Result<(), KitError> {
        let name = written.strip_prefix("./").unwrap_or(written).trim_end_matches('/');
        if written.contains("${") {
            self.leave(written, by, "where it is depends on a value");
        } else if !is_name(name) {
            self.leave(written, by, "it is not below the folder of the configuration");
        } else if [MANIFEST, SIGNATURE, HEADS, PROGRAM, IMAGE, CONFIG].contains(&name) || name.starts_with(layout::TRUST_PREFIX) {
            self.leave(written, by, "a kit has something else of this name");
        } else {
            let path = self.base.join(name);
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => self.folder(name, &path, by)?,
                Ok(meta) if meta.is_file() => {
                    let executable = meta.permissions().mode() & 0o111 != 0;
                    self.files.insert(name.to_owned(), content(name, Origin::File(path), executable));
                }
                Ok(_) => self.leave(written, by, "it is no file"),
                Err(_) => self.leave(written, by, "it is not there, or cannot be read"),
            }
        }
        if self.files.len() > FILES_MAX {
            return Err(KitError::Refused(format!("{by} names folders of more than {FILES_MAX} files")));
        }
        Ok(())
    }

    fn folder(&mut self, name: &str, path: &Path, by: &str) -> Result<(), KitError> {
        let failed = || KitError::io("reading", path);
        let mut entries = fs::read_dir(path).map_err(failed())?.collect::<Result<Vec<_>, _>>().map_err(failed())?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            let is_link = entry.file_type().map_err(failed())?.is_symlink();
            match is_link && entry.path().is_dir() {
                // It may lead back.
                true => self.leave(&inner, by, "it is a link to a folder"),
                false => self.bring(&inner, by)?,
            }
        }
        Ok(())
    }

    /// A word of a command that is the name of a file.
    fn word(&mut self, word: &str, by: &str) {
        let name = word.strip_prefix("./").unwrap_or(word);
        let is_packed = self.files.contains_key(name) || name == CONFIG || self.absent.iter().any(|absent| absent.path == word);
        if is_name(name) && !is_packed && self.base.join(name).is_file() {
            self.leave(word, by, "it is not among the runbook's files");
        }
    }
}
