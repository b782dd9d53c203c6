//! `init` and what it makes possible: keys, proofs, the record.

use std::{fs, os::unix::fs::PermissionsExt};

use super::Home;

const POLICY: &str = "sources:\n  d: { files: { path: /srv } }\npolicies:\n  daily: { members: { d: required }, keep: { daily: 3 } }\n";

fn run(home: &Home, arguments: &[&str], status: i32) -> String {
    let output = home.output(arguments);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
    text
}

fn initialised() -> Home {
    let home = Home::new();
    run(&home, &["init", "--directory", "there"], 0);
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    home.write("hourglass.yaml", config + POLICY);
    home
}

#[test]
fn init_makes_everything_at_once_and_a_second_time_changes_nothing() {
    let home = Home::new();
    let said = run(&home, &["init", "--directory", "there"], 0);
    assert!(said.contains("Move offline") && said.contains("Give to the cluster"), "{said}");
    for name in ["root.key", "operator.key", "capture.key"] {
        let mode = fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(fs::read_to_string(home.path().join("hourglass.yaml")).unwrap().contains("\ntrust_root: RW"));
    let before = fs::read(home.path().join("hourglass.yaml")).unwrap();
    assert!(run(&home, &["init", "--directory", "there"], 0).contains("nothing was changed"));
    assert_eq!(fs::read(home.path().join("hourglass.yaml")).unwrap(), before);
}

#[test]
fn an_init_that_ended_half_way_is_continued_with_the_same_keys() {
    let home = Home::new();
    run(&home, &["init", "--directory", "there"], 0);
    let root = fs::read(home.path().join("root.key")).unwrap();
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    let pinned = config.lines().find(|line| line.starts_with("trust_root")).unwrap().to_owned();
    fs::remove_dir_all(home.path().join("there/repository/trust")).unwrap();
    fs::remove_file(home.path().join("capture.key")).unwrap();
    home.write("hourglass.yaml", config.replace(&pinned, "") + POLICY);
    let said = run(&home, &["init"], 0);
    assert!(said.contains(&pinned), "without --write the line is printed: {said}");
    assert_eq!(fs::read(home.path().join("root.key")).unwrap(), root);
    assert!(home.path().join("capture.key").exists());
}

#[test]
fn a_store_that_holds_a_repository_of_others_is_refused() {
    let home = initialised();
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    let without: String = config.lines().filter(|line| !line.starts_with("trust_root")).map(|line| format!("{line}\n")).collect();
    home.write("hourglass.yaml", without);
    let said = run(&home, &["init", "--keys-dir", "elsewhere"], 1);
    assert!(said.contains("its root key is not here"), "{said}");
}

#[test]
fn a_vault_is_proved_once_per_record_and_a_new_one_again() {
    let home = initialised();
    assert!(run(&home, &["keys", "prove"], 0).contains("daily@main/1"));
    assert!(run(&home, &["keys", "prove"], 0).contains("already"));
    run(&home, &["keys", "vault", "--root", "root.key"], 0);
    let listed = run(&home, &["keys", "list"], 0);
    assert_eq!(listed.matches("daily@main/1").count(), 2, "{listed}");
    assert_eq!(run(&home, &["record", "show", "daily"], 0).matches("can be opened").count(), 2);
    assert!(run(&home, &["record", "head", "daily"], 0).starts_with("daily@main/1 2 "));
}

#[test]
fn a_rotated_capture_key_is_named_by_the_trust_and_the_old_one_is_not() {
    let home = initialised();
    let before = run(&home, &["keys", "list"], 0);
    run(&home, &["keys", "rotate", "--root", "root.key", "--to", "new.key", "--reason", "node lost"], 0);
    let after = run(&home, &["keys", "list"], 0);
    let key = |text: &str| text.lines().find(|line| line.starts_with("capture-main")).unwrap().to_owned();
    assert_ne!(key(&before), key(&after));
    run(&home, &["keys", "rotate", "--root", "operator.key", "--to", "other.key", "--reason", "x"], 2);
}

#[test]
fn forged_entries_are_found_and_named_with_the_exit_status_of_damage() {
    let home = initialised();
    run(&home, &["keys", "prove"], 0);
    run(&home, &["record", "check"], 0);
    home.write("there/repository/daily@main/1/record/00000000000000000002.json", "{}\n");
    let said = run(&home, &["record", "check"], 6);
    assert!(said.contains("entry 2: void"), "{said}");
}

#[test]
fn a_record_that_became_shorter_is_noticed() {
    let home = initialised();
    run(&home, &["keys", "prove"], 0);
    let record = home.path().join("there/repository/daily@main/1/record");
    fs::remove_file(record.join("00000000000000000001.json")).unwrap();
    assert!(run(&home, &["record", "check"], 3).contains("behind"));
    run(&home, &["keys", "prove"], 6);
}

#[test]
fn without_points_there_is_nothing_to_list_or_to_expire() {
    let home = initialised();
    assert!(run(&home, &["points", "list"], 0).contains("no recovery points"));
    assert!(run(&home, &["expire", "daily", "--dry-run"], 0).contains("no recovery points"));
    run(&home, &["points", "show", "daily@main/1:1"], 1);
    run(&home, &["points", "hold", "daily@main/1:1", "--by", "A", "--reason", "b"], 1);
    run(&home, &["expire", "nightly"], 2);
}

#[test]
fn key_files_that_others_can_read_are_refused() {
    let home = initialised();
    fs::set_permissions(home.path().join("operator.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run(&home, &["keys", "prove"], 2).contains("chmod 600"));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let home = initialised();
    home.write("password.txt", "PLANTED-IN-A-FILE");
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    let command = "  c: { command: { dump: [x], load: [y], env: { A: PLANTED-IN-ENV }, env_files: { B: password.txt } } }\npolicies:";
    home.write("hourglass.yaml", config.replace("policies:", command));
    let keys = ["root.key", "operator.key", "capture.key"].map(|name| fs::read_to_string(home.path().join(name)).unwrap());
    let secrets: Vec<String> = keys.iter().flat_map(|text| text.split('"')).filter(|word| word.len() >= 60).map(str::to_owned).collect();
    assert!(secrets.len() >= 6, "the key files hold fewer secrets than expected");
    for arguments in [
        &["config", "check"][..],
        &["config", "check", "--output", "json"],
        &["init"],
        &["keys", "prove", "--output", "json", "--log", "trace"],
        &["keys", "list"],
        &["keys", "rotate", "--root", "root.key", "--to", "new.key", "--reason", "test", "--log", "trace"],
        &["record", "show", "daily", "--output", "json"],
        &["keys", "unlock", "--to", "vault.key", "--log", "trace"],
        &["keys", "unlock", "--to", "vault.key"],
    ] {
        let output = home.output(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("PLANTED") && !text.contains("AGE-SECRET-KEY"), "{arguments:?}: {text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{arguments:?} prints a key: {text}");
    }
}

#[test]
fn a_pinned_root_that_is_not_the_one_at_hand_is_refused_before_anything_is_stored() {
    let (home, other) = (initialised(), initialised());
    let config = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
    let pinned = |home: &Home| {
        let text = fs::read_to_string(home.path().join("hourglass.yaml")).unwrap();
        text.lines().find(|line| line.starts_with("trust_root")).unwrap().to_owned()
    };
    home.write("hourglass.yaml", config.replace(&pinned(&home), &pinned(&other)));
    let store = home.path().join("there/repository");
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    assert!(run(&home, &["init"], 2).contains("not the public key of the root file"));
    assert!(!store.join("repo.json").exists() && !store.join("trust").exists());
}
