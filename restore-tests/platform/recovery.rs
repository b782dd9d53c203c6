//! The whole road: region A works, is lost, and comes back as region B by the shipped runbook.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    client::{Load, Written, call, token},
    daemon, residue,
    sites::{BOOK_IN_KIT, Stores, kept_file, kit_of_region_b, of_region_a, of_region_b},
    world::{IMAGES, Place, make_policies, store_credentials},
};
use crate::{
    clusters::{Cluster, alone_in, eventually},
    lab::{Lock, Region, require},
    site::{Site, assert_same_tree, find, listing},
};

/// Longest wait for a region that is made on a slow machine, and for all that comes back to it.
const PATIENCE: Duration = Duration::from_secs(3000);
const MAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/restore-tests/platform/make-region");

/// What is known of region A when it is gone, all of it outside of it.
struct Lost {
    place: Place,
    /// Reachable for as long as they are held.
    _stores: Stores,
    kit: PathBuf,
    gateway: String,
    written: Vec<Written>,
    event: Timestamp,
    portal: Vec<String>,
    policies: Vec<String>,
    digests: Vec<String>,
}

/// The digests of the platform's images in a region's registry.
fn digests(place: &Place) -> Vec<String> {
    let digest = |(repository, _): &(&str, &str)| {
        let image = format!("docker://{}/apim/{repository}:1", place.registry());
        let asked = Command::new("skopeo").args(["inspect", "--tls-verify=false", "--format={{.Digest}}", &image]).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        String::from_utf8(asked.stdout).unwrap()
    };
    IMAGES.iter().map(digest).collect()
}

/// Region A under load, points that the daemon makes and copies there on schedule, a kit for region B, more load, and its end.
fn lose_region_a(b: &Place, kept: &Path) -> Lost {
    let mut region = Cluster::region_for_the_platform(Region::A);
    let a = Place { name: "a", folder: region.folder().to_owned() };
    a.prepare();
    a.install("install", &[]);
    a.fill_portal();
    let outside = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
    make_policies(outside.path());
    let stores = Stores::new();
    let we = of_region_a(&a, outside.path(), &stores);
    let (manager, gateway) = (a.service("manager"), a.service("gateway"));
    let load = Load::start(&manager, &gateway, &kept.join("written"));
    daemon::install(&a, &we, outside.path(), daemon::copies());
    daemon::judge_rights(&a, "we");
    load.goes_on(100);
    daemon::next_point(&a, &we, Timestamp::now());
    daemon::lose_leader(&a, "we");
    let last = daemon::next_point(&a, &we, Timestamp::now());
    daemon::copied(&we, &last);
    load.goes_on(50);
    let kit = kit_of_region_b(&we, &a, b, &stores, kept);
    let (portal, policies, digests) = (listing(&a.portal_files()), listing(outside.path()), digests(&a));
    region.lose_power();
    stores.lose_region_a();
    let event = Timestamp::now();
    let written = load.stop();
    Lost { place: a, _stores: stores, kit, gateway, written, event, portal, policies, digests }
}

/// Region B, as the runbook makes it. It ends with this, and with this process.
struct Made {
    place: Place,
    folder: tempfile::TempDir,
    _only: Lock,
}

impl Made {
    /// An empty folder, which says whose region it is going to be.
    fn nothing_yet() -> Made {
        let only = alone_in(Region::B);
        let folder = tempfile::Builder::new().prefix("region-").tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
        fs::write(folder.path().join("owner"), std::process::id().to_string()).unwrap();
        Made { place: Place { name: "b", folder: folder.path().to_owned() }, folder, _only: only }
    }

