//! `hourglass kit create`

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use super::{CreateArgs, blocking};
use crate::{
    cli::{CliError, ExitCode, Globals, Report, repo::Repo, runbook},
    config::{Config, PRIMARY},
    model::Problem,
    orchestrator::kit::{
        contents::{Contents, Sources, gather},
        manifest::{FORMAT, IMAGE, Manifest, Place},
        open::Kit,
        pack::pack,
    },
    repository::{
        keys::{IdentityFile, PublicKey, SigningKey},
        record::Heads,
    },
};

/// Longest wait for a location that may be gone.
pub(super) const LOCATION_PATIENCE: Duration = Duration::from_secs(60);

/// Makes one.
pub(super) async fn run(args: CreateArgs, globals: &Globals) -> Result<Report, CliError> {
    let path = globals.config_path()?;
    let text = fs::read_to_string(&path).map_err(|error| CliError::file("reading", &path, &error))?;
    let repo = Repo::open(globals, PRIMARY).await?;
    let key = signing_key(&repo, args.root_key.as_deref())?;
    let (mut runbooks, mut problems) = (Vec::new(), Vec::new());
    for path in &args.runbooks {
        let (book, warnings) = runbook::load(path, Some(&repo.config))?;
        problems.extend(warnings);
        runbooks.push((path.clone(), runbook::text(path)?, book));
    }
    problems.extend(look_at_heads(&repo).await?);
    let (now, config) = (globals.context().clock.now(), repo.config.clone());
    let urls: Vec<String> = config.locations.values().map(|place| place.url.to_string()).collect();
    let program = match args.program {
        Some(program) => program,
        None => std::env::current_exe().map_err(|error| CliError::file("finding", Path::new("this program"), &error))?,
    };
    let expires = now.checked_add(args.valid).map_err(|_| CliError::usage("--valid is too long"))?;
    let draft = Manifest {
        format: FORMAT,
        repository: repo.id.clone(),
        trust_root: repo.trusts.root().clone(),
        signer: key.public().clone(),
        created: now,
        expires,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: config.site.clone(),
        runbooks: Vec::new(),
        image: args.image.as_ref().map(|_| IMAGE.to_owned()),
        locations: config.locations.iter().map(|(name, place)| Place { name: name.clone(), url: place.url.to_string() }).collect(),
        absent: Vec::new(),
        files: Vec::new(),
    };
    let heads = Heads::open(&config.state_dir.join("heads.json"))?.to_bytes(&urls);
    let trust = repo.trusts.exported(&*repo.store).await?;
    let to = args.to.clone();
    let (manifest, missing) = blocking(move || {
        let base = super::folder(&config);
        let sources = Sources { base: &base, config: &text, runbooks: &runbooks, include: &args.include, image: args.image, program, trust, heads };
        let Contents { files, runbooks, absent, missing } = gather(&sources)?;
        let made = pack(Manifest { runbooks, absent, ..draft }, &files, &key, &to)?;
        // What cannot be opened is no kit.
        Kit::open(&to, &made.trust_root)?;
        Ok((made, missing))
    })
    .await?;
    problems.extend(missing);
    Ok(report(&args.to, &manifest, problems))
}

fn signing_key(repo: &Repo, root: Option<&Path>) -> Result<SigningKey, CliError> {
    let Some(path) = root else { return Ok(repo.operator()?.signing_key) };
    let file = IdentityFile::open_root(path)?;
    match file.signing_key.public() == repo.trusts.root() {
        true => Ok(file.signing_key),
        false => Err(CliError::usage(format!("{} is not the root of this repository", path.display()))),
    }
}

/// Reads every record in every location, so that the kit knows the newest heads. Says which location did not answer.
async fn look_at_heads(repo: &Repo) -> Result<Vec<Problem>, CliError> {
    let mut silent = Vec::new();
    for name in repo.config.locations.keys() {
        let looking = heads_at(repo.config.clone(), name);
        let late = |_| Err(CliError::new(ExitCode::Failed, "timeout", format!("no answer in {} s", LOCATION_PATIENCE.as_secs())));
        match tokio::time::timeout(LOCATION_PATIENCE, looking).await.unwrap_or_else(late) {
            Ok(()) => {}
            Err(error) if error.exit == ExitCode::Damaged || name == PRIMARY => return Err(error),
            Err(error) => {
                silent.push(Problem { subject: format!("location {name}"), what: format!("its newest heads are not in the kit: {}", error.message) });
            }
        }
    }
    Ok(silent)
}

async fn heads_at(config: Config, name: &str) -> Result<(), CliError> {
    let repo = Repo::at(config, name).await?;
    for lineage in repo.all_lineages().await? {
        repo.record(&lineage).await?;
    }
    Ok(())
}

fn report(to: &Path, manifest: &Manifest, problems: Vec<Problem>) -> Report {
    let bytes: u64 = manifest.files.iter().map(|file| file.size).sum();
    let root: &PublicKey = &manifest.trust_root;
    let mut text = format!(
        "{} holds {} files, {} of them runbooks, {}; it is fresh until {}\n",
        to.display(),
        manifest.files.len(),
        manifest.runbooks.len(),
        crate::model::ByteCount(bytes),
        manifest.expires
    );
    text += &absent(manifest);
    text += &format!("write down the trust root, apart from the kit: {root}\n");
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    Report::new(json!({"kit": to, "manifest": manifest}), text).found(exit, problems)
}

/// What a person has to bring.
pub(super) fn absent(manifest: &Manifest) -> String {
    let lines = manifest.absent.iter().map(|absent| format!("  {}: {}\n", absent.path, absent.why));
    if manifest.absent.is_empty() { String::new() } else { format!("bring by another way:\n{}", lines.collect::<String>()) }
}
