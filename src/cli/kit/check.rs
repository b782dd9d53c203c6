//! `hourglass kit check`

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    CheckArgs, blocking,
    create::{LOCATION_PATIENCE, absent},
    folder, root,
    unpack::old,
};
use crate::{
    cli::{CliError, ExitCode, Globals, Report, globals::default_state_dir, repo::Repo},
    config::{self, Config},
    model::{PolicyName, Problem},
    orchestrator::{
        kit::{
            KitError,
            manifest::{CONFIG, HEADS, PROGRAM},
            open::Kit,
        },
        runbook,
    },
    pipeline::Sha256Hasher,
    repository::{catalog::Catalog, layout},
};

/// Looks at one.
pub(super) async fn run(args: CheckArgs, globals: &Globals) -> Result<Report, CliError> {
    let ours = if globals.config.is_some() || globals.config_path().is_ok() { Some(globals.load_config()?) } else { None };
    let root = match (&args.trust_root, ours.as_ref().and_then(|config| config.trust_root.as_ref())) {
        (Some(text), _) | (None, Some(text)) => root(text)?,
        (None, None) => return Err(CliError::usage("there is no configuration, so --trust-root has to say under which root the kit is believed")),
    };
    let path = args.kit.clone();
    let kit = blocking(move || Ok(Kit::open(&path, &root)?)).await?;
    let mut problems: Vec<Problem> = (kit.manifest.expires <= globals.context().clock.now()).then(|| old(&kit.manifest)).into_iter().collect();
    let say = |subject: &str, what: String| Problem { subject: subject.to_owned(), what };
    if kit.manifest.version != env!("CARGO_PKG_VERSION") {
        problems.push(say(PROGRAM, format!("it is of version {}, and this one of {}", kit.manifest.version, env!("CARGO_PKG_VERSION"))));
    }
    let folder = ours.as_ref().map_or_else(|| PathBuf::from("."), folder);
    if ours.is_some() {
        problems.extend(changed(&kit, &folder)?);
    }
    let (config, policies) = inside(&kit, &folder, ours.as_ref(), &mut problems)?;
    let mut found = Vec::new();
    if let (Some(config), false) = (&config, args.offline) {
        for name in config.locations.keys() {
            let late = |_| Err(CliError::new(ExitCode::Failed, "timeout", format!("no answer in {} s", LOCATION_PATIENCE.as_secs())));
            match tokio::time::timeout(LOCATION_PATIENCE, points(config, name, &policies, &kit)).await.unwrap_or_else(late) {
                Ok((points, stale)) => {
                    found.extend(points);
                    problems.extend(stale);
                }
                Err(error) => problems.push(say(&format!("location {name}"), format!("it cannot be read: {}", error.message))),
            }
        }
        for policy in policies.iter().filter(|policy| !found.iter().any(|(of, _)| of == *policy)) {
            problems.push(say(policy.as_str(), "no location shows a good recovery point of it".to_owned()));
        }
    }
    let mut text = format!("{} was made {}, and is fresh until {}\n", args.kit.display(), kit.manifest.created, kit.manifest.expires);
    text += &found.iter().map(|(policy, point)| format!("the newest good point of {policy}: {point}\n")).collect::<String>();
    text += &absent(&kit.manifest);
    text += if problems.is_empty() { "nothing is missing or old\n" } else { "" };
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    let points: Vec<_> = found.iter().map(|(policy, point)| json!({"policy": policy, "point": point})).collect();
    Ok(Report::new(json!({"kit": args.kit, "manifest": kit.manifest, "points": points}), text).found(exit, problems))
}

/// What lies beside the configuration and is not what was packed any more.
fn changed(kit: &Kit, folder: &Path) -> Result<Vec<Problem>, CliError> {
    let own = |name: &str| [HEADS, PROGRAM].contains(&name) || name.starts_with(layout::TRUST_PREFIX) || kit.manifest.image.as_deref() == Some(name);
    let mut changed = Vec::new();
    for file in kit.manifest.files.iter().filter(|file| !own(&file.name)) {
        let path = folder.join(&file.name);
        let what = match digest(&path) {
            Ok(digest) if digest == file.sha256 => continue,
            Ok(_) => "it changed since the kit was made",
            // A runbook may lie elsewhere.
            Err(_) if kit.manifest.runbooks.contains(&file.name) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it is not here any more",
            Err(error) => return Err(CliError::file("reading", &path, &error)),
        };
        changed.push(Problem { subject: file.name.clone(), what: what.to_owned() });
    }
    Ok(changed)
}

fn digest(path: &Path) -> io::Result<crate::model::Sha256> {
    let (mut hasher, mut buffer) = (Sha256Hasher::new(), vec![0; 1 << 18]);
    let mut file = File::open(path)?;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The configuration and the policies of the runbooks in a kit, and what is wrong with them.
fn inside(kit: &Kit, folder: &Path, ours: Option<&Config>, problems: &mut Vec<Problem>) -> Result<(Option<Config>, BTreeSet<PolicyName>), CliError> {
    let text = |name: &str| kit.read(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    // Names in it are relative to where it is looked at; what was seen so far is remembered where our own configuration says.
    let state = ours.map_or_else(default_state_dir, |config| config.state_dir.clone());
    let config = match config::parse(&text(CONFIG)?, &folder.join(CONFIG), state.clone()) {
        Ok(config) => Some(Config { state_dir: state, ..config }),
        Err(wrong) => {
            problems.extend(wrong.iter().map(|p| Problem { subject: format!("{CONFIG}:{}:{}", p.line, p.column), what: p.sentence() }));
            None
        }
    };
    let mut policies = BTreeSet::new();
    for name in &kit.manifest.runbooks {
        let finding = |finding: &runbook::Finding| {
            let at = &finding.problem;
            Problem { subject: format!("{name}:{}:{}", at.line, at.column), what: at.sentence() }
        };
        match runbook::read(&text(name)?, config.as_ref()) {
            Ok((book, _)) => drop(policies.insert(book.policy)),
            Err(findings) => problems.extend(findings.iter().map(finding)),
        }
    }
    Ok((config, policies))
}

/// Points of the policies that a location can restore, and what it knows that the kit does not.
async fn points(
    config: &Config,
    location: &str,
    policies: &BTreeSet<PolicyName>,
    kit: &Kit,
) -> Result<(Vec<(PolicyName, String)>, Vec<Problem>), CliError> {
    let repo = Repo::at(config.clone(), location).await?;
    if repo.id != kit.manifest.repository {
        return Err(KitError::Forged(format!("the location {location} holds another repository")).into());
    }
    let numbers = [repo.trusts.as_ref(), &kit.trust].map(|trust| trust.head().map_or(0, |head| head.number));
    let newer = (numbers[0] > numbers[1]).then(|| Problem {
        subject: "trust".to_owned(),
        what: format!("the location {location} has number {}, and the kit ends at {}", numbers[0], numbers[1]),
    });
    let mut found = Vec::new();
    for lineage in repo.all_lineages().await?.into_iter().filter(|lineage| policies.contains(&lineage.policy)) {
        let (record, _) = repo.record_as_stored(&lineage).await?;
        let catalog = Catalog::new(&record, &[]);
        found.extend(catalog.latest().map(|point| (lineage.policy.clone(), format!("{} at {location}", point.name.id))));
    }
    Ok((found, newer.into_iter().collect()))
}
