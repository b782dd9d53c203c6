//! Where the members of a restore go.

use std::{collections::BTreeMap, str::FromStr};

use super::RestoreArgs;
use crate::{
    cli::CliError,
    config::{Config, SourceConfig},
    model::{Accepted, Destination, InvalidId, MemberName, Overwrite},
    restore::{opened::OpenedPoint, plan::Request},
};

/// A target of `--into`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Into {
    /// Of which member; of the one that was named when absent.
    pub member: Option<MemberName>,
    /// The source whose system takes it.
    pub source: MemberName,
}

impl FromStr for Into {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Into, InvalidId> {
        let (member, source) = match text.split_once('=') {
            Some((member, source)) => (Some(member.parse()?), source),
            None => (None, text),
        };
        Ok(Into { member, source: source.parse()? })
    }
}

/// What the configuration's source of that name stands for.
pub fn own_target(config: &Config, name: &MemberName) -> Result<Destination, CliError> {
    match config.sources.get(name) {
        Some(SourceConfig::Files(files)) => Ok(Destination::Directory(files.path.clone())),
        Some(_) => Ok(Destination::system(name.clone())),
        None => Err(CliError::usage(format!("the configuration has no source {name} to restore to")).hint("use --to DIR")),
    }
}

/// `OLD=NEW`.
pub fn renaming(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("expected OLD=NEW".to_owned()),
    }
}

/// What the arguments ask for.
///
/// # Errors
/// When they do not fit each other, the configuration or the point.
pub fn request(config: &Config, point: &OpenedPoint, args: &RestoreArgs) -> Result<Request, CliError> {
    let accepted = args.who.as_ref().map(|who| Accepted { missing: args.accept_missing.clone(), by: who.clone() });
    let select = args.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    if let Some(name) = &args.in_place {
        if args.member.as_ref() != Some(name) {
            return Err(CliError::usage("--in-place has to repeat the name of the one member that is restored")
                .hint(format!("hourglass restore {} {name} --in-place {name}", point.point.id)));
        }
        return Ok(Request { members: vec![(name.clone(), own_target(config, name)?)], select, overwrite: Overwrite::InPlace, accepted });
    }
    Ok(Request { members: members(config, point, args)?, select, overwrite: Overwrite::Refuse, accepted })
}

/// Each member with its place: the system that `--into` names, or else a folder.
fn members(config: &Config, point: &OpenedPoint, args: &RestoreArgs) -> Result<Vec<(MemberName, Destination)>, CliError> {
    let folder = match &args.to {
        Some(folder) => Some(std::path::absolute(folder).map_err(|error| CliError::file("finding", folder, &error))?),
        None => None,
    };
    let rename: BTreeMap<_, _> = args.rename.iter().cloned().collect();
    let names = args.member.as_ref().map_or_else(|| point.sealed.members.iter().map(|member| &member.name).collect(), |member| vec![member]);
    check_names(&args.into, &names, args.member.is_some())?;
    let mut members = Vec::new();
    for name in &names {
        let into = args.into.iter().find(|into| into.member.as_ref().is_none_or(|member| member == *name));
        let to = match (into, &folder) {
            (Some(into), _) => match own_target(config, &into.source)? {
                Destination::System { source, activity, .. } => Destination::System { source, rename: rename.clone(), activity },
                to @ Destination::Directory(_) => to,
            },
            (None, Some(folder)) if names.len() == 1 && args.member.is_some() => Destination::Directory(folder.clone()),
            (None, Some(folder)) => Destination::Directory(folder.join(name.as_str())),
            (None, None) => {
                return Err(CliError::usage(format!("the member {name} has no target")).hint(format!("add --into {name}=SOURCE, or --to DIR")));
            }
        };
        members.push(((*name).clone(), to));
    }
    Ok(members)
}

/// That every `--into` is for a member that is restored.
fn check_names(into: &[Into], names: &[&MemberName], one_is_named: bool) -> Result<(), CliError> {
    for into in into {
        match &into.member {
            None if !one_is_named => {
                let usage = CliError::usage(format!("--into {} does not say of which member", into.source));
                return Err(usage.hint(format!("use --into MEMBER={}", into.source)));
            }
            Some(member) if !names.contains(&member) => {
                return Err(CliError::usage(format!("--into {member}={}: the member {member} is not restored", into.source)));
            }
            _ => {}
        }
    }
    Ok(())
}
