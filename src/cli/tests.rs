use clap::{Command, CommandFactory};

use super::*;

fn walk(command: &Command, path: &str, visit: &mut dyn FnMut(&Command, &str)) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        visit(inner, &path);
        walk(inner, &path, visit);
    }
}

/// Words of a command line, with texts in double quotes kept together.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let parts =
        quoted.flat_map(|(i, part)| if i % 2 == 1 { vec![part.to_owned()] } else { part.split_ascii_whitespace().map(str::to_owned).collect() });
    parts.collect()
}

#[test]
fn the_definition_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_a_help_with_an_example_that_parses() {
    let mut seen = 0;
    let root = Cli::command();
    walk(&root, "hourglass", &mut |command, path| {
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains("Example:"), "{path} has no example");
        let about = command.get_about().unwrap_or_else(|| panic!("{path} has no help")).to_string();
        assert!(!about.ends_with('.') && about.starts_with(char::is_uppercase), "{path}: {about:?}");
        for line in help.split("Example:").nth(1).unwrap().lines().map(str::trim).filter(|line| line.starts_with("hourglass ")) {
            let line = line.split(['|', '>']).next().unwrap();
            let parsed = Cli::command().try_get_matches_from(words(line));
            assert!(parsed.is_ok(), "the example of {path} is wrong: {line}: {}", parsed.unwrap_err());
        }
        seen += 1;
    });
    assert!(seen >= 6);
}

#[test]
fn every_option_and_argument_is_explained() {
    walk(&Cli::command(), "hourglass", &mut |command, path| {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} is not explained", argument.get_id());
        }
    });
}
