//! The files that the steps of a runbook name: for whoever has to bring them along.

use super::{file::FileStep, page::parts};
use crate::config::{Document, NamedFile, names_file};

/// Files of steps, and words of commands that may be some.
#[derive(Debug, Default)]
pub struct Named {
    /// Files, by keys that say so.
    pub files: Vec<NamedFile>,
    /// Words of commands, each with the title of its section.
    pub words: Vec<(String, String)>,
}

/// What the steps of a valid runbook name.
pub fn named(text: &str) -> Named {
    let mut found = Named::default();
    for block in parts(text).map(|page| page.steps).unwrap_or_default() {
        let Ok(document) = Document::<FileStep>::read(&block.text, block.before) else { continue };
        for text in document.split().1.texts() {
            let list = text.path.len().checked_sub(2).map(|at| text.path[at].as_str());
            match names_file(&text.path) {
                Some(is_secret) => {
                    let key = format!("{}, {}", block.title, text.path.join("."));
                    found.files.push(NamedFile { key, path: text.text.to_owned(), is_secret });
                }
                None if matches!(list, Some("run" | "check" | "undo")) => found.words.push((block.title.clone(), text.text.to_owned())),
                None => {}
            }
        }
    }
    found
}
