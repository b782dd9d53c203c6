//! Facts to plan: which members of a point are written where. Pure.

use super::{RestoreError, opened::OpenedPoint};
use crate::{
    model::{Accepted, Action, Destination, MemberName, Overwrite, Plan, RunId, Step, step_id},
    sources::Shape,
};

/// What a person asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The members to restore, and where each goes.
    pub members: Vec<(MemberName, Destination)>,
    /// Paths inside a tree, or objects of a system; all when empty. Only with one member.
    pub select: Vec<String>,
    /// Whether a target may hold something.
    pub overwrite: Overwrite,
    /// Who takes a point that lacks members.
    pub accepted: Option<Accepted>,
}

/// The plan of a restore.
///
/// # Errors
/// When the point does not have what was asked for, or paths are asked of streams that become files.
pub fn plan(run: &RunId, point: &OpenedPoint, request: &Request) -> Result<Plan, RestoreError> {
    let mut steps = Vec::new();
    for (name, to) in &request.members {
        let member = point.member(name)?;
        let has_stream = member.components.iter().any(|component| component.shape == Shape::Stream);
        let place = match to {
            Destination::Directory(_) if has_stream && !request.select.is_empty() => {
                return Err(RestoreError::Usage(format!("member {name} is a stream and has no paths to choose from")));
            }
            Destination::Directory(path) => path.display().to_string(),
            Destination::System { source, .. } if source == name => "its source".to_owned(),
            Destination::System { source, .. } => format!("the system of source {source}"),
        };
        let items: u64 = member.components.iter().map(|component| component.items).sum();
        let action = Action::Restore {
            point: point.point.id.clone(),
            member: name.clone(),
            select: request.select.clone(),
            to: to.clone(),
            overwrite: request.overwrite,
        };
        let what = format!("restore {name} ({items} items) to {place}");
        steps.push(Step { id: step_id(&["restore", name.as_str()]), needs: Vec::new(), after: Vec::new(), what, action });
    }
    Ok(Plan { run: run.clone(), what: format!("restore {}", point.point.id), steps, accepted: request.accepted.clone(), recovery: None })
}
