//! Writers that are paused while a point is made: the commands run in order, always in pairs, and a pause has an end.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::site::Site;

/// A site whose two dumps write down when they run, as the commands of the pause do.
fn site(dump: &str, pause: &str) -> Site {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    let told = |what: &str, then: &str| format!("[sh, -c, {:?}]", format!("echo {what} >> {}; {then}", site.path("told").display()));
    let dump = |name| format!("  {name}: {{ command: {{ dump: {}, load: [cat] }} }}\n", told("dump", dump));
    site.configure(&format!("sources:\n{}{}", dump("one"), dump("two")));
    let (command, resume) = (told("pause", "true"), told("resume", "true"));
    site.configure("policies:\n  p:\n    members: { one: required, two: required }\n");
    site.configure(&format!("    pause: {{ command: {command}, resume: {resume}, {pause} }}\n"));
    site.run(&["keys", "prove"], 0);
    site
}

fn told(site: &Site) -> Vec<String> {
    fs::read_to_string(site.path("told")).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn writers_are_paused_until_everything_is_captured_or_until_all_is_open() {
    let held = site("echo data", "timeout: 2m");
    held.run(&["backup", "p"], 0);
    assert_eq!(told(&held), ["pause", "dump", "dump", "resume"]);
    let opened = site("echo data", "until: opened");
    opened.run(&["backup", "p"], 0);
    assert_eq!(told(&opened), ["pause", "resume", "dump", "dump"]);
}

#[test]
fn writers_go_on_when_the_capture_fails_and_when_the_pause_itself_does() {
    let failing = site("false", "timeout: 2m");
    failing.run(&["backup", "p"], 1);
    assert_eq!(told(&failing).last().unwrap(), "resume");
    let broken = site("echo data", "timeout: 2m");
    let config = fs::read_to_string(broken.path("hourglass.yaml")).unwrap();
    fs::write(broken.path("hourglass.yaml"), config.replacen("; true", "; exit 9", 1)).unwrap();
    let said = broken.run(&["backup", "p"], 1);
    assert!(said.contains("cannot pause writers") && said.contains("status 9"), "{said}");
    assert_eq!(told(&broken), ["pause", "resume"], "nothing is captured");
}

#[test]
fn a_pause_that_lasts_too_long_ends_and_the_point_is_incomplete() {
    let slow = site("echo data; sleep 4", "timeout: 1s");
    let said = slow.run(&["backup", "p"], 3);
    assert!(said.contains("writers went on after 1 s"), "{said}");
    assert_eq!(told(&slow).iter().filter(|line| *line == "resume").count(), 1);
}

#[test]
fn writers_that_a_killed_backup_left_paused_go_on_with_the_next_one() {
    let site = site("echo data; test -e go || sleep 60", "timeout: 2m");
    let mut backup = site.command(&["backup", "p"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !told(&site).contains(&"dump".to_owned()) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was dumped");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&backup), Signal::KILL).unwrap();
    backup.wait().unwrap();
    assert_eq!(told(&site)[0], "pause");
    assert!(!told(&site).contains(&"resume".to_owned()));
    fs::write(site.path("told"), "").unwrap();
    fs::write(site.path("go"), "").unwrap();
    site.run(&["backup", "p"], 0);
    assert_eq!(told(&site), ["resume", "pause", "dump", "dump", "resume"]);
}
