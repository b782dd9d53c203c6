//! The documentation: its commands exist, its links lead somewhere, and the README's walk-through works as written.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::lab::require;

const BINARY: &str = env!("CARGO_BIN_EXE_hourglass");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every page below `docs/`, by path relative to the root.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut folders = vec![root().join("docs")];
    let mut files = vec![root().join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 20, "the walk found too little: {files:?}");
    files.into_iter().map(|path| (path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(path).unwrap())).collect()
}

/// Fenced blocks, each with its language.
pub fn blocks(page: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), None);
    for line in page.lines() {
        match (line.trim().strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// The words of a shell command up to whatever the shell does with its output; quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (letter, quote) {
            (_, Some(end)) if letter == end => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(letter),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            ('|' | '>' | '&' | ';' | '#', None) => break,
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_in_the_documentation_is_one_that_the_binary_knows() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (page, text) in pages() {
        let shell = blocks(&text).into_iter().filter(|(language, _)| ["sh", "console"].contains(&language.as_str()));
        for (_, block) in shell {
            let joined = block.replace("\\\n", " ");
            let lines = joined.lines().map(|line| line.trim().trim_start_matches("$ "));
            for line in lines.filter(|line| line.starts_with("hourglass ")) {
                // What comes before --help is parsed first: names, options and the form of their values.
                let output = Command::new(BINARY).args(&words(line)[1..]).arg("--help").env_clear().output().unwrap();
                checked += 1;
                if !output.status.success() {
                    wrong.push(format!("{}: {line}\n{}", page.display(), String::from_utf8_lossy(&output.stderr)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 30, "only {checked} commands were found");
}

/// A whole configuration around a fragment of one.
fn configuration(fragment: &str) -> String {
    let indented: String = fragment.lines().map(|line| format!("  {line}\n")).collect();
    let mut text = match fragment.split(':').next().unwrap() {
        "primary" => format!("locations:\n{indented}"),
        "keep" => format!(
            "sources:\n  a: {{ files: {{ path: /a }} }}\npolicies:\n  p:\n    members: {{ a: required }}\n{}",
            indented.replace("  keep", "    keep")
        ),
        _ => fragment.to_owned(),
    };
    let needed = [
        ("site", "site: we\n"),
        ("locations", "locations: { primary: { url: \"file:///srv/data\" } }\n"),
        ("control", "control: { url: \"file:///srv/control\" }\n"),
        ("capture_key_file", "capture_key_file: capture.key\n"),
    ];
    for (key, line) in needed {
        if !text.lines().any(|own| own.starts_with(&format!("{key}:"))) {
            text += line;
        }
    }
    text
}

#[test]
fn every_configuration_and_policy_document_in_the_documentation_is_valid() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hourglass.yaml");
    for (page, text) in pages() {
        for (language, block) in blocks(&text) {
            if language == "json" {
                checked += 1;
                wrong.extend(serde_json::from_str::<serde_json::Value>(&block).err().map(|error| format!("{}: {error}", page.display())));
            }
            if language != "yaml" {
                continue;
            }
            checked += 1;
            fs::write(&file, configuration(&block)).unwrap();
            let output = Command::new(BINARY).args(["config", "check", "--config"]).arg(&file).env_clear().env("HOME", home.path()).output().unwrap();
            if !output.status.success() {
                wrong.push(format!("{}:\n{block}{}", page.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 5, "only {checked} blocks were found");
}

#[test]
fn every_link_within_the_documentation_leads_to_a_file() {
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            if !root().join(&page).parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The blocks of one language in a section of the README, together.
pub fn of_readme(heading: &str, language: &str) -> String {
    of_page("README.md", heading, language).concat()
}

/// The blocks of one language in a section of a page.
pub fn of_page(page: &str, heading: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap_or_else(|| panic!("{page} has no {heading}"));
    blocks(section).into_iter().filter(|(of, _)| of == language).map(|(_, text)| text).collect()
}

/// Runs a script as a reader would, who has `hourglass` on the path and a home of its own; says what was said.
pub fn run(home: &Path, script: &str) -> String {
    let binary = Path::new(BINARY).parent().unwrap().to_owned();
    let path = env::join_paths(std::iter::once(binary).chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let mut shell = Command::new("sh");
    let output = shell.args(["-euc", script]).current_dir(home).env_clear().env("HOME", home).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}");
    said
}

#[test]
fn the_walk_through_of_the_readme_works_as_written() {
    let home = tempfile::tempdir().unwrap();
    let said = run(home.path(), &of_readme("Files: from an empty directory", "sh"));
    assert!(said.contains("daily@main/1:3 is complete") && said.contains("found equal to what was saved"), "{said}");
    run(home.path(), "diff -r documents restored");
    assert!(run(home.path(), "hourglass record show daily").contains("restore"));
}

#[test]
fn the_database_of_the_readme_comes_back_after_its_rows_were_deleted() {
    let home = tempfile::tempdir().unwrap();
    let server: url::Url = require("HOURGLASS_LAB_POSTGRES").parse().unwrap();
    fs::write(home.path().join("shop.password"), require("HOURGLASS_LAB_PGPASSWORD")).unwrap();
    let psql = |database: &str, sql: &str| {
        // Words of a command can be read by everybody on the machine.
        let password = "PGPASSWORD=$(cat shop.password)";
        let place = format!("--host 127.0.0.1 --port {} --username {} --dbname {database}", server.port().unwrap(), server.username());
        run(home.path(), &format!("{password} psql --no-psqlrc --quiet --tuples-only --no-align {place} --command \"{sql}\""))
    };
    psql("postgres", "create database shop");
    psql("shop", "create table orders as select n, 'order ' || n as what from generate_series(1, 1000) n");
    let heading = "A database, through its own commands";
    let ours = format!("PGHOST: 127.0.0.1, PGPORT: \"{}\", PGUSER: {}", server.port().unwrap(), server.username());
    let sources = of_readme(heading, "yaml").replace("PGHOST: db.example.internal, PGUSER: backup", &ours);
    let (before, restore) =
        of_readme(heading, "sh").split_once("hourglass restore").map(|(a, b)| (a.to_owned(), format!("hourglass restore{b}"))).unwrap();
    run(home.path(), &format!("chmod 600 shop.password\nhourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{sources}END\n{before}"));
    psql("shop", "delete from orders where n > 10");
    run(home.path(), &restore);
    assert_eq!(psql("shop", "select count(*), max(what) from orders").trim(), "1000|order 999");
}
