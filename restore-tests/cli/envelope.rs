//! The JSON envelope, for results and for errors.

use serde_json::Value;

use super::Home;

fn envelope(home: &Home, arguments: &[&str]) -> Value {
    let output = home.output(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["command", "data", "error", "exit_code", "format", "outcome", "problems"], "{arguments:?}");
    assert_eq!(value["exit_code"].as_i64(), output.status.code().map(i64::from), "{arguments:?}");
    value
}

#[test]
fn results_are_one_envelope() {
    let home = Home::new();
    for (arguments, command) in [
        (&["config", "schema"][..], "config schema"),
        (&["config", "example", "s3"], "config example"),
        (&["completions", "bash"], "completions"),
        (&["man"], "man"),
    ] {
        let shown = envelope(&home, &[arguments, &["--output", "json"]].concat());
        assert_eq!((shown["command"].as_str(), shown["outcome"].as_str()), (Some(command), Some("succeeded")));
        assert!(shown["error"].is_null() && !shown["data"].is_null());
    }
}

#[test]
fn errors_are_one_envelope_too() {
    let home = Home::new();
    let missing = envelope(&home, &["config", "check", "--output", "json"]);
    assert_eq!((missing["error"]["kind"].as_str(), missing["exit_code"].as_i64()), (Some("config"), Some(2)));
    assert!(missing["error"]["hint"].is_string());
    let usage = envelope(&home, &["config", "chekc", "--output=json"]);
    assert_eq!((usage["error"]["kind"].as_str(), usage["command"].as_str()), (Some("usage"), Some("config")));
    home.write("hourglass.yaml", "site: a\nbananas: 1\n");
    let wrong = envelope(&home, &["config", "check", "--output", "json"]);
    assert!(wrong["problems"].as_array().unwrap().iter().any(|problem| problem["subject"] == "hourglass.yaml:2:1"), "{wrong}");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let home = Home::new();
    assert!(home.output(&["man", "--dir", "man"]).status.success());
    let pages: Vec<String> = std::fs::read_dir(home.path().join("man")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for page in ["hourglass.1", "hourglass-config.1", "hourglass-config-check.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} is not among {pages:?}");
    }
}
