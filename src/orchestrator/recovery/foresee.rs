//! What would stop the restores of a plan, found before the first step begins: then a person has time to decide.

use std::collections::BTreeSet;

use crate::{
    config::Config,
    model::{Action, Context, Destination, Plan, Problem},
    orchestrator::runbook::values::fill_action,
    restore::{RestoreError, opened::OpenedPoint, system::objections},
    sources::{self, SystemTarget},
};

/// Looks through all that the restores of a plan read. Systems are not asked: they may not be there yet.
///
/// # Errors
/// When the point cannot be read.
pub async fn foresee(plan: &Plan, point: &OpenedPoint, config: &Config, ctx: &Context) -> Result<Vec<Problem>, RestoreError> {
    let values = plan.recovery.as_ref().map(|recovery| &recovery.variables);
    let value = |name: &str| values.and_then(|values| values.get(name).cloned()).ok_or_else(String::new);
    let mut found = BTreeSet::new();
    for step in &plan.steps {
        // What needs an output of another step is looked at when it begins.
        let Ok(Action::Restore { member, select, to: Destination::System { source, rename, activity }, overwrite, .. }) =
            fill_action(&step.action, &value)
        else {
            continue;
        };
        let Some(of) = config.sources.get(&source) else { continue };
        let target = SystemTarget { overwrite, select, rename, activity };
        let objected = objections(point, &member, sources::open(of), target, ctx).await?;
        found.extend(objected.into_iter().map(|problem| (problem.subject, problem.what)));
    }
    Ok(found.into_iter().map(|(subject, what)| Problem { subject, what }).collect())
}
