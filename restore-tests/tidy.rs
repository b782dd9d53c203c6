//! The shape of the code: the direction of dependencies and the size of files.

use std::{fs, path::Path};

const LAYERS: [(&str, u8); 11] = [
    ("cli", 7),
    ("daemon", 6),
    ("orchestrator", 5),
    ("backup", 4),
    ("restore", 4),
    ("repository", 3),
    ("pipeline", 2),
    ("sources", 2),
    ("storage", 2),
    ("config", 1),
    ("model", 0),
];

fn rank(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

fn files(root: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    files(&root.join("src"), &mut found);
    for (name, _) in &mut found {
        *name = name.strip_prefix(&format!("{}/src/", root.display())).unwrap().to_owned();
    }
    assert!(found.len() > 20, "the walk found too little: {found:?}");
    found
}

/// Modules that a text names after `crate::`, groups in braces included.
fn named_modules(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(rest, |inner| inner);
        let end =
            if rest.starts_with('{') { list.find('}').unwrap_or(list.len()) } else { list.find([':', ';', ',', '}', ' ']).unwrap_or(list.len()) };
        let heads = list[..end].split(',').map(|part| part.trim().split("::").next().unwrap_or("").to_owned());
        names.extend(heads.filter(|head| rank(head).is_some()));
    }
    names
}

#[test]
fn modules_depend_downwards_only() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let Some((own, _)) = name.split_once('/') else { continue };
        let own_rank = rank(own).unwrap_or_else(|| panic!("{own} is not a layer"));
        for used in named_modules(&text) {
            if used != own && rank(&used).unwrap() >= own_rank {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_have_one_noun() {
    let mut too_long = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > 400 {
            println!("{name} has {lines} lines: is there a missing noun?");
        }
        if lines > 600 {
            too_long.push(name);
        }
    }
    assert!(too_long.is_empty(), "above 600 lines: {too_long:?}");
}

#[test]
fn functions_fit_a_screen() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let trimmed = line.trim_start();
            let is_fn = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(crate) fn ", "pub(super) fn "].iter().any(|p| trimmed.starts_with(p));
            if is_fn && open.is_none() && !line.trim_end().ends_with(['}', ';']) {
                open = Some((number, indent, trimmed.to_owned()));
            } else if let Some((start, at, what)) = &open
                && indent == *at
                && trimmed.starts_with('}')
            {
                if number - start > 70 {
                    wrong.push(format!("{name}: {what} has {} lines", number - start));
                }
                open = None;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
