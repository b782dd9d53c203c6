//! `${name}` and `${step.output}` in texts.

use serde_json::Value;

use super::{Variable, VariableKind};
use crate::{
    config::nearest,
    model::{Action, Ask, Destination, Probe},
};

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// The name between `${` and `}`.
    Name(&'a str),
}

/// The parts of a text.
///
/// # Errors
/// When a `${` has no end.
pub fn parts(mut text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut found = Vec::new();
    while let Some(at) = text.find("${") {
        if text[..at].ends_with('$') {
            found.extend([Part::Text(&text[..at - 1]), Part::Text("${")]);
            text = &text[at + 2..];
            continue;
        }
        let end = text[at..].find('}').ok_or_else(|| format!("{text:?} has a ${{ without }}; the text itself is written $${{"))?;
        found.extend([Part::Text(&text[..at]), Part::Name(&text[at + 2..at + end])]);
        text = &text[at + end + 1..];
    }
    found.push(Part::Text(text));
    Ok(found)
}

/// The text with its values.
///
/// # Errors
/// The first that `lookup` does not give.
pub fn fill(text: &str, lookup: &dyn Fn(&str) -> Result<String, String>) -> Result<String, String> {
    parts(text)?.into_iter().try_fold(String::new(), |filled, part| {
        Ok(filled
            + &match part {
                Part::Text(text) => text.to_owned(),
                Part::Name(name) => lookup(name)?,
            })
    })
}

/// An action with the values of all its texts but those of environments, which may be secret.
///
/// # Errors
/// The first value that `lookup` does not give, or a text that is not what it has to be.
pub fn fill_action(action: &Action, lookup: &dyn Fn(&str) -> Result<String, String>) -> Result<Action, String> {
    let mut tree = serde_json::to_value(action).expect("actions are plain data");
    fill_tree(&mut tree, lookup)?;
    let filled: Action = serde_json::from_value(tree).map_err(|error| error.to_string())?;
    fault(&filled).map_or(Ok(filled), Err)
}

fn fill_tree(tree: &mut Value, lookup: &dyn Fn(&str) -> Result<String, String>) -> Result<(), String> {
    match tree {
        Value::String(text) => *text = fill(text, lookup)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_tree(item, lookup))?,
        Value::Object(map) => map.iter_mut().filter(|(key, _)| *key != "env").try_for_each(|(_, value)| fill_tree(value, lookup))?,
        _ => {}
    }
    Ok(())
}

/// What is wrong with an action whose texts have their values.
fn fault(action: &Action) -> Option<String> {
    match action {
        Action::Restore { to: Destination::Directory(path), .. } if !path.is_absolute() => {
            Some(format!("{} is not an absolute path", path.display()))
        }
        Action::Probe { probe } | Action::Switch { proof: probe, .. } | Action::Fence { proof: Some(probe), .. } => probe_fault(probe),
        _ => None,
    }
}

fn probe_fault(probe: &Probe) -> Option<String> {
    match &probe.ask {
        Ask::Http { url, .. } => check(VariableKind::Url, url).err().map(|what| format!("{url:?} is not {what}")),
        Ask::Tcp(place) => {
            let good = place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && check(VariableKind::Port, port).is_ok());
            (!good).then(|| format!("{place:?} is not of the form host:port"))
        }
        Ask::Command(_) => None,
    }
}

/// Whether a text is of a kind.
fn check(kind: VariableKind, text: &str) -> Result<(), &'static str> {
    let path = std::path::Path::new(text);
    let (good, what) = match kind {
        VariableKind::Text => (!text.is_empty(), "a text"),
        VariableKind::Number => (text.parse::<i64>().is_ok(), "a whole number"),
        VariableKind::Port => (text.parse::<u16>().is_ok_and(|port| port > 0), "a port from 1 to 65535"),
        VariableKind::Url => {
            (text.parse::<url::Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()), "a URL of http or https")
        }
        VariableKind::Path => (path.is_absolute(), "an absolute path"),
        VariableKind::Folder => (path.is_absolute() && path.is_dir(), "the absolute path of a folder that is there"),
    };
    if good { Ok(()) } else { Err(what) }
}

impl Variable {
    /// Whether it may have this value.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn accepts(&self, value: &str) -> Result<(), String> {
        if !self.one_of.is_empty() && !self.one_of.iter().any(|one| one == value) {
            let words: Vec<&str> = self.one_of.iter().map(String::as_str).collect();
            let near = nearest(value, &words).map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            return Err(format!("{value:?} is not one of {}{near}", words.join(", ")));
        }
        check(self.kind, value).map_err(|what| format!("{value:?} is not {what}"))
    }
}
