//! Reading a configuration: text, then places, schema, types, and meaning, until something is wrong.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Config, ConfigError, ConfigProblem, check::check, file::File, resolve, tree::Node};

/// The JSON Schema of the configuration file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

/// The explained default configuration: every key with its meaning.
pub const EXAMPLE: &str = include_str!("../../config/default.yaml");

/// Reads the configuration at `path`; `state_dir` is where state lies when the file does not say.
///
/// # Errors
/// [`ConfigError::Read`], or [`ConfigError::Invalid`] with all problems of the first stage that found any.
pub fn load(path: &Path, state_dir: PathBuf) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, path, state_dir).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

/// Parses the text of a configuration that stands at `path`.
///
/// # Errors
/// All problems of the first stage that found any.
pub fn parse(text: &str, path: &Path, state_dir: PathBuf) -> Result<Config, Vec<ConfigProblem>> {
    let tree: Node = read(text)?;
    let problems = check(&tree, &schema(), holds_secret);
    if !problems.is_empty() {
        return Err(problems);
    }
    let file: File = read(text)?;
    resolve::resolve(file, &resolve::Place { path, tree: &tree, state_dir })
}

/// A part of a file that is YAML: its value, and where in the file everything stands.
#[derive(Debug)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    tree: Node,
    before: u64,
}

/// A text in a document, with the keys that lead to it.
#[derive(Debug)]
pub struct Text<'a> {
    /// Keys, and indices as text.
    pub path: Vec<String>,
    /// The text.
    pub text: &'a str,
}

impl<T: JsonSchema + DeserializeOwned> Document<T> {
    /// Reads YAML that stands `before` lines below the beginning of its file.
    ///
    /// # Errors
    /// All problems of the first stage that found any.
    pub fn read(text: &str, before: u64) -> Result<Document<T>, Vec<ConfigProblem>> {
        let moved = |problems: Vec<ConfigProblem>| problems.into_iter().map(|p| ConfigProblem { line: p.line + before, ..p }).collect::<Vec<_>>();
        let tree: Node = read(text).map_err(moved)?;
        let problems = check(&tree, &schemars::schema_for!(T).to_value(), holds_secret);
        if !problems.is_empty() {
            return Err(moved(problems));
        }
        Ok(Document { value: read(text).map_err(moved)?, tree, before })
    }
}

impl<T> Document<T> {
    /// The value, and the rest, which still knows the places.
    pub fn split(self) -> (T, Document<()>) {
        (self.value, Document { value: (), tree: self.tree, before: self.before })
    }

    /// A problem with the value at a path (keys joined by dots).
    pub fn problem(&self, path: &str, what: impl Into<String>) -> ConfigProblem {
        let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
        let (line, column) = self.tree.locate(&parts);
        ConfigProblem { line: line + self.before, column, path: path.to_owned(), what: what.into() }
    }

    /// All texts in it.
    pub fn texts(&self) -> Vec<Text<'_>> {
        let mut found = Vec::new();
        self.tree.texts(&mut Vec::new(), &mut |path, text| found.push(Text { path: path.to_vec(), text }));
        found
    }
}

/// Values of environment variables are never printed, wherever they stand by mistake.
fn holds_secret(path: &[String]) -> bool {
    path.iter().any(|part| part == "env" || part == "env_files")
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<ConfigProblem>> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location();
        let what = words(&error);
        vec![ConfigProblem { line: at.map_or(1, |at| at.line()), column: at.map_or(1, |at| at.column()), path: String::new(), what }]
    })
}

/// The parser's message, or ours where its own speaks of its interface.
fn words(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::UnknownAnchor { .. } => "a text that begins with '*' needs quotes".to_owned(),
        Error::MultipleDocuments { .. } => "a second document begins here; the file holds one".to_owned(),
        Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("the key {key:?} stands here twice"),
            None => "a key stands here twice".to_owned(),
        },
        other => {
            let message = other.render();
            let first = message.lines().next().unwrap_or("this is not YAML");
            first.rsplit_once(" at line ").map_or(first, |(what, _)| what).to_owned()
        }
    }
}
