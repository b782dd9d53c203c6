//! Points that lack a member: never chosen by themselves, only when somebody says that the member may be missing. And points of which some members were tested.

use std::fs;

use crate::site::Site;

/// A site with two dumps, one of which fails while there is a file `broken`; a good point, and one that lacks that dump.
fn site() -> Site {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    let fragile = format!("test ! -e {} && echo fragile", site.path("broken").display());
    site.configure(&format!("sources:\n  solid: {{ command: {{ dump: [cat, {:?}], load: [cat] }} }}\n", site.path("data").display().to_string()));
    site.configure(&format!("  fragile: {{ command: {{ dump: [sh, -c, {fragile:?}], load: [cat] }} }}\n"));
    site.configure(&format!("  elsewhere: {{ files: {{ path: {:?} }} }}\n", site.path("elsewhere").display().to_string()));
    site.configure("policies:\n  p: { members: { solid: required, fragile: required } }\n");
    fs::write(site.path("data"), "old").unwrap();
    site.run(&["keys", "prove"], 0);
    site.run(&["backup", "p"], 0);
    fs::write(site.path("data"), "new").unwrap();
    fs::write(site.path("broken"), "").unwrap();
    site.run(&["backup", "p"], 3);
    site
}

#[test]
fn an_incomplete_point_is_chosen_only_when_what_it_lacks_is_accepted_by_somebody() {
    let site = site();
    let restored = |arguments: &[&str], to: &str| {
        site.run(&[&["restore", "p", "--to", to], arguments].concat(), 0);
        fs::read_to_string(site.path(to).join("solid/dump")).unwrap()
    };
    assert_eq!(restored(&[], "unasked"), "old");
    assert_eq!(restored(&["--accept-missing", "solid", "--who", "ada"], "another"), "old", "another member may be missing");
    assert_eq!(restored(&["--accept-missing", "fragile", "--who", "ada, ticket 7"], "accepted"), "new");
    let record = site.run(&["record", "show", "p"], 0);
    assert!(record.contains("ada, ticket 7 accepts that fragile may be missing"), "{record}");
    let refused = site.run(&["restore", "p", "--to", "nobody", "--accept-missing", "fragile"], 2);
    assert!(refused.contains("--who"), "{refused}");
}

#[test]
fn members_of_a_point_go_into_different_systems_at_once() {
    let site = site();
    fs::remove_file(site.path("broken")).unwrap();
    site.run(&["backup", "p"], 0);
    site.run(&["restore", "p", "--into", "solid=elsewhere", "--to", "rest"], 0);
    assert_eq!(fs::read_to_string(site.path("elsewhere/dump")).unwrap(), "new");
    assert_eq!(fs::read_to_string(site.path("rest/fragile/dump")).unwrap(), "fragile\n");
    let unnamed = site.run(&["restore", "p", "--into", "elsewhere"], 2);
    assert!(unnamed.contains("MEMBER=elsewhere"), "{unnamed}");
    let homeless = site.run(&["restore", "p", "--into", "solid=elsewhere"], 2);
    assert!(homeless.contains("fragile has no target"), "{homeless}");
    let stranger = site.run(&["restore", "p", "solid", "--into", "fragile=elsewhere"], 2);
    assert!(stranger.contains("fragile is not restored"), "{stranger}");
}

#[test]
fn a_point_is_called_restored_only_when_all_of_its_members_were_tested() {
    let site = site();
    fs::remove_file(site.path("broken")).unwrap();
    site.run(&["backup", "p"], 0);
    let part = site.run(&["restore-test", "p", "--into", "solid=elsewhere"], 0);
    assert!(part.contains("not entered in the record: 1 of 2 members"), "{part}");
    let (point, _) = part.split_once(' ').unwrap();
    let one = site.run(&["verify", point, "--depth", "restored", "--member", "solid", "--to", "elsewhere"], 0);
    assert!(one.contains("not entered in the record: the point has 2 members"), "{one}");
    assert!(!site.run(&["record", "show", "p"], 0).contains("restored"));
    site.run(&["restore-test", "p", "--into", "solid=elsewhere", "--scratch", "."], 0);
    let record = site.run(&["record", "show", "p"], 0);
    assert!(record.contains("restored"), "{record}");
}
