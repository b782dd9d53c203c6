//! What exists against what policies cover, as the binary says it. Guides of databases and clusters ask it of their real servers.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{docs::run, site::Site};

/// States by `SOURCE/KIND/NAME`, as said in a home whose command ends with this status.
pub fn states(home: &Path, status: i32) -> BTreeMap<String, String> {
    let said = run(home, &format!("hourglass coverage --output json || test $? = {status}"));
    states_of(&serde_json::from_str(&said).unwrap(), status)
}

fn states_of(answer: &serde_json::Value, status: i32) -> BTreeMap<String, String> {
    assert_eq!(answer["exit_code"].as_i64(), Some(status.into()), "{answer}");
    let text = |thing: &serde_json::Value, key: &str| thing[key].as_str().unwrap().to_owned();
    let things = answer["data"]["things"].as_array().unwrap().iter();
    things.map(|thing| (format!("{}/{}/{}", text(thing, "source"), text(thing, "kind"), text(thing, "name")), text(thing, "state"))).collect()
}

#[test]
fn what_is_left_out_needs_a_reason_and_what_nobody_can_tell_is_not_covered() {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    fs::create_dir(site.path("tree")).unwrap();
    let tree = site.path("tree").display().to_string();
    site.configure(&format!(
        "sources:\n  tree: {{ files: {{ path: {tree:?}, exclude: [cache] }} }}\n  dump: {{ command: {{ dump: [echo], load: [cat] }} }}\n"
    ));
    site.configure(&format!("  gone: {{ files: {{ path: {tree:?} }} }}\npolicies:\n  p: {{ members: {{ tree: required, dump: required }} }}\n"));
    let ask = |status| states_of(&serde_json::from_str(&site.run(&["coverage", "--output", "json"], status)).unwrap(), status);
    let states = ask(3);
    let of = |what: &str| states[what].as_str();
    assert_eq!(of(&format!("tree/path/{tree}")), "covered");
    assert_eq!((of("tree/path/cache"), of("dump/unknown/*"), of(&format!("gone/path/{tree}"))), ("uncovered", "unknown", "uncovered"));
    site.configure("excluded:\n  tree/path/cache: it is made anew\n  dump/unknown: one program knows its data\n  \"gone/*\": nobody needs it\n");
    assert!(ask(0).values().all(|state| state == "covered" || state == "excluded"));
    let text = site.run(&["coverage", "--all"], 0);
    assert!(text.contains("1 covered, 3 excluded, 0 uncovered, 0 unknown") && text.contains("it is made anew"), "{text}");
    // A system that does not answer is unknown, whatever was known before.
    fs::remove_dir(site.path("tree")).unwrap();
    assert_eq!(ask(3)["tree/unknown/*"], "unknown");
    site.configure("  \"treee/*\": x\n");
    assert!(site.run(&["coverage"], 2).contains("of a source that there is"));
}
