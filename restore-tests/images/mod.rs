//! Images and charts: kept in a point or mirrored, and back in another registry with the digests that they had.

mod ecr;
pub mod world;

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use self::world::{DOCKER, LIST, MANIFEST, PASSWORD, Registry, USER, name, noise, sha256, wait_until};
use crate::{
    docs::{of_page, run},
    lab::tls,
    site::Site,
    wire::{Proxy, Wire},
};

/// A site with the source `images` of these references, `spare` to restore to, and a policy `p`.
fn site(a: &Registry, b: &Registry, references: &[String], more: &str) -> Site {
    let site = Site::in_directories();
    site.run(&["init", "--write"], 0);
    let registries = format!("registries: {{ {}, {} }}", a.yaml(), b.yaml());
    let target = format!("registry: \"{}/apim\"", b.address);
    site.configure(&format!(
        "sources:\n  images: {{ images: {{ references: {references:?}, {registries}{more} }} }}\n  spare: {{ images: {{ {target}, {registries} }} }}\n"
    ));
    site.configure("policies:\n  p: { members: { images: required } }\n");
    site.run(&["keys", "prove"], 0);
    site
}

/// Every kind that there is: an image, the same in another repository, one for two platforms, one of Docker's own form, and a chart.
fn fill(a: &Registry) -> Vec<String> {
    let (base, own) = (noise("base", 3 << 20), noise("own", 100_000));
    let gateway = a.image("gateway", Some("1.0"), MANIFEST, &[&base, &own]);
    a.image("team/portal", Some("2018"), DOCKER, &[&base]);
    let platforms: Vec<Value> = ["amd64", "arm64"]
        .map(|architecture| {
            let mut image = a.image("manager", None, MANIFEST, &[&base, architecture.as_bytes()]);
            image["platform"] = json!({"os": "linux", "architecture": architecture});
            image
        })
        .to_vec();
    a.manifest("manager", Some("7"), LIST, &json!({"schemaVersion": 2, "mediaType": LIST, "manifests": platforms}));
    let config = a.blob("charts/apim", "application/vnd.cncf.helm.config.v1+json", br#"{"name": "apim", "version": "0.1.0"}"#);
    let chart = a.blob("charts/apim", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", &noise("chart", 5000));
    a.manifest("charts/apim", Some("0.1.0"), MANIFEST, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [chart]}));
    let pinned = format!("gateway:1.0@{}", name(&gateway));
    [&pinned, "team/portal:2018", "manager:7", "charts/apim:0.1.0"].map(|image| format!("{}/{image}", a.address)).to_vec()
}

/// Panics unless `b` has, below `apim`, all that a name stands for in `a`, with the same bytes.
fn same(a: &Registry, b: &Registry, repository: &str, tag: &str) {
    let target = format!("apim/{repository}");
    let mut open = vec![tag.to_owned()];
    while let Some(tag) = open.pop() {
        let bytes = a.bytes(repository, &tag).unwrap();
        assert_eq!(b.bytes(&target, &tag), Ok(bytes.clone()), "{target}:{tag}");
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        open.extend(list("manifests").iter().map(name));
        for blob in list("layers").iter().chain([&manifest["config"]]).filter(|blob| !blob.is_null()) {
            let found = b.blob_bytes(&target, &name(blob)).unwrap();
            assert_eq!(sha256(&found), name(blob), "{target}");
        }
    }
}

const ALL: [(&str, &str); 4] = [("gateway", "1.0"), ("team/portal", "2018"), ("manager", "7"), ("charts/apim", "0.1.0")];

#[test]
fn images_of_every_kind_come_back_in_another_registry_with_the_digests_that_they_had() {
    let (a, b) = (Registry::open(), Registry::guarded());
    let references = fill(&a);
    let site = site(&a, &b, &references, "");
    let said = site.run(&["backup", "p"], 0);
    assert!(said.contains("is complete"), "{said}");
    let before = ALL.map(|(repository, tag)| sha256(&a.bytes(repository, tag).unwrap()));
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    for (repository, tag) in ALL {
        same(&a, &b, repository, tag);
    }
    // A second time there is nothing to do, and nothing in the way.
    let layer = sha256(&noise("base", 3 << 20));
    let uploads = b.uploads(&layer);
    assert!(uploads > 0, "uploads are not seen");
    site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert_eq!(b.uploads(&layer), uploads);
    // A directory is what other tools read: of images in OCI's form at once, of those in Docker's as the page says.
    let layout = site.restore("p", "layout").join("images");
    skopeo(&format!("oci:{}:{}", layout.display(), references[0]), &format!("{}/by/skopeo:1", a.address));
    assert_eq!(sha256(&a.bytes("by/skopeo", "1").unwrap()), before[0]);
    let script = of_page("docs/format/source-images.md", "By hand", "sh").concat();
    let script = script.replace("NAME", &references[1]).replace("REGISTRY/REPOSITORY:TAG", &format!("{}/by/hand:1", a.address));
    let script = script.replace("skopeo copy", "skopeo --insecure-policy copy --dest-tls-verify=false");
    run(&layout, &script);
    assert_eq!(sha256(&a.bytes("by/hand", "1").unwrap()), before[1]);
}

