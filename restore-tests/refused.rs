//! A restore that was refused because something was in the way: resuming it is no way around.

use std::fs;

use crate::site::Site;

#[test]
fn a_restore_that_found_something_in_its_way_is_refused_again_when_it_is_resumed_until_that_is_gone() {
    let site = Site::in_directories();
    fs::create_dir(site.path("tree")).unwrap();
    fs::write(site.path("tree/file"), "saved").unwrap();
    fs::write(site.path("stream"), "stream").unwrap();
    site.protect_tree_and_stream();
    site.run(&["backup", "rolling"], 0);
    for (member, file) in [("files", "file"), ("stream", "dump")] {
        let to = format!("to-{member}");
        let target = site.path(&to);
        fs::create_dir(&target).unwrap();
        fs::write(target.join(file), "precious").unwrap();
        let refused = site.run(&["restore", "rolling", member, "--to", &to], 1);
        assert!(refused.contains("is not empty"), "{refused}");
        let run = refused.split("`hourglass runs resume ").nth(1).unwrap().split('`').next().unwrap();
        let again = site.run(&["runs", "resume", run], 1);
        assert!(again.contains("is not empty"), "{again}");
        assert_eq!(fs::read_to_string(target.join(file)).unwrap(), "precious");
        fs::remove_file(target.join(file)).unwrap();
        site.run(&["runs", "resume", run], 0);
        assert!(fs::read_to_string(target.join(file)).unwrap().starts_with('s'));
    }
}
