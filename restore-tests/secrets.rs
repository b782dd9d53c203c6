//! No secret is shown: not in output, logs, journals, records or process arguments.

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::crash::{snapshot::fill, world::World};

const PLANTED: &str = "planted-Pa55w0rd-in-a-file";

/// Everything that the key files keep secret, and the planted password.
fn secrets(world: &World) -> Vec<String> {
    let mut found = vec![PLANTED.to_owned()];
    for name in ["root.key", "operator.key", "capture.key"] {
        let file: serde_json::Value = serde_json::from_slice(&fs::read(world.root.join(name)).unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        found.push(text(&file["signing_key"]));
        found.extend(file["identities"].as_array().into_iter().flatten().map(text));
        found.extend(["index_identity", "chunk_key"].iter().filter_map(|name| file.get(*name)).map(text));
    }
    assert_eq!(found.len(), 7);
    found
}

fn assert_clean(what: &str, bytes: &[u8], secrets: &[String]) {
    for secret in secrets {
        let shown = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!shown, "{what} shows a secret: {}", String::from_utf8_lossy(bytes));
    }
}

fn assert_folder_clean(folder: &Path, secrets: &[String]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_folder_clean(&path, secrets);
        } else {
            assert_clean(&path.display().to_string(), &fs::read(&path).unwrap(), secrets);
        }
    }
}

/// Looks at the arguments of all processes until told to end; gives how many looks found the dump at work.
fn watch(ended: &AtomicBool, secrets: &[String]) -> usize {
    let mut seen = 0;
    while !ended.load(Ordering::SeqCst) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            assert_clean("a process argument", &line, secrets);
            seen += usize::from(line.windows(11).any(|window| window == b"planted-job"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_found_nowhere() {
    let world = World::new();
    fill(&world.tree(), &world.dump(), 2);
    fs::write(world.root.join("password"), format!("{PLANTED}\n")).unwrap();
    let root = world.root.display().to_string();
    // The dump tells its password to standard error, as careless programs do, and proves by its content that it had it.
    let job = "echo planted-job >/dev/null; echo \"using $PASSWORD\" >&2; sleep 0.2; printf %s \"$PASSWORD\" | sha256sum; test ! -e FAIL";
    let job = job.replace("FAIL", &format!("{root}/fail"));
    let config = fs::read_to_string(world.root.join("hourglass.yaml")).unwrap();
    let (head, tail) = config.split_once("policies:\n").unwrap();
    let source = format!(
        "  secret:\n    command:\n      dump: [sh, -c, '{job}']\n      load: [sh, -c, 'echo \"loading with $PASSWORD\" >&2; cat > {root}/loaded; test ! -e {root}/fail']\n      \
         env_files: {{ PASSWORD: '{root}/password' }}\n"
    );
    let config = format!("{head}{source}policies:\n  guarded: {{ members: {{ secret: required, tree: optional }} }}\n{tail}");
    fs::write(world.root.join("hourglass.yaml"), config).unwrap();
    let secrets = secrets(&world);
    let ended = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (ended, secrets) = (Arc::clone(&ended), secrets.clone());
        move || watch(&ended, &secrets)
    });
    let run = |arguments: &[&str], status: i32| {
        let output = world.command(arguments).env("HOURGLASS_LOG", "trace").stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", String::from_utf8_lossy(&text));
        assert_clean(&format!("{arguments:?}"), &text, &secrets);
        text
    };
    run(&["keys", "prove"], 0);
    run(&["backup", "guarded", "--output", "json"], 0);
    run(&["backup", "guarded"], 0);
    run(&["restore", "guarded", "--to", "out"], 0);
    run(&["restore", "guarded", "secret", "--in-place", "secret"], 0);
    let loaded = fs::read_to_string(world.root.join("loaded")).unwrap();
    assert_eq!(loaded.split(' ').next().unwrap(), hex::encode(sha(PLANTED)), "the dump has had its password");
    fs::write(world.root.join("fail"), "").unwrap();
    let failed = run(&["backup", "guarded"], 3);
    assert!(String::from_utf8_lossy(&failed).contains("exit"), "{}", String::from_utf8_lossy(&failed));
    run(&["backup", "guarded", "--output", "json", "--member", "secret"], 1);
    run(&["restore", "guarded", "secret", "--in-place", "secret", "--output", "json"], 1);
    run(&["restore", "guarded", "--to", "out"], 1);
    run(&["runs", "list"], 0);
    run(&["record", "show", "guarded"], 0);
    run(&["keys", "list"], 0);
    run(&["config", "check"], 0);
    run(&["copy", "--to", "other"], 0);
    fs::write(world.root.join("capture.key"), fs::read(world.root.join("operator.key")).unwrap()).unwrap();
    run(&["backup", "guarded"], 2);
    ended.store(true, Ordering::SeqCst);
    assert!(watcher.join().unwrap() > 5, "the watcher has seen the dump at work");
    for folder in ["control", "repository", "other", "state"] {
        assert_folder_clean(&world.root.join(folder), &secrets);
    }
}

fn sha(text: &str) -> [u8; 32] {
    hourglass::pipeline::sha256(text.as_bytes()).0
}