fn skopeo(from: &str, to: &str) {
    let copy = ["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", "--preserve-digests", from];
    let copied = Command::new("skopeo").args(copy).arg(format!("docker://{to}")).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

#[test]
fn images_are_those_that_run_when_a_tag_has_moved_and_a_tag_in_the_target_is_replaced_only_by_name() {
    let (a, b) = (Registry::open(), Registry::open());
    let runs = name(&a.image("gateway", Some("1.0"), MANIFEST, &[b"what runs"]));
    let moved = name(&a.image("gateway", Some("1.0"), MANIFEST, &[b"what nobody has tried"]));
    let other = name(&b.image("apim/gateway", Some("1.0"), MANIFEST, &[b"somebody's own"]));
    let own = format!(", registry: \"{}/apim\"", b.address);
    let site = site(&a, &b, &[format!("{}/gateway:1.0@{runs}", a.address)], &own);
    site.run(&["backup", "p"], 0);
    let refused = site.run(&["restore", "p", "images", "--into", "spare"], 1);
    assert!(refused.contains("gateway:1.0 means another image"), "{refused}");
    assert_eq!(sha256(&b.bytes("apim/gateway", "1.0").unwrap()), other);
    let said = site.run(&["restore", "p", "images", "--in-place", "images"], 0);
    assert!(said.contains(&format!("means {moved} by now")), "{said}");
    assert_eq!(sha256(&b.bytes("apim/gateway", "1.0").unwrap()), runs);
}

#[test]
fn a_tag_that_was_planted_after_an_image_was_restored_is_found_and_named() {
    let (a, b) = (Registry::open(), Registry::open());
    let mut made: Vec<(String, String)> =
        (0..100).map(|number| format!("t{number}")).map(|tag| (name(&a.image("many", Some(&tag), MANIFEST, &[b"layer"])), tag)).collect();
    let references: Vec<String> = made.iter().map(|(_, tag)| format!("{}/many:{tag}", a.address)).collect();
    let site = site(&a, &b, &references, "");
    site.run(&["backup", "p"], 0);
    // They are written in the order of their digests, so much is still to be written when the first is there.
    made.sort();
    let (digest, tag) = &made[0];
    let running = site.command(&["restore", "p", "images", "--into", "spare"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first tag", || b.bytes("apim/many", tag).is_ok());
    let planted = name(&b.image("apim/many", Some(tag), MANIFEST, &[b"planted"]));
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("apim/many:{tag}")) && said.contains(&format!("means {planted} instead of {digest}")), "{said}");
    assert!(!said.contains("found equal"), "{said}");
}

#[test]
fn repositories_are_made_once_where_the_registry_of_the_images_wants_that() {
    let (a, b) = (Registry::open(), Registry::open());
    let references = fill(&a);
    let made = tempfile::tempdir().unwrap();
    let (marks, runtime) = (made.path().to_owned(), tokio::runtime::Runtime::new().unwrap());
    // As Amazon's: what is put into a repository that nobody has made is refused.
    let proxy = runtime.block_on(Proxy::at(b.address.clone(), move |_, line| {
        let repository = line.split("/v2/").nth(1).and_then(|rest| rest.split("/blobs/").next()?.split("/manifests/").next());
        let is_unknown = repository.is_some_and(|repository| !marks.join(repository).join("made").exists());
        if (line.starts_with("POST") || line.starts_with("PUT")) && is_unknown { Wire::Status(404) } else { Wire::Pass }
    }));
    let way = format!("127.0.0.1:{}", proxy.port());
    let site = site(&a, &b, &references, "");
    let set = |from: &str, to: &str| {
        let config = fs::read_to_string(site.path("hourglass.yaml")).unwrap();
        assert!(config.contains(from), "{from}: {config}");
        fs::write(site.path("hourglass.yaml"), config.replace(from, to)).unwrap();
    };
    set(&format!("registry: \"{}/apim\"", b.address), &format!("registry: \"{way}/apim\""));
    set(&b.yaml(), &format!("{way:?}: {{ plain_http: true }}"));
    site.run(&["backup", "p"], 0);
    site.run(&["restore", "p", "images", "--into", "spare"], 1);
    let create = r#"mkdir -p "$0/$1" && touch "$0/$1/made" && echo "$1" >> "$0/log""#;
    let create = format!("create: [sh, -c, {create:?}, {:?}, \"{{repository}}\"]", made.path().display().to_string());
    set(&format!("{way:?}: {{ plain_http: true }}"), &format!("{way:?}: {{ plain_http: true, {create} }}"));
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    for (repository, tag) in ALL {
        same(&a, &b, repository, tag);
    }
    let mut log: Vec<String> = fs::read_to_string(made.path().join("log")).unwrap().lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["apim/charts/apim", "apim/gateway", "apim/manager", "apim/team/portal"]);
}

