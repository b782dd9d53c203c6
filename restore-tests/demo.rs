//! The demonstration, run as a newcomer runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs it small, in an empty home whose temporary folder is `tmp`.
fn demo(home: &Path, arguments: &[&str]) -> Output {
    fs::create_dir_all(home.join("tmp")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_hourglass"))
        .args(["demo", "--size", "3"])
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", home.join("tmp"))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_newcomer_sees_a_region_lost_and_recovered_and_finds_only_the_report_afterwards() {
    let home = tempfile::tempdir().unwrap();
    let output = demo(home.path(), &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for word in ["EQUAL:", "(RTO)", "(RPO)", "production@we/1:4", "production@ne/1", "% was saved by sharing", "hourglass init --write"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let page = fs::read_to_string(home.path().join("hourglass-demo.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Equal") && page.ends_with("</html>\n"));
    for outside in ["http", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(outside), "the report refers to something outside: {outside}");
    }
    assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0, "the temporary folder was left");
    let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_is_kept_is_without_region_a_and_stock_tools_find_it_equal() {
    let home = tempfile::tempdir().unwrap();
    let output = demo(home.path(), &["--dir", "kept", "--output", "json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let envelope: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let facts = &envelope["data"]["facts"];
    let kept = home.path().join("kept");
    assert!(!kept.join("region-a").exists() && kept.join("hourglass-demo.html").exists());
    let sums = fs::read_to_string(kept.join("safe/before.sha256")).unwrap();
    assert_eq!(facts["equal"]["files"], sums.lines().count());
    let check = |data: &Path| {
        let mut tool = Command::new("sha256sum");
        tool.args(["--check", "--quiet"]).arg(kept.join("safe/before.sha256")).current_dir(data).output().unwrap()
    };
    let data = kept.join("region-b/data");
    assert!(check(&data).status.success());
    fs::write(data.join("kv/export.jsonl"), "{}\n").unwrap();
    assert!(!check(&data).status.success());
    let stored = |backup: &str| {
        let members = facts[backup]["members"].as_object().unwrap().values();
        members.map(|member| member["stored"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(stored("second") < stored("first"), "the second backup shared nothing: {facts}");
    // The other site's points are found by their lineage in the copy alone.
    let config = kept.join("region-b/hourglass.yaml");
    let mut restore = Command::new(env!("CARGO_BIN_EXE_hourglass"));
    restore.args(["restore", "production@we/1", "kv", "--to", "again", "--config"]).arg(config).current_dir(home.path());
    let restored = restore.output().unwrap();
    assert_eq!(restored.status.code(), Some(0), "{}", text(&restored));
    let sum = sums.lines().find(|line| line.ends_with("kv/export.jsonl")).unwrap().split(' ').next().unwrap();
    let dumped = Command::new("sha256sum").arg(home.path().join("again/dump")).output().unwrap();
    assert!(text(&dumped).starts_with(sum), "{}", text(&dumped));
}

#[test]
fn nothing_of_others_is_destroyed_or_overwritten() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("mine")).unwrap();
    fs::write(home.path().join("mine/file"), "precious").unwrap();
    let refused = demo(home.path(), &["--dir", "mine"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    let refused = demo(home.path(), &["--report", "mine/file"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert_eq!(fs::read_to_string(home.path().join("mine/file")).unwrap(), "precious");
    assert_eq!(fs::read_dir(home.path().join("mine")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
}
