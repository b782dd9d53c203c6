//! Wrong configurations by name, each with its words and its exit status.

use super::{Home, snapshot};

const GOOD: &str = "\
site: here
locations:
  primary: { url: /srv/backup }
control: { url: /srv/control }
capture_key_file: capture.key
sources:
  events: { files: { path: /srv/events } }
  portal:
    command:
      dump: [dump-it]
      load: [load-it]
policies:
  daily:
    members: { events: required, portal: optional }
    keep: { daily: 7 }
";

/// Name, a part of the good configuration, and what stands there instead.
const EDITS: &[(&str, &str, &str)] = &[
    ("site missing", "site: here\n", ""),
    ("site empty", "site: here", "site: \"\""),
    ("site null", "site: here", "site:"),
    ("site with capitals", "site: here", "site: Here"),
    ("site leaves its prefix", "site: here", "site: ../there"),
    ("site is a number", "site: here", "site: 12"),
    ("site is a list", "site: here", "site: [here]"),
    ("unknown key at the top", "site: here", "site: here\nbananas: 1"),
    ("typo at the top", "policies:", "polices:"),
    ("duplicate key", "site: here", "site: here\nsite: there"),
    ("trust root too short", "site: here", "site: here\ntrust_root: RWQabc"),
    ("trust root is a secret key's text", "site: here", "site: here\ntrust_root: AGE-SECRET-KEY-1QQQQ"),
    ("no locations", "locations:\n  primary: { url: /srv/backup }\n", ""),
    ("no primary location", "  primary:", "  first:"),
    ("primary misspelt", "  primary:", "  primry:"),
    ("location without url", "{ url: /srv/backup }", "{ region: x }"),
    ("relative store path", "url: /srv/backup", "url: backup"),
    ("unknown scheme", "url: /srv/backup", "url: ftp://host/backup"),
    ("s3 without bucket", "url: /srv/backup", "url: \"s3://\""),
    ("azure without container", "url: /srv/backup", "url: azure://account"),
    ("credentials in a store url", "url: /srv/backup", "url: \"s3://key:PLANTED@bucket\""),
    ("lock on a directory", "{ url: /srv/backup }", "{ url: /srv/backup, lock: compliance }"),
    ("unknown lock", "{ url: /srv/backup }", "{ url: s3://b, lock: complience }"),
    ("region on a directory", "{ url: /srv/backup }", "{ url: /srv/backup, region: eu-west-1 }"),
    ("azure key on s3", "{ url: /srv/backup }", "{ url: s3://b, account_key_file: k }"),
    ("both azure credentials", "{ url: /srv/backup }", "{ url: azure://a/c, account_key_file: k, sas_file: s }"),
    ("endpoint without scheme", "{ url: /srv/backup }", "{ url: s3://b, endpoint: \"localhost:9000\" }"),
    ("endpoint with a password", "{ url: /srv/backup }", "{ url: s3://b, endpoint: \"http://me:PLANTED@localhost\" }"),
    ("path style is a text", "{ url: /srv/backup }", "{ url: s3://b, path_style: yes }"),
    ("two locations are one", "primary: { url: /srv/backup }", "primary: { url: /srv/backup }\n  other: { url: /srv/backup }"),
    ("location name with a slash", "primary: { url: /srv/backup }", "primary: { url: /srv/backup }\n  \"a/b\": { url: /x }"),
    ("control is a location", "url: /srv/control", "url: /srv/backup"),
    ("control is locked", "control: { url: /srv/control }", "control: { url: s3://c, lock: governance }"),
    ("no control", "control: { url: /srv/control }\n", ""),
    ("no capture key", "capture_key_file: capture.key\n", ""),
    ("unknown consistency", "load: [load-it]", "load: [load-it]\n      consistency: snapshoot"),
    ("allow_unread is a word", "load: [load-it]", "load: [load-it]\n      allow_unread: sometimes"),
    ("source without kind", "{ files: { path: /srv/events } }", "{}"),
    ("source with two kinds", "    command:", "    files: { path: /x }\n    command:"),
    ("source of unknown kind", "{ files: { path: /srv/events } }", "{ file: { path: /srv/events } }"),
    ("source name with a dot", "  events: {", "  events.d: {"),
    ("files without path", "{ path: /srv/events }", "{ exclude: [] }"),
    ("exclude is a text", "{ path: /srv/events }", "{ path: /srv/events, exclude: tmp }"),
    ("exclude without quotes", "{ path: /srv/events }", "{ path: /srv/events, exclude: [*.tmp] }"),
    ("dump is a text", "dump: [dump-it]", "dump: dump-it --all"),
    ("dump is empty", "dump: [dump-it]", "dump: []"),
    ("dump without a program", "dump: [dump-it]", "dump: [\"\"]"),
    ("load missing", "      load: [load-it]\n", ""),
    ("argument is a number", "dump: [dump-it]", "dump: [dump-it, 5]"),
    ("env value is a number", "load: [load-it]", "load: [load-it]\n      env: { PIN: 990017 }"),
    ("env value is a map", "load: [load-it]", "load: [load-it]\n      env: { PASSWORD: { value: PLANTED } }"),
    ("env name with an equals sign", "load: [load-it]", "load: [load-it]\n      env: { \"A=B\": PLANTED }"),
    ("env given twice", "load: [load-it]", "load: [load-it]\n      env: { A: PLANTED }\n      env_files: { A: a.txt }"),
    ("env file is a list", "load: [load-it]", "load: [load-it]\n      env_files: { A: [PLANTED] }"),
    ("timeout without unit", "load: [load-it]", "load: [load-it]\n      timeout: \"90\""),
    ("timeout in words", "load: [load-it]", "load: [load-it]\n      timeout: one hour"),
    ("timeout of zero", "load: [load-it]", "load: [load-it]\n      timeout: 0s"),
    ("timeout of a century", "load: [load-it]", "load: [load-it]\n      timeout: 36500d"),
    ("policy without members", "{ events: required, portal: optional }", "{}"),
    ("member is no source", "events: required", "event: required"),
    ("member need misspelt", "events: required", "events: require"),
    ("members are a list", "{ events: required, portal: optional }", "[events, portal]"),
    ("policy name with a space", "  daily:", "  every day:"),
    ("keep nothing", "keep: { daily: 7 }", "keep: { daily: 0 }"),
    ("keep a negative number", "keep: { daily: 7 }", "keep: { daily: -1 }"),
    ("keep a fraction", "keep: { daily: 7 }", "keep: { daily: 1.5 }"),
    ("keep an unknown kind", "keep: { daily: 7 }", "keep: { dayly: 7 }"),
    ("schedule of four fields", "keep: { daily: 7 }", "schedule: \"0 2 * *\""),
    ("schedule out of range", "keep: { daily: 7 }", "schedule: \"0 24 * * *\""),
    ("schedule in words", "keep: { daily: 7 }", "schedule: \"@daily\""),
    ("time zone unknown", "keep: { daily: 7 }", "time_zone: Europe/Atlantis"),
    ("generation zero", "keep: { daily: 7 }", "generation: 0"),
    ("epoch mode unknown", "keep: { daily: 7 }", "epoch: { mode: rollin }"),
    ("epoch age without unit", "keep: { daily: 7 }", "epoch: { max_age: 30 }"),
    ("a tab as indentation", "  daily:", "\tdaily:"),
    ("a quote left open", "site: here", "site: \"here"),
    ("a bracket left open", "[dump-it]", "[dump-it"),
    ("an unknown alias", "site: here", "site: *here"),
    ("two documents", "site: here", "site: here\n---\nsite: there"),
];

