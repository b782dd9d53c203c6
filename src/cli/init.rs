//! `hourglass init`

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{CliError, ExitCode, Globals, Report, globals::default_state_dir, keys, repo::Repo};
use crate::{
    config::{self, Config, PRIMARY},
    model::{Clock, Lineage, SiteName, SystemClock},
    pipeline::VaultIdentity,
    repository::{
        ErrorKind,
        keys::{CaptureFile, IdentityFile, OperatorFile, RootFile, SigningKey, vault},
        repo::RepoFile,
        trust::{Role, Signer, TrustChain, TrustContent},
    },
    storage::{self, ObjectStore},
};

/// Make a repository: keys, trust, vault, and the proof that the vault can be opened
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "Run again, it continues what was left undone and changes nothing that is done.\n\nExample:\n  \
    hourglass init --directory /srv/hourglass\n  hourglass init --config /etc/hourglass/hourglass.yaml --keys-dir /media/usb --write")]
pub struct InitArgs {
    /// Without a configuration file: write one, for a repository in this folder
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Name of the site in a configuration that --directory makes
    #[arg(long, value_name = "NAME", default_value = "main", requires = "directory")]
    pub site: SiteName,
    /// Where to put root.key, and the other key files unless the configuration names them; default: beside the configuration
    #[arg(long, value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// Write trust_root into the configuration file rather than printing the line to add
    #[arg(long)]
    pub write: bool,
}

/// The files of secrets that init makes.
struct KeyFiles {
    root: PathBuf,
    operator: PathBuf,
    capture: PathBuf,
}

/// Makes what is missing.
///
/// # Errors
/// A store that cannot be trusted with backups; key files of another repository; a repository whose root key is not here.
pub async fn run(args: InitArgs, globals: &Globals) -> Result<Report, CliError> {
    let (path, made_config) = configuration(&args, globals)?;
    let mut config = config::load(&path, default_state_dir())?;
    let beside = path.parent().unwrap_or(Path::new("")).to_owned();
    let folder = args.keys_dir.clone().unwrap_or(beside);
    let files = KeyFiles {
        root: folder.join("root.key"),
        operator: config.operator_key_file.clone().unwrap_or_else(|| folder.join("operator.key")),
        capture: config.capture_key_file.clone(),
    };
    config.operator_key_file = Some(files.operator.clone());
    let store = storage::open(config.primary()).await?;
    if let Some(done) = already(&config, &*store).await? {
        return finish_initialised(config, done).await;
    }
    let now = SystemClock.now();
    storage::probe(&*store, storage::Role::Data { lock: config.primary().lock.is_some() }, now).await?;
    storage::probe(&*storage::open(&config.control).await?, storage::Role::Control, now).await?;
    let (root, operator, capture) = key_files(&files, &config, &*store).await?;
    let public = root.signing_key.public().clone();
    if config.trust_root.as_deref().is_some_and(|pinned| pinned != public.as_str()) {
        return Err(CliError::usage("trust_root in the configuration is not the public key of the root file")
            .hint("take the line out if this is to be a new repository"));
    }
    let repo = RepoFile::create(&*store, &root.repository, SystemClock.now()).await?;
    if repo.repository != root.repository {
        return Err(other_repository(&files.root));
    }
    first_trust(&*store, &root, &operator, &capture).await?;
    let written = write_root(&mut config, public.as_str(), made_config || args.write)?;
    let opened = Repo::at(config, PRIMARY).await?;
    let proved = keys::prove(&opened).await?;
    Ok(report(&opened, &files, &proved, written, made_config))
}

