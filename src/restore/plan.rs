//! Facts to plan: which components of a point are written where. Pure.

use std::path::PathBuf;

use super::{RestoreError, opened::OpenedPoint};
use crate::{
    model::{Action, MemberName, Overwrite, Plan, RunId, Step, step_id},
    sources::Shape,
};

/// Where a member goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberTarget {
    /// Into this directory.
    Directory(PathBuf),
    /// To where its source itself says: the load command, or the source's own directory.
    Source,
}

/// What a person asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The members to restore, and where each goes.
    pub members: Vec<(MemberName, MemberTarget)>,
    /// Paths inside a tree; all when empty. Only with one member.
    pub select: Vec<String>,
    /// Whether a target may hold something.
    pub overwrite: Overwrite,
}

/// The plan of a restore.
///
/// # Errors
/// When the point does not have what was asked for, or paths are asked of a stream.
pub fn plan(run: &RunId, point: &OpenedPoint, request: &Request) -> Result<Plan, RestoreError> {
    let mut steps = Vec::new();
    for (name, target) in &request.members {
        let member = point.member(name)?;
        let several = member.components.len() > 1;
        for component in &member.components {
            if component.shape == Shape::Stream && !request.select.is_empty() {
                return Err(RestoreError::Usage(format!("member {name} is a stream and has no paths to choose from")));
            }
            let directory = match target {
                MemberTarget::Directory(path) if several && component.shape == Shape::Tree => Some(path.join(&component.name)),
                MemberTarget::Directory(path) => Some(path.clone()),
                MemberTarget::Source => None,
            };
            let to = directory.as_ref().map_or_else(|| "its source".to_owned(), |path| path.display().to_string());
            let action = Action::Restore {
                point: point.point.id.clone(),
                member: name.clone(),
                component: component.name.clone(),
                select: request.select.clone(),
                directory,
                overwrite: request.overwrite,
            };
            let what = format!("restore {name}/{} ({} items) to {to}", component.name, component.items);
            steps.push(Step {
                id: step_id(&["restore", name.as_str(), &encode(&component.name)]),
                needs: Vec::new(),
                after: Vec::new(),
                what,
                action,
            });
        }
    }
    Ok(Plan { run: run.clone(), what: format!("restore {}", point.point.id), steps })
}

/// A component's name as a part of a step id: what an id cannot hold is replaced.
fn encode(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}