#[test]
fn every_bad_configuration_is_refused_in_clear_words() {
    let home = Home::new();
    home.write("hourglass.yaml", GOOD);
    assert_eq!(home.output(&["config", "check"]).status.code(), Some(0), "{}", home.show(&["config", "check"]));
    let mut all = String::new();
    let whole = [("an empty file", ""), ("a list", "- a\n"), ("a text", "hello\n"), ("not utf-8", "")];
    let edited = EDITS.iter().map(|(name, from, to)| {
        assert!(GOOD.contains(from), "{name}: the good configuration has no {from:?}");
        (*name, GOOD.replacen(from, to, 1))
    });
    for (name, text) in edited.chain(whole.map(|(name, text)| (name, text.to_owned()))) {
        let bytes = if name == "not utf-8" { b"site: \xff\n".to_vec() } else { text.into_bytes() };
        home.write("hourglass.yaml", bytes);
        let shown = home.show(&["config", "check"]);
        assert!(shown.ends_with("exit status 2\n"), "{name}: {shown}");
        assert!(!shown.contains("PLANTED") && !shown.contains("990017"), "{name} prints a secret: {shown}");
        let shown = shown.strip_prefix("$ hourglass config check\nerror: hourglass.yaml is not a valid configuration\n").unwrap_or(&shown).to_owned();
        let shown = shown.replace("hint: `hourglass config example` explains every key\nexit status 2\n", "");
        all += &format!("# {name}\n{shown}\n");
    }
    snapshot("bad_configs", &all);
}
