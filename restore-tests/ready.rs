//! Whether a site could take the service over, as the binary says it. The guides of clusters and databases ask it of their real servers.

use std::fs;

use crate::{lab, site::Site};

fn checks(site: &Site, status: i32) -> Vec<(String, bool, String)> {
    let answer: serde_json::Value = serde_json::from_str(&site.run(&["ready", "--output", "json"], status)).unwrap();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_owned();
    answer["data"]["checks"].as_array().unwrap().iter().map(|check| (text(check, "about"), check["ready"] == true, text(check, "what"))).collect()
}

#[test]
fn points_certificates_licences_and_credentials_are_asked_and_what_is_not_so_is_said() {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    assert!(site.run(&["ready"], 3).contains("nothing is asked"));
    fs::write(site.path("data"), "data").unwrap();
    fs::create_dir(site.path("tree")).unwrap();
    let tree = site.path("tree").display().to_string();
    site.configure(&format!("sources:\n  tree: {{ files: {{ path: {tree:?} }} }}\npolicies:\n  p: {{ members: {{ tree: required }} }}\n"));
    fs::copy(lab::tls("ca.crt"), site.path("ca.pem")).unwrap();
    let good = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
    let later = jiff::Zoned::now().year() + 5;
    let ask = |valid_for: &str, age: &str| {
        let ready = format!(
            "  points: {{ p@we/1: {age} }}\n  certificates: {{ ca: ca.pem, gone: gone.pem }}\n  licences: {{ old: 2020-01-01, new: {later}-01-01 }}\n  valid_for: {valid_for}\n  credentials: [tree]\n"
        );
        fs::write(site.path("hourglass.yaml"), format!("{good}ready:\n{ready}")).unwrap();
        let checks = checks(&site, 3);
        move |about: &str| checks.iter().find(|check| check.0 == about).map(|check| check.1).unwrap_or_else(|| panic!("{about}: {checks:?}"))
    };
    let before = ask("1s", "1h");
    assert!(!before("points p@we/1"), "there is none yet");
    assert!(before("certificate ca") && !before("certificate gone") && !before("licence old") && before("licence new") && before("credentials tree"));
    site.run(&["keys", "prove"], 0);
    site.run(&["backup", "p", "--quiet"], 0);
    let after = ask("3000d", "1h");
    assert!(after("points p@we/1") && !after("certificate ca") && !after("licence new"));
    assert!((0..200).any(|_| !ask("1s", "1s")("points p@we/1")), "it becomes too old");
    // The object that every restore needs is gone: no point is complete any more.
    let sealed = fs::read_dir(site.path("repository/p@we/1/sealed")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(sealed).unwrap();
    assert!(!ask("1s", "1h")("points p@we/1"));
    fs::remove_dir(site.path("tree")).unwrap();
    assert!(!ask("1s", "1h")("credentials tree"));
    let status: serde_json::Value = serde_json::from_str(&site.run(&["status", "--output", "json"], 0)).unwrap();
    assert_eq!(status["data"]["ready"]["ready"], false, "{status}");
    assert!(status["data"]["conditions"].as_array().unwrap().iter().any(|condition| condition["kind"] == "not-ready"), "{status}");
}
