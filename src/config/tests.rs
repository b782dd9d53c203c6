use std::path::{Path, PathBuf};

use super::*;

fn problems(text: &str) -> Vec<String> {
    match parse(text, Path::new("/etc/hourglass/hourglass.yaml"), PathBuf::from("/state")) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_file_in_config_parses() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            load(&path, PathBuf::from("/state")).unwrap_or_else(|error| panic!("{error}"));
            seen += 1;
        }
    }
    assert!(seen >= 4);
}

/// With `HOURGLASS_UPDATE` set, writes it anew.
#[test]
fn the_schema_that_is_checked_in_is_the_one_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema.json");
    let now = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("HOURGLASS_UPDATE").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), now, "run the tests once with HOURGLASS_UPDATE=1");
}

#[test]
fn the_default_explains_every_key_of_the_schema() {
    let schema = schema();
    let all = std::iter::once(&schema).chain(schema["$defs"].as_object().unwrap().values());
    let keys = all.filter_map(|part| part["properties"].as_object()).flat_map(|properties| properties.keys());
    let missing: Vec<_> = keys.filter(|key| !EXAMPLE.contains(&format!("{key}:"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file_and_defaults_are_filled_in() {
    let text = "site: a\nlocations: {primary: {url: /r}}\ncontrol: {url: /c}\ncapture_key_file: capture.key\n\
                sources: {f: {files: {path: data}}}\npolicies: {p: {members: {f: required}}}\n";
    let config = parse(text, Path::new("/etc/hourglass/hourglass.yaml"), PathBuf::from("/state")).unwrap();
    assert_eq!(config.capture_key_file, Path::new("/etc/hourglass/capture.key"));
    assert_eq!(config.state_dir, Path::new("/state"));
    let policy = &config.policies[&"p".parse().unwrap()];
    assert_eq!((policy.generation, policy.keep, policy.epoch), (1, None, EpochConfig::default()));
    assert_eq!(config.lineage(&"p".parse().unwrap()).unwrap().to_string(), "p@a/1");
}

#[test]
fn all_slips_in_keys_and_types_are_said_at_once_with_their_places() {
    let text = "site: a\nlocation: {}\nlocations:\n  primary: { url: /r, path_style: \"yes\" }\ncontrol: { url: /c }\npolicies:\n  p:\n    members: { f: requierd }\n    generation: 0\n";
    assert_eq!(
        problems(text),
        [
            "1:1: missing key \"capture_key_file\"",
            "2:1: unknown key \"location\"; did you mean \"locations\"?",
            "4:35: locations.primary.path_style: expected true or false, found \"yes\"",
            "8:19: policies.p.members.f: expected one of required, optional, found \"requierd\"; did you mean \"required\"?",
            "9:17: policies.p.generation: expected a number from 1 to 4294967295, found 0",
        ]
    );
}

#[test]
fn all_wrong_meanings_are_said_at_once_with_their_places() {
    let text = "site: Bad_Name\nlocations:\n  primery: { url: /r, lock: compliance }\ncontrol: { url: \"ftp://x\" }\ncapture_key_file: k\n\
                sources: { events: {} }\npolicies:\n  p:\n    members: { event: required }\n    rpo: 1 hour\n    schedule: \"0 25 * * *\"\n    time_zone: Europe/Brusels\n";
    assert_eq!(
        problems(text),
        [
            "1:7: site: \"Bad_Name\" is not a valid site name: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit",
            "3:3: locations: missing key \"primary\": the location that backups go to; is \"primery\" meant?",
            "3:29: locations.primery.lock: only s3:// and azure:// stores have this key, and the URL is file:///r",
            "4:17: control.url: \"ftp://x\" is not a valid store URL: use file:///absolute/path, s3://bucket/prefix or azure://account/container/prefix",
            "6:20: sources.events: give exactly one kind of source: files, command, mysql, cassandra, analytics, kubernetes, volumes or images",
            "9:23: policies.p.members.event: there is no source \"event\"; did you mean \"events\"?",
            "10:10: policies.p.rpo: \"1 hour\" is not a duration; write a number and one of s, m, h, d, w, for example 90s or 7d",
            "11:15: policies.p.schedule: \"25\" is not a valid hour; use 0 to 23, *, ranges (1-5), lists (1,3) and steps (*/15)",
            "12:16: policies.p.time_zone: \"Europe/Brusels\" is not a known time zone; use a name such as Europe/Brussels or UTC",
        ]
    );
}

#[test]
fn names_of_images_and_registries_are_checked() {
    let text = "site: a\nlocations: {primary: {url: /r}}\ncontrol: {url: /c}\ncapture_key_file: k\nsources:\n  i:\n    images:\n      mode: mirror\n\
                \x20     references: [\"Registry/Upper\", busybox, \"docker.io/library/busybox:latest\"]\n      platform: amd64\n      registry: https://registry.example\n\
                \x20     registries: {r: {user: u}}\n";
    let said = problems(text);
    let expected = [
        "\"Registry/Upper\" does not name an image",
        "is named twice",
        "is not like registry.example:5000",
        "the registry that the mirror writes to",
    ];
    let expected = expected.into_iter().chain(["is not like linux/amd64", "give user and password_file"]);
    for words in expected {
        assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:#?}");
    }
}

#[test]
fn registries_of_amazon_are_known_by_their_hosts_unless_somebody_else_logs_in() {
    let with = |images: &str, registries: &str| {
        format!(
            "site: a\nlocations: {{primary: {{url: /r}}}}\ncontrol: {{url: /c}}\ncapture_key_file: k\nsources:\n  i:\n    images:\n      {images}\n      \
             registries: {{{registries}}}\n"
        )
    };
    let ecr = |images: &str, registries: &str, host: &str| {
        let config = parse(&with(images, registries), Path::new("/hourglass.yaml"), PathBuf::from("/state")).unwrap();
        let SourceConfig::Images(images) = &config.sources[&"i".parse().unwrap()] else { panic!("{config:?}") };
        let known = images.registries.get(host).and_then(|known| known.ecr.clone());
        known.map(|ecr| (ecr.region, ecr.account.unwrap_or_default(), ecr.endpoint.map(String::from).unwrap_or_default()))
    };
    let of = |region: &str, account: &str, endpoint: &str| Some((region.to_owned(), account.to_owned(), endpoint.to_owned()));
    let amazon = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";
    assert_eq!(ecr(&format!("references: [\"{amazon}/a:1\"]"), "", amazon), of("eu-west-1", "111111111111", ""));
    let china = "111111111111.dkr.ecr-fips.cn-north-1.amazonaws.com.cn";
    assert_eq!(ecr(&format!("registry: {china}/apim"), "", china), of("cn-north-1", "111111111111", ""));
    let to = format!("registry: {amazon}");
    assert_eq!(ecr(&to, &format!("{amazon}: {{ca_file: c}}"), amazon), of("eu-west-1", "111111111111", ""));
    assert_eq!(ecr(&to, &format!("{amazon}: {{ecr: {{endpoint: \"http://x:1\"}}}}"), amazon), of("eu-west-1", "111111111111", "http://x:1/"));
    assert_eq!(ecr(&to, &format!("{amazon}: {{user: AWS, password_file: p}}"), amazon), None);
    for other in ["dkr.ecr.eu-west-1.amazonaws.com", "11.dkr.ecr.eu-west-1.amazonaws.com", "111111111111.dkr.ecr.eu-west-1.amazonaws.com.example.org"]
    {
        assert_eq!(ecr(&format!("registry: {other}"), "", other), None);
    }
    assert_eq!(ecr("registry: r.example", "r.example: {ecr: {region: eu-west-1}}", "r.example"), of("eu-west-1", "", ""));
    for (registries, what) in [
        ("r.example: {ecr: {}}", "ecr.region: give the registry's region"),
        ("r.example: {ecr: {region: a-1}, user: u, password_file: p}", "has no use for user, password_file and create"),
        ("r.example: {ecr: {region: a-1, endpoint: x}}", "ecr.endpoint: expected http://host"),
    ] {
        let said = problems(&with("registry: r.example", registries)).join("\n");
        assert!(said.contains(what), "{registries}: {said}");
    }
}

#[test]
fn values_of_environment_variables_are_never_printed() {
    let text = "site: a\nlocations: {primary: {url: /r}}\ncontrol: {url: /c}\ncapture_key_file: k\n\
                sources: {f: {command: {dump: [x], load: [y], env: {PIN: 4711}}}}\n";
    assert_eq!(problems(text), ["5:58: sources.f.command.env.PIN: expected a text, found something else; put it in quotes"]);
}

#[test]
fn mirrors_of_snapshot_repositories_need_a_place_to_copy_from_a_location_and_small_chunks() {
    let with = |repository: &str| {
        format!(
            "site: a\nlocations: {{primary: {{url: /r}}, other: {{url: /o}}}}\ncontrol: {{url: /c}}\ncapture_key_file: k\nsources:\n  s:\n    analytics:\n      \
             url: http://x:9200\n      repository: {{name: n, type: fs, {repository}}}\n"
        )
    };
    let said = |repository: &str| problems(&with(repository)).join("\n");
    let good = "settings: {location: /l, chunk_size: 64MB}, objects: {url: /l}, mirrors: {other: {url: /m}}";
    parse(&with(good), Path::new("/hourglass.yaml"), PathBuf::from("/state")).unwrap();
    for (repository, what) in [
        (
            "settings: {chunk_size: 1gb}, objects: {url: /l}, mirrors: {other: {url: /m}}",
            "settings.chunk_size: mirrors take objects of at most 64 MiB",
        ),
        ("objects: {url: /l}, mirrors: {other: {url: /m}}", "mirrors: mirrors take objects of at most 64 MiB"),
        ("settings: {chunk_size: 64mb}, mirrors: {other: {url: /m}}", "mirrors: nothing can be brought there"),
        ("settings: {chunk_size: 64mb}, objects: {url: /l}, mirrors: {othr: {url: /m}}", "mirrors.othr: no points are copied to \"othr\""),
        ("settings: {chunk_size: 64mb}, objects: {url: /l}, mirrors: {other: {url: /l}}", "mirrors.other.url: the objects themselves lie there"),
        ("objects: {url: \"s3://b/p\", lock: compliance}", "objects.lock: objects of a snapshot repository cannot be locked"),
    ] {
        assert!(said(repository).contains(what), "{repository}: {}", said(repository));
    }
}

#[test]
fn tasks_are_checked_and_those_that_decide_are_refused_without_an_operators_key() {
    let with = |key: &str, task: &str| {
        format!(
            "site: a\nlocations: {{primary: {{url: /r}}, other: {{url: /o}}}}\ncontrol: {{url: /c}}\ncapture_key_file: k\n{key}\
             sources: {{f: {{files: {{path: /d}}}}}}\npolicies: {{p: {{members: {{f: required}}}}}}\ntasks:\n  {task}\n"
        )
    };
    let parsed = |text: &str| parse(text, Path::new("/hourglass.yaml"), PathBuf::from("/state"));
    let every = "schedule: \"0 3 * * *\"";
    for decides in ["expire: {policy: p}", "prune: {policy: p}", "restore_test: {policy: p, scratch: /s}", "verify: {depth: restorable}"] {
        let task = format!("t: {{{decides}, {every}}}");
        let said = problems(&with("", &task)).join("\n");
        assert!(said.contains("this needs an operator's key, and operator_key_file names none"), "{decides}: {said}");
        assert_eq!(parsed(&with("operator_key_file: o\n", &task)).unwrap().tasks.len(), 1, "{decides}");
    }
    for (task, what) in [
        (format!("p: {{copy: {{to: other}}, {every}}}"), "tasks.p: a policy has this name"),
        (format!("t: {{copy: {{to: othr}}, {every}}}"), "tasks.t.copy.to: there is no \"othr\" here; did you mean \"other\"?"),
        (format!("t: {{copy: {{to: primary}}, {every}}}"), "tasks.t.copy.to: there is no \"primary\" here"),
        (format!("t: {{{every}}}"), "give exactly one kind of task"),
        (format!("t: {{verify: {{depth: present, within: 1d}}, {every}}}"), "only checks of depth intact read a part at a time"),
        ("t: {copy: {to: other}, schedule: \"60 * * * *\"}".to_owned(), "tasks.t.schedule"),
        ("t: {copy: {to: other}}".to_owned(), "missing key \"schedule\""),
    ] {
        let said = problems(&with("", &task)).join("\n");
        assert!(said.contains(what), "{task}: {said}");
    }
}

#[test]
fn ways_to_tell_people_are_checked() {
    let with = |notify: &str| format!("site: a\nlocations: {{primary: {{url: /r}}}}\ncontrol: {{url: /c}}\ncapture_key_file: k\n{notify}\n");
    let channel = |channel: &str| problems(&with(&format!("notify: {{channels: {{c: {channel}}}}}"))).join("\n");
    for (written, what) in [
        ("{}", "give exactly one kind of channel"),
        ("{smtp: {host: \"a b\", from: h@x.example, to: [a@x.example]}}", "is not the name of a server"),
        ("{smtp: {host: m, from: nobody, to: [a@x.example]}}", "\"nobody\" is not an address"),
        ("{smtp: {host: m, from: h@x.example, to: []}}", "at least one item"),
        ("{smtp: {host: m, from: h@x.example, to: [a@x.example], user: u}}", "user and password_file go together"),
        ("{smtp: {host: m, mode: none, from: h@x.example, to: [a@x.example], user: u, password_file: p}}", "a password is not sent without TLS"),
        ("{smtp: {host: m, from: h@x.example, to: [a@x.example], least_tls: \"1.1\"}}", "expected one of 1.2, 1.3"),
        ("{webhook: {}}", "give url, or url_file"),
        ("{webhook: {url: \"ftp://x/\"}}", "expected http://host"),
        ("{webhook: {url: \"https://u:planted@x/\"}}", "without user and password"),
    ] {
        let said = channel(written);
        assert!(said.contains(what) && !said.contains("planted"), "{written}: {said}");
    }
    let said = problems(&with("daemon: {listen: \"0.0.0.0:1\", tls: {cert_file: c, key_file: k}}\nnotify: {digest: \"0 25 * * *\"}")).join("\n");
    assert!(said.contains("asks for a token or a certificate") && said.contains("notify.digest"), "{said}");
}
