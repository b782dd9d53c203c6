//! Two locations, one of which is new, silent or gone.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::site::{Site, assert_same_tree, listing, make_tree};

/// A site with a second location, still empty, and one point.
fn site() -> (Site, Vec<String>) {
    let place = Site::in_directories();
    fs::create_dir(place.path("other")).unwrap();
    let at = |name: &str| format!("{{ url: {:?} }}", place.path(name).display().to_string());
    let config = fs::read_to_string(place.path("hourglass.yaml")).unwrap();
    fs::write(place.path("hourglass.yaml"), config.replace("control:", &format!("  other: {}\ncontrol:", at("other")))).unwrap();
    make_tree(&place.path("tree"), 10_000);
    fs::write(place.path("stream"), "rows").unwrap();
    place.protect_tree_and_stream();
    place.run(&["backup", "single", "--quiet"], 0);
    let tree = listing(&place.path("tree"));
    (place, tree)
}

#[test]
fn a_location_that_is_still_empty_is_said_to_be_and_one_that_was_emptied_is_not_good() {
    let (site, _) = site();
    let checked = site.run(&["record", "check"], 0);
    assert!(checked.lines().any(|line| line.starts_with("other ") && line.contains("empty")), "{checked}");
    site.run(&["copy", "--to", "other", "--quiet"], 0);
    let checked = site.run(&["record", "check"], 0);
    assert!(checked.lines().any(|line| line.starts_with("other ") && line.ends_with("good")), "{checked}");
    fs::remove_dir_all(site.path("other")).unwrap();
    fs::create_dir(site.path("other")).unwrap();
    let checked = site.run(&["record", "check"], 1);
    assert!(checked.contains("there is no repository"), "{checked}");
}

#[test]
fn the_other_region_sees_the_points_of_the_first() {
    let (site, tree) = site();
    site.run(&["copy", "--to", "other", "--quiet"], 0);
    let ne = Site::new("ne", &[("primary", format!("{{ url: {:?} }}", site.path("other").display().to_string()))], "{ url: /nowhere/control }");
    ne.configure(&format!("trust_root: {}\n", site.trust_root()));
    let shown = ne.run(&["points", "list"], 0);
    assert!(shown.contains("single@we/1:3") && shown.contains("complete"), "{shown}");
    assert!(ne.run(&["points", "list", "single"], 0).contains("single@we/1:3"));
    ne.run(&["points", "list", "nightly"], 2);
    fs::copy(site.path("operator.key"), ne.path("operator.key")).unwrap();
    assert_same_tree(&tree, &ne.restore("single@we/1:3", "restored").join("files"));
}

#[test]
fn a_location_that_never_answers_is_passed_over_in_a_restore() {
    let (site, tree) = site();
    site.run(&["copy", "--to", "other", "--quiet"], 0);
    // The system takes connections, and nobody reads what comes.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
    let primary = format!("{{ url: {:?} }}", site.path("repository").display().to_string());
    let silent = format!("{{ url: \"s3://nobody\", region: here, path_style: true, endpoint: \"http://{}\" }}", hole.local_addr().unwrap());
    assert!(config.contains(&primary));
    fs::write(site.path("hourglass.yaml"), config.replace(&primary, &silent)).unwrap();
    let site = site.with_s3();
    let began = Instant::now();
    let said = site.run(&["restore", "single@we/1:3", "--to", "restored"], 0);
    // A request to it would be tried for ten minutes.
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
    assert!(said.contains("did not answer in 15 s"), "{said}");
    assert_same_tree(&tree, &site.path("restored/files"));
    drop(hole);
}
