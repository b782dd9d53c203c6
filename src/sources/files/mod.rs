//! Directory trees: walked in canonical order, read, written and compared.

mod apply;
mod attributes;
mod beneath;
mod compare;
mod excludes;
mod listing;
mod problems;
mod read;
mod share;
mod walk;
mod write;

use std::{path::PathBuf, sync::Arc};

pub use compare::{Comparison, Extras, compare};
pub use read::{Content, Stability};
pub use share::{FirstName, Share, ShareLinks, cut};
pub use walk::{FilesOptions, Seen, Skipped, Tree, Walk, Walked};
pub use write::{FileSlot, TreeWriter, Written};

use super::{
    Capture, Component, Existing, Opening, Shape, Sink, Source, SourceError, Target,
    existing::{
        Capture::{Captured, Left},
        Thing, ThingKind,
    },
};
use crate::model::Context;
pub use crate::model::Overwrite;

/// A directory as a source with one component.
#[derive(Debug, Clone)]
pub struct FilesSource {
    /// What to read.
    pub options: FilesOptions,
    /// The share of it, where other workers read the others.
    pub share: Option<Arc<Share>>,
}

impl FilesSource {
    /// The name of its only component.
    pub const COMPONENT: &'static str = "tree";
}

impl Source for FilesSource {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn existing(&self, _ctx: &Context) -> Result<Existing, SourceError> {
        Tree::open(&self.options)?;
        let left = self.options.excludes.iter().map(|pattern| (pattern.clone(), Left("it is in exclude".to_owned())));
        let all = std::iter::once((self.options.root.display().to_string(), Captured)).chain(left);
        Ok(Existing { things: all.map(|(name, capture)| Thing { kind: ThingKind::Path, name, capture }).collect(), untold: Vec::new() })
    }

    fn open(&self, _opening: &Opening, _ctx: &Context) -> Result<Vec<Component>, SourceError> {
        Tree::open(&self.options)?;
        Ok(vec![Component::single(FilesSource::COMPONENT, Shape::Tree)])
    }

    fn capture(&self, _component: &Component, _ctx: &Context) -> Result<Capture, SourceError> {
        Ok(Capture::Tree(Tree::open(&self.options)?.within(self.share.clone())))
    }

    fn sink(&self, _component: &Component, target: &Target, _ctx: &Context) -> Result<Sink, SourceError> {
        let (path, overwrite): (PathBuf, Overwrite) = match target {
            Target::Directory { path, overwrite } => (path.clone(), *overwrite),
            Target::System(_) => return Err(SourceError::WrongTarget { kind: "files", target: "to where it came from without naming it" }),
        };
        Ok(Sink::Tree(TreeWriter::create(&path, overwrite)?))
    }
}

#[cfg(test)]
mod tests;
