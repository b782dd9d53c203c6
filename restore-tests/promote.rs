//! One site goes on with what another one wrote, and the other one is told.

use std::fs;

use serde_json::Value;

use crate::{
    recover::{Watched, World, once},
    site::Site,
};

/// Two sites over one repository, each with a home, a control store and a capture key of its own.
struct Pair {
    we: World,
    ne: Site,
}

const PROTECT: &str = "id: protect\nneeds: [tree]\nbudget: 1s\nlater: true\nprotect: { policy: single }";
const TREE: &str = "id: tree\nneeds: [one]\nbudget: 1s\nrestore: { member: files, to: \"${dir}/restored\" }";

impl Pair {
    fn new() -> Pair {
        let we = World::new(10_000);
        let ne = Site::in_directories();
        fs::remove_dir_all(ne.path("repository")).unwrap();
        let config = fs::read_to_string(we.site.path("hourglass.yaml")).unwrap();
        let control = we.site.path("control").display().to_string();
        let config = config.replace("site: we", "site: ne").replace(&control, &ne.path("control").display().to_string());
        fs::write(ne.path("hourglass.yaml"), config).unwrap();
        fs::copy(we.site.path("operator.key"), ne.path("operator.key")).unwrap();
        fs::copy(we.site.path("root.key"), ne.path("root.key")).unwrap();
        ne.run(&["keys", "rotate", "--root", "root.key", "--to", "capture.key", "--reason", "a new site"], 0);
        Pair { we, ne }
    }

    fn promote(&self, from: &str, status: i32) -> String {
        self.ne.run(&["promote", "single", "--from", from, "--who", "Berta", "--reason", "lost"], status)
    }
}

fn points(site: &Site) -> Vec<String> {
    let listed: Value = serde_json::from_str(&site.run(&["--output", "json", "points", "list", "single"], 0)).unwrap();
    listed["data"]["points"].as_array().unwrap().iter().map(|point| point["point"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_promoted_site_goes_on_and_the_writer_that_was_left_behind_is_told() {
    let pair = Pair::new();
    let said = pair.promote("single@we/1", 0);
    assert!(said.contains("single@ne/1 continues single@we/1 after entry 3"), "{said}");
    pair.ne.run(&["backup", "single", "--quiet"], 0);
    assert!(points(&pair.ne).iter().any(|point| point.starts_with("single@ne/1:")), "{:?}", points(&pair.ne));
    let said = pair.we.site.run(&["backup", "single"], 5);
    assert!(said.contains("single@we/1 was left behind: single@ne/1 continues it") && said.contains("Berta"), "{said}");
    // Other policies are not its business.
    pair.we.site.run(&["backup", "rolling", "--quiet"], 0);
    // A second promotion of what was left behind is refused, and says by whom.
    assert!(pair.promote("single@we/1", 5).contains("single@ne/1 continues it"));
    // Back again: the next generation of the first site, which continues that of the second.
    pair.we.site.run(&["promote", "single", "--from", "single@ne/1", "--who", "Anna", "--reason", "repaired"], 0);
    let said = pair.we.site.run(&["backup", "single"], 0);
    assert!(said.contains("single@we/2:"), "{said}");
    assert!(pair.ne.run(&["backup", "single"], 5).contains("single@we/2 continues it"));
    assert!(pair.we.site.run(&["record", "show", "single"], 0).contains("continues single@ne/1"));
    assert!(pair.we.site.run(&["record", "check"], 0).contains("single@we/1"));
    // With stock tools alone.
    let (repository, work, root) = (pair.we.site.path("repository"), pair.we.site.path("work"), pair.we.site.trust_root());
    let variables = [("REPOSITORY", repository.to_str().unwrap()), ("TRUST_ROOT", &*root), ("WORK", work.to_str().unwrap()), ("HEADS", "")];
    let verified = crate::byhand::said(&crate::byhand::execute("verify-by-hand.md", &variables));
    assert!(verified.contains("nothing is wrong") && verified.contains("single@we/2: 1 points"), "{verified}");
    // The cluster's key may not.
    fs::copy(pair.ne.path("capture.key"), pair.ne.path("operator.key")).unwrap();
    assert!(pair.promote("single@we/2", 2).contains("operator"));
}

#[test]
fn of_two_promotions_at_once_one_happens_and_the_other_is_told() {
    for _ in 0..5 {
        let pair = Pair::new();
        let arguments = ["promote", "single", "--from", "single@we/1", "--who", "Berta", "--reason", "lost"];
        let children: Vec<_> = (0..3)
            .map(|_| pair.ne.command(&arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap())
            .collect();
        let ends: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let good = ends.iter().filter(|end| end.status.success()).count();
        let told = ends
            .iter()
            .filter(|end| end.status.code() == Some(5) && String::from_utf8_lossy(&end.stderr).contains("single@ne/1 continues it"))
            .count();
        assert_eq!((good, told), (1, 2), "{ends:?}");
        let record: Value = serde_json::from_str(&pair.ne.run(&["--output", "json", "record", "show", "single"], 0)).unwrap();
        let kinds: Vec<&str> =
            record["data"]["entries"].as_array().unwrap().iter().map(|entry| entry["entry"]["body"]["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["promotion", "proof"]);
        pair.ne.run(&["backup", "single", "--quiet"], 0);
    }
}

/// The step `protect` promotes once, whatever dies, and its point is the first of the new generation.
#[test]
fn a_recovery_at_another_site_promotes_it_and_makes_its_first_point() {
    let pair = Pair::new();
    // This site has written decisions before, so the next generation is the second.
    pair.ne.run(&["keys", "prove"], 0);
    let text =
        crate::recover::book("", &[&once("one", ""), TREE, PROTECT]).replace("policy: single\n", "policy: single\nsites: { from: we, to: ne }\n");
    fs::write(pair.ne.path("book.md"), text).unwrap();
    let world = World { site: pair.ne };
    let mut running = world.start(&[]);
    let begins =
        |running: &mut Watched, text: &str| running.reaches(|said| said.iter().any(|line| line.contains("step-started") && line.contains(text)));
    assert!(begins(&mut running, "\"protect\""), "{}", running.said());
    running.kill();
    let mut running = world.resume(&[]);
    assert!(begins(&mut running, "capture/"), "{}", running.said());
    running.kill();
    // It may have come to its end before it died.
    let (code, envelope, said) = world.resume(&[]).any_end();
    assert!(code == Some(0) || envelope["error"]["kind"] == "ended", "{envelope}\n{said}");
    let record: Value = serde_json::from_str(&world.site.run(&["--output", "json", "record", "show", "single@ne/2"], 0)).unwrap();
    let kinds: Vec<&str> =
        record["data"]["entries"].as_array().unwrap().iter().map(|entry| entry["entry"]["body"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "promotion").count(), 1);
    assert_eq!(kinds[..2], ["promotion", "proof"]);
    assert!(kinds.contains(&"point") && (code != Some(0) || kinds.contains(&"recovery")), "{kinds:?}");
    assert!(pair.we.site.run(&["backup", "single"], 5).contains("single@ne/2 continues it"));
}
