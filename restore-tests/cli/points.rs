//! `points tree`, `diff` and `show`: what is in points, without restoring them.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
};

use super::Home;

const POLICY: &str = "sources:\n  d: { files: { path: data } }\n  k: { command: { dump: [cat, keys.txt], load: [cat] } }\n\
    policies:\n  daily: { members: { d: required, k: required }, keep: { daily: 3 } }\n";

fn run(home: &Home, arguments: &[&str], status: i32) -> String {
    let output = home.output(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn json(home: &Home, arguments: &[&str]) -> serde_json::Value {
    let with_format: Vec<&str> = arguments.iter().chain(&["--output", "json"]).copied().collect();
    serde_json::from_str(&run(home, &with_format, 0)).unwrap()
}

/// A home with two points, and what they are called. The second has one file more, one less, one with other content and one with other rights.
fn two_points() -> (Home, [String; 2]) {
    let home = Home::new();
    let data = home.path().join("data");
    fs::create_dir_all(data.join("sub/deep")).unwrap();
    for (name, text) in [("a", "one"), ("b", "two"), ("sub/c", "three"), ("sub-other", "four"), ("sub/deep/e", "five"), ("same", "six")] {
        fs::write(data.join(name), text).unwrap();
    }
    fs::write(data.join(OsStr::from_bytes(b"odd\xff")), "").unwrap();
    symlink("a", data.join("link")).unwrap();
    home.write("keys.txt", "k=1\n");
    run(&home, &["init", "--directory", "there"], 0);
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    let keys = format!("[cat, {}]", home.path().join("keys.txt").display());
    home.write("hourglass.yaml", config + &POLICY.replace("[cat, keys.txt]", &keys));
    run(&home, &["keys", "prove"], 0);
    let back_up = || json(&home, &["backup", "daily"])["data"]["point"].as_str().unwrap().to_owned();
    let one = back_up();
    fs::write(data.join("a"), "other").unwrap();
    fs::remove_file(data.join("b")).unwrap();
    fs::write(data.join("sub/new"), "new").unwrap();
    fs::set_permissions(data.join("sub-other"), fs::Permissions::from_mode(0o600)).unwrap();
    home.write("keys.txt", "k=2\n");
    let other = back_up();
    (home, [one, other])
}

#[test]
fn the_files_of_a_member_are_listed_in_order_with_their_attributes() {
    let (home, [one, other]) = two_points();
    let tree = run(&home, &["points", "tree", &one, "d"], 0);
    let paths: Vec<&str> = tree.lines().map(|line| line.splitn(2, "-").last().unwrap()).collect();
    assert_eq!(paths.len(), 11, "{tree}");
    assert!(tree.lines().any(|line| line.starts_with("-rw-") && line.ends_with(" sub/deep/e") && line.contains("           4 20")), "{tree}");
    assert!(tree.contains(" link -> a\n") && tree.contains(" odd\\xff\n"), "{tree}");
    let sub = run(&home, &["points", "tree", &other, "d", "/sub/"], 0);
    let names: Vec<&str> = sub.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["sub", "sub/c", "sub/deep", "sub/deep/e", "sub/new"], "a path means what lies below it, not what begins like it");
    let stream = run(&home, &["points", "tree", &one, "k"], 0);
    assert!(stream.starts_with("stream dump 4 B sha256 "), "{stream}");
    run(&home, &["points", "tree", &one, "d", "nothing"], 1);
    run(&home, &["points", "tree", &one, "nobody"], 2);
}

#[test]
fn a_tree_in_json_has_the_entries_as_they_are_stored() {
    let (home, [one, _]) = two_points();
    let envelope = json(&home, &["points", "tree", &one, "d"]);
    let entries = envelope["data"]["components"][0]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 11);
    assert!(entries.iter().any(|entry| entry["path"] == "sub/c" && entry["size"] == 5 && entry["kind"] == "file" && entry["sha256"].is_string()));
    assert!(entries.iter().any(|entry| entry["path_base64"] == "b2Rk/w=="), "{envelope}");
}

#[test]
fn a_diff_names_what_was_added_removed_and_changed_and_in_what() {
    let (home, [one, other]) = two_points();
    let diff = run(&home, &["points", "diff", &one, &other], 0);
    for line in
        ["+ d/sub/new", "- d/b", "~ d/a: content, time, 3 B -> 5 B", "~ d/sub-other: mode", "~ d/sub: time", "~ d/.: time", "~ k (dump): content"]
    {
        assert!(diff.lines().any(|said| said == line), "{line}: {diff}");
    }
    assert!(diff.ends_with("1 added, 1 removed, 5 changed, 6 the same\n"), "{diff}");
    let back = run(&home, &["points", "diff", &other, &one, "--member", "d"], 0);
    assert!(back.contains("- d/sub/new\n") && back.contains("+ d/b\n") && !back.contains("dump"), "{back}");
    assert_eq!(run(&home, &["points", "diff", &one, &one], 0), "0 added, 0 removed, 0 changed, 12 the same\n");
    let data = &json(&home, &["points", "diff", &one, &other])["data"];
    assert_eq!((&data["added"], &data["removed"], &data["changed"]), (&1.into(), &1.into(), &5.into()));
    let added = data["differences"].as_array().unwrap().iter().find(|difference| difference["change"] == "added").unwrap();
    assert_eq!((&added["member"], &added["path"], &added["size"][1]), (&"d".into(), &"sub/new".into(), &3.into()));
    run(&home, &["points", "diff", &one, &other, "--member", "nobody"], 2);
}

#[test]
fn without_the_operator_key_a_point_shows_only_what_is_public() {
    let (home, [one, newest]) = two_points();
    let shown = run(&home, &["points", "show", &one], 0);
    assert!(shown.contains("COMPONENT") && shown.contains("dump"), "{shown}");
    // A policy or a lineage stands for its newest good point.
    for name in ["daily", "daily@main/1"] {
        assert!(run(&home, &["points", "show", name], 0).starts_with(&newest), "{name}");
    }
    run(&home, &["points", "show", "nobodys"], 2);
    fs::rename(home.path().join("operator.key"), home.path().join("away.key")).unwrap();
    let shown = run(&home, &["points", "show", &one], 0);
    assert!(!shown.contains("COMPONENT") && shown.contains("MEMBER"), "{shown}");
    run(&home, &["points", "tree", &one, "d"], 2);
    run(&home, &["points", "diff", &one, &one], 2);
}

#[test]
fn a_damaged_sealed_part_is_said_and_the_rest_is_shown() {
    let (home, [one, _]) = two_points();
    let sealed = home.path().join("there/repository/daily@main/1/sealed");
    for entry in fs::read_dir(sealed).unwrap() {
        fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    assert!(run(&home, &["points", "show", &one], 6).contains("MEMBER"));
    run(&home, &["points", "tree", &one, "d"], 6);
}