/// The configuration's place; with `--directory`, one is written when there is none.
fn configuration(args: &InitArgs, globals: &Globals) -> Result<(PathBuf, bool), CliError> {
    let path = match (globals.config_path(), &args.directory) {
        (Ok(path), None) => return Ok((path, false)),
        (Ok(path), Some(_)) if path.exists() => return Ok((path, false)),
        (Err(error), None) => {
            return Err(CliError::from(error).hint("`hourglass init --directory DIR` writes one, for a repository in a folder"));
        }
        (Ok(path), Some(_)) => path,
        (Err(_), Some(_)) => PathBuf::from("hourglass.yaml"),
    };
    let directory = args.directory.as_ref().expect("the other cases have returned");
    let directory = std::path::absolute(directory).map_err(|error| CliError::file("finding", directory, &error))?;
    for folder in ["repository", "control"].map(|name| directory.join(name)) {
        std::fs::create_dir_all(&folder).map_err(|error| CliError::file("creating", &folder, &error))?;
    }
    let key = |name: &str| args.keys_dir.as_ref().map_or(Ok(PathBuf::from(name)), |dir| std::path::absolute(dir.join(name)));
    let key = |name: &str| key(name).map_err(|error| CliError::file("finding", Path::new(name), &error));
    let text = starter(&args.site, &directory, &key("capture.key")?, &key("operator.key")?);
    let mut file = File::options().write(true).create_new(true).open(&path).map_err(|error| CliError::file("creating", &path, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| CliError::file("writing", &path, &error))?;
    Ok((path, true))
}

fn starter(site: &SiteName, directory: &Path, capture: &Path, operator: &Path) -> String {
    // A JSON text is a YAML text, whatever the path contains.
    let quoted = |path: &Path| serde_json::to_string(&path.display().to_string()).expect("a text is JSON");
    format!(
        "# Written by `hourglass init`. `hourglass config example` explains every key.\n\
         site: {site}\n\
         locations:\n  primary: {{ url: {} }}\n\
         control: {{ url: {} }}\n\
         capture_key_file: {}\n\
         operator_key_file: {}\n\
         # What to protect, for example:\n\
         # sources:\n#   documents: {{ files: {{ path: /srv/documents }} }}\n\
         # policies:\n#   daily: {{ members: {{ documents: required }}, keep: {{ daily: 14 }} }}\n",
        quoted(&directory.join("repository")),
        quoted(&directory.join("control")),
        quoted(capture),
        quoted(operator)
    )
}

/// The repository, when its trust is in force already.
async fn already(config: &Config, store: &dyn ObjectStore) -> Result<Option<RepoFile>, CliError> {
    let Some(repo) = RepoFile::load(store).await? else { return Ok(None) };
    Ok(config.trust_root.is_some().then_some(repo))
}

/// Nothing to make; a policy that came since gets its proof.
async fn finish_initialised(config: Config, repo: RepoFile) -> Result<Report, CliError> {
    let can_prove = config.operator_key_file.as_ref().is_some_and(|path| path.exists());
    let url = config.primary().url.to_string();
    let opened = Repo::at(config, PRIMARY).await?;
    let proved = if can_prove { keys::prove(&opened).await? } else { Vec::new() };
    let text = match proved.is_empty() {
        true => format!("{url} is initialised already; nothing was changed"),
        false => proved.iter().map(|lineage| format!("proved the vault for {lineage}\n")).collect(),
    };
    Ok(Report::new(json!({"repository": repo.repository, "changed": !proved.is_empty(), "proved": proved}), text))
}

fn other_repository(path: &Path) -> CliError {
    CliError::new(ExitCode::Usage, "input", format!("{} belongs to another repository", path.display()))
        .hint("choose another --keys-dir, or another store")
}

/// Opens the key files that exist and makes the others, the root first: it says which repository this is.
async fn key_files(files: &KeyFiles, config: &Config, store: &dyn ObjectStore) -> Result<(RootFile, OperatorFile, CaptureFile), CliError> {
    for folder in [&files.root, &files.operator, &files.capture].iter().filter_map(|path| path.parent()) {
        std::fs::create_dir_all(folder).map_err(|error| CliError::file("creating", folder, &error))?;
    }
    if !files.root.exists() {
        if RepoFile::load(store).await?.is_some() {
            return Err(CliError::new(
                ExitCode::Failed,
                "exists",
                format!("{} holds a repository, and its root key is not here", config.primary().url),
            )
            .hint("add its trust_root to the configuration, or give the folder of its root.key with --keys-dir"));
        }
        let repository = hex::encode(random()?).parse().expect("16 bytes in hex are a repository id");
        IdentityFile::Root(RootFile { repository, signing_key: SigningKey::generate() }).create(&files.root)?;
    }
    let root = IdentityFile::open_root(&files.root)?;
    if !files.operator.exists() {
        let identities = vec![VaultIdentity::generate().to_secret()];
        let (repository, signing_key) = (root.repository.clone(), SigningKey::generate());
        let file = OperatorFile { repository, name: "operator".to_owned(), role: Role::Operator, signing_key, identities };
        IdentityFile::Operator(file).create(&files.operator)?;
    }
    if !files.capture.exists() {
        IdentityFile::Capture(keys::capture_file(&root.repository, &config.site)).create(&files.capture)?;
    }
    let (operator, capture) = (IdentityFile::open_operator(&files.operator)?, IdentityFile::open_capture(&files.capture)?);
    if operator.repository != root.repository {
        return Err(other_repository(&files.operator));
    }
    if capture.repository != root.repository || capture.site != config.site {
        return Err(other_repository(&files.capture));
    }
    Ok((root, operator, capture))
}

fn random() -> Result<[u8; 16], CliError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| CliError::new(ExitCode::Failed, "random", format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Vault and trust number 1, unless an init before this one came so far.
async fn first_trust(store: &dyn ObjectStore, root: &RootFile, operator: &OperatorFile, capture: &CaptureFile) -> Result<(), CliError> {
    let public = root.signing_key.public().clone();
    match TrustChain::load(store, &root.repository, &public).await {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let (vault, _) = vault::create(store, &keys::recipients_of(operator)?).await?;
    let signers = vec![
        Signer { name: capture.name.clone(), role: Role::Capture, site: Some(capture.site.clone()), key: capture.signing_key.public().clone() },
        Signer { name: operator.name.clone(), role: Role::Operator, site: None, key: operator.signing_key.public().clone() },
    ];
    let content = TrustContent { repository: root.repository.clone(), written: SystemClock.now(), signers, vaults: vec![vault], revoked: Vec::new() };
    TrustChain::begin(public).append(store, &root.signing_key, content).await?;
    Ok(())
}

/// Sets `trust_root`, in the file too when `write`. False when the user has to add the line.
fn write_root(config: &mut Config, root: &str, write: bool) -> Result<bool, CliError> {
    let was_there = config.trust_root.replace(root.to_owned()).is_some();
    if was_there || !write {
        return Ok(was_there);
    }
    let path = &config.path;
    let text = std::fs::read_to_string(path).map_err(|error| CliError::file("reading", path, &error))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let replace = || {
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(format!("{}\ntrust_root: {root}\n", text.trim_end()).as_bytes())?;
        new.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
        new.as_file().sync_all()?;
        new.persist(path).map(drop).map_err(|error| error.error)
    };
    replace().map_err(|error| CliError::file("writing", path, &error))?;
    Ok(true)
}

fn report(repo: &Repo, files: &KeyFiles, proved: &[Lineage], written: bool, made_config: bool) -> Report {
    let config = &repo.config;
    let root = config.trust_root.as_deref().unwrap_or_default();
    let mut text = format!(
        "The repository {} is ready.\n\
         Move offline, then delete here:  {} (signs the trust; needed only to change keys)\n\
         Keep with the operators:         {} (reads backups and signs decisions; make a copy, without it nothing can be restored)\n\
         Give to the cluster:             {} (writes backups and reads none)\n",
        config.primary().url,
        files.root.display(),
        files.operator.display(),
        files.capture.display()
    );
    if made_config {
        text += &format!("{} was written: say there what to protect, and run `hourglass keys prove`.\n", config.path.display());
    } else if proved.is_empty() {
        text += "There is no policy yet: add one, and run `hourglass keys prove`.\n";
    }
    if !written {
        text += &format!("Add this line to {}:\ntrust_root: {root}\n", config.path.display());
    }
    let data = json!({"repository": repo.id, "trust_root": root, "changed": true, "proved": proved, "config": config.path,
        "root_key": files.root, "operator_key": files.operator, "capture_key": files.capture});
    Report::new(data, text)
}
