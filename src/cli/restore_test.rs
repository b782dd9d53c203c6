//! `hourglass restore-test`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    CliError, ExitCode, Globals, Report,
    output::table,
    restore::{self, Choice, Into, Wanted, find, own_target, restored_members},
    verify,
};
use crate::{
    config::Config,
    model::{Destination, MemberName, Overwrite, PolicyName, Problem, RunId},
    orchestrator::{output::Output, restore::run_restore, runs},
    repository::record::{Depth, MemberOutcome},
    restore::{
        opened::OpenedPoint,
        plan::{Request, plan},
    },
    storage,
};

/// Restore the newest good point to scratch, compare it, and enter in the record that all of it was restored
#[derive(Debug, Clone, Args)]
#[command(
    after_long_help = "Members of --into replace what the system of that source holds under the same names: it has to be scratch. All others go to a new folder \
    below --scratch, which is removed when the test is over. With --into alone, only its members are tested, and the record is told only if \
    the point has no others.\n\nNeeds an operator's key that opens the vault.\n\n\
    Exit status 3: something differs, or could not be read back to be compared. 6: damage was found.\n\n\
    Example:\n  hourglass restore-test production --scratch /var/tmp\n  hourglass restore-test production --into portal=portal-scratch"
)]
pub struct RestoreTestArgs {
    /// The policy
    pub policy: PolicyName,
    /// The source whose system takes a member
    #[arg(long, value_name = "MEMBER=SOURCE")]
    pub into: Vec<Into>,
    /// A folder with room for the members that go nowhere else
    #[arg(long, value_name = "DIR", required_unless_present = "into")]
    pub scratch: Option<PathBuf>,
    /// The location to restore from; without it, the first that has the point
    #[arg(long, value_name = "LOCATION")]
    pub from: Option<String>,
}

/// A folder of a test, removed with everything in it when the test is over.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::error!(%error, folder = %self.0.display(), "the folder of a restore test is still there");
        }
    }
}

/// Runs it.
///
/// # Errors
/// There is no good point, source or key; the run cannot begin. What differs is in the report.
pub async fn run(args: RestoreTestArgs, globals: &Globals) -> Result<Report, CliError> {
    let (config, ctx) = (globals.load_config()?, globals.context());
    let choice = Choice::Newest(args.policy.clone());
    let (repo, point, manifest) = find(&config, &Wanted { from: args.from.as_deref(), ..Wanted::new(&choice) }).await?;
    let operator = repo.operator()?;
    let opened = restore::open(&repo, point.clone(), manifest, &operator, &ctx).await?;
    let (run, started) = (RunId::new(ctx.clock.now(), runs::random()), ctx.clock.now());
    let scratch = match &args.scratch {
        Some(folder) => Some(make_scratch(folder, &run)?),
        None => None,
    };
    let members = members(&config, &opened, &args, scratch.as_ref())?;
    let (count, all) = (members.len(), opened.sealed.members.len());
    // Nothing is in a new folder, and what a scratch system holds is of the test before.
    let overwrite = if args.into.is_empty() { Overwrite::Refuse } else { Overwrite::InPlace };
    let plan = plan(&run, &opened, &Request { members, select: Vec::new(), overwrite, accepted: None })?;
    let end = run_restore(plan, restore::tools(&config, opened, &operator, storage::open(&config.control).await?), &ctx).await?;
    let seconds = ctx.clock.now().duration_since(started).as_secs_f64();
    let tested = restored_members(&end);
    let unread = tested.iter().filter(|member| member.outcome == MemberOutcome::Succeeded && !member.compared);
    let unread: Vec<Problem> = unread
        .map(|member| Problem { subject: member.name.to_string(), what: "it was loaded, and cannot be read back to be compared".to_owned() })
        .collect();
    let damaged = end.steps.iter().any(|(_, _, output)| *output == Output::Damaged);
    let passed = end.outcome.is_success() && unread.is_empty() && tested.len() == count;
    let recorded = if passed && count == all { Some(verify::restored::record(&repo, &operator, point.clone()).await) } else { None };
    let mut text = match passed {
        true => format!("{} was restored and found equal to what was saved, in {seconds:.1} s\n", point.id),
        false => format!("{} did NOT pass the restore test\n", point.id),
    };
    let rows: Vec<Vec<String>> = tested.iter().map(|member| vec![member.name.to_string(), format!("{:?}", member.outcome).to_lowercase()]).collect();
    text += &table(&["member", "restored"], &rows);
    match &recorded {
        Some(Ok((lineage, number))) => text += &format!("recorded as entry {} of {lineage}\n", number.0),
        Some(Err(why)) => text += &format!("this was not entered in the record: {}\n", why.message),
        None if passed => text += &format!("not entered in the record: {count} of {all} members were tested; --scratch takes the others\n"),
        None => {}
    }
    let unrecorded = recorded.as_ref().and_then(|recorded| recorded.as_ref().err()).map(|why| why.message.clone());
    let entry = recorded.and_then(Result::ok).map(|(_, number)| number);
    let data = json!({"point": point.id, "depth": Depth::Restored, "run": end.run, "members": tested, "of": all, "seconds": seconds, "entry": entry});
    let mut report = Report::new(data, text).ended(end.outcome);
    if !unread.is_empty() {
        report = report.found(ExitCode::Incomplete, unread);
    }
    if let Some(what) = unrecorded {
        report = report.found(ExitCode::Incomplete, vec![Problem { subject: "record".to_owned(), what }]);
    }
    Ok(if damaged { report.found(ExitCode::Damaged, Vec::new()) } else { report })
}

fn make_scratch(folder: &std::path::Path, run: &RunId) -> Result<Scratch, CliError> {
    let path = std::path::absolute(folder).map_err(|error| CliError::file("finding", folder, &error))?.join(format!("hourglass-test-{run}"));
    std::fs::create_dir(&path).map_err(|error| CliError::file("creating", &path, &error))?;
    Ok(Scratch(path))
}

/// The members that are tested, and where each goes.
fn members(
    config: &Config,
    point: &OpenedPoint,
    args: &RestoreTestArgs,
    scratch: Option<&Scratch>,
) -> Result<Vec<(MemberName, Destination)>, CliError> {
    let mut members = Vec::new();
    for into in &args.into {
        let Some(member) = &into.member else {
            return Err(CliError::usage(format!("--into {} does not say of which member", into.source)).hint("write --into MEMBER=SOURCE"));
        };
        point.member(member)?;
        if *member == into.source {
            let own = format!("--into {member}={member}: the test would replace what {member} was captured from");
            return Err(CliError::usage(own).hint("name another source, whose system is scratch"));
        }
        members.push((member.clone(), own_target(config, &into.source)?));
    }
    let left = point.sealed.members.iter().map(|member| &member.name).filter(|name| !args.into.iter().any(|into| into.member.as_ref() == Some(name)));
    members.extend(
        scratch.into_iter().flat_map(|Scratch(folder)| left.clone().map(|name| (name.clone(), Destination::Directory(folder.join(name.as_str()))))),
    );
    Ok(members)
}
