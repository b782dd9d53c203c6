//! The part of `hourglass copy` that brings snapshot repositories of search clusters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CliError, copy::stopped, output::table};
use crate::{
    backup::{
        BackupError,
        mirror::{Mirror, Mirrored, standing_rules},
    },
    config::{AnalyticsConfig, Config, SourceConfig, StoreConfig},
    model::{Context, Event, Lineage, MemberName, Outcome, Problem, StepId, outcome::advise, step_id},
};

/// What became of the mirrors.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    /// For people; empty when there are none.
    pub text: String,
    /// For programs.
    pub data: Vec<Value>,
    /// Mirrors that are not as their repositories are.
    pub problems: Vec<Problem>,
}

/// Fills the mirrors that members of these lineages have at a location. One that cannot be filled is a problem, and the others go on.
///
/// # Errors
/// When it is stopped.
pub(super) async fn fill_mirrors(config: &Config, lineages: &[&Lineage], location: &str, ctx: &Context) -> Result<Mirrors, CliError> {
    let (mut mirrors, mut rows) = (Mirrors::default(), Vec::new());
    for Way { member, analytics, from, to } in ways(config, lineages, location) {
        let step = step_id(&["mirror", member.as_str()]);
        let what = format!("bring the repository {} of {member} to its mirror for {location}", analytics.repository);
        ctx.observer.event(&Event::StepStarted { step: step.clone(), what });
        let filled = fill(analytics, (from, to), step.clone(), ctx).await;
        let problem = |error: &BackupError| Problem { subject: format!("mirror of {member}"), what: advise(error, error.hint()) };
        let outcome = match &filled {
            Ok(_) => Outcome::Succeeded,
            Err(error) => Outcome::Failed { problem: problem(error) },
        };
        ctx.observer.event(&Event::StepEnded { step, outcome });
        match filled {
            Err(_) if ctx.cancel.is_draining() => return Err(stopped()),
            Err(error) => mirrors.problems.push(problem(&error)),
            Ok(filled) => {
                rows.push(row(member, &filled));
                mirrors.data.push(json!({"member": member, "mirror": filled}));
            }
        }
    }
    if !rows.is_empty() {
        mirrors.text = table(&["MIRROR OF", "COPIED", "SIZE", "THERE ALREADY", "SIZE", "SNAPSHOTS"], &rows);
    }
    Ok(mirrors)
}

/// A repository and where its objects go.
struct Way<'a> {
    member: &'a MemberName,
    analytics: &'a AnalyticsConfig,
    from: &'a StoreConfig,
    to: &'a StoreConfig,
}

/// Those of this site's members among these lineages whose repositories have a mirror at the location.
fn ways<'a>(config: &'a Config, lineages: &[&Lineage], location: &str) -> Vec<Way<'a>> {
    let ours = lineages.iter().filter(|lineage| lineage.site == config.site);
    let policies = ours.filter_map(|lineage| config.policies.get(&lineage.policy));
    let members: BTreeSet<&MemberName> = policies.flat_map(|policy| policy.members.keys()).collect();
    let way = |member| {
        let Some(SourceConfig::Analytics(analytics)) = config.sources.get(member) else { return None };
        Some(Way { member, analytics, from: analytics.objects.as_ref()?, to: analytics.mirrors.get(location)? })
    };
    members.into_iter().filter_map(way).collect()
}

async fn fill(analytics: &AnalyticsConfig, (from, to): (&StoreConfig, &StoreConfig), step: StepId, ctx: &Context) -> Result<Mirrored, BackupError> {
    for rule in standing_rules(to).await {
        ctx.observer.event(&Event::Note { text: format!("{}: {}", rule.subject, rule.what) });
    }
    Mirror::open(analytics, from, to, step).await?.fill(ctx).await
}

fn row(member: &MemberName, filled: &Mirrored) -> Vec<String> {
    let Mirrored { copied, skipped, snapshots, .. } = filled;
    vec![
        member.to_string(),
        copied.objects.to_string(),
        copied.bytes.to_string(),
        skipped.objects.to_string(),
        skipped.bytes.to_string(),
        snapshots.to_string(),
    ]
}