#[test]
fn only_the_images_of_one_platform_are_kept_where_one_is_named_and_one_image_is_restored_alone() {
    let (a, b) = (Registry::open(), Registry::open());
    fill(&a);
    let images = ["manager:7", "charts/apim:0.1.0"].map(|image| format!("{}/{image}", a.address));
    let site = site(&a, &b, &images, ", platform: linux/arm64");
    site.run(&["backup", "p"], 0);
    site.run(&["restore", "p", "images", &format!("{}/charts/apim", a.address), "--into", "spare"], 0);
    same(&a, &b, "charts/apim", "0.1.0");
    assert!(b.bytes("apim/manager", "7").is_err(), "it was not asked for");
    site.run(&["restore", "p", "images", "--into", "spare"], 0);
    let list: Value = serde_json::from_slice(&a.bytes("manager", "7").unwrap()).unwrap();
    assert_eq!(sha256(&b.bytes("apim/manager", "7").unwrap()), name(&list["manifests"][1]));
    assert!(b.bytes("apim/manager", &name(&list["manifests"][0])).is_err());
}

#[test]
fn a_point_without_a_layer_or_without_an_image_is_never_green() {
    let (a, b) = (Registry::open(), Registry::open());
    a.image("whole", Some("1"), MANIFEST, &[b"whole"]);
    a.image("broken", Some("1"), MANIFEST, &[b"layer that goes"]);
    let layer = sha256(b"layer that goes");
    let images = ["whole:1", "broken:1"].map(|image| format!("{}/{image}", a.address));
    let site_of = |references: &[String], more: &str| site(&a, &b, references, more);
    let absent = [images[0].clone(), format!("{}/whole:2", a.address)];
    let said = site_of(&absent, "").run(&["backup", "p"], 3);
    assert!(said.contains("whole:2"), "{said}");
    a.lose(&layer);
    let mirror = format!(", mode: mirror, registry: \"{}/apim\"", b.address);
    let cut = layer.strip_prefix("sha256:").unwrap();
    for (more, named) in [("", cut), (&*mirror, "broken")] {
        let said = site_of(&images, more).run(&["backup", "p"], 3);
        assert!(said.contains(named), "{said}");
    }
    // Bytes that are not what their name says.
    fs::write(a.blob_file(&layer), b"layer that lies").unwrap();
    for (more, named) in [("", cut), (&*mirror, "broken")] {
        let said = site_of(&images, more).run(&["backup", "p"], 3);
        assert!(said.contains(named), "{said}");
    }
    assert_eq!(b.held(std::slice::from_ref(&layer)), Vec::<String>::new());
    same(&a, &b, "whole", "1");
}

#[test]
fn a_mirror_of_images_copies_what_is_new_and_says_when_something_is_gone_from_it() {
    let (a, b) = (Registry::open(), Registry::guarded());
    let references = fill(&a);
    let site = site(&a, &b, &references, &format!(", mode: mirror, registry: \"{}/apim\"", b.address));
    site.run(&["backup", "p"], 0);
    for (repository, tag) in ALL {
        same(&a, &b, repository, tag);
    }
    let layer = sha256(&noise("base", 3 << 20));
    let uploads = b.uploads(&layer);
    assert!(uploads > 0, "uploads are not seen");
    site.run(&["backup", "p"], 0);
    assert_eq!(b.uploads(&layer), uploads, "it was there");
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    b.lose(&layer);
    let said = site.run(&["restore", "p", "images", "--into", "spare"], 3);
    assert!(said.contains(&layer), "{said}");
}

