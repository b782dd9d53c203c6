//! Wrong command lines by name, each with its words and its exit status.

use super::{Home, snapshot};

/// Name and arguments.
const LINES: &[(&str, &[&str])] = &[
    ("no command", &[]),
    ("unknown command", &["backupp"]),
    ("unknown option", &["config", "check", "--confg", "x"]),
    ("group without command", &["config"]),
    ("option without value", &["--output"]),
    ("unknown output", &["--output", "yaml", "config", "schema"]),
    ("unknown colour", &["--color", "pink", "config", "schema"]),
    ("unknown shell", &["completions", "cmd"]),
    ("unknown example", &["config", "example", "gcs"]),
    ("unknown manual page", &["man", "points", "lst"]),
    ("manual page and folder", &["man", "config", "--dir", "x"]),
    ("bad log filter", &["--log", "hourglass=loud", "config", "schema"]),
    ("point in the wrong form", &["points", "show", "production:42"]),
    ("hold without a reason", &["points", "hold", "production@we/1:42", "--by", "A"]),
    ("site in capitals", &["init", "--directory", "x", "--site", "West"]),
    ("site without a directory", &["init", "--site", "west"]),
    ("init without configuration", &["init"]),
    ("policy in the wrong form", &["expire", "Production!"]),
    ("vault in the wrong form", &["keys", "unlock", "--vault", "xyz", "--to", "f"]),
    ("signer without a role", &["keys", "signer", "new", "--to", "f"]),
    ("signer of an unknown role", &["keys", "signer", "new", "--role", "admin", "--to", "f"]),
    ("signer added without the root", &["keys", "signer", "add", "f.pub"]),
    ("revocation without a reason", &["keys", "signer", "revoke", "berta", "--root", "root.key"]),
    (
        "last accepted entry without a number",
        &["keys", "signer", "revoke", "b", "--root", "r", "--reason", "x", "--last-accepted", "production@we/1"],
    ),
    ("last accepted entry is a word", &["keys", "signer", "revoke", "b", "--root", "r", "--reason", "x", "--last-accepted", "a@b/1:last"]),
    ("entry number is a word", &["record", "show", "daily", "--number", "last"]),
    ("configuration missing", &["config", "check"]),
    ("configuration named and missing", &["config", "check", "--config", "nowhere.yaml"]),
    ("configuration is a folder", &["config", "check", "--config", "."]),
];

#[test]
fn every_bad_command_line_is_refused_in_clear_words() {
    let mut all = String::new();
    for (name, arguments) in LINES {
        let shown = Home::new().show(arguments);
        assert!(shown.ends_with("exit status 2\n"), "{name}: {shown}");
        all += &format!("# {name}\n{shown}\n");
    }
    snapshot("bad_commands", &all);
}