    /// The program that makes it, which knows what the lab has told this process.
    fn maker(&self) -> PathBuf {
        let known: String = std::env::vars()
            .filter(|(name, _)| name.starts_with("HOURGLASS_LAB_"))
            .map(|(name, value)| format!("export {name}='{value}'\n"))
            .collect();
        let path = self.place.folder.join("make");
        fs::write(&path, format!("#!/bin/sh\n{known}exec {MAKE} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let first = fs::read_to_string(self.folder.path().join("pid")).ok().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        let _gone = first.map(|first| kill_process(first, Signal::KILL));
        let link = format!("hg-{}-b", require("HOURGLASS_LAB_WAN").trim_start_matches("10.").replace('.', "-"));
        eventually(|| if Path::new("/sys/class/net").join(&link).exists() { Err("region b does not end".to_owned()) } else { Ok(()) });
    }
}

/// Runs the runbook in region B; a person decides as soon as he is asked.
fn recover(site: &Site, made: &Made, lost: &Lost, kept: &Path) -> (String, Value) {
    let before = lost.written.iter().find(|write| write.kind == "token").unwrap();
    let path = |path: &Path| path.display().to_string();
    let values = [
        ("folder", path(&made.place.folder)),
        ("make", path(&made.maker())),
        ("bin", require("HOURGLASS_LAB_KUBERNETES")),
        ("address", made.place.address()),
        ("registry", made.place.registry()),
        ("registry-password", path(&kept_file(kept, "registry.password", "of-the-new-registry"))),
        ("stores", path(&kept_file(kept, "stores", &store_credentials()))),
        ("token", path(&kept_file(kept, "token", &format!("Authorization: Bearer {}\n", before.id)))),
        ("old-gateway", lost.gateway.clone()),
        ("entry", path(&kept_file(kept, "entry", &format!("{}\n", lost.gateway)))),
    ];
    let event = lost.event.to_string();
    let mut arguments = vec!["recover", BOOK_IN_KIT, "--report", "report.html", "--event-time", &event];
    let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    values.iter().for_each(|value| arguments.extend(["--var", value]));
    let said = site.path("said");
    let mut running = site.command(&arguments).stdout(Stdio::piped()).stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
    let began = Instant::now();
    loop {
        let said = fs::read_to_string(&said).unwrap();
        if said.contains("STEP cutover ASKS") {
            break;
        }
        if said.contains("NEEDS A PERSON") || running.try_wait().unwrap().is_some() || began.elapsed() > PATIENCE {
            let _gone = running.kill();
            panic!("it does not go on: {said}");
        }
        sleep(Duration::from_millis(100));
    }
    let runs: Value = serde_json::from_str(&site.run(&["--output", "json", "runs", "list"], 0)).unwrap();
    let run = runs["data"]["runs"][0]["run"].as_str().unwrap().to_owned();
    site.run(&["runs", "approve", &run, "cutover", "--who", "Berta", "--reason", "the gateway answers"], 0);
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", fs::read_to_string(said).unwrap());
    (text, serde_json::from_str(&fs::read_to_string(site.path("report.json")).unwrap()).unwrap())
}

/// Prints what happened when, past the capture of passing tests.
fn show(text: &str, report: &Value) {
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let declared = time(&report["clocks"]["declared"]);
    let offset = |value: &Value| time(value).duration_since(declared).as_millis_f64() / 1000.0;
    let mut lines = text.to_owned();
    for bar in report["attempts"].as_array().unwrap() {
        lines += &format!("{:>6.1} s to {:>6.1} s  {}\n", offset(&bar["began"]), offset(&bar["ended"]), bar["step"].as_str().unwrap());
    }
    std::io::stderr().write_all(lines.as_bytes()).unwrap();
}

/// A member of the report.
fn member<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["members"].as_array().unwrap().iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// Compares what the client was told with what is there, and with the loss that the report names.
fn judge_writes(lost: &Lost, report: &Value, points: &Value, b: &Place) {
    let lines = |text: String| text.lines().map(|line| line.trim_matches(['(', ')', ',', '\'']).to_owned()).collect::<BTreeSet<String>>();
    // A call is acknowledged once it is in both.
    let calls = lost.written.iter().filter(|write| write.kind == "call").map(|write| &*write.id);
    let there = [
        ("token", "tokens", lines(b.cql(&["select id from apim.tokens"]))),
        ("call", "metrics", lines(b.sql("select request from apim.metrics"))),
        ("call", "events", b.events(calls)),
    ];
    for (kind, name, there) in &there {
        let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
        let saved = find(points, "members").unwrap().as_array().unwrap().iter().find(|member| member["name"] == *name).unwrap();
        let (from, to) = (time(&saved["consistent_from"]), time(&saved["consistent_to"]));
        let of_kind: Vec<&Written> = lost.written.iter().filter(|write| write.kind == *kind).collect();
        let (before, after) = (of_kind.iter().filter(|write| write.acknowledged < from), of_kind.iter().filter(|write| write.began > to));
        assert!(before.clone().count() > 10 && after.clone().count() > 5, "too little was written: {from} {to} {of_kind:?}");
        let missing: Vec<_> = before.filter(|write| !there.contains(&write.id)).collect();
        assert!(missing.is_empty(), "{name}: acknowledged before {from} and not there: {missing:?}");
        let kept: Vec<_> = after.filter(|write| there.contains(&write.id)).collect();
        assert!(kept.is_empty(), "{name}: written after {to} and there: {kept:?}");
        // What the client lost begins in the span that the point stands for, so the report may say neither more nor less.
        let first = of_kind.iter().find(|write| !there.contains(&write.id)).unwrap().acknowledged;
        let reported = member(report, name)["rpo_seconds"].as_i64().unwrap();
        assert_eq!(reported, lost.event.duration_since(from).as_secs(), "{name}");
        assert!(lost.event.duration_since(first).as_secs() <= reported, "{name}: the client lost more than {reported} s: {first}");
    }
}

#[test]
fn a_lost_region_comes_back_whole_in_another_one_by_the_shipped_runbook() {
    let kept = tempfile::tempdir_in(require("HOURGLASS_LAB_DIR")).unwrap();
    let made = Made::nothing_yet();
    let lost = lose_region_a(&made.place, kept.path());
    assert!(!lost.place.folder.exists(), "all of region A is gone");
    let ne = of_region_b(&lost.kit, kept.path());
    ne.run(&["runbook", "lint", BOOK_IN_KIT], 0);
    let (text, report) = recover(&ne, &made, &lost, kept.path());
    show(&text, &report);
    let b = &made.place;
    let point = report["point"].as_str().unwrap();
    assert!(report["outcome"] == "succeeded" && point.starts_with("production@we/1:"), "{report}");
    for name in ["tokens", "metrics", "events", "cluster", "images", "portal-files", "policies"] {
        member(&report, name);
    }
    assert!(report["members"].as_array().unwrap().iter().all(|member| member["equal"] == true), "{report}");
    let points: Value = serde_json::from_str(&ne.run(&["--output", "json", "points", "show", point], 0)).unwrap();
    judge_writes(&lost, &report, &points, b);
    assert_same_tree(&lost.portal, &b.portal_files());
    assert_same_tree(&lost.policies, &b.folder.join("policies"));
    assert_eq!(lost.digests, digests(b));
    let old = ["region-a", &lost.place.address()];
    assert_eq!(residue::outside_of_releases(b, &old), Vec::<String>::new());
    // The platform works on, through the door that clients use.
    let gateway = fs::read_to_string(kept.path().join("entry")).unwrap().trim().to_owned();
    let issued_before = lost.written.iter().find(|write| write.kind == "token").unwrap();
    let issued_here = token(&b.service("manager")).unwrap();
    assert_eq!((call(&gateway, &issued_before.id, "b-1"), call(&gateway, &issued_here, "b-2")), (Ok(200), Ok(200)));
    assert_eq!(call(&gateway, "of-nobody", "b-3"), Ok(401));
    // Helm goes on where it was, and its history forgets the old region: the release before the one that is deployed stays.
    for _ in 0..2 {
        b.install("upgrade", &["--history-max=1"]);
    }
    let release = |name: &str| (name.to_owned(), "deployed".to_owned(), "3".to_owned());
    assert_eq!(b.releases(), [release("apim"), release("portal")]);
    assert_eq!(residue::in_releases(b, &old), Vec::<String>::new());
    assert_eq!(call(&gateway, &issued_before.id, "b-4"), Ok(200));
    // It goes on with the policy, in the next generation, by the daemon in the new region.
    daemon::install(b, &ne, &b.folder.join("policies"), json!({}));
    let scheduled = daemon::next_point(b, &ne, Timestamp::now());
    assert!(scheduled.starts_with("production@ne/2:"), "{scheduled}");
    let first = ne.run(&["schedule", "show", "production"], 0);
    assert!(!first.contains("incomplete") && !first.contains("failed"), "{first}");
    assert!(ne.run(&["record", "show", "production"], 0).contains("continues production@we/1"));
    ne.run(&["record", "check"], 0);
}