fn begin(site: &Site, arguments: &[&str]) -> Child {
    site.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Images of 40 layers, and the names of these.
fn many(a: &Registry) -> (Vec<String>, Vec<String>) {
    let layers: Vec<Vec<u8>> = (0..40).map(|number| noise(&format!("layer {number}"), 2 << 20)).collect();
    for (number, part) in layers.chunks(10).enumerate() {
        a.image(&format!("part-{number}"), Some("1"), MANIFEST, &part.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let references = (0..4).map(|number| format!("{}/part-{number}:1", a.address)).collect();
    (references, layers.iter().map(|layer| sha256(layer)).collect())
}

/// Lets a run come so far that `b` has some of the layers, and kills it. Says whether it was in the middle.
fn killed_in_the_middle(mut run: Child, b: &Registry, layers: &[String]) -> bool {
    let mut over = false;
    wait_until("a layer in the target", || {
        over = run.try_wait().unwrap().is_some();
        over || !b.held(layers).is_empty()
    });
    b.freeze(true);
    if !over {
        // It may have ended meanwhile.
        let _gone = kill_process(Pid::from_child(&run), Signal::KILL);
    }
    let killed = !run.wait().unwrap().success() && b.held(layers).len() < layers.len();
    b.freeze(false);
    killed
}

#[test]
fn a_restore_of_images_that_is_killed_goes_on_where_it_was() {
    let a = Registry::open();
    let (references, layers) = many(&a);
    let middle = (0..10).any(|_| {
        let b = Registry::open();
        let site = site(&a, &b, &references, "");
        site.run(&["backup", "p"], 0);
        if !killed_in_the_middle(begin(&site, &["restore", "p", "images", "--into", "spare", "--quiet"]), &b, &layers) {
            return false;
        }
        let had = b.held(&layers);
        let listed = site.run(&["runs", "list"], 0);
        let run = listed.lines().find(|line| line.contains("restore")).unwrap_or_else(|| panic!("{listed}"));
        let run = run.split_whitespace().find(|word| word.contains('T') && word.contains('Z')).unwrap();
        site.run(&["runs", "resume", run, "--quiet"], 0);
        for number in 0..4 {
            same(&a, &b, &format!("part-{number}"), "1");
        }
        for layer in had {
            assert_eq!(b.uploads(&layer), 1, "{layer} was there");
        }
        true
    });
    assert!(middle, "no restore could be killed in its middle");
}

#[test]
fn a_mirror_of_images_that_is_killed_goes_on_where_it_was() {
    let a = Registry::open();
    let (references, layers) = many(&a);
    let middle = (0..10).any(|_| {
        let b = Registry::open();
        let site = site(&a, &b, &references, &format!(", mode: mirror, registry: \"{}/apim\"", b.address));
        if !killed_in_the_middle(begin(&site, &["backup", "p", "--quiet"]), &b, &layers) {
            return false;
        }
        let had = b.held(&layers);
        site.run(&["backup", "p", "--quiet"], 0);
        for number in 0..4 {
            same(&a, &b, &format!("part-{number}"), "1");
        }
        for layer in had {
            assert_eq!(b.uploads(&layer), 1, "{layer} was there");
        }
        true
    });
    assert!(middle, "no mirror could be killed in its middle");
}

#[test]
fn a_registry_of_images_that_refuses_the_account_is_told_of_without_the_password() {
    let (mut a, b) = (Registry::guarded(), Registry::open());
    a.image("gateway", Some("1"), MANIFEST, &[b"x"]);
    let site = site(&a, &b, &[format!("{}/gateway:1", a.address)], "");
    site.run(&["backup", "p"], 0);
    fs::write(a.password_file(), format!("not the {PASSWORD}\n")).unwrap();
    let said = site.run(&["backup", "p"], 1);
    assert!(said.contains("gateway:1") && said.contains("check the account") && !said.contains(PASSWORD), "{said}");
    a.end();
    let said = site.run(&["backup", "p"], 1);
    assert!(said.contains("gateway:1") && said.contains("connect"), "{said}");
}

#[test]
fn the_how_to_of_images_works_as_written() {
    let (a, b, page) = (Registry::guarded(), Registry::guarded(), "docs/how-to/images.md");
    a.image("apim/gateway", Some("10.0.1"), MANIFEST, &[b"gateway"]);
    a.image("charts/apim", Some("0.1.0"), MANIFEST, &[b"chart"]);
    let yaml = of_page(page, "Three commands", "yaml").concat();
    let yaml = yaml.replace("registry.example.internal:5000", &a.address).replace("registry-dr.example.internal:5000", &b.address);
    let yaml = yaml.replace("user: puller", &format!("user: {USER}")).replace("user: pusher", &format!("user: {USER}"));
    let home = tempfile::tempdir().unwrap();
    fs::copy(a.password_file(), home.path().join("registry.password")).unwrap();
    fs::copy(tls("ca.crt"), home.path().join("registry-ca.pem")).unwrap();
    let before = format!("chmod 600 *.password\nhourglass init --directory store\ncat >> hourglass.yaml <<'END'\n{yaml}END\nhourglass keys prove\n");
    let said = run(home.path(), &(before + &of_page(page, "Three commands", "sh").concat()));
    assert!(said.contains("is complete") && said.contains("found equal to what was saved"), "{said}");
    for (repository, tag) in [("apim/gateway", "10.0.1"), ("charts/apim", "0.1.0")] {
        assert_eq!(b.bytes(repository, tag), a.bytes(repository, tag));
    }
}
