//! `hourglass kit unpack`

use std::path::Path;

use serde_json::json;

use super::{UnpackArgs, blocking, create::absent, root};
use crate::{
    cli::{CliError, ExitCode, Globals, Report, globals::default_state_dir},
    config,
    model::Problem,
    orchestrator::kit::{
        manifest::{CONFIG, HEADS, Manifest},
        open::Kit,
    },
    repository::record::Heads,
};

/// Unpacks one.
pub(super) async fn run(args: UnpackArgs, globals: &Globals) -> Result<Report, CliError> {
    let (to, now) = (args.to.clone(), globals.context().clock.now());
    let root = root(&args.trust_root)?;
    let manifest = blocking(move || {
        let kit = Kit::open(&args.kit, &root)?;
        kit.unpack(&args.to, || remember(&kit, &args.to))?;
        Ok(kit.manifest)
    })
    .await?;
    let problems = (manifest.expires <= now).then(|| old(&manifest)).into_iter().collect::<Vec<_>>();
    let next: String = manifest.runbooks.iter().map(|name| format!("  ./hourglass recover {name}\n")).collect();
    let text = format!("{} holds the kit of {}\n{}then, there:\n{next}", to.display(), manifest.created, absent(&manifest));
    let exit = if problems.is_empty() { ExitCode::Succeeded } else { ExitCode::Incomplete };
    Ok(Report::new(json!({"folder": to, "manifest": manifest}), text).found(exit, problems))
}

/// That nobody has made a new one in time.
pub(super) fn old(manifest: &Manifest) -> Problem {
    Problem { subject: "kit".to_owned(), what: format!("it was fresh until {}: what it knows may be old", manifest.expires) }
}

/// The heads of the kit are the least that a store has to show from now on.
fn remember(kit: &Kit, to: &Path) -> Result<(), CliError> {
    let config = config::load(&to.join(CONFIG), default_state_dir())?;
    let ours = Heads::parse(kit.read(HEADS)?, &to.join(HEADS))?;
    Ok(Heads::open(&config.state_dir.join("heads.json"))?.adopt(&ours)?)
}
